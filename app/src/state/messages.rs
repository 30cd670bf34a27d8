//! The raw messages of a device that is open on screen, as they came.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use fleet::Timestamp;
use mqtt::{Publish, QoS};

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawMessage {
    /// Counts up from 1 within one list: a key for the screen.
    pub number: u64,
    /// When it came.
    pub at: Timestamp,
    /// Where it was published.
    pub topic: String,
    /// How it was delivered.
    pub qos: QoS,
    /// Whether it came out of the broker's store.
    pub retained: bool,
    /// The whole payload, or its beginning if it is longer than [`RawMessages::LONGEST`].
    pub payload: Bytes,
    /// How long the payload was, in bytes.
    pub length: usize,
    /// Version 5: what the payload is, as its publisher says.
    pub content_type: Option<String>,
    /// Version 5: where an answer is expected.
    pub response_topic: Option<String>,
    /// Version 5: the publisher's own names and values.
    pub user_properties: Vec<(String, String)>,
}

/// The latest messages of one device, at most [`Self::MOST`] and [`Self::BYTES`]; the
/// oldest go first.
#[derive(Debug, Default)]
pub struct RawMessages {
    messages: VecDeque<Arc<RawMessage>>,
    bytes: usize,
    count: u64,
}

/// The bytes that a message takes in addition to its texts.
const OVERHEAD: usize = size_of::<RawMessage>();

impl RawMessages {
    /// How many are kept.
    pub const MOST: usize = 500;
    /// What they may take together, in bytes.
    pub const BYTES: usize = 8 << 20;
    /// The longest payload that is kept whole, in bytes.
    pub const LONGEST: usize = 4 << 20;

    /// Keeps a message.
    pub fn push(&mut self, at: Timestamp, publish: &Publish) {
        self.count += 1;
        let properties = &publish.properties;
        let kept = publish.payload.len().min(Self::LONGEST);
        let message = RawMessage {
            number: self.count,
            at,
            topic: publish.topic.as_deref().unwrap_or_default().to_owned(),
            qos: publish.qos,
            retained: publish.retain,
            // This is a copy, because a slice would keep the whole frame that it came in.
            payload: Bytes::copy_from_slice(&publish.payload[..kept]),
            length: publish.payload.len(),
            content_type: properties.content_type.as_deref().map(str::to_owned),
            response_topic: properties.response_topic.as_deref().map(str::to_owned),
            user_properties: properties
                .user_properties
                .iter()
                .map(|(name, value)| (name.as_str().to_owned(), value.as_str().to_owned()))
                .collect(),
        };
        self.bytes += cost(&message);
        self.messages.push_back(Arc::new(message));
        while self.messages.len() > Self::MOST || (self.bytes > Self::BYTES && self.len() > 1) {
            if let Some(oldest) = self.messages.pop_front() {
                self.bytes -= cost(&oldest);
            }
        }
    }

    /// The messages, newest first.
    pub fn newest_first(&self) -> impl ExactSizeIterator<Item = &Arc<RawMessage>> {
        self.messages.iter().rev()
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// How many came since the device was opened.
    pub fn count(&self) -> u64 {
        self.count
    }
}

fn cost(message: &RawMessage) -> usize {
    let properties: usize = message
        .user_properties
        .iter()
        .map(|(name, value)| name.len() + value.len() + 2 * size_of::<String>())
        .sum();
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    OVERHEAD
        + message.topic.len()
        + message.payload.len()
        + optional(&message.content_type)
        + optional(&message.response_topic)
        + properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt::TopicName;

    fn publish(length: usize) -> Publish {
        let topic = TopicName::try_from("beaconry/data/a").unwrap();
        Publish::new(topic, vec![b'x'; length])
    }

    #[test]
    fn a_payload_of_100_kb_is_kept_whole() {
        let mut messages = RawMessages::default();
        messages.push(Timestamp(0), &publish(100_000));
        let message = messages.newest_first().next().unwrap();
        assert_eq!((message.payload.len(), message.length), (100_000, 100_000));
        assert_eq!(message.topic, "beaconry/data/a");
    }

    #[test]
    fn both_bounds_hold_and_the_newest_stay() {
        let mut messages = RawMessages::default();
        for _ in 0..1_000 {
            messages.push(Timestamp(0), &publish(10));
        }
        assert_eq!((messages.len(), messages.count()), (500, 1_000));
        assert_eq!(messages.newest_first().next().unwrap().number, 1_000);
        for _ in 0..20 {
            messages.push(Timestamp(0), &publish(1 << 20));
        }
        assert!(messages.bytes <= RawMessages::BYTES);
        let actual: usize = messages.messages.iter().map(|kept| cost(kept)).sum();
        assert_eq!(messages.bytes, actual);
    }

    #[test]
    fn a_message_above_the_bound_is_cut_and_says_so() {
        let mut messages = RawMessages::default();
        messages.push(Timestamp(0), &publish(RawMessages::LONGEST + 5));
        let message = messages.newest_first().next().unwrap();
        assert_eq!(message.payload.len(), RawMessages::LONGEST);
        assert_eq!(message.length, RawMessages::LONGEST + 5);
    }
}
