//! The scenarios.

mod ebb;
mod flood;
mod idle;
mod latency;
mod pairs;
mod retained;
mod start;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mqtt::{ProtocolVersion, QoS};

use crate::packets::Hello;
use crate::peer::{Running, Setting};
use crate::swarm::Route;

pub(crate) use start::Fill;

/// Size of a payload in bytes.
const PAYLOAD: usize = 64;
/// The warm-up is this part of the measured deliveries.
const WARM_UP: u64 = 20;

/// One scenario.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    kind: Kind,
    websocket: bool,
}

#[derive(Copy, Clone, Debug)]
enum Kind {
    /// `QoS` 0, as fast as possible, with at most `window` messages in flight.
    Flood {
        publishers: usize,
        subscribers: usize,
        window: u64,
        deliveries: u64,
    },
    /// Publishers with one subscriber each, and up to 16 unacknowledged messages.
    Pairs {
        qos: QoS,
        lasting: bool,
        deliveries: u64,
    },
    /// The time from when a message should be sent until it is received, beside others that read
    /// nothing.
    Latency { stuck: usize },
    /// Connections that do nothing.
    Idle { connections: usize },
    /// Clients that come, have messages queued, and go.
    Ebb { clients: usize },
    /// Retained messages to a new subscriber to all of them.
    Retained { messages: u64 },
    /// From the start of a broker's process until it answers, with much on its disk.
    Start,
}

/// All scenarios, in the order of the table.
pub(crate) const ALL: &[Scenario] = &[
    flood(
        "fan-in",
        "50 publishers to 1 subscriber, QoS 0",
        50,
        1,
        500_000,
    ),
    websocket(flood(
        "fan-in-ws",
        "the same over WebSocket",
        50,
        1,
        500_000,
    )),
    flood(
        "fan-out-100",
        "1 publisher to 100 subscribers, QoS 0",
        1,
        100,
        2_000_000,
    ),
    websocket(flood(
        "fan-out-100-ws",
        "the same over WebSocket",
        1,
        100,
        2_000_000,
    )),
    flood(
        "fan-out-1000",
        "1 publisher to 1,000 subscribers, QoS 0",
        1,
        1_000,
        2_000_000,
    ),
    websocket(flood(
        "fan-out-1000-ws",
        "the same over WebSocket",
        1,
        1_000,
        2_000_000,
    )),
    pairs(
        "qos1",
        "50 pairs, QoS 1, window 16",
        QoS::AtLeastOnce,
        false,
        200_000,
    ),
    websocket(pairs(
        "qos1-ws",
        "the same over WebSocket",
        QoS::AtLeastOnce,
        false,
        200_000,
    )),
    pairs(
        "qos2",
        "50 pairs, QoS 2, window 16",
        QoS::ExactlyOnce,
        false,
        100_000,
    ),
    websocket(pairs(
        "qos2-ws",
        "the same over WebSocket",
        QoS::ExactlyOnce,
        false,
        100_000,
    )),
    pairs(
        "qos1-durable",
        "50 pairs with lasting sessions, QoS 1",
        QoS::AtLeastOnce,
        true,
        200_000,
    ),
    pairs(
        "qos2-durable",
        "50 pairs with lasting sessions, QoS 2",
        QoS::ExactlyOnce,
        true,
        100_000,
    ),
    latency("latency", "5,000 messages/s, 10 pairs, QoS 0", 0),
    websocket(latency("latency-ws", "the same over WebSocket", 0)),
    latency(
        "latency-stuck",
        "beside 100 subscribers that read nothing",
        100,
    ),
    idle("idle", "10,000 idle connections"),
    websocket(idle("idle-ws", "10,000 idle WebSockets")),
    EBB,
    retained("retained", "100,000 retained messages to a new subscriber"),
    START,
];

const EBB: Scenario = Scenario {
    name: "ebb",
    what: "after 10,000 clients came, had messages queued, and went",
    kind: Kind::Ebb { clients: 10_000 },
    websocket: false,
};

