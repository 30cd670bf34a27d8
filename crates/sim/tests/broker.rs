//! The broker among many clients on a bad network, compared with the reference model.
//!
//! `SEEDS=5000 cargo test --release -p beaconry-sim --test broker` runs more seeds. A failure
//! prints the command that repeats it.

use std::time::Duration;

use sim::broker::{Crashes, Setting, World};
use sim::{Conditions, seeds};

#[test]
fn every_client_hears_what_the_model_expects() {
    seeds::for_each(
        "broker",
        "every_client_hears_what_the_model_expects",
        40,
        |seed| {
            let setting = Setting {
                seed,
                clients: 2 + usize::try_from(seed % 5).unwrap(),
                conditions: if seed.is_multiple_of(4) {
                    Conditions::perfect()
                } else {
                    Conditions::bad()
                },
                duration: Duration::from_secs(40),
                authenticate: seed % 3 == 1,
                durable: seed % 2 == 1,
                sharing: seed % 8 == 7,
                crashes: Crashes::Never,
            };
            World::new(&setting).run();
        },
    );
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let setting = Setting {
        seed: 11,
        clients: 5,
        conditions: Conditions::bad(),
        duration: Duration::from_secs(20),
        authenticate: true,
        durable: true,
        sharing: false,
        crashes: Crashes::Often(5),
    };
    let report = World::new(&setting).run();
    assert!(report.heard > 100 && report.crashed > 3, "{report:?}");
    assert_eq!(report, World::new(&setting).run());
}

/// Whenever the broker crashes, no acknowledged message is lost, and no `QoS` 2 message comes
/// twice.
#[test]
fn promises_are_kept_over_many_crashes() {
    seeds::for_each(
        "broker",
        "promises_are_kept_over_many_crashes",
        20,
        |seed| {
            let setting = Setting {
                seed,
                clients: 2 + usize::try_from(seed % 5).unwrap(),
                conditions: if seed.is_multiple_of(3) {
                    Conditions::perfect()
                } else {
                    Conditions::bad()
                },
                duration: Duration::from_secs(40),
                authenticate: seed % 4 == 1,
                durable: true,
                sharing: seed % 2 == 1,
                crashes: Crashes::Often([2, 10, 50][usize::try_from(seed % 3).unwrap()]),
            };
            let report = World::new(&setting).run();
            assert!(report.crashed > 0, "{report:?}");
        },
    );
}

/// One crash, at each place where the broker asks to make records durable or no longer needs some.
#[test]
fn promises_are_kept_wherever_the_broker_crashes() {
    seeds::for_each(
        "broker",
        "promises_are_kept_wherever_the_broker_crashes",
        2,
        |seed| {
            let setting = |crashes| Setting {
                seed,
                clients: 3,
                conditions: Conditions::perfect(),
                duration: Duration::from_secs(4),
                authenticate: false,
                durable: true,
                sharing: seed % 2 == 1,
                crashes,
            };
            let places = World::new(&setting(Crashes::At(usize::MAX))).run().places;
            // There are no such places if all sessions end with their connections.
            for place in 0..places {
                let report = World::new(&setting(Crashes::At(place))).run();
                assert_eq!(report.crashed, 1, "at {place}");
            }
        },
    );
}
