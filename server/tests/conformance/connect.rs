//! Section 3.1: what CONNECT must be, and what it sets for the connection.

use std::time::{Duration, Instant};

use crate::raw::{
    AUTHENTICATION_METHOD, CONNACK, Connect, MAXIMUM_PACKET_SIZE, PINGREQ, PUBACK, PUBCOMP, PUBREC,
    PUBREL, Publish, RECEIVE_MAXIMUM, REQUEST_PROBLEM_INFORMATION, REQUEST_RESPONSE_INFORMATION,
    RESPONSE_INFORMATION, SUBACK, TOPIC_ALIAS, TOPIC_ALIAS_MAXIMUM, UNSUBACK, USER_PROPERTY, V3,
    V5, VERSIONS, Version, Will, ack, byte, connect, four, packet, properties, string, subscribe,
    text, two, unsubscribe,
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

/// `[MQTT-3.1.2-1 of 3.1.1]` too: a server that does not reveal itself closes.
#[test]
fn mqtt_3_1_2_1_another_protocol_is_not_served() {
    on_each_transport(|site| {
        for (name, level) in [
            ("mqtt", 5),
            ("MQTTT", 5),
            ("MQT", 4),
            ("MQIsdp", 3),
            ("", 5),
        ] {
            for version in VERSIONS {
                let mut wire = site.open();
                let properties = properties(version, &[]);
                wire.send(&connect(name, level, 2, 0, &properties, &string("name")));
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
            (0x84, &[CONNACK, 3, 0, 0x84, 0]),
            (0xFF, &[CONNACK, 3, 0, 0x84, 0]),
        ] {
            let mut wire = site.open();
            wire.send(&connect("MQTT", level, 2, 0, &[], &string("version")));
            wire.expect(answer);
            wire.expect_close();
        }
    });
}

/// A CONNECT with these flags and this payload behind the identifier is malformed.
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

/// What the flags announce and what follows are the same. `[MQTT-3.1.2-9]` `[MQTT-3.1.2-11]`
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

/// What else is not as section 3.1 describes it.
#[test]
fn mqtt_3_1_4_1_a_connect_of_another_form_is_refused() {
    on_each_transport(|site| {
        let sent = |bytes: &[u8]| {
            let mut wire = site.open();
            wire.send(bytes);
            wire
        };
        let head = [&string("MQTT")[..], &[5, 2, 0, 0]].concat();
        // Nothing at all; a protocol name that ends too early: no version to answer in.
        for rest in [&[][..], &head[..4]] {
            sent(&packet(0x10, rest)).expect_close();
        }
        // No flags, no keep alive, no properties, half a client identifier; a byte too many.
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

/// `[MQTT-3.1.2-17]` `[MQTT-3.1.2-19]`: each of the two without the other in version 5;
/// `[MQTT-3.1.2-22 of 3.1.1]` not so in 3.1.1.
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
/// string of CONNECT, with bytes that are none.
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
            // The payload of a will and a password are any bytes.
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

/// `[MQTT-3.1.4-1]`: it is not even an empty one.
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

#[test]
fn mqtt_3_1_3_5_ordinary_client_ids_are_taken() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for id in [
                "0",
                "z",
                "0123456789abcdefghijklm",
                "nopqrstuvwxyzABCDEFGHIJ",
                "KLMNOPQRSTUVWXYZ0123456",
            ] {
                site.connected(version, id).quiet();
            }
        }
    });
}

/// `[MQTT-3.1.3-7]` `[MQTT-3.2.2-16]`: unique, told, and in force.
#[test]
fn mqtt_3_1_3_6_an_empty_client_id_gets_one() {
    on_each_transport(|site| {
        let empty = Connect {
            properties: vec![four(crate::raw::SESSION_EXPIRY, 3600)],
            ..Connect::new(V5, "")
        };
        let (mut wire, answer) = site.connect(&empty);
        let (_other, other) = site.connect(&empty);
        let [first, second] = [answer, other].map(|answer| {
            let assigned = answer.property(crate::raw::ASSIGNED_CLIENT_ID);
            assert_eq!(assigned.len(), 1, "{answer:02x?}");
            String::from_utf8(assigned[0][3..].to_vec()).unwrap()
        });
        assert_ne!(first, second);
        wire.subscribe("kept", 1);
        wire.leave();
        // The session is found by the assigned identifier, which is not told again.
        let (mut wire, answer) = site.connect(&Connect::lasting(V5, &first));
        assert_eq!(answer.id, 1, "Session Present");
        assert!(answer.property(crate::raw::ASSIGNED_CLIENT_ID).is_empty());
        site.connected(V5, "publisher")
            .publishes(&Publish::new("kept", "x"));
        wire.message("kept", "x");
        // 3.1.1 cannot be told, but is served.
        site.connected(V3, "").quiet();
    });
}

/// `[MQTT-3.2.2-4 of 3.1.1]` `[MQTT-3.2.2-5 of 3.1.1]`
#[test]
fn mqtt_3_1_3_8_of_3_1_1_a_lasting_session_needs_a_client_id() {
    on_each_transport(|site| {
        let mut wire = site.open();
        wire.send(&Connect::lasting(V3, "").bytes());
        wire.expect(&[CONNACK, 2, 0, 2]);
        wire.expect_close();
    });
}

#[test]
fn mqtt_3_1_3_2_the_client_id_names_the_session() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for id in ["one", "two"] {
                let (mut wire, answer) = site.connect(&Connect::lasting(version, id));
                assert_eq!(answer.id, 0, "no session of that name");
                wire.subscribe(&format!("to/{id}"), 1);
                wire.leave();
            }
            let (mut one, answer) = site.connect(&Connect::lasting(version, "one"));
            assert_eq!(answer.id, 1);
            let mut publisher = site.connected(version, "publisher");
            publisher.publishes(&Publish::of_qos(1, 1, "to/two", "for two"));
            publisher.publishes(&Publish::of_qos(1, 2, "to/one", "for one"));
            one.message("to/one", "for one");
            // Upper case is another name.
            assert_eq!(site.connect(&Connect::lasting(version, "ONE")).1.id, 0);
            // The next version finds none of these sessions.
            for id in ["one", "two", "ONE"] {
                site.connected(version, id).leave();
            }
        }
    });
}

