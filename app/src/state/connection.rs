//! What the page says about the connection.

use link::TransportFailure;
use mqtt::client::State;
use mqtt::{Instant, ProtocolVersion};

/// The connection, as the page shows it at all times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionView {
    /// The first attempt, or one after a wait, is under way.
    Connecting {
        /// How many attempts have failed before.
        attempt: u32,
    },
    /// Connected: the screen is up to date.
    Live {
        /// The protocol version.
        version: ProtocolVersion,
        /// What is missing nevertheless: the broker refused a subscription.
        notice: Option<String>,
    },
    /// Not connected; the page tries again by itself.
    Reconnecting {
        /// Seconds until the next attempt.
        in_seconds: u32,
        /// How many attempts have failed.
        attempt: u32,
        /// Why there is no connection.
        why: String,
        /// What can be tried.
        advice: Option<String>,
    },
    /// The broker wants a user name and a password; see
    /// [`AppState::log_in`](super::AppState::log_in).
    CredentialsNeeded {
        /// Whether those that were given are wrong or not enough.
        refused: bool,
    },
    /// The page does not try again by itself.
    Stopped {
        /// Why.
        why: String,
        /// What can be tried.
        advice: Option<String>,
    },
}

impl ConnectionView {
    /// Whether what is on the screen is up to date.
    pub const fn is_live(&self) -> bool {
        matches!(self, Self::Live { .. })
    }

    /// One or two words: `live`, `connecting`, `reconnecting`, `log in`, `stopped`.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Connecting { .. } => "connecting",
            Self::Live { .. } => "live",
            Self::Reconnecting { .. } => "reconnecting",
            Self::CredentialsNeeded { .. } => "log in",
            Self::Stopped { .. } => "stopped",
        }
    }

    /// What the client's state means to people. `failure` is the last failure of the socket.
    /// `notice` is shown while connected. `logged_in` says whether credentials were given.
    pub fn new(
        now: Instant,
        state: &State,
        failure: Option<&TransportFailure>,
        notice: Option<&str>,
        logged_in: bool,
    ) -> Self {
        match state {
            State::Opening { attempt, .. } | State::Connecting { attempt, .. } => {
                Self::Connecting { attempt: *attempt }
            }
            State::Connected { version, .. } => Self::Live {
                version: *version,
                notice: notice.map(str::to_owned),
            },
            State::Waiting {
                until,
                attempt,
                why,
            } => {
                let left = until.saturating_since(now);
                let in_seconds = left.as_millis().div_ceil(1_000);
                Self::Reconnecting {
                    in_seconds: u32::try_from(in_seconds).unwrap_or(u32::MAX),
                    attempt: *attempt,
                    why: failure.map_or_else(|| why.to_string(), TransportFailure::to_string),
                    advice: failure.and_then(TransportFailure::advice),
                }
            }
            State::CredentialsNeeded { .. } => Self::CredentialsNeeded { refused: logged_in },
            State::Stopped { why } => Self::Stopped {
                why: why.to_string(),
                advice: None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use link::PageAddress;
    use mqtt::ReasonCode;
    use mqtt::client::DisconnectCause;

    #[test]
    fn a_wait_counts_down_and_says_why() {
        let page = PageAddress {
            secure: false,
            own_broker: "http://h/mqtt".to_owned(),
        };
        let failure = TransportFailure {
            url: page.broker_url(None).unwrap(),
            was_open: false,
            code: 1006,
            reason: String::new(),
        };
        let state = State::Waiting {
            until: Instant::from_millis(5_000),
            attempt: 2,
            why: DisconnectCause::TransportNotOpened,
        };
        let at = |millis| {
            ConnectionView::new(
                Instant::from_millis(millis),
                &state,
                Some(&failure),
                None,
                false,
            )
        };
        let ConnectionView::Reconnecting {
            in_seconds,
            why,
            advice,
            ..
        } = at(3_900)
        else {
            panic!("not reconnecting");
        };
        assert_eq!(in_seconds, 2);
        assert_eq!(why, "ws://h/mqtt cannot be reached");
        assert!(advice.is_some());
        assert_eq!(at(3_900), at(3_100), "changes once a second");
        assert_ne!(at(3_900), at(4_100));
    }

    #[test]
    fn a_broker_that_only_wants_to_know_who_is_there_refuses_nothing_yet() {
        let view = |reason_code, logged_in| {
            let state = State::CredentialsNeeded { reason_code };
            ConnectionView::new(Instant::ZERO, &state, None, None, logged_in)
        };
        let refused = |view| matches!(view, ConnectionView::CredentialsNeeded { refused: true });
        assert!(!refused(view(ReasonCode::NotAuthorized, false)));
        assert!(refused(view(ReasonCode::NotAuthorized, true)));
    }
}
