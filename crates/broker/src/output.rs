//! What the broker tells the shell.

use core::fmt;

use bytes::Bytes;
use mqtt::{DecodeErrorKind, Instant, ProtocolError, ProtocolVersion, ReasonCode, Utf8String};

use crate::bites::LimitReached;
use crate::input::{Conn, Peer};

/// Why a client is closed whose queue is full: the text of [`CloseCause::Limit`].
pub const TOO_SLOW: &str = "the client takes its messages too slowly";

/// What is said of bytes that look like HTTP: the text of [`ProtocolError::Violation`].
pub const LOOKS_LIKE_HTTP: &str = "this looks like HTTP; this port speaks MQTT";

/// The place of a record in the order of all records, from 1 on, without gaps.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// One of the brokers that share a server's clients among them.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// What shards say to each other. One shard has nobody to talk to, so there is no such
/// message yet, and the type makes sure that nobody waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardMessage {}

/// Something for the shell to do. Poll until [`Output::Idle`] comes, after every turn (one
/// input or, better, all that is at hand).
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// There are bytes for this connection: [`Broker::take_writes`](crate::Broker::take_writes)
    /// gives them all. Comes once, and again only after
    /// [`Input::Drained`](crate::Input::Drained), or as the last word before a `Close`.
    Write(Conn),
    /// Write what was taken so far (for a bounded time), then close the connection. The broker
    /// knows it no longer.
    Close(Conn, Box<CloseReason>),
    /// May this client connect? Answer with
    /// [`Input::Authenticated`](crate::Input::Authenticated); the client's further bytes wait.
    /// Only if [`BrokerOptions::authenticate`](crate::BrokerOptions::authenticate) is set.
    Authenticate(Conn, Box<Credentials>),
    /// Read nothing from this connection until [`Output::Resume`]: its client publishes too
    /// fast. What has been read already may still be given to the broker.
    Pause(Conn),
    /// Read from this connection again.
    Resume(Conn),
    /// A client is connected: for the log, and for presence.
    Connected(Conn, Box<ConnectedClient>),
    /// There are records, up to this one at least:
    /// [`Broker::take_journal`](crate::Broker::take_journal) gives them all. Make them
    /// durable, then say [`Input::Persisted`](crate::Input::Persisted). Comes once, until they
    /// are taken, and only if [`BrokerOptions::durable`](crate::BrokerOptions::durable) is set.
    Persist(Lsn),
    /// All records before this one are no longer needed: a copy of all that matters, which
    /// begins here, is durable. See [`Broker::checkpoint`](crate::Broker::checkpoint).
    Checkpointed(Lsn),
    /// A limit was reached: for the log. Comes at most once in five seconds for each limit.
    Limited(Box<LimitReached>),
    /// For another shard.
    ToShard(ShardId, ShardMessage),
    /// Nothing more to do until some input, or until this time, at which
    /// [`Input::Timeout`](crate::Input::Timeout) is due.
    Idle(Option<Instant>),
}

/// What a client says to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// As it asked for, or as the broker assigned.
    pub client_id: Utf8String,
    /// From CONNECT.
    pub user_name: Option<Utf8String>,
    /// From CONNECT.
    pub password: Option<Bytes>,
    /// From CONNECT.
    pub version: ProtocolVersion,
    /// Where it comes from.
    pub peer: Peer,
}

/// Who has connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedClient {
    /// As it asked for, or as the broker assigned.
    pub client_id: Utf8String,
    /// From CONNECT.
    pub user_name: Option<Utf8String>,
    /// From CONNECT.
    pub version: ProtocolVersion,
    /// In force, in seconds; 0: none.
    pub keep_alive: u16,
    /// Whether an earlier session goes on `[MQTT-3.2.2-3]`.
    pub session_present: bool,
    /// In force, in seconds; `u32::MAX`: for ever.
    pub session_expiry_interval: u32,
    /// Where it comes from.
    pub peer: Peer,
}

/// Why the broker closes a connection, and whose it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// Unknown before an acceptable CONNECT.
    pub client_id: Option<Utf8String>,
    /// What happened.
    pub cause: CloseCause,
}

/// What made the broker close a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// The client said DISCONNECT.
    Disconnected(ReasonCode),
    /// The client broke the protocol; the error names the rule.
    Protocol(ProtocolError),
    /// CONNECT was refused with this code.
    Refused {
        /// As sent in CONNACK.
        reason_code: ReasonCode,
        /// Why, for the log.
        what: &'static str,
    },
    /// No CONNECT came within [`Limits::connect_timeout`](crate::Limits::connect_timeout).
    ConnectTimeout,
    /// Silence for one and a half times the keep alive `[MQTT-3.1.2-22]`.
    KeepAliveTimeout,
    /// Another connection uses the client's identifier `[MQTT-3.1.4-3]`. No fault where a client
    /// comes back before its old connection is known to be dead, but two that have the same
    /// identifier close each other for ever: the log should say so.
    TakenOver {
        /// The other one. Not for the client: where it comes from is nobody else's affair.
        by: Conn,
    },
    /// One of [`Limits`](crate::Limits) was reached.
    Limit {
        /// As sent in DISCONNECT.
        reason_code: ReasonCode,
        /// Which limit, for the log.
        what: &'static str,
    },
    /// The server ends.
    ShuttingDown,
}

impl CloseCause {
    /// Whether the client did something wrong, so that the log should say so.
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

    /// The reason code that version 5 has for this.
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
            Self::Protocol(ProtocolError::Decode(error))
                if error.kind == DecodeErrorKind::OldProtocolName =>
            {
                f.write_str("MQTT 3.1 is not supported, let it speak 3.1.1 or 5 [MQTT-3.1.2-1]")
            }
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
