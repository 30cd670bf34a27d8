//! The clients and their actions.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use ::broker::Conn;
use bytes::{Bytes, BytesMut};
use mqtt::client::{Event, SubscribeProperties, UnsubscribeId};
use mqtt::packet::{PublishProperties, WillProperties};
use mqtt::{
    Client, ClientOptions, ProtocolVersion, Publish, QoS, ReasonCode, RetainHandling, Subscription,
    TopicFilter, TopicName, Utf8String, Will,
};

use super::world::{Crashes, HOUR, World};
use crate::{LinkId, Side};

/// A client and its shell.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) client: Client,
    pub(super) options: ClientOptions,
    pub(super) link: Option<LinkId>,
    /// The `QoS` 1 and 2 messages that it has published and that must arrive.
    pub(super) published: Vec<(Bytes, QoS)>,
    /// The subscriptions that the broker has confirmed.
    pub(super) subscribed: BTreeSet<String>,
    /// The unsubscriptions that the broker has not confirmed.
    pub(super) unsubscribing: Vec<(UnsubscribeId, String)>,
    /// The client's sessions outlive its connections, so `QoS` 2 is exactly once.
    pub(super) is_exact: bool,
    /// The client chooses a new session expiry interval each time it starts.
    pub(super) is_fickle: bool,
    /// The client has restarted without its session, and the broker does not know that yet.
    pub(super) is_forgetful: bool,
}

const TOPICS: [&str; 6] = ["a", "a/b", "a/c", "b/b", "a/b/c", "$own"];
const FILTERS: [&str; 9] = ["#", "a", "a/b", "+/b", "a/#", "+", "a/+", "a/b/c", "a/+/c"];
/// Shared filters, each with a subscription identifier above 100. By that the model recognises a
/// message for a group.
const SHARED: [(&str, u32); 3] = [
    ("$share/g/a/#", 101),
    ("$share/g/+/b", 102),
    ("$share/h/a/#", 103),
];

impl World {
    pub(super) fn options(&mut self, number: usize) -> ClientOptions {
        let id = Utf8String::try_from(format!("client-{number}")).unwrap_or_default();
        let lasts = self.random.chance(700);
        let is_old = self.random.chance(300);
        ClientOptions {
            version: if is_old {
                ProtocolVersion::V3_1_1
            } else {
                ProtocolVersion::V5
            },
            fall_back: false,
            clean_start: false,
            keep_alive: [3, 10, 60][self.random.index(3)],
            session_expiry_interval: if lasts { HOUR } else { 0 },
            will: self.random.chance(500).then(|| self.will(number)),
            receive_maximum: [1, 3, 100][self.random.index(3)],
            seed: self.random.next_u64(),
            ..ClientOptions::new(id)
        }
    }

    fn will(&mut self, number: usize) -> Will {
        self.payloads += 1;
        Will {
            topic: topic(TOPICS[self.random.index(5)]),
            payload: format!("will of {number}: {}", self.payloads).into(),
            qos: self.qos(),
            // Several wills may come at once when the broker restarts, and only the last would be
            // kept.
            retain: self.random.chance(500) && (self.crashes == Crashes::Never || number == 0),
            properties: WillProperties {
                will_delay_interval: self.random.chance(500).then_some(4),
                ..WillProperties::default()
            },
        }
    }

    fn qos(&mut self) -> QoS {
        [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][self.random.index(3)]
    }

    /// Does what a client asks its shell for.
    pub(super) fn serve(&mut self, number: usize) {
        let now = self.now;
        let member = &mut self.members[number];
        while let Some(event) = member.client.poll_event() {
            match event {
                Event::OpenTransport => member.link = Some(self.network.open(now)),
                Event::CloseTransport => {
                    if let Some(link) = member.link.take() {
                        let mut out = BytesMut::new();
                        member.client.poll_transmit(&mut out);
                        self.network.send(now, link, Side::Client, out.freeze());
                        self.network.close(now, link, Side::Client);
                    }
                }
                Event::Message(publish) => {
                    let id = member.options.client_id.as_str();
                    let conn = member.link.map(|link| Conn(link.0));
                    if let Err(error) = self.model.hear(now, id, conn, &publish) {
                        panic!("{id} at {now:?}: {error}");
                    }
                }
                Event::Connected {
                    session_present, ..
                } => {
                    if let Some(link) = member.link {
                        self.model.welcome(Conn(link.0));
                    }
                    member.is_forgetful = false;
                    if !session_present {
                        member.subscribed.clear();
                    }
                }
                Event::Subscribed {
                    topic_filters,
                    reason_codes,
                    ..
                } => {
                    for (filter, code) in topic_filters.iter().zip(reason_codes) {
                        if !code.is_error() {
                            member.subscribed.insert(filter.as_str().to_owned());
                        }
                    }
                }
                // An earlier CONNECT of the same client came late and took over its session. The
                // user then presses the button to reconnect.
                Event::Disconnected { retry_at: None, .. } => member.client.reconnect_now(now),
                Event::Unsubscribed { id, .. } => {
                    let unsubscribing = core::mem::take(&mut member.unsubscribing);
                    for (asked, filter) in unsubscribing {
                        if asked == id {
                            member.subscribed.remove(&filter);
                        } else {
                            member.unsubscribing.push((asked, filter));
                        }
                    }
                }
                Event::Disconnected { .. }
                | Event::CredentialsNeeded { .. }
                | Event::Published { .. } => {}
            }
        }
        if let Some(link) = member.link {
            let mut out = BytesMut::new();
            member.client.poll_transmit(&mut out);
            if !out.is_empty() {
                self.network.send(now, link, Side::Client, out.freeze());
            }
        }
    }

