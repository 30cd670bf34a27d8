//! A reference server for one client. It has just enough of MQTT to check the client's side of the
//! contract, and is small enough to understand at a glance.
//!
//! It keeps the session over connections and answers everything. If the client breaks a rule, it
//! panics and names the rule.

mod sending;

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};
use mqtt::packet::ReasonProperties;
use mqtt::{
    ConnAck, Connect, Decoder, Instant, Packet, PacketId, ProtocolVersion, PubAck, PubComp, PubRec,
    PubRel, Publish, QoS, ReasonCode, SubAck, Subscribe, TopicFilter, TopicName, UnsubAck, encode,
};

use crate::network::LinkId;

/// What a [`Peer`] accepts and how it behaves.
#[derive(Clone, Debug)]
pub struct PeerOptions {
    /// Whether it speaks version 5, and what it does if not.
    pub version_5: Version5,
    /// How many unacknowledged `QoS` 1 and 2 publications it accepts. Version 5.
    pub receive_maximum: u16,
    /// The largest packet that it accepts, in bytes. Version 5.
    pub maximum_packet_size: u32,
    /// How many topic aliases it accepts. Version 5.
    pub topic_alias_maximum: u16,
    /// The keep alive that it sets instead of the client's, in seconds. Version 5.
    pub server_keep_alive: Option<u16>,
}

/// What a [`Peer`] does with a CONNECT of version 5.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Version5 {
    /// It speaks version 5.
    Spoken,
    /// It answers with a CONNACK of version 3.1.1, "unacceptable protocol version".
    Refused,
    /// It closes the connection without an answer.
    Hung,
}

/// The server.
pub struct Peer {
    options: PeerOptions,
    session: Option<Session>,
    connections: BTreeMap<LinkId, Connection>,
    current: Option<LinkId>,
    closing: Vec<LinkId>,
    /// The messages that it has accepted from the client, in order, with repetitions.
    taken: Vec<Publish>,
    /// The links of the clients that it no longer serves.
    given_up: Vec<LinkId>,
}

/// The state that outlives a connection.
#[derive(Debug, Default)]
struct Session {
    /// `QoS` 2 publications that were accepted and not released.
    received: BTreeSet<PacketId>,
    subscriptions: Vec<TopicFilter>,
    /// The messages that the server has sent and whose exchanges are not over, in order.
    in_flight: Vec<InFlight>,
    waiting: VecDeque<Publish>,
    last_id: u16,
}

#[derive(Debug)]
struct InFlight {
    packet_id: PacketId,
    publish: Publish,
    step: Step,
}

/// Which answer of the client the server waits for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Step {
    /// PUBACK.
    Acknowledge,
    /// PUBREC.
    Receive,
    /// PUBCOMP.
    Complete,
}

/// One connection.
#[derive(Debug)]
struct Connection {
    decoder: Decoder,
    /// What CONNECT asked for. `None` before it.
    terms: Option<Terms>,
    out: BytesMut,
    /// The client's packet identifiers for which the server has not sent the last answer yet.
    open: BTreeSet<PacketId>,
    /// How many of `open` belong to publications.
    unanswered: usize,
    /// The answers in `out`: each identifier, and whether it belongs to a publication.
    answered: Vec<(PacketId, bool)>,
    aliases: BTreeMap<u16, TopicName>,
    /// How many of the session's `in_flight` messages were sent on this connection.
    sent: usize,
    /// The PUBRELs that the client must still send, in order.
    awaited_releases: VecDeque<PacketId>,
    last_heard: Instant,
}

#[derive(Clone, Debug)]
struct Terms {
    version: ProtocolVersion,
    keep_alive: u16,
    receive_maximum: usize,
    maximum_packet_size: usize,
}

impl fmt::Debug for Peer {
    /// Leaves out the accepted messages, which can be many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("session", &self.session)
            .field("connections", &self.connections)
            .field("current", &self.current)
            .field("closing", &self.closing)
            .finish_non_exhaustive()
    }
}

impl Default for PeerOptions {
    fn default() -> Self {
        Self {
            version_5: Version5::Spoken,
            receive_maximum: 65_535,
            maximum_packet_size: 1 << 20,
            topic_alias_maximum: 0,
            server_keep_alive: None,
        }
    }
}

