//! What no standard that is served names, and is served as 3.1.1 all the same: bridges, which set
//! the high bit of the protocol level, and MQTT 3.1. What is written here is what mosquitto's
//! bridge and old firmware send.

use crate::raw::{
    CONNACK, Connect, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, SUBACK, V3, V5, Will, ack, connect,
    packet, string, subscribe,
};
use crate::wire::{Site, Wire, on_each_transport, with_settings};

const STATE: &str = "$SYS/broker/connection/host.bridge/state";

/// Protocol names and levels of a bridge, of 3.1.1 and of 3.1.
const BRIDGES: [(&str, u8); 2] = [("MQTT", 0x84), ("MQIsdp", 0x83)];

/// Retained, of `QoS` 1, with a lasting session: byte for byte what mosquitto 2 sends.
fn bridge(protocol: &str, level: u8, will: &str) -> Vec<u8> {
    let payload = [string("host.bridge"), string(will), string("0")].concat();
    connect(protocol, level, 0x2C, 60, &[], &payload)
}

/// A connection of 3.1.1's form whose CONNECT was just sent.
fn open(site: &Site, connect: &[u8]) -> Wire {
    let mut wire = site.open();
    wire.version = V3;
    wire.send(connect);
    wire
}

fn state(payload: &str) -> Publish {
    Publish {
        retain: true,
        ..Publish::of_qos(1, 1, STATE, payload)
    }
}

/// And leaves that it is gone, for those who come later too. `[MQTT-3.1.2-2 of 3.1.1]` names no
/// such level.
#[test]
fn a_bridge_says_whether_it_is_connected() {
    on_each_transport(|site| {
        let mut watcher = site.subscriber(V5, "$SYS/#", 0);
        for (protocol, level) in BRIDGES {
            let mut wire = open(site, &bridge(protocol, level, STATE));
            wire.expect_answer(CONNACK, 0, &[0]);
            wire.publishes(&state("1"));
            watcher.message(STATE, "1");
            wire.cut();
            watcher.message(STATE, "0");
            let mut late = site.connected(V5, "late");
            late.subscribe("$SYS/#", 0);
            let left = late.message(STATE, "0");
            assert!(left.retain);
            late.leave();
            // The session is not to be there for the next.
            site.connected(V3, "host.bridge").leave();
        }
    });
}

/// One that does not say that it is a bridge has a state too, and nobody has that of another.
#[test]
fn each_client_has_one_topic_under_dollar_and_no_other() {
    on_each_transport(|site| {
        let mut watcher = site.subscriber(V5, "$SYS/#", 0);
        for (topic, is_own) in [
            (STATE, true),
            ("$SYS/broker/connection/host/state", false),
            ("$SYS/broker/connection/host.bridge/state/more", false),
            ("$SYS/broker/connection/host.bridge", false),
            ("$SYS/broker/uptime", false),
            ("$other/broker/connection/host.bridge/state", false),
        ] {
            for (version, refusal) in [(V3, 5), (V5, 0x90)] {
                let mut wire = site.open();
                wire.version = version;
                wire.send(
                    &Connect {
                        will: Some(Will::new(topic, "0")),
                        ..Connect::new(version, "host.bridge")
                    }
                    .bytes(),
                );
                let answer = if is_own { 0 } else { refusal };
                wire.expect_answer(CONNACK, 0, &[answer]);
                if is_own {
                    wire.publishes(&Publish::new(topic, "1"));
                    watcher.message(topic, "1");
                    wire.leave();
                    continue;
                }
                wire.expect_close();
                let mut wire = site.connected(version, "host.bridge");
                wire.send(&Publish::of_qos(1, 1, topic, "1").bytes(version));
                match version {
                    // It has no word for it [MQTT-3.3.5-2 of 3.1.1].
                    V3 => wire.expect(&ack(PUBACK, 1)),
                    V5 => {
                        wire.expect_answer(PUBACK, 1, &[0x90]);
                    }
                }
                wire.leave();
            }
        }
        watcher.quiet();
    });
}

