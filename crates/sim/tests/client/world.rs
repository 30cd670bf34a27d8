//! A client and a server with their applications, the network between them, and what each side has
//! promised the other.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use mqtt::client::{PublishError, PublishId, PublishOutcome, SessionSnapshot};
use mqtt::{
    Client, ClientOptions, Event, Instant, ProtocolVersion, Publish, QoS, ReasonCode, Subscription,
    TopicFilter, TopicName, Utf8String,
};
use sim::peer::{Peer, PeerOptions};
use sim::{Clock, Conditions, Delivery, LinkId, Network, Random, Side};

/// The settings of a run.
pub(crate) struct Scenario {
    pub(crate) conditions: Conditions,
    pub(crate) peer: PeerOptions,
    pub(crate) version_5: bool,
    pub(crate) keep_alive: u16,
    pub(crate) receive_maximum: u16,
    /// How many things the two applications do.
    pub(crate) actions: usize,
    /// Whether the client's machine sleeps now and then.
    pub(crate) freezes: bool,
    /// Whether the client's page is reloaded now and then.
    pub(crate) reloads: bool,
    pub(crate) promise: Promise,
}

/// What `QoS` 2 promises.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum Promise {
    ExactlyOnce,
    /// At least once, because the server forgets sessions.
    AtLeastOnce,
}

/// What is due apart from the network's deliveries.
#[derive(Copy, Clone)]
enum Due {
    Action,
    /// The server writes what it has to send.
    Flush,
    /// The client's machine wakes up.
    Thaw,
    /// The network is good from now on, so that everything can finish.
    Heal,
}

/// The messages that one side has accepted for sending and those that the other side has received,
/// by `QoS`, in order.
#[derive(Default)]
struct Ledger {
    given: BTreeMap<QoS, Vec<u64>>,
    got: BTreeMap<QoS, Vec<u64>>,
}

pub(crate) struct World {
    scenario: Scenario,
    now: Instant,
    random: Random,
    clock: Clock<Due>,
    network: Network,
    client: Client,
    link: Option<LinkId>,
    peer: Peer,
    flush_due: bool,
    /// The deliveries that wait until the client's machine wakes up.
    asleep: Option<Vec<Delivery>>,
    healed: bool,
    /// When the network becomes good.
    heals: Instant,
    connections: u64,
    messages: u64,
    /// The client's publications whose outcome has not come.
    pending: BTreeMap<PublishId, QoS>,
    /// How many outcomes of publications from before the reload are still to come.
    taken_over: usize,
    up: Ledger,
    down: Ledger,
}

const SETTLING: Duration = Duration::from_mins(30);

