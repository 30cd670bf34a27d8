//! `mqtt::Client` against a reference server on a bad network, over thousands of seeds.
//!
//! `SEEDS=n` sets how many seeds to run, `SEED=n` repeats one seed.

#![allow(clippy::unwrap_used, clippy::expect_used)] // helpers of tests, outside of #[test]

mod world;

use core::time::Duration;

use sim::peer::{PeerOptions, Version5};
use sim::{Conditions, Random, seeds};
use world::{Promise, Scenario, World};

const SEEDS: u64 = 2_000;

/// The server keeps its session: `QoS` 2 exactly once, `QoS` 1 at least once, in order.
#[test]
fn qos_2_exactly_once_while_the_session_lasts() {
    seeds::for_each(
        "client",
        "qos_2_exactly_once_while_the_session_lasts",
        SEEDS,
        |seed| {
            let scenario = Scenario {
                promise: Promise::ExactlyOnce,
                ..scenario(seed)
            };
            World::new(seed, scenario).run();
        },
    );
}

/// The server forgets its session now and then: both `QoS` arrive at least once, and the client
/// renews its subscriptions.
#[test]
fn at_least_once_when_the_server_forgets() {
    seeds::for_each(
        "client",
        "at_least_once_when_the_server_forgets",
        SEEDS / 2,
        |seed| {
            let scenario = Scenario {
                promise: Promise::AtLeastOnce,
                ..scenario(seed)
            };
            World::new(seed, scenario).run();
        },
    );
}

/// On a perfect network a client stays connected through hours of silence, by PINGREQ alone.
#[test]
fn keep_alive_holds_an_idle_connection() {
    seeds::for_each(
        "client",
        "keep_alive_holds_an_idle_connection",
        50,
        |seed| {
            let scenario = Scenario {
                conditions: Conditions::perfect(),
                actions: 0,
                freezes: false,
                reloads: false,
                ..scenario(seed)
            };
            let mut world = World::new(seed, scenario);
            world.run_for(Duration::from_hours(6));
            assert!(world.client().state().is_connected());
            assert_eq!(world.connections(), 1, "connections");
        },
    );
}

/// A client finds out that a server speaks only 3.1.1, on a bad network too.
#[test]
fn falls_back_to_3_1_1() {
    seeds::for_each("client", "falls_back_to_3_1_1", SEEDS / 4, |seed| {
        let mut random = Random::new(seed);
        let mut scenario = scenario(seed);
        scenario.peer.version_5 = if random.chance(500) {
            Version5::Refused
        } else {
            Version5::Hung
        };
        World::new(seed, scenario).run();
    });
}

/// The settings that differ from seed to seed.
fn scenario(seed: u64) -> Scenario {
    let mut random = Random::new(seed);
    let bad = Conditions::bad();
    Scenario {
        conditions: Conditions {
            latency: Duration::from_millis(1)..Duration::from_millis(2 + random.below(400)),
            chunks: 1 + random.index(6),
            refused: u32::try_from(random.below(400)).unwrap(),
            cut: u32::try_from(random.below(80)).unwrap(),
            silent: u32::try_from(random.below(500)).unwrap(),
            ..bad
        },
        peer: PeerOptions {
            version_5: Version5::Spoken,
            receive_maximum: 1 + u16::try_from(random.below(8)).unwrap(),
            maximum_packet_size: 600,
            topic_alias_maximum: u16::try_from(random.below(4)).unwrap(),
            server_keep_alive: random.chance(300).then_some(20),
        },
        version_5: random.chance(700),
        keep_alive: 10 + u16::try_from(random.below(50)).unwrap(),
        receive_maximum: 1 + u16::try_from(random.below(8)).unwrap(),
        actions: 60,
        freezes: random.chance(300),
        reloads: random.chance(300),
        promise: Promise::ExactlyOnce,
    }
}
