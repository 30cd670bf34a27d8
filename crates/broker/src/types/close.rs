//! Why the broker closes a connection or refuses something.

use core::fmt;

use mqtt::{ProtocolError, ReasonCode, Utf8String};

use crate::types::{Conn, Limit};

/// Why the broker closes a client whose queue is full: the text of [`CloseCause::Limit`].
pub const TOO_SLOW: &str = "the client takes its messages too slowly";

/// Why the broker closes a connection that sends HTTP: the text of [`ProtocolError::Violation`].
pub const LOOKS_LIKE_HTTP: &str = "this looks like HTTP; this port speaks MQTT";

/// Why the broker closes a connection, and whose connection it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// The client. `None` before an acceptable CONNECT.
    pub client_id: Option<Utf8String>,
    /// What happened.
    pub cause: CloseCause,
}

/// What made the broker close a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// The client sent DISCONNECT.
    Disconnected(ReasonCode),
    /// The client broke the protocol; the error names the rule.
    Protocol(ProtocolError),
    /// The broker refused the CONNECT.
    Refused {
        /// As sent in CONNACK.
        reason_code: ReasonCode,
        /// Why, for the log.
        what: &'static str,
    },
    /// No CONNECT came within [`Limits::connect_timeout`](crate::Limits::connect_timeout).
    ConnectTimeout,
    /// The client was silent for one and a half times its keep alive `[MQTT-3.1.2-22]`.
    KeepAliveTimeout,
    /// Another connection uses the client's identifier `[MQTT-3.1.4-3]`. This is no fault if a
    /// client returns before its old connection is known to be dead. But two clients with the
    /// same identifier close each other for ever, so the log should say so.
    TakenOver {
        /// The other connection. Never tell the client: where the other one connects from is
        /// nobody else's business.
        by: Conn,
    },
    /// One of [`Limits`](crate::Limits) was reached.
    Limit {
        /// As sent in DISCONNECT.
        reason_code: ReasonCode,
        /// Which limit, for the log.
        what: &'static str,
    },
    /// The server shuts down.
    ShuttingDown,
}

/// Why something is not accepted.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason_code: ReasonCode,
    /// For people.
    pub(crate) what: &'static str,
}

/// Why a topic name is refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadTopic {
    /// The limit as the log names it.
    pub(crate) limit: Limit,
    /// For people.
    pub(crate) what: &'static str,
}

impl CloseCause {
    /// Whether the client did something wrong, which the log should report.
    pub const fn is_fault(&self) -> bool {
        match self {
            Self::Protocol(_)
            | Self::Refused { .. }
            | Self::ConnectTimeout
            | Self::KeepAliveTimeout
            | Self::Limit { .. } => true,
            Self::Disconnected(_) | Self::TakenOver { .. } | Self::ShuttingDown => false,
        }
    }

    /// The reason code that version 5 has for this cause.
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Disconnected(reason_code)
            | Self::Refused { reason_code, .. }
            | Self::Limit { reason_code, .. } => *reason_code,
            Self::Protocol(error) => error.reason_code(),
            Self::ConnectTimeout => ReasonCode::MaximumConnectTime,
            Self::KeepAliveTimeout => ReasonCode::KeepAliveTimeout,
            Self::TakenOver { .. } => ReasonCode::SessionTakenOver,
            Self::ShuttingDown => ReasonCode::ServerShuttingDown,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.client_id {
            Some(client_id) => write!(f, "client {client_id:?}: {}", self.cause),
            None => write!(f, "client not yet known: {}", self.cause),
        }
    }
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected(reason_code) => write!(f, "disconnected, {reason_code}"),
            Self::Protocol(ProtocolError::Decode(error)) => {
                write!(f, "broke the protocol, {error} {}", error.kind.rule())
            }
            Self::Protocol(error @ ProtocolError::Violation { .. }) => {
                write!(f, "broke the protocol, {error}")
            }
            Self::Refused { reason_code, what } => write!(f, "refused, {what}: {reason_code}"),
            Self::ConnectTimeout => f.write_str("sent no CONNECT in time"),
            Self::KeepAliveTimeout => {
                f.write_str("silent for one and a half times its keep alive [MQTT-3.1.2-22]")
            }
            Self::TakenOver { .. } => {
                f.write_str("another connection uses its client identifier [MQTT-3.1.4-3]")
            }
            Self::Limit { reason_code, what } => write!(f, "limit reached, {what}: {reason_code}"),
            Self::ShuttingDown => f.write_str("the server shuts down"),
        }
    }
}

/// The cause for a client that broke the rule in `what`.
pub(crate) fn violation(reason_code: mqtt::ReasonCode, what: &'static str) -> CloseCause {
    CloseCause::Protocol(mqtt::ProtocolError::Violation { reason_code, what })
}
