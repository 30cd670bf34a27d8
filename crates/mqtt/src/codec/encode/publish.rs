//! PUBLISH (section 3.3).

use core::num::NonZeroU16;

use super::check;
use crate::codec::properties::id;
use crate::codec::sink::{Diagnostics, Sink, variable_byte_integer_len};
use crate::error::EncodeError;
use crate::packet::{
    PacketId, ProtocolVersion, Publish, PublishProperties, QoS, SubscriptionIdentifier,
};
use crate::topic::TopicName;

/// The largest value of a variable byte integer (section 3.3.2.3.8).
pub(super) const MAX_SUBSCRIPTION_IDENTIFIER: u32 = 268_435_455;

/// What may differ between the receivers of one message, apart from what a
/// [`TemplatePatch`](super::TemplatePatch) changes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct PublishForm<'a> {
    /// The `QoS` of this delivery: never above the publisher's own `[MQTT-3.8.4-8]`.
    pub qos: QoS,
    /// The retain flag, as the subscription asks for it `[MQTT-3.3.1-12]` `[MQTT-3.3.1-13]`.
    pub retain: bool,
    /// How the packet names its topic.
    pub topic: TopicForm,
    /// The identifiers of the subscriptions that match `[MQTT-3.3.4-3]`; version 5 only.
    pub subscription_identifiers: &'a [SubscriptionIdentifier],
}

/// How a PUBLISH names its topic (section 3.3.2.3.4). Version 3.1.1 always uses the name.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicForm {
    /// The name alone.
    Name,
    /// The name, and an alias that stands for it from now on.
    NameAndAlias(NonZeroU16),
    /// The alias alone.
    Alias(NonZeroU16),
}

impl<'a> PublishForm<'a> {
    /// The form of `publish` as it is.
    pub fn of(publish: &'a Publish) -> Self {
        let topic = match (&publish.topic, publish.properties.topic_alias) {
            (Some(_) | None, None) => TopicForm::Name,
            (Some(_), Some(alias)) => TopicForm::NameAndAlias(alias),
            (None, Some(alias)) => TopicForm::Alias(alias),
        };
        Self {
            qos: publish.qos,
            retain: publish.retain,
            topic,
            subscription_identifiers: &publish.properties.subscription_identifiers,
        }
    }
}

impl TopicForm {
    const fn alias(self) -> Option<NonZeroU16> {
        match self {
            Self::Name => None,
            Self::NameAndAlias(alias) | Self::Alias(alias) => Some(alias),
        }
    }
}

pub(super) fn put(
    publish: &Publish,
    version: ProtocolVersion,
    sink: &mut Sink<'_>,
) -> Result<(), EncodeError> {
    // [MQTT-3.3.1-2]
    check(
        !publish.dup || publish.qos != QoS::AtMostOnce,
        "QoS 0 with DUP [MQTT-3.3.1-2]",
    )?;
    // [MQTT-2.2.1-2] [MQTT-2.2.1-3]
    check(
        publish.packet_id.is_some() == (publish.qos != QoS::AtMostOnce),
        "a packet identifier goes with QoS 1 and 2, and only with them",
    )?;
    let head = Head::new(publish, version, &PublishForm::of(publish))?;
    head.put(publish.packet_id.map_or(0, PacketId::get), sink);
    sink.raw(&publish.payload);
    Ok(())
}

pub(super) const fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    0x30 | (dup as u8) << 3 | qos.as_u8() << 1 | retain as u8
}

/// The variable header: everything between the fixed header and the payload.
pub(super) struct Head<'a> {
    topic: &'a [u8],
    form: PublishForm<'a>,
    /// Absent in version 3.1.1.
    properties: Option<&'a PublishProperties>,
}