/// `[MQTT-3.1.2-5]` `[MQTT-3.1.2-6]` `[MQTT-3.1.2-23]` `[MQTT-3.1.4-4]` `[MQTT-3.2.2-2]`
/// `[MQTT-3.2.2-3]`; of 3.1.1 `[MQTT-3.1.2-4 of 3.1.1]` `[MQTT-3.1.2-5 of 3.1.1]`
/// `[MQTT-3.1.2-6 of 3.1.1]` `[MQTT-3.2.2-1 of 3.1.1]` `[MQTT-3.2.2-2 of 3.1.1]`
/// `[MQTT-3.2.2-3 of 3.1.1]`
#[test]
fn mqtt_3_1_2_4_a_session_goes_on_until_a_clean_start() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut publisher = site.connected(version, "publisher");
            let (mut wire, answer) = site.connect(&Connect::lasting(version, "session"));
            assert_eq!(answer.id, 0, "there was none");
            wire.subscribe("kept", 2);
            wire.leave();
            for qos in [1, 2] {
                publisher.publishes(&Publish::of_qos(qos, 1, "kept", [qos]));
            }
            let (mut wire, answer) = site.connect(&Connect::lasting(version, "session"));
            assert_eq!(answer.id, 1, "it goes on");
            for qos in [1, 2] {
                assert_eq!(wire.message("kept", [qos]).qos, qos);
            }
            wire.leave();
            publisher.publishes(&Publish::of_qos(1, 1, "kept", "for the old session"));
            let (mut wire, answer) = site.connect(&Connect::new(version, "session"));
            assert_eq!(answer.id, 0, "a clean start");
            publisher.publishes(&Publish::of_qos(1, 1, "kept", "for the old subscription"));
            wire.quiet();
            wire.subscribe("kept", 1);
            wire.leave();
            // The clean session ended with its connection, so that there is none to go on.
            let (mut wire, answer) = site.connect(&Connect::lasting(version, "session"));
            assert_eq!(answer.id, 0, "it ended");
            publisher.publishes(&Publish::of_qos(1, 1, "kept", "x"));
            wire.quiet();
            wire.leave();
            site.connected(version, "session").leave();
        }
    });
}

