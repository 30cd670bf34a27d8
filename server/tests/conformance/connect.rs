//! Section 3.1: the form of CONNECT, and what happens to one that has another form.

use crate::raw::{
    AUTHENTICATION_METHOD, CONNACK, Connect, MAXIMUM_PACKET_SIZE, PINGREQ, PUBACK, Publish,
    RECEIVE_MAXIMUM, REQUEST_PROBLEM_INFORMATION, RESPONSE_INFORMATION, USER_PROPERTY, V3, V5,
    VERSIONS, Version, Will, ack, byte, connect, four, packet, properties, string, subscribe, text,
    two,
};
use crate::wire::{Site, on_each_transport};

#[test]
fn mqtt_3_1_0_1_the_first_packet_is_connect() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for first in [
                PINGREQ.to_vec(),
                Publish::new("t", "x").bytes(version),
                subscribe(version, 1, &[("#", 0)]),
                ack(PUBACK, 1),
                vec![0xE0, 0],
            ] {
                let mut wire = site.open();
                wire.send(&first);
                wire.expect_close();
            }
        }
    });
}

#[test]
fn mqtt_3_1_0_2_a_second_connect_ends_the_connection() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "twice");
            wire.send(&Connect::new(version, "twice").bytes());
            wire.expect_disconnect(0x82);
        }
    });
}

/// `[MQTT-3.1.2-1 of 3.1.1]` too: a server that does not reveal itself closes. The name of MQTT 3.1
/// is served with its own level alone: see `dialects.rs`.
#[test]
fn mqtt_3_1_2_1_another_protocol_is_not_served() {
    on_each_transport(|site| {
        for (name, level, answer) in [
            ("mqtt", 5, None),
            ("MQTTT", 5, None),
            ("MQT", 4, None),
            ("MQIsdp", 4, Some([CONNACK, 2, 0, 1])),
            ("MQIsdpp", 3, None),
            ("", 5, None),
        ] {
            for version in VERSIONS {
                let mut wire = site.open();
                let properties = properties(version, &[]);
                wire.send(&connect(name, level, 2, 0, &properties, &string("name")));
                if let Some(answer) = answer {
                    wire.expect(&answer);
                }
                wire.expect_close();
            }
        }
    });
}

/// `[MQTT-3.1.2-2 of 3.1.1]`: an older client gets the answer that it understands.
/// `[MQTT-3.2.2-6]` `[MQTT-3.2.2-7]`
#[test]
fn mqtt_3_1_2_2_another_version_is_refused() {
    on_each_transport(|site| {
        for (level, answer) in [
            (0, &[CONNACK, 2, 0, 1][..]),
            (3, &[CONNACK, 2, 0, 1]),
            (6, &[CONNACK, 3, 0, 0x84, 0]),
            // The high bit is that of a bridge, which goes with level 4.
            (0x83, &[CONNACK, 2, 0, 1]),
            (0x85, &[CONNACK, 3, 0, 0x84, 0]),
            (0xFF, &[CONNACK, 3, 0, 0x84, 0]),
        ] {
            let mut wire = site.open();
            wire.send(&connect("MQTT", level, 2, 0, &[], &string("version")));
            wire.expect(answer);
            wire.expect_close();
        }
    });
}

/// Checks that a CONNECT with these flags, and this payload behind the client identifier, is
/// malformed.
fn refuses(site: &Site, version: Version, flags: u8, payload: &[u8]) {
    let mut wire = site.open();
    wire.version = version;
    let level = if version == V5 { 5 } else { 4 };
    let payload = [&string("flags"), payload].concat();
    let properties = properties(version, &[]);
    wire.send(&connect("MQTT", level, flags, 0, &properties, &payload));
    wire.expect_refusal(0x81);
}

/// `[MQTT-3.1.4-1]` and `[MQTT-3.1.4-1 of 3.1.1]`, `[MQTT-2.1.3-1]`
#[test]
fn mqtt_3_1_2_3_the_reserved_flag_is_checked() {
    on_each_transport(|site| {
        for version in VERSIONS {
            refuses(site, version, 0x03, &[]);
            refuses(site, version, 0x01, &[]);
        }
    });
}

