//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (sections 3.8 to 3.11).

use alloc::vec::Vec;

use super::Body;
use crate::codec::properties::{Properties, PropertySet};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::packet::{
    PacketType, ProtocolVersion, QoS, ReasonProperties, RetainHandling, SubAck, Subscribe,
    Subscription, UnsubAck, Unsubscribe,
};
use crate::reason::ReasonCode;
use crate::topic::TopicFilter;

const NO_LOCAL: u8 = 0x04;
const RETAIN_AS_PUBLISHED: u8 = 0x08;

impl Body {
    pub(super) fn subscribe(&mut self) -> Result<Subscribe, DecodeError> {
        let packet_id = self.reader.packet_id()?;
        let properties = match self.version {
            ProtocolVersion::V3_1_1 => Properties::default(),
            ProtocolVersion::V5 => Properties::read(&mut self.reader, PropertySet::SUBSCRIBE)?,
        };
        self.need_an_entry()?;
        let mut subscriptions = Vec::new();
        while self.reader.remaining() > 0 {
            let topic_filter = self.reader.topic_filter(self.version)?;
            subscriptions.push(self.subscription(topic_filter)?);
        }
        Ok(Subscribe {
            packet_id,
            subscriptions,
            subscription_identifier: properties.subscription_identifiers.first().copied(),
            user_properties: properties.user_properties,
        })
    }

    /// A filter's options (section 3.8.3.1); in 3.1.1 they hold only the `QoS`.
    fn subscription(&mut self, topic_filter: TopicFilter) -> Result<Subscription, DecodeError> {
        let offset = self.reader.offset();
        let options = self.reader.byte()?;
        let error = |kind| DecodeError { offset, kind };
        let reserved = match self.version {
            ProtocolVersion::V3_1_1 => 0xFC,
            ProtocolVersion::V5 => 0xC0,
        };
        // [MQTT-3.8.3-5]
        if options & reserved != 0 {
            return Err(error(DecodeErrorKind::Flags(options)));
        }
        let forbidden = error(DecodeErrorKind::SubscriptionOptions(options));
        let no_local = options & NO_LOCAL != 0;
        // [MQTT-3.8.3-4]
        if no_local && topic_filter.shared().is_some() {
            return Err(forbidden);
        }
        match (
            QoS::from_u8(options & 0x03),
            RetainHandling::from_u8(options >> 4 & 0x03),
        ) {
            (Some(qos), Some(retain_handling)) => Ok(Subscription {
                topic_filter,
                qos,
                no_local,
                retain_as_published: options & RETAIN_AS_PUBLISHED != 0,
                retain_handling,
            }),
            (None, _) | (_, None) => Err(forbidden),
        }
    }

    pub(super) fn suback(&mut self) -> Result<SubAck, DecodeError> {
        let packet_id = self.reader.packet_id()?;
        let properties = self.answer_properties()?;
        self.need_an_entry()?;
        Ok(SubAck {
            packet_id,
            reason_codes: self.reason_codes(PacketType::SubAck)?,
            properties,
        })
    }

    pub(super) fn unsubscribe(&mut self) -> Result<Unsubscribe, DecodeError> {
        let packet_id = self.reader.packet_id()?;
        let properties = match self.version {
            ProtocolVersion::V3_1_1 => Properties::default(),
            ProtocolVersion::V5 => Properties::read(&mut self.reader, PropertySet::UNSUBSCRIBE)?,
        };
        self.need_an_entry()?;
        let mut topic_filters = Vec::new();
        while self.reader.remaining() > 0 {
            topic_filters.push(self.reader.topic_filter(self.version)?);
        }
        Ok(Unsubscribe {
            packet_id,
            topic_filters,
            user_properties: properties.user_properties,
        })
    }

    pub(super) fn unsuback(&mut self) -> Result<UnsubAck, DecodeError> {
        let packet_id = self.reader.packet_id()?;
        let properties = self.answer_properties()?;
        let reason_codes = match self.version {
            ProtocolVersion::V3_1_1 => Vec::new(),
            ProtocolVersion::V5 => {
                self.need_an_entry()?;
                self.reason_codes(PacketType::UnsubAck)?
            }
        };
        Ok(UnsubAck {
            packet_id,
            reason_codes,
            properties,
        })
    }

    /// `[MQTT-3.8.3-2]` `[MQTT-3.10.3-2]`.
    fn need_an_entry(&self) -> Result<(), DecodeError> {
        if self.reader.remaining() == 0 {
            return Err(self.reader.error(DecodeErrorKind::Empty));
        }
        Ok(())
    }

    fn answer_properties(&mut self) -> Result<ReasonProperties, DecodeError> {
        match self.version {
            ProtocolVersion::V3_1_1 => Ok(ReasonProperties::default()),
            ProtocolVersion::V5 => self.reason_properties(),
        }
    }

    /// One code per byte, to the end `[MQTT-3.9.3-2]` `[MQTT-3.11.3-2]`.
    fn reason_codes(&mut self, packet_type: PacketType) -> Result<Vec<ReasonCode>, DecodeError> {
        let mut reason_codes = Vec::with_capacity(self.reader.remaining());
        while self.reader.remaining() > 0 {
            let offset = self.reader.offset();
            let code = self.reason_code(packet_type)?;
            // Version 3.1.1 has a single failure code.
            if self.version == ProtocolVersion::V3_1_1
                && code.is_error()
                && code != ReasonCode::UnspecifiedError
            {
                let kind = DecodeErrorKind::ReasonCode(code.as_u8());
                return Err(DecodeError { offset, kind });
            }
            reason_codes.push(code);
        }
        Ok(reason_codes)
    }
}
