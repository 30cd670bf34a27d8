//! CONNACK (section 3.2).

use super::{check, check_bounds, check_reason_code};
use crate::codec::properties::id;
use crate::codec::sink::Sink;
use crate::error::EncodeError;
use crate::packet::{ConnAck, ConnAckProperties, PacketType, ProtocolVersion, QoS};
use crate::reason::ReasonCode;

pub(super) fn put(
    connack: &ConnAck,
    version: ProtocolVersion,
    sink: &mut Sink<'_>,
) -> Result<(), EncodeError> {
    check_reason_code(connack.reason_code, PacketType::ConnAck)?;
    check(
        !connack.session_present || connack.reason_code == ReasonCode::Success,
        "session present in a CONNACK that refuses [MQTT-3.2.2-6]",
    )?;
    sink.byte(u8::from(connack.session_present));
    match version {
        ProtocolVersion::V3_1_1 => sink.byte(connack.reason_code.to_return_code()),
        ProtocolVersion::V5 => {
            sink.byte(connack.reason_code.as_u8());
            put_properties(&connack.properties, sink)?;
        }
    }
    Ok(())
}

fn put_properties(properties: &ConnAckProperties, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
    check_bounds(properties.receive_maximum, properties.maximum_packet_size)?;
    check(
        properties.maximum_qos != Some(QoS::ExactlyOnce),
        "maximum QoS 2 must be left out: 2 is the default",
    )?;
    sink.properties(&|sink| {
        sink.u32_property(
            id::SESSION_EXPIRY_INTERVAL,
            properties.session_expiry_interval,
        );
        sink.u16_property(id::RECEIVE_MAXIMUM, properties.receive_maximum);
        sink.flag_property(
            id::MAXIMUM_QOS,
            properties.maximum_qos.map(|qos| qos != QoS::AtMostOnce),
        );
        sink.flag_property(id::RETAIN_AVAILABLE, properties.retain_available);
        sink.u32_property(id::MAXIMUM_PACKET_SIZE, properties.maximum_packet_size);
        sink.text_property(
            id::ASSIGNED_CLIENT_IDENTIFIER,
            properties.assigned_client_identifier.as_ref(),
        );
        sink.u16_property(id::TOPIC_ALIAS_MAXIMUM, properties.topic_alias_maximum);
        sink.diagnostics(
            properties.reason_string.as_ref(),
            &properties.user_properties,
        );
        sink.flag_property(
            id::WILDCARD_SUBSCRIPTION_AVAILABLE,
            properties.wildcard_subscription_available,
        );
        sink.flag_property(
            id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
            properties.subscription_identifiers_available,
        );
        sink.flag_property(
            id::SHARED_SUBSCRIPTION_AVAILABLE,
            properties.shared_subscription_available,
        );
        sink.u16_property(id::SERVER_KEEP_ALIVE, properties.server_keep_alive);
        sink.text_property(
            id::RESPONSE_INFORMATION,
            properties.response_information.as_ref(),
        );
        sink.text_property(id::SERVER_REFERENCE, properties.server_reference.as_ref());
        sink.authentication(
            properties.authentication_method.as_ref(),
            properties.authentication_data.as_ref(),
        );
    });
    Ok(())
}
