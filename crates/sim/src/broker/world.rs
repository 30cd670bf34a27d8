//! The broker, its clients, the network between them, and the model beside it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use ::broker::{
    Broker, BrokerOptions, CloseCause, Conn, Decision, Input, Lsn, Output, Peer, Recovery,
};
use bytes::{Bytes, BytesMut};
use mqtt::{Client, Instant, ProtocolVersion, QoS};

use super::disk::Disk;
use super::members::Member;
use super::model::Model;
use super::past::Past;
use super::split::Splitter;
use crate::{Clock, Conditions, Delivery, LinkId, Network, Random, Side};

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The seed of all random decisions.
    pub seed: u64,
    /// The number of clients.
    pub clients: usize,
    /// The network's conditions until it heals.
    pub conditions: Conditions,
    /// How long clients act.
    pub duration: Duration,
    /// Whether the broker asks the shell about credentials.
    pub authenticate: bool,
    /// Whether the broker keeps records.
    pub durable: bool,
    /// Whether most of the run is about shared subscriptions.
    pub sharing: bool,
    /// When the broker crashes. Without records it never does.
    pub crashes: Crashes,
}

/// When a broker crashes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Crashes {
    /// Never.
    Never,
    /// At one request to make records durable, or one report that records are no longer needed. The
    /// number says at which one, counted from 0.
    At(usize),
    /// At this many of a thousand such requests, more often at reports that records are no longer
    /// needed, and also at other times.
    Often(u32),
}

/// What happened in a run.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many messages the clients heard.
    pub heard: usize,
    /// How often the broker asked to make records durable, or reported that they are no longer
    /// needed.
    pub places: usize,
    /// How often the broker crashed.
    pub crashed: usize,
}

/// The broker, its clients, the network and the model.
#[derive(Debug)]
pub struct World {
    pub(super) now: Instant,
    broker: Broker,
    pub(super) model: Model,
    pub(super) network: Network,
    chores: Clock<Chore>,
    pub(super) random: Random,
    pub(super) members: Vec<Member>,
    options: BrokerOptions,
    disk: Disk,
    past: Past,
    /// The parts of packets that have come, for each connection.
    splitters: BTreeMap<Conn, Splitter>,
    /// The type of the packet that has just come, if it is complete.
    last_type: Option<u8>,
    pub(super) crashes: Crashes,
    /// At how many places the broker could have crashed.
    places: usize,
    /// How often the broker has crashed.
    crashed: usize,
    /// Numbers the payloads, so that each is published once.
    pub(super) payloads: u64,
    pub(super) is_sharing: bool,
    ends_at: Instant,
}

/// What happens after a while.
#[derive(Copy, Clone, Debug)]
enum Chore {
    Drained(Conn),
    Authenticated(Conn),
    Sync,
    Checkpoint,
    Crash,
    Act(usize),
}

pub(super) const HOUR: u32 = 3_600;

impl World {
    /// A broker, and clients that begin to connect to it.
    pub fn new(setting: &Setting) -> Self {
        let now = Instant::ZERO;
        let mut random = Random::new(setting.seed);
        let mut options = BrokerOptions {
            seed: random.next_u64(),
            authenticate: setting.authenticate,
            durable: setting.durable,
            session_expiry_interval_3_1_1: HOUR,
            ..BrokerOptions::default()
        };
        // These limits are small enough to be reached, and large enough that the broker drops
        // nothing.
        options.limits.inflight_window = 4;
        options.limits.out_buffer_bytes = 1_500;
        options.limits.queue_messages = 100_000;
        let mut world = Self {
            now,
            broker: Broker::new(now, options.clone()),
            options,
            disk: Disk::default(),
            past: Past::default(),
            splitters: BTreeMap::new(),
            last_type: None,
            crashes: setting.crashes,
            places: 0,
            crashed: 0,
            model: Model::new(setting.authenticate, HOUR),
            network: Network::new(random.next_u64(), setting.conditions.clone()),
            chores: Clock::new(now),
            random,
            members: Vec::new(),
            payloads: 0,
            is_sharing: setting.sharing,
            ends_at: now + setting.duration,
        };
        for number in 0..setting.clients {
            let options = world.options(number);
            let is_fickle = options.version == ProtocolVersion::V5 && world.random.chance(250);
            world.members.push(Member {
                client: Client::new(now, options.clone()),
                is_exact: options.session_expiry_interval == HOUR && !is_fickle,
                is_fickle,
                is_forgetful: false,
                options,
                link: None,
                published: Vec::new(),
                subscribed: BTreeSet::new(),
                unsubscribing: Vec::new(),
            });
            world.chores.schedule(now, Chore::Act(number));
        }
        if setting.durable {
            world.later(5_000, Chore::Checkpoint);
        }
        if let Crashes::Often(_) = setting.crashes {
            world.later(5_000, Chore::Crash);
        }
        world
    }

