//! CONNACK (section 3.2).

use super::Body;
use crate::codec::properties::{Properties, PropertySet};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::packet::{ConnAck, ConnAckProperties, PacketType, ProtocolVersion};
use crate::reason::ReasonCode;

impl Body {
    pub(super) fn connack(&mut self) -> Result<ConnAck, DecodeError> {
        let is_short = self.reader.remaining() == 2;
        let flags_at = self.reader.offset();
        let error = |kind| {
            Err(DecodeError {
                offset: flags_at,
                kind,
            })
        };
        let flags = self.reader.byte()?;
        // [MQTT-3.2.2-1]
        if flags > 1 {
            return error(DecodeErrorKind::Flags(flags));
        }
        let session_present = flags == 1;
        let reason_code = match self.version {
            ProtocolVersion::V3_1_1 => self.return_code()?,
            // A server that knows only 3.1.1 answers a version 5 CONNECT with its own CONNACK,
            // which has no properties. That is how a client learns to fall back.
            ProtocolVersion::V5 if is_short && self.reader.peek() != Some(0) => {
                self.return_code()?
            }
            ProtocolVersion::V5 => self.reason_code(PacketType::ConnAck)?,
        };
        // [MQTT-3.2.2-6] [MQTT-3.2.2-4 of 3.1.1]
        if session_present && reason_code != ReasonCode::Success {
            return error(DecodeErrorKind::SessionPresent);
        }
        let is_answer_of_3_1_1 = is_short && reason_code != ReasonCode::Success;
        let properties = match self.version {
            ProtocolVersion::V5 if !is_answer_of_3_1_1 => self.connack_properties()?,
            ProtocolVersion::V5 | ProtocolVersion::V3_1_1 => ConnAckProperties::default(),
        };
        Ok(ConnAck {
            session_present,
            reason_code,
            properties,
        })
    }

    /// A return code of version 3.1.1.
    fn return_code(&mut self) -> Result<ReasonCode, DecodeError> {
        let offset = self.reader.offset();
        let value = self.reader.byte()?;
        ReasonCode::from_return_code(value).ok_or(DecodeError {
            offset,
            kind: DecodeErrorKind::ReasonCode(value),
        })
    }

    fn connack_properties(&mut self) -> Result<ConnAckProperties, DecodeError> {
        let properties = Properties::read(&mut self.reader, PropertySet::CONNACK)?;
        Ok(ConnAckProperties {
            session_expiry_interval: properties.session_expiry_interval,
            receive_maximum: properties.receive_maximum,
            maximum_qos: properties.maximum_qos,
            retain_available: properties.retain_available,
            maximum_packet_size: properties.maximum_packet_size,
            assigned_client_identifier: properties.assigned_client_identifier,
            topic_alias_maximum: properties.topic_alias_maximum,
            reason_string: properties.reason_string,
            user_properties: properties.user_properties,
            wildcard_subscription_available: properties.wildcard_subscription_available,
            subscription_identifiers_available: properties.subscription_identifiers_available,
            shared_subscription_available: properties.shared_subscription_available,
            server_keep_alive: properties.server_keep_alive,
            response_information: properties.response_information,
            server_reference: properties.server_reference,
            authentication_method: properties.authentication_method,
            authentication_data: properties.authentication_data,
        })
    }
}
