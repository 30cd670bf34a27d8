//! The broker among many clients on a bad network, held against the reference model.
//!
//! `SEEDS=5000 cargo test --release -p beaconry-sim --test broker` runs more; a failure
//! prints the command that repeats it.

use std::time::Duration;

use sim::broker::{Setting, World};
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
    };
    let heard = World::new(&setting).run();
    assert!(heard > 100, "{heard}");
    assert_eq!(heard, World::new(&setting).run());
}
