//! Sections 3.3 and 3.4: the flags of PUBLISH, its topic, its answers, and how many may be
//! unacknowledged.

use crate::raw::{
    Connect, MAXIMUM_PACKET_SIZE, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, RECEIVE_MAXIMUM,
    SUBACK, V3, V5, VERSIONS, ack, four, packet, properties, string, subscribe, two,
};
use crate::wire::{on_each_transport, with_settings};

/// `[MQTT-4.4.0-1]` `[MQTT-4.4.0-1 of 3.1.1]`: at the next connection, with the same identifier and
/// otherwise the same bytes.
#[test]
fn mqtt_3_3_1_1_what_is_sent_again_has_dup() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let connect = Connect::lasting(version, "reader");
            let (mut wire, _) = site.connect(&connect);
            wire.subscribe("t", 2);
            let mut publisher = site.connected(version, "publisher");
            let mut sent = Vec::new();
            for qos in [1, 2] {
                publisher.publishes(&Publish::of_qos(qos, 1, "t", [qos]));
                let publish = wire.publish();
                assert_eq!((publish.qos, publish.dup), (qos, false));
                sent.push(publish);
            }
            wire.quiet();
            wire.leave();
            let (mut wire, _) = site.connect(&connect);
            for publish in sent {
                let again = Publish {
                    dup: true,
                    ..publish
                };
                assert_eq!(wire.publish(), again);
            }
            wire.quiet();
            site.connected(version, "reader").leave();
        }
    });
}

/// `[MQTT-4.8.0-1 of 3.1.1]`
#[test]
fn mqtt_3_3_1_2_dup_with_qos_0_ends_the_connection() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "dup");
            let publish = Publish {
                dup: true,
                ..Publish::new("t", "x")
            };
            wire.send(&publish.bytes(version));
            wire.expect_disconnect(0x81);
        }
    });
}

#[test]
fn mqtt_3_3_1_3_dup_is_not_passed_on() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.subscriber(version, "t", 2);
            let mut publisher = site.connected(version, "publisher");
            for qos in [1, 2] {
                publisher.publishes(&Publish {
                    dup: true,
                    ..Publish::of_qos(qos, 1, "t", [qos])
                });
                let message = wire.message("t", [qos]);
                assert_eq!((message.qos, message.dup), (qos, false));
            }
        }
    });
}

/// `[MQTT-4.8.0-1 of 3.1.1]`
#[test]
fn mqtt_3_3_1_4_qos_3_ends_the_connection() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for flags in [0x06, 0x07, 0x0E, 0x0F] {
                let mut wire = site.connected(version, "three");
                let rest = [
                    string("t"),
                    vec![0, 1],
                    properties(version, &[]),
                    b"x".to_vec(),
                ];
                wire.send(&packet(0x30 | flags, &rest.concat()));
                wire.expect_disconnect(0x81);
            }
        }
    });
}

/// `[MQTT-4.7.0-1]` `[MQTT-4.7.3-1]`: a topic name has no wildcards, is not empty, and is complete.
#[test]
fn mqtt_3_3_2_2_what_is_no_topic_name_ends_the_connection() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for topic in ["#", "+", "a/#", "a/+/b", "a#", "+a"] {
                let mut wire = site.connected(version, "wild");
                wire.send(&Publish::new(topic, "x").bytes(version));
                wire.expect_disconnect(0x81);
            }
            let mut wire = site.connected(version, "empty");
            wire.send(&Publish::new("", "x").bytes(version));
            wire.expect_disconnect(if version == V5 { 0x82 } else { 0x81 });
        }
    });
}

/// The topic is the first field, whatever bytes follow.
#[test]
fn mqtt_3_3_2_1_a_publish_without_a_whole_topic_ends_the_connection() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for rest in [&[][..], &[0], &[0, 2, b't'], &[0xFF, 0xFF, b't', 0]] {
                let mut wire = site.connected(version, "topicless");
                wire.send(&packet(0x30, rest));
                wire.expect_disconnect(0x81);
            }
        }
    });
}

/// `[MQTT-4.7.3-4]`
#[test]
fn mqtt_3_3_2_3_only_what_matches_the_filter_comes() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "subscriber");
            wire.subscribe("a/+/c", 0);
            wire.subscribe("b/#", 0);
            let mut publisher = site.connected(version, "publisher");
            for (topic, matches) in [
                ("a/b/c", true),
                ("a//c", true),
                ("a/b/c/d", false),
                ("a/c", false),
                ("A/b/c", false),
                ("a/b/c/", false),
                ("b", true),
                ("b/", true),
                ("b/c/d", true),
                ("bb", false),
                ("/b", false),
            ] {
                publisher.publishes(&Publish::new(topic, topic));
                if matches {
                    wire.message(topic, topic);
                }
                wire.quiet();
            }
        }
    });
}

