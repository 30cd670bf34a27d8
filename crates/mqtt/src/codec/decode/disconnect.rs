//! DISCONNECT and AUTH (sections 3.14 and 3.15).

use super::Body;
use crate::codec::properties::{Properties, PropertySet, id};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::packet::{
    Auth, AuthProperties, Disconnect, DisconnectProperties, PacketType, ProtocolVersion,
};
use crate::reason::ReasonCode;

impl Body {
    /// In version 5 a sender may leave out the reason code, and the properties too.
    pub(super) fn disconnect(&mut self) -> Result<Disconnect, DecodeError> {
        let mut disconnect = Disconnect::new(ReasonCode::Success);
        if self.version == ProtocolVersion::V3_1_1 || self.reader.remaining() == 0 {
            return Ok(disconnect);
        }
        // [MQTT-3.14.2-1]
        let offset = self.reader.offset();
        disconnect.reason_code = self.reason_code(PacketType::Disconnect)?;
        if !self.from_server && !disconnect.reason_code.may_be_said_by_client() {
            let kind = DecodeErrorKind::ReasonCode(disconnect.reason_code.as_u8());
            return Err(DecodeError { offset, kind });
        }
        if self.reader.remaining() > 0 {
            let set = if self.from_server {
                PropertySet::DISCONNECT_FROM_SERVER
            } else {
                PropertySet::DISCONNECT_FROM_CLIENT
            };
            let properties = Properties::read(&mut self.reader, set)?;
            disconnect.properties = DisconnectProperties {
                session_expiry_interval: properties.session_expiry_interval,
                reason_string: properties.reason_string,
                user_properties: properties.user_properties,
                server_reference: properties.server_reference,
            };
        }
        Ok(disconnect)
    }

    /// Success without any properties may leave out everything. Otherwise the method is mandatory.
    pub(super) fn auth(&mut self) -> Result<Auth, DecodeError> {
        if self.reader.remaining() == 0 {
            return Ok(Auth {
                reason_code: ReasonCode::Success,
                properties: AuthProperties::default(),
            });
        }
        // [MQTT-3.15.2-1]
        let reason_code = self.reason_code(PacketType::Auth)?;
        let offset = self.reader.offset();
        let properties = Properties::read(&mut self.reader, PropertySet::AUTH)?;
        if properties.authentication_method.is_none() {
            let kind = DecodeErrorKind::MissingProperty(id::AUTHENTICATION_METHOD);
            return Err(DecodeError { offset, kind });
        }
        Ok(Auth {
            reason_code,
            properties: AuthProperties {
                authentication_method: properties.authentication_method,
                authentication_data: properties.authentication_data,
                reason_string: properties.reason_string,
                user_properties: properties.user_properties,
            },
        })
    }
}
