//! Sections 4.1, 4.2 and 4.5: the session state, the transports, and who gets a message.

use crate::clock::seconds;
use crate::raw::{
    Connect, PUBACK, Publish, SESSION_EXPIRY, V3, V5, VERSIONS, ack, disconnect, four, subscribe,
};
use crate::wire::on_each_transport;

/// A session that lasts for this many seconds.
fn session(client_id: &str, expiry: u32) -> Connect {
    Connect {
        properties: vec![four(SESSION_EXPIRY, expiry)],
        ..Connect::lasting(V5, client_id)
    }
}

/// An expiry interval that passes while the client is connected ends nothing.
#[test]
fn mqtt_4_1_0_1_the_session_is_kept_while_the_connection_lasts() {
    on_each_transport(|site| {
        for expiry in [0, 1] {
            let (mut wire, _) = site.connect(&session("staying", expiry));
            wire.subscribe("t", 1);
            let mut publisher = site.connected(V5, "publisher");
            publisher.publishes(&Publish::of_qos(1, 9, "t", "before"));
            let before = wire.publish();
            seconds(site, 3);
            publisher.publishes(&Publish::of_qos(1, 9, "t", "after"));
            let after = wire.publish();
            assert_eq!(after.payload, b"after");
            assert_ne!(after.id, before.id, "before is not acknowledged");
            wire.send(&ack(PUBACK, before.id));
            wire.quiet();
        }
    });
}

/// One that passes without a connection ends everything; 0 means at once. [MQTT-3.1.2-23]
/// [MQTT-3.1.2-6] [MQTT-3.2.2-3]
#[test]
fn mqtt_4_1_0_2_the_session_ends_when_its_time_has_passed() {
    on_each_transport(|site| {
        let mut publisher = site.connected(V5, "publisher");
        for (expiry, wait, present) in [(1, 3, 0), (60, 2, 1), (u32::MAX, 0, 1), (0, 0, 0)] {
            let (mut wire, connack) = site.connect(&session(&format!("for {expiry}"), expiry));
            assert_eq!(connack.id, 0);
            wire.subscribe("t", 1);
            wire.send(&disconnect(0, &[]));
            wire.expect_close();
            if wait > 0 {
                seconds(site, wait);
            }
            publisher.publishes(&Publish::of_qos(1, 9, "t", "x"));
            let (mut wire, connack) = site.connect(&session(&format!("for {expiry}"), 0));
            assert_eq!(connack.id, present, "expiry {expiry}");
            if present == 1 {
                wire.message("t", "x");
            }
            wire.quiet();
            wire.send(&disconnect(0, &[]));
            wire.expect_close();
        }
    });
}

/// DISCONNECT can change the interval (section 3.14.2.2.2), but not if CONNECT has set 0.
/// [MQTT-3.1.2-23] [MQTT-3.14.2-2]
#[test]
fn mqtt_4_1_0_2_disconnect_can_say_when_the_session_ends() {
    on_each_transport(|site| {
        for (before, after, wait, present) in [(3_600, 0, 0, 0), (1, 3_600, 3, 1), (3_600, 1, 3, 0)]
        {
            let (mut wire, _) = site.connect(&session("changing", before));
            wire.send(&disconnect(0, &[four(SESSION_EXPIRY, after)]));
            wire.expect_close();
            if wait > 0 {
                seconds(site, wait);
            }
            let (mut wire, connack) = site.connect(&session("changing", 0));
            assert_eq!(connack.id, present, "{before} {after}");
            wire.send(&disconnect(0, &[four(SESSION_EXPIRY, 0)]));
            wire.expect_close();
        }
        let (mut wire, _) = site.connect(&session("changing", 0));
        wire.send(&disconnect(0, &[four(SESSION_EXPIRY, 1)]));
        wire.expect_disconnect(0x82);
    });
}

/// 3.1.1 has one flag for both. [MQTT-3.1.2-4 of 3.1.1] [MQTT-3.1.2-5 of 3.1.1]
/// [MQTT-3.1.2-7 of 3.1.1]
#[test]
fn mqtt_3_1_2_6_of_3_1_1_a_clean_session_ends_with_its_connection() {
    on_each_transport(|site| {
        let mut publisher = site.connected(V3, "publisher");
        for (clean, present) in [(true, 0), (false, 1)] {
            let connect = Connect {
                clean_start: clean,
                ..Connect::lasting(V3, "old")
            };
            let (mut wire, _) = site.connect(&connect);
            wire.subscribe("t", 1);
            wire.publishes(&Publish::retained("kept", "x"));
            wire.send(&[0xE0, 0]);
            wire.expect_close();
            publisher.publishes(&Publish::of_qos(1, 9, "t", "x"));
            let (mut wire, connack) = site.connect(&Connect::lasting(V3, "old"));
            assert_eq!(connack.id, present);
            if present == 1 {
                wire.message("t", "x");
            }
            wire.quiet();
            // Retained messages are not part of a session.
            wire.subscribe("kept", 0);
            wire.message("kept", "x");
            wire.send(&[0xE0, 0]);
            wire.expect_close();
            let (wire, connack) = site.connect(&Connect::new(V3, "old"));
            assert_eq!(connack.id, 0, "Clean Session 1 begins anew");
            wire.cut();
        }
    });
}

/// Present and absent clients, of each version.
#[test]
fn mqtt_4_5_0_1_a_message_is_added_to_every_session_that_matches() {
    on_each_transport(|site| {
        let names = ["here 3", "here 5", "away 3", "away 5"];
        let versions = [V3, V5, V3, V5];
        let mut wires: Vec<_> = names
            .iter()
            .zip(versions)
            .map(|(name, version)| {
                let (mut wire, _) = site.connect(&Connect::lasting(version, name));
                wire.subscribe("t/#", 2);
                wire
            })
            .collect();
        wires.drain(2..).for_each(crate::wire::Wire::cut);
        let mut publisher = site.connected(V5, "publisher");
        publisher.publishes(&Publish::of_qos(2, 9, "t/x", "x"));
        for wire in &mut wires {
            wire.message("t/x", "x");
        }
        for (name, version) in [("away 3", V3), ("away 5", V5)] {
            let (mut wire, _) = site.connect(&Connect::lasting(version, name));
            wire.message("t/x", "x");
            wire.quiet();
        }
    });
}

/// All bytes of a large message arrive in order, in both directions, and packets may be cut
/// anywhere.
#[test]
fn mqtt_4_2_1_each_transport_keeps_all_bytes_in_order() {
    on_each_transport(|site| {
        let mut subscriber = site.subscriber(V5, "t", 0);
        let mut publisher = site.connected(V5, "publisher");
        let payload: Vec<u8> = (0..300_000_u32)
            .map(|n| n.to_le_bytes()[(n % 3) as usize])
            .collect();
        publisher.publishes(&Publish::of_qos(1, 9, "t", &payload));
        assert_eq!(subscriber.publish().payload, payload);
        for version in VERSIONS {
            let mut wire = site.connected(version, "byte by byte");
            for byte in subscribe(version, 9, &[("t", 1)]) {
                wire.send(&[byte]);
            }
            assert_eq!(wire.packet().first, crate::raw::SUBACK);
        }
    });
}
