//! The broker, driven with packets over an ideal network: everything that is sent arrives at
//! once.
//!
//! Each test is named by the rule that it holds.

mod access;
mod aliasing;
mod answers_and_crashes;
mod bounds;
mod bridging;
mod checkpoint;
mod connecting;
mod costs;
mod deferred_work;
mod delivering;
mod digest;
mod durable;
mod egress_budget;
mod full;
mod handing_over;
mod lasting_groups;
mod latest;
mod limits;
mod lookups;
mod making_room;
mod refusing;
mod restarting;
mod resuming;
mod retaining;
mod robust;
mod sharing;
mod shrink;
mod sizes;
mod slow_readers;
mod store_reserve;
mod subscribing;
mod tapping;
mod transient_wills;
mod wills;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt::{
    ConnAck, Connect, Decoder, Instant, Packet, PacketId, ProtocolVersion, Publish, QoS,
    ReasonCode, Subscribe, Subscription, TopicFilter, TopicName,
};

use crate::durability::Record;
use crate::{
    Broker, BrokerOptions, CloseReason, Conn, Input, LimitReached, Lsn, Output, Peer, Recovery,
    journal,
};

pub(crate) const V5: ProtocolVersion = ProtocolVersion::V5;
pub(crate) const V3: ProtocolVersion = ProtocolVersion::V3_1_1;

/// A broker and all clients that are connected to it.
pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) now: Instant,
    ends: BTreeMap<Conn, End>,
    next_conn: u64,
    pub(crate) records: Vec<(Lsn, Record)>,
    journal: Vec<(Lsn, Bytes)>,
    /// Whether records become durable at once. Otherwise the test decides.
    pub(crate) persists: bool,
    /// The first record that is still needed, as of the last checkpoint.
    pub(crate) checkpointed: Option<Lsn>,
    options: BrokerOptions,
    /// Connections whose CONNECT waits for a decision.
    pub(crate) asked: Vec<Conn>,
    /// Connections that are not to be read.
    pub(crate) paused: BTreeSet<Conn>,
    /// Whether there is something for the reader of the tap.
    pub(crate) is_tapped: bool,
    /// The reports of limits that were reached.
    pub(crate) told: Vec<LimitReached>,
}