impl World {
    pub(crate) fn new(seed: u64, scenario: Scenario) -> Self {
        let mut random = Random::new(seed);
        let network = Network::new(random.next_u64(), scenario.conditions.clone());
        let options = options(&scenario, random.next_u64());
        let mut client = Client::new(Instant::ZERO, options);
        let everything = Subscription::new(filter(), QoS::ExactlyOnce);
        client.subscribe(Instant::ZERO, vec![everything]).unwrap();
        let mut clock = Clock::new(Instant::ZERO);
        let mut at = Instant::ZERO;
        for _ in 0..scenario.actions {
            at = at + random.duration(&(Duration::ZERO..Duration::from_secs(12)));
            clock.schedule(at, Due::Action);
        }
        clock.schedule(at, Due::Heal);
        Self {
            heals: at,
            now: Instant::ZERO,
            random,
            clock,
            network,
            client,
            link: None,
            peer: Peer::new(scenario.peer.clone()),
            flush_due: false,
            asleep: None,
            healed: false,
            connections: 0,
            messages: 0,
            pending: BTreeMap::new(),
            taken_over: 0,
            up: Ledger::default(),
            down: Ledger::default(),
            scenario,
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections
    }

    /// Runs until both sides have nothing left to do, and checks their promises.
    pub(crate) fn run(mut self) {
        self.drive_client();
        while !(self.healed && self.is_quiet()) {
            let end = if self.healed {
                self.heals + SETTLING
            } else {
                Instant::FAR_FUTURE
            };
            assert!(self.step(end), "does not come to rest: {}", self.state());
        }
        self.check();
        let connections = self.connections;
        self.run_for(Duration::from_mins(20));
        assert!(self.client.state().is_connected());
        assert_eq!(self.connections, connections, "an idle connection was lost");
    }

    /// Runs for `duration`.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        self.drive_client();
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets the next thing happen, if that is before `end`.
    fn step(&mut self, end: Instant) -> bool {
        let timeout = self.client.poll_timeout().map(|(at, _)| at);
        let timeout = timeout.filter(|_| self.asleep.is_none());
        let silent = self.peer.silent_at().map(|(at, _)| at);
        let others = [
            self.clock.next_at(),
            self.network.next_at(),
            silent,
            timeout,
        ];
        let Some(at) = others.into_iter().flatten().min().filter(|at| *at <= end) else {
            return false;
        };
        self.now = self.now.max(at);
        if self.clock.next_at().is_some_and(|next| next <= at) {
            if let Some((_, due)) = self.clock.pop() {
                self.happen(due);
            }
        } else if let Some((_, delivery)) = self.network.pop_by(at) {
            self.deliver(delivery);
        } else if silent.is_some_and(|next| next <= at) {
            for link in self.peer.give_up(self.now) {
                let excused = self.asleep.is_some() || !self.network.is_alive(link);
                assert!(
                    excused,
                    "the client was silent for too long [MQTT-3.1.2-20]"
                );
            }
        } else if timeout.is_some_and(|next| next <= at) {
            self.client.handle_timeout(self.now);
            self.drive_client();
            let next = self.client.poll_timeout().map(|(at, _)| at);
            assert!(
                next.is_none_or(|next| next > self.now),
                "a timer that never ends"
            );
        }
        if self.peer.has_output() && !self.flush_due {
            self.flush_due = true;
            let delay = self
                .random
                .duration(&(Duration::ZERO..Duration::from_millis(300)));
            self.clock.schedule(self.now + delay, Due::Flush);
        }
        true
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Action => self.act(),
            Due::Flush => {
                self.flush_due = false;
                let (writes, closing) = self.peer.flush();
                for (link, bytes) in writes {
                    self.network.send(self.now, link, Side::Server, bytes);
                }
                for link in closing {
                    self.network.close(self.now, link, Side::Server);
                }
            }
            Due::Thaw => self.thaw(),
            Due::Heal => {
                self.thaw();
                self.healed = true;
                self.network.conditions = Conditions {
                    latency: Duration::from_millis(5)..Duration::from_millis(50),
                    ..Conditions::perfect()
                };
            }
        }
    }

    /// The machine wakes up. The client hears of its timer and of the arrived bytes in either
    /// order.
    fn thaw(&mut self) {
        let timer_first = self.random.chance(500);
        let Some(deliveries) = self.asleep.take() else {
            return;
        };
        if timer_first {
            self.client.handle_timeout(self.now);
            self.drive_client();
        }
        for delivery in deliveries {
            self.deliver_to_client(delivery);
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Opened {
                link,
                at: Side::Server,
            } => self.peer.opened(self.now, link),
            Delivery::Bytes {
                link,
                at: Side::Server,
                bytes,
            } => {
                let before = self.peer.taken().len();
                self.peer.input(self.now, link, bytes);
                for publish in &self.peer.taken()[before..] {
                    self.up.get(publish);
                }
            }
            Delivery::Closed {
                link,
                at: Side::Server,
            } => self.peer.closed(link),
            Delivery::Opened { .. }
            | Delivery::Bytes { .. }
            | Delivery::Closed { .. }
            | Delivery::Refused { .. } => match &mut self.asleep {
                Some(deliveries) => deliveries.push(delivery),
                None => self.deliver_to_client(delivery),
            },
        }
    }

