//! CONNECT (section 3.1).

use super::{check, check_bounds};
use crate::PUBLISH;
use crate::codec::properties::id;
use crate::codec::sink::Sink;
use crate::error::EncodeError;
use crate::packet::{Connect, ConnectProperties, Dialect, ProtocolVersion, Will, WillProperties};

pub(super) fn put(
    connect: &Connect,
    version: ProtocolVersion,
    sink: &mut Sink<'_>,
) -> Result<(), EncodeError> {
    check(
        connect.version == version,
        "CONNECT names another version than the one that it is encoded for",
    )?;
    check(
        version == ProtocolVersion::V5 || connect.password.is_none() || connect.user_name.is_some(),
        "version 3.1.1 has no password without a user name",
    )?;
    let dialect = connect.dialect;
    check(
        version == ProtocolVersion::V3_1_1 || dialect == Dialect::default(),
        "version 5 has no dialects",
    )?;
    // [MQTT-3.1.2-1] [MQTT-3.1.2-2]
    let (name, level): (&[u8], u8) = if dialect.is_v3_1 {
        (b"MQIsdp", 3)
    } else {
        (b"MQTT", version as u8)
    };
    sink.binary(name);
    sink.byte(level | u8::from(dialect.is_bridge) << 7);
    sink.byte(flags(connect));
    sink.u16(connect.keep_alive);
    if version == ProtocolVersion::V5 {
        put_properties(&connect.properties, sink)?;
    }
    // The payload's order is fixed [MQTT-3.1.3-1].
    sink.binary(connect.client_id.as_bytes());
    if PUBLISH && let Some(will) = &connect.will {
        if version == ProtocolVersion::V5 {
            put_will_properties(&will.properties, sink);
        }
        sink.binary(will.topic.as_text().as_bytes());
        sink.binary(&will.payload);
    }
    if let Some(user_name) = &connect.user_name {
        sink.binary(user_name.as_bytes());
    }
    if let Some(password) = &connect.password {
        sink.binary(password);
    }
    Ok(())
}

/// `[MQTT-3.1.2-3]` `[MQTT-3.1.2-11]` `[MQTT-3.1.2-13]`.
fn flags(connect: &Connect) -> u8 {
    let will = |will: &Will| 0x04 | will.qos.as_u8() << 3 | u8::from(will.retain) << 5;
    u8::from(connect.clean_start) << 1
        | connect.will.as_ref().filter(|_| PUBLISH).map_or(0, will)
        | u8::from(connect.password.is_some()) << 6
        | u8::from(connect.user_name.is_some()) << 7
}

fn put_properties(properties: &ConnectProperties, sink: &mut Sink<'_>) -> Result<(), EncodeError> {
    check_bounds(properties.receive_maximum, properties.maximum_packet_size)?;
    check(
        properties.authentication_data.is_none() || properties.authentication_method.is_some(),
        "authentication data without a method",
    )?;
    sink.properties(&|sink| {
        sink.u32_property(
            id::SESSION_EXPIRY_INTERVAL,
            properties.session_expiry_interval,
        );
        sink.u16_property(id::RECEIVE_MAXIMUM, properties.receive_maximum);
        sink.u32_property(id::MAXIMUM_PACKET_SIZE, properties.maximum_packet_size);
        sink.u16_property(id::TOPIC_ALIAS_MAXIMUM, properties.topic_alias_maximum);
        sink.flag_property(
            id::REQUEST_RESPONSE_INFORMATION,
            properties.request_response_information,
        );
        sink.flag_property(
            id::REQUEST_PROBLEM_INFORMATION,
            properties.request_problem_information,
        );
        sink.user_properties(&properties.user_properties);
        sink.authentication(
            properties.authentication_method.as_ref(),
            properties.authentication_data.as_ref(),
        );
    });
    Ok(())
}

fn put_will_properties(properties: &WillProperties, sink: &mut Sink<'_>) {
    sink.properties(&|sink| {
        sink.u32_property(id::WILL_DELAY_INTERVAL, properties.will_delay_interval);
        sink.flag_property(
            id::PAYLOAD_FORMAT_INDICATOR,
            properties.payload_format_indicator,
        );
        sink.u32_property(
            id::MESSAGE_EXPIRY_INTERVAL,
            properties.message_expiry_interval,
        );
        sink.text_property(id::CONTENT_TYPE, properties.content_type.as_ref());
        let response_topic = properties.response_topic.as_ref();
        sink.text_property(
            id::RESPONSE_TOPIC,
            response_topic.map(crate::TopicName::as_text),
        );
        sink.binary_property(id::CORRELATION_DATA, properties.correlation_data.as_ref());
        sink.user_properties(&properties.user_properties);
    });
}
