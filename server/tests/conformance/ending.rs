//! Sections 3.12, 3.14 and 4.13: PINGREQ, DISCONNECT, and what ends a connection.

use crate::raw::{
    Connect, MAXIMUM_PACKET_SIZE, PUBACK, PUBREC, Publish, REASON_STRING, SESSION_EXPIRY,
    SUBSCRIBE, USER_PROPERTY, V3, V5, VERSIONS, Will, connect, disconnect, four, packet,
    properties,
};
use crate::wire::{Site, Wire, on_each_transport};

/// A client of version 5 whose Maximum Packet Size has room for a CONNACK and nothing more.
pub(crate) fn with_least_packet_size(site: &Site, client_id: &str) -> Wire {
    let mut first = site.open();
    first.send(&Connect::new(V5, client_id).bytes());
    let connack = first.packet();
    let size = 2 + connack.rest.len();
    first.cut();
    // What may be left out.
    let (first, answer) = site.connect(&Connect::new(V5, client_id));
    let user_properties = answer.property(USER_PROPERTY).concat().len();
    let size = u32::try_from(size - user_properties).unwrap();
    first.cut();
    let connect = Connect {
        properties: vec![four(MAXIMUM_PACKET_SIZE, size)],
        ..Connect::new(V5, client_id)
    };
    site.connect(&connect).0
}

#[test]
fn mqtt_3_12_4_1_pingreq_is_answered() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "pinging");
            wire.send(&[0xC0, 0]);
            wire.expect(&[0xD0, 0]);
            // Each gets its answer, in its place.
            let publish = Publish::of_qos(1, 9, "t", "").bytes(version);
            wire.send(&[&[0xC0, 0, 0xC0, 0][..], &publish, &[0xC0, 0]].concat());
            wire.expect(&[0xD0, 0]);
            wire.expect(&[0xD0, 0]);
            assert_eq!(wire.packet().first, PUBACK);
            wire.expect(&[0xD0, 0]);
        }
    });
}

/// Whatever is wrong before a CONNACK that accepts, the answer is a CONNACK or nothing.
/// [MQTT-4.13.2-1] [MQTT-3.2.2-7]
#[test]
fn mqtt_3_14_0_1_no_disconnect_before_connack() {
    on_each_transport(|site| {
        let method = Connect {
            properties: vec![crate::raw::text(crate::raw::AUTHENTICATION_METHOD, "SCRAM")],
            ..Connect::new(V5, "c")
        };
        for bytes in [
            vec![0xC0, 0],
            vec![0xE0, 0],
            vec![0xF0, 0],
            vec![0x00, 0],
            Publish::new("t", "x").bytes(V5),
            Connect::new(V5, "c").with_flags(0x03),
            connect("MQTT", 6, 2, 0, &[0], &[0, 0]),
            connect("MQTT", 5, 2, 0, &[0], &[0, 2, 0xC3, 0x28]),
            method.bytes(),
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        ] {
            let mut wire = site.open();
            wire.send(&bytes);
            if let Some(packet) = wire.receive() {
                assert_eq!(packet.first, 0x20, "{bytes:02x?}: {packet:02x?}");
                assert_eq!(packet.rest[0], 0, "Session Present");
                assert!(packet.rest[1] != 0);
                wire.expect_close();
            }
        }
    });
}

/// 3.1.1 has no code for what version 5 calls malformed (0x81) or a protocol error (0x82).
/// [MQTT-3.1.4-1] [MQTT-3.1.4-1 of 3.1.1]
#[test]
fn mqtt_3_2_2_6_of_3_1_1_without_a_code_there_is_no_connack() {
    on_each_transport(|site| {
        for (version, level) in [(V3, 4), (V5, 5)] {
            let properties = properties(version, &[]);
            for (flags, payload, reason) in [
                (0x03, &b"\x00\x01c"[..], 0x81),   // the reserved flag
                (0x0A, b"\x00\x01c", 0x81),        // a QoS of no will
                (0x02, b"\x00\x02\xC3\x28", 0x81), // a client id that is no UTF-8
                (0x02, b"\x00\x01c\x00", 0x81),    // a byte too many
                (0x02, b"\x00\x02c", 0x81),        // a byte too few
            ] {
                let mut wire = site.open();
                wire.version = version;
                wire.send(&connect("MQTT", level, flags, 0, &properties, payload));
                wire.expect_refusal(reason);
            }
        }
    });
}

// [MQTT-2.1.3-1] [MQTT-4.13.1-1] [MQTT-2.2.2-2 of 3.1.1]
#[test]
fn mqtt_3_14_1_1_reserved_flags_of_disconnect_are_malformed() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for flags in 1..16 {
                let mut wire = site.connected(version, "flags");
                wire.send(&packet(0xE0 | flags, &[]));
                wire.expect_disconnect(0x81);
            }
        }
    });
}

/// A client's DISCONNECT with a code of the standard ends the connection without an answer; another
/// code is a protocol error. A server's DISCONNECT has a code of the table, and no Session Expiry
/// Interval: [MQTT-3.14.2-2].
#[test]
fn mqtt_3_14_2_1_only_codes_of_the_standard() {
    on_each_transport(|site| {
        for code in [
            0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
        ] {
            let mut wire = site.connected(V5, "ending");
            wire.send(&disconnect(code, &[]));
            wire.expect_close();
        }
        // Only a server may send the last ones.
        for code in [
            0x01, 0x10, 0x18, 0x84, 0x86, 0x91, 0x92, 0xFF, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x9A,
            0x9F,
        ] {
            let mut wire = site.connected(V5, "ending");
            wire.send(&disconnect(code, &[]));
            let answer = wire.expect_answer(0xE0, 0, &[0x82]);
            assert!(answer.property(SESSION_EXPIRY).is_empty());
            wire.expect_close();
        }
    });
}

