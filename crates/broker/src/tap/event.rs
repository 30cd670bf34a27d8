//! What a reader of the tap gets to know.

use mqtt::{Instant, QoS, ReasonCode};

use crate::types::{CloseCause, Conn};

/// Something that has happened in the broker, or, during a resync, something that is there.
///
/// Times are those of the broker's clock. Strings and bytes are slices of the batch.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum TapEvent<'a> {
    /// The broker has accepted a PUBLISH, or has published a will. A `QoS` 2 message comes once. A
    /// topic alias is replaced by the topic.
    Message {
        /// When it was accepted or published.
        at: Instant,
        /// Who published it.
        publisher: Publisher<'a>,
        /// The `QoS` with which it was published.
        qos: QoS,
        /// Whether it was published with RETAIN. Then it takes the place of the retained message of
        /// its topic. An empty payload removes that message `[MQTT-3.3.1-6]`.
        retain: bool,
        /// The topic name, in full.
        topic: &'a str,
        /// The payload.
        payload: &'a [u8],
        /// The Correlation Data (section 3.3.2.3.6), if there is any.
        correlation_data: Option<&'a [u8]>,
    },
    /// A client has connected or, during a resync, is connected.
    Connected {
        /// When it connected. During a resync: now.
        at: Instant,
        /// Its connection. No two connections have the same number.
        conn: Conn,
        /// Its client identifier.
        client_id: &'a str,
        /// Whether it has connected just now. `false`: a resync tells of it, and the reader may know
        /// it already.
        is_news: bool,
    },
    /// A connected client has left. If it leaves a will, the will comes later than this.
    Left {
        /// When its connection ended.
        at: Instant,
        /// Its connection.
        conn: Conn,
        /// Its client identifier.
        client_id: &'a str,
        /// How it left.
        how: Departure,
    },
    /// During a resync: a retained message that the broker has. The reader may know it already.
    Retained {
        /// When the broker received it, perhaps in an earlier run.
        at: Instant,
        /// The client identifier of its publisher.
        publisher: &'a str,
        /// The `QoS` with which it was published.
        qos: QoS,
        /// The topic name.
        topic: &'a str,
        /// The payload, never empty.
        payload: &'a [u8],
        /// The Correlation Data (section 3.3.2.3.6), if there is any.
        correlation_data: Option<&'a [u8]>,
    },
    /// A retained message is gone although nobody removed it: its expiry interval has passed, the
    /// broker had no room for the message that should have taken its place, or that message is too
    /// large for the tap.
    RetainedGone {
        /// When it went.
        at: Instant,
        /// The topic name.
        topic: &'a str,
    },
    /// A resync begins: everything that is there follows, until [`ResyncEnds`](Self::ResyncEnds).
    /// Another `ResyncBegins` may come instead. Then the resync has begun anew.
    ResyncBegins,
    /// The resync is over.
    ResyncEnds,
    /// So many messages were lost during this batch.
    Lost {
        /// How many PUBLISH packets and wills.
        messages: u64,
    },
}

/// Who has published a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Publisher<'a> {
    /// The client of this connection. Its [`TapEvent::Connected`] tells its client identifier.
    Connection(Conn),
    /// Nobody who is still there: the message is the will of the client with this identifier.
    Will(&'a str),
}

/// How a client has left.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Departure {
    /// It sent DISCONNECT and took its will back `[MQTT-3.14.4-3]`.
    Disconnected,
    /// It sent DISCONNECT with a reason code other than 0, so its will stands.
    DisconnectedWithWill,
    /// Its connection ended without DISCONNECT.
    ConnectionLost,
    /// It was silent for one and a half times its keep alive `[MQTT-3.1.2-22]`.
    KeepAliveTimeout,
    /// Another connection uses its client identifier `[MQTT-3.1.4-3]`. That one's
    /// [`TapEvent::Connected`] follows.
    TakenOver,
    /// The broker closed it, because it broke the protocol or reached a limit.
    Dismissed,
    /// The server shuts down.
    ServerShutDown,
}

impl Departure {
    pub(crate) fn of(cause: &CloseCause) -> Self {
        match cause {
            CloseCause::Disconnected(ReasonCode::Success) => Self::Disconnected,
            CloseCause::Disconnected(_) => Self::DisconnectedWithWill,
            CloseCause::KeepAliveTimeout => Self::KeepAliveTimeout,
            CloseCause::TakenOver { .. } => Self::TakenOver,
            CloseCause::Protocol(_)
            | CloseCause::Refused { .. }
            | CloseCause::ConnectTimeout
            | CloseCause::Limit { .. } => Self::Dismissed,
            CloseCause::ShuttingDown => Self::ServerShutDown,
        }
    }
}
