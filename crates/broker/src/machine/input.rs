//! What the shell tells the broker.

use bytes::Bytes;
use mqtt::ReasonCode;

use crate::types::{Conn, Lsn, Peer, Principal, StoreState};

/// What a shell found out about a client's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may connect, and do what the principal may.
    Accept(Principal),
    /// It may not. The code goes into CONNACK: one of the standard's CONNACK reason codes
    /// from 0x80 on, as a rule [`ReasonCode::BadUserNameOrPassword`] or
    /// [`ReasonCode::NotAuthorized`].
    Refuse(ReasonCode),
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
    /// The time that [`Output::Idle`](crate::Output::Idle) named has come. Harmless if early.
    ///
    /// Only this input closes connections for silence: those whose keep alive or whose time limit
    /// for CONNECT is over. So first give the broker what waits in the sockets. A shell that did
    /// not run for a while would otherwise close clients whose packets it has not read yet.
    Timeout,
    /// The server ends: clients are told so, and closed.
    Shutdown,
}
