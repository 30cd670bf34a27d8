//! What clients do: publish, subscribe, leave, begin anew.

use std::num::NonZeroU32;

use bytes::Bytes;
use mqtt::packet::PublishProperties;
use mqtt::{Client, ProtocolVersion, Publish, QoS, ReasonCode, RetainHandling, Subscription};

use super::{FILTERS, SHARED, TOPICS, World, filter, topic};
use crate::Side;

impl World {
    /// A client does something.
    pub(super) fn act(&mut self, number: usize) {
        match self.random.below(100) {
            0..60 => self.publish(number),
            60..80 => self.subscribe(number),
            80..85 => self.share(number),
            85..90 => {
                let at = self.random.index(FILTERS.len() + SHARED.len());
                let shared = SHARED.iter().map(|(text, _)| *text);
                let text = FILTERS.into_iter().chain(shared).nth(at);
                let filter = filter(text.unwrap_or("#"));
                let client = &mut self.members[number].client;
                let _ = client.unsubscribe(self.now, vec![filter]);
            }
            90..96 => {
                if let Some(link) = self.members[number].link {
                    self.network.cut(self.now, link);
                }
            }
            96 => self.leave(number),
            _ => self.restart(number),
        }
    }

    fn publish(&mut self, number: usize) {
        self.payloads += 1;
        let mut retain = self.random.chance(200);
        let length = self.random.index(100);
        let mut payload = Bytes::from(format!("{:->length$}", self.payloads));
        if retain && self.random.chance(300) {
            payload = Bytes::new();
        }
        // Nobody may publish there.
        let name = TOPICS[self.random.index(TOPICS.len())];
        retain &= !name.starts_with('$');
        let qos = self.qos();
        // Where a message may be dropped it must be clear which: it is published once, and no
        // empty payload, which is like any other.
        let is_once = match qos {
            QoS::AtMostOnce => true,
            QoS::AtLeastOnce => false,
            QoS::ExactlyOnce => self.members[number].is_exact,
        };
        let expires = is_once && !payload.is_empty() && self.random.chance(200);
        let publish = Publish {
            qos,
            retain,
            properties: PublishProperties {
                message_expiry_interval: expires.then_some(5),
                ..PublishProperties::default()
            },
            ..Publish::new(topic(name), payload.clone())
        };
        let member = &mut self.members[number];
        let is_queued = member.client.publish(self.now, publish).is_ok();
        let is_own = !name.starts_with('$') && !payload.is_empty();
        if is_queued && is_own && qos > QoS::AtMostOnce && !expires {
            member.published.push((payload, qos));
        }
    }

    fn subscribe(&mut self, number: usize) {
        let count = 1 + self.random.index(3);
        let mut subscriptions = Vec::new();
        for _ in 0..count {
            let is_new = self.members[number].options.version == ProtocolVersion::V5;
            let handling = [
                RetainHandling::Send,
                RetainHandling::SendIfNew,
                RetainHandling::DoNotSend,
            ];
            let chosen = handling[self.random.index(3)];
            let (no_local, as_published) = (self.random.chance(300), self.random.chance(300));
            let text = FILTERS[self.random.index(FILTERS.len())];
            let mut subscription = Subscription::new(filter(text), self.qos());
            if is_new {
                subscription.no_local = no_local;
                subscription.retain_as_published = as_published;
                subscription.retain_handling = chosen;
            }
            subscriptions.push(subscription);
        }
        let identifier = u32::try_from(self.random.below(4)).unwrap_or(0);
        let identifier = NonZeroU32::new(identifier);
        let client = &mut self.members[number].client;
        let _ = client.subscribe_with_identifier(self.now, subscriptions, identifier);
    }

    /// The client joins a group. Version 3.1.1 has no identifiers.
    fn share(&mut self, number: usize) {
        let (text, identifier) = SHARED[self.random.index(SHARED.len())];
        let mut subscription = Subscription::new(filter(text), self.qos());
        subscription.retain_as_published = self.random.chance(300);
        if self.members[number].options.version == ProtocolVersion::V5 {
            let client = &mut self.members[number].client;
            let identifier = NonZeroU32::new(identifier);
            let _ = client.subscribe_with_identifier(self.now, vec![subscription], identifier);
        }
    }

    /// The client says good-bye, and comes back as [`restart`](Self::restart) does.
    fn leave(&mut self, number: usize) {
        let code = if self.random.chance(500) {
            ReasonCode::Success
        } else {
            ReasonCode::DisconnectWithWill
        };
        // What was not sent is lost with it.
        self.members[number].published.clear();
        self.members[number].client.disconnect(self.now, code);
        self.serve(number);
        self.restart(number);
    }

    /// The client's program starts anew: with what it had stored, or with nothing.
    fn restart(&mut self, number: usize) {
        let now = self.now;
        let forgets = self.random.chance(300);
        let will = self.random.chance(500).then(|| self.will(number));
        let seed = self.random.next_u64();
        let leaves_the_socket = self.random.chance(300);
        let member = &mut self.members[number];
        // The session of a 3.1.1 connection with Clean Session 1 ends with it: a client that
        // goes on to one that lasts cannot be sure which one it is told of.
        let may_forget = member.options.version == ProtocolVersion::V5 || !member.is_exact;
        let forgets = forgets && may_forget;
        let mut options = member.options.clone();
        options.will = will;
        options.seed = seed;
        if forgets || member.is_forgetful {
            member.is_forgetful = true;
            options.clean_start = true;
            member.published.clear();
        } else {
            options.clean_start = false;
            options.session = Some(member.client.session());
        }
        member.client = Client::new(now, options);
        if let Some(link) = member.link.take()
            && !leaves_the_socket
        {
            self.network.close(now, link, Side::Client);
        }
    }
}
