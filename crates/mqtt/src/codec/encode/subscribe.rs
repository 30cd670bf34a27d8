//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (sections 3.8 to 3.11).

use super::ack::put_reason_properties;
use super::publish::MAX_SUBSCRIPTION_IDENTIFIER;
use super::{check, check_reason_code};
use crate::codec::properties::id;
use crate::codec::sink::Sink;
use crate::error::EncodeError;
use crate::packet::{
    PacketType, ProtocolVersion, SubAck, Subscribe, Subscription, UnsubAck, Unsubscribe,
};
use crate::reason::ReasonCode;

pub(super) fn put_subscribe(
    subscribe: &Subscribe,
    version: ProtocolVersion,
    sink: &mut Sink<'_>,
) -> Result<(), EncodeError> {
    // [MQTT-3.8.3-2]
    check(
        !subscribe.subscriptions.is_empty(),
        "SUBSCRIBE without a topic filter [MQTT-3.8.3-2]",
    )?;
    sink.u16(subscribe.packet_id.get());
    if version == ProtocolVersion::V5 {
        let identifier = subscribe.subscription_identifier;
        check(
            identifier.is_none_or(|identifier| identifier.get() <= MAX_SUBSCRIPTION_IDENTIFIER),
            "a subscription identifier above 268,435,455",
        )?;
        sink.properties(&|sink| {
            if let Some(identifier) = identifier {
                sink.byte(id::SUBSCRIPTION_IDENTIFIER);
                sink.variable_byte_integer(identifier.get() as usize);
            }
            sink.user_properties(&subscribe.user_properties);
        });
    }
    for subscription in &subscribe.subscriptions {
        sink.binary(subscription.topic_filter.as_text().as_bytes());
        sink.byte(options(subscription, version)?);
    }
    Ok(())
}

/// Section 3.8.3.1. In 3.1.1 the byte holds only the `QoS`.
fn options(subscription: &Subscription, version: ProtocolVersion) -> Result<u8, EncodeError> {
    let qos = subscription.qos.as_u8();
    match version {
        ProtocolVersion::V3_1_1 => Ok(qos),
        ProtocolVersion::V5 => {
            // [MQTT-3.8.3-4]
            check(
                !subscription.no_local || subscription.topic_filter.shared().is_none(),
                "No Local on a shared subscription [MQTT-3.8.3-4]",
            )?;
            Ok(qos
                | u8::from(subscription.no_local) << 2
                | u8::from(subscription.retain_as_published) << 3
                | (subscription.retain_handling as u8) << 4)
        }
    }
}

pub(super) fn put_suback(
    suback: &SubAck,
    version: ProtocolVersion,
    sink: &mut Sink<'_>,
) -> Result<(), EncodeError> {
    check(
        !suback.reason_codes.is_empty(),
        "SUBACK without a reason code [MQTT-3.8.4-6]",
    )?;
    sink.u16(suback.packet_id.get());
    if version == ProtocolVersion::V5 {
        put_reason_properties(&suback.properties, sink);
    }
    for &code in &suback.reason_codes {
        check_reason_code(code, PacketType::SubAck)?;
        sink.byte(match version {
            // Version 3.1.1 has a single failure code.
            ProtocolVersion::V3_1_1 if code.is_error() => ReasonCode::UnspecifiedError.as_u8(),
            ProtocolVersion::V3_1_1 | ProtocolVersion::V5 => code.as_u8(),
        });
    }
    Ok(())
}

pub(super) fn put_unsubscribe(
    unsubscribe: &Unsubscribe,
    version: ProtocolVersion,
    sink: &mut Sink<'_>,
) -> Result<(), EncodeError> {
    // [MQTT-3.10.3-2]
    check(
        !unsubscribe.topic_filters.is_empty(),
        "UNSUBSCRIBE without a topic filter [MQTT-3.10.3-2]",
    )?;
    sink.u16(unsubscribe.packet_id.get());
    if version == ProtocolVersion::V5 {
        sink.properties(&|sink| sink.user_properties(&unsubscribe.user_properties));
    }
    for topic_filter in &unsubscribe.topic_filters {
        sink.binary(topic_filter.as_text().as_bytes());
    }
    Ok(())
}

pub(super) fn put_unsuback(
    unsuback: &UnsubAck,
    version: ProtocolVersion,
    sink: &mut Sink<'_>,
) -> Result<(), EncodeError> {
    sink.u16(unsuback.packet_id.get());
    if version == ProtocolVersion::V3_1_1 {
        return Ok(());
    }
    check(
        !unsuback.reason_codes.is_empty(),
        "UNSUBACK without a reason code [MQTT-3.11.3-2]",
    )?;
    put_reason_properties(&unsuback.properties, sink);
    for &code in &unsuback.reason_codes {
        check_reason_code(code, PacketType::UnsubAck)?;
        sink.byte(code.as_u8());
    }
    Ok(())
}
