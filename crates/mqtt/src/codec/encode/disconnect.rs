//! DISCONNECT and AUTH (sections 3.14 and 3.15).

use super::{check, check_reason_code};
use crate::codec::properties::id;
use crate::codec::sink::Sink;
use crate::error::EncodeError;
use crate::packet::{
    Auth, AuthProperties, Disconnect, DisconnectProperties, PacketType, ProtocolVersion,
};
use crate::reason::ReasonCode;

/// Leaves out success if nothing follows it. In 3.1.1 the packet has no body at all.
pub(super) fn put_disconnect(
    disconnect: &Disconnect,
    version: ProtocolVersion,
    sink: &mut Sink<'_>,
) -> Result<(), EncodeError> {
    // [MQTT-3.14.2-1]
    check_reason_code(disconnect.reason_code, PacketType::Disconnect)?;
    if version == ProtocolVersion::V3_1_1 {
        return Ok(());
    }
    let properties = &disconnect.properties;
    let has_properties = properties.session_expiry_interval.is_some()
        || properties.server_reference.is_some()
        || sink.has_diagnostics(
            properties.reason_string.as_ref(),
            &properties.user_properties,
        );
    if disconnect.reason_code != ReasonCode::Success || has_properties {
        sink.byte(disconnect.reason_code.as_u8());
    }
    if has_properties {
        put_disconnect_properties(properties, sink);
    }
    Ok(())
}

fn put_disconnect_properties(properties: &DisconnectProperties, sink: &mut Sink<'_>) {
    sink.properties(&|sink| {
        sink.u32_property(
            id::SESSION_EXPIRY_INTERVAL,
            properties.session_expiry_interval,
        );
        sink.diagnostics(
            properties.reason_string.as_ref(),
            &properties.user_properties,
        );
        sink.text_property(id::SERVER_REFERENCE, properties.server_reference.as_ref());
    });
}

/// Leaves out everything for success without properties. Any other AUTH has a method.
pub(super) fn put_auth(
    auth: &Auth,
    version: ProtocolVersion,
    sink: &mut Sink<'_>,
) -> Result<(), EncodeError> {
    check(version == ProtocolVersion::V5, "version 3.1.1 has no AUTH")?;
    // [MQTT-3.15.2-1]
    check_reason_code(auth.reason_code, PacketType::Auth)?;
    if auth.reason_code == ReasonCode::Success && auth.properties == AuthProperties::default() {
        return Ok(());
    }
    check(
        auth.properties.authentication_method.is_some(),
        "AUTH without an authentication method",
    )?;
    sink.byte(auth.reason_code.as_u8());
    let properties = &auth.properties;
    sink.properties(&|sink| {
        sink.authentication(
            properties.authentication_method.as_ref(),
            properties.authentication_data.as_ref(),
        );
        sink.diagnostics(
            properties.reason_string.as_ref(),
            &properties.user_properties,
        );
    });
    Ok(())
}
