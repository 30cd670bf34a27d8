//! A message as the broker keeps it, and what keeping it costs.

use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use mqtt::packet::SubscriptionIdentifier;
use mqtt::{Instant, Publish, QoS, TopicName, Utf8String};

use crate::types::{Lsn, MessageId};

/// A message that the broker keeps: retained, queued, or sent and not acknowledged. Its strings
/// and payload are copies, so it keeps no read buffer alive.
#[derive(Debug)]
pub(crate) struct Message {
    /// The message itself. Ignore its packet identifier, DUP flag, topic alias and subscription
    /// identifiers: they belong to one delivery, not to the message.
    pub(crate) publish: Publish,
    /// Who published it, for No Local.
    pub(crate) publisher: Utf8String,
    received: Instant,
    /// Bytes of memory, computed once.
    cost: usize,
    /// Its name in journal records; 0 if no record holds it. The field is atomic because
    /// sessions share the message through an [`Arc`], not because threads do.
    id: AtomicU64,
    /// The last record that holds the whole message; 0 if none does.
    stored: AtomicU64,
    /// Set while the message counts towards the size of a checkpoint.
    counted: OnceLock<Counted>,
}

/// Bytes of all messages that a checkpoint would hold. A message counts once, however many
/// sessions share it, until the last of them drops it.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageBytes(Arc<AtomicU64>);

/// One message's part of a [`MessageBytes`]. Dropping it subtracts the part.
#[derive(Debug)]
struct Counted {
    message_bytes: MessageBytes,
    bytes: u64,
}

/// How one session gets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) identifiers: Identifiers,
}

/// The identifiers of all subscriptions that a message is sent for `[MQTT-3.3.4-4]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Identifiers {
    #[default]
    None,
    One([SubscriptionIdentifier; 1]),
    Many(Box<[SubscriptionIdentifier]>),
}

impl MessageBytes {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.message_bytes
            .0
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Message {
    pub(crate) fn new(now: Instant, publish: &Publish, publisher: &Utf8String) -> Self {
        Self {
            publish: publish.detach(),
            publisher: publisher.clone(),
            received: now,
            cost: cost(publish),
            id: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            counted: OnceLock::new(),
        }
    }

    /// Counts the message towards the size of a checkpoint, until it is dropped. Further calls
    /// change nothing.
    pub(crate) fn count(&self, message_bytes: &MessageBytes) {
        /// Bytes of the frame, the message's name, its time of arrival, and the lengths of its
        /// parts.
        const RECORD: usize = 64;
        self.counted.get_or_init(|| {
            let bytes = self.cost.saturating_sub(OVERHEAD) + self.publisher.len() + RECORD;
            let bytes = bytes as u64;
            message_bytes.0.fetch_add(bytes, Ordering::Relaxed);
            Counted {
                message_bytes: message_bytes.clone(),
                bytes,
            }
        });
    }

    /// The message's name in records, if a record holds it.
    pub(crate) fn id(&self) -> Option<MessageId> {
        NonZeroU64::new(self.id.load(Ordering::Relaxed)).map(MessageId)
    }

    /// Sets the name that records will use.
    pub(crate) fn set_id(&self, id: MessageId) {
        self.id.store(id.0.get(), Ordering::Relaxed);
    }

    /// Forgets the name: no record holds the message any more.
    pub(crate) fn forget_id(&self) {
        self.id.store(0, Ordering::Relaxed);
    }

    /// The last record that holds the whole message.
    pub(crate) fn stored(&self) -> Option<Lsn> {
        let lsn = self.stored.load(Ordering::Relaxed);
        (lsn > 0).then_some(Lsn(lsn))
    }

    /// Notes that the record `lsn` holds the whole message under the name `id`.
    pub(crate) fn set_stored(&self, id: MessageId, lsn: Lsn) {
        self.id.store(id.0.get(), Ordering::Relaxed);
        self.stored.store(lsn.0, Ordering::Relaxed);
    }

    /// When the message arrived.
    pub(crate) fn received(&self) -> Instant {
        self.received
    }

    /// The topic name.
    pub(crate) fn topic(&self) -> &str {
        topic(&self.publish)
    }

    /// Bytes of memory, approximately.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// When its expiry interval ends, if it has one.
    pub(crate) fn expires(&self) -> Option<Instant> {
        let seconds = self.publish.properties.message_expiry_interval?;
        Some(self.received + Duration::from_secs(seconds.into()))
    }

    /// Whether its expiry interval has passed `[MQTT-3.3.2-5]`.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires().is_some_and(|at| at <= now)
    }

