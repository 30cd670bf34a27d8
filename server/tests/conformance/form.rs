//! Chapters 1 and 2: the form of values, strings and packets.

use crate::raw::{
    Connect, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, SESSION_EXPIRY, SUBACK,
    SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, V3, V5, VERSIONS, Version, ack, four, packet, properties,
    string, subscribe, unsubscribe, user,
};
use crate::wire::{Site, on_each_transport};

/// Checks that a connection that sends this is closed as malformed.
#[track_caller]
fn is_malformed(site: &Site, version: Version, bytes: &[u8]) {
    let mut wire = site.connected(version, "malformed");
    wire.send(bytes);
    wire.expect_disconnect(0x81);
}

/// One packet of each kind that holds a string, with this string in it.
fn with_string(version: Version, text: &[u8]) -> Vec<Vec<u8>> {
    let none = properties(version, &[]);
    let id = [0, 1];
    vec![
        packet(0x30, &[string(text), none.clone()].concat()),
        packet(SUBSCRIBE, &[&id[..], &none, &string(text), &[0]].concat()),
        packet(UNSUBSCRIBE, &[&id[..], &none, &string(text)].concat()),
    ]
}

/// `[MQTT-3.3.2-1]` `[MQTT-3.8.3-1]` `[MQTT-3.10.3-1]` `[MQTT-4.8.0-1 of 3.1.1]`
#[test]
fn mqtt_1_5_4_1_ill_formed_utf_8_ends_the_connection() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for bad in [
                &b"\xC3\x28"[..],    // no continuation
                b"\x80",             // nothing to continue
                b"\xC0\xAF",         // longer than need be
                b"\xED\xA0\x80",     // a surrogate
                b"\xED\xBF\xBF",     // the last one
                b"\xF4\x90\x80\x80", // above U+10FFFF
                b"\xE2\x82",         // cut short
            ] {
                for bytes in with_string(version, bad) {
                    is_malformed(site, version, &bytes);
                }
            }
        }
    });
}

/// `[MQTT-4.7.3-2]`
#[test]
fn mqtt_1_5_4_2_the_null_character_ends_the_connection() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for bad in [&b"\0"[..], b"a\0b", b"a\0"] {
                for bytes in with_string(version, bad) {
                    is_malformed(site, version, &bytes);
                }
            }
        }
    });
}

#[test]
fn mqtt_1_5_4_3_a_byte_order_mark_is_kept() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut with = site.subscriber(version, "\u{FEFF}a\u{FEFF}/b", 0);
            let mut without = site.subscriber(version, "a/b", 0);
            let mut publisher = site.connected(version, "publisher");
            publisher.publishes(&Publish::new("\u{FEFF}a\u{FEFF}/b", "marked"));
            publisher.publishes(&Publish::new("a/b", "plain"));
            with.message("\u{FEFF}a\u{FEFF}/b", "marked");
            with.quiet();
            without.message("a/b", "plain");
            without.quiet();
        }
    });
}

/// The tests' reader (`raw`, `wire`) checks everything that the server sends for it. This test
/// checks what the server accepts, and that it reads and writes lengths at each border.
#[test]
fn mqtt_1_5_5_1_lengths_are_as_short_as_can_be() {
    on_each_transport(|site| {
        is_malformed(site, V5, b"\xC0\x80\x00");
        is_malformed(site, V5, b"\x30\x84\x00\x00\x01t\x00");
        is_malformed(site, V5, b"\x30\x05\x00\x01t\x80\x00");
        // Five bytes are too many in either version.
        for version in VERSIONS {
            is_malformed(site, version, b"\x30\xFF\xFF\xFF\xFF\x01");
        }
        for version in VERSIONS {
            let mut wire = site.subscriber(version, "t", 0);
            let mut publisher = site.connected(version, "publisher");
            let overhead = Publish::new("t", "").bytes(version).len() - 2;
            for length in [127, 128, 16_383, 16_384] {
                let payload = vec![b'x'; length - overhead];
                publisher.publishes(&Publish::new("t", &payload));
                wire.message("t", &payload);
            }
        }
    });
}

