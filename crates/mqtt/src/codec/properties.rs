//! The properties of version 5 (section 2.2.2): which exist, in which packets they are allowed, and
//! how they are decoded.
//!
//! One function reads the properties of every packet into one plain struct, and each packet takes
//! its own from it. So the rules (a property is known, is allowed here, comes once) stand in one
//! place.

use alloc::vec::Vec;
use core::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;

use super::reader::Reader;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::packet::{QoS, ReasonProperties, SubscriptionIdentifier, UserProperty};
use crate::text::Utf8String;
use crate::topic::TopicName;

/// The identifiers on the wire.
pub(super) mod id {
    pub(in crate::codec) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
    pub(in crate::codec) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
    pub(in crate::codec) const CONTENT_TYPE: u8 = 0x03;
    pub(in crate::codec) const RESPONSE_TOPIC: u8 = 0x08;
    pub(in crate::codec) const CORRELATION_DATA: u8 = 0x09;
    pub(in crate::codec) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
    pub(in crate::codec) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
    pub(in crate::codec) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
    pub(in crate::codec) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(in crate::codec) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(in crate::codec) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(in crate::codec) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(in crate::codec) const WILL_DELAY_INTERVAL: u8 = 0x18;
    pub(in crate::codec) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(in crate::codec) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(in crate::codec) const SERVER_REFERENCE: u8 = 0x1C;
    pub(in crate::codec) const REASON_STRING: u8 = 0x1F;
    pub(in crate::codec) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(in crate::codec) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(in crate::codec) const TOPIC_ALIAS: u8 = 0x23;
    pub(in crate::codec) const MAXIMUM_QOS: u8 = 0x24;
    pub(in crate::codec) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(in crate::codec) const USER_PROPERTY: u8 = 0x26;
    pub(in crate::codec) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(in crate::codec) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
    pub(in crate::codec) const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
    pub(in crate::codec) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;
}

/// The set of properties that are allowed somewhere (table 2-4).
#[derive(Copy, Clone)]
pub(super) struct PropertySet {
    allowed: u64,
    /// Properties that are allowed in this packet, but only from the other side.
    misdirected: u64,
    /// Properties that are allowed more than once.
    repeatable: u64,
}

impl PropertySet {
    pub(super) const CONNECT: Self = Self::of(&[
        id::SESSION_EXPIRY_INTERVAL,
        id::AUTHENTICATION_METHOD,
        id::AUTHENTICATION_DATA,
        id::REQUEST_PROBLEM_INFORMATION,
        id::REQUEST_RESPONSE_INFORMATION,
        id::RECEIVE_MAXIMUM,
        id::TOPIC_ALIAS_MAXIMUM,
        id::MAXIMUM_PACKET_SIZE,
    ]);
    pub(super) const WILL: Self = Self::of(&[
        id::PAYLOAD_FORMAT_INDICATOR,
        id::MESSAGE_EXPIRY_INTERVAL,
        id::CONTENT_TYPE,
        id::RESPONSE_TOPIC,
        id::CORRELATION_DATA,
        id::WILL_DELAY_INTERVAL,
    ]);
    pub(super) const CONNACK: Self = Self::of(&[
        id::SESSION_EXPIRY_INTERVAL,
        id::ASSIGNED_CLIENT_IDENTIFIER,
        id::SERVER_KEEP_ALIVE,
        id::AUTHENTICATION_METHOD,
        id::AUTHENTICATION_DATA,
        id::RESPONSE_INFORMATION,
        id::SERVER_REFERENCE,
        id::REASON_STRING,
        id::RECEIVE_MAXIMUM,
        id::TOPIC_ALIAS_MAXIMUM,
        id::MAXIMUM_QOS,
        id::RETAIN_AVAILABLE,
        id::MAXIMUM_PACKET_SIZE,
        id::WILDCARD_SUBSCRIPTION_AVAILABLE,
        id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
        id::SHARED_SUBSCRIPTION_AVAILABLE,
    ]);
    const PUBLISH: Self = Self::of(&[
        id::PAYLOAD_FORMAT_INDICATOR,
        id::MESSAGE_EXPIRY_INTERVAL,
        id::CONTENT_TYPE,
        id::RESPONSE_TOPIC,
        id::CORRELATION_DATA,
        id::SUBSCRIPTION_IDENTIFIER,
        id::TOPIC_ALIAS,
    ]);
    /// One message may be sent for several subscriptions `[MQTT-3.3.4-4]`.
    pub(super) const PUBLISH_FROM_SERVER: Self =
        Self::PUBLISH.repeating(id::SUBSCRIPTION_IDENTIFIER);
    /// `[MQTT-3.3.4-6]`.
    pub(super) const PUBLISH_FROM_CLIENT: Self =
        Self::PUBLISH.misdirecting(id::SUBSCRIPTION_IDENTIFIER);
    pub(super) const SUBSCRIBE: Self = Self::of(&[id::SUBSCRIPTION_IDENTIFIER]);
    pub(super) const UNSUBSCRIBE: Self = Self::of(&[]);
    /// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK.
    pub(super) const ACKNOWLEDGEMENT: Self = Self::of(&[id::REASON_STRING]);
    pub(super) const DISCONNECT_FROM_CLIENT: Self = Self::of(&[
        id::SESSION_EXPIRY_INTERVAL,
        id::SERVER_REFERENCE,
        id::REASON_STRING,
    ]);
    /// `[MQTT-3.14.2-2]`.
    pub(super) const DISCONNECT_FROM_SERVER: Self =
        Self::DISCONNECT_FROM_CLIENT.misdirecting(id::SESSION_EXPIRY_INTERVAL);
    pub(super) const AUTH: Self = Self::of(&[
        id::AUTHENTICATION_METHOD,
        id::AUTHENTICATION_DATA,
        id::REASON_STRING,
    ]);

