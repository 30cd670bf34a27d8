//! Section 3.2: CONNACK.

use crate::raw::{
    AUTHENTICATION_METHOD, CONNACK, Connect, MAXIMUM_PACKET_SIZE, MAXIMUM_QOS, Publish,
    RETAIN_AVAILABLE, SERVER_KEEP_ALIVE, SHARED_AVAILABLE, SUBSCRIPTION_IDS_AVAILABLE,
    USER_PROPERTY, V3, V5, VERSIONS, WILDCARDS_AVAILABLE, four, subscribe, subscription_id, text,
};
use crate::wire::on_each_transport;

/// CONNACK comes before waiting messages, and before answers to packets that came together with
/// CONNECT. `[MQTT-3.2.0-1 of 3.1.1]`
#[test]
fn mqtt_3_2_0_1_connack_comes_before_all_else() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let connect = Connect::lasting(version, "eager");
            let (mut wire, _) = site.connect(&connect);
            wire.subscribe("t", 1);
            wire.leave();
            let mut publisher = site.connected(version, "publisher");
            publisher.publishes(&Publish::of_qos(1, 1, "t", "waits"));
            let mut wire = site.open();
            wire.version = version;
            let more = [
                connect.bytes(),
                subscribe(version, 1, &[("other", 0)]),
                crate::raw::PINGREQ.to_vec(),
            ];
            wire.send(&more.concat());
            let answer = wire.answer();
            assert_eq!(
                (answer.first, answer.id, answer.codes),
                (CONNACK, 1, vec![0])
            );
            wire.cut();
            site.connected(version, "eager").leave();
        }
    });
}

/// A second CONNECT gets none, and using the session brings none.
#[test]
fn mqtt_3_2_0_2_there_is_one_connack() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.open();
            wire.version = version;
            let connect = Connect::new(version, "once").bytes();
            wire.send(&[&connect[..], &connect].concat());
            wire.expect_answer(CONNACK, 0, &[0]);
            wire.expect_disconnect(0x82);
        }
    });
}

/// The flags are 0 or 1. In 3.1.1 the packet has four bytes in all.
#[test]
fn mqtt_3_2_2_1_the_reserved_flags_are_0() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for present in [0, 1] {
                let mut wire = site.open();
                wire.version = version;
                wire.send(&Connect::lasting(version, "flags").bytes());
                let packet = wire.packet();
                assert_eq!((packet.first, packet.rest[0]), (CONNACK, present));
                match version {
                    V3 => assert_eq!(packet.rest, [present, 0]),
                    V5 => assert_eq!(packet.rest[1], 0),
                }
                wire.leave();
            }
            site.connected(version, "flags").leave();
        }
    });
}

/// `[MQTT-3.2.2-2]`: Session Present is 0 after a clean start, even if there is a session. The code
/// is always 0. The session belongs to the other version here.
#[test]
fn mqtt_3_2_2_3_session_present_says_what_there_is() {
    on_each_transport(|site| {
        for (old, new) in [(V5, V3), (V3, V5)] {
            let (wire, answer) = site.connect(&Connect::lasting(old, "present"));
            assert_eq!(answer.id, 0);
            wire.leave();
            let (wire, answer) = site.connect(&Connect::lasting(new, "present"));
            assert_eq!(answer.id, 1);
            wire.leave();
            let clean = Connect {
                clean_start: true,
                ..Connect::lasting(new, "present")
            };
            // In 3.1.1 that also says that the session ends with the connection.
            let (wire, answer) = site.connect(&clean);
            assert_eq!(answer.id, 0);
            wire.leave();
            let (wire, answer) = site.connect(&Connect::lasting(new, "present"));
            assert_eq!(answer.id, u16::from(new == V5));
            wire.leave();
            site.connected(old, "present").leave();
        }
    });
}

/// `[MQTT-3.2.2-7]` `[MQTT-3.2.2-8]`, while a session of that client identifier exists.
#[test]
fn mqtt_3_2_2_6_a_refusal_has_session_present_0_and_closes() {
    on_each_transport(|site| {
        site.connect(&Connect::lasting(V5, "mine")).0.leave();
        let refused = Connect {
            properties: vec![text(AUTHENTICATION_METHOD, "x")],
            ..Connect::lasting(V5, "mine")
        };
        let mut wire = site.open();
        wire.send(&refused.bytes());
        wire.expect_refusal(0x8C);
        // The session still exists: the refusal has changed nothing.
        let (_, answer) = site.connect(&Connect::lasting(V5, "mine"));
        assert_eq!(answer.id, 1);
    });
}

