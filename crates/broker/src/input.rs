//! What the shell tells the broker.

use core::net::SocketAddr;

use bytes::Bytes;
use mqtt::ReasonCode;

use crate::output::{Lsn, ShardId, ShardMessage};

/// A network connection: a number that the shell gives and never gives again.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conn(pub u64);

/// Who is at the other end of a connection, as far as the network knows.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address; `None` where there is none (an in-process client, a test).
    pub address: Option<SocketAddr>,
    /// How it came.
    pub transport: Transport,
}

/// How a client is connected.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// MQTT over TCP.
    Tcp,
    /// MQTT over TLS.
    Tls,
    /// MQTT over WebSocket.
    WebSocket,
    /// MQTT over WebSocket over TLS.
    SecureWebSocket,
    /// No network at all.
    Memory,
}

impl Peer {
    /// A peer without a network: simulations, clients in the same process.
    pub const MEMORY: Self = Self {
        address: None,
        transport: Transport::Memory,
    };
}

/// What a shell found out about a client's credentials.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may connect.
    Accept,
    /// It may not. The code goes into CONNACK: one of the standard's CONNACK reason codes
    /// from 0x80 on, as a rule [`ReasonCode::BadUserNameOrPassword`] or
    /// [`ReasonCode::NotAuthorized`].
    Refuse(ReasonCode),
}

/// Whether the store of records has room.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreState {
    /// It has.
    #[default]
    Ready,
    /// It has a reserve left, enough for the small records that end something. What would
    /// promise something new is refused: `QoS` 1 and 2 messages, subscriptions and sessions
    /// that outlive a connection. `QoS` 0 goes on. Nothing of size that a client can cause is
    /// recorded: a retained message of `QoS` 0 and the will of a client that is let in stay in
    /// memory until there is room again, and a will that is due, and would have to be stored, is
    /// published with `QoS` 0.
    Full,
}

/// Something has happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection is there; its CONNECT is awaited.
    Opened(Conn, Peer),
    /// The peer has sent these bytes, in any split.
    Bytes(Conn, Bytes),
    /// The connection is gone without the broker's doing. Not needed after
    /// [`Output::Close`](crate::Output::Close), and harmless there.
    Closed(Conn),
    /// What [`Broker::take_writes`](crate::Broker::take_writes) gave has been written to the
    /// socket: there may be more. Until then the broker bounds what it holds for the
    /// connection.
    Drained(Conn),
    /// The answer to [`Output::Authenticate`](crate::Output::Authenticate).
    Authenticated(Conn, Decision),
    /// All records up to and including this one are durable. What
    /// [`Broker::take_journal`](crate::Broker::take_journal) gave at once counts as durable
    /// when its last record is.
    Persisted(Lsn),
    /// The store of records can take more, or cannot.
    Store(StoreState),
    /// So much room the store has: see [`Broker::spare_room`](crate::Broker::spare_room). Until
    /// this comes there is no end to it.
    StoreRoom {
        /// Bytes that can be written behind what is durable, as of the last
        /// [`Persisted`](Self::Persisted) or later.
        bytes: u64,
        /// The records before this one have been removed.
        from: Lsn,
    },
    /// Another shard says something.
    FromShard(ShardId, ShardMessage),
    /// The time that [`Output::Idle`](crate::Output::Idle) named has come. Harmless if early.
    Timeout,
    /// The server ends: clients are told so, and closed.
    Shutdown,
}