/// The client's end of a connection.
struct End {
    decoder: Decoder,
    version: ProtocolVersion,
    received: VecDeque<Packet>,
    /// Whether it reads what it is sent.
    reads: bool,
    untaken: bool,
    closed: Option<CloseReason>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut BrokerOptions)) -> Self {
        let mut options = BrokerOptions::default();
        change(&mut options);
        let now = Instant::from_millis(1_000);
        Self {
            broker: Broker::new(now, options.clone()),
            now,
            ends: BTreeMap::new(),
            next_conn: 0,
            records: Vec::new(),
            journal: Vec::new(),
            persists: true,
            checkpointed: None,
            options,
            asked: Vec::new(),
            paused: BTreeSet::new(),
            is_tapped: false,
            told: Vec::new(),
        }
    }

    /// All records that the shell has taken so far.
    pub(crate) fn journal(&self) -> &[(Lsn, Bytes)] {
        &self.journal
    }

    /// Makes everything that was taken durable.
    pub(crate) fn persist(&mut self) {
        let last = self.journal.last().map_or(Lsn(0), |(lsn, _)| *lsn);
        self.input(Input::Persisted(last));
    }

    /// Crashes the broker, and starts it again from the records up to `last`.
    pub(crate) fn crash_at(&mut self, last: Lsn) {
        self.journal.retain(|(lsn, _)| *lsn <= last);
        let recovery = self.recovery();
        assert_eq!(recovery.strays(), 0);
        self.broker = recovery.finish(self.now).unwrap();
        self.ends.clear();
        self.run();
    }

    /// Crashes the broker, and starts it again from all records.
    pub(crate) fn crash(&mut self) {
        self.crash_at(Lsn(u64::MAX));
    }

    /// Replays the records that are there.
    pub(crate) fn recovery(&self) -> Recovery {
        let mut recovery = Recovery::new(self.options.clone());
        for (lsn, body) in &self.journal {
            recovery.replay(*lsn, body.clone()).unwrap();
        }
        recovery
    }

    /// Writes a whole checkpoint in pieces of `budget` bytes, and removes the records before it.
    pub(crate) fn checkpoint(&mut self, budget: usize) {
        while self.broker.checkpoint(self.now, budget) {
            self.run();
        }
        self.run();
        self.persist();
        let from = self.checkpointed.take().unwrap();
        self.journal.retain(|(lsn, _)| *lsn >= from);
    }

    /// Opens a connection that sends nothing yet.
    pub(crate) fn open(&mut self, version: ProtocolVersion) -> Conn {
        self.next_conn += 1;
        let conn = Conn(self.next_conn);
        let end = End {
            decoder: Decoder::client(version),
            version,
            received: VecDeque::new(),
            reads: true,
            untaken: false,
            closed: None,
        };
        self.ends.insert(conn, end);
        self.input(Input::Opened(conn, Peer::MEMORY));
        conn
    }

    /// Connects. Returns the answer.
    pub(crate) fn connect(&mut self, connect: &Connect) -> (Conn, ConnAck) {
        let conn = self.open(connect.version);
        self.send(conn, &Packet::Connect(connect.clone()));
        match self.take(conn) {
            Packet::ConnAck(connack) => (conn, connack),
            other => panic!("CONNACK expected, not {other:?}"),
        }
    }

    /// Connects a new client with a clean start.
    pub(crate) fn client(&mut self, version: ProtocolVersion, id: &'static str) -> Conn {
        let (conn, connack) = self.connect(&Connect::new(version, id));
        assert_eq!(connack.reason_code, ReasonCode::Success);
        conn
    }

    /// Connects a client whose session lives for an hour, and resumes an earlier one.
    pub(crate) fn lasting(&mut self, version: ProtocolVersion, id: &'static str) -> (Conn, bool) {
        let (conn, connack) = self.connect(&lasting(version, id));
        assert_eq!(connack.reason_code, ReasonCode::Success);
        (conn, connack.session_present)
    }

    pub(crate) fn send(&mut self, conn: Conn, packet: &Packet) {
        let mut bytes = BytesMut::new();
        mqtt::encode(packet, self.ends[&conn].version, &mut bytes).unwrap();
        self.send_bytes(conn, bytes.freeze());
    }

    pub(crate) fn send_bytes(&mut self, conn: Conn, bytes: impl Into<Bytes>) {
        self.input(Input::Bytes(conn, bytes.into()));
    }

    /// Subscribes with these options, and takes the SUBACK.
    pub(crate) fn subscribe(&mut self, conn: Conn, subscriptions: &[Subscription]) {
        self.send(conn, &subscribe(subscriptions, None));
        match self.take(conn) {
            Packet::SubAck(suback) => {
                let refused = suback.reason_codes.iter().any(|code| code.is_error());
                assert!(!refused, "{suback:?}");
            }
            other => panic!("SUBACK expected, not {other:?}"),
        }
    }

    pub(crate) fn publish(&mut self, conn: Conn, topic: &str, payload: &str, qos: QoS) {
        self.send(conn, &Packet::Publish(message(topic, payload, qos, 1)));
    }

    /// Ends the connection like a network failure.
    pub(crate) fn cut(&mut self, conn: Conn) {
        self.ends.remove(&conn);
        self.input(Input::Closed(conn));
    }

    /// Whether the client reads what it is sent.
    pub(crate) fn set_reads(&mut self, conn: Conn, reads: bool) {
        let end = self.ends.get_mut(&conn).unwrap();
        end.reads = reads;
        if reads && std::mem::take(&mut end.untaken) {
            self.deliver(conn);
            self.run();
        }
    }

    /// The system takes what waits for a client that does not read. It has not written it before
    /// the test says so with [`Input::Drained`].
    pub(crate) fn begin_to_write(&mut self, conn: Conn) {
        let mut bytes = BytesMut::new();
        self.broker.take_writes(conn, &mut bytes);
        let end = self.ends.get_mut(&conn).unwrap();
        end.untaken = false;
        let mut bytes = bytes.freeze();
        while let Some(packet) = end.decoder.decode(&mut bytes).unwrap() {
            end.received.push_back(packet);
        }
    }

    /// Takes all packets that have come.
    pub(crate) fn received(&mut self, conn: Conn) -> Vec<Packet> {
        let end = self.ends.get_mut(&conn).unwrap();
        end.received.drain(..).collect()
    }

    /// Takes the next packet.
    pub(crate) fn take(&mut self, conn: Conn) -> Packet {
        let end = self.ends.get_mut(&conn).unwrap();
        let closed = &end.closed;
        end.received
            .pop_front()
            .unwrap_or_else(|| panic!("nothing came; closed: {closed:?}"))
    }

    /// Takes the next packet, which must be a PUBLISH.
    pub(crate) fn take_publish(&mut self, conn: Conn) -> Publish {
        match self.take(conn) {
            Packet::Publish(publish) => publish,
            other => panic!("PUBLISH expected, not {other:?}"),
        }
    }

    /// Takes all packets. Returns the payloads of the messages.
    pub(crate) fn payloads(&mut self, conn: Conn) -> Vec<String> {
        let payload = |packet| match packet {
            Packet::Publish(publish) => Some(text(&publish)),
            _ => None,
        };
        self.received(conn)
            .into_iter()
            .filter_map(payload)
            .collect()
    }

    /// How the broker closed the connection.
    pub(crate) fn closed(&self, conn: Conn) -> Option<&CloseReason> {
        self.ends[&conn].closed.as_ref()
    }

    /// The reason code of the last DISCONNECT that the client got before it was closed.
    pub(crate) fn farewell(&mut self, conn: Conn) -> Option<ReasonCode> {
        assert!(self.closed(conn).is_some(), "not closed");
        match self.received(conn).pop() {
            Some(Packet::Disconnect(disconnect)) => Some(disconnect.reason_code),
            Some(Packet::ConnAck(connack)) => Some(connack.reason_code),
            _ => None,
        }
    }

    /// Lets time pass, timers included.
    pub(crate) fn sleep(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.run()
            && at <= end
        {
            self.now = self.now.max(at);
            self.broker.handle_input(self.now, Input::Timeout);
        }
        self.now = end;
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.broker.handle_input(self.now, input);
        self.run();
    }

    /// Does everything that the broker asks for.
    fn run(&mut self) -> Option<Instant> {
        loop {
            match self.broker.poll_output() {
                Output::Write(conn) => self.deliver(conn),
                Output::Close(conn, reason) => {
                    if let Some(end) = self.ends.get_mut(&conn) {
                        end.closed = Some(*reason);
                    }
                }
                Output::Authenticate(conn, _) => self.asked.push(conn),
                Output::Connected(..) => {}
                Output::Checkpointed(from) => self.checkpointed = Some(from),
                Output::Pause(conn) => assert!(self.paused.insert(conn), "told twice"),
                Output::Resume(conn) => assert!(self.paused.remove(&conn), "not paused"),
                Output::Tapped => self.is_tapped = true,
                Output::Limited(reached) => self.told.push(*reached),
                Output::Persist(_) => {
                    let mut taken = BytesMut::new();
                    self.broker.take_journal(&mut taken);
                    let mut taken = taken.freeze();
                    if self.persists {
                        let lsn = Input::Persisted(Lsn(u64::MAX));
                        self.broker.handle_input(self.now, lsn);
                    }
                    while let Some(frame) = journal::next_frame(&mut taken).unwrap() {
                        let record = Record::decode(frame.body.clone()).unwrap();
                        self.journal.push((frame.lsn, frame.body));
                        self.records.push((frame.lsn, record));
                    }
                }
                Output::Idle(at) => return at,
            }
        }
    }

    fn deliver(&mut self, conn: Conn) {
        let Some(end) = self.ends.get_mut(&conn) else {
            return;
        };
        if !end.reads {
            end.untaken = true;
            return;
        }
        let mut bytes = BytesMut::new();
        self.broker.take_writes(conn, &mut bytes);
        let mut bytes = bytes.freeze();
        while let Some(packet) = end.decoder.decode(&mut bytes).unwrap() {
            end.received.push_back(packet);
        }
        self.broker.handle_input(self.now, Input::Drained(conn));
    }
}

