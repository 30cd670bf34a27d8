//! A reference broker, in the plainest way.

use core::num::NonZeroU32;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use ::broker::{Conn, Decision, Input};
use bytes::Bytes;
use mqtt::packet::PublishProperties;
use mqtt::{
    Connect, Decoder, Instant, Packet, PacketId, ProtocolVersion, Publish, QoS, ReasonCode,
    RetainHandling, Subscribe, Subscription, Will,
};

use super::expected::{Expectations, Expected};
use super::groups::Groups;

/// The reference broker. It gets the same input as the broker. Its only output is what it expects,
/// and it knows no limits.
#[derive(Debug)]
pub struct Model {
    authenticate: bool,
    session_expiry_3_1_1: u32,
    pub(super) connections: BTreeMap<Conn, Connection>,
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) retained: BTreeMap<String, Kept>,
    pub(super) expectations: BTreeMap<String, Expectations>,
    pub(super) groups: Groups,
    pub(super) order: u64,
    /// The payload of each published message.
    pub(super) published: Vec<Bytes>,
    /// The payload of each published message that changed nothing in the journal. No record of it
    /// can be lost.
    pub(super) passed: Vec<Bytes>,
    /// How many wills were published since the broker started.
    pub(super) wills_published: u64,
}

#[derive(Debug)]
pub(super) struct Connection {
    decoder: Decoder,
    pub(super) phase: Phase,
}

#[derive(Debug)]
pub(super) enum Phase {
    New,
    Asked(Box<Connect>, Vec<Bytes>),
    Connected(ConnectedClient),
}

#[derive(Debug)]
pub(super) struct ConnectedClient {
    pub(super) client_id: String,
    /// The client has received CONNACK.
    pub(super) is_told: bool,
    keep_alive: u16,
    last_heard: Instant,
    aliases: BTreeMap<u16, mqtt::TopicName>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    pub(super) conn: Option<Conn>,
    pub(super) expiry: u32,
    pub(super) ends_at: Option<Instant>,
    pub(super) will: Option<Will>,
    pub(super) will_at: Option<Instant>,
    pub(super) subscriptions: BTreeMap<String, (Subscription, Option<u32>)>,
    pub(super) incoming: BTreeSet<PacketId>,
    /// The requests for retained messages, and the filters that made them.
    pub(super) asked: BTreeSet<(String, QoS, Option<u32>)>,
}

#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) publish: Publish,
    pub(super) publisher: String,
    pub(super) expires: Option<Instant>,
}

/// The kinds of things that are due. Those due at the same time happen in this order, as in the
/// broker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    KeepAlive(Conn),
    Will(String),
    End(String),
    Retained(String),
}

impl Model {
    /// A model of a broker. It authenticates clients or does not, and keeps the sessions of 3.1.1
    /// clients for this many seconds.
    pub fn new(authenticate: bool, session_expiry_3_1_1: u32) -> Self {
        Self {
            authenticate,
            session_expiry_3_1_1,
            connections: BTreeMap::new(),
            sessions: BTreeMap::new(),
            retained: BTreeMap::new(),
            expectations: BTreeMap::new(),
            groups: Groups::default(),
            order: 0,
            published: Vec::new(),
            passed: Vec::new(),
            wills_published: 0,
        }
    }

    /// Handles the broker's input.
    pub fn input(&mut self, now: Instant, input: &Input) {
        self.advance(now);
        match input {
            Input::Opened(conn, _) => {
                let connection = Connection {
                    decoder: Decoder::server(),
                    phase: Phase::New,
                };
                self.connections.insert(*conn, connection);
            }
            Input::Bytes(conn, bytes) => self.read(now, *conn, bytes.clone()),
            Input::Closed(conn) => self.lose(now, *conn, false),
            Input::Authenticated(conn, Decision::Accept(_)) => self.authenticated(now, *conn),
            Input::Authenticated(conn, Decision::Refuse(_)) => {
                self.connections.remove(conn);
            }
            Input::Drained(_)
            | Input::Persisted(_)
            | Input::Store(_)
            | Input::StoreRoom { .. }
            | Input::Timeout
            | Input::Shutdown => {}
        }
    }

