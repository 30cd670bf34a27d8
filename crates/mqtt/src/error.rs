//! What is wrong with received bytes, and which reason code to answer with.

use crate::packet::PacketType;
use crate::reason::ReasonCode;
use crate::text::TextError;
use crate::topic::TopicError;

/// The bytes are malformed, or the packet is not allowed at this point.
///
/// Incomplete input is no error: the decoder waits for the rest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset} of the packet")]
pub struct DecodeError {
    /// The offset in the packet, counted from the first byte of its fixed header.
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
    /// The fixed header's flags differ from the standard's list `[MQTT-2.1.3-1]`.
    #[error("reserved flags are {0:#06b}")]
    ReservedFlags(u8),
    /// A variable byte integer has five bytes, or is longer than it need be `[MQTT-1.5.5-1]`.
    #[error("malformed variable byte integer")]
    VariableByteInteger,
    /// The packet is larger than the receiver's Maximum Packet Size `[MQTT-3.1.2-24]`.
    #[error("the packet has {size} bytes; the limit is {limit}")]
    PacketTooLarge {
        /// Size of the whole packet, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The packet ends before its last field is complete.
    #[error("the packet ends too early")]
    UnexpectedEnd,
    /// Bytes are left over after the packet's last field.
    #[error("{0} bytes are left over")]
    TrailingBytes(usize),
    /// A string is not a valid UTF-8 Encoded String.
    #[error("string {0}")]
    Text(#[from] TextError),
    /// A topic name or filter is not valid.
    #[error("topic {0}")]
    Topic(#[from] TopicError),
    /// The protocol name is neither "MQTT" nor that of MQTT 3.1 `[MQTT-3.1.2-1]`.
    #[error("the protocol name is neither \"MQTT\" nor \"MQIsdp\"")]
    ProtocolName,
    /// The protocol version is neither 4 nor 5, nor 3 with the protocol name of MQTT 3.1
    /// `[MQTT-3.1.2-2]`.
    #[error("protocol version {0} is not supported")]
    ProtocolVersion(u8),
    /// A reserved bit is set, or two flags contradict each other.
    #[error("invalid flags {0:#010b}")]
    Flags(u8),
    /// DUP is set in a `QoS` 0 message `[MQTT-3.3.1-2]`.
    #[error("DUP is set in a QoS 0 message")]
    Dup,
    /// The message has `QoS` 3.
    #[error("QoS 3 does not exist")]
    QoS,
    /// The packet identifier is zero `[MQTT-2.2.1-3]`.
    #[error("the packet identifier is 0")]
    ZeroPacketId,
    /// The standard does not know this property.
    #[error("unknown property {0:#04x}")]
    UnknownProperty(u32),
    /// This packet must not have this property.
    #[error("property {0:#04x} does not belong in this packet")]
    MisplacedProperty(u8),
    /// A property appears twice that may appear only once.
    #[error("property {0:#04x} appears twice")]
    DuplicateProperty(u8),
    /// A property has a value that it must not have: zero where zero means nothing, or a flag other
    /// than 0 and 1 `[MQTT-3.3.2-8]`.
    #[error("property {0:#04x} has an invalid value")]
    PropertyValue(u8),
    /// Only the other side may send this property in this packet `[MQTT-3.3.4-6]`
    /// `[MQTT-3.14.2-2]`.
    #[error("property {0:#04x} must not come from this side")]
    MisdirectedProperty(u8),
    /// A mandatory property is missing: the method of authentication data or of AUTH (sections
    /// 3.1.2.11.10 and 3.15.2.2.2).
    #[error("property {0:#04x} is missing")]
    MissingProperty(u8),
    /// This reason or return code is not allowed in this packet, or not from this side.
    #[error("code {0:#04x} does not belong in this packet")]
    ReasonCode(u8),
    /// A SUBSCRIBE or UNSUBSCRIBE has no topic filter, or its answer has no code.
    #[error("the packet's list is empty")]
    Empty,
    /// A PUBLISH has an empty topic name and no topic alias (section 3.3.2.1).
    #[error("the packet has neither a topic name nor a topic alias")]
    NoTopic,
    /// The subscription options are well formed but forbidden: `QoS` 3, Retain Handling 3, or No
    /// Local on a shared subscription `[MQTT-3.8.3-4]`.
    #[error("forbidden subscription options {0:#010b}")]
    SubscriptionOptions(u8),
    /// A CONNACK refuses, and yet reports a session as present `[MQTT-3.2.2-6]`.
    #[error("session present in a CONNACK that refuses")]
    SessionPresent,
    /// The other side must not send this packet, or not before or after CONNECT `[MQTT-3.1.0-1]`
    /// `[MQTT-3.1.0-2]`.
    #[error("{0} is not allowed here")]
    UnexpectedPacket(PacketType),
}

impl DecodeError {
    /// The reason code to answer with, in CONNACK or DISCONNECT.
    ///
    /// What cannot be parsed is malformed (0x81). What can be parsed but is not allowed is a
    /// protocol error (0x82). Section 4.13 and the definitions in 1.2 say so.
    pub const fn reason_code(&self) -> ReasonCode {
        match &self.kind {
            DecodeErrorKind::PacketTooLarge { .. } => ReasonCode::PacketTooLarge,
            // [MQTT-3.1.2-1] names this code for another protocol name too.
            DecodeErrorKind::ProtocolName | DecodeErrorKind::ProtocolVersion(_) => {
                ReasonCode::UnsupportedProtocolVersion
            }
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
    /// The rule of version 5 that a client broke with this packet, for the server's log: the
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
            Self::ProtocolName => "[MQTT-3.1.2-1]",
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
                // The rest is valid, so No Local is wrong.
                0..0x30 if *options & 0x03 != 0x03 => "[MQTT-3.8.3-4]",
                _ => "(section 3.8.3.1)",
            },
            Self::SessionPresent => "[MQTT-3.2.2-6]",
            Self::UnexpectedPacket(packet_type) => match packet_type {
                // A client may send CONNECT only once, and must never send the packets of the next
                // arm.
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

/// The only property whose bad value has its own reason code.
const TOPIC_ALIAS: u8 = 0x23;

/// The peer broke the protocol: the connection must end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Its bytes are not a valid packet.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Its packet is not allowed in this state.
    #[error("{what}: {reason_code}")]
    Violation {
        /// The reason code for DISCONNECT.
        reason_code: ReasonCode,
        /// The rule that was broken, with its id, for the log.
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

/// Why a packet cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Its remaining length would be above 268,435,455 bytes.
    #[error("a packet of {0} bytes is larger than MQTT can carry")]
    TooLarge(usize),
    /// It would exceed the peer's Maximum Packet Size, even without its reason string and
    /// user properties `[MQTT-3.1.2-24]` `[MQTT-3.2.2-15]`.
    #[error("the packet has {size} bytes; the peer's limit is {limit}")]
    AboveLimit {
        /// Size of the whole packet, in bytes, as small as it can be made.
        size: usize,
        /// The peer's limit, in bytes.
        limit: usize,
    },
    /// Binary data of more than 65,535 bytes (a password, a will's payload, correlation data).
    #[error("binary data of {0} bytes; the limit is 65,535")]
    BinaryTooLong(usize),
    /// A mandatory part is missing or contradicts another part: `QoS` above 0 without a packet
    /// identifier, AUTH in version 3.1.1, an empty subscription list.
    #[error("{0}")]
    Invalid(&'static str),
}