/// `[MQTT-3.1.2-24]`: the client accepts less and less, until nothing fits.
#[test]
fn mqtt_3_2_2_19_a_refusal_is_no_larger_than_the_client_takes() {
    on_each_transport(|site| {
        for most in [1_000, 60, 20, 6, 5, 4, 1] {
            let mut wire = site.open();
            let connect = Connect {
                properties: vec![
                    four(MAXIMUM_PACKET_SIZE, most),
                    text(AUTHENTICATION_METHOD, "x"),
                ],
                ..Connect::new(V5, "room")
            };
            wire.send(&connect.bytes());
            if most < 5 {
                wire.expect_close();
                continue;
            }
            let packet = wire.packet();
            let bytes = packet.bytes();
            assert_eq!(bytes[..1], [CONNACK]);
            assert_eq!(packet.rest[..2], [0, 0x8C]);
            assert!(bytes.len() <= most as usize, "{most}: {bytes:02x?}");
            wire.expect_close();
        }
    });
}

/// The server's id is the first thing to go.
#[test]
fn mqtt_3_2_2_20_user_properties_are_left_out_if_the_client_has_no_room() {
    on_each_transport(|site| {
        let (wire, answer) = site.connect(&Connect::new(V5, "roomy"));
        let named = answer.property(USER_PROPERTY);
        let name = [&[USER_PROPERTY, 0, 15][..], b"beaconry-server"].concat();
        assert!(named.len() == 1 && named[0].starts_with(&name), "{named:?}");
        wire.leave();
        let (_, answer) = site.connect(&Connect {
            properties: vec![four(MAXIMUM_PACKET_SIZE, 60)],
            ..Connect::new(V5, "narrow")
        });
        assert!(answer.property(USER_PROPERTY).is_empty());
        let (_, answer) = site.connect(&Connect::new(V3, "old"));
        assert!(answer.property(USER_PROPERTY).is_empty());
    });
}

/// `[MQTT-3.14.0-1]`: the mandatory part of CONNACK does not fit. The server cannot serve this
/// client. Its answer is small enough, and is no DISCONNECT.
#[test]
fn mqtt_3_1_2_24_a_client_that_takes_too_little_for_connack_is_refused() {
    on_each_transport(|site| {
        for most in [4, 5, 8] {
            let mut wire = site.open();
            let connect = Connect {
                properties: vec![four(MAXIMUM_PACKET_SIZE, most)],
                ..Connect::new(V5, "narrow")
            };
            wire.send(&connect.bytes());
            if most >= 5 {
                wire.expect(&[CONNACK, 3, 0, 0x95, 0]);
            }
            wire.expect_close();
        }
    });
}

/// `[MQTT-3.3.1-5]`: so CONNACK names no lower `QoS`, and does not say that retained messages are
/// unavailable. It sets no keep alive either. `[MQTT-3.2.2-22]`
#[test]
fn mqtt_3_2_2_8_connack_promises_what_the_server_does() {
    on_each_transport(|site| {
        let (_, answer) = site.connect(&Connect {
            keep_alive: 30,
            ..Connect::new(V5, "promises")
        });
        assert!(answer.property(MAXIMUM_QOS).is_empty(), "QoS 2");
        assert!(answer.property(SERVER_KEEP_ALIVE).is_empty());
        for available in [
            RETAIN_AVAILABLE,
            WILDCARDS_AVAILABLE,
            SUBSCRIPTION_IDS_AVAILABLE,
            SHARED_AVAILABLE,
        ] {
            let said = answer.property(available);
            assert!(said.is_empty() || said == [[available, 1]], "{said:?}");
        }
        let mut wire = site.connected(V5, "publisher");
        for qos in 0..=2 {
            let topic = format!("kept/{qos}");
            wire.publishes(&Publish {
                retain: true,
                ..Publish::of_qos(qos, 1, &topic, "x")
            });
            wire.subscribe(&topic, qos);
            assert_eq!(wire.message(&topic, "x").qos, qos);
        }
        wire.subscribe_with(&[subscription_id(1)], "kept/+", 0x20);
        wire.subscribe("$share/group/kept/#", 0);
    });
}