    /// Whether the model considers `conn` still open.
    pub fn is_open(&self, conn: Conn) -> bool {
        self.connections.contains_key(&conn)
    }

    /// The broker closed a connection whose CONNECT did not come in time.
    pub fn forget(&mut self, conn: Conn) {
        let is_new = |it: &Connection| !matches!(it.phase, Phase::Connected(_));
        if self.connections.get(&conn).is_some_and(is_new) {
            self.connections.remove(&conn);
        }
    }

    /// The number of connected clients, sessions, subscriptions, retained messages, wills, and
    /// wills published since the broker started.
    pub fn counts(&self) -> [u64; 6] {
        let sessions = self.sessions.values();
        [
            sessions.clone().filter(|it| it.conn.is_some()).count() as u64,
            self.sessions.len() as u64,
            sessions
                .clone()
                .map(|it| it.subscriptions.len() as u64)
                .sum(),
            self.retained.len() as u64,
            sessions.filter(|it| it.will.is_some()).count() as u64,
            self.wills_published,
        ]
    }

    /// Notes that the client with this `client_id` has heard `publish` on this connection.
    ///
    /// # Errors
    /// The client should not have heard it, or not now, or not again.
    pub fn hear(
        &mut self,
        now: Instant,
        client_id: &str,
        conn: Option<Conn>,
        publish: &Publish,
    ) -> Result<(), String> {
        self.groups.reuse(client_id, publish);
        let is_late = conn.is_none_or(|conn| !self.is_open(conn));
        // Only subscriptions of groups have identifiers above 100.
        let identifiers = &publish.properties.subscription_identifiers;
        if identifiers.iter().any(|it| it.get() > 100) {
            return self.groups.hear(client_id, publish, is_late);
        }
        self.expectations(client_id).hear(now, publish, is_late)
    }

    /// The messages that one member of a group should have heard by now and none has.
    pub fn missing_in_groups(&self, now: Instant) -> Vec<String> {
        self.groups.missing(now)
    }

    /// How many messages members of groups have heard.
    pub fn heard_in_groups(&self) -> usize {
        self.groups.heard()
    }

    /// What the client with this `client_id` has to hear.
    pub fn expectations(&mut self, client_id: &str) -> &mut Expectations {
        self.expectations.entry(client_id.to_owned()).or_default()
    }

    /// How often a message with this payload was published.
    pub fn published(&self, payload: &Bytes) -> usize {
        let all = self.published.iter().chain(&self.passed);
        all.filter(|it| *it == payload).count()
    }

    /// The filters that a client is subscribed to.
    pub fn filters(&self, client_id: &str) -> Vec<&str> {
        let session = self.sessions.get(client_id).into_iter();
        let filters = session.flat_map(|session| session.subscriptions.keys());
        filters.map(String::as_str).collect()
    }

    /// Does everything that is due.
    pub(super) fn advance(&mut self, now: Instant) {
        let mut last = (Instant::ZERO, self.order);
        while let Some((at, due)) = self.next_due().filter(|(at, _)| *at <= now) {
            // These happen at the same time, so their order does not matter.
            if at == last.0 {
                self.order = last.1;
            }
            last = (at, self.order);
            match due {
                Due::KeepAlive(conn) => self.lose(at, conn, false),
                Due::Will(client_id) => self.speak(now, &client_id),
                Due::End(client_id) => self.end(now, &client_id),
                Due::Retained(topic) => {
                    self.retained.remove(&topic);
                }
            }
        }
    }

