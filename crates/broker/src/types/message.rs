//! A message on its way through the broker, and as it is kept.

use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use mqtt::packet::SubscriptionIdentifier;
use mqtt::{Instant, Publish, QoS, TopicName, Utf8String};

use crate::types::{Lsn, MessageId};

/// A message that is kept: retained, queued, or sent and not acknowledged. It holds on to
/// nothing but its own bytes.
#[derive(Debug)]
pub(crate) struct Message {
    /// Its packet identifier, DUP flag, topic alias and subscription identifiers mean
    /// nothing here.
    pub(crate) publish: Publish,
    /// Who published it, for No Local.
    pub(crate) publisher: Utf8String,
    received: Instant,
    /// What it takes, worked out once.
    cost: usize,
    /// Its name in records; 0: it is in none. Atomic because sessions share the message, not
    /// because threads do.
    id: AtomicU64,
    /// The last record that holds it whole; 0: none.
    stored: AtomicU64,
    /// It is part of what a copy of everything takes.
    counted: OnceLock<Counted>,
}

/// Bytes of the messages that a copy of everything would hold, each once: as long as somebody has
/// the message, whoever that is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<AtomicU64>);

/// Part of a [`Tally`].
#[derive(Debug)]
struct Counted {
    tally: Tally,
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

impl Tally {
    pub(crate) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tally.0.fetch_sub(self.bytes, Ordering::Relaxed);
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

    /// A copy of everything has to hold it from now on, until nobody has it any more.
    pub(crate) fn count(&self, tally: &Tally) {
        /// A frame, its name, when it came, and the lengths of its parts.
        const RECORD: usize = 64;
        self.counted.get_or_init(|| {
            let bytes = self.cost.saturating_sub(OVERHEAD) + self.publisher.len() + RECORD;
            let bytes = bytes as u64;
            tally.0.fetch_add(bytes, Ordering::Relaxed);
            Counted {
                tally: tally.clone(),
                bytes,
            }
        });
    }

    /// Its name in records, if it is in one.
    pub(crate) fn id(&self) -> Option<MessageId> {
        NonZeroU64::new(self.id.load(Ordering::Relaxed)).map(MessageId)
    }

    /// Its name in records will be this one.
    pub(crate) fn set_id(&self, id: MessageId) {
        self.id.store(id.0.get(), Ordering::Relaxed);
    }

    /// It is in no record.
    pub(crate) fn forget_id(&self) {
        self.id.store(0, Ordering::Relaxed);
    }

    /// The last record that holds it whole.
    pub(crate) fn stored(&self) -> Option<Lsn> {
        let lsn = self.stored.load(Ordering::Relaxed);
        (lsn > 0).then_some(Lsn(lsn))
    }

    /// The record `lsn` holds it whole, under the name `id`.
    pub(crate) fn set_stored(&self, id: MessageId, lsn: Lsn) {
        self.id.store(id.0.get(), Ordering::Relaxed);
        self.stored.store(lsn.0, Ordering::Relaxed);
    }

    /// When it came.
    pub(crate) fn received(&self) -> Instant {
        self.received
    }

    /// Where to.
    pub(crate) fn topic(&self) -> &str {
        topic(&self.publish)
    }

    /// Bytes of memory, near enough.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// When it is no longer worth delivering.
    pub(crate) fn expires(&self) -> Option<Instant> {
        let seconds = self.publish.properties.message_expiry_interval?;
        Some(self.received + Duration::from_secs(seconds.into()))
    }

    /// Whether its expiry interval has passed `[MQTT-3.3.2-5]`.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        self.expires().is_some_and(|at| at <= now)
    }

    /// What is left of its expiry interval, in seconds `[MQTT-3.3.2-6]`.
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

/// The parts of a message, or of a will, that memory is held for.
pub(crate) struct Parts<'a> {
    pub(crate) topic: usize,
    pub(crate) payload: usize,
    pub(crate) content_type: Option<&'a Utf8String>,
    pub(crate) response_topic: Option<&'a TopicName>,
    pub(crate) correlation_data: Option<&'a Bytes>,
    pub(crate) user_properties: &'a [(Utf8String, Utf8String)],
}

/// Of what holding a message takes, what is not its own bytes: the allocations and their headers.
const OVERHEAD: usize = 384;

/// Bytes of memory that holding a message takes, near enough.
pub(crate) fn held(parts: &Parts<'_>) -> usize {
    /// A pair of strings, and an allocation for each.
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

/// What keeping `publish` costs.
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