/// `[MQTT-3.4.2-1]` `[MQTT-3.5.2-1]` `[MQTT-3.7.2-1]` `[MQTT-4.3.2-4]` `[MQTT-4.3.3-8]`: the answer
/// is nothing, PUBACK or PUBREC. Its code says whether there was a subscriber, and whether the
/// client may publish the message.
#[test]
fn mqtt_3_3_4_1_a_publish_is_answered_as_its_qos_asks() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "publisher");
            wire.send(&Publish::new("t", "x").bytes(version));
            wire.quiet();
            let (nobody, refused) = match version {
                V5 => (0x10, 0x90),
                V3 => (0, 0),
            };
            wire.send(&Publish::of_qos(1, 1, "t", "x").bytes(version));
            wire.expect_answer(PUBACK, 1, &[nobody]);
            wire.send(&Publish::of_qos(2, 2, "t", "x").bytes(version));
            wire.expect_answer(PUBREC, 2, &[nobody]);
            wire.send(&ack(PUBREL, 2));
            wire.expect_answer(PUBCOMP, 2, &[0]);
            // The server's own topics.
            wire.send(&Publish::of_qos(1, 3, "$mine", "x").bytes(version));
            wire.expect_answer(PUBACK, 3, &[refused]);
            let _reader = site.subscriber(version, "t", 0);
            wire.send(&Publish::of_qos(1, 1, "t", "x").bytes(version));
            // Success has the shortest form.
            wire.expect(&[PUBACK, 2, 0, 1]);
        }
    });
}

/// The server acknowledges a forbidden message of 3.1.1, which has no code for it, and delivers it
/// to nobody.
#[test]
fn mqtt_3_3_5_2_of_3_1_1_a_message_that_is_not_allowed_is_acknowledged() {
    on_each_transport(|site| {
        let mut watcher = site.connected(V3, "watcher");
        watcher.subscribe("$mine/#", 0);
        let mut wire = site.connected(V3, "publisher");
        wire.publishes(&Publish::of_qos(1, 1, "$mine/t", "x"));
        wire.publishes(&Publish::of_qos(2, 1, "$mine/t", "x"));
        watcher.quiet();
    });
}

/// The server does not acknowledge a message that it has no room for: version 5 has a code for it,
/// a 3.1.1 client's connection is closed. `[MQTT-4.8.0-2 of 3.1.1]` `[MQTT-3.3.5-2 of 3.1.1]`
#[test]
fn mqtt_3_4_2_1_a_full_server_says_so() {
    let room = ["--max-memory", "16MiB", "--max-retained-bytes", "1GiB"];
    with_settings(&room, |site| {
        let mut old = site.connected(V3, "old");
        let mut wire = site.connected(V5, "writer");
        let mut id = 0;
        // The memory of an unfinished packet becomes free again, so small messages fill the rest.
        for size in [100_000, 1_000, 10] {
            loop {
                id += 1;
                let publish = Publish {
                    retain: true,
                    ..Publish::of_qos(1, id, &format!("kept/{id}"), vec![b'x'; size])
                };
                wire.send(&publish.bytes(V5));
                let answer = wire.answer();
                assert_eq!((answer.first, answer.id), (PUBACK, id));
                if answer.codes[0] != 0x10 {
                    assert_eq!(answer.codes, [0x97]);
                    break;
                }
                assert!(id < 10_000, "it never says so");
            }
        }
        wire.quiet();
        old.send(&Publish::of_qos(1, 1, "t", "x").bytes(V3));
        old.expect_close();
    });
}

/// `[MQTT-3.5.2-2]` `[MQTT-3.9.2-1]`: the server leaves out the explanation of a refusal if the
/// client's Maximum Packet Size has no room for it. The refusal itself comes.
#[test]
fn mqtt_3_4_2_2_a_refusal_fits_the_clients_maximum_packet_size() {
    on_each_transport(|site| {
        // What CONNACK needs is the least that a client can ask for here.
        let mut probe = site.open();
        probe.send(&Connect::new(V5, "probe").bytes());
        let connack = probe.packet();
        let most = 2 + connack.rest.len();
        let (mut wire, _) = site.connect(&Connect {
            properties: vec![four(MAXIMUM_PACKET_SIZE, u32::try_from(most).unwrap())],
            ..Connect::new(V5, "narrow")
        });
        let deep = "/".repeat(1_000);
        for (question, first, code) in [
            (Publish::of_qos(1, 1, "$x", "").bytes(V5), PUBACK, 0x90),
            (Publish::of_qos(2, 1, "$x", "").bytes(V5), PUBREC, 0x90),
            (subscribe(V5, 1, &[(&deep, 0)]), SUBACK, 0x8F),
        ] {
            wire.send(&question);
            let packet = wire.packet();
            assert!(2 + packet.rest.len() <= most, "{packet:02x?}");
            let answer = crate::raw::Answer::read(V5, &packet);
            assert_eq!(
                (answer.first, answer.id, answer.codes),
                (first, 1, vec![code])
            );
        }
        wire.quiet();
    });
}