impl Peer {
    /// A server that knows no client.
    pub const fn new(options: PeerOptions) -> Self {
        Self {
            options,
            session: None,
            connections: BTreeMap::new(),
            current: None,
            closing: Vec::new(),
            taken: Vec::new(),
            given_up: Vec::new(),
        }
    }

    /// A link was opened.
    pub fn opened(&mut self, now: Instant, link: LinkId) {
        let mut decoder = Decoder::server();
        decoder.set_max_packet_size(self.options.maximum_packet_size);
        let connection = Connection {
            decoder,
            terms: None,
            out: BytesMut::new(),
            open: BTreeSet::new(),
            unanswered: 0,
            answered: Vec::new(),
            aliases: BTreeMap::new(),
            sent: 0,
            awaited_releases: VecDeque::new(),
            last_heard: now,
        };
        self.connections.insert(link, connection);
    }

    /// A link was closed by the client or the network.
    pub fn closed(&mut self, link: LinkId) {
        self.connections.remove(&link);
        if self.current == Some(link) {
            self.current = None;
        }
    }

    /// Handles bytes from the client.
    ///
    /// # Panics
    /// Panics when the client breaks a rule.
    pub fn input(&mut self, now: Instant, link: LinkId, mut bytes: Bytes) {
        while let Some(connection) = self.connections.get_mut(&link) {
            connection.last_heard = now;
            match connection.decoder.decode(&mut bytes) {
                Ok(Some(Packet::Connect(connect))) => self.on_connect(link, &connect),
                Ok(Some(packet)) => self.on_packet(link, packet),
                Ok(None) => break,
                Err(error) => panic!("the client sent an invalid packet: {error}"),
            }
        }
    }

    /// Sends a message to the client, now or when it is connected.
    pub fn send(&mut self, publish: Publish) {
        if let Some(session) = &mut self.session {
            session.waiting.push_back(publish);
        }
    }

    /// The bytes to write and the links to close now: all answers, and all messages that the client
    /// may receive.
    pub fn flush(&mut self) -> (Vec<(LinkId, Bytes)>, Vec<LinkId>) {
        self.send_waiting();
        let mut writes = Vec::new();
        for (&link, connection) in &mut self.connections {
            for (packet_id, publication) in connection.answered.drain(..) {
                connection.open.remove(&packet_id);
                connection.unanswered -= usize::from(publication);
            }
            if !connection.out.is_empty() {
                writes.push((link, connection.out.split().freeze()));
            }
        }
        let closing = core::mem::take(&mut self.closing);
        for link in &closing {
            self.closed(*link);
        }
        (writes, closing)
    }

    /// Whether [`flush`](Self::flush) would return anything.
    pub fn has_output(&self) -> bool {
        !self.closing.is_empty()
            || self.connections.values().any(|one| !one.out.is_empty())
            || self.may_send()
    }

    /// Gives up clients that have been silent for one and a half times their keep alive
    /// `[MQTT-3.1.2-22]`. Returns their links.
    pub fn give_up(&mut self, now: Instant) -> Vec<LinkId> {
        let silent = self.silent_at().filter(|(at, _)| *at <= now);
        if let Some((_, link)) = silent {
            self.closed(link);
            self.given_up.push(link);
            self.closing.push(link);
        }
        core::mem::take(&mut self.given_up)
    }

    /// When the current client will have been silent for too long.
    pub fn silent_at(&self) -> Option<(Instant, LinkId)> {
        let link = self.current?;
        let connection = self.connections.get(&link)?;
        let keep_alive = connection.terms.as_ref()?.keep_alive;
        let patience = Duration::from_millis(u64::from(keep_alive) * 1_500);
        (keep_alive != 0).then(|| (connection.last_heard + patience, link))
    }

    /// Forgets the session, like a server without a disk that restarts. Its connections are gone
    /// too.
    pub fn forget(&mut self) {
        self.session = None;
        self.closing.extend(self.connections.keys().copied());
        self.connections.clear();
        self.current = None;
    }

    /// The messages that the server has accepted from the client, in order, with repetitions.
    pub fn taken(&self) -> &[Publish] {
        &self.taken
    }

    /// The client's subscriptions.
    pub fn subscriptions(&self) -> &[TopicFilter] {
        self.session
            .as_ref()
            .map_or(&[], |session| &session.subscriptions)
    }

    /// Whether every exchange with the client is finished.
    pub fn is_quiet(&self) -> bool {
        self.session.as_ref().is_none_or(|session| {
            session.received.is_empty()
                && session.in_flight.is_empty()
                && session.waiting.is_empty()
        })
    }

