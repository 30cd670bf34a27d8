//! The broker, its clients, the network between them, and the model beside it.

mod acting;

use core::time::Duration;

use ::broker::{Broker, BrokerOptions, CloseCause, Conn, Decision, Input, Lsn, Output, Peer};
use bytes::{Bytes, BytesMut};
use mqtt::client::Event;
use mqtt::packet::WillProperties;
use mqtt::{
    Client, ClientOptions, Instant, ProtocolVersion, QoS, TopicFilter, TopicName, Utf8String, Will,
};

use super::model::Model;
use crate::{Clock, Conditions, Delivery, LinkId, Network, Random, Side};

/// What a run is like.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Of all chance.
    pub seed: u64,
    /// How many clients.
    pub clients: usize,
    /// Until the network heals.
    pub conditions: Conditions,
    /// How long clients act.
    pub duration: Duration,
    /// Whether the broker asks about credentials.
    pub authenticate: bool,
    /// Whether its acknowledgements wait for records.
    pub durable: bool,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    now: Instant,
    broker: Broker,
    model: Model,
    network: Network,
    chores: Clock<Chore>,
    random: Random,
    members: Vec<Member>,
    /// Numbers the payloads, so that each is published once.
    payloads: u64,
    ends_at: Instant,
}

/// A client and its shell.
#[derive(Debug)]
struct Member {
    client: Client,
    options: ClientOptions,
    link: Option<LinkId>,
    /// What it has published with `QoS` 1 and 2 and must arrive.
    published: Vec<(Bytes, QoS)>,
    /// Whether its sessions outlive its connections, so that `QoS` 2 is exactly once.
    is_exact: bool,
    /// Whether it has started anew with nothing, and the broker does not know yet.
    is_forgetful: bool,
}

/// What happens after a while.
#[derive(Copy, Clone, Debug)]
enum Chore {
    Drained(Conn),
    Authenticated(Conn),
    Persisted(Lsn),
    Act(usize),
}

const TOPICS: [&str; 6] = ["a", "a/b", "a/c", "b/b", "a/b/c", "$own"];
const FILTERS: [&str; 9] = ["#", "a", "a/b", "+/b", "a/#", "+", "a/+", "a/b/c", "a/+/c"];
/// Each with an identifier above 100, by which the model tells that a message is for it.
const SHARED: [(&str, u32); 3] = [
    ("$share/g/a/#", 101),
    ("$share/g/+/b", 102),
    ("$share/h/a/#", 103),
];
const HOUR: u32 = 3_600;

impl World {
    /// A broker that clients begin to connect to.
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
        // Small enough to be reached, large enough that nothing is dropped.
        options.limits.inflight_window = 4;
        options.limits.out_buffer_bytes = 1_500;
        options.limits.queue_messages = 100_000;
        let mut world = Self {
            now,
            broker: Broker::new(now, options),
            model: Model::new(setting.authenticate, HOUR),
            network: Network::new(random.next_u64(), setting.conditions.clone()),
            chores: Clock::new(now),
            random,
            members: Vec::new(),
            payloads: 0,
            ends_at: now + setting.duration,
        };
        for number in 0..setting.clients {
            let options = world.options(number);
            world.members.push(Member {
                client: Client::new(now, options.clone()),
                is_exact: options.session_expiry_interval == HOUR,
                is_forgetful: false,
                options,
                link: None,
                published: Vec::new(),
            });
            world.chores.schedule(now, Chore::Act(number));
        }
        world
    }

    /// Runs until the clients have stopped acting, the network has healed, and nobody has
    /// anything left to say; then looks for what is missing. Says how many messages were
    /// heard.
    ///
    /// # Panics
    /// When the broker and the model disagree, or it takes too long.
    pub fn run(mut self) -> usize {
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
        heard.sum::<usize>() + self.model.heard_in_groups()
    }

    fn options(&mut self, number: usize) -> ClientOptions {
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
        Will {
            topic: topic(TOPICS[self.random.index(5)]),
            payload: format!("will of {number}").into(),
            qos: self.qos(),
            retain: self.random.chance(300),
            properties: WillProperties {
                will_delay_interval: self.random.chance(500).then_some(4),
                ..WillProperties::default()
            },
        }
    }

    fn qos(&mut self) -> QoS {
        [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][self.random.index(3)]
    }

    /// Lets the next thing happen, wherever that is.
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
            Chore::Authenticated(conn) => self.tell(Input::Authenticated(conn, Decision::Accept)),
            Chore::Persisted(lsn) => self.tell(Input::Persisted(lsn)),
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

    /// Broker and model are told the same, and must agree on what there is.
    fn tell(&mut self, input: Input) {
        self.model.input(self.now, &input);
        self.broker.handle_input(self.now, input);
        let metrics = self.broker.metrics();
        let counts = [
            metrics.clients,
            metrics.sessions,
            metrics.subscriptions,
            metrics.retained_messages,
        ];
        assert_eq!(
            counts,
            self.model.counts(),
            "clients, sessions, subscriptions, retained messages at {:?}",
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
                self.tell(Input::Bytes(Conn(link.0), bytes));
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

    /// Does what broker and clients want done.
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
                        | CloseCause::TakenOver
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
                    self.broker.take_journal(&mut BytesMut::new());
                    self.chores
                        .schedule(self.now + Duration::from_millis(2), Chore::Persisted(lsn));
                }
                Output::Connected(..)
                | Output::Checkpointed(_)
                | Output::Limited(_)
                | Output::Pause(_)
                | Output::Resume(_) => {}
                Output::ToShard(_, message) => match message {},
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

    /// Does what a client wants done.
    fn serve(&mut self, number: usize) {
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
                    if let Err(error) = self.model.hear(now, id, &publish) {
                        panic!("{id} at {now:?}: {error}");
                    }
                }
                Event::Connected { .. } => member.is_forgetful = false,
                // An earlier attempt of its own came late and took its session over: somebody
                // presses the button.
                Event::Disconnected { retry_at: None, .. } => member.client.reconnect_now(now),
                Event::Disconnected { .. }
                | Event::CredentialsNeeded { .. }
                | Event::Published { .. }
                | Event::Subscribed { .. }
                | Event::Unsubscribed { .. } => {}
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

    /// Whether everybody is connected and has nothing left to say.
    fn is_quiet(&self) -> bool {
        let has_no_more = |client: &Client| {
            matches!(client.state(), mqtt::client::State::Connected { .. })
                && client.queued().0 == 0
                && client.packet_ids_in_use() == 0
        };
        self.broker.metrics().queued_messages == 0
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

fn topic(text: &'static str) -> TopicName {
    TopicName::new(Utf8String::from_static(text)).unwrap_or_else(|error| panic!("{error}"))
}

fn filter(text: &'static str) -> TopicFilter {
    TopicFilter::new(Utf8String::from_static(text)).unwrap_or_else(|error| panic!("{error}"))
}
