//! What the broker tells the shell.

use bytes::Bytes;
use mqtt::{Instant, ProtocolVersion, Utf8String};

use crate::admission::LimitReached;
use crate::types::{CloseReason, Conn, Lsn, Peer};

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
    /// Who the client turned out to be, if it has a name.
    pub principal: Option<Utf8String>,
    /// In force, in seconds; 0: none.
    pub keep_alive: u16,
    /// Whether an earlier session goes on `[MQTT-3.2.2-3]`.
    pub session_present: bool,
    /// In force, in seconds; `u32::MAX`: for ever.
    pub session_expiry_interval: u32,
    /// Where it comes from.
    pub peer: Peer,
}