    /// Delivers to the client. The shell drops deliveries for an old transport.
    fn deliver_to_client(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Opened { link, .. } if self.link == Some(link) => {
                self.client.handle_transport_open(self.now);
            }
            Delivery::Bytes { link, bytes, .. } if self.link == Some(link) => {
                if let Err(error) = self.client.handle_input(self.now, bytes) {
                    // Only a 3.1.1 server's CONNACK may be misunderstood.
                    panic!("{error}");
                }
            }
            Delivery::Closed { link, .. } | Delivery::Refused { link }
                if self.link == Some(link) =>
            {
                self.link = None;
                self.client.handle_transport_closed(self.now);
            }
            Delivery::Opened { .. }
            | Delivery::Bytes { .. }
            | Delivery::Closed { .. }
            | Delivery::Refused { .. } => return,
        }
        self.drive_client();
    }

    /// The loop of every shell.
    fn drive_client(&mut self) {
        loop {
            while let Some(event) = self.client.poll_event() {
                self.on_event(event);
            }
            if !self.write_client() {
                return;
            }
        }
    }

    fn write_client(&mut self) -> bool {
        let mut out = BytesMut::new();
        let something = self.client.poll_transmit(&mut out);
        assert!(something || out.is_empty());
        if !out.is_empty() {
            let link = self.link.expect("bytes without a transport");
            self.network
                .send(self.now, link, Side::Client, out.freeze());
        }
        something
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::OpenTransport => {
                assert_eq!(self.link, None, "two transports at once");
                self.link = Some(self.network.open(self.now));
            }
            Event::CloseTransport => {
                self.write_client();
                let link = self.link.take().expect("no transport to close");
                self.network.close(self.now, link, Side::Client);
            }
            Event::Connected { .. } => self.connections += 1,
            Event::Message(publish) => self.down.get(&publish),
            Event::Published { id, outcome } => {
                let Some(qos) = self.pending.remove(&id) else {
                    let taken_over = self.taken_over.checked_sub(1);
                    self.taken_over = taken_over.expect("two ends of one publication");
                    return;
                };
                let expected = match qos {
                    QoS::AtMostOnce => PublishOutcome::Sent,
                    QoS::AtLeastOnce | QoS::ExactlyOnce => {
                        PublishOutcome::Acknowledged(ReasonCode::Success)
                    }
                };
                assert_eq!(outcome, expected);
            }
            Event::Subscribed { reason_codes, .. } => {
                assert_eq!(reason_codes, [ReasonCode::GrantedQoS2]);
            }
            Event::Disconnected { .. } | Event::Unsubscribed { .. } => {}
            Event::CredentialsNeeded { .. } => panic!("nobody asked for credentials"),
        }
    }

    /// Makes one of the applications do something.
    fn act(&mut self) {
        match self.random.below(100) {
            0..45 if self.asleep.is_none() => self.publish(),
            45..90 => self.send(),
            90..93 if self.scenario.freezes && self.asleep.is_none() => {
                self.asleep = Some(Vec::new());
                let pause = self
                    .random
                    .duration(&(Duration::ZERO..Duration::from_mins(5)));
                self.clock.schedule(self.now + pause, Due::Thaw);
            }
            93..95 if self.scenario.reloads && self.asleep.is_none() => self.reload(),
            95..97 if self.asleep.is_none() => {
                self.client.reconnect_now(self.now);
                self.drive_client();
            }
            97..99 if self.scenario.promise == Promise::AtLeastOnce => self.peer.forget(),
            _ => self.network.cut_all(self.now),
        }
    }

    /// The client's application publishes a few messages at once.
    fn publish(&mut self) {
        for _ in 0..=self.random.below(4) {
            let publish = self.message("up");
            let number = number(&publish);
            let qos = publish.qos;
            match self.client.publish(self.now, publish) {
                Ok(id) => {
                    self.up.give(qos, number);
                    assert_eq!(self.pending.insert(id, qos), None);
                }
                Err(PublishError::QueueFull { messages, .. }) => assert_eq!(messages, 40),
                Err(error) => panic!("{error}"),
            }
        }
        self.drive_client();
    }

    /// The server's application sends the client a few messages at once.
    fn send(&mut self) {
        let subscribed = self.peer.subscriptions().contains(&filter());
        for _ in 0..=self.random.below(4) {
            let publish = self.message("down");
            if subscribed {
                self.down.give(publish.qos, number(&publish));
                self.peer.send(publish);
            }
        }
    }

    fn message(&mut self, topic: &str) -> Publish {
        self.messages += 1;
        let topic = format!("{topic}/{}", self.messages % 5);
        let mut payload = self.messages.to_be_bytes().to_vec();
        payload.resize(8 + self.random.index(200), 0xAB);
        let mut publish = Publish::new(TopicName::try_from(topic).unwrap(), payload);
        publish.qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][self.random.index(3)];
        publish
    }

    /// The page goes away, and comes back with what it had stored.
    fn reload(&mut self) {
        let bytes = self.client.session().to_bytes().unwrap();
        let session = SessionSnapshot::from_bytes(bytes).unwrap();
        assert_eq!(session, self.client.session());
        if let Some(link) = self.link.take() {
            self.network.cut(self.now, link);
        }
        let mut options = options(&self.scenario, self.random.next_u64());
        let (_, queued) = self.client.queued();
        options.session = Some(session);
        self.client = Client::new(self.now, options);
        assert_eq!(self.client.queued().1, queued);
        // The new client has ids of its own, counted from 0. The publications that the old client
        // had not finished only have to end and to arrive.
        self.pending.clear();
        self.taken_over = self.client.queued().0;
        let everything = Subscription::new(filter(), QoS::ExactlyOnce);
        self.client.subscribe(self.now, vec![everything]).unwrap();
        self.drive_client();
    }

    fn is_quiet(&self) -> bool {
        self.client.state().is_connected()
            && self.client.queued() == (0, 0)
            && self.pending.is_empty()
            && self.taken_over == 0
            && self.peer.is_quiet()
            && self.peer.is_connected()
            && self.client.packet_ids_in_use() == 0
            && self.peer.subscriptions().contains(&filter())
            && self.network.next_at().is_none()
            && !self.peer.has_output()
    }

    /// The state of the run, for a failure message.
    fn state(&self) -> String {
        format!(
            "{:?}, queued {:?}, packet ids {}, pending {:?}, taken over {}, network {:?}, {:?}",
            self.client.state(),
            self.client.queued(),
            self.client.packet_ids_in_use(),
            self.pending,
            self.taken_over,
            self.network.next_at(),
            self.peer,
        )
    }

    fn check(&self) {
        self.up.check("to the server", self.scenario.promise);
        match self.scenario.promise {
            Promise::ExactlyOnce => self.down.check("to the client", Promise::ExactlyOnce),
            // Messages that were in flight when the server forgot the session are lost.
            Promise::AtLeastOnce => self.down.check_order_of_first("to the client"),
        }
    }
}

