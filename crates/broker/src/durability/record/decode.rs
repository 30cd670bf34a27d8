//! Decodes records.

use core::num::NonZeroU64;

use bytes::Bytes;
use mqtt::packet::{SubscriptionIdentifier, WillProperties};
use mqtt::{Decoder, Instant, Packet, PacketId, ProtocolVersion, Publish, QoS, Will};

use super::fields::Fields;
use super::{cause, delivery, kind, options, retention};
use crate::durability::{
    Absence, Accepted, FromSession, InQueue, InWindow, Malformed, Recipient, Record, Retention,
    SessionState, Stored, Subscribed, Terms, TransientWill,
};
use crate::types::{
    Cause, Delivery, GroupId, Holder, Identifiers, Interval, Lsn, MessageId, Origin, SessionNumber,
};

impl Record {
    /// Texts and payloads are slices of `bytes`.
    pub(crate) fn decode(bytes: Bytes) -> Result<Self, Malformed> {
        let mut fields = Fields::new(bytes);
        let kind = fields.byte("kind")?;
        let record = fields.record(kind)?;
        fields.finish()?;
        Ok(record)
    }
}

/// The [delivery byte](super::delivery) in parts.
struct DeliveryByte {
    delivery: Delivery,
    origin: Origin,
    packet_id: Option<PacketId>,
}

impl Fields {
    // Long, because it is one list: an arm for each kind of record.
    fn record(&mut self, kind: u8) -> Result<Record, Malformed> {
        Ok(match kind {
            kind::OPENED => Record::Opened {
                session: self.session()?,
                client_id: self.text("client identifier")?,
                terms: self.terms()?,
            },
            kind::RESUMED => Record::Resumed {
                session: self.session()?,
                terms: self.terms()?,
            },
            kind::DISCONNECTED => Record::Disconnected {
                session: self.session()?,
                expiry_interval: self.u32("expiry interval")?,
                absence: self.absence()?,
                is_will_gone: self.flag("whether the will is gone")?,
            },
            kind::ENDED => Record::Ended {
                session: self.session()?,
            },
            kind::SUBSCRIBED => Record::Subscribed {
                session: self.session()?,
                subscriptions: self.list("subscriptions", Self::subscribed)?,
            },
            kind::UNSUBSCRIBED => Record::Unsubscribed {
                session: self.session()?,
                filters: self.list("topic filters", |it| it.text("topic filter"))?,
            },
            kind::ACCEPTED => Record::Accepted(Box::new(self.accepted()?)),
            kind::INCOMING => Record::Incoming {
                session: self.session()?,
                packet_id: self.packet_id()?,
            },
            kind::RELEASED => Record::Released {
                session: self.session()?,
                packet_id: self.packet_id()?,
            },
            kind::MESSAGE => Record::Message {
                id: self.message_id()?,
                message: self.stored()?,
            },
            kind::QUEUED => Record::Queued {
                message: self.message_id()?,
                from: self.from()?,
                recipient: self.recipient()?,
            },
            kind::SENT => Record::Sent {
                session: self.session()?,
                message: self.message_id()?,
                packet_id: self.packet_id()?,
            },
            kind::RECEIVED => Record::Received {
                session: self.session()?,
                packet_id: self.packet_id()?,
            },
            kind::DONE => Record::Done {
                session: self.session()?,
                packet_id: self.packet_id()?,
            },
            kind::DROPPED => {
                let holder = self.holder()?;
                let message = self.message_id()?;
                let origin = self.delivery_byte()?.origin;
                self.check_holder(holder, origin)?;
                Record::Dropped {
                    holder,
                    message,
                    origin,
                }
            }
            kind::WILL_PUBLISHED => Record::WillPublished {
                session: self.session()?,
            },
            kind::TRANSIENT_WILL => Record::TransientWill(Box::new(TransientWill {
                session: self.session()?,
                client_id: self.text("client identifier")?,
                will: Box::new(self.will()?),
            })),
            kind::TRANSIENT_WILL_ENDED => Record::TransientWillEnded {
                session: self.session()?,
            },
            kind::RETAINED_MESSAGE => Record::RetainedMessage {
                id: self.message_id()?,
                message: self.stored()?,
            },
            kind::RETAINED => Record::Retained {
                message: self.message_id()?,
            },
            kind::LOOKUP_ENDED => Record::LookupEnded {
                session: self.session()?,
                filter: self.text("topic filter")?,
            },
            kind::SESSION => Record::Session(Box::new(self.state()?)),
            kind::CHECKPOINT_BEGAN => Record::CheckpointBegan,
            kind::NUMBERS => Record::Numbers {
                sessions: self.number("session number")?,
                groups: GroupId(self.number("group")?),
            },
            kind::CHECKPOINT_ENDED => Record::CheckpointEnded {
                from: Lsn(self.number("record number")?),
            },
            kind::RESTARTED => Record::Restarted,
            other => return Err(Malformed::Kind(other)),
        })
    }