const START: Scenario = Scenario {
    name: "start",
    what: "from the disk, with retained messages and sessions",
    kind: Kind::Start,
    websocket: false,
};

/// The result of one run of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    /// Messages that were received.
    pub(crate) deliveries: u64,
    /// Messages that should have been received and were not.
    pub(crate) lost: u64,
    pub(crate) wall: Duration,
    /// The broker's CPU time.
    pub(crate) cpu: Duration,
    /// The broker's memory at the end, in bytes.
    pub(crate) memory: u64,
    pub(crate) detail: Detail,
}

/// What a scenario measures in particular.
#[derive(Clone, Debug)]
pub(crate) enum Detail {
    /// CPU and messages per second.
    Work,
    /// The latency of single messages, without those that the generator itself was too late for.
    Latency {
        p50: Duration,
        p99: Duration,
        /// The percentile in the middle turn.
        p99_of_turn: Duration,
        max: Duration,
        held_up: u64,
    },
    /// Bytes of memory for each connection.
    Connection(u64),
    /// Memory before many clients came, with all of them, and after they went for the first time,
    /// in bytes. [`Measurement::memory`] holds it after the second time.
    Ebb { before: u64, peak: u64, after: u64 },
    /// The most memory in use until the broker had started, and the size of its files, in bytes.
    Start { peak: u64, disk: u64 },
}

/// What a scenario runs with.
pub(crate) struct Context<'a> {
    pub(crate) broker: &'a mut Running,
    pub(crate) version: ProtocolVersion,
    /// Replaces the scenario's own number of deliveries.
    pub(crate) messages: Option<u64>,
    pub(crate) fill: Fill,
    pub(crate) websocket: bool,
}

impl Detail {
    /// How many messages have no latency, because the generator was too late for them.
    pub(crate) fn held_up(&self) -> u64 {
        match self {
            Self::Latency { held_up, .. } => *held_up,
            Self::Work | Self::Connection(_) | Self::Ebb { .. } | Self::Start { .. } => 0,
        }
    }
}

impl Scenario {
    pub(crate) fn setting(&self, store: bool) -> Setting {
        let unlimited = match self.kind {
            Kind::Flood { .. }
            | Kind::Pairs { .. }
            | Kind::Idle { .. }
            | Kind::Ebb { .. }
            | Kind::Retained { .. }
            | Kind::Start => true,
            // The scenario with stuck subscribers is about limits, so the broker keeps its own.
            Kind::Latency { stuck } => stuck == 0,
        };
        Setting {
            store: store || self.needs_store(),
            unlimited,
        }
    }

    /// Whether the scenario makes sense only with a store on the disk.
    pub(crate) fn needs_store(&self) -> bool {
        match self.kind {
            Kind::Start => true,
            Kind::Flood { .. }
            | Kind::Pairs { .. }
            | Kind::Latency { .. }
            | Kind::Idle { .. }
            | Kind::Ebb { .. }
            | Kind::Retained { .. } => false,
        }
    }

    /// Whether it takes so much time or memory that it runs only if it is named.
    pub(crate) fn is_heavy(&self) -> bool {
        self.needs_store()
    }

    /// Whether no message of this scenario may be lost.
    pub(crate) fn has_guarantee(&self) -> bool {
        match self.kind {
            Kind::Pairs { .. } | Kind::Retained { .. } | Kind::Start => true,
            Kind::Flood { .. } | Kind::Latency { .. } | Kind::Idle { .. } | Kind::Ebb { .. } => {
                false
            }
        }
    }

    /// Whether it measures all brokers at the same time, in turns.
    pub(crate) fn is_side_by_side(&self) -> bool {
        match self.kind {
            Kind::Latency { .. } => true,
            Kind::Flood { .. }
            | Kind::Pairs { .. }
            | Kind::Idle { .. }
            | Kind::Ebb { .. }
            | Kind::Retained { .. }
            | Kind::Start => false,
        }
    }

