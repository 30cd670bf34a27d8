//! The sans-IO broker: several connections that send packets, spoilt packets and plain bytes, that
//! read or do not read, come and go; and a store that is late.
//!
//! The target checks that nothing panics. The broker writes to a client only packets that a client
//! of its version accepts, none larger than it asked for, with no topic alias that it does not
//! know. Gauges and unwritten bytes stay within their limits. When everyone has gone and every
//! session has expired, all gauges are back at zero. A reader of the tap, who is slow, then knows as
//! much as the broker, and how many messages it has lost.

use std::time::Duration;

use broker::{
    Broker, BrokerOptions, Conn, Decision, Input, Limits, Lsn, Metrics, Output, Peer, Principal,
    QueueFull, Recovery, Steps, StoreState, journal,
};
use bytes::{Bytes, BytesMut};
use mqtt::{
    Connect, Decoder, Instant, Packet, ProtocolVersion, Publish, QoS, ReasonCode, Subscribe,
    Subscription, TopicFilter, Utf8String, encode,
};

use crate::Script;
use crate::onlooker::Onlooker;

/// How many connections an input can name.
pub const CONNECTIONS: u8 = 6;
/// One fewer, so that the last connection finds no room.
const MOST_CONNECTIONS: usize = 5;
const SESSIONS: usize = 4;
const MAXIMUM_PACKET_SIZE: u32 = 700;
const OUT_BUFFER: usize = 900;
const RETAINED: usize = 3;
const RETAINED_BYTES: usize = 3_000;
const LONGEST_SESSION: u32 = 600;
/// Three quarters of it are more than the largest packet takes.
const TAP_BYTES: usize = 2_000;

/// The operations of the script, each with the number of its first byte. Most of them name a
/// connection next.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Op {
    Open = 0,
    /// A word says how many bytes follow.
    Bytes = 1,
    /// A packet from a [`Script`].
    Packet = 2,
    /// The same with one byte changed, or cut short.
    Spoilt = 3,
    Close = 4,
    /// The peer has read everything.
    Drained = 5,
    Authenticated = 6,
    Persisted = 7,
    Sleep = 8,
    /// The store is full, has room again, or has this much room.
    Store = 9,
    /// The next piece of a checkpoint.
    Checkpoint = 10,
}

impl Op {
    const ALL: [Self; 14] = [
        Self::Open,
        Self::Bytes,
        Self::Packet,
        Self::Spoilt,
        Self::Close,
        Self::Drained,
        Self::Authenticated,
        Self::Persisted,
        Self::Sleep,
        Self::Store,
        Self::Checkpoint,
        // These appear twice, so that they come more often.
        Self::Packet,
        Self::Packet,
        Self::Drained,
    ];
}

/// Runs one input; see the module.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut world = World::new(&mut script);
    while !script.is_over() {
        world.step(&mut script);
        world.poll();
        world.check();
    }
    world.recover();
    world.everyone_leaves();
    world.forget_retained();
}

/// A peer as the shell sees it.
struct Client {
    conn: Conn,
    /// What the peer has sent, which tells its version and its wishes.
    said: Decoder,
    connect: Option<Connect>,
    /// What the broker has sent to the peer.
    told: Option<Decoder>,
    aliases: Vec<u16>,
    /// Whether the shell was told to read on.
    is_read: bool,
    /// The messages that the test asked for.
    heard: Vec<Publish>,
}

struct World {
    broker: Broker,
    options: BrokerOptions,
    now: Instant,
    clients: [Option<Client>; CONNECTIONS as usize],
    next: u64,
    last_lsn: Lsn,
    /// What the store holds.
    journal: BytesMut,
    /// The store no longer needs anything before this.
    copied_from: Lsn,
    /// Whether the store ever took nothing new.
    was_full: bool,
    onlooker: Onlooker,
    steps: u64,
}

