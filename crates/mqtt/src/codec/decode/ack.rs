//! PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7): four packets of one form.

use super::Body;
use crate::codec::properties::{Properties, PropertySet};
use crate::error::DecodeError;
use crate::packet::{PacketId, PacketType, ProtocolVersion, ReasonProperties};
use crate::reason::ReasonCode;

impl Body {
    /// In version 5 a sender may leave out the reason code, and the properties too.
    pub(super) fn ack(
        &mut self,
        packet_type: PacketType,
    ) -> Result<(PacketId, ReasonCode, ReasonProperties), DecodeError> {
        let packet_id = self.reader.packet_id()?;
        let mut reason_code = ReasonCode::Success;
        let mut properties = ReasonProperties::default();
        if self.version == ProtocolVersion::V5 && self.reader.remaining() > 0 {
            // [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
            reason_code = self.reason_code(packet_type)?;
            if self.reader.remaining() > 0 {
                properties = self.reason_properties()?;
            }
        }
        Ok((packet_id, reason_code, properties))
    }

    pub(super) fn reason_properties(&mut self) -> Result<ReasonProperties, DecodeError> {
        let properties = Properties::read(&mut self.reader, PropertySet::ACKNOWLEDGEMENT)?;
        Ok(properties.into_reason())
    }
}