    fn next_due(&self) -> Option<(Instant, Due)> {
        let silences = self.connections.iter().filter_map(|(conn, it)| {
            let Phase::Connected(link) = &it.phase else {
                return None;
            };
            let patience = Duration::from_millis(u64::from(link.keep_alive) * 1_500);
            (link.keep_alive > 0).then(|| (link.last_heard + patience, Due::KeepAlive(*conn)))
        });
        let wills = self
            .sessions
            .iter()
            .filter_map(|(id, it)| Some((it.will_at?, Due::Will(id.clone()))));
        let ends = self
            .sessions
            .iter()
            .filter_map(|(id, it)| Some((it.ends_at?, Due::End(id.clone()))));
        let retained = self
            .retained
            .iter()
            .filter_map(|(topic, it)| Some((it.expires?, Due::Retained(topic.clone()))));
        silences.chain(wills).chain(ends).chain(retained).min()
    }

    fn read(&mut self, now: Instant, conn: Conn, mut bytes: Bytes) {
        while let Some(connection) = self.connections.get_mut(&conn) {
            if let Phase::Asked(_, early) = &mut connection.phase {
                early.push(bytes);
                return;
            }
            let packet = connection.decoder.decode(&mut bytes);
            let Some(packet) = packet.unwrap_or_else(|error| panic!("{conn:?}: {error}")) else {
                return;
            };
            self.packet(now, conn, packet);
        }
    }