    /// Whether the client is connected.
    pub const fn is_connected(&self) -> bool {
        self.current.is_some()
    }

    fn on_connect(&mut self, link: LinkId, connect: &Connect) {
        if connect.version == ProtocolVersion::V5 {
            match self.options.version_5 {
                Version5::Spoken => {}
                Version5::Refused => {
                    let refusal = Packet::ConnAck(ConnAck::new(
                        false,
                        ReasonCode::UnsupportedProtocolVersion,
                    ));
                    self.write_as(link, &refusal, ProtocolVersion::V3_1_1);
                    return self.closing.push(link);
                }
                Version5::Hung => return self.closing.push(link),
            }
        }
        if let Some(old) = self.current.replace(link) {
            self.connections.remove(&old);
            self.closing.push(old);
        }
        if connect.clean_start {
            self.session = None;
        }
        let session_present = self.session.is_some();
        self.session.get_or_insert_default();
        let v5 = connect.version == ProtocolVersion::V5;
        let server_keep_alive = self.options.server_keep_alive.filter(|_| v5);
        let properties = &connect.properties;
        let terms = Terms {
            version: connect.version,
            keep_alive: server_keep_alive.unwrap_or(connect.keep_alive),
            receive_maximum: usize::from(properties.receive_maximum.unwrap_or(65_535)),
            maximum_packet_size: properties
                .maximum_packet_size
                .map_or(usize::MAX, |size| size as usize),
        };
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.terms = Some(terms);
        }
        let mut connack = ConnAck::new(session_present, ReasonCode::Success);
        let options = &self.options;
        connack.properties.receive_maximum = Some(options.receive_maximum);
        connack.properties.maximum_packet_size = Some(options.maximum_packet_size);
        connack.properties.topic_alias_maximum = Some(options.topic_alias_maximum);
        connack.properties.server_keep_alive = server_keep_alive;
        self.write(link, &Packet::ConnAck(connack));
    }

    fn on_packet(&mut self, link: LinkId, packet: Packet) {
        if self.current != Some(link) {
            // These bytes came from a connection whose session another one has taken over.
            return;
        }
        match packet {
            Packet::Publish(publish) => self.on_publish(link, publish),
            Packet::PubRel(pubrel) => self.on_pubrel(link, &pubrel),
            Packet::PubAck(ack) => self.on_ack(link, ack.packet_id, Step::Acknowledge),
            Packet::PubRec(ack) => self.on_ack(link, ack.packet_id, Step::Receive),
            Packet::PubComp(ack) => self.on_ack(link, ack.packet_id, Step::Complete),
            Packet::Subscribe(subscribe) => self.on_subscribe(link, subscribe),
            Packet::Unsubscribe(unsubscribe) => {
                let session = self.session.get_or_insert_default();
                let filters = &unsubscribe.topic_filters;
                session.subscriptions.retain(|one| !filters.contains(one));
                let unsuback = UnsubAck {
                    packet_id: unsubscribe.packet_id,
                    reason_codes: vec![ReasonCode::Success; filters.len()],
                    properties: ReasonProperties::default(),
                };
                self.open(link, unsubscribe.packet_id, false);
                self.answer(
                    link,
                    &Packet::UnsubAck(unsuback),
                    unsubscribe.packet_id,
                    false,
                );
            }
            Packet::PingReq => self.write(link, &Packet::PingResp),
            Packet::Disconnect(_) => {
                self.closed(link);
                self.closing.push(link);
            }
            Packet::Connect(_)
            | Packet::ConnAck(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Auth(_) => panic!("the client must not send {packet:?}"),
        }
    }

    fn on_publish(&mut self, link: LinkId, mut publish: Publish) {
        self.resolve_alias(link, &mut publish);
        let Some(packet_id) = publish.packet_id else {
            assert!(!publish.dup, "DUP with QoS 0 [MQTT-3.3.1-2]");
            return self.taken.push(publish);
        };
        self.open(link, packet_id, true);
        let session = self.session.get_or_insert_default();
        if publish.qos == QoS::ExactlyOnce {
            let new = session.received.insert(packet_id);
            assert!(
                new || publish.dup,
                "packet identifier {packet_id} is in use [MQTT-2.2.1-3]"
            );
            if new {
                self.taken.push(publish);
            }
            let pubrec = PubRec::new(packet_id, ReasonCode::Success);
            self.write(link, &Packet::PubRec(pubrec));
            if let Some(connection) = self.connections.get_mut(&link) {
                connection.awaited_releases.push_back(packet_id);
            }
        } else {
            assert!(
                !session.received.contains(&packet_id),
                "packet identifier {packet_id} is in use [MQTT-2.2.1-3]"
            );
            self.taken.push(publish);
            let puback = PubAck::new(packet_id, ReasonCode::Success);
            self.answer(link, &Packet::PubAck(puback), packet_id, true);
        }
    }

    fn on_pubrel(&mut self, link: LinkId, pubrel: &PubRel) {
        let packet_id = pubrel.packet_id;
        let session = self.session.get_or_insert_default();
        let reason_code = if session.received.remove(&packet_id) {
            ReasonCode::Success
        } else {
            ReasonCode::PacketIdentifierNotFound
        };
        if let Some(connection) = self.connections.get_mut(&link)
            && connection.awaited_releases.contains(&packet_id)
        {
            let first = connection.awaited_releases.pop_front();
            assert_eq!(first, Some(packet_id), "PUBREL out of order [MQTT-4.6.0-4]");
        }
        let pubcomp = PubComp::new(packet_id, reason_code);
        let publication = self
            .connections
            .get(&link)
            .is_some_and(|connection| connection.open.contains(&packet_id));
        self.answer(link, &Packet::PubComp(pubcomp), packet_id, publication);
    }

    fn on_subscribe(&mut self, link: LinkId, subscribe: Subscribe) {
        self.open(link, subscribe.packet_id, false);
        let session = self.session.get_or_insert_default();
        let mut reason_codes = Vec::new();
        for subscription in subscribe.subscriptions {
            session
                .subscriptions
                .retain(|one| *one != subscription.topic_filter);
            session.subscriptions.push(subscription.topic_filter);
            reason_codes.push(ReasonCode::GrantedQoS2);
        }
        let suback = SubAck {
            packet_id: subscribe.packet_id,
            reason_codes,
            properties: ReasonProperties::default(),
        };
        self.answer(link, &Packet::SubAck(suback), subscribe.packet_id, false);
    }

    fn resolve_alias(&mut self, link: LinkId, publish: &mut Publish) {
        let Some(connection) = self.connections.get_mut(&link) else {
            return;
        };
        if let Some(alias) = publish.properties.topic_alias {
            assert!(
                alias.get() <= self.options.topic_alias_maximum,
                "topic alias above the maximum [MQTT-3.2.2-17]"
            );
            match publish.topic.clone() {
                Some(topic) => {
                    connection.aliases.insert(alias.get(), topic);
                }
                None => publish.topic = connection.aliases.get(&alias.get()).cloned(),
            }
        }
        assert!(
            publish.topic.is_some(),
            "a topic alias that stands for nothing"
        );
    }

    /// The client begins to use an identifier.
    fn open(&mut self, link: LinkId, packet_id: PacketId, publication: bool) {
        let Some(connection) = self.connections.get_mut(&link) else {
            return;
        };
        assert!(
            connection.open.insert(packet_id),
            "packet identifier {packet_id} is in use [MQTT-2.2.1-3]"
        );
        connection.unanswered += usize::from(publication);
        let v5 = matches!(&connection.terms, Some(terms) if terms.version == ProtocolVersion::V5);
        assert!(
            !v5 || connection.unanswered <= usize::from(self.options.receive_maximum),
            "more than Receive Maximum [MQTT-3.3.4-7]"
        );
    }

    /// The server gives the last answer for an identifier.
    fn answer(&mut self, link: LinkId, packet: &Packet, packet_id: PacketId, publication: bool) {
        self.write(link, packet);
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.answered.push((packet_id, publication));
        }
    }

    fn write(&mut self, link: LinkId, packet: &Packet) {
        let terms = self
            .connections
            .get(&link)
            .and_then(|one| one.terms.as_ref());
        if let Some(version) = terms.map(|terms| terms.version) {
            self.write_as(link, packet, version);
        }
    }

    fn write_as(&mut self, link: LinkId, packet: &Packet, version: ProtocolVersion) {
        if let Some(connection) = self.connections.get_mut(&link)
            && let Err(error) = encode(packet, version, &mut connection.out)
        {
            panic!("{packet:?}: {error}");
        }
    }
}
