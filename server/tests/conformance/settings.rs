//! What the standard leaves to the server, when the server's flags set it. `wishes` tests Response
//! Information, together with what CONNECT asks for.

use std::time::{Duration, Instant};

use crate::clock::seconds;
use crate::raw::{
    CONNACK, Connect, PAYLOAD_FORMAT, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, SERVER_KEEP_ALIVE,
    V3, V5, Will, ack, byte, two,
};
use crate::wire::{Site, with_settings};

/// Bytes that are not UTF-8.
const NO_TEXT: [u8; 2] = [0xC3, 0x28];

/// A client that asks for this keep alive and is silent. Returns the keep alive that the server
/// sets instead, and when the server closes.
fn silent(site: &Site, keep_alive: u16) -> (Vec<Vec<u8>>, Duration) {
    let begun = Instant::now();
    let (mut wire, answer) = site.connect(&Connect {
        keep_alive,
        ..Connect::new(V5, "silent")
    });
    wire.expect_disconnect(0x8D);
    (answer.property(SERVER_KEEP_ALIVE), begun.elapsed())
}

/// The server sends its keep alive to a client that asks for a longer one or none (section
/// 3.2.2.3.14), and enforces it. A shorter one stays. `[MQTT-3.2.2-22]`
#[test]
fn mqtt_3_1_2_22_the_servers_keep_alive_is_told_and_in_force() {
    with_settings(&["--server-keep-alive", "2"], |site| {
        let told = vec![two(SERVER_KEEP_ALIVE, 2)];
        for (asked, told, milliseconds) in [
            (0, told.clone(), 3_000),
            (u16::MAX, told, 3_000),
            (1, vec![], 1_500),
        ] {
            let (answer, elapsed) = silent(site, asked);
            assert_eq!(answer, told, "asked for {asked}");
            let least = Duration::from_millis(milliseconds - 50);
            assert!(elapsed >= least, "asked for {asked}: {elapsed:?}");
            assert!(elapsed < Duration::from_secs(15), "{elapsed:?}");
        }
    });
}

/// A message that claims to be text and is not. Its identifier is its `QoS`.
fn spoilt(qos: u8) -> Publish {
    Publish::of_qos(qos, qos.into(), "t", NO_TEXT).with(&[byte(PAYLOAD_FORMAT, 1)])
}

/// A CONNECT with a will whose payload claims to be text, and is this.
fn bequest(payload: &[u8]) -> Connect {
    Connect {
        will: Some(Will {
            properties: vec![byte(PAYLOAD_FORMAT, 1)],
            ..Will::new("t", payload)
        }),
        ..Connect::new(V5, "mortal")
    }
}

/// The server refuses it with 0x99, in the way that each packet allows (sections 3.3.2.3.2 and
/// 3.1.3.2.3), by default and if the flag asks for it. A payload without the claim may be anything,
/// and valid text passes. `[MQTT-3.4.2-1]` `[MQTT-3.5.2-1]` `[MQTT-3.14.2-1]` `[MQTT-3.2.2-8]`
/// `[MQTT-3.3.2-4]`
#[test]
fn a_payload_that_says_that_it_is_text_is_checked() {
    for settings in [&[][..], &["--check-payload-format", "true"]] {
        with_settings(settings, |site| {
            let mut watcher = site.subscriber(V5, "t", 0);
            let mut wire = site.connected(V5, "publisher");
            wire.send(&spoilt(1).bytes(V5));
            wire.expect_answer(PUBACK, 1, &[0x99]);
            wire.send(&spoilt(2).bytes(V5));
            wire.expect_answer(PUBREC, 2, &[0x99]);
            watcher.quiet();
            for (format, payload) in [(0, &NO_TEXT[..]), (1, "gr\u{fc}n".as_bytes())] {
                let publish = Publish::new("t", payload).with(&[byte(PAYLOAD_FORMAT, format)]);
                wire.publishes(&publish);
                assert_eq!(watcher.publish(), publish);
            }
            wire.publishes(&Publish::new("t", NO_TEXT));
            watcher.message("t", NO_TEXT);
            // QoS 0 has no other way to say it.
            wire.send(&spoilt(0).bytes(V5));
            wire.expect_disconnect(0x99);
            let mut wire = site.open();
            wire.send(&bequest(&NO_TEXT).bytes());
            wire.expect_refusal(0x99);
            watcher.quiet();
            site.connect(&bequest(b"text")).0.cut();
            watcher.message("t", "text");
        });
    }
}

/// The server passes it on as it came, with the indicator. `[MQTT-3.3.2-4]`
#[test]
fn a_payload_is_not_checked_where_that_is_turned_off() {
    with_settings(&["--check-payload-format", "false"], |site| {
        let mut watcher = site.subscriber(V5, "t", 0);
        let mut wire = site.connected(V5, "publisher");
        wire.send(&spoilt(0).bytes(V5));
        wire.send(&spoilt(1).bytes(V5));
        wire.expect(&ack(PUBACK, 1));
        wire.send(&spoilt(2).bytes(V5));
        wire.expect(&ack(PUBREC, 2));
        wire.send(&ack(PUBREL, 2));
        wire.expect(&ack(PUBCOMP, 2));
        let mut mortal = site.open();
        mortal.send(&bequest(&NO_TEXT).bytes());
        mortal.expect_answer(CONNACK, 0, &[0]);
        mortal.cut();
        for _ in 0..4 {
            assert_eq!(watcher.publish(), spoilt(0));
        }
        watcher.quiet();
    });
}

/// Section 3.1.2.4 of 3.1.1 lets the server forget sessions. Version 5 clients say how long theirs
/// last. `[MQTT-3.1.2-4 of 3.1.1]` `[MQTT-3.2.2-2 of 3.1.1]` `[MQTT-3.2.2-3 of 3.1.1]`
#[test]
fn sessions_of_3_1_1_last_for_as_long_as_the_server_is_told() {
    for (expiry, present) in [("1s", 0), ("never", 1)] {
        with_settings(&["--session-expiry-3-1-1", expiry], |site| {
            let [old, new] = [V3, V5].map(|it| Connect::lasting(it, &format!("{it:?}")));
            for connect in [&old, &new] {
                let (wire, answer) = site.connect(connect);
                assert_eq!(answer.id, 0);
                wire.leave();
            }
            seconds(site, 2);
            assert_eq!(site.connect(&old).1.id, present, "{expiry}");
            assert_eq!(site.connect(&new).1.id, 1);
        });
    }
}