    fn session(&mut self) -> Result<SessionNumber, Malformed> {
        let what = "session number";
        let number = NonZeroU64::new(self.number(what)?);
        number
            .map(SessionNumber)
            .ok_or_else(|| self.malformed(what))
    }

    fn message_id(&mut self) -> Result<MessageId, Malformed> {
        let what = "message number";
        let number = NonZeroU64::new(self.number(what)?);
        number.map(MessageId).ok_or_else(|| self.malformed(what))
    }

    fn flag(&mut self, what: &'static str) -> Result<bool, Malformed> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.malformed(what)),
        }
    }

    fn terms(&mut self) -> Result<Terms, Malformed> {
        let expiry_interval = self.u32("expiry interval")?;
        let will = if self.flag("whether there is a will")? {
            Some(Box::new(self.will()?))
        } else {
            None
        };
        Ok(Terms {
            expiry_interval,
            will,
        })
    }

    fn will(&mut self) -> Result<Will, Malformed> {
        let will_delay_interval = self.u32_if("will delay interval")?;
        let publish = self.publish()?;
        let properties = publish.properties;
        Ok(Will {
            topic: publish.topic.ok_or_else(|| self.malformed("topic"))?,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties: WillProperties {
                will_delay_interval,
                payload_format_indicator: properties.payload_format_indicator,
                message_expiry_interval: properties.message_expiry_interval,
                content_type: properties.content_type,
                response_topic: properties.response_topic,
                correlation_data: properties.correlation_data,
                user_properties: properties.user_properties,
            },
        })
    }

    fn absence(&mut self) -> Result<Absence, Malformed> {
        Ok(Absence {
            expires_at: self.time("time of expiry")?,
            will_at: self.time("time of the will")?,
        })
    }

    fn qos(&mut self, bits: u8) -> Result<QoS, Malformed> {
        QoS::from_u8(bits & 0x03).ok_or_else(|| self.malformed("QoS"))
    }

    fn identifier(&mut self) -> Result<SubscriptionIdentifier, Malformed> {
        let what = "subscription identifier";
        let number = self.u32(what)?;
        SubscriptionIdentifier::new(number).ok_or_else(|| self.malformed(what))
    }

    fn subscribed(&mut self) -> Result<Subscribed, Malformed> {
        let filter = self.text("topic filter")?;
        let bits = self.byte("subscription options")?;
        let group = if bits & options::SHARED != 0 {
            Some(GroupId(self.number("group")?))
        } else {
            None
        };
        let what = "subscription identifier";
        let identifier = match self.u32_if(what)? {
            None => None,
            Some(number) => {
                let number = SubscriptionIdentifier::new(number);
                Some(number.ok_or_else(|| self.malformed(what))?)
            }
        };
        let latest = if bits & options::LATEST != 0 {
            let interval = Interval::from_millis(self.number("interval")?);
            Some(interval.ok_or_else(|| self.malformed("interval"))?)
        } else {
            None
        };
        Ok(Subscribed {
            filter,
            group,
            identifier,
            qos: self.qos(bits)?,
            no_local: bits & options::NO_LOCAL != 0,
            retain_as_published: bits & options::RETAIN_AS_PUBLISHED != 0,
            latest,
            asks: bits & options::ASKS != 0,
        })
    }

    fn from(&mut self) -> Result<Option<FromSession>, Malformed> {
        let Some(number) = NonZeroU64::new(self.number("session number")?) else {
            return Ok(None);
        };
        Ok(Some(FromSession {
            session: SessionNumber(number),
            packet_id: PacketId::new(self.u16("packet identifier")?),
        }))
    }

    fn accepted(&mut self) -> Result<Accepted, Malformed> {
        let retention = match self.byte("retention")? {
            retention::UNCHANGED => Retention::Unchanged,
            retention::KEPT => Retention::Kept,
            retention::REMOVED => Retention::Removed,
            _ => return Err(self.malformed("retention")),
        };
        let cause = match self.byte("cause")? {
            cause::CLIENT => Cause::Client,
            cause::INCOMING => Cause::Incoming(self.session()?, self.packet_id()?),
            cause::WILL => Cause::Will(self.session()?),
            cause::LAST_WILL => Cause::LastWill(self.session()?),
            cause::TRANSIENT_WILL => Cause::TransientWill(self.session()?),
            cause::OTHER_WILL => Cause::OtherWill,
            _ => return Err(self.malformed("cause")),
        };
        Ok(Accepted {
            retention,
            cause,
            message: self.stored()?,
            recipients: self.list("recipients", Self::recipient)?,
        })
    }

    fn stored(&mut self) -> Result<Stored, Malformed> {
        Ok(Stored {
            publisher: self.text("publisher")?,
            received: Instant::from_micros(self.number("time")?),
            publish: self.publish()?,
        })
    }

    fn publish(&mut self) -> Result<Publish, Malformed> {
        let bits = self.byte("QoS")?;
        let qos = self.qos(bits)?;
        let mut packet = self.fixed_bytes("message")?;
        let mut decoder = Decoder::client(ProtocolVersion::V5);
        decoder.set_max_packet_size(u32::MAX);
        match decoder.decode(&mut packet) {
            Ok(Some(Packet::Publish(mut publish))) => {
                publish.qos = qos;
                let properties = &publish.properties;
                let is_plain = packet.is_empty()
                    && publish.topic.is_some()
                    && publish.packet_id.is_none()
                    && properties.topic_alias.is_none()
                    && properties.subscription_identifiers.is_empty();
                if is_plain {
                    Ok(publish)
                } else {
                    Err(self.malformed("message"))
                }
            }
            Ok(_) | Err(_) => Err(self.malformed("message")),
        }
    }

    fn recipient(&mut self) -> Result<Recipient, Malformed> {
        let holder = self.holder()?;
        let form = self.delivery_byte()?;
        self.check_holder(holder, form.origin)?;
        Ok(Recipient {
            holder,
            delivery: form.delivery,
            origin: form.origin,
            packet_id: form.packet_id,
        })
    }

    fn holder(&mut self) -> Result<Holder, Malformed> {
        let number = NonZeroU64::new(self.number("session number")?);
        Ok(number.map_or(Holder::Group, |it| Holder::Session(SessionNumber(it))))
    }

    /// Checks that a group only holds messages that were shared in it.
    fn check_holder(&mut self, holder: Holder, origin: Origin) -> Result<(), Malformed> {
        match (holder, origin) {
            (Holder::Session(_), _) | (Holder::Group, Origin::Shared(_)) => Ok(()),
            (Holder::Group, Origin::Live | Origin::Retained) => Err(self.malformed("origin")),
        }
    }

    fn delivery_byte(&mut self) -> Result<DeliveryByte, Malformed> {
        let bits = self.byte("delivery byte")?;
        self.delivery_of(bits)
    }

    fn delivery_of(&mut self, bits: u8) -> Result<DeliveryByte, Malformed> {
        let is_retained = bits & delivery::ORIGIN_RETAINED != 0;
        let origin = match (is_retained, bits & delivery::ORIGIN_SHARED != 0) {
            (false, false) => Origin::Live,
            (true, false) => Origin::Retained,
            (false, true) => Origin::Shared(GroupId(self.number("group")?)),
            (true, true) => return Err(self.malformed("origin")),
        };
        let packet_id = if bits & delivery::PACKET_ID != 0 {
            Some(self.packet_id()?)
        } else {
            None
        };
        let identifiers = if bits & delivery::IDENTIFIERS != 0 {
            let list = self.list("subscription identifiers", Self::identifier)?;
            Identifiers::collect(list.into_iter())
        } else {
            Identifiers::None
        };
        let qos = self.qos(bits)?;
        if qos == QoS::AtMostOnce {
            return Err(self.malformed("QoS 1 or 2"));
        }
        Ok(DeliveryByte {
            delivery: Delivery {
                qos,
                retain: bits & delivery::RETAIN != 0,
                identifiers,
            },
            origin,
            packet_id,
        })
    }

    fn state(&mut self) -> Result<SessionState, Malformed> {
        Ok(SessionState {
            session: self.session()?,
            client_id: self.text("client identifier")?,
            terms: self.terms()?,
            absence: if self.flag("whether it is absent")? {
                Some(self.absence()?)
            } else {
                None
            },
            last_packet_id: self.u16("packet identifier")?,
            incoming: self.list("packet identifiers", Self::packet_id)?,
            subscriptions: self.list("subscriptions", Self::subscribed)?,
            window: self.list("window", Self::in_window)?,
            queue: self.list("queue", Self::in_queue)?,
            lookups: self.list("lookups", Self::subscribed)?,
        })
    }

    fn in_window(&mut self) -> Result<InWindow, Malformed> {
        let bits = self.byte("delivery byte")?;
        if bits == delivery::RECEIVED {
            return Ok(InWindow {
                packet_id: self.packet_id()?,
                message: None,
            });
        }
        let form = self.delivery_of(bits)?;
        let message = self.message_id()?;
        let packet_id = form.packet_id;
        Ok(InWindow {
            packet_id: packet_id.ok_or_else(|| self.malformed("packet identifier"))?,
            message: Some(InQueue {
                message,
                delivery: form.delivery,
                origin: form.origin,
            }),
        })
    }

    fn in_queue(&mut self) -> Result<InQueue, Malformed> {
        let form = self.delivery_byte()?;
        Ok(InQueue {
            message: self.message_id()?,
            delivery: form.delivery,
            origin: form.origin,
        })
    }
}