    /// These properties, and user properties, which are allowed anywhere and any number of times.
    const fn of(ids: &[u8]) -> Self {
        let mut allowed = bit(id::USER_PROPERTY);
        let mut i = 0;
        while i < ids.len() {
            allowed |= bit(ids[i]);
            i += 1;
        }
        Self {
            allowed,
            misdirected: 0,
            repeatable: bit(id::USER_PROPERTY),
        }
    }

    const fn repeating(mut self, property: u8) -> Self {
        self.repeatable |= bit(property);
        self
    }

    const fn misdirecting(mut self, property: u8) -> Self {
        self.misdirected |= bit(property);
        self
    }
}

const fn bit(property: u8) -> u64 {
    1 << (property & 0x3F)
}

/// Every property of the standard, as it was read.
#[derive(Default)]
#[allow(clippy::struct_field_names)] // "user property" is the standard's name
pub(super) struct Properties {
    pub(super) payload_format_indicator: Option<bool>,
    pub(super) message_expiry_interval: Option<u32>,
    pub(super) content_type: Option<Utf8String>,
    pub(super) response_topic: Option<TopicName>,
    pub(super) correlation_data: Option<Bytes>,
    pub(super) subscription_identifiers: Vec<SubscriptionIdentifier>,
    pub(super) session_expiry_interval: Option<u32>,
    pub(super) assigned_client_identifier: Option<Utf8String>,
    pub(super) server_keep_alive: Option<u16>,
    pub(super) authentication_method: Option<Utf8String>,
    pub(super) authentication_data: Option<Bytes>,
    pub(super) request_problem_information: Option<bool>,
    pub(super) will_delay_interval: Option<u32>,
    pub(super) request_response_information: Option<bool>,
    pub(super) response_information: Option<Utf8String>,
    pub(super) server_reference: Option<Utf8String>,
    pub(super) reason_string: Option<Utf8String>,
    pub(super) receive_maximum: Option<u16>,
    pub(super) topic_alias_maximum: Option<u16>,
    pub(super) topic_alias: Option<NonZeroU16>,
    pub(super) maximum_qos: Option<QoS>,
    pub(super) retain_available: Option<bool>,
    pub(super) user_properties: Vec<UserProperty>,
    pub(super) maximum_packet_size: Option<u32>,
    pub(super) wildcard_subscription_available: Option<bool>,
    pub(super) subscription_identifiers_available: Option<bool>,
    pub(super) shared_subscription_available: Option<bool>,
}

impl Properties {
    /// Reads a property length and that many bytes of properties.
    pub(super) fn read(reader: &mut Reader, set: PropertySet) -> Result<Self, DecodeError> {
        let len = reader.variable_byte_integer()?;
        let enclosing_end = reader.enter(len as usize)?;
        let mut properties = Self::default();
        let mut seen = 0;
        while reader.remaining() > 0 {
            let property = admit(reader, set, &mut seen)?;
            properties.read_one(reader, property)?;
        }
        reader.leave(enclosing_end);
        Ok(properties)
    }

