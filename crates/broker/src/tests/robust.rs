//! Hostile clients: whatever they send, in whatever order, the broker works on and stays small.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt::{Connect, Instant, Packet, QoS, RetainHandling, Subscription};
use proptest::prelude::*;

use super::digest::Digest;
use super::{V3, V5, lasting, message, packet_id, retained, subscribe, to};
use crate::{
    Broker, BrokerOptions, Conn, Decision, Input, Lsn, Output, Peer, Principal, Recovery, Steps,
    StoreState, journal,
};

/// Something that a client or the network does.
#[derive(Clone, Debug)]
enum Op {
    Open(u8),
    Send(u8, Packet),
    /// A packet that has one byte changed, or is cut short.
    Spoilt(u8, Packet, u8, u8),
    Bytes(u8, Vec<u8>),
    Close(u8),
    /// The shell takes the bytes for one connection and writes them.
    Drain(u8),
    Authenticated(u8, bool),
    Persisted(u8),
    Sleep(u16),
    /// The broker writes a piece of a checkpoint.
    Checkpoint(u8),
    Store(bool),
}

const CONNECTIONS: u8 = 6;

fn packet() -> impl Strategy<Value = Packet> {
    let id = || (1_u16..5).prop_map(packet_id);
    let qos = || {
        prop_oneof![
            Just(QoS::AtMostOnce),
            Just(QoS::AtLeastOnce),
            Just(QoS::ExactlyOnce)
        ]
    };
    let name = || prop_oneof![Just("a"), Just("a/b"), Just("$x"), Just("a/b/c/d")];
    let filter = prop_oneof![
        Just("#"),
        Just("a/+"),
        Just("a"),
        Just("+/b/#"),
        Just("$share/g/a")
    ];
    let client = prop_oneof![Just("x"), Just("y"), Just("")];
    let connect = (client, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(id, is_new, lasts, has_will)| {
            let version = if is_new { V5 } else { V3 };
            let mut connect = if lasts {
                lasting(version, id)
            } else {
                Connect::new(version, id)
            };
            connect.properties.receive_maximum = is_new.then_some(2);
            connect.will = has_will.then(|| mqtt::Will {
                topic: super::topic("a/b"),
                payload: "will".into(),
                qos: QoS::ExactlyOnce,
                retain: lasts,
                properties: mqtt::packet::WillProperties {
                    will_delay_interval: is_new.then_some(7),
                    ..mqtt::packet::WillProperties::default()
                },
            });
            Packet::Connect(connect)
        },
    );
    let publish = (name(), 0_usize..300, qos(), 1_u16..5, any::<[bool; 2]>()).prop_map(
        |(name, len, qos, id, [retain, expires])| {
            let mut publish = message(name, &"x".repeat(len), qos, id);
            publish.retain = retain;
            publish.properties.message_expiry_interval = expires.then_some(3);
            Packet::Publish(publish)
        },
    );
    let subscribing = (filter, qos(), any::<[bool; 3]>()).prop_map(
        |(filter, qos, [no_local, retain_as_published, is_new])| {
            let subscription = Subscription {
                no_local: no_local && !filter.starts_with("$share"),
                retain_as_published,
                retain_handling: if is_new {
                    RetainHandling::SendIfNew
                } else {
                    RetainHandling::Send
                },
                ..to(filter, qos)
            };
            subscribe(&[subscription], Some(3))
        },
    );
    let code = mqtt::ReasonCode::Success;
    prop_oneof![
        3 => connect,
        4 => publish,
        3 => subscribing,
        1 => name().prop_map(|name| retained(name, "", QoS::AtMostOnce)),
        1 => id().prop_map(move |id| Packet::PubAck(mqtt::PubAck::new(id, code))),
        1 => id().prop_map(move |id| Packet::PubRec(mqtt::PubRec::new(id, code))),
        1 => id().prop_map(move |id| Packet::PubRel(mqtt::PubRel::new(id, code))),
        1 => id().prop_map(move |id| Packet::PubComp(mqtt::PubComp::new(id, code))),
        1 => Just(Packet::PingReq),
        1 => Just(Packet::Disconnect(mqtt::Disconnect::new(code))),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let conn = || 0..CONNECTIONS;
    prop_oneof![
        2 => conn().prop_map(Op::Open),
        10 => (conn(), packet()).prop_map(|(conn, packet)| Op::Send(conn, packet)),
        1 => (conn(), packet(), any::<u8>(), any::<u8>())
            .prop_map(|(conn, packet, at, value)| Op::Spoilt(conn, packet, at, value)),
        1 => (conn(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(conn, bytes)| Op::Bytes(conn, bytes)),
        1 => conn().prop_map(Op::Close),
        3 => conn().prop_map(Op::Drain),
        3 => (conn(), prop::bool::weighted(0.9)).prop_map(|(conn, ok)| Op::Authenticated(conn, ok)),
        1 => any::<u8>().prop_map(Op::Persisted),
        1 => (0_u16..5_000).prop_map(Op::Sleep),
        1 => any::<u8>().prop_map(Op::Checkpoint),
        1 => prop::bool::weighted(0.2).prop_map(Op::Store),
    ]
}

/// Three clients in a group, two of them with sessions that end with their connections. Chance
/// alone rarely leads to messages that wait for a member that goes away.
fn three_clients() -> Vec<Op> {
    let clients = [
        Connect::new(V5, "x"),
        Connect::new(V3, "y"),
        lasting(V5, "z"),
    ];
    let ops = (0..).zip(clients).flat_map(|(conn, connect)| {
        let filters = [
            to("#", QoS::AtLeastOnce),
            to("$share/g/a", QoS::ExactlyOnce),
        ];
        [
            Op::Open(conn),
            Op::Send(conn, Packet::Connect(connect)),
            Op::Authenticated(conn, true),
            Op::Send(conn, subscribe(&filters, None)),
        ]
    });
    ops.collect()
}

/// The options of a run.
#[derive(Copy, Clone, Debug)]
struct Setting {
    authenticate: bool,
    durable: bool,
    /// Whether everything deferrable is deferred.
    defers_everything: bool,
}

fn options(setting: Setting) -> BrokerOptions {
    let Setting {
        authenticate,
        durable,
        defers_everything,
    } = setting;
    let steps = if defers_everything {
        Steps {
            each: 1,
            small_queue: 0,
        }
    } else {
        Steps::default()
    };
    let mut options = BrokerOptions {
        authenticate,
        durable,
        steps,
        ..BrokerOptions::default()
    };
    let limits = &mut options.limits;
    limits.connections = 5;
    limits.sessions = 4;
    limits.maximum_packet_size = 400;
    limits.receive_maximum = 3;
    limits.topic_levels = 3;
    limits.queue_messages = 5;
    limits.queue_bytes = 3_000;
    limits.all_queues_bytes = 5_000;
    limits.out_buffer_bytes = 600;
    limits.retained_messages = 2;
    limits.retained_bytes = 2_000;
    limits.early_bytes = 500;
    options
}

/// The shell and the network. It gives one of its places to a new connection only after the old
/// connection was closed.
struct Shell {
    broker: Broker,
    now: Instant,
    conns: [Option<Conn>; CONNECTIONS as usize],
    next: u64,
    last_record: u64,
    outputs: Vec<Output>,
    /// The recovery that a new broker would start from.
    recovery: Recovery,
    journal: Vec<(Lsn, Bytes)>,
    /// The first record of the last complete checkpoint.
    checkpointed_from: Option<Lsn>,
    checkpointing_from: Option<Lsn>,
}

impl Shell {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Open(at) => {
                self.next += 1;
                let conn = Conn(self.next);
                if let Some(old) = self.conns[usize::from(at)].replace(conn) {
                    self.broker.handle_input(self.now, Input::Closed(old));
                }
                let opened = Input::Opened(conn, Peer::MEMORY);
                self.broker.handle_input(self.now, opened);
            }
            Op::Send(at, packet) => {
                let bytes = encoded(&packet);
                self.bytes(at, bytes.freeze());
            }
            Op::Spoilt(at, packet, place, value) => {
                let mut bytes = encoded(&packet);
                let place = usize::from(place) % bytes.len();
                if value % 3 == 0 {
                    bytes.truncate(place);
                } else {
                    bytes[place] = value;
                }
                self.bytes(at, bytes.freeze());
            }
            Op::Bytes(at, bytes) => self.bytes(at, bytes.into()),
            Op::Close(at) => {
                if let Some(conn) = self.conns[usize::from(at)].take() {
                    self.broker.handle_input(self.now, Input::Closed(conn));
                }
            }
            Op::Drain(at) => {
                if let Some(conn) = self.conns[usize::from(at)] {
                    let mut out = BytesMut::new();
                    self.broker.take_writes(conn, &mut out);
                    self.broker.handle_input(self.now, Input::Drained(conn));
                }
            }
            Op::Authenticated(at, is_accepted) => {
                if let Some(conn) = self.conns[usize::from(at)] {
                    let decision = if is_accepted {
                        Decision::Accept(Principal::default())
                    } else {
                        Decision::Refuse(mqtt::ReasonCode::NotAuthorized)
                    };
                    let input = Input::Authenticated(conn, decision);
                    self.broker.handle_input(self.now, input);
                }
            }
            Op::Persisted(number) => {
                let lsn = Lsn(self.last_record.saturating_sub(u64::from(number % 3)));
                self.broker.handle_input(self.now, Input::Persisted(lsn));
            }
            Op::Checkpoint(budget) => {
                let next = Lsn(self.last_record + 1);
                let from = *self.checkpointing_from.get_or_insert(next);
                if !self.broker.checkpoint(self.now, budget.into()) {
                    self.checkpointed_from = Some(from);
                    self.checkpointing_from = None;
                }
            }
            Op::Store(is_full) => {
                let state = if is_full {
                    StoreState::Full
                } else {
                    StoreState::Ready
                };
                self.broker.handle_input(self.now, Input::Store(state));
            }
            Op::Sleep(millis) => {
                self.now = self.now + Duration::from_millis(millis.into());
                self.broker.handle_input(self.now, Input::Timeout);
            }
        }
    }

    fn bytes(&mut self, at: u8, bytes: Bytes) {
        if let Some(conn) = self.conns[usize::from(at)] {
            self.broker
                .handle_input(self.now, Input::Bytes(conn, bytes));
        }
    }

    fn poll(&mut self) {
        loop {
            let output = self.broker.poll_output();
            match &output {
                Output::Close(conn, _) => {
                    for slot in &mut self.conns {
                        if *slot == Some(*conn) {
                            *slot = None;
                        }
                    }
                }
                Output::Persist(lsn) => {
                    let mut taken = BytesMut::new();
                    self.broker.take_journal(&mut taken);
                    let mut taken = taken.freeze();
                    while let Some(frame) = journal::next_frame(&mut taken).unwrap() {
                        self.recovery.replay(frame.lsn, frame.body.clone()).unwrap();
                        self.journal.push((frame.lsn, frame.body));
                    }
                    self.last_record = lsn.0;
                }
                Output::Idle(_) => {
                    self.outputs.push(output);
                    return;
                }
                Output::Write(_)
                | Output::Authenticate(..)
                | Output::Connected(..)
                | Output::Checkpointed(_)
                | Output::Pause(_)
                | Output::Resume(_)
                | Output::Tapped
                | Output::Limited(_) => {}
            }
            self.outputs.push(output);
        }
    }

    /// Checks what must always hold.
    fn check(&mut self) {
        let metrics = self.broker.metrics().clone();
        assert!(metrics.connections <= 6, "{metrics:?}");
        assert!(metrics.sessions <= 4, "{metrics:?}");
        assert!(metrics.clients <= metrics.sessions, "{metrics:?}");
        assert!(metrics.retained_messages <= 2, "{metrics:?}");
        assert!(metrics.retained_bytes <= 2_000, "{metrics:?}");
        // Messages that were sent before the queues filled are not in them. The window is
        // bounded too.
        assert!(
            metrics.queued_bytes <= 5_000 + 4 * 64 * 1_000,
            "{metrics:?}"
        );
        for conn in self.conns.into_iter().flatten() {
            let slot = self.broker.connections.slot(conn).unwrap();
            let waiting = self
                .broker
                .connections
                .get_mut(slot)
                .unwrap()
                .outbox_mut()
                .len();
            assert!(waiting <= 2 * 600 + 400 + 600, "{waiting}");
        }
        let freed_later = self.broker.reclamation.held();
        let (mut messages, mut bytes) = (freed_later.0 as u64, freed_later.1 as u64);
        let (mut subscriptions, mut filters) = (0, 0);
        for id in self.broker.sessions.ids() {
            let session = self.broker.sessions.get(id).unwrap();
            subscriptions += session.subscribed() as u64;
            for membership in session.memberships().iter().chain(session.blocked().iter()) {
                let subscriber = self.broker.subscriptions.groups().subscriber(*membership);
                assert_eq!(subscriber.unwrap().session, id);
            }
            filters += session.subscription_bytes() as u64;
            if let Some(outgoing) = session.outgoing() {
                messages += outgoing.messages() as u64;
                bytes += outgoing.bytes() as u64;
            }
        }
        self.check_records(&metrics);
        assert_eq!(metrics.queued_messages, messages);
        assert_eq!(metrics.queued_bytes, bytes);
        assert_eq!(metrics.subscriptions, subscriptions);
        assert_eq!(metrics.subscription_bytes, filters);
    }
}