    /// Runs until the clients have stopped acting, the network has healed, and nobody has anything
    /// left to send. Then checks that nothing is missing.
    ///
    /// # Panics
    /// Panics when the broker and the model disagree, or when the run takes too long.
    pub fn run(mut self) -> Report {
        self.settle();
        while self.now < self.ends_at {
            self.step();
        }
        self.network.conditions = Conditions::perfect();
        self.network.cut_all(self.now);
        let latest = self.ends_at + Duration::from_mins(20);
        while !self.is_quiet() {
            let clients = self.members.iter().map(|it| {
                let (queued, ids) = (it.client.queued(), it.client.packet_ids_in_use());
                (it.client.state(), queued, ids)
            });
            assert!(
                self.now < latest,
                "no end: {:?}",
                clients.collect::<Vec<_>>()
            );
            let until = self.now + Duration::from_secs(1);
            while self.now < until {
                self.step();
            }
        }
        self.check_end();
        let members = self.members.iter();
        let ids: Vec<_> = members.map(|it| it.options.client_id.to_string()).collect();
        let heard = ids.iter().map(|id| self.model.expectations(id).heard());
        Report {
            heard: heard.sum::<usize>() + self.model.heard_in_groups(),
            places: self.places,
            crashed: self.crashed,
        }
    }

    /// Lets the next thing happen.
    fn step(&mut self) {
        let broker = match self.broker.poll_output() {
            Output::Idle(at) => at,
            other => panic!("{other:?} was left over"),
        };
        let clients = self.members.iter();
        let clients = clients.filter_map(|it| it.client.poll_timeout().map(|(at, _)| at));
        let times = [self.network.next_at(), self.chores.next_at(), broker];
        let next = times.into_iter().flatten().chain(clients).min();
        let Some(next) = next else {
            self.now = self.now + Duration::from_secs(1);
            return;
        };
        self.now = self.now.max(next);
        let now = self.now;
        if broker.is_some_and(|at| at <= now) {
            self.tell(Input::Timeout);
        }
        for member in &mut self.members {
            if member
                .client
                .poll_timeout()
                .is_some_and(|(at, _)| at <= now)
            {
                member.client.handle_timeout(now);
            }
        }
        if let Some((_, delivery)) = self.network.pop_by(now) {
            self.arrive(delivery);
        } else if self.chores.next_at().is_some_and(|at| at <= now)
            && let Some((_, chore)) = self.chores.pop()
        {
            self.do_chore(chore);
        }
        self.settle();
    }

    fn do_chore(&mut self, chore: Chore) {
        match chore {
            Chore::Drained(conn) => self.tell(Input::Drained(conn)),
            Chore::Authenticated(conn) => self.tell(Input::Authenticated(
                conn,
                Decision::Accept(broker::Principal::default()),
            )),
            Chore::Sync => {
                if let Some(durable) = self.disk.sync(&mut self.random) {
                    self.past.forget(durable);
                    self.tell(Input::Persisted(durable));
                }
            }
            Chore::Checkpoint => {
                let budget = self.random.index(400);
                let pause = if self.broker.checkpoint(self.now, budget) {
                    20
                } else {
                    2_000
                };
                self.later(pause, Chore::Checkpoint);
            }
            Chore::Crash => {
                if self.now < self.ends_at {
                    self.crash();
                    self.later(5_000, Chore::Crash);
                }
            }
            Chore::Act(number) => {
                if self.now < self.ends_at {
                    self.act(number);
                    let pause = self
                        .random
                        .duration(&(Duration::ZERO..Duration::from_millis(400)));
                    self.chores.schedule(self.now + pause, Chore::Act(number));
                }
            }
        }
    }

    /// Gives the broker and the model a client's bytes, one packet after the other.
    fn hear(&mut self, conn: Conn, mut bytes: Bytes) {
        while !bytes.is_empty() {
            let splitter = self.splitters.entry(conn).or_default();
            let end = bytes.iter().position(|byte| {
                self.last_type = splitter.next(*byte);
                self.last_type.is_some()
            });
            let len = end.map_or(bytes.len(), |at| at + 1);
            self.tell(Input::Bytes(conn, bytes.split_to(len)));
        }
    }