impl World {
    fn new(script: &mut Script<'_>) -> Self {
        let flags = script.byte();
        let more = script.byte();
        let small = |bit: u8, limit: usize| if more & bit != 0 { limit } else { usize::MAX };
        let options = BrokerOptions {
            seed: 7,
            authenticate: flags & 1 != 0,
            durable: flags & 2 != 0,
            server_keep_alive: (flags & 4 != 0).then_some(20),
            session_expiry_interval_3_1_1: 60,
            limits: Limits {
                connections: MOST_CONNECTIONS,
                sessions: SESSIONS,
                early_bytes: 500,
                maximum_packet_size: MAXIMUM_PACKET_SIZE,
                receive_maximum: 3,
                topic_alias_maximum: 3,
                topic_bytes: 100,
                topic_levels: 4,
                subscriptions_per_client: 6,
                subscription_bytes_per_client: 1_000,
                all_subscriptions_bytes: 2_000,
                inflight_window: if flags & 8 != 0 { 1 } else { 4 },
                queue_messages: 5,
                queue_bytes: 3_000,
                all_queues_bytes: 5_000,
                queue_full: match flags >> 4 & 3 {
                    0 | 1 => QueueFull::Disconnect,
                    2 => QueueFull::DropNewest,
                    _ => QueueFull::DropOldest,
                },
                out_buffer_bytes: OUT_BUFFER,
                retained_messages: RETAINED,
                retained_bytes: RETAINED_BYTES,
                session_expiry_interval: LONGEST_SESSION,
                tap_bytes: TAP_BYTES,
                will_bytes: 600,
                all_wills_bytes: 1_500,
                publish_rate: if more & 1 != 0 { 2 } else { 0 },
                memory_bytes: small(2, 8_000),
                all_out_buffers_bytes: small(4, 1_200),
                all_partial_bytes: small(8, 800),
                ..Limits::default()
            },
            tap: true,
            check_payload_format: more & 16 == 0,
            response_information: (more & 32 != 0).then(|| Utf8String::from_static("answers")),
            // As many steps of deferred work as possible stay.
            steps: match more & 64 {
                0 => Steps::default(),
                _ => Steps {
                    each: 1,
                    small_queue: 0,
                },
            },
            ..BrokerOptions::default()
        };
        let now = Instant::from_millis(1);
        Self {
            broker: Broker::new(now, options.clone()),
            options,
            now,
            clients: [const { None }; CONNECTIONS as usize],
            next: 0,
            last_lsn: Lsn::default(),
            journal: BytesMut::new(),
            copied_from: Lsn::default(),
            was_full: false,
            onlooker: Onlooker::default(),
            steps: 0,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        /// The reader of the tap is slow.
        const READS_EACH: u64 = 12;
        self.steps += 1;
        if self.steps.is_multiple_of(READS_EACH) {
            self.onlooker.read(&mut self.broker);
        }
        let op = Op::ALL[usize::from(script.byte()) % Op::ALL.len()];
        let at = usize::from(script.below(CONNECTIONS));
        match op {
            Op::Open => self.open(at),
            Op::Bytes => self.send(at, Bytes::copy_from_slice(script.bytes())),
            Op::Packet => {
                let packet = script.client_packet();
                self.send_packet(at, &packet, |_| {});
            }
            Op::Spoilt => {
                let packet = script.client_packet();
                let place = usize::from(script.word());
                let value = script.byte();
                let is_cut = script.flag();
                self.send_packet(at, &packet, |wire| {
                    let place = place % wire.len();
                    if is_cut {
                        wire.truncate(place);
                    } else {
                        wire[place] = value;
                    }
                });
            }
            Op::Close => {
                if let Some(client) = self.clients[at].take() {
                    self.input(Input::Closed(client.conn));
                }
            }
            Op::Drained => self.with(at, Input::Drained),
            Op::Authenticated => {
                let decision = if script.flag() {
                    Decision::Refuse(ReasonCode::NotAuthorized)
                } else {
                    Decision::Accept(Principal::default())
                };
                self.with(at, |conn| Input::Authenticated(conn, decision));
            }
            Op::Persisted => {
                let late = u64::from(script.below(3));
                self.input(Input::Persisted(Lsn(self.last_lsn.0.saturating_sub(late))));
            }
            Op::Checkpoint => {
                let budget = usize::from(script.word());
                self.broker.checkpoint(self.now, budget);
            }
            Op::Store => {
                let kind = script.below(4);
                self.was_full |= kind > 0;
                self.input(match kind {
                    0 => Input::Store(StoreState::Ready),
                    1 => Input::Store(StoreState::Full),
                    _ => Input::StoreRoom {
                        bytes: u64::from(script.word()),
                        from: self.copied_from,
                    },
                });
            }
            Op::Sleep => {
                let millis = u64::from(script.word());
                self.sleep(Duration::from_millis(millis * 8));
            }
        }
    }

    fn input(&mut self, input: Input) {
        self.broker.handle_input(self.now, input);
    }

    fn with(&mut self, at: usize, input: impl FnOnce(Conn) -> Input) {
        if let Some(client) = &self.clients[at] {
            self.input(input(client.conn));
        }
    }

    fn sleep(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.input(Input::Timeout);
    }

    fn open(&mut self, at: usize) {
        self.next += 1;
        let conn = Conn(self.next);
        let client = Client {
            conn,
            said: Decoder::server(),
            connect: None,
            told: None,
            aliases: Vec::new(),
            is_read: true,
            heard: Vec::new(),
        };
        if let Some(old) = self.clients[at].replace(client) {
            self.input(Input::Closed(old.conn));
        }
        self.input(Input::Opened(conn, Peer::MEMORY));
    }

    fn send_packet(&mut self, at: usize, packet: &Packet, change: impl FnOnce(&mut BytesMut)) {
        let version = match (packet, &self.clients[at]) {
            (Packet::Connect(connect), _) => connect.version,
            (_, Some(client)) => client.said.version().unwrap_or(ProtocolVersion::V5),
            (_, None) => return,
        };
        let mut wire = BytesMut::new();
        if encode(packet, version, &mut wire).is_ok() {
            change(&mut wire);
            self.send(at, wire.freeze());
        }
    }

    fn send(&mut self, at: usize, bytes: Bytes) {
        let client = self.clients[at].as_mut();
        let Some(client) = client.filter(|client| client.is_read) else {
            return;
        };
        let mut heard = bytes.clone();
        while let Ok(Some(packet)) = client.said.decode(&mut heard) {
            if let Packet::Connect(connect) = packet {
                client.connect = Some(connect);
            }
        }
        let conn = client.conn;
        self.input(Input::Bytes(conn, bytes));
    }

    /// Does what the broker asks for. The peer has not read yet what the broker writes here.
    fn poll(&mut self) {
        let mut turns = 0;
        loop {
            match self.broker.poll_output() {
                Output::Write(conn) => self.take(conn),
                Output::Close(conn, reason) => {
                    assert!(!reason.to_string().is_empty());
                    for client in &mut self.clients {
                        if client.as_ref().is_some_and(|client| client.conn == conn) {
                            *client = None;
                        }
                    }
                }
                Output::Persist(lsn) => {
                    assert!(lsn > self.last_lsn, "records are numbered upwards");
                    self.store(lsn);
                }
                Output::Pause(conn) => self.set_read(conn, false),
                Output::Resume(conn) => self.set_read(conn, true),
                Output::Checkpointed(lsn) => {
                    assert!(self.copied_from < lsn && lsn <= self.last_lsn);
                    self.copied_from = lsn;
                }
                Output::Idle(at) => {
                    if at.is_none_or(|at| at > self.now) {
                        return;
                    }
                    // What is due is done, or a shell would loop for ever.
                    turns += 1;
                    assert!(turns < 3, "{at:?} is past, and past again");
                    self.input(Input::Timeout);
                }
                Output::Authenticate(..)
                | Output::Connected(..)
                | Output::Tapped
                | Output::Limited(_) => {}
            }
        }
    }

    fn set_read(&mut self, conn: Conn, is_read: bool) {
        let known = self.clients.iter_mut().flatten();
        for client in known.filter(|client| client.conn == conn) {
            assert_ne!(client.is_read, is_read, "told twice");
            client.is_read = is_read;
        }
    }

    /// Takes the records, which must be whole frames, numbered without a gap.
    fn store(&mut self, at_least: Lsn) {
        let mut taken = BytesMut::new();
        self.broker.take_journal(&mut taken);
        assert_eq!(self.broker.journal_backlog(), 0);
        self.journal.extend_from_slice(&taken);
        let mut taken = taken.freeze();
        while let Some(frame) = journal::next_frame(&mut taken).expect("good frames") {
            assert_eq!(frame.lsn.0, self.last_lsn.0 + 1, "a gap");
            self.last_lsn = frame.lsn;
        }
        assert!(taken.is_empty() && self.last_lsn >= at_least);
    }

    /// A restart accepts what was stored, with and without what is no longer needed.
    fn recover(&mut self) {
        self.end_what_is_over();
        self.poll();
        let whole = self.recovered(Lsn::default());
        let metrics = whole.metrics();
        assert!(metrics.sessions <= SESSIONS as u64, "{metrics:?}");
        assert!(metrics.retained_messages <= RETAINED as u64, "{metrics:?}");
        if self.options.durable && !self.was_full {
            let kept = self.broker.metrics().retained_messages;
            // The recovery has not looked at what has expired meanwhile. Each will of a client that
            // is now gone may have cleared a retained message.
            let found = metrics.retained_messages + metrics.wills_published;
            assert!(found >= kept, "lost: {metrics:?}");
        }
        let shortened = self.recovered(self.copied_from);
        // A checkpoint holds sessions in another order, and they get the wills of all clients that
        // are now gone in that order. Where they share little room, a different session may have
        // none left.
        if shortened.metrics().dropped_queue_full == metrics.dropped_queue_full {
            assert_eq!(gauges(&shortened.metrics()), gauges(&metrics));
        }
    }

    fn recovered(&self, from: Lsn) -> Broker {
        let mut options = self.options.clone();
        options.steps = Steps::default();
        let mut recovery = Recovery::new(options);
        let mut journal = self.journal.clone().freeze();
        while let Some(frame) = journal::next_frame(&mut journal).expect("good frames") {
            if frame.lsn < from {
                continue;
            }
            if let Err(error) = recovery.replay(frame.lsn, frame.body) {
                panic!("what the broker has recorded cannot be replayed: {error}");
            }
        }
        assert_eq!(recovery.last_lsn(), self.last_lsn);
        recovery.finish(self.now).expect("a whole state")
    }

    fn take(&mut self, conn: Conn) {
        let mut wire = BytesMut::new();
        self.broker.take_writes(conn, &mut wire);
        let Some(client) = self
            .clients
            .iter_mut()
            .flatten()
            .find(|client| client.conn == conn)
        else {
            panic!("written to {conn:?}, which was closed");
        };
        // Answers come on top of messages, up to twice the limit. So do a packet and a DISCONNECT.
        let most = 3 * OUT_BUFFER + MAXIMUM_PACKET_SIZE as usize + 600;
        assert!(wire.len() <= most, "{} bytes waited", wire.len());
        client.listen(wire.freeze());
    }

    /// What must hold whatever has happened.
    fn check(&self) {
        let metrics = self.broker.metrics();
        assert!(
            metrics.connections <= MOST_CONNECTIONS as u64 + 1,
            "{metrics:?}"
        );
        assert!(metrics.sessions <= SESSIONS as u64, "{metrics:?}");
        assert!(metrics.clients <= metrics.sessions, "{metrics:?}");
        assert!(metrics.subscriptions <= 6 * SESSIONS as u64, "{metrics:?}");
        assert!(metrics.subscription_bytes <= 2_000, "{metrics:?}");
        assert!(metrics.retained_messages <= RETAINED as u64, "{metrics:?}");
        assert!(
            metrics.retained_bytes <= RETAINED_BYTES as u64,
            "{metrics:?}"
        );
        assert!(metrics.tap_bytes <= TAP_BYTES as u64, "{metrics:?}");
        assert!(metrics.wills <= metrics.sessions, "{metrics:?}");
        assert!(metrics.will_bytes <= 1_500, "{metrics:?}");
        let partial = metrics.partial_bytes;
        let most = self.options.limits.all_partial_bytes as u64;
        assert!(partial <= most.saturating_add(5_000), "{metrics:?}");
        // The windows may hold as much again as the queues.
        assert!(
            metrics.queued_bytes <= 5_000 + 4 * SESSIONS as u64 * 2_000,
            "{metrics:?}"
        );
    }

    fn persist_all(&mut self) {
        self.input(Input::Store(StoreState::Ready));
        self.poll();
        self.input(Input::Persisted(self.last_lsn));
        self.poll();
    }

    /// Does all deferred work.
    fn end_what_is_over(&mut self) {
        for _ in 0..500 {
            self.poll();
            match self.broker.poll_output() {
                Output::Idle(Some(at)) if at <= self.now + Duration::from_millis(40) => {
                    self.sleep(at.saturating_since(self.now));
                }
                _ => return,
            }
        }
        panic!("deferred work does not end");
    }

    fn everyone_leaves(&mut self) {
        for at in 0..usize::from(CONNECTIONS) {
            if let Some(client) = self.clients[at].take() {
                self.input(Input::Closed(client.conn));
            }
        }
        self.persist_all();
        // Twice, because a will's delay may keep a session longer than the session's own expiry.
        for _ in 0..2 {
            self.sleep(Duration::from_secs(u64::from(LONGEST_SESSION) + 1));
            self.end_what_is_over();
            self.persist_all();
        }
        let metrics = self.broker.metrics();
        assert_eq!(gauges(&metrics), [0; 18], "{metrics:?}");
        self.onlooker_catches_up();
    }

    /// The reader of the tap reads all that there is, and then knows what the broker knows.
    fn onlooker_catches_up(&mut self) {
        for _ in 0..100 {
            if self.onlooker.read(&mut self.broker) {
                let metrics = self.broker.metrics();
                let known = (metrics.clients, metrics.retained_messages);
                assert_eq!(self.onlooker.counts(), known, "{metrics:?}");
                assert_eq!(self.onlooker.messages().1, metrics.tap_lost);
                return;
            }
            self.end_what_is_over();
        }
        panic!("the resync does not end: {:?}", self.onlooker);
    }

    /// Nothing retained is left when a client has cleared every topic.
    fn forget_retained(&mut self) {
        if self.broker.metrics().retained_messages == 0 {
            assert_eq!(self.broker.metrics().retained_bytes, 0);
            return;
        }
        self.open(0);
        let mut connect = Connect::new(ProtocolVersion::V5, "cleaner");
        connect.keep_alive = 0;
        self.send_packet(0, &Packet::Connect(connect), |_| {});
        self.with(0, |conn| {
            Input::Authenticated(conn, Decision::Accept(Principal::default()))
        });
        self.settle();
        let everything = TopicFilter::try_from("#").expect("a filter");
        let subscribe = Packet::Subscribe(Subscribe {
            packet_id: mqtt::PacketId::MIN,
            subscriptions: vec![Subscription::new(everything, QoS::AtMostOnce)],
            subscription_identifier: None,
            user_properties: Vec::new(),
        });
        self.send_packet(0, &subscribe, |_| {});
        self.settle();
        let heard = self.clients[0].as_ref().map(|client| client.heard.clone());
        for message in heard.expect("the cleaner is connected") {
            let topic = message.topic.expect("no aliases were allowed");
            let mut publish = Publish::new(topic, Bytes::new());
            publish.retain = true;
            self.send_packet(0, &Packet::Publish(publish), |_| {});
            self.settle();
        }
        let metrics = self.broker.metrics();
        assert_eq!(
            (metrics.retained_messages, metrics.retained_bytes),
            (0, 0),
            "{metrics:?}"
        );
        self.onlooker_catches_up();
    }

    /// The store and the peer keep up until nothing more comes.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.persist_all();
            self.with(0, Input::Drained);
        }
        self.poll();
    }
}

