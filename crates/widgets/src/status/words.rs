//! What the element says.

use alloc::borrow::ToOwned as _;
use alloc::string::String;

use fleet::{Presence, PresenceKind, Timestamp};

use crate::hub::DeviceState;

/// Nothing was heard of the device on this connection.
const NO_WORD: &str = "no word from it yet";

/// What is shown: a shape, a word, and more for those who want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// The state's name, which decides shape and colour and is a name of the part too: a presence's
    /// word, `connecting`, `lost` or `problem`.
    pub(crate) shape: &'static str,
    /// The presence in one word.
    pub(crate) word: &'static str,
    /// Since when and why; may be empty.
    pub(crate) detail: String,
}

impl Words {
    /// The words for what is known now.
    pub(crate) fn of(state: DeviceState, clock_time: &dyn Fn(Timestamp) -> String) -> Self {
        let (shape, word, detail) = match state {
            DeviceState::Connecting => ("connecting", "connecting", String::new()),
            DeviceState::Refused => (
                "problem",
                "no access",
                "the broker refused this page".to_owned(),
            ),
            DeviceState::Forbidden => (
                "problem",
                "no access",
                "the broker does not let this page follow it".to_owned(),
            ),
            DeviceState::Lost(PresenceKind::Unknown) => ("lost", "no connection", String::new()),
            DeviceState::Lost(before) => {
                let detail = ["was ", before.word()].concat();
                ("lost", "no connection", detail)
            }
            DeviceState::Silent => ("unknown", "unknown", NO_WORD.to_owned()),
            DeviceState::Known { presence, exact } => {
                let word = presence.kind().word();
                (word, word, detail(&presence, exact, clock_time))
            }
        };
        Self {
            shape,
            word,
            detail,
        }
    }

    /// The attributes name nothing that could be followed.
    pub(crate) const fn problem(message: String) -> Self {
        Self {
            shape: "problem",
            word: "not set up",
            detail: message,
        }
    }
}

fn detail(presence: &Presence, exact: bool, clock_time: &dyn Fn(Timestamp) -> String) -> String {
    let earlier = if exact { "" } else { " or earlier" };
    let (more, at) = match presence {
        Presence::Unknown { .. } => return NO_WORD.to_owned(),
        Presence::Stale { last_seen, .. } => {
            return ["last heard of at ", &clock_time(*last_seen)].concat();
        }
        Presence::Offline { reason, .. } => (", ", reason.message().to_owned()),
        Presence::Sleeping {
            wakes_about: Some(wakes),
            ..
        } => (", wakes about ", clock_time(*wakes)),
        Presence::Online { .. }
        | Presence::Sleeping {
            wakes_about: None, ..
        } => ("", String::new()),
    };
    ["since ", &clock_time(presence.since()), earlier, more, &at].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use fleet::{OfflineReason, UnknownReason};

    fn words(state: DeviceState) -> Words {
        Words::of(state, &|at| format!("t{}", at.0))
    }

    #[test]
    fn each_presence_says_since_when_and_why() {
        let since = Timestamp(5);
        for (presence, expected) in [
            (Presence::Online { since }, ("online", "since t5")),
            (
                Presence::Unknown {
                    since,
                    reason: UnknownReason::Unseen,
                },
                ("unknown", "no word from it yet"),
            ),
            (
                Presence::Offline {
                    since,
                    reason: OfflineReason::KeepAliveTimeout,
                },
                ("offline", "since t5, stopped answering"),
            ),
            (
                Presence::Stale {
                    since,
                    last_seen: Timestamp(2),
                },
                ("stale", "last heard of at t2"),
            ),
            (
                Presence::Sleeping {
                    since,
                    wakes_about: None,
                },
                ("sleeping", "since t5"),
            ),
            (
                Presence::Sleeping {
                    since,
                    wakes_about: Some(Timestamp(15)),
                },
                ("sleeping", "since t5, wakes about t15"),
            ),
        ] {
            let exact = true;
            let words = words(DeviceState::Known { presence, exact });
            assert_eq!((words.word, words.detail.as_str()), expected);
            assert_eq!(words.shape, words.word);
        }
    }

    #[test]
    fn what_was_so_when_the_page_came_says_that_it_may_be_older() {
        let presence = Presence::Offline {
            since: Timestamp(5),
            reason: OfflineReason::DidNotWake,
        };
        let exact = false;
        let words = words(DeviceState::Known { presence, exact });
        assert_eq!(words.detail, "since t5 or earlier, did not wake up");
    }

    #[test]
    fn a_lost_connection_says_what_was_known() {
        let lost = words(DeviceState::Lost(PresenceKind::Online));
        assert_eq!((lost.shape, lost.detail.as_str()), ("lost", "was online"));
        let lost = words(DeviceState::Lost(PresenceKind::Unknown));
        assert_eq!((lost.shape, lost.detail.as_str()), ("lost", ""));
    }

    #[test]
    fn no_access_is_told_from_no_word() {
        assert_eq!(words(DeviceState::Refused).shape, "problem");
        assert_eq!(words(DeviceState::Forbidden).word, "no access");
        assert_eq!(words(DeviceState::Silent).word, "unknown");
    }
}
