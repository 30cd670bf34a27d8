//! Types that several packets share.

use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU16;

use crate::text::Utf8String;

/// The protocol version of a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ProtocolVersion {
    /// MQTT 3.1.1, the number 4 on the wire.
    V3_1_1 = 4,
    /// MQTT 5.
    V5 = 5,
}

/// How CONNECT deviates from the standards, though the connection speaks 3.1.1. Version 5 has no
/// dialects: there it is the default.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Dialect {
    /// The client speaks MQTT 3.1: its protocol name is `MQIsdp`, its level 3.
    pub is_v3_1: bool,
    /// The client is a bridge to another broker: it sets the high bit of the protocol level. No
    /// standard has this. mosquitto's bridges do it, unless `try_private false` turns it off.
    pub is_bridge: bool,
}

/// The quality of service: how often a message arrives (section 4.3).
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl QoS {
    /// The level that is `value` on the wire.
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }

    /// The number on the wire.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }
}

/// A packet identifier: never zero `[MQTT-2.2.1-3]`.
pub type PacketId = NonZeroU16;

/// A name and a value that mean something to the application. Names may repeat, and the order is
/// kept `[MQTT-3.3.2-18]`.
pub type UserProperty = (Utf8String, Utf8String);

/// The properties of the packets that only acknowledge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReasonProperties {
    /// For people who read logs.
    pub reason_string: Option<Utf8String>,
    /// For the application.
    pub user_properties: Vec<UserProperty>,
}

/// The fifteen packet types (section 2.1.2).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the names are the standard's and explained at `Packet`
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// The type that is `value` in the high half of a packet's first byte.
    pub const fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Connect),
            2 => Some(Self::ConnAck),
            3 => Some(Self::Publish),
            4 => Some(Self::PubAck),
            5 => Some(Self::PubRec),
            6 => Some(Self::PubRel),
            7 => Some(Self::PubComp),
            8 => Some(Self::Subscribe),
            9 => Some(Self::SubAck),
            10 => Some(Self::Unsubscribe),
            11 => Some(Self::UnsubAck),
            12 => Some(Self::PingReq),
            13 => Some(Self::PingResp),
            14 => Some(Self::Disconnect),
            15 => Some(Self::Auth),
            _ => None,
        }
    }

    /// The number on the wire, 1 to 15.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// The standard's own name, in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Auth => "AUTH",
        }
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