    /// The seconds left of its expiry interval `[MQTT-3.3.2-6]`.
    pub(crate) fn remaining_expiry(&self, now: Instant) -> Option<u32> {
        let seconds = self.publish.properties.message_expiry_interval?;
        let waited = now.saturating_since(self.received).as_secs();
        Some(seconds.saturating_sub(u32::try_from(waited).unwrap_or(u32::MAX)))
    }
}

impl Identifiers {
    pub(crate) fn as_slice(&self) -> &[SubscriptionIdentifier] {
        match self {
            Self::None => &[],
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }

    /// Bytes of memory besides the value itself.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::None | Self::One(_) => 0,
            Self::Many(many) => core::mem::size_of_val(&**many),
        }
    }

    pub(crate) fn collect(identifiers: impl Iterator<Item = SubscriptionIdentifier>) -> Self {
        let mut identifiers = identifiers;
        let Some(first) = identifiers.next() else {
            return Self::None;
        };
        let Some(second) = identifiers.next() else {
            return Self::One([first]);
        };
        let mut all = vec![first, second];
        all.extend(identifiers);
        Self::Many(all.into())
    }
}

impl From<Option<SubscriptionIdentifier>> for Identifiers {
    fn from(identifier: Option<SubscriptionIdentifier>) -> Self {
        identifier.map_or(Self::None, |identifier| Self::One([identifier]))
    }
}

/// The parts of a message or a will that take memory.
pub(crate) struct Parts<'a> {
    pub(crate) topic: usize,
    pub(crate) payload: usize,
    pub(crate) content_type: Option<&'a Utf8String>,
    pub(crate) response_topic: Option<&'a TopicName>,
    pub(crate) correlation_data: Option<&'a Bytes>,
    pub(crate) user_properties: &'a [(Utf8String, Utf8String)],
}

/// Bytes that a message takes besides its contents: the allocations and their headers.
const OVERHEAD: usize = 384;

/// Bytes of memory that a message or will of these parts takes, approximately.
pub(crate) fn held(parts: &Parts<'_>) -> usize {
    /// Two strings, each with an allocation of its own.
    const USER_PROPERTY: usize = 128;
    let user_properties = parts.user_properties.iter();
    OVERHEAD
        + parts.topic
        + parts.payload
        + parts.content_type.map_or(0, |text| text.len())
        + parts.response_topic.map_or(0, |topic| topic.len())
        + parts.correlation_data.map_or(0, Bytes::len)
        + user_properties
            .map(|(name, value)| name.len() + value.len() + USER_PROPERTY)
            .sum::<usize>()
}

pub(crate) fn topic(publish: &Publish) -> &str {
    publish.topic.as_ref().map_or("", TopicName::as_str)
}

/// Bytes of memory that keeping `publish` takes, approximately.
pub(crate) fn cost(publish: &Publish) -> usize {
    let properties = &publish.properties;
    held(&Parts {
        topic: topic(publish).len(),
        payload: publish.payload.len(),
        content_type: properties.content_type.as_ref(),
        response_topic: properties.response_topic.as_ref(),
        correlation_data: properties.correlation_data.as_ref(),
        user_properties: &properties.user_properties,
    })
}