impl Ledger {
    fn give(&mut self, qos: QoS, number: u64) {
        self.given.entry(qos).or_default().push(number);
    }

    fn get(&mut self, publish: &Publish) {
        let level = format!("/{}", number(publish) % 5);
        let topic = publish.topic.as_deref().unwrap_or_default();
        assert!(
            topic.ends_with(&level),
            "{topic:?} is not the message's topic"
        );
        self.got
            .entry(publish.qos)
            .or_default()
            .push(number(publish));
    }

    fn given(&self, qos: QoS) -> &[u64] {
        self.given.get(&qos).map_or(&[], Vec::as_slice)
    }

    fn got(&self, qos: QoS) -> &[u64] {
        self.got.get(&qos).map_or(&[], Vec::as_slice)
    }

    fn check(&self, way: &str, promise: Promise) {
        self.check_order_of_first(way);
        let once = first(self.got(QoS::AtLeastOnce));
        assert_eq!(once, self.given(QoS::AtLeastOnce), "QoS 1 {way}");
        match promise {
            Promise::ExactlyOnce => {
                let got = self.got(QoS::ExactlyOnce);
                assert_eq!(got, self.given(QoS::ExactlyOnce), "QoS 2 {way}");
            }
            Promise::AtLeastOnce => {
                let once = first(self.got(QoS::ExactlyOnce));
                assert_eq!(once, self.given(QoS::ExactlyOnce), "QoS 2 {way}");
            }
        }
    }

    /// Checks that only messages that were sent come, that each comes in order when it comes first,
    /// and that `QoS` 0 does not come twice.
    fn check_order_of_first(&self, way: &str) {
        for (qos, got) in &self.got {
            let once = first(got);
            assert!(once.is_sorted(), "{qos:?} {way} out of order: {got:?}");
            let given: BTreeSet<u64> = self.given(*qos).iter().copied().collect();
            assert!(
                once.iter().all(|number| given.contains(number)),
                "{qos:?} {way}"
            );
            if *qos == QoS::AtMostOnce {
                assert_eq!(once.len(), got.len(), "QoS 0 {way} twice: {got:?}");
            }
        }
    }
}

/// Every number once, at its first place.
fn first(numbers: &[u64]) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    numbers
        .iter()
        .copied()
        .filter(|n| seen.insert(*n))
        .collect()
}

fn number(publish: &Publish) -> u64 {
    u64::from_be_bytes(publish.payload[..8].try_into().unwrap())
}

fn filter() -> TopicFilter {
    TopicFilter::try_from("down/#").unwrap()
}

fn options(scenario: &Scenario, seed: u64) -> ClientOptions {
    ClientOptions {
        version: if scenario.version_5 {
            ProtocolVersion::V5
        } else {
            ProtocolVersion::V3_1_1
        },
        clean_start: false,
        session_expiry_interval: u32::MAX,
        keep_alive: scenario.keep_alive,
        receive_maximum: scenario.receive_maximum,
        maximum_packet_size: 4_096,
        topic_alias_maximum: 4,
        queue_limit_messages: 40,
        will: None,
        password: Some(Bytes::from_static(b"secret")),
        seed,
        ..ClientOptions::new(Utf8String::from_static("under-test"))
    }
}