impl<'a> Head<'a> {
    pub(super) fn new(
        publish: &'a Publish,
        version: ProtocolVersion,
        form: &PublishForm<'a>,
    ) -> Result<Self, EncodeError> {
        let topic = match (form.topic, &publish.topic) {
            (TopicForm::Alias(_), _) if version == ProtocolVersion::V5 => &[][..],
            (TopicForm::Name | TopicForm::NameAndAlias(_) | TopicForm::Alias(_), Some(topic)) => {
                topic.as_text().as_bytes()
            }
            (TopicForm::Name | TopicForm::NameAndAlias(_) | TopicForm::Alias(_), None) => {
                return Err(EncodeError::Invalid("PUBLISH without a topic name"));
            }
        };
        check(
            form.subscription_identifiers
                .iter()
                .all(|id| id.get() <= MAX_SUBSCRIPTION_IDENTIFIER),
            "a subscription identifier above 268,435,455",
        )?;
        Ok(Self {
            topic,
            form: *form,
            properties: (version == ProtocolVersion::V5).then_some(&publish.properties),
        })
    }

    /// The offset of the packet identifier from the start of the variable header, if there is one.
    pub(super) fn packet_id_at(&self) -> Option<usize> {
        (self.form.qos != QoS::AtMostOnce).then_some(2 + self.topic.len())
    }

    /// The offset of the Message Expiry Interval's value from the start of the variable header, if
    /// the packet has one.
    pub(super) fn message_expiry_interval_at(&self) -> Option<usize> {
        self.properties?.message_expiry_interval?;
        // Its property comes first: one byte of identifier, then the value.
        Some(self.properties_at()? + 1)
    }

    /// The offset of the topic alias's value from the start of the variable header, if the packet
    /// has one.
    pub(super) fn topic_alias_at(&self) -> Option<usize> {
        let properties = self.properties?;
        self.form.topic.alias()?;
        let expiry = properties.message_expiry_interval.map_or(0, |_| 5);
        let format = properties.payload_format_indicator.map_or(0, |_| 2);
        Some(self.properties_at()? + expiry + format + 1)
    }

    /// The offset of the first property.
    fn properties_at(&self) -> Option<usize> {
        let properties = self.properties?;
        let mut before = 2 + self.topic.len();
        if self.packet_id_at().is_some() {
            before += 2;
        }
        let mut count = Sink::counting(Diagnostics::Full);
        self.put_properties(properties, &mut count);
        let property_length = count.finish().ok()?;
        Some(before + variable_byte_integer_len(property_length))
    }

    pub(super) fn put(&self, packet_id: u16, sink: &mut Sink<'_>) {
        sink.binary(self.topic);
        if self.form.qos != QoS::AtMostOnce {
            sink.u16(packet_id);
        }
        if let Some(properties) = self.properties {
            if self.is_bare(properties) {
                sink.byte(0);
            } else {
                sink.properties(&|sink| self.put_properties(properties, sink));
            }
        }
    }

    /// Most messages have no properties, and the broker encodes many of them.
    fn is_bare(&self, properties: &PublishProperties) -> bool {
        self.form.topic.alias().is_none()
            && self.form.subscription_identifiers.is_empty()
            && properties.payload_format_indicator.is_none()
            && properties.message_expiry_interval.is_none()
            && properties.response_topic.is_none()
            && properties.correlation_data.is_none()
            && properties.user_properties.is_empty()
            && properties.content_type.is_none()
    }

    fn put_properties(&self, properties: &PublishProperties, sink: &mut Sink<'_>) {
        // This property comes first and the topic alias third, so that a template finds them: see
        // `message_expiry_interval_at` and `topic_alias_at`.
        sink.u32_property(
            id::MESSAGE_EXPIRY_INTERVAL,
            properties.message_expiry_interval,
        );
        sink.flag_property(
            id::PAYLOAD_FORMAT_INDICATOR,
            properties.payload_format_indicator,
        );
        sink.u16_property(
            id::TOPIC_ALIAS,
            self.form.topic.alias().map(NonZeroU16::get),
        );
        let response_topic = properties.response_topic.as_ref();
        sink.text_property(id::RESPONSE_TOPIC, response_topic.map(TopicName::as_text));
        sink.binary_property(id::CORRELATION_DATA, properties.correlation_data.as_ref());
        sink.user_properties(&properties.user_properties);
        for identifier in self.form.subscription_identifiers {
            sink.byte(id::SUBSCRIPTION_IDENTIFIER);
            sink.variable_byte_integer(identifier.get() as usize);
        }
        sink.text_property(id::CONTENT_TYPE, properties.content_type.as_ref());
    }
}
