//! Sections 3.15 and 4.12: AUTH. The server does not offer enhanced authentication, and refuses it
//! as the standard says.

use crate::raw::{
    AUTHENTICATION_DATA, AUTHENTICATION_METHOD, CONNACK, Connect, Publish, REASON_STRING, V3, V5,
    VERSIONS, packet, properties, text,
};
use crate::wire::on_each_transport;

/// AUTH with this code and these properties.
fn auth(code: u8, all: &[Vec<u8>]) -> Vec<u8> {
    packet(0xF0, &[vec![code], properties(V5, all)].concat())
}

/// With and without data. The server does not look at what follows. [MQTT-4.12.0-4] [MQTT-3.1.4-6]
/// [MQTT-3.2.2-7] [MQTT-4.13.2-1]
#[test]
fn mqtt_4_12_0_1_a_method_is_refused_and_the_connection_closed() {
    on_each_transport(|site| {
        let mut watcher = site.subscriber(V5, "t", 0);
        let method = text(AUTHENTICATION_METHOD, "SCRAM-SHA-256");
        for all in [
            vec![method.clone()],
            vec![
                method.clone(),
                text(AUTHENTICATION_DATA, "n,,n=user,r=nonce"),
            ],
        ] {
            let connect = Connect {
                properties: all,
                ..Connect::new(V5, "enhanced")
            };
            let mut wire = site.open();
            let behind = [
                connect.bytes(),
                auth(0x18, std::slice::from_ref(&method)),
                Publish::new("t", "x").bytes(V5),
            ];
            wire.send(&behind.concat());
            let answer = wire.expect_answer(CONNACK, 0, &[0x8C]);
            assert!(answer.property(AUTHENTICATION_METHOD).is_empty());
            wire.expect_close();
            watcher.quiet();
        }
    });
}

/// Data without a method does not connect either: it is a protocol error (section 3.1.2.11.10).
#[test]
fn mqtt_4_12_0_4_data_without_a_method_is_refused() {
    on_each_transport(|site| {
        let connect = Connect {
            properties: vec![text(AUTHENTICATION_DATA, "data")],
            ..Connect::new(V5, "enhanced")
        };
        let mut wire = site.open();
        wire.send(&connect.bytes());
        wire.expect_refusal(0x82);
    });
}

/// With a user name and a password, and without.
#[test]
fn mqtt_4_12_0_6_no_auth_and_no_method_for_who_has_none() {
    on_each_transport(|site| {
        let named = Connect {
            user_name: Some(b"me".to_vec()),
            password: Some(b"secret".to_vec()),
            ..Connect::new(V5, "named")
        };
        for connect in [Connect::new(V5, "plain"), named] {
            // `connect` checks that the first answer is CONNACK.
            let (mut wire, connack) = site.connect(&connect);
            assert!(connack.property(AUTHENTICATION_METHOD).is_empty());
            assert!(connack.property(AUTHENTICATION_DATA).is_empty());
            wire.quiet();
        }
    });
}

/// The client has not authenticated in this way, so it is a protocol error and ends the connection.
#[test]
fn mqtt_4_12_1_2_re_authentication_without_a_method_ends_the_connection() {
    on_each_transport(|site| {
        for code in [0x00, 0x18, 0x19] {
            let mut wire = site.connected(V5, "renewing");
            wire.send(&auth(code, &[text(AUTHENTICATION_METHOD, "SCRAM")]));
            wire.expect_disconnect(0x82);
        }
    });
}

// [MQTT-2.1.3-1]: 3.1.1 has no AUTH at all.
#[test]
fn mqtt_3_15_1_1_reserved_flags_of_auth_end_the_connection() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for flags in 1..16 {
                let mut wire = site.connected(version, "flags");
                wire.send(&packet(0xF0 | flags, &[0x18, 4, 0x15, 0, 1, b'm']));
                wire.expect_disconnect(0x81);
            }
        }
        let mut wire = site.connected(V3, "old");
        wire.send(&[0xF0, 0]);
        wire.expect_close();
    });
}

/// Codes that do not belong to AUTH. The reason is checked, because AUTH's own codes without a
/// method end the connection too, for another reason. Both sides learn it, the server's side in its
/// log.
#[test]
fn mqtt_3_15_2_1_other_codes_end_the_connection() {
    on_each_transport(|site| {
        let reason = |code| {
            let mut wire = site.connected(V5, "codes");
            wire.send(&auth(code, &[text(AUTHENTICATION_METHOD, "SCRAM")]));
            let answer = wire.expect_answer(0xE0, 0, &[0x82]);
            wire.expect_close();
            let [reason] = &answer.property(REASON_STRING)[..] else {
                panic!("no reason: {answer:02x?}")
            };
            String::from_utf8(reason[3..].to_vec()).unwrap()
        };
        for code in [0x01, 0x17, 0x1A, 0x80, 0x87, 0x8C] {
            let reason = reason(code);
            let named = format!("code {code:#04x} does not belong in this packet");
            assert!(reason.contains(&named), "{reason}");
            let line = site.server.log_line(&reason);
            assert!(line.contains("client \"codes\""), "{line}");
        }
        for code in [0x00, 0x18, 0x19] {
            let reason = reason(code);
            assert!(reason.contains("[MQTT-4.12.0-7]"), "{reason}");
        }
    });
}
