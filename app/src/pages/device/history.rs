//! Presence over time: a strip to see, a list to read.

use fleet::{PresenceKind, PresenceSpan, Timestamp};
use leptos::prelude::*;

use super::DeviceSignal;
use crate::components::clock;
use crate::components::icon::Icon;
use crate::components::presence::{icon, reason, title};
use crate::state::{AppState, format};

/// The width of the strip's coordinates; the style sheet stretches it.
const STRIP: f64 = 1_000.0;
/// The least width of a bar: even a presence of seconds is visible on a strip of days.
const LEAST: f64 = 3.0;
/// The strip shows at least this time, in milliseconds. Otherwise a device that came a second ago
/// would seem to have been online all the time.
const SHORTEST_MS: i64 = 60_000;

/// What was seen of the device's presence.
// Long because it is one piece of markup, after the closures that fill its places.
#[component]
pub fn PresenceHistory(
    /// The device.
    device: DeviceSignal,
) -> impl IntoView {
    let now = AppState::expect().now();
    let history = Memo::new(move |_| {
        device.with(|device| {
            device
                .as_ref()
                .map(|device| device.history.clone())
                .unwrap_or_default()
        })
    });
    let strip = move || {
        let now = now.get();
        history.with(|history| {
            bars(history, now)
                .into_iter()
                .map(|bar| {
                    view! {
                        <rect
                            data-presence=bar.kind.word()
                            x=format!("{:.2}", bar.x)
                            width=format!("{:.2}", bar.width)
                            y=bar.y().to_string()
                            height=(HEIGHT - bar.y()).to_string()
                        />
                    }
                })
                .collect_view()
        })
    };
    let began = move || {
        let now = now.get();
        history.with(|history| format::ago(now.ms_since(start(history, now))))
    };
    let lines = move || {
        history
            .get()
            .into_iter()
            .enumerate()
            .map(|(index, span)| {
                let presence = span.presence;
                let ended = move || {
                    // The newest span comes first, so the span that followed stands before this
                    // one.
                    index.checked_sub(1).and_then(|next| {
                        history.with(|history| history.get(next).map(|span| span.presence.since()))
                    })
                };
                let when = move || {
                    let until = ended().unwrap_or_else(|| now.get());
                    let lasted = until.ms_since(presence.since());
                    when(&clock::time_of_day(presence.since()), lasted, span.exact)
                };
                view! {
                    <li data-presence=presence.kind().word()>
                        <span class="presence">
                            {icon(presence.kind()).view()} <span>{title(presence.kind())}</span>
                        </span>
                        <span class="why">{reason(&presence)}</span>
                        <span class="when">{when}</span>
                    </li>
                }
            })
            .collect_view()
    };
    view! {
        <section class="panel" aria-labelledby="history-title" data-testid="presence-history">
            <div class="panel-head">
                <h2 id="history-title">"Presence"</h2>
            </div>
            <div class="panel-body">
                <svg
                    class="timeline"
                    viewBox=format!("0 0 {STRIP} {HEIGHT}")
                    preserveAspectRatio="none"
                    aria-hidden="true"
                >
                    {strip}
                </svg>
                <p class="timeline-axis" aria-hidden="true">
                    <span>{began}</span>
                    <span>"now"</span>
                </p>
                <ol class="history" tabindex="0" aria-label="Presence, newest first">
                    {lines}
                </ol>
                <details class="meanings">
                    <summary>
                        {Icon::ChevronRight.view()} "What the words mean"
                    </summary>
                    <dl class="facts-list">
                        {PresenceKind::ALL
                            .map(|kind| {
                                view! {
                                    <dt data-presence=kind.word()>
                                        <span class="presence">
                                            {icon(kind).view()} {title(kind)}
                                        </span>
                                    </dt>
                                    <dd>{crate::components::presence::meaning(kind)}</dd>
                                }
                            })
                            .collect_view()}
                    </dl>
                </details>
            </div>
        </section>
    }
}

/// The strip's height. Each kind of presence has a bar of its own height on it, because colour
/// alone must not be what distinguishes them.
const HEIGHT: u32 = 28;

/// The bar on the strip for a time in which the presence did not change.
#[derive(Copy, Clone, Debug, PartialEq)]
struct Bar {
    kind: PresenceKind,
    x: f64,
    width: f64,
}

impl Bar {
    const fn y(self) -> u32 {
        match self.kind {
            PresenceKind::Online => 0,
            PresenceKind::Sleeping => 9,
            PresenceKind::Stale => 14,
            PresenceKind::Unknown => 19,
            PresenceKind::Offline => 23,
        }
    }
}

/// Where the strip begins.
fn start(history: &[PresenceSpan], now: Timestamp) -> Timestamp {
    let first = history.last().map_or(now, |span| span.presence.since());
    first.min(now.plus_ms(-SHORTEST_MS))
}

/// `history` is newest first.
fn bars(history: &[PresenceSpan], now: Timestamp) -> Vec<Bar> {
    let start = start(history, now);
    #[allow(clippy::cast_precision_loss)] // Milliseconds of an afternoon, drawn on pixels.
    let x = |at: Timestamp| {
        let (part, whole) = (at.ms_since(start) as f64, now.ms_since(start) as f64);
        (part / whole.max(1.0)).clamp(0.0, 1.0) * STRIP
    };
    let mut until = now;
    history
        .iter()
        .map(|span| {
            let (from, to) = (x(span.presence.since()), x(until));
            until = span.presence.since();
            let width = (to - from).max(LEAST);
            Bar {
                kind: span.presence.kind(),
                x: from.min(STRIP - width),
                width,
            }
        })
        .collect()
}

/// When a presence began and how long it lasted. How long is unknown if its beginning is.
fn when(began: &str, lasted_ms: i64, exact: bool) -> String {
    if !exact {
        return format!("since before {began}");
    }
    match format::duration(lasted_ms) {
        text if text == "now" => format!("{began} · <1 s"),
        text => format!("{began} · {text}"),
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Whole numbers.
mod tests {
    use super::*;
    use fleet::{OfflineReason, Presence};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn span(presence: Presence) -> PresenceSpan {
        PresenceSpan {
            presence,
            exact: true,
        }
    }

    #[test]
    fn bars_fill_the_strip_from_the_first_to_now() {
        let history = [
            span(Presence::Online {
                since: NOW.plus_ms(-30_000),
            }),
            span(Presence::Offline {
                since: NOW.plus_ms(-120_000),
                reason: OfflineReason::SaidSo,
            }),
        ];
        let bars = bars(&history, NOW);
        assert_eq!(bars[0].kind, PresenceKind::Online);
        assert_eq!((bars[0].x, bars[0].width), (750.0, 250.0));
        assert_eq!((bars[1].x, bars[1].width), (0.0, 750.0));
    }

    #[test]
    fn a_moment_is_still_seen_and_stays_on_the_strip() {
        let history = [span(Presence::Online { since: NOW })];
        let bars = bars(&history, NOW);
        assert_eq!((bars[0].x, bars[0].width), (STRIP - LEAST, LEAST));
    }

    #[test]
    fn an_unknown_beginning_has_no_length() {
        assert_eq!(when("20:52:11", 12_000, true), "20:52:11 · 12 s");
        assert_eq!(when("20:52:11", 300, true), "20:52:11 · <1 s");
        assert_eq!(when("20:52:11", 12_000, false), "since before 20:52:11");
    }

    #[test]
    fn no_history_no_bars() {
        assert!(bars(&[], NOW).is_empty());
        assert_eq!(start(&[], NOW), NOW.plus_ms(-SHORTEST_MS));
    }
}