pub(crate) fn lasting(version: ProtocolVersion, id: &'static str) -> Connect {
    let mut connect = Connect::new(version, id);
    connect.clean_start = false;
    connect.properties.session_expiry_interval = (version == V5).then_some(3_600);
    connect
}

pub(crate) fn packet_id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

pub(crate) fn topic(text: &str) -> TopicName {
    TopicName::try_from(text).unwrap()
}

pub(crate) fn to(filter: &str, qos: QoS) -> Subscription {
    Subscription::new(TopicFilter::try_from(filter).unwrap(), qos)
}

pub(crate) fn subscribe(subscriptions: &[Subscription], identifier: Option<u32>) -> Packet {
    Packet::Subscribe(Subscribe {
        packet_id: packet_id(900),
        subscriptions: subscriptions.to_vec(),
        subscription_identifier: identifier.and_then(std::num::NonZeroU32::new),
        user_properties: Vec::new(),
    })
}

pub(crate) fn message(name: &str, payload: &str, qos: QoS, id: u16) -> Publish {
    let mut publish = Publish::new(topic(name), payload.to_owned());
    publish.qos = qos;
    publish.packet_id = (qos != QoS::AtMostOnce).then(|| packet_id(id));
    publish
}

pub(crate) fn retained(name: &str, payload: &str, qos: QoS) -> Packet {
    let mut publish = message(name, payload, qos, 1);
    publish.retain = true;
    Packet::Publish(publish)
}

pub(crate) fn text(publish: &Publish) -> String {
    String::from_utf8(publish.payload.to_vec()).unwrap()
}