impl Shell {
    /// Checks that the records give the present state.
    fn check_records(&self, metrics: &crate::Metrics) {
        assert_eq!(self.recovery.strays(), 0, "{:?}", self.journal);
        // State that could not be stored is missing from the records.
        if metrics.retained_not_stored == 0 {
            let found = Digest::of_recovery(self.now, &self.recovery);
            assert_eq!(found, Digest::of(self.now, &self.broker));
        }
    }

    /// Checks that the records from the beginning of a complete checkpoint give the same state
    /// as all records.
    fn check_suffix(&self) {
        let Some(from) = self.checkpointed_from else {
            return;
        };
        let mut recovery = Recovery::new(self.broker.options.clone());
        for (lsn, body) in &self.journal {
            if *lsn >= from {
                recovery.replay(*lsn, body.clone()).unwrap();
            }
        }
        assert_eq!(recovery.strays(), 0, "{:?}", self.journal);
        assert_eq!(
            Digest::of_recovery(self.now, &recovery),
            Digest::of_recovery(self.now, &self.recovery)
        );
    }
}

fn encoded(packet: &Packet) -> BytesMut {
    let version = match packet {
        Packet::Connect(connect) => connect.version,
        _ => V5,
    };
    let mut bytes = BytesMut::new();
    mqtt::encode(packet, version, &mut bytes).unwrap();
    bytes
}

