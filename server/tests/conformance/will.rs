//! Section 3.1: what happens to a will.

use std::time::{Duration, Instant};

use crate::raw::{Connect, DISCONNECT, Publish, V5, VERSIONS, WILL_DELAY, Will, disconnect, four};
use crate::wire::{Site, Wire, on_each_transport};

fn mortal(site: &Site, version: crate::raw::Version, will: Will) -> Wire {
    let connect = Connect {
        will: Some(will),
        ..Connect::new(version, "mortal")
    };
    site.connect(&connect).0
}

/// `[MQTT-3.1.2-7]` `[MQTT-3.1.2-10]`, and of 3.1.1 `[MQTT-3.1.2-8 of 3.1.1]`
/// `[MQTT-3.1.2-10 of 3.1.1]`: however the connection ends, unless DISCONNECT discarded it; and only
/// once. A client without a will leaves none: `[MQTT-3.1.2-12 of 3.1.1]`.
#[test]
fn mqtt_3_1_2_8_the_will_is_published_when_the_connection_ends() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut watcher = site.subscriber(version, "will", 0);
            // The network fails.
            mortal(site, version, Will::new("will", "cut")).cut();
            watcher.message("will", "cut");
            // The client breaks a rule.
            let mut wire = mortal(site, version, Will::new("will", "broken"));
            wire.send(&Connect::new(version, "mortal").bytes());
            wire.expect_disconnect(0x82);
            watcher.message("will", "broken");
            // Another connection takes over.
            let _old = mortal(site, version, Will::new("will", "taken over"));
            let mut new = site.connected(version, "mortal");
            watcher.message("will", "taken over");
            // The will was published and is gone: this connection has none.
            new.send(&Connect::new(version, "mortal").bytes());
            new.expect_disconnect(0x82);
            watcher.quiet();
        }
        let mut watcher = site.subscriber(V5, "will", 0);
        for reason in [0x04, 0x80, 0x98] {
            let mut wire = mortal(site, V5, Will::new("will", [reason]));
            wire.send(&disconnect(reason, &[]));
            wire.expect_close();
            watcher.message("will", [reason]);
        }
    });
}

/// `[MQTT-3.14.4-3]`, and of 3.1.1 `[MQTT-3.14.4-3 of 3.1.1]` `[MQTT-3.1.2-8 of 3.1.1]`
/// `[MQTT-3.1.2-10 of 3.1.1]`
#[test]
fn mqtt_3_1_2_10_disconnect_takes_the_will_back() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut watcher = site.subscriber(version, "will", 0);
            let connect = Connect {
                will: Some(Will::new("will", "x")),
                ..Connect::lasting(version, "mortal")
            };
            let (mut wire, _) = site.connect(&connect);
            wire.send(&DISCONNECT);
            wire.expect_close();
            watcher.quiet();
            // The session has no will left either; it ends here.
            site.connected(version, "mortal").leave();
            watcher.quiet();
        }
    });
}

#[test]
fn mqtt_3_1_2_14_and_15_the_will_is_retained_if_it_says_so() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut watcher = site.subscriber(version, "will/+", 1);
            for retain in [false, true] {
                let topic = format!("will/{retain}");
                let will = Will {
                    retain,
                    qos: 1,
                    ..Will::new(&topic, "gone")
                };
                mortal(site, version, will).cut();
                watcher.message(&topic, "gone");
                let mut later = site.connected(version, "later");
                later.subscribe(&topic, 1);
                if retain {
                    assert!(later.message(&topic, "gone").retain);
                }
                later.quiet();
                let mut cleaner = site.connected(version, "cleaner");
                cleaner.publishes(&Publish::retained(&topic, ""));
                watcher.message(&topic, "");
            }
        }
    });
}

/// A client whose session lasts and whose will is delayed.
fn delayed(client_id: &str, seconds: u32, session: u32) -> Connect {
    Connect {
        clean_start: false,
        properties: vec![four(crate::raw::SESSION_EXPIRY, session)],
        will: Some(Will {
            properties: vec![four(WILL_DELAY, seconds)],
            ..Will::new("will", client_id)
        }),
        ..Connect::new(V5, client_id)
    }
}

/// The delay of another client's will begins later, and shows that this one's is over.
#[test]
fn mqtt_3_1_3_9_a_client_that_comes_back_in_time_keeps_its_will() {
    on_each_transport(|site| {
        let mut watcher = site.subscriber(V5, "will", 0);
        let leave = |client_id: &str| {
            let (mut wire, _) = site.connect(&delayed(client_id, 2, 60));
            wire.send(&disconnect(0x04, &[]));
            wire.expect_close();
        };
        leave("back");
        let (mut back, answer) = site.connect(&delayed("back", 2, 60));
        assert_eq!(answer.id, 1);
        leave("away");
        watcher.message("will", "away");
        watcher.quiet();
        back.quiet();
    });
}

#[test]
fn mqtt_3_1_2_8_the_will_waits_for_its_delay_or_the_end_of_the_session() {
    on_each_transport(|site| {
        let mut watcher = site.subscriber(V5, "will", 0);
        for (client_id, delay, session) in [("delay", 2, 60), ("session", 60, 2)] {
            let begun = Instant::now();
            let (mut wire, _) = site.connect(&delayed(client_id, delay, session));
            wire.send(&disconnect(0x04, &[]));
            wire.expect_close();
            watcher.quiet();
            watcher.message("will", client_id);
            let elapsed = begun.elapsed();
            assert!(elapsed >= Duration::from_millis(1950), "{elapsed:?}");
            assert!(elapsed < Duration::from_secs(15), "{elapsed:?}");
        }
        // A clean start ends the session at once, and the delay with it.
        let (mut wire, _) = site.connect(&delayed("clean", 60, 60));
        wire.send(&disconnect(0x04, &[]));
        wire.expect_close();
        watcher.quiet();
        site.connected(V5, "clean").leave();
        watcher.message("will", "clean");
    });
}