// [MQTT-3.1.4-3] [MQTT-3.14.4-1] [MQTT-3.14.4-2]
#[test]
fn mqtt_3_14_2_2_no_session_expiry_interval_from_the_server() {
    on_each_transport(|site| {
        let lasting = Connect::lasting(V5, "taken over");
        let (mut first, _) = site.connect(&lasting);
        let (_second, _) = site.connect(&lasting);
        let answer = first.expect_answer(0xE0, 0, &[0x8E]);
        assert!(answer.property(SESSION_EXPIRY).is_empty());
        first.expect_close();
    });
}

/// A client with room for it gets the reason string, another does not. [MQTT-3.1.2-24]
#[test]
fn mqtt_3_14_2_3_no_words_where_they_would_be_too_large() {
    on_each_transport(|site| {
        let malformed = packet(0xC1, &[]);
        let mut wire = site.connected(V5, "roomy");
        wire.send(&malformed);
        let answer = wire.expect_answer(0xE0, 0, &[0x81]);
        assert_eq!(
            answer.property(REASON_STRING).len(),
            1,
            "the server says what was wrong"
        );

        let mut small = with_least_packet_size(site, "small");
        small.send(&malformed);
        let answer = small.expect_answer(0xE0, 0, &[0x81]);
        assert!(answer.property(REASON_STRING).is_empty());
        assert!(answer.property(USER_PROPERTY).is_empty());
        small.expect_close();
    });
}

/// The server answers nothing behind the packet that ends the connection, and nothing that was on
/// its way follows the DISCONNECT. [MQTT-3.14.4-2]
#[test]
fn mqtt_3_14_4_1_nothing_follows_disconnect() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut publisher = site.connected(version, "publisher");
            let mut wire = site.connected(version, "ending");
            wire.subscribe("t", 0);
            let behind = [
                packet(0xC1, &[]),
                vec![0xC0, 0],
                Publish::of_qos(1, 9, "t", "x").bytes(version),
            ];
            wire.send(&behind.concat());
            publisher.publishes(&Publish::new("t", "x"));
            wire.expect_disconnect(0x81);

            // After the client's own DISCONNECT the server sends nothing more.
            let mut wire = site.connected(version, "ending");
            wire.subscribe("t", 0);
            let behind = [
                vec![0xE0, 0],
                Publish::of_qos(1, 9, "u", "x").bytes(version),
            ];
            wire.send(&behind.concat());
            publisher.publishes(&Publish::new("t", "x"));
            wire.expect_close();
        }
    });
}

/// DISCONNECT 0x00 discards the will. 0x04 and every other end do not. [MQTT-3.1.2-10]
/// [MQTT-3.1.2-8] [MQTT-3.14.4-3 of 3.1.1] [MQTT-3.1.2-8 of 3.1.1]
#[test]
fn mqtt_3_14_4_3_disconnect_takes_the_will_back() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut watcher = site.subscriber(version, "will", 0);
            let willing = |payload| Connect {
                will: Some(Will::new("will", payload)),
                ..Connect::new(version, "willing")
            };
            let (mut wire, _) = site.connect(&willing("taken back"));
            wire.send(&[0xE0, 0]);
            wire.expect_close();
            watcher.quiet();
            if version == V5 {
                let (mut wire, _) = site.connect(&willing("said so"));
                wire.send(&disconnect(0x04, &[]));
                wire.expect_close();
                watcher.message("will", "said so");
                let (mut wire, _) = site.connect(&willing("spelled out"));
                wire.send(&disconnect(0x00, &[]));
                wire.expect_close();
                watcher.quiet();
            }
            let (wire, _) = site.connect(&willing("cut"));
            wire.cut();
            watcher.message("will", "cut");
            let (mut wire, _) = site.connect(&willing("broke a rule"));
            wire.send(&[0xC1, 0]);
            wire.expect_disconnect(0x81);
            watcher.message("will", "broke a rule");
        }
    });
}

/// One fault of each kind, its code, and the end of the connection. [MQTT-4.13.2-1]
/// [MQTT-4.8.0-1 of 3.1.1]
#[test]
fn mqtt_4_13_1_1_a_fault_ends_the_connection_with_its_code() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let faults = [
                (packet(0x00, &[]), 0x81),
                (packet(0x36, b"\x00\x01t\x00\x01\x00"), 0x81),
                (packet(0x30, b"\x00\x09t"), 0x81),
                (vec![0xC0, 0x80, 0x80, 0x80, 0x80, 0x01], 0x81),
                (packet(PUBACK, &[0, 0]), 0x82),
                (packet(PUBREC, &[1]), 0x81),
                (packet(SUBSCRIBE, &[0, 0, 0, 0, 1, b'a', 0]), 0x82),
                (packet(0x20, &[0, 0, 0]), 0x82),
                (packet(0x90, &[0, 1, 0, 0]), 0x82),
                (packet(0xB0, &[0, 1, 0, 0]), 0x82),
                (packet(0xD0, &[]), 0x82),
                (Connect::new(version, "again").bytes(), 0x82),
            ];
            for (bytes, reason) in faults {
                println!("{version:?} {bytes:02x?}");
                let mut wire = site.connected(version, "faulty");
                wire.send(&bytes);
                wire.expect_disconnect(reason);
            }
            // No other client notices.
            site.connected(version, "other").quiet();
        }
    });
}