#[test]
fn mqtt_1_5_7_1_both_halves_of_a_user_property_are_utf_8() {
    on_each_transport(|site| {
        for bad in [&b"\xC3\x28"[..], b"\0", b"\xED\xA0\x80"] {
            for pair in [user(bad, "value"), user("name", bad)] {
                let publish = Publish::new("t", "x").with(std::slice::from_ref(&pair));
                is_malformed(site, V5, &publish.bytes(V5));
                let mut wire = site.open();
                let connect = Connect {
                    properties: vec![pair],
                    ..Connect::new(V5, "pair")
                };
                wire.send(&connect.bytes());
                wire.expect_refusal(0x81);
            }
        }
    });
}

/// `[MQTT-3.14.1-1]` `[MQTT-3.6.1-1]` `[MQTT-3.8.1-1]` `[MQTT-3.10.1-1]` `[MQTT-3.15.1-1]`; in
/// 3.1.1 `[MQTT-2.2.2-2 of 3.1.1]` `[MQTT-3.14.1-1 of 3.1.1]`, without a DISCONNECT.
#[test]
fn mqtt_2_1_3_1_reserved_flags_are_as_listed() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for (kind, right, rest) in [
                (PUBACK, 0, &[0, 1][..]),
                (PUBREC, 0, &[0, 1]),
                (0x60, 2, &[0, 1]),
                (PUBCOMP, 0, &[0, 1]),
                (0x80, 2, &subscribe(version, 1, &[("t", 0)])[2..]),
                (0xA0, 2, &unsubscribe(version, 1, &["t"])[2..]),
                (PINGREQ[0], 0, &[]),
                (0xE0, 0, &[]),
            ] {
                for flags in (0..16).filter(|flags| *flags != right) {
                    is_malformed(site, version, &packet(kind | flags, rest));
                }
            }
            // Packet types that do not exist.
            is_malformed(site, version, &[0x00, 0]);
            // CONNECT itself, when the version is not known yet.
            let mut wire = site.open();
            let mut connect = Connect::new(version, "flags").bytes();
            connect[0] |= 1;
            wire.send(&connect);
            wire.expect_close();
        }
        for flags in 1..16 {
            is_malformed(site, V5, &[0xF0 | flags, 0]);
        }
        is_malformed(site, V3, &[0xF0, 0]);
    });
}

/// `[MQTT-2.2.2-1]` `[MQTT-3.3.1-2]` `[MQTT-4.3.1-1]`: byte for byte, in both versions.
#[test]
fn mqtt_2_2_1_2_qos_0_has_no_packet_identifier() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "reader");
            wire.subscribe("top", 0);
            site.connected(version, "publisher")
                .publishes(&Publish::of_qos(1, 0x4142, "top", "pay"));
            let expected: &[u8] = match version {
                V3 => b"\x30\x08\x00\x03toppay",
                V5 => b"\x30\x09\x00\x03top\x00pay",
            };
            wire.expect(expected);
        }
    });
}

/// Also over a resumed session, where some are in use. `[MQTT-4.3.2-1]` `[MQTT-4.3.3-1]`
#[test]
fn mqtt_2_2_1_4_the_server_uses_no_identifier_twice() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let connect = Connect::lasting(version, "reader");
            let (mut wire, _) = site.connect(&connect);
            wire.subscribe("t", 2);
            let mut publisher = site.connected(version, "publisher");
            let mut used = Vec::new();
            let mut take = |wire: &mut crate::wire::Wire, payload: u8| {
                let publish = wire.publish();
                assert_eq!(publish.payload, [payload]);
                assert_ne!(publish.id, 0);
                assert!(!used.contains(&publish.id), "{} of {used:?}", publish.id);
                used.push(publish.id);
                publish
            };
            for number in 0..4 {
                let qos = 1 + number % 2;
                publisher.publishes(&Publish::of_qos(qos, 1, "t", [number]));
                take(&mut wire, number);
            }
            wire.leave();
            let (mut wire, _) = site.connect(&connect);
            for number in 0..4 {
                assert!(wire.publish().dup, "{number}");
            }
            for number in 4..8 {
                publisher.publishes(&Publish::of_qos(1, 1, "t", [number]));
                take(&mut wire, number);
            }
            site.connected(version, "reader").leave();
        }
    });
}