fn run(ops: &[Op], setting: Setting) -> Vec<Output> {
    let now = Instant::ZERO;
    let mut shell = Shell {
        broker: Broker::new(now, options(setting)),
        now,
        conns: [None; CONNECTIONS as usize],
        next: 0,
        last_record: 0,
        outputs: Vec::new(),
        recovery: Recovery::new(options(setting)),
        journal: Vec::new(),
        checkpointed_from: None,
        checkpointing_from: None,
    };
    for op in ops {
        shell.apply(op.clone());
        shell.poll();
        shell.check();
    }
    if shell.broker.metrics().retained_not_stored == 0 {
        shell.check_suffix();
    }
    shell.broker.handle_input(shell.now, Input::Shutdown);
    shell.poll();
    assert_eq!(shell.broker.metrics().connections, 0);
    // The same must hold for a broker made from the records.
    let after = options(Setting {
        authenticate: false,
        durable: true,
        ..setting
    });
    let recovery = std::mem::replace(&mut shell.recovery, Recovery::new(after));
    shell.broker = recovery.finish(shell.now).unwrap();
    shell.recovery = Recovery::new(options(setting));
    for (lsn, body) in std::mem::take(&mut shell.journal) {
        shell.recovery.replay(lsn, body).unwrap();
    }
    shell.poll();
    shell.check();
    shell.outputs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_list_of_operations_is_survived_within_bounds_and_gives_the_same_twice(
        ops in prop::collection::vec(op(), 1..120),
        authenticate in any::<bool>(),
        durable in any::<bool>(),
        defers_everything in any::<bool>(),
        begins_alone in any::<bool>(),
    ) {
        let begin = if begins_alone { Vec::new() } else { three_clients() };
        let ops: Vec<_> = begin.into_iter().chain(ops).collect();
        let setting = Setting { authenticate, durable, defers_everything };
        let first = run(&ops, setting);
        prop_assert_eq!(first, run(&ops, setting));
    }
}