/// The payload must have what the flags announce. `[MQTT-3.1.2-9]` `[MQTT-3.1.2-11]`
/// `[MQTT-3.1.2-12]` `[MQTT-3.1.2-13]` `[MQTT-3.1.2-16]` `[MQTT-3.1.2-17]` `[MQTT-3.1.2-18]`
/// `[MQTT-3.1.2-19]` `[MQTT-3.1.4-1 of 3.1.1]`
#[test]
fn mqtt_3_1_4_1_flags_that_do_not_fit_the_payload_are_refused() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let will = [properties(version, &[]), string("w"), string("gone")].concat();
            refuses(site, version, 0x06, &[]);
            refuses(site, version, 0x06, &will[..will.len() - 6]);
            refuses(site, version, 0x02, &will);
            for qos_without_will in [0x0A, 0x12, 0x1A] {
                refuses(site, version, qos_without_will, &[]);
            }
            refuses(site, version, 0x22, &[]);
            refuses(site, version, 0x1E, &will);
            let (name, password) = (string("name"), string("secret"));
            let both = [&name[..], &password].concat();
            refuses(site, version, 0x02, &name);
            refuses(site, version, 0x82, &[]);
            refuses(site, version, 0x82, &both);
            refuses(site, version, 0xC2, &name);
            refuses(site, version, 0x42, &[]);
        }
    });
}

/// Everything else that differs from section 3.1.
#[test]
fn mqtt_3_1_4_1_a_connect_of_another_form_is_refused() {
    on_each_transport(|site| {
        let sent = |bytes: &[u8]| {
            let mut wire = site.open();
            wire.send(bytes);
            wire
        };
        let head = [&string("MQTT")[..], &[5, 2, 0, 0]].concat();
        // Nothing at all, or a protocol name that ends too early: there is no version to answer in.
        for rest in [&[][..], &head[..4]] {
            sent(&packet(0x10, rest)).expect_close();
        }
        // No flags, no keep alive, no properties, half a client identifier, a byte too many.
        let id = [&head[..], &[0, 0, 2], b"id"].concat();
        for rest in [
            &head[..7],
            &head[..8],
            &head,
            &id[..12],
            &[&id[..], b"x"].concat(),
        ] {
            sent(&packet(0x10, rest)).expect_refusal(0x81);
        }
        // A property twice, one of another packet, one without its value, an unknown one.
        for (all, reason) in [
            (
                &[two(RECEIVE_MAXIMUM, 1), two(RECEIVE_MAXIMUM, 1)][..],
                0x82,
            ),
            (&[two(RECEIVE_MAXIMUM, 0)], 0x82),
            (&[byte(REQUEST_PROBLEM_INFORMATION, 2)], 0x82),
            (&[four(MAXIMUM_PACKET_SIZE, 0)], 0x82),
            (&[text(RESPONSE_INFORMATION, "x")], 0x81),
            (&[vec![RECEIVE_MAXIMUM, 1]], 0x81),
            (&[byte(0x7F, 1)], 0x81),
        ] {
            let connect = Connect {
                properties: all.to_vec(),
                ..Connect::new(V5, "properties")
            };
            sent(&connect.bytes()).expect_refusal(reason);
        }
    });
}

/// `[MQTT-3.1.2-17]` `[MQTT-3.1.2-19]`: in version 5, each of the two without the other;
/// `[MQTT-3.1.2-22 of 3.1.1]` forbids it in 3.1.1.
#[test]
fn mqtt_3_1_2_17_and_19_user_name_and_password_are_read() {
    on_each_transport(|site| {
        let connect = |version, name: Option<&str>, password: Option<&str>| Connect {
            user_name: name.map(Into::into),
            password: password.map(Into::into),
            ..Connect::new(version, "credentials")
        };
        for version in VERSIONS {
            site.connect(&connect(version, Some("name"), None))
                .0
                .quiet();
            site.connect(&connect(version, Some("name"), Some("secret")))
                .0
                .quiet();
        }
        site.connect(&connect(V5, None, Some("secret"))).0.quiet();
        let mut wire = site.open();
        wire.version = V3;
        wire.send(&connect(V3, None, Some("secret")).bytes());
        wire.expect_refusal(0x81);
    });
}

