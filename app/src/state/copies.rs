//! Second copies of one message.
//!
//! The page subscribes to everything, and once more, with a higher quality of service, to presence and
//! commands. A broker may send a message once for each subscription that fits (section 3.3.4). Messages
//! of the second kind carry [`FOR_CERTAIN`], so the two can be told apart. Over version 3.1.1 they
//! cannot; a copy then counts twice, which changes no presence and no command.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use fleet::Timestamp;
use mqtt::Publish;
use mqtt::packet::SubscriptionIdentifier;

/// The identifier of the subscriptions to presence, commands and answers.
pub(super) const FOR_CERTAIN: SubscriptionIdentifier = SubscriptionIdentifier::MIN;

/// The last message of each topic that comes twice.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// By the hash of the topic.
    last: BTreeMap<u64, Last>,
}

#[derive(Debug)]
struct Last {
    payload: u64,
    at: Timestamp,
    for_certain: bool,
}

impl Copies {
    /// How many topics are remembered. Beyond that all are forgotten, and some copies count twice.
    const MOST: usize = 20_000;
    /// How long after a message its copy may come, in milliseconds.
    const LATEST_MS: i64 = 5_000;

    /// Whether this message has come by the other subscription already.
    pub(super) fn is_copy(&mut self, now: Timestamp, publish: &Publish) -> bool {
        let identifiers = &publish.properties.subscription_identifiers;
        let for_certain = identifiers.contains(&FOR_CERTAIN);
        if !for_certain && self.last.is_empty() {
            return false;
        }
        let topic = hash(&publish.topic.as_deref());
        let known = self.last.get_mut(&topic);
        if known.is_none() && !for_certain {
            return false;
        }
        let message = Last {
            payload: hash(&publish.payload),
            at: now,
            for_certain,
        };
        if let Some(last) = known {
            let is_copy = last.for_certain != for_certain
                && last.payload == message.payload
                && now.ms_since(last.at) <= Self::LATEST_MS;
            *last = message;
            return is_copy;
        }
        if self.last.len() >= Self::MOST {
            self.last.clear();
        }
        self.last.insert(topic, message);
        false
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt::TopicName;

    fn message(payload: &str, for_certain: bool) -> Publish {
        let topic = TopicName::try_from("beaconry/register/a").unwrap();
        let mut publish = Publish::new(topic, payload.to_owned());
        if for_certain {
            publish.properties.subscription_identifiers = vec![FOR_CERTAIN];
        }
        publish
    }

    /// Which of these count.
    fn counted(messages: &[(&str, bool)]) -> Vec<bool> {
        let mut copies = Copies::default();
        let counts = |(payload, for_certain): &(&str, bool)| {
            !copies.is_copy(Timestamp(0), &message(payload, *for_certain))
        };
        messages.iter().map(counts).collect()
    }

    #[test]
    fn each_message_counts_once_and_each_repetition_too() {
        assert_eq!(
            counted(&[
                ("IN", true),
                ("IN", false),
                ("OUT", false),
                ("OUT", true),
                ("IN", true),
                ("IN", false),
                ("IN", false),
                ("IN", true),
            ]),
            [true, false, true, false, true, false, true, false]
        );
    }

    #[test]
    fn a_broker_that_sends_one_copy_loses_nothing() {
        assert_eq!(counted(&[("IN", true), ("IN", true)]), [true, true]);
        assert_eq!(counted(&[("21", false), ("21", false)]), [true, true]);
    }

    #[test]
    fn the_same_words_much_later_are_news() {
        let mut copies = Copies::default();
        assert!(!copies.is_copy(Timestamp(0), &message("IN", true)));
        assert!(!copies.is_copy(Timestamp(60_000), &message("IN", false)));
    }
}
