//! What the broker tells the shell.

use bytes::Bytes;
use mqtt::{Dialect, Instant, ProtocolVersion, Utf8String};

use crate::admission::LimitReached;
use crate::types::{CloseReason, Conn, Lsn, Peer};

/// Something for the shell to do. After every turn (one input or, better, all inputs at hand),
/// poll until [`Output::Idle`].
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// There are bytes for this connection: [`Broker::take_writes`](crate::Broker::take_writes)
    /// gives them all. This output comes once. It comes again only after
    /// [`Input::Drained`](crate::Input::Drained), or for the last bytes before a `Close`.
    Write(Conn),
    /// Write what was taken so far (for a bounded time), then close the connection. The broker
    /// has already forgotten it.
    Close(Conn, Box<CloseReason>),
    /// Decide whether this client may connect, and answer with
    /// [`Input::Authenticated`](crate::Input::Authenticated). Until then the broker keeps
    /// further bytes of the client. This output comes only if
    /// [`BrokerOptions::authenticate`](crate::BrokerOptions::authenticate) is set.
    Authenticate(Conn, Box<Credentials>),
    /// Stop reading this connection until [`Output::Resume`]: its client sends faster than it may,
    /// or faster than the store can follow. The broker still takes bytes that were already read.
    Pause(Conn),
    /// Read from this connection again.
    Resume(Conn),
    /// A client is connected. This output is for the log, and for showing who is there.
    Connected(Conn, Box<ConnectedClient>),
    /// There are records, at least up to this one:
    /// [`Broker::take_journal`](crate::Broker::take_journal) gives them all. Make them durable,
    /// then send [`Input::Persisted`](crate::Input::Persisted). It comes only once until the
    /// records are taken, and only if [`BrokerOptions::durable`](crate::BrokerOptions::durable) is
    /// set.
    Persist(Lsn),
    /// The records before this one are no longer needed: a checkpoint that begins here is
    /// durable. See [`Broker::checkpoint`](crate::Broker::checkpoint).
    Checkpointed(Lsn),
    /// There is something for those who look on: [`Broker::take_tap`](crate::Broker::take_tap) gives
    /// it all. It comes only once until it is taken, and only if
    /// [`BrokerOptions::tap`](crate::BrokerOptions::tap) is set. It does no harm to let it wait: that
    /// makes larger batches.
    Tapped,
    /// A limit was reached. This output is for the log. It comes at most once in five seconds for
    /// each limit.
    Limited(Box<LimitReached>),
    /// Nothing is left to do until the next input, or until this time. Then send
    /// [`Input::Timeout`](crate::Input::Timeout).
    Idle(Option<Instant>),
}

/// What a client presents to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The client identifier that it asked for, or that the broker assigned.
    pub client_id: Utf8String,
    /// The user name in CONNECT.
    pub user_name: Option<Utf8String>,
    /// The password in CONNECT.
    pub password: Option<Bytes>,
    /// The protocol version in CONNECT.
    pub version: ProtocolVersion,
    /// The other end of its connection.
    pub peer: Peer,
}

/// A client that has connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedClient {
    /// The client identifier that it asked for, or that the broker assigned.
    pub client_id: Utf8String,
    /// The user name in CONNECT.
    pub user_name: Option<Utf8String>,
    /// The protocol version in CONNECT.
    pub version: ProtocolVersion,
    /// Whether it speaks MQTT 3.1, and whether it is a bridge.
    pub dialect: Dialect,
    /// The name of its principal, if it has one.
    pub principal: Option<Utf8String>,
    /// The keep alive in force, in seconds. 0: none.
    pub keep_alive: u16,
    /// Whether it resumed an earlier session `[MQTT-3.2.2-3]`.
    pub session_present: bool,
    /// The session expiry interval in force, in seconds. `u32::MAX`: for ever.
    pub session_expiry_interval: u32,
    /// The other end of its connection.
    pub peer: Peer,
}
