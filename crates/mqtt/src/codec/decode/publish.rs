//! PUBLISH (section 3.3).

use super::Body;
use crate::codec::properties::{Properties, PropertySet};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::packet::{ProtocolVersion, Publish, PublishProperties, QoS};
use crate::topic::{TopicError, TopicName};

impl Body {
    pub(super) fn publish(&mut self) -> Result<Publish, DecodeError> {
        let topic_at = self.reader.offset();
        let error = |kind| DecodeError {
            offset: topic_at,
            kind,
        };
        // [MQTT-3.3.2-1] [MQTT-3.3.2-2]: with an alias the name may be empty.
        let topic = match TopicName::new(self.reader.text()?) {
            Ok(topic) => Some(topic),
            Err(TopicError::Empty) if self.version == ProtocolVersion::V5 => None,
            Err(wrong) => return Err(error(DecodeErrorKind::Topic(wrong))),
        };
        let qos = QoS::from_u8(self.first_byte >> 1 & 0x03).unwrap_or_default();
        // [MQTT-2.2.1-2]
        let packet_id = match qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce | QoS::ExactlyOnce => Some(self.reader.packet_id()?),
        };
        let properties = self.publish_properties()?;
        if topic.is_none() && properties.topic_alias.is_none() {
            return Err(error(DecodeErrorKind::NoTopic));
        }
        Ok(Publish {
            dup: self.first_byte & 0x08 != 0,
            qos,
            retain: self.first_byte & 0x01 != 0,
            topic,
            packet_id,
            payload: self.reader.rest(),
            properties,
        })
    }

    fn publish_properties(&mut self) -> Result<PublishProperties, DecodeError> {
        if self.version == ProtocolVersion::V3_1_1 {
            return Ok(PublishProperties::default());
        }
        // Most messages have none: not worth filling a struct of all there are.
        if self.reader.peek() == Some(0) {
            self.reader.byte()?;
            return Ok(PublishProperties::default());
        }
        let set = if self.from_server {
            PropertySet::PUBLISH_FROM_SERVER
        } else {
            PropertySet::PUBLISH_FROM_CLIENT
        };
        let properties = Properties::read(&mut self.reader, set)?;
        Ok(PublishProperties {
            payload_format_indicator: properties.payload_format_indicator,
            message_expiry_interval: properties.message_expiry_interval,
            topic_alias: properties.topic_alias,
            response_topic: properties.response_topic,
            correlation_data: properties.correlation_data,
            user_properties: properties.user_properties,
            subscription_identifiers: properties.subscription_identifiers,
            content_type: properties.content_type,
        })
    }
}