    /// Measures `brokers`: one, unless the scenario [is side by side](Self::is_side_by_side).
    pub(crate) fn run(
        &self,
        brokers: &mut [Running],
        version: ProtocolVersion,
        messages: Option<u64>,
        fill: Fill,
    ) -> Result<Vec<Measurement>> {
        let mut contexts: Vec<_> = brokers
            .iter_mut()
            .map(|broker| Context {
                broker,
                version,
                messages,
                fill,
                websocket: self.websocket,
            })
            .collect();
        let mut each = |measure: &dyn Fn(&mut Context<'_>) -> Result<Measurement>| {
            contexts.iter_mut().map(measure).collect()
        };
        match self.kind {
            Kind::Flood {
                publishers,
                subscribers,
                window,
                deliveries,
            } => each(&|it| flood::run(it, publishers, subscribers, window, deliveries)),
            Kind::Pairs {
                qos,
                lasting,
                deliveries,
            } => each(&|it| pairs::run(it, qos, lasting, deliveries)),
            Kind::Latency { stuck } => latency::run(&contexts, stuck),
            Kind::Idle { connections } => each(&|it| idle::run(it, connections)),
            Kind::Ebb { clients } => each(&|it| ebb::run(it, clients)),
            Kind::Retained { messages } => each(&|it| retained::run(it, messages)),
            Kind::Start => each(&|it| start::run(it)),
        }
    }
}

impl Context<'_> {
    fn route(&self) -> Route {
        self.broker.route(self.websocket)
    }

    fn hello(&self, client_id: String) -> Hello {
        Hello {
            version: self.version,
            client_id,
            lasting: false,
        }
    }

    fn deliveries(&self, default: u64) -> u64 {
        self.messages.unwrap_or(default).max(1)
    }
}

/// Ends a run that makes no progress.
struct Patience {
    since: Instant,
    begun: Instant,
}

impl Patience {
    /// If nothing comes for this long, what is missing will not come.
    const QUIET: Duration = Duration::from_secs(5);
    /// The limit for one run of one scenario.
    const WHOLE: Duration = Duration::from_mins(2);

    fn new() -> Self {
        let now = Instant::now();
        Self {
            since: now,
            begun: now,
        }
    }

    /// Notes whether something has come. Returns `true` if nothing more will.
    fn is_over(&mut self, came: bool, received: u64, of: u64) -> Result<bool> {
        let now = Instant::now();
        if came {
            self.since = now;
        }
        if now - self.begun > Self::WHOLE {
            bail!(
                "stalled: {received} of {of} messages after {:?}",
                Self::WHOLE
            );
        }
        Ok(now - self.since > Self::QUIET)
    }
}

const fn flood(
    name: &'static str,
    what: &'static str,
    publishers: usize,
    subscribers: usize,
    deliveries: u64,
) -> Scenario {
    Scenario {
        name,
        what,
        kind: Kind::Flood {
            publishers,
            subscribers,
            window: if publishers > 1 { 5_000 } else { 100 },
            deliveries,
        },
        websocket: false,
    }
}

const fn pairs(
    name: &'static str,
    what: &'static str,
    qos: QoS,
    lasting: bool,
    deliveries: u64,
) -> Scenario {
    Scenario {
        name,
        what,
        kind: Kind::Pairs {
            qos,
            lasting,
            deliveries,
        },
        websocket: false,
    }
}

const fn latency(name: &'static str, what: &'static str, stuck: usize) -> Scenario {
    Scenario {
        name,
        what,
        kind: Kind::Latency { stuck },
        websocket: false,
    }
}

const fn idle(name: &'static str, what: &'static str) -> Scenario {
    Scenario {
        name,
        what,
        kind: Kind::Idle {
            connections: 10_000,
        },
        websocket: false,
    }
}

const fn retained(name: &'static str, what: &'static str) -> Scenario {
    Scenario {
        name,
        what,
        kind: Kind::Retained { messages: 100_000 },
        websocket: false,
    }
}

const fn websocket(scenario: Scenario) -> Scenario {
    Scenario {
        websocket: true,
        ..scenario
    }
}
