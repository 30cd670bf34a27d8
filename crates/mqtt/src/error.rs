//! What can be wrong with bytes, and what to answer.

use crate::packet::PacketType;
use crate::reason::ReasonCode;
use crate::text::TextError;
use crate::topic::TopicError;

/// Bytes that the standard calls malformed, or a packet that may not stand where it stands.
///
/// Incomplete input is no error: the decoder waits for the rest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset} of the packet")]
pub struct DecodeError {
    /// Where in the packet, counted from its first byte (the fixed header's).
    pub offset: usize,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

/// What is wrong with a packet's bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// Packet type 0, or AUTH in version 3.1.1 (section 2.1.2).
    #[error("unknown packet type {0}")]
    UnknownPacketType(u8),
    /// The fixed header's flags are not the ones that the standard lists `[MQTT-2.1.3-1]`.
    #[error("reserved flags are {0:#06b}")]
    ReservedFlags(u8),
    /// A variable byte integer of five bytes, or one longer than it need be `[MQTT-1.5.5-1]`.
    #[error("malformed variable byte integer")]
    VariableByteInteger,
    /// Larger than the receiver's Maximum Packet Size `[MQTT-3.1.2-24]`.
    #[error("packet of {size} bytes, where {limit} are allowed")]
    PacketTooLarge {
        /// The whole packet, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The packet ends before what it must contain.
    #[error("the packet ends too early")]
    UnexpectedEnd,
    /// Bytes are left over after the packet's last field.
    #[error("{0} bytes too many")]
    TrailingBytes(usize),
    /// A string that is no UTF-8 Encoded String.
    #[error("string {0}")]
    Text(#[from] TextError),
    /// A topic name or filter that is none.
    #[error("topic {0}")]
    Topic(#[from] TopicError),
    /// The protocol name is not "MQTT" `[MQTT-3.1.2-1]`.
    #[error("the protocol name is not \"MQTT\"")]
    ProtocolName,
    /// The protocol name is "MQIsdp": it is MQTT 3.1 `[MQTT-3.1.2-1]`.
    #[error("the protocol name is that of MQTT 3.1")]
    OldProtocolName,
    /// A protocol version other than 4 and 5 `[MQTT-3.1.2-2]`.
    #[error("protocol version {0} is not supported")]
    ProtocolVersion(u8),
    /// A reserved bit is set, or flags that exclude each other are.
    #[error("invalid flags {0:#010b}")]
    Flags(u8),
    /// DUP in a message of `QoS` 0 `[MQTT-3.3.1-2]`.
    #[error("DUP in a message of QoS 0")]
    Dup,
    /// `QoS` 3.
    #[error("QoS 3 does not exist")]
    QoS,
    /// A packet identifier of zero `[MQTT-2.2.1-3]`.
    #[error("packet identifier 0")]
    ZeroPacketId,
    /// A property that the standard does not know.
    #[error("unknown property {0:#04x}")]
    UnknownProperty(u32),
    /// A property that may not stand in this packet.
    #[error("property {0:#04x} does not belong in this packet")]
    MisplacedProperty(u8),
    /// A property twice that may stand once.
    #[error("property {0:#04x} stands twice")]
    DuplicateProperty(u8),
    /// A property with a value that it may not have: zero where zero says nothing, a flag
    /// other than 0 and 1 `[MQTT-3.3.2-8]`.
    #[error("property {0:#04x} has an invalid value")]
    PropertyValue(u8),
    /// A property that only the other side may put into this packet `[MQTT-3.3.4-6]`
    /// `[MQTT-3.14.2-2]`.
    #[error("property {0:#04x} may not be sent by this side")]
    MisdirectedProperty(u8),
    /// A property that must be there is not: authentication data, or AUTH, without a method
    /// (sections 3.1.2.11.10 and 3.15.2.2.2).
    #[error("property {0:#04x} is missing")]
    MissingProperty(u8),
    /// A reason or return code that may not stand in this packet, or not from this side.
    #[error("code {0:#04x} does not belong in this packet")]
    ReasonCode(u8),
    /// SUBSCRIBE or UNSUBSCRIBE without a topic filter, or an answer without a code.
    #[error("the packet's list is empty")]
    Empty,
    /// PUBLISH with an empty topic name and no topic alias (section 3.3.2.1).
    #[error("neither a topic name nor a topic alias")]
    NoTopic,
    /// Subscription options that are well formed and forbidden: `QoS` 3, Retain Handling 3,
    /// No Local on a shared subscription `[MQTT-3.8.3-4]`.
    #[error("forbidden subscription options {0:#010b}")]
    SubscriptionOptions(u8),
    /// CONNACK that refuses, and yet says that a session is present `[MQTT-3.2.2-6]`.
    #[error("session present in a CONNACK that refuses")]
    SessionPresent,
    /// A packet that this side may not be sent, or not before or after CONNECT
    /// `[MQTT-3.1.0-1]` `[MQTT-3.1.0-2]`.
    #[error("{0} may not stand here")]
    UnexpectedPacket(PacketType),
}

impl DecodeError {
    /// The reason code to answer with, in CONNACK or DISCONNECT.
    ///
    /// What cannot be parsed is malformed (0x81); what can be parsed and is not allowed is a
    /// protocol error (0x82), as section 4.13 and the definitions in 1.2 have it.
    pub const fn reason_code(&self) -> ReasonCode {
        match &self.kind {
            DecodeErrorKind::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
            // [MQTT-3.1.2-1] names this code for a foreign protocol name too.
            DecodeErrorKind::ProtocolName
            | DecodeErrorKind::OldProtocolName
            | DecodeErrorKind::ProtocolVersion(_) => ReasonCode::UnsupportedProtocolVersion,
            DecodeErrorKind::PropertyValue(TOPIC_ALIAS) => ReasonCode::TopicAliasInvalid,
            DecodeErrorKind::ZeroPacketId
            | DecodeErrorKind::DuplicateProperty(_)
            | DecodeErrorKind::PropertyValue(_)
            | DecodeErrorKind::MisdirectedProperty(_)
            | DecodeErrorKind::MissingProperty(_)
            | DecodeErrorKind::ReasonCode(_)
            | DecodeErrorKind::Empty
            | DecodeErrorKind::NoTopic
            | DecodeErrorKind::SubscriptionOptions(_)
            | DecodeErrorKind::SessionPresent
            | DecodeErrorKind::UnexpectedPacket(_) => ReasonCode::ProtocolError,
            DecodeErrorKind::UnknownPacketType(_)
            | DecodeErrorKind::ReservedFlags(_)
            | DecodeErrorKind::VariableByteInteger
            | DecodeErrorKind::UnexpectedEnd
            | DecodeErrorKind::TrailingBytes(_)
            | DecodeErrorKind::Text(_)
            | DecodeErrorKind::Topic(_)
            | DecodeErrorKind::Flags(_)
            | DecodeErrorKind::Dup
            | DecodeErrorKind::QoS
            | DecodeErrorKind::UnknownProperty(_)
            | DecodeErrorKind::MisplacedProperty(_) => ReasonCode::MalformedPacket,
        }
    }
}

impl DecodeErrorKind {
    /// Which rule of version 5 a client broke that sent this to a server, for the log: the
    /// statement's id in brackets, or the section where the standard gives it no id.
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::UnknownPacketType(_) => "(section 2.1.2)",
            Self::ReservedFlags(_) | Self::Flags(_) => "[MQTT-2.1.3-1]",
            Self::Dup => "[MQTT-3.3.1-2]",
            Self::VariableByteInteger => "[MQTT-1.5.5-1]",
            Self::PacketTooLarge { .. } => "[MQTT-3.2.2-15]",
            Self::UnexpectedEnd | Self::TrailingBytes(_) => "(section 2.1.4)",
            Self::Text(error) | Self::Topic(TopicError::Text(error)) => match error {
                TextError::NotUtf8 => "[MQTT-1.5.4-1]",
                TextError::Null => "[MQTT-1.5.4-2]",
                TextError::TooLong => "(section 1.5.4)",
            },
            Self::Topic(TopicError::Empty) => "[MQTT-4.7.3-1]",
            Self::Topic(TopicError::WildcardInName) => "[MQTT-4.7.0-1]",
            Self::Topic(TopicError::MultiLevelWildcard) => "[MQTT-4.7.1-1]",
            Self::Topic(TopicError::SingleLevelWildcard) => "[MQTT-4.7.1-2]",
            Self::Topic(TopicError::Share) => "[MQTT-4.8.2-1] [MQTT-4.8.2-2]",
            Self::ProtocolName | Self::OldProtocolName => "[MQTT-3.1.2-1]",
            Self::ProtocolVersion(_) => "[MQTT-3.1.2-2]",
            Self::QoS => "[MQTT-3.3.1-4]",
            Self::ZeroPacketId => "[MQTT-2.2.1-3]",
            Self::PropertyValue(TOPIC_ALIAS) => "[MQTT-3.3.2-8]",
            Self::UnknownProperty(_)
            | Self::MisplacedProperty(_)
            | Self::DuplicateProperty(_)
            | Self::PropertyValue(_) => "(section 2.2.2.2)",
            Self::MisdirectedProperty(_) => "[MQTT-3.3.4-6]",
            Self::MissingProperty(_) => "(section 4.12)",
            Self::ReasonCode(_) => "(section 2.4)",
            Self::Empty => "[MQTT-3.8.3-2] [MQTT-3.10.3-2]",
            Self::NoTopic => "(section 3.3.2.1)",
            Self::SubscriptionOptions(options) => match options {
                // Otherwise good, so it is No Local that is wrong.
                0..0x30 if *options & 0x03 != 0x03 => "[MQTT-3.8.3-4]",
                _ => "(section 3.8.3.1)",
            },
            Self::SessionPresent => "[MQTT-3.2.2-6]",
            Self::UnexpectedPacket(packet_type) => match packet_type {
                // A client may send it once, and these never.
                PacketType::Connect => "[MQTT-3.1.0-2]",
                PacketType::ConnAck
                | PacketType::SubAck
                | PacketType::UnsubAck
                | PacketType::PingResp => "(table 2-1)",
                PacketType::Publish
                | PacketType::PubAck
                | PacketType::PubRec
                | PacketType::PubRel
                | PacketType::PubComp
                | PacketType::Subscribe
                | PacketType::Unsubscribe
                | PacketType::PingReq
                | PacketType::Disconnect
                | PacketType::Auth => "[MQTT-3.1.0-1]",
            },
        }
    }
}

/// The one property whose bad value has a reason code of its own.
const TOPIC_ALIAS: u8 = 0x23;

/// The peer broke the protocol: the connection must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Its bytes are no packet.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Its packet may not be sent in this state.
    #[error("{what}: {reason_code}")]
    Violation {
        /// What to say in DISCONNECT.
        reason_code: ReasonCode,
        /// Which rule was broken, for the log, with its id.
        what: &'static str,
    },
}

impl ProtocolError {
    /// The reason code to answer with.
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::Decode(error) => error.reason_code(),
            Self::Violation { reason_code, .. } => *reason_code,
        }
    }
}

/// A packet that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Its remaining length would be above 268,435,455 bytes.
    #[error("a packet of {0} bytes is larger than MQTT can carry")]
    TooLarge(usize),
    /// It would exceed the peer's Maximum Packet Size, even without its reason string and
    /// user properties `[MQTT-3.1.2-24]` `[MQTT-3.2.2-15]`.
    #[error("packet of {size} bytes, where the peer takes {limit}")]
    AboveLimit {
        /// The whole packet, in bytes, as small as it can be made.
        size: usize,
        /// The peer's limit, in bytes.
        limit: usize,
    },
    /// Binary data of more than 65,535 bytes (a password, a will's payload, correlation data).
    #[error("binary data of {0} bytes, where 65,535 are the most")]
    BinaryTooLong(usize),
    /// Something the packet needs is not there, or contradicts another part: `QoS` above 0
    /// without a packet identifier, AUTH in version 3.1.1, an empty subscription list.
    #[error("{0}")]
    Invalid(&'static str),
}
