//! PUBLISH (section 3.3).

use super::Body;
use crate::codec::properties::{Properties, PropertySet};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::packet::{Packet, ProtocolVersion, Publish, PublishProperties, QoS};
use crate::topic::{TopicError, TopicName};

const DUP: u8 = 0x08;
const RETAIN: u8 = 0x01;

impl Body {
    /// Decodes to the end of the packet, because the payload takes all the bytes that are left.
    pub(super) fn publish(&mut self) -> Result<Option<Packet>, DecodeError> {
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
        let dup = self.first_byte & DUP != 0;
        let retain = self.first_byte & RETAIN != 0;
        if self.skip_no_properties()? {
            if topic.is_none() {
                return Err(error(DecodeErrorKind::NoTopic));
            }
            return Ok(Some(Packet::Publish(Publish {
                dup,
                qos,
                retain,
                topic,
                packet_id,
                payload: self.reader.rest(),
                properties: PublishProperties::default(),
            })));
        }
        let properties = self.publish_properties()?;
        if topic.is_none() && properties.topic_alias.is_none() {
            return Err(error(DecodeErrorKind::NoTopic));
        }
        Ok(Some(Packet::Publish(Publish {
            dup,
            qos,
            retain,
            topic,
            packet_id,
            payload: self.reader.rest(),
            properties,
        })))
    }

    /// Most messages have no properties. Filling and moving the large struct of properties would
    /// cost too much for them.
    fn skip_no_properties(&mut self) -> Result<bool, DecodeError> {
        if self.version == ProtocolVersion::V3_1_1 {
            return Ok(true);
        }
        if self.reader.peek() == Some(0) {
            self.reader.byte()?;
            return Ok(true);
        }
        Ok(false)
    }

    fn publish_properties(&mut self) -> Result<PublishProperties, DecodeError> {
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