/// The messages that a bridge brings do not go back to it, at whatever `QoS`, now or retained; those
/// of others do, and say whether they were published as retained.
/// `[MQTT-3.3.1-9 of 3.1.1]` is for clients that are none.
#[test]
fn a_bridge_gets_what_others_publish_as_they_did() {
    on_each_transport(|site| {
        for (protocol, level) in BRIDGES {
            let mut wire = open(site, &bridge(protocol, level, STATE));
            wire.expect_answer(CONNACK, 0, &[0]);
            wire.subscribe("live/#", 2);
            for qos in [0, 1, 2] {
                wire.publishes(&Publish::of_qos(qos, 10, "live/own", "mine"));
            }
            wire.publishes(&Publish::retained("live/kept", "mine"));
            wire.quiet();
            wire.subscribe("live/#", 1);
            wire.quiet();

            let mut other = site.connected(V5, "other");
            other.publishes(&Publish::retained("live/kept", "theirs"));
            assert!(wire.message("live/kept", "theirs").retain);
            for qos in [0, 1, 2] {
                other.publishes(&Publish::of_qos(qos, 20, "live/other", "theirs"));
                let got = wire.message("live/other", "theirs");
                assert_eq!((got.qos, got.retain), (qos.min(1), false));
            }
            wire.quiet();
            other.publishes(&Publish::retained("live/kept", ""));
            wire.message("live/kept", "");
            wire.leave();
            site.connected(V3, "host.bridge").leave();
        }
    });
}

/// What a client of MQTT 3.1 sends, with this client identifier.
fn old(flags: u8, client_id: &str) -> Vec<u8> {
    connect("MQIsdp", 3, flags, 60, &[], &string(client_id))
}

#[test]
fn a_client_of_mqtt_3_1_is_served() {
    on_each_transport(|site| {
        let mut other = site.subscriber(V5, "up", 2);
        let mut wire = open(site, &old(0x02, "old"));
        wire.expect(&[CONNACK, 2, 0, 0]);
        wire.send(&subscribe(V3, 7, &[("down", 2)]));
        wire.expect(&[SUBACK, 3, 0, 7, 2]);
        for qos in [0, 1, 2] {
            wire.publishes(&Publish::of_qos(qos, 3, "up", "x"));
            assert_eq!(other.message("up", "x").qos, qos);
            other.publishes(&Publish::of_qos(qos, 4, "down", "y"));
            assert_eq!(wire.message("down", "y").qos, qos);
        }
        // Who repeats a request sets DUP: PUBREL, SUBSCRIBE, UNSUBSCRIBE.
        wire.send(&Publish::of_qos(2, 5, "up", "again").bytes(V3));
        wire.expect(&ack(PUBREC, 5));
        wire.send(&packet(PUBREL | 0x08, &[0, 5]));
        wire.expect(&ack(PUBCOMP, 5));
        other.message("up", "again");
        wire.send(&packet(
            0x8A,
            &[&[0, 8][..], &string("down"), &[1]].concat(),
        ));
        wire.expect(&[SUBACK, 3, 0, 8, 1]);
        wire.send(&packet(0xAA, &[&[0, 9][..], &string("down")].concat()));
        wire.expect(&[0xB0, 2, 0, 9]);
        wire.leave();
    });
}

/// Its CONNACK has a reserved byte in place of Session Present.
#[test]
fn a_client_of_mqtt_3_1_goes_on_with_its_session_and_is_not_told() {
    on_each_transport(|site| {
        let mut wire = open(site, &old(0x00, "sleeper"));
        wire.expect(&[CONNACK, 2, 0, 0]);
        wire.subscribe("t", 1);
        wire.leave();
        let mut other = site.connected(V5, "other");
        other.publishes(&Publish::of_qos(1, 1, "t", "meanwhile"));
        let mut wire = open(site, &old(0x00, "sleeper"));
        wire.expect(&[CONNACK, 2, 0, 0]);
        wire.message("t", "meanwhile");
        wire.leave();
        // One of 3.1.1 with the same identifier is.
        let (wire, answer) = site.connect(&Connect::lasting(V3, "sleeper"));
        assert_eq!(answer.id, 1);
        wire.leave();
    });
}

/// It needs a client identifier. Longer ones than 3.1 has are taken, as elsewhere.
#[test]
fn a_client_of_mqtt_3_1_has_a_client_identifier() {
    on_each_transport(|site| {
        for flags in [0x00, 0x02] {
            let mut wire = open(site, &old(flags, ""));
            wire.expect(&[CONNACK, 2, 0, 2]);
            wire.expect_close();
        }
        for length in [1, 23, 24, 100] {
            let mut wire = open(site, &old(0x02, &"x".repeat(length)));
            wire.expect(&[CONNACK, 2, 0, 0]);
            wire.leave();
        }
    });
}

/// There was no room for it: 3, as that may change.
#[test]
fn a_will_that_is_too_large_gets_a_code_in_3_1_1() {
    with_settings(&["--max-will-size", "1KiB"], |site| {
        for (version, code) in [(V3, 3), (V5, 0x97)] {
            let mut wire = site.open();
            wire.version = version;
            wire.send(
                &Connect {
                    will: Some(Will::new("w", vec![b'x'; 2_000])),
                    ..Connect::new(version, "large")
                }
                .bytes(),
            );
            wire.expect_answer(CONNACK, 0, &[code]);
            wire.expect_close();
        }
    });
}