    fn packet(&mut self, now: Instant, conn: Conn, packet: Packet) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let link = match &mut connection.phase {
            Phase::New | Phase::Asked(..) => {
                if let Packet::Connect(connect) = packet {
                    if self.authenticate {
                        connection.phase = Phase::Asked(Box::new(connect), Vec::new());
                    } else {
                        self.connect(now, conn, &connect);
                    }
                }
                return;
            }
            Phase::Connected(link) => link,
        };
        link.last_heard = now;
        let client_id = link.client_id.clone();
        match packet {
            Packet::Publish(publish) => {
                let publish = link.named(publish);
                if publish.topic.as_ref().is_some_and(|it| it.starts_with('$')) {
                    return;
                }
                self.receive(now, &client_id, &publish);
            }
            Packet::PubRel(release) => {
                let session = self.sessions.entry(client_id).or_default();
                session.incoming.remove(&release.packet_id);
            }
            Packet::Subscribe(subscribe) => self.subscribe(now, &client_id, &subscribe),
            Packet::Unsubscribe(unsubscribe) => {
                let session = self.sessions.entry(client_id.clone()).or_default();
                for filter in &unsubscribe.topic_filters {
                    session.subscriptions.remove(filter.as_str());
                    session.asked.retain(|(asked, ..)| asked != filter.as_str());
                }
                for filter in &unsubscribe.topic_filters {
                    self.expectations(&client_id).stop_asking(filter.as_str());
                    self.leave(filter.as_str());
                }
                self.tell_lasting();
            }
            Packet::Disconnect(disconnect) => {
                let is_normal = disconnect.reason_code == ReasonCode::Success;
                self.lose(now, conn, is_normal);
            }
            Packet::PubAck(ack) => self.groups.acknowledge(&client_id, ack.packet_id),
            Packet::PubRec(_)
            | Packet::PubComp(_)
            | Packet::PingReq
            | Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Auth(_) => {}
        }
    }

    fn authenticated(&mut self, now: Instant, conn: Conn) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let phase = core::mem::replace(&mut connection.phase, Phase::New);
        match phase {
            Phase::Asked(connect, early) => {
                self.connect(now, conn, &connect);
                for bytes in early {
                    self.read(now, conn, bytes);
                }
            }
            Phase::New | Phase::Connected(_) => connection.phase = phase,
        }
    }

    fn connect(&mut self, now: Instant, conn: Conn, connect: &Connect) {
        let client_id = connect.client_id.as_str().to_owned();
        let old = self.sessions.get(&client_id).and_then(|it| it.conn);
        if let Some(old) = old {
            self.lose(now, old, false);
        }
        if connect.clean_start {
            self.end(now, &client_id);
        }
        let session = self.sessions.entry(client_id.clone()).or_default();
        session.conn = Some(conn);
        session.expiry = match connect.version {
            ProtocolVersion::V5 => connect.properties.session_expiry_interval.unwrap_or(0),
            ProtocolVersion::V3_1_1 if connect.clean_start => 0,
            ProtocolVersion::V3_1_1 => self.session_expiry_3_1_1,
        };
        session.ends_at = None;
        session.will_at = None;
        session.will.clone_from(&connect.will);
        self.tell_lasting();
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.phase = Phase::Connected(ConnectedClient {
                client_id,
                is_told: false,
                keep_alive: connect.keep_alive,
                last_heard: now,
                aliases: BTreeMap::new(),
            });
        }
    }

    /// The connection is gone.
    fn lose(&mut self, now: Instant, conn: Conn, is_normal: bool) {
        let Some(connection) = self.connections.remove(&conn) else {
            return;
        };
        let Phase::Connected(link) = connection.phase else {
            return;
        };
        let client_id = link.client_id;
        let Some(session) = self.sessions.get_mut(&client_id) else {
            return;
        };
        self.groups.lose(now, &client_id);
        session.conn = None;
        if is_normal {
            session.will = None;
        }
        let delay = session.leave(now);
        if session.expiry == 0 {
            self.end(now, &client_id);
        } else if delay == Some(0) {
            self.speak(now, &client_id);
        }
    }

    /// Publishes the session's will, which is due.
    pub(super) fn speak(&mut self, now: Instant, client_id: &str) {
        if let Some(session) = self.sessions.get_mut(client_id) {
            session.will_at = None;
            if let Some(will) = session.will.take() {
                self.publish_will(now, client_id, &will);
            }
        }
    }

    /// Ends the session, if there is one.
    fn end(&mut self, now: Instant, client_id: &str) {
        if let Some(session) = self.sessions.remove(client_id) {
            self.expectations(client_id).end_session();
            self.groups.end_session(client_id);
            for filter in session.subscriptions.keys() {
                self.leave(filter);
            }
            self.tell_lasting();
            if let Some(will) = session.will {
                self.publish_will(now, client_id, &will);
            }
        }
    }

    pub(super) fn publish_will(&mut self, now: Instant, client_id: &str, will: &Will) {
        self.wills_published += 1;
        self.route(now, client_id, &spoken(will));
    }

    fn receive(&mut self, now: Instant, client_id: &str, publish: &Publish) {
        if publish.qos == QoS::ExactlyOnce
            && let Some(packet_id) = publish.packet_id
            && let Some(session) = self.sessions.get_mut(client_id)
            && !session.incoming.insert(packet_id)
        {
            return;
        }
        self.published.push(publish.payload.clone());
        self.route(now, client_id, publish);
    }

    fn route(&mut self, now: Instant, publisher: &str, publish: &Publish) {
        let topic = publish.topic.as_ref().map_or("", |it| it.as_str());
        let expires = publish.properties.message_expiry_interval;
        let expires = expires.map(|seconds| now + Duration::from_secs(seconds.into()));
        if publish.retain {
            self.retained.remove(topic);
            for expectations in self.expectations.values_mut() {
                expectations.replace_retained(topic);
            }
            if !publish.payload.is_empty() {
                let kept = Kept {
                    publish: publish.clone(),
                    publisher: publisher.to_owned(),
                    expires,
                };
                self.retained.insert(topic.to_owned(), kept);
            }
        }
        self.order += 1;
        self.share(now, publisher, publish, expires);
        for (client_id, session) in &self.sessions {
            let matching = session.subscriptions.iter().filter(|(filter, (it, _))| {
                mqtt::topic_matches(filter, topic) && !(it.no_local && client_id == publisher)
            });
            let matching: Vec<_> = matching.map(|(_, it)| it).collect();
            let Some(granted) = matching.iter().map(|(it, _)| it.qos).max() else {
                continue;
            };
            let qos = granted.min(publish.qos);
            if qos == QoS::AtMostOnce && session.conn.is_none() {
                continue;
            }
            let as_published = matching.iter().any(|(it, _)| it.retain_as_published);
            let identifiers = matching.iter().filter_map(|(_, id)| *id).collect();
            let form = (qos, publish.retain && as_published);
            let expected = Expected::new(Some(self.order), publish, form, identifiers, expires);
            let all = self.expectations.entry(client_id.clone()).or_default();
            all.push(expected);
        }
    }

    fn subscribe(&mut self, now: Instant, client_id: &str, subscribe: &Subscribe) {
        let identifier = subscribe.subscription_identifier.map(NonZeroU32::get);
        let mut asking = Vec::new();
        for subscription in &subscribe.subscriptions {
            let filter = subscription.topic_filter.as_str().to_owned();
            let made = (subscription.clone(), identifier);
            let session = self.sessions.entry(client_id.to_owned()).or_default();
            let is_shared = subscription.topic_filter.shared().is_some();
            if is_shared {
                let as_published = subscription.retain_as_published;
                let form = (subscription.qos, as_published, identifier);
                self.groups.join(&filter, client_id, form);
            }
            let is_new = session.subscriptions.insert(filter, made).is_none();
            if is_shared {
                continue;
            }
            if match subscription.retain_handling {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => is_new,
                RetainHandling::DoNotSend => false,
            } {
                asking.push(subscription);
            }
        }
        self.tell_lasting();
        for subscription in asking {
            let filter = subscription.topic_filter.as_str();
            self.expectations(client_id).stop_asking(filter);
            let session = self.sessions.entry(client_id.to_owned()).or_default();
            let asked = (filter.to_owned(), subscription.qos, identifier);
            session.asked.insert(asked);
            for (topic, kept) in &self.retained {
                let is_own = subscription.no_local && kept.publisher == client_id;
                let is_over = kept.expires.is_some_and(|at| at <= now);
                let filter = &subscription.topic_filter;
                if is_own || is_over || !mqtt::topic_matches(filter, topic) {
                    continue;
                }
                let form = (subscription.qos.min(kept.publish.qos), true);
                let identifiers = identifier.into_iter().collect();
                let expected = Expected::new(None, &kept.publish, form, identifiers, kept.expires)
                    .asked_by(filter.as_str());
                let all = self.expectations.entry(client_id.to_owned()).or_default();
                all.push(expected);
            }
        }
    }
}