    /// Gives broker and model the same input. They must agree on the counts.
    fn tell(&mut self, input: Input) {
        let is_one = match &input {
            // CONNECT may end one session and begin another. DISCONNECT may publish a will.
            // UNSUBSCRIBE first gives up look-ups of retained messages.
            Input::Bytes(..) => !matches!(self.last_type, Some(1 | 10 | 14)),
            Input::Drained(_) | Input::Persisted(_) => true,
            Input::Opened(..)
            | Input::Closed(_)
            | Input::Authenticated(..)
            | Input::Store(_)
            | Input::StoreRoom { .. }
            | Input::Timeout
            | Input::Shutdown => false,
        };
        let before = Lsn(self.broker.metrics().records);
        let was = self.keeps_past().then(|| self.model.snapshot());
        let recorded = self.model.recorded();
        self.model.input(self.now, &input);
        self.broker.handle_input(self.now, input);
        let after = Lsn(self.broker.metrics().records);
        if let Some(was) = was.filter(|_| before < after) {
            self.past.push(before, after, is_one, was);
        }
        if before == after {
            self.model.pass(recorded);
        }
        self.compare();
    }

    fn keeps_past(&self) -> bool {
        self.crashes != Crashes::Never
    }

    /// Whether the power fails at this place. That is `times` times as probable as at others.
    fn crashes_here(&mut self, times: u32) -> bool {
        let number = self.places;
        self.places += 1;
        match self.crashes {
            Crashes::Never => false,
            Crashes::At(at) => number == at,
            Crashes::Often(chance) => self.now < self.ends_at && self.random.chance(times * chance),
        }
    }

    /// Fails the power, which comes back at once or after a while.
    fn crash(&mut self) {
        self.crashed += 1;
        if self.random.chance(300) {
            let range = Duration::ZERO..Duration::from_secs(6);
            self.now = self.now + self.random.duration(&range);
        }
        let past = &self.past;
        self.disk.crash(&mut self.random, |last| past.allowed(last));
        let mut recovery = Recovery::new(self.options.clone());
        for (lsn, record) in self.disk.records() {
            if let Err(error) = recovery.replay(*lsn, record.clone()) {
                panic!("{error}");
            }
        }
        assert_eq!(recovery.strays(), 0, "records of what is not known");
        let last = recovery.last_lsn();
        self.broker = match recovery.finish(self.now) {
            Ok(broker) => broker,
            Err(error) => panic!("{error}"),
        };
        if let Some(before) = self.past.rewind(last)
            && let Err(error) = self.model.rewind(before)
        {
            panic!("{error}");
        }
        // What the broker records at its start may be lost too.
        let was = self.model.snapshot();
        let after = Lsn(self.broker.metrics().records);
        self.past.push(last, after, false, was);
        self.model.crash(self.now);
        self.splitters.clear();
        self.network.cut_all(self.now);
        self.compare();
    }

    fn compare(&self) {
        let metrics = self.broker.metrics();
        let counts = [
            metrics.clients,
            metrics.sessions,
            metrics.subscriptions,
            metrics.retained_messages,
            metrics.wills,
            metrics.wills_published,
        ];
        assert_eq!(
            counts,
            self.model.counts(),
            "clients, sessions, subscriptions, retained messages, wills, wills published at {:?}",
            self.now
        );
    }

    fn arrive(&mut self, delivery: Delivery) {
        let now = self.now;
        match delivery {
            Delivery::Opened {
                link,
                at: Side::Server,
            } => {
                self.tell(Input::Opened(Conn(link.0), Peer::MEMORY));
            }
            Delivery::Bytes {
                link,
                at: Side::Server,
                bytes,
            } => {
                self.hear(Conn(link.0), bytes);
            }
            Delivery::Closed {
                link,
                at: Side::Server,
            } => {
                self.tell(Input::Closed(Conn(link.0)));
            }
            Delivery::Opened {
                link,
                at: Side::Client,
            } => {
                if let Some(member) = self.member(link) {
                    member.client.handle_transport_open(now);
                }
            }
            Delivery::Bytes {
                link,
                at: Side::Client,
                bytes,
            } => {
                if let Some(member) = self.member(link) {
                    let taken = member.client.handle_input(now, bytes);
                    assert_eq!(taken, Ok(()), "the broker broke the protocol");
                }
            }
            Delivery::Closed {
                link,
                at: Side::Client,
            }
            | Delivery::Refused { link } => {
                if let Some(member) = self.member(link) {
                    member.link = None;
                    member.client.handle_transport_closed(now);
                }
            }
        }
    }

