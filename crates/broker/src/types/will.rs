//! Wills (section 3.1.2.5).

use bytes::Bytes;
use mqtt::packet::{PublishProperties, WillProperties};
use mqtt::{Publish, Utf8String, Will};

use crate::types::{Cause, Grants, Parts, SessionId, held};

/// A copy of a will that keeps no read buffer alive.
pub(crate) fn detach_will(will: &Will) -> Will {
    let properties = &will.properties;
    Will {
        topic: will.topic.detach(),
        payload: Bytes::copy_from_slice(&will.payload),
        qos: will.qos,
        retain: will.retain,
        properties: WillProperties {
            will_delay_interval: properties.will_delay_interval,
            payload_format_indicator: properties.payload_format_indicator,
            message_expiry_interval: properties.message_expiry_interval,
            content_type: properties.content_type.as_ref().map(Utf8String::detach),
            response_topic: properties
                .response_topic
                .as_ref()
                .map(mqtt::TopicName::detach),
            correlation_data: properties
                .correlation_data
                .as_ref()
                .map(|data| Bytes::copy_from_slice(data)),
            user_properties: properties
                .user_properties
                .iter()
                .map(|(name, value)| (name.detach(), value.detach()))
                .collect(),
        },
    }
}

/// Bytes of memory that a will takes, approximately.
pub(crate) fn will_cost(will: &Will) -> usize {
    let properties = &will.properties;
    held(&Parts {
        topic: will.topic.len(),
        payload: will.payload.len(),
        content_type: properties.content_type.as_ref(),
        response_topic: properties.response_topic.as_ref(),
        correlation_data: properties.correlation_data.as_ref(),
        user_properties: &properties.user_properties,
    })
}

/// The message to publish for a will.
pub(crate) fn to_publish(will: &Will) -> Publish {
    let properties = &will.properties;
    Publish {
        dup: false,
        qos: will.qos,
        retain: will.retain,
        topic: Some(will.topic.clone()),
        packet_id: None,
        payload: will.payload.clone(),
        properties: PublishProperties {
            payload_format_indicator: properties.payload_format_indicator,
            message_expiry_interval: properties.message_expiry_interval,
            topic_alias: None,
            response_topic: properties.response_topic.clone(),
            correlation_data: properties.correlation_data.clone(),
            user_properties: properties.user_properties.clone(),
            subscription_identifiers: Vec::new(),
            content_type: properties.content_type.clone(),
        },
    }
}

/// A will that must be published now.
#[derive(Debug)]
pub(crate) struct DueWill {
    pub(crate) will: Will,
    /// The client that left the will.
    pub(crate) publisher: Utf8String,
    /// The client's session, unless that has ended.
    pub(crate) session: Option<SessionId>,
    /// Where the message came from, as records say it.
    pub(crate) cause: Cause,
    /// What the client may do. After a restart the rules may differ from those at CONNECT.
    pub(crate) grants: Grants,
}