impl Session {
    /// The connection is gone. Returns the delay of its will, if there is one.
    pub(super) fn leave(&mut self, now: Instant) -> Option<u32> {
        let seconds = |seconds: u32| now + Duration::from_secs(seconds.into());
        let delay = self.will.as_ref();
        let delay = delay.map(|it| it.properties.will_delay_interval.unwrap_or(0));
        self.ends_at = (self.expiry < u32::MAX).then(|| seconds(self.expiry));
        self.will_at = delay.filter(|it| *it < self.expiry).map(seconds);
        delay
    }
}

impl ConnectedClient {
    /// Fills in the topic of a `publish` that came with an alias.
    fn named(&mut self, mut publish: Publish) -> Publish {
        if let Some(alias) = publish.properties.topic_alias.take() {
            match &publish.topic {
                Some(topic) => {
                    self.aliases.insert(alias.get(), topic.clone());
                }
                None => publish.topic = self.aliases.get(&alias.get()).cloned(),
            }
        }
        publish
    }
}

fn spoken(will: &Will) -> Publish {
    Publish {
        dup: false,
        qos: will.qos,
        retain: will.retain,
        topic: Some(will.topic.clone()),
        packet_id: None,
        payload: will.payload.clone(),
        properties: PublishProperties {
            message_expiry_interval: will.properties.message_expiry_interval,
            ..PublishProperties::default()
        },
    }
}