    fn member(&mut self, link: LinkId) -> Option<&mut Member> {
        self.members.iter_mut().find(|it| it.link == Some(link))
    }

    /// Does what broker and clients ask for.
    fn settle(&mut self) {
        loop {
            match self.broker.poll_output() {
                Output::Write(conn) => {
                    let mut out = BytesMut::new();
                    self.broker.take_writes(conn, &mut out);
                    let link = LinkId(conn.0);
                    self.network
                        .send(self.now, link, Side::Server, out.freeze());
                    self.later(30, Chore::Drained(conn));
                }
                Output::Close(conn, reason) => {
                    match reason.cause {
                        CloseCause::ConnectTimeout => self.model.forget(conn),
                        CloseCause::Disconnected(_)
                        | CloseCause::TakenOver { .. }
                        | CloseCause::KeepAliveTimeout => {}
                        CloseCause::Protocol(_)
                        | CloseCause::Refused { .. }
                        | CloseCause::Limit { .. }
                        | CloseCause::ShuttingDown => panic!("{reason}"),
                    }
                    assert!(!self.model.is_open(conn), "closed without need: {reason}");
                    self.network.close(self.now, LinkId(conn.0), Side::Server);
                }
                Output::Authenticate(conn, _) => self.later(300, Chore::Authenticated(conn)),
                Output::Persist(lsn) => {
                    let mut frames = BytesMut::new();
                    self.broker.take_journal(&mut frames);
                    self.disk.write(lsn, frames.freeze());
                    if self.crashes_here(1) {
                        self.crash();
                    } else {
                        self.later(10, Chore::Sync);
                    }
                }
                Output::Checkpointed(from) => {
                    self.disk.cut(from, &mut self.random);
                    // A cut is rare, and recovery must work without the records that it removed.
                    if self.crashes_here(20) {
                        self.crash();
                    }
                }
                Output::Connected(..)
                | Output::Tapped
                | Output::Limited(_)
                | Output::Pause(_)
                | Output::Resume(_) => {}
                Output::Idle(_) => break,
            }
        }
        for number in 0..self.members.len() {
            self.serve(number);
        }
    }

    fn later(&mut self, millis: u64, chore: Chore) {
        let range = Duration::ZERO..Duration::from_millis(millis);
        let at = self.now + self.random.duration(&range);
        self.chores.schedule(at, chore);
    }

    /// Whether everybody is connected and has nothing left to send.
    fn is_quiet(&self) -> bool {
        let has_no_more = |client: &Client| {
            matches!(client.state(), mqtt::client::State::Connected { .. })
                && client.queued().0 == 0
                && client.packet_ids_in_use() == 0
        };
        let metrics = self.broker.metrics();
        metrics.queued_messages == 0
            && metrics.retained_lookups == 0
            && self.members.iter().all(|it| has_no_more(&it.client))
    }

    fn check_end(&mut self) {
        for member in &self.members {
            let id = member.options.client_id.as_str();
            let missing = self.model.expectations(id).missing(self.now);
            assert!(missing.is_empty(), "{id} has not heard: {missing:?}");
            if !member.is_exact {
                continue;
            }
            let filters = self.model.filters(id);
            for filter in &member.subscribed {
                let is_there = filters.contains(&filter.as_str());
                assert!(is_there, "{id} was told that it is subscribed to {filter}");
            }
            for (payload, qos) in &member.published {
                let count = self.model.published(payload);
                let is_right = count == 1 || (*qos == QoS::AtLeastOnce && count > 0);
                assert!(is_right, "{id}: {payload:?}, {qos:?}, {count} times");
            }
        }
        let missing = self.model.missing_in_groups(self.now);
        assert!(missing.is_empty(), "no member has heard: {missing:?}");
        let metrics = self.broker.metrics();
        let dropped = [
            metrics.dropped_queue_full,
            metrics.dropped_too_large,
            metrics.protocol_errors,
        ];
        assert_eq!(dropped, [0; 3], "{metrics:?}");
    }
}