/// `[MQTT-3.1.2-9]` `[MQTT-3.1.2-12]` and `[MQTT-3.1.3-10]`, in the order of the standard.
#[test]
fn mqtt_3_1_3_1_every_field_is_read_where_it_stands() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut watcher = site.subscriber(version, "will/#", 2);
            for qos in 0..=2 {
                let users = [
                    crate::raw::user("b", "1"),
                    crate::raw::user("a", "2"),
                    crate::raw::user("b", "0"),
                ];
                let (wire, _) = site.connect(&Connect {
                    will: Some(Will {
                        qos,
                        properties: users.to_vec(),
                        ..Will::new("will/topic", "will payload")
                    }),
                    user_name: Some("user name".into()),
                    password: Some("password".into()),
                    ..Connect::new(version, "client id")
                });
                wire.cut();
                let message = watcher.message("will/topic", "will payload");
                assert_eq!(message.qos, qos);
                if version == V5 {
                    assert_eq!(message.property(USER_PROPERTY), users);
                }
            }
        }
    });
}

/// `[MQTT-3.1.3-4]` `[MQTT-3.1.3-11]` `[MQTT-3.1.3-12]` `[MQTT-1.5.4-1]` `[MQTT-1.5.4-2]`: each
/// string of CONNECT, with bytes that are not UTF-8.
#[test]
fn mqtt_3_1_3_4_the_strings_of_connect_are_utf_8() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for bad in [
                &b"\xC3\x28"[..],
                b"\xED\xA0\x80",
                b"\xC0\x80",
                b"a\0b",
                b"\xFF",
            ] {
                let mut wire = site.open();
                wire.version = version;
                let level = if version == V5 { 5 } else { 4 };
                let none = properties(version, &[]);
                wire.send(&connect("MQTT", level, 2, 0, &none, &string(bad)));
                wire.expect_refusal(0x81);
                let will = [none.clone(), string(bad), string("payload")].concat();
                refuses(site, version, 0x06, &will);
                refuses(site, version, 0x82, &string(bad));
            }
            // The payload of a will and a password may hold any bytes.
            let (mut wire, _) = site.connect(&Connect {
                will: Some(Will {
                    payload: b"\xC3\x28\0".to_vec(),
                    ..Will::new("w", "")
                }),
                user_name: Some("name".into()),
                password: Some(b"\xC3\x28\0".to_vec()),
                ..Connect::new(version, "bytes")
            });
            wire.quiet();
        }
    });
}

/// `[MQTT-3.1.4-1]`: this CONNECT does not even have an empty client identifier.
#[test]
fn mqtt_3_1_3_3_a_connect_without_client_id_is_refused() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.open();
            wire.version = version;
            let level = if version == V5 { 5 } else { 4 };
            let none = properties(version, &[]);
            wire.send(&connect("MQTT", level, 2, 0, &none, &[]));
            wire.expect_refusal(0x81);
        }
    });
}

/// `[MQTT-3.1.4-6]` `[MQTT-3.2.2-6]` `[MQTT-3.2.2-7]` `[MQTT-3.2.2-8]`: the server refuses a
/// CONNECT that fails a check with its reason, closes the connection, and ignores what follows.
/// 3.1.1 reports a will's topic as not authorized: `[MQTT-3.2.2-4 of 3.1.1]`
/// `[MQTT-3.2.2-5 of 3.1.1]`.
#[test]
fn mqtt_3_1_4_2_a_connect_that_may_not_be_is_refused() {
    on_each_transport(|site| {
        let mut watcher = site.subscriber(V5, "#", 0);
        let refused = |connect: Connect, answer: &[u8]| {
            let mut wire = site.open();
            wire.version = connect.version;
            let more = [
                connect.bytes(),
                Publish::new("early", "x").bytes(connect.version),
            ];
            wire.send(&more.concat());
            let packet = wire.packet();
            assert_eq!(packet.first, CONNACK);
            assert_eq!(packet.rest[..2], *answer);
            wire.expect_close();
        };
        refused(
            Connect {
                properties: vec![text(AUTHENTICATION_METHOD, "SCRAM-SHA-1")],
                ..Connect::new(V5, "method")
            },
            &[0, 0x8C],
        );
        for (version, code) in [(V3, 5), (V5, 0x90)] {
            refused(
                Connect {
                    will: Some(Will::new("$SYS/mine", "x")),
                    ..Connect::new(version, "will")
                },
                &[0, code],
            );
        }
        watcher.quiet();
    });
}

/// `[MQTT-3.2.0-1]`
#[test]
fn mqtt_3_1_4_5_connect_is_acknowledged() {
    on_each_transport(|site| {
        let mut wire = site.open();
        wire.send(&Connect::new(V3, "three").bytes());
        wire.expect(&[CONNACK, 2, 0, 0]);
        let (_, answer) = site.connect(&Connect::new(V5, "five"));
        assert_eq!((answer.id, answer.codes), (0, vec![0]));
    });
}
