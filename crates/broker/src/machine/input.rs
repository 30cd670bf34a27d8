//! What the shell tells the broker.

use bytes::Bytes;
use mqtt::ReasonCode;

use crate::types::{Conn, Lsn, Peer, Principal, StoreState};

/// What the shell decided about a client's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The client may connect, and do what the principal may.
    Accept(Principal),
    /// The client may not connect. The code goes into CONNACK. It is one of the standard's
    /// CONNACK reason codes from 0x80 on, usually [`ReasonCode::BadUserNameOrPassword`] or
    /// [`ReasonCode::NotAuthorized`].
    Refuse(ReasonCode),
}

/// Something has happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// A connection was opened. Its number must never have been used before.
    Opened(Conn, Peer),
    /// The peer has sent these bytes, in any split.
    Bytes(Conn, Bytes),
    /// The connection is gone, and not because the broker closed it. This input is not needed after
    /// [`Output::Close`](crate::Output::Close), but does no harm there.
    Closed(Conn),
    /// The bytes from [`Broker::take_writes`](crate::Broker::take_writes) have been written to
    /// the socket, which can take more. Until then the broker bounds what it holds for the
    /// connection.
    Drained(Conn),
    /// The answer to [`Output::Authenticate`](crate::Output::Authenticate).
    Authenticated(Conn, Decision),
    /// All records up to and including this one are durable. The records from one call of
    /// [`Broker::take_journal`](crate::Broker::take_journal) count as durable together, once the
    /// last of them is durable.
    Persisted(Lsn),
    /// The store can take more records, or cannot.
    Store(StoreState),
    /// How much room the store has: see [`Broker::spare_room`](crate::Broker::spare_room). Until
    /// the first of these inputs the broker assumes that there is no limit.
    StoreRoom {
        /// Bytes that can be written after the last durable record, as of the last
        /// [`Persisted`](Self::Persisted) or later.
        bytes: u64,
        /// The records before this one have been removed.
        from: Lsn,
    },
    /// The time that [`Output::Idle`](crate::Output::Idle) named has come. Harmless if early.
    ///
    /// Only this input closes silent connections: those whose keep alive has passed, or whose
    /// client has taken too long to send CONNECT. Only it ends sessions whose clients stay away, and
    /// publishes delayed wills. So first give the broker what waits in the sockets. A shell that did
    /// not run for a while would otherwise punish clients whose packets it has not read yet. Call [`Broker::handle_input`](crate::Broker::handle_input) with the time at
    /// which that reading began, even if inputs with later times have come since.
    Timeout,
    /// The server shuts down: the broker tells all clients and closes their connections.
    Shutdown,
}
