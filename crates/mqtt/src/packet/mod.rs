//! The fifteen packet types as plain data (chapter 3 of the standard).
//!
//! One set of types serves both versions. The encoder leaves out what only version 5 has
//! (properties, most reason codes) when it encodes for 3.1.1. The decoder fills it in as absent, or
//! as [`ReasonCode::Success`](crate::ReasonCode::Success).

mod ack;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod subscribe;
mod types;

pub use ack::{PubAck, PubComp, PubRec, PubRel};
pub use connack::{ConnAck, ConnAckProperties};
pub use connect::{Connect, ConnectProperties, Will, WillProperties};
pub use disconnect::{Auth, AuthProperties, Disconnect, DisconnectProperties};
pub use publish::{Publish, PublishProperties};
pub use subscribe::{
    RetainHandling, SubAck, Subscribe, Subscription, SubscriptionIdentifier, UnsubAck, Unsubscribe,
};
pub use types::{
    Dialect, PacketId, PacketType, ProtocolVersion, QoS, ReasonProperties, UserProperty,
};

/// Any packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A client asks to connect.
    Connect(Connect),
    /// The server's answer to CONNECT.
    ConnAck(ConnAck),
    /// A message.
    Publish(Publish),
    /// `QoS` 1: the message has arrived.
    PubAck(PubAck),
    /// `QoS` 2, first answer: the message has arrived.
    PubRec(PubRec),
    /// `QoS` 2, second step: the receiver may forget the message.
    PubRel(PubRel),
    /// `QoS` 2, last answer: the receiver has forgotten it.
    PubComp(PubComp),
    /// A client asks for messages.
    Subscribe(Subscribe),
    /// The answer to SUBSCRIBE.
    SubAck(SubAck),
    /// A client ends subscriptions.
    Unsubscribe(Unsubscribe),
    /// The answer to UNSUBSCRIBE.
    UnsubAck(UnsubAck),
    /// A client asks whether the server is still there.
    PingReq,
    /// The server's answer.
    PingResp,
    /// The sender closes the connection, and says why.
    Disconnect(Disconnect),
    /// Enhanced authentication; version 5 only.
    Auth(Auth),
}

impl Packet {
    /// The packet's type.
    pub const fn packet_type(&self) -> PacketType {
        match self {
            Self::Connect(_) => PacketType::Connect,
            Self::ConnAck(_) => PacketType::ConnAck,
            Self::Publish(_) => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::PubRec(_) => PacketType::PubRec,
            Self::PubRel(_) => PacketType::PubRel,
            Self::PubComp(_) => PacketType::PubComp,
            Self::Subscribe(_) => PacketType::Subscribe,
            Self::SubAck(_) => PacketType::SubAck,
            Self::Unsubscribe(_) => PacketType::Unsubscribe,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingReq => PacketType::PingReq,
            Self::PingResp => PacketType::PingResp,
            Self::Disconnect(_) => PacketType::Disconnect,
            Self::Auth(_) => PacketType::Auth,
        }
    }
}