/// `[MQTT-3.1.2-23]`: an interval of 0, or none, ends it with the connection, clean start or not.
#[test]
fn mqtt_3_1_2_23_a_session_without_expiry_interval_ends_with_its_connection() {
    on_each_transport(|site| {
        for all in [vec![], vec![four(crate::raw::SESSION_EXPIRY, 0)]] {
            let connect = Connect {
                properties: all,
                ..Connect::lasting(V5, "short")
            };
            for _ in 0..2 {
                let (mut wire, answer) = site.connect(&connect);
                assert_eq!(answer.id, 0);
                wire.subscribe("t", 1);
                wire.leave();
            }
        }
    });
}

/// `[MQTT-3.2.2-22]`, and `[MQTT-3.1.2-24 of 3.1.1]`: and the will is published, as if the network
/// had failed.
#[test]
fn mqtt_3_1_2_22_silence_ends_the_connection_after_one_and_a_half_keep_alives() {
    on_each_transport(|site| {
        let mut watcher = site.subscriber(V5, "will/#", 0);
        let mut idle = site.connected(V5, "without keep alive");
        for version in VERSIONS {
            let begun = Instant::now();
            let (mut wire, answer) = site.connect(&Connect {
                keep_alive: 1,
                will: Some(Will::new("will/silent", "gone")),
                ..Connect::new(version, "silent")
            });
            assert!(answer.property(crate::raw::SERVER_KEEP_ALIVE).is_empty());
            wire.expect_disconnect(0x8D);
            let elapsed = begun.elapsed();
            assert!(elapsed >= Duration::from_millis(1450), "{elapsed:?}");
            assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
            watcher.message("will/silent", "gone");
        }
        idle.quiet();
    });
}

/// `[MQTT-3.1.2-25]`: it counts as sent, so that its place under Receive Maximum is free.
#[test]
fn mqtt_3_1_2_24_nothing_larger_than_the_client_takes_is_sent() {
    on_each_transport(|site| {
        const MOST: usize = 100;
        let (mut wire, _) = site.connect(&Connect {
            properties: vec![
                four(MAXIMUM_PACKET_SIZE, u32::try_from(MOST).unwrap()),
                two(RECEIVE_MAXIMUM, 1),
            ],
            ..Connect::new(V5, "small")
        });
        let mut other = site.subscriber(V5, "t", 2);
        wire.subscribe("t", 2);
        let mut publisher = site.connected(V5, "publisher");
        // 2 bytes of fixed header, 3 of topic, 1 of properties, and the identifier.
        for (qos, overhead) in [(0, 6), (1, 8), (2, 8)] {
            for length in [MOST - overhead + 1, MOST - overhead, MOST * 2] {
                publisher.publishes(&Publish::of_qos(qos, 7, "t", vec![b'x'; length]));
                other.message("t", vec![b'x'; length]);
            }
            wire.message("t", vec![b'x'; MOST - overhead]);
            wire.quiet();
        }
    });
}

/// `[MQTT-3.1.2-27]` `[MQTT-3.3.2-8]` `[MQTT-3.3.2-11]`: and with or without one, the topic is the
/// right one.
#[test]
fn mqtt_3_1_2_26_no_alias_above_the_clients_maximum() {
    on_each_transport(|site| {
        let mut publisher = site.connected(V5, "publisher");
        for (most, all) in [
            (0, vec![]),
            (0, vec![two(TOPIC_ALIAS_MAXIMUM, 0)]),
            (2, vec![two(TOPIC_ALIAS_MAXIMUM, 2)]),
        ] {
            let (mut wire, _) = site.connect(&Connect {
                properties: all,
                ..Connect::new(V5, "aliases")
            });
            wire.subscribe("alias/#", 0);
            let mut meanings = vec![String::new(); usize::from(most) + 1];
            for round in 0..3_u8 {
                for number in 0..4 {
                    let topic = format!("alias/of/a/topic/that/is/long/{number}");
                    publisher.publishes(&Publish::new(&topic, [round]));
                    let mut message = wire.publish();
                    if let [alias] = &message.property(TOPIC_ALIAS)[..] {
                        let alias = u16::from_be_bytes([alias[1], alias[2]]);
                        assert!((1..=most).contains(&alias), "alias {alias} of {most}");
                        let meaning = &mut meanings[usize::from(alias)];
                        if message.topic.is_empty() {
                            message.topic.clone_from(meaning);
                        }
                        *meaning = message.topic.clone();
                    }
                    assert_eq!((message.topic, message.payload), (topic, vec![round]));
                }
            }
        }
    });
}