impl Client {
    fn listen(&mut self, mut wire: Bytes) {
        let version = match (&self.told, self.said.version()) {
            (None, Some(version)) => version,
            // CONNACK or DISCONNECT answers something that was no CONNECT of a known version.
            (None, None) => match wire.first() {
                Some(0x20) if wire.len() == 4 => ProtocolVersion::V3_1_1,
                _ => ProtocolVersion::V5,
            },
            (Some(told), _) => told.version().expect("a client knows its version"),
        };
        let decoder = self.told.get_or_insert_with(|| Decoder::client(version));
        let wishes = self.connect.as_ref().map(|connect| &connect.properties);
        let limit = wishes
            .and_then(|wishes| wishes.maximum_packet_size)
            .unwrap_or(u32::MAX);
        let aliases = wishes
            .and_then(|wishes| wishes.topic_alias_maximum)
            .unwrap_or(0);
        decoder.set_max_packet_size(limit);
        loop {
            match decoder.decode(&mut wire) {
                Ok(Some(Packet::Publish(publish))) => {
                    if let Some(alias) = publish.properties.topic_alias {
                        assert!(alias.get() <= aliases, "alias {alias} of {aliases}");
                        if publish.topic.is_some() {
                            self.aliases.push(alias.get());
                        }
                        assert!(self.aliases.contains(&alias.get()), "an unknown alias");
                    }
                    self.heard.push(publish);
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => panic!("the broker wrote what no client accepts: {error}"),
            }
        }
        assert_eq!(decoder.buffered(), 0, "half a packet");
    }
}

/// The gauges that must be zero when all clients have gone. Retained messages stay.
fn gauges(metrics: &Metrics) -> [u64; 18] {
    [
        metrics.connections,
        metrics.clients,
        metrics.sessions,
        metrics.subscriptions,
        metrics.subscription_bytes,
        metrics.queued_messages,
        metrics.queued_bytes,
        metrics.incoming_messages,
        metrics.alias_bytes,
        metrics.latest_bytes,
        metrics.unwritten_bytes,
        metrics.wills,
        metrics.will_bytes,
        metrics.partial_bytes,
        metrics.retained_lookups,
        metrics.retained_lookup_bytes,
        metrics.stored_deliveries,
        metrics.stored_session_bytes,
    ]
}
