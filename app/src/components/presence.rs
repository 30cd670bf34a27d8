//! Whether a device is there: a shape, a word, a colour, and since when.

use fleet::{Presence, PresenceKind, Timestamp};
use leptos::prelude::*;

use super::clock;
use super::icon::Icon;
use crate::state::format;

/// The shape of a presence. Each presence has its own shape, because colour alone must not be what
/// distinguishes them.
pub const fn icon(kind: PresenceKind) -> Icon {
    match kind {
        PresenceKind::Online => Icon::Disc,
        PresenceKind::Sleeping => Icon::Moon,
        PresenceKind::Stale => Icon::Clock,
        PresenceKind::Offline => Icon::Crossed,
        PresenceKind::Unknown => Icon::Question,
    }
}

/// The word for a presence, with a capital letter.
pub const fn title(kind: PresenceKind) -> &'static str {
    match kind {
        PresenceKind::Online => "Online",
        PresenceKind::Sleeping => "Sleeping",
        PresenceKind::Stale => "Stale",
        PresenceKind::Offline => "Offline",
        PresenceKind::Unknown => "Unknown",
    }
}

/// What each presence means, for a tooltip.
pub const fn meaning(kind: PresenceKind) -> &'static str {
    match kind {
        PresenceKind::Online => "It said so, or it sends",
        PresenceKind::Sleeping => "It sleeps between its readings, as it always does",
        PresenceKind::Stale => "It should have sent something by now, and nobody said that it left",
        PresenceKind::Offline => "It left, or its connection broke",
        PresenceKind::Unknown => "Nobody can tell at the moment",
    }
}

/// Shape, word and how long, for a card.
#[component]
pub fn PresenceLine(
    /// What is shown.
    #[prop(into)]
    presence: Signal<Presence>,
    /// Whether the beginning of the presence is known.
    #[prop(into)]
    exact: Signal<bool>,
    /// The time.
    #[prop(into)]
    now: Signal<Timestamp>,
    /// Whether it has a background in its own colour.
    #[prop(optional)]
    badge: bool,
) -> impl IntoView {
    let kind = Memo::new(move |_| presence.get().kind());
    view! {
        <span
            class="presence"
            class:badge=badge
            data-testid="presence"
            data-presence=move || kind.get().word()
        >
            {move || icon(kind.get()).view()}
            <span class="word">{move || title(kind.get())}</span>
            <span class="since tabular">
                {move || lasting(&presence.get(), exact.get(), now.get(), clock::moment)}
            </span>
        </span>
    }
}

/// How long, and what to expect: `3 min`, `since before 20:52`, `wakes in 8 s`, `silent for 45 s`.
/// `moment` writes a time as the reader's clock shows it, given the time now.
pub fn lasting(
    presence: &Presence,
    exact: bool,
    now: Timestamp,
    moment: fn(Timestamp, Timestamp) -> String,
) -> String {
    let since = presence.since();
    let held = format::duration(now.ms_since(since));
    match presence {
        Presence::Sleeping {
            wakes_about: Some(wakes),
            ..
        } => match wakes.ms_since(now) {
            left @ 1_000.. => format!("wakes in {}", format::duration(left)),
            _ => "wakes about now".to_owned(),
        },
        Presence::Stale { last_seen, .. } => {
            format!("silent for {}", format::duration(now.ms_since(*last_seen)))
        }
        Presence::Online { .. }
        | Presence::Offline { .. }
        | Presence::Sleeping { .. }
        | Presence::Unknown { .. } => match held.as_str() {
            _ if !exact => format!("since before {}", moment(since, now)),
            "now" => "just now".to_owned(),
            _ => held,
        },
    }
}

/// The reason for the presence, where it is known: `signed out, or its will did`.
pub const fn reason(presence: &Presence) -> Option<&'static str> {
    match presence {
        Presence::Offline { reason, .. } => Some(reason.message()),
        Presence::Unknown { reason, .. } => Some(reason.message()),
        Presence::Online { .. } | Presence::Sleeping { .. } | Presence::Stale { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::OfflineReason;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn moment(at: Timestamp, _now: Timestamp) -> String {
        format!("0:{:02}", at.0 / 60_000)
    }

    fn ago(ms: i64) -> Timestamp {
        NOW.plus_ms(-ms)
    }

    #[test]
    fn each_presence_has_a_shape_of_its_own() {
        for (index, kind) in PresenceKind::ALL.into_iter().enumerate() {
            for other in &PresenceKind::ALL[index + 1..] {
                assert_ne!(icon(kind), icon(*other));
            }
        }
    }

    #[test]
    fn how_long_is_said_only_as_well_as_it_is_known() {
        let online = Presence::Online { since: ago(65_000) };
        assert_eq!(lasting(&online, true, NOW, moment), "1 min");
        assert_eq!(lasting(&online, false, NOW, moment), "since before 0:15");
        let fresh = Presence::Online { since: NOW };
        assert_eq!(lasting(&fresh, true, NOW, moment), "just now");
        assert_eq!(lasting(&fresh, false, NOW, moment), "since before 0:16");
    }

    #[test]
    fn sleepers_and_the_silent_say_what_matters() {
        let sleeping = |wakes_about| Presence::Sleeping {
            since: ago(4_000),
            wakes_about,
        };
        assert_eq!(
            lasting(&sleeping(Some(ago(-8_500))), true, NOW, moment),
            "wakes in 8 s"
        );
        assert_eq!(
            lasting(&sleeping(Some(ago(3_000))), true, NOW, moment),
            "wakes about now"
        );
        assert_eq!(lasting(&sleeping(None), true, NOW, moment), "4 s");
        let stale = Presence::Stale {
            since: ago(5_000),
            last_seen: ago(45_000),
        };
        assert_eq!(lasting(&stale, true, NOW, moment), "silent for 45 s");
        let offline = Presence::Offline {
            since: NOW,
            reason: OfflineReason::SaidSo,
        };
        assert!(reason(&offline).is_some() && reason(&stale).is_none());
    }
}
