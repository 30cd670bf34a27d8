//! What the element says.

use fleet::{Presence, PresenceKind, Timestamp};

use crate::hub::Sight;

/// What is shown: a shape, a word, and more for those who want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// The shape and colour: a presence's word, `connecting`, `lost` or `problem`.
    pub(crate) shape: &'static str,
    /// The one word.
    pub(crate) word: &'static str,
    /// Since when and why; may be empty.
    pub(crate) detail: String,
    /// The last presence that was known, for when the connection is lost.
    known: Option<&'static str>,
}

impl Words {
    /// For what is seen now; `before` is what was said last.
    pub(crate) fn of(
        sight: Sight,
        before: Option<&Self>,
        clock_time: &dyn Fn(Timestamp) -> String,
    ) -> Self {
        let known = before.and_then(|words| words.known);
        let plain = |shape, word, detail: &str| Self {
            shape,
            word,
            detail: detail.to_owned(),
            known,
        };
        match sight {
            Sight::Connecting => plain("connecting", "connecting", ""),
            Sight::Refused => plain("problem", "no access", "the broker refused this page"),
            Sight::Lost => {
                let detail = known.map_or(String::new(), |known| format!("was {known}"));
                Self {
                    detail,
                    ..plain("lost", "no connection", "")
                }
            }
            Sight::Silent => plain("unknown", "unknown", "no word from it yet"),
            Sight::Known(presence) => Self::known(&presence, clock_time),
        }
    }

    /// The attributes name nothing that could be followed.
    pub(crate) fn problem(message: String) -> Self {
        Self {
            shape: "problem",
            word: "not set up",
            detail: message,
            known: None,
        }
    }

    fn known(presence: &Presence, clock_time: &dyn Fn(Timestamp) -> String) -> Self {
        let since = format!("since {}", clock_time(presence.since()));
        let detail = match presence {
            Presence::Online { .. }
            | Presence::Unknown { .. }
            | Presence::Sleeping {
                wakes_about: None, ..
            } => since,
            Presence::Offline { reason, .. } => format!("{since}, {}", reason.message()),
            Presence::Sleeping {
                wakes_about: Some(wakes),
                ..
            } => {
                format!("{since}, wakes about {}", clock_time(*wakes))
            }
            Presence::Stale { last_seen, .. } => {
                format!("last heard of at {}", clock_time(*last_seen))
            }
        };
        let word = presence.kind().word();
        let known = (presence.kind() != PresenceKind::Unknown).then_some(word);
        Self {
            shape: word,
            word,
            detail,
            known,
        }
    }

    /// The whole as one sentence.
    pub(crate) fn sentence(&self, name: &str) -> String {
        let colon = if name.is_empty() { "" } else { ": " };
        let space = if self.detail.is_empty() { "" } else { ", " };
        format!("{name}{colon}{}{space}{}", self.word, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::OfflineReason;

    fn words(sight: Sight, before: Option<&Words>) -> Words {
        Words::of(sight, before, &|at| format!("t{}", at.0))
    }

    #[test]
    fn each_presence_says_since_when_and_why() {
        let since = Timestamp(5);
        let online = words(Sight::Known(Presence::Online { since }), None);
        assert_eq!(online.sentence("door"), "door: online, since t5");
        let offline = Presence::Offline {
            since,
            reason: OfflineReason::KeepAliveTimeout,
        };
        let offline = words(Sight::Known(offline), None);
        assert_eq!(offline.sentence(""), "offline, since t5, stopped answering");
        let stale = Presence::Stale {
            since,
            last_seen: Timestamp(2),
        };
        assert_eq!(
            words(Sight::Known(stale), None).detail,
            "last heard of at t2"
        );
        let asleep = Presence::Sleeping {
            since,
            wakes_about: Some(Timestamp(15)),
        };
        assert_eq!(
            words(Sight::Known(asleep), None).detail,
            "since t5, wakes about t15"
        );
    }

    #[test]
    fn a_lost_connection_says_what_was_known_until_there_is_news() {
        let online = words(
            Sight::Known(Presence::Online {
                since: Timestamp(5),
            }),
            None,
        );
        let lost = words(Sight::Lost, Some(&online));
        assert_eq!((lost.shape, lost.detail.as_str()), ("lost", "was online"));
        let still = words(Sight::Lost, Some(&lost));
        assert_eq!(still, lost);
        let unknown = words(
            Sight::Known(Presence::Unknown {
                since: Timestamp(6),
            }),
            Some(&still),
        );
        assert_eq!(words(Sight::Lost, Some(&unknown)).detail, "");
    }
}