    /// Makes a client do something.
    pub(super) fn act(&mut self, number: usize) {
        // In a run about groups, most subscriptions are shared.
        let shares = self.is_sharing && self.random.chance(700);
        match self.random.below(100) {
            0..60 => self.publish(number),
            60..80 if !shares => self.subscribe(number),
            60..85 => self.share(number),
            85..90 => {
                let at = self.random.index(FILTERS.len() + SHARED.len());
                let shared = SHARED.iter().map(|(text, _)| *text);
                let text = FILTERS.into_iter().chain(shared).nth(at);
                let filter = filter(text.unwrap_or("#"));
                let member = &mut self.members[number];
                let text = filter.as_str().to_owned();
                if let Ok(id) = member.client.unsubscribe(self.now, vec![filter]) {
                    member.unsubscribing.push((id, text));
                }
            }
            90..95 => {
                if let Some(link) = self.members[number].link {
                    self.network.cut(self.now, link);
                }
            }
            95..97 => self.leave(number),
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
        // No client may publish there.
        let name = TOPICS[self.random.index(TOPICS.len())];
        retain &= !name.starts_with('$');
        let qos = self.qos();
        // Where the broker may drop a message, it must be clear which one: so each is published
        // once, and none has an empty payload, because all of those are alike.
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
        let properties = SubscribeProperties {
            identifier: NonZeroU32::new(identifier),
            ..SubscribeProperties::default()
        };
        let client = &mut self.members[number].client;
        let _ = client.subscribe_with(self.now, subscriptions, properties);
    }

    /// Joins a group. Version 3.1.1 has no subscription identifiers.
    fn share(&mut self, number: usize) {
        let (text, identifier) = SHARED[self.random.index(SHARED.len())];
        // If one member has `QoS` 0, the message may be lost.
        let qos = match self.qos() {
            QoS::AtMostOnce if self.is_sharing && self.random.chance(800) => QoS::AtLeastOnce,
            other => other,
        };
        let mut subscription = Subscription::new(filter(text), qos);
        subscription.retain_as_published = self.random.chance(300);
        if self.members[number].options.version == ProtocolVersion::V5 {
            let client = &mut self.members[number].client;
            let properties = SubscribeProperties {
                identifier: NonZeroU32::new(identifier),
                ..SubscribeProperties::default()
            };
            let _ = client.subscribe_with(self.now, vec![subscription], properties);
        }
    }

    /// Disconnects the client, which comes back as in [`restart`](Self::restart).
    fn leave(&mut self, number: usize) {
        let code = if self.random.chance(500) {
            ReasonCode::Success
        } else {
            ReasonCode::DisconnectWithWill
        };
        // Messages that were not sent are lost with the old client.
        self.members[number].published.clear();
        self.members[number].client.disconnect(self.now, code);
        self.serve(number);
        self.restart(number);
    }

    /// Restarts the client's program, with its stored session or with nothing.
    fn restart(&mut self, number: usize) {
        let now = self.now;
        let forgets = self.random.chance(300);
        let will = self.random.chance(500).then(|| self.will(number));
        let seed = self.random.next_u64();
        let leaves_the_socket = self.random.chance(300);
        let expiry = self
            .random
            .chance(700)
            .then(|| [0, HOUR][self.random.index(2)]);
        let member = &mut self.members[number];
        // In version 3.1.1 a session with Clean Session 1 ends with its connection. If the client
        // goes on to a lasting session, it cannot be sure which of the two CONNACK reports.
        let may_forget = member.options.version == ProtocolVersion::V5 || !member.is_exact;
        let forgets = forgets && may_forget;
        let mut options = member.options.clone();
        options.will = will;
        if let Some(expiry) = expiry.filter(|_| member.is_fickle) {
            options.session_expiry_interval = expiry;
        }
        options.seed = seed;
        if forgets || member.is_forgetful {
            member.is_forgetful = true;
            member.subscribed.clear();
            options.clean_start = true;
            member.published.clear();
        } else {
            options.clean_start = false;
            options.session = Some(member.client.session());
        }
        member.client = Client::new(now, options);
        for (_, filter) in core::mem::take(&mut member.unsubscribing) {
            member.subscribed.remove(&filter);
        }
        if let Some(link) = member.link.take()
            && !leaves_the_socket
        {
            self.network.close(now, link, Side::Client);
        }
    }
}

fn topic(text: &'static str) -> TopicName {
    TopicName::new(Utf8String::from_static(text)).unwrap_or_else(|error| panic!("{error}"))
}

fn filter(text: &'static str) -> TopicFilter {
    TopicFilter::new(Utf8String::from_static(text)).unwrap_or_else(|error| panic!("{error}"))
}