/// `QoS` 1 and 2 in both directions, with identifiers that the client chooses.
#[test]
fn mqtt_2_2_1_5_acknowledgements_name_their_message() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut reader = site.subscriber(version, "t", 2);
            let mut wire = site.connected(version, "publisher");
            for id in [1, 0x00FF, 0x0100, 0xFFFF] {
                wire.send(&Publish::of_qos(1, id, "t", "one").bytes(version));
                wire.expect_answer(PUBACK, id, &[0]);
                reader.message("t", "one");
                wire.send(&Publish::of_qos(2, id, "t", "two").bytes(version));
                wire.expect_answer(PUBREC, id, &[0]);
                wire.send(&ack(PUBREL, id));
                wire.expect_answer(PUBCOMP, id, &[0]);
                let publish = reader.publish();
                reader.send(&ack(PUBREC, publish.id));
                reader.expect_answer(PUBREL, publish.id, &[0]);
                reader.send(&ack(PUBCOMP, publish.id));
                reader.quiet();
            }
        }
    });
}

/// `[MQTT-2.2.2-1]` `[MQTT-3.8.4-2]` `[MQTT-3.10.4-5]` `[MQTT-3.12.4-1]`: byte for byte.
#[test]
fn mqtt_2_2_1_6_suback_and_unsuback_name_what_they_answer() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "subscriber");
            for id in [1_u16, 0x00FF, 0x0100, 0xFFFF] {
                let [high, low] = id.to_be_bytes();
                wire.send(&subscribe(version, id, &[("t", 1)]));
                match version {
                    V3 => wire.expect(&[SUBACK, 3, high, low, 1]),
                    V5 => wire.expect(&[SUBACK, 4, high, low, 0, 1]),
                }
                wire.send(&unsubscribe(version, id, &["t"]));
                match version {
                    V3 => wire.expect(&[UNSUBACK, 2, high, low]),
                    V5 => wire.expect(&[UNSUBACK, 4, high, low, 0, 0]),
                }
            }
            wire.send(&PINGREQ);
            wire.expect(&PINGRESP);
        }
    });
}

/// An identifier of zero, in each packet that must have one. `[MQTT-4.8.0-1 of 3.1.1]`
#[test]
fn mqtt_2_2_1_3_an_identifier_of_zero_ends_the_connection() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for bytes in [
                Publish::of_qos(1, 0, "t", "x").bytes(version),
                Publish::of_qos(2, 0, "t", "x").bytes(version),
                subscribe(version, 0, &[("t", 0)]),
                unsubscribe(version, 0, &["t"]),
            ] {
                let mut wire = site.connected(version, "zero");
                wire.send(&bytes);
                wire.expect_disconnect(0x82);
            }
        }
    });
}

/// A packet without the length of its properties is malformed, unless it may leave the length out.
#[test]
fn mqtt_2_2_2_1_a_missing_property_length_is_malformed() {
    on_each_transport(|site| {
        is_malformed(site, V5, b"\x30\x03\x00\x01t");
        is_malformed(site, V5, b"\x82\x02\x00\x01");
        is_malformed(site, V5, b"\xA2\x02\x00\x01");
        // DISCONNECT and the acknowledgements may be shorter.
        let (mut wire, _) = site.connect(&Connect {
            properties: vec![four(SESSION_EXPIRY, 0)],
            ..Connect::new(V5, "short")
        });
        wire.send(&packet(PUBREL, &[0, 9, 0]));
        wire.expect_answer(PUBCOMP, 9, &[0x92]);
        wire.send(&packet(0xE0, &[0]));
        wire.expect_close();
    });
}
