//! CONNECT (section 3.1).

use super::Body;
use crate::codec::properties::{Properties, PropertySet, id};
use crate::codec::reader::Reader;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::packet::{
    Connect, ConnectProperties, Dialect, ProtocolVersion, QoS, Will, WillProperties,
};

const PROTOCOL_NAME: &[u8] = b"MQTT";
/// The protocol name of MQTT 3.1.
const OLD_PROTOCOL_NAME: &[u8] = b"MQIsdp";
/// The bit of the protocol level that marks the client as a bridge.
const BRIDGE: u8 = 0x80;

const RESERVED: u8 = 0x01;
const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS: u8 = 0x18;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

/// Protocol name and version, the first two fields. Everything else depends on them.
///
/// The server takes two forms besides those of `[MQTT-3.1.2-1]` and `[MQTT-3.1.2-2]`, and serves
/// both as version 3.1.1: the form of MQTT 3.1, and the form that bridges use.
pub(in crate::codec) fn version(
    reader: &mut Reader,
) -> Result<(ProtocolVersion, Dialect), DecodeError> {
    let offset = reader.offset();
    let name = reader.binary()?;
    let is_v3_1 = name == OLD_PROTOCOL_NAME;
    if !is_v3_1 && name != PROTOCOL_NAME {
        let kind = DecodeErrorKind::ProtocolName;
        return Err(DecodeError { offset, kind });
    }
    let offset = reader.offset();
    let level = reader.byte()?;
    let is_bridge = level & BRIDGE != 0;
    let dialect = Dialect { is_v3_1, is_bridge };
    match (is_v3_1, level & !BRIDGE) {
        (true, 3) | (false, 4) => Ok((ProtocolVersion::V3_1_1, dialect)),
        // Version 5 has No Local instead, so no bridge sets the bit there.
        (false, 5) if !is_bridge => Ok((ProtocolVersion::V5, dialect)),
        _ => Err(DecodeError {
            offset,
            kind: DecodeErrorKind::ProtocolVersion(level),
        }),
    }
}

impl Body {
    pub(super) fn connect(&mut self) -> Result<Connect, DecodeError> {
        let flags = self.connect_flags()?;
        let keep_alive = self.reader.u16()?;
        let properties = self.connect_properties()?;
        // The payload's order is fixed [MQTT-3.1.3-1].
        let client_id = self.reader.text()?;
        let will = if flags & WILL == 0 {
            None
        } else {
            Some(self.will(flags)?)
        };
        // [MQTT-3.1.2-16] to [MQTT-3.1.2-19]: an extra field is left over at the end.
        let user_name = if self.has_field(flags, USER_NAME) {
            Some(self.reader.text()?)
        } else {
            None
        };
        let password = if self.has_field(flags, PASSWORD) {
            Some(self.reader.binary()?)
        } else {
            None
        };
        Ok(Connect {
            version: self.version,
            dialect: self.dialect,
            clean_start: flags & CLEAN_START != 0,
            keep_alive,
            client_id,
            will,
            user_name,
            password,
            properties,
        })
    }

    /// Whether user name or password follows. In MQTT 3.1 the packet may end without the field
    /// that its flag announces, as in the versions before it (its section 3.1).
    fn has_field(&self, flags: u8, flag: u8) -> bool {
        let may_be_missing = self.dialect.is_v3_1 && self.reader.remaining() == 0;
        flags & flag != 0 && !may_be_missing
    }

    fn connect_flags(&mut self) -> Result<u8, DecodeError> {
        let offset = self.reader.offset();
        let flags = self.reader.byte()?;
        let error = |kind| Err(DecodeError { offset, kind });
        let invalid = error(DecodeErrorKind::Flags(flags));
        // MQTT 3.1 gives no value to the bits that these rules are about.
        if !self.dialect.is_v3_1 {
            // [MQTT-3.1.2-3]
            if flags & RESERVED != 0 {
                return invalid;
            }
            // [MQTT-3.1.2-11] [MQTT-3.1.2-13]
            if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
                return invalid;
            }
        }
        // [MQTT-3.1.2-12]
        if flags & WILL_QOS == WILL_QOS {
            return error(DecodeErrorKind::QoS);
        }
        // [MQTT-3.1.2-22 of 3.1.1]; version 5 lifts it.
        if self.version == ProtocolVersion::V3_1_1 && flags & (USER_NAME | PASSWORD) == PASSWORD {
            return invalid;
        }
        Ok(flags)
    }

    fn connect_properties(&mut self) -> Result<ConnectProperties, DecodeError> {
        if self.version == ProtocolVersion::V3_1_1 {
            return Ok(ConnectProperties::default());
        }
        let offset = self.reader.offset();
        let properties = Properties::read(&mut self.reader, PropertySet::CONNECT)?;
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            let kind = DecodeErrorKind::MissingProperty(id::AUTHENTICATION_METHOD);
            return Err(DecodeError { offset, kind });
        }
        Ok(ConnectProperties {
            session_expiry_interval: properties.session_expiry_interval,
            receive_maximum: properties.receive_maximum,
            maximum_packet_size: properties.maximum_packet_size,
            topic_alias_maximum: properties.topic_alias_maximum,
            request_response_information: properties.request_response_information,
            request_problem_information: properties.request_problem_information,
            user_properties: properties.user_properties,
            authentication_method: properties.authentication_method,
            authentication_data: properties.authentication_data,
        })
    }

    /// `[MQTT-3.1.2-9]`.
    fn will(&mut self, flags: u8) -> Result<Will, DecodeError> {
        let properties = if self.version == ProtocolVersion::V3_1_1 {
            WillProperties::default()
        } else {
            let properties = Properties::read(&mut self.reader, PropertySet::WILL)?;
            WillProperties {
                will_delay_interval: properties.will_delay_interval,
                payload_format_indicator: properties.payload_format_indicator,
                message_expiry_interval: properties.message_expiry_interval,
                content_type: properties.content_type,
                response_topic: properties.response_topic,
                correlation_data: properties.correlation_data,
                user_properties: properties.user_properties,
            }
        };
        Ok(Will {
            topic: self.reader.topic_name()?,
            payload: self.reader.binary()?,
            qos: QoS::from_u8((flags & WILL_QOS) >> 3).unwrap_or_default(),
            retain: flags & WILL_RETAIN != 0,
            properties,
        })
    }
}
