//! PUBLISH (section 3.3).

use alloc::vec::Vec;
use core::num::NonZeroU16;

use bytes::Bytes;

use super::subscribe::SubscriptionIdentifier;
use super::types::{PacketId, QoS, UserProperty};
use crate::text::Utf8String;
use crate::topic::TopicName;

/// A message.
///
/// Topic, payload and the rest are slices of the bytes that it was decoded from. To keep a message
/// for long, keep the copy that [`Publish::detach`] makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The packet may have been sent before. Always false for `QoS` 0 `[MQTT-3.3.1-2]`.
    pub dup: bool,
    /// The quality of service.
    pub qos: QoS,
    /// To the server: keep the message. From the server: it was kept.
    pub retain: bool,
    /// The topic. `None` only if a topic alias stands for it (an empty name on the wire).
    pub topic: Option<TopicName>,
    /// Present with `QoS` 1 and 2, and only there `[MQTT-2.2.1-2]`.
    pub packet_id: Option<PacketId>,
    /// The payload: any bytes, or none.
    pub payload: Bytes,
    /// Version 5 only.
    pub properties: PublishProperties,
}

/// The properties of PUBLISH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishProperties {
    /// `true`: the payload is UTF-8.
    pub payload_format_indicator: Option<bool>,
    /// How many seconds the message may still live.
    pub message_expiry_interval: Option<u32>,
    /// Stands for the topic name on this connection.
    pub topic_alias: Option<NonZeroU16>,
    /// The topic for the answer.
    pub response_topic: Option<TopicName>,
    /// The data that the answer must carry.
    pub correlation_data: Option<Bytes>,
    /// Kept in order `[MQTT-3.3.2-18]`.
    pub user_properties: Vec<UserProperty>,
    /// The identifiers of the subscriptions that match. Only the server sends them
    /// `[MQTT-3.3.4-6]`.
    pub subscription_identifiers: Vec<SubscriptionIdentifier>,
    /// The kind of content, for example a MIME type.
    pub content_type: Option<Utf8String>,
}

impl Publish {
    /// A `QoS` 0 message that is not retained and has no properties.
    pub fn new(topic: TopicName, payload: impl Into<Bytes>) -> Self {
        Self {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: Some(topic),
            packet_id: None,
            payload: payload.into(),
            properties: PublishProperties::default(),
        }
    }

    /// A copy that holds no memory but its own bytes.
    #[must_use]
    pub fn detach(&self) -> Self {
        let properties = &self.properties;
        Self {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic: self.topic.as_ref().map(TopicName::detach),
            packet_id: self.packet_id,
            payload: Bytes::copy_from_slice(&self.payload),
            properties: PublishProperties {
                payload_format_indicator: properties.payload_format_indicator,
                message_expiry_interval: properties.message_expiry_interval,
                topic_alias: properties.topic_alias,
                response_topic: properties.response_topic.as_ref().map(TopicName::detach),
                correlation_data: properties
                    .correlation_data
                    .as_ref()
                    .map(|data| Bytes::copy_from_slice(data)),
                user_properties: properties
                    .user_properties
                    .iter()
                    .map(|(name, value)| (name.detach(), value.detach()))
                    .collect(),
                subscription_identifiers: properties.subscription_identifiers.clone(),
                content_type: properties.content_type.as_ref().map(Utf8String::detach),
            },
        }
    }
}