#[test]
fn mqtt_3_1_2_28_no_response_information_that_was_not_asked_for() {
    on_each_transport(|site| {
        for all in [vec![], vec![byte(REQUEST_RESPONSE_INFORMATION, 0)]] {
            let (_, answer) = site.connect(&Connect {
                properties: all,
                ..Connect::new(V5, "no information")
            });
            assert!(answer.property(RESPONSE_INFORMATION).is_empty());
        }
    });
}

/// Every answer that could carry them, at its worst.
#[test]
fn mqtt_3_1_2_29_without_problem_information_no_answer_explains_itself() {
    on_each_transport(|site| {
        let (mut wire, _) = site.connect(&Connect {
            properties: vec![byte(REQUEST_PROBLEM_INFORMATION, 0)],
            ..Connect::new(V5, "no problem")
        });
        let deep = "/".repeat(1_000);
        for (question, answer, codes) in [
            (
                Publish::of_qos(1, 1, "$x", "").bytes(V5),
                PUBACK,
                &[0x90][..],
            ),
            (Publish::of_qos(2, 1, "$x", "").bytes(V5), PUBREC, &[0x90]),
            (ack(PUBREL, 1), PUBCOMP, &[0x92]),
            (ack(PUBREC, 1), PUBREL, &[0x92]),
            (
                subscribe(V5, 1, &[("a", 0), (&deep, 0)]),
                SUBACK,
                &[0, 0x8F],
            ),
            (unsubscribe(V5, 1, &["b"]), UNSUBACK, &[0x11]),
        ] {
            wire.send(&question);
            let answer = wire.expect_answer(answer, 1, codes);
            assert!(answer.properties.is_empty(), "{answer:02x?}");
        }
    });
}

/// `[MQTT-3.1.4-6]` `[MQTT-3.2.2-6]` `[MQTT-3.2.2-7]` `[MQTT-3.2.2-8]`: what fails a check is
/// refused with its reason, the connection closed, and what follows is not looked at.
#[test]
fn mqtt_3_1_4_2_a_connect_that_may_not_be_is_refused() {
    on_each_transport(|site| {
        let mut watcher = site.subscriber(V5, "#", 0);
        let refused = |connect: Connect, reason| {
            let mut wire = site.open();
            wire.version = connect.version;
            let more = [
                connect.bytes(),
                Publish::new("early", "x").bytes(connect.version),
            ];
            wire.send(&more.concat());
            match connect.version {
                V5 => {
                    let answer = wire.answer();
                    let expected = (CONNACK, 0, &[reason][..]);
                    assert_eq!((answer.first, answer.id, &answer.codes[..]), expected);
                    wire.expect_close();
                }
                V3 => assert!(wire.receive().is_none_or(|packet| packet.rest[1] != 0)),
            }
        };
        refused(
            Connect {
                properties: vec![text(AUTHENTICATION_METHOD, "SCRAM-SHA-1")],
                ..Connect::new(V5, "method")
            },
            0x8C,
        );
        for version in VERSIONS {
            refused(
                Connect {
                    will: Some(Will::new("$SYS/mine", "x")),
                    ..Connect::new(version, "will")
                },
                0x90,
            );
        }
        watcher.quiet();
    });
}

/// `[MQTT-3.1.4-2 of 3.1.1]`: in silence.
#[test]
fn mqtt_3_1_4_3_a_client_that_connects_again_takes_over() {
    on_each_transport(|site| {
        for (old, new) in [(V5, V5), (V5, V3), (V3, V5), (V3, V3)] {
            let (mut first, _) = site.connect(&Connect::lasting(old, "mine"));
            first.subscribe("t", 1);
            let (mut second, answer) = site.connect(&Connect::lasting(new, "mine"));
            assert_eq!(answer.id, 1, "the session goes on");
            first.expect_disconnect(0x8E);
            let mut publisher = site.connected(new, "publisher");
            publisher.publishes(&Publish::of_qos(1, 1, "t", "x"));
            second.message("t", "x");
            second.quiet();
            site.connected(new, "mine").leave();
        }
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
