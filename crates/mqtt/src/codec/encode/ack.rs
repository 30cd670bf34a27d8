//! PUBACK, PUBREC, PUBREL, PUBCOMP (sections 3.4 to 3.7): four packets of one form.

use super::check_reason_code;
use crate::codec::sink::Sink;
use crate::error::EncodeError;
use crate::packet::{PacketId, PacketType, ProtocolVersion, ReasonProperties};
use crate::reason::ReasonCode;

/// Leaves out success without properties. The packet is then the same in both versions.
pub(super) fn put(
    packet_id: PacketId,
    (packet_type, reason_code, properties): (PacketType, ReasonCode, &ReasonProperties),
    version: ProtocolVersion,
    sink: &mut Sink<'_>,
) -> Result<(), EncodeError> {
    check_reason_code(reason_code, packet_type)?;
    sink.u16(packet_id.get());
    if version == ProtocolVersion::V3_1_1 {
        return Ok(());
    }
    let has_properties = sink.has_diagnostics(
        properties.reason_string.as_ref(),
        &properties.user_properties,
    );
    if reason_code != ReasonCode::Success || has_properties {
        sink.byte(reason_code.as_u8());
    }
    if has_properties {
        put_reason_properties(properties, sink);
    }
    Ok(())
}

pub(super) fn put_reason_properties(properties: &ReasonProperties, sink: &mut Sink<'_>) {
    sink.properties(&|sink| {
        sink.diagnostics(
            properties.reason_string.as_ref(),
            &properties.user_properties,
        );
    });
}