/// The client's Receive Maximum: the server sends the next message when one is acknowledged or
/// refused. `[MQTT-4.9.0-1]` `[MQTT-4.9.0-2]`
#[test]
fn mqtt_3_3_4_9_no_more_under_way_than_the_client_takes() {
    on_each_transport(|site| {
        let (mut wire, _) = site.connect(&Connect {
            properties: vec![two(RECEIVE_MAXIMUM, 2)],
            ..Connect::new(V5, "reader")
        });
        wire.subscribe("t", 2);
        let mut publisher = site.connected(V5, "publisher");
        for number in 0..6 {
            publisher.publishes(&Publish::of_qos(1 + number % 2, 1, "t", [number]));
        }
        let (zero, one) = (wire.publish(), wire.publish());
        assert_eq!((&zero.payload, &one.payload), (&vec![0], &vec![1]));
        wire.quiet();
        wire.send(&ack(PUBACK, zero.id));
        let two = wire.publish();
        assert_eq!(two.payload, [2]);
        wire.quiet();
        // PUBREC does not end the exchange, unless it refuses; PUBCOMP does.
        wire.send(&ack(PUBREC, one.id));
        wire.expect_answer(PUBREL, one.id, &[0]);
        wire.quiet();
        wire.send(&ack(PUBCOMP, one.id));
        let three = wire.publish();
        assert_eq!((three.payload, three.qos), (vec![3], 2));
        wire.quiet();
        wire.send(&crate::raw::ack_with(PUBREC, three.id, 0x80));
        assert_eq!(wire.publish().payload, [4]);
        wire.quiet();
        wire.send(&crate::raw::ack_with(PUBACK, two.id, 0x80));
        assert_eq!(wire.publish().payload, [5]);
        wire.quiet();
    });
}

/// `[MQTT-4.9.0-3]`: all kinds of answers, and messages of `QoS` 0.
#[test]
fn mqtt_3_3_4_10_a_full_receive_maximum_delays_only_messages() {
    on_each_transport(|site| {
        let (mut wire, _) = site.connect(&Connect {
            properties: vec![two(RECEIVE_MAXIMUM, 1)],
            ..Connect::new(V5, "reader")
        });
        wire.subscribe("t", 2);
        let mut publisher = site.connected(V5, "publisher");
        publisher.publishes(&Publish::of_qos(2, 1, "t", "first"));
        publisher.publishes(&Publish::of_qos(1, 1, "t", "waits"));
        let first = wire.publish();
        wire.quiet();
        wire.subscribe("zero", 0);
        wire.publishes(&Publish::of_qos(1, 1, "elsewhere", "x"));
        wire.publishes(&Publish::of_qos(2, 2, "elsewhere", "x"));
        publisher.publishes(&Publish::new("zero", "y"));
        wire.message("zero", "y");
        wire.send(&crate::raw::unsubscribe(V5, 3, &["zero"]));
        wire.expect_answer(crate::raw::UNSUBACK, 3, &[0]);
        wire.send(&ack(PUBREC, first.id));
        wire.expect_answer(PUBREL, first.id, &[0]);
        wire.send(&ack(PUBCOMP, first.id));
        wire.message("t", "waits");
    });
}

/// The server's Receive Maximum: one more `QoS` 2 message that is never released is too much.
#[test]
fn mqtt_3_3_4_7_a_client_that_sends_more_than_the_server_takes_is_closed() {
    on_each_transport(|site| {
        let (mut wire, answer) = site.connect(&Connect::new(V5, "greedy"));
        let most = match &answer.property(RECEIVE_MAXIMUM)[..] {
            [property] => u16::from_be_bytes([property[1], property[2]]),
            _ => 65_535,
        };
        for id in 1..=most {
            wire.send(&Publish::of_qos(2, id, "t", "x").bytes(V5));
            wire.expect_answer(PUBREC, id, &[0x10]);
        }
        // A repetition does not count again.
        let again = Publish {
            dup: true,
            ..Publish::of_qos(2, 1, "t", "x")
        };
        wire.send(&again.bytes(V5));
        wire.expect_answer(PUBREC, 1, &[0]);
        wire.send(&Publish::of_qos(2, most + 1, "t", "x").bytes(V5));
        wire.expect_disconnect(0x93);
    });
}
