//! Topic aliases in both directions (section 3.3.2.3.4). An alias ends with its connection
//! `[MQTT-3.3.2-7]`.

use alloc::vec::Vec;
use core::num::NonZeroU16;

use crate::error::ProtocolError;
use crate::packet::Publish;
use crate::reason::ReasonCode;
use crate::topic::TopicName;

/// The topic names behind the server's aliases.
#[derive(Debug)]
pub(super) struct IncomingAliases {
    maximum: u16,
    /// The name of alias `n` is at index `n - 1`. The list grows with the highest alias in use.
    names: Vec<Option<TopicName>>,
}

impl IncomingAliases {
    pub(super) const fn new(maximum: u16) -> Self {
        Self {
            maximum,
            names: Vec::new(),
        }
    }

    /// Replaces the alias with its topic name, or learns the name of a new alias.
    pub(super) fn resolve(&mut self, publish: &mut Publish) -> Result<(), ProtocolError> {
        let Some(alias) = publish.properties.topic_alias.take() else {
            return match publish.topic {
                Some(_) => Ok(()),
                None => Err(violation(
                    ReasonCode::ProtocolError,
                    "PUBLISH with neither topic name nor topic alias [MQTT-3.3.2-8]",
                )),
            };
        };
        if alias.get() > self.maximum {
            return Err(violation(
                ReasonCode::TopicAliasInvalid,
                "topic alias above Topic Alias Maximum [MQTT-3.1.2-26]",
            ));
        }
        let index = usize::from(alias.get() - 1);
        if let Some(topic) = &publish.topic {
            if index >= self.names.len() {
                self.names.resize(index + 1, None);
            }
            self.names[index] = Some(topic.detach());
            return Ok(());
        }
        publish.topic = self.names.get(index).cloned().flatten();
        if publish.topic.is_none() {
            return Err(violation(
                ReasonCode::ProtocolError,
                "topic alias that was never set",
            ));
        }
        Ok(())
    }
}

const fn violation(reason_code: ReasonCode, what: &'static str) -> ProtocolError {
    ProtocolError::Violation { reason_code, what }
}

/// Our own aliases: the topics that we used last.
#[derive(Debug)]
pub(super) struct OutgoingAliases {
    maximum: u16,
    names: Vec<Named>,
    uses: u64,
}

#[derive(Debug)]
struct Named {
    topic: TopicName,
    last_use: u64,
}

/// The most bytes that a new alias adds to a packet: the property, and a longer length field.
pub(super) const ALIAS_COST: usize = 5;

/// A topic name of at most this many bytes is no longer than the property that would replace it.
const WORTH_AN_ALIAS: usize = 4;

impl OutgoingAliases {
    /// `maximum` is the lower of the server's maximum and our own.
    pub(super) const fn new(maximum: u16) -> Self {
        Self {
            maximum,
            names: Vec::new(),
            uses: 0,
        }
    }

    /// Replaces the topic name with an alias, or adds the alias if it is new. The caller must then
    /// send the packet, because both sides rely on the alias.
    pub(super) fn apply(&mut self, publish: &mut Publish) {
        let Some(topic) = publish.topic.take_if(|topic| topic.len() >= WORTH_AN_ALIAS) else {
            return;
        };
        self.uses += 1;
        if let Some(index) = self.names.iter().position(|named| named.topic == topic) {
            self.names[index].last_use = self.uses;
            publish.properties.topic_alias = alias(index);
            return;
        }
        publish.properties.topic_alias = self.learn(&topic);
        publish.topic = Some(topic);
    }

    fn learn(&mut self, topic: &TopicName) -> Option<NonZeroU16> {
        let named = Named {
            topic: topic.clone(),
            last_use: self.uses,
        };
        if self.names.len() < usize::from(self.maximum) {
            self.names.push(named);
            return alias(self.names.len() - 1);
        }
        let oldest = (0..self.names.len()).min_by_key(|&index| self.names[index].last_use)?;
        self.names[oldest] = named;
        alias(oldest)
    }
}

fn alias(index: usize) -> Option<NonZeroU16> {
    u16::try_from(index + 1).ok().and_then(NonZeroU16::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(topic: &str) -> Publish {
        Publish::new(TopicName::try_from(topic).unwrap(), "")
    }

    #[test]
    fn mqtt_3_3_2_aliases_made_on_one_side_are_understood_on_the_other() {
        let mut there = OutgoingAliases::new(2);
        let mut here = IncomingAliases::new(2);
        let topics = [
            "fleet/a", "fleet/b", "fleet/a", "fleet/c", "fleet/a", "fleet/b",
        ];
        let mut short = 0;
        for topic in topics {
            let mut publish = publish(topic);
            there.apply(&mut publish);
            assert!(publish.properties.topic_alias.unwrap().get() <= 2);
            short += usize::from(publish.topic.is_none());
            here.resolve(&mut publish).unwrap();
            assert_eq!(publish.topic.as_deref(), Some(topic));
            assert_eq!(publish.properties.topic_alias, None);
        }
        assert_eq!(short, 2, "fleet/a is used often enough to stay");
    }

    #[test]
    fn mqtt_3_2_2_17_no_alias_where_the_server_takes_none() {
        let mut publish = publish("fleet/a");
        OutgoingAliases::new(0).apply(&mut publish);
        assert_eq!(publish.properties.topic_alias, None);
        assert!(publish.topic.is_some());
    }

    #[test]
    fn mqtt_3_1_2_26_refuses_an_alias_above_the_maximum() {
        let mut publish = publish("fleet/a");
        publish.properties.topic_alias = NonZeroU16::new(3);
        let error = IncomingAliases::new(2).resolve(&mut publish).unwrap_err();
        assert_eq!(error.reason_code(), ReasonCode::TopicAliasInvalid);
    }

    #[test]
    fn mqtt_3_3_2_refuses_an_alias_that_stands_for_nothing() {
        let mut publish = publish("fleet/a");
        publish.topic = None;
        publish.properties.topic_alias = NonZeroU16::new(1);
        let error = IncomingAliases::new(2).resolve(&mut publish).unwrap_err();
        assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
    }
}