    fn read_one(&mut self, reader: &mut Reader, property: u8) -> Result<(), DecodeError> {
        match property {
            id::PAYLOAD_FORMAT_INDICATOR => {
                self.payload_format_indicator = Some(flag(reader, property)?);
            }
            id::MESSAGE_EXPIRY_INTERVAL => self.message_expiry_interval = Some(reader.u32()?),
            id::CONTENT_TYPE => self.content_type = Some(reader.text()?),
            id::RESPONSE_TOPIC => self.response_topic = Some(reader.topic_name()?),
            id::CORRELATION_DATA => self.correlation_data = Some(reader.binary()?),
            id::SUBSCRIPTION_IDENTIFIER => {
                let invalid = reader.error(DecodeErrorKind::PropertyValue(property));
                let value = NonZeroU32::new(reader.variable_byte_integer()?);
                self.subscription_identifiers.push(value.ok_or(invalid)?);
            }
            id::SESSION_EXPIRY_INTERVAL => self.session_expiry_interval = Some(reader.u32()?),
            id::ASSIGNED_CLIENT_IDENTIFIER => {
                self.assigned_client_identifier = Some(reader.text()?);
            }
            id::SERVER_KEEP_ALIVE => self.server_keep_alive = Some(reader.u16()?),
            id::AUTHENTICATION_METHOD => self.authentication_method = Some(reader.text()?),
            id::AUTHENTICATION_DATA => self.authentication_data = Some(reader.binary()?),
            id::REQUEST_PROBLEM_INFORMATION => {
                self.request_problem_information = Some(flag(reader, property)?);
            }
            id::WILL_DELAY_INTERVAL => self.will_delay_interval = Some(reader.u32()?),
            id::REQUEST_RESPONSE_INFORMATION => {
                self.request_response_information = Some(flag(reader, property)?);
            }
            id::RESPONSE_INFORMATION => self.response_information = Some(reader.text()?),
            id::SERVER_REFERENCE => self.server_reference = Some(reader.text()?),
            id::REASON_STRING => self.reason_string = Some(reader.text()?),
            id::RECEIVE_MAXIMUM => {
                self.receive_maximum = Some(non_zero_u16(reader, property)?.get());
            }
            id::TOPIC_ALIAS_MAXIMUM => self.topic_alias_maximum = Some(reader.u16()?),
            id::TOPIC_ALIAS => self.topic_alias = Some(non_zero_u16(reader, property)?),
            id::MAXIMUM_QOS => {
                self.maximum_qos = Some(if flag(reader, property)? {
                    QoS::AtLeastOnce
                } else {
                    QoS::AtMostOnce
                });
            }
            id::RETAIN_AVAILABLE => self.retain_available = Some(flag(reader, property)?),
            id::USER_PROPERTY => self.user_properties.push((reader.text()?, reader.text()?)),
            id::MAXIMUM_PACKET_SIZE => {
                let invalid = reader.error(DecodeErrorKind::PropertyValue(property));
                let value = reader.u32()?;
                if value == 0 {
                    return Err(invalid);
                }
                self.maximum_packet_size = Some(value);
            }
            id::WILDCARD_SUBSCRIPTION_AVAILABLE => {
                self.wildcard_subscription_available = Some(flag(reader, property)?);
            }
            id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE => {
                self.subscription_identifiers_available = Some(flag(reader, property)?);
            }
            id::SHARED_SUBSCRIPTION_AVAILABLE => {
                self.shared_subscription_available = Some(flag(reader, property)?);
            }
            unknown => {
                return Err(reader.error(DecodeErrorKind::UnknownProperty(u32::from(unknown))));
            }
        }
        Ok(())
    }

    /// The properties that acknowledgements keep.
    pub(super) fn into_reason(self) -> ReasonProperties {
        ReasonProperties {
            reason_string: self.reason_string,
            user_properties: self.user_properties,
        }
    }
}

/// Every identifier that the standard knows.
const KNOWN: u64 = PropertySet::CONNECT.allowed
    | PropertySet::WILL.allowed
    | PropertySet::CONNACK.allowed
    | PropertySet::PUBLISH.allowed;

/// Reads the identifier of the next property, if it is allowed here.
fn admit(reader: &mut Reader, set: PropertySet, seen: &mut u64) -> Result<u8, DecodeError> {
    let offset = reader.offset();
    let value = reader.variable_byte_integer()?;
    let property = match u8::try_from(value) {
        Ok(property) if property < 64 && KNOWN & bit(property) != 0 => property,
        Ok(_) | Err(_) => {
            let kind = DecodeErrorKind::UnknownProperty(value);
            return Err(DecodeError { offset, kind });
        }
    };
    let bit = bit(property);
    let kind = if set.allowed & bit == 0 {
        DecodeErrorKind::MisplacedProperty(property)
    } else if set.misdirected & bit != 0 {
        DecodeErrorKind::MisdirectedProperty(property)
    } else if *seen & bit & !set.repeatable != 0 {
        DecodeErrorKind::DuplicateProperty(property)
    } else {
        *seen |= bit;
        return Ok(property);
    };
    Err(DecodeError { offset, kind })
}

/// A byte that is 0 or 1.
fn flag(reader: &mut Reader, property: u8) -> Result<bool, DecodeError> {
    let invalid = reader.error(DecodeErrorKind::PropertyValue(property));
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(invalid),
    }
}

fn non_zero_u16(reader: &mut Reader, property: u8) -> Result<NonZeroU16, DecodeError> {
    let invalid = reader.error(DecodeErrorKind::PropertyValue(property));
    NonZeroU16::new(reader.u16()?).ok_or(invalid)
}
