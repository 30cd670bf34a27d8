//! Section 3.1: what CONNECT sets for its connection: keep alive, sizes, aliases, explanations.

use std::time::{Duration, Instant};

use crate::raw::{
    Connect, MAXIMUM_PACKET_SIZE, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, RECEIVE_MAXIMUM,
    REQUEST_PROBLEM_INFORMATION, REQUEST_RESPONSE_INFORMATION, RESPONSE_INFORMATION, SUBACK,
    TOPIC_ALIAS, TOPIC_ALIAS_MAXIMUM, UNSUBACK, V3, V5, VERSIONS, Will, ack, byte, four, subscribe,
    text, two, unsubscribe,
};
use crate::wire::{on_each_transport, with_settings};

/// `[MQTT-3.2.2-22]`, and `[MQTT-3.1.2-24 of 3.1.1]`: the server publishes the will, as if the
/// network had failed.
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
            assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
            watcher.message("will/silent", "gone");
        }
        idle.quiet();
    });
}

/// `[MQTT-3.1.2-25]`: the message counts as sent, so its place under Receive Maximum is free.
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

/// `[MQTT-3.1.2-27]` `[MQTT-3.3.2-8]` `[MQTT-3.3.2-11]`: the topic is right with an alias and
/// without, and the server uses aliases where the client accepts them.
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
            let (mut introduced, mut used) = (0, 0);
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
                            used += 1;
                        } else {
                            introduced += 1;
                        }
                        *meaning = message.topic.clone();
                    }
                    assert_eq!((message.topic, message.payload), (topic, vec![round]));
                }
            }
            assert_eq!(
                (introduced > 0, used > 0),
                (most > 0, most > 0),
                "of {most}"
            );
        }
    });
}

/// The server has Response Information, and gives it to a client that asks.
#[test]
fn mqtt_3_1_2_28_no_response_information_that_was_not_asked_for() {
    with_settings(&["--response-information", "answers/of"], |site| {
        let information = |asked: &[u8]| {
            let asked = asked.iter();
            let connect = Connect {
                properties: asked
                    .map(|asked| byte(REQUEST_RESPONSE_INFORMATION, *asked))
                    .collect(),
                ..Connect::new(V5, "asking")
            };
            site.connect(&connect).1.property(RESPONSE_INFORMATION)
        };
        assert!(information(&[]).is_empty());
        assert!(information(&[0]).is_empty());
        let given = text(RESPONSE_INFORMATION, "answers/of/asking");
        assert_eq!(information(&[1]), [given]);
        // 3.1.1 has no such property: `connect` checks that nothing follows the code.
        site.connected(V3, "asking").quiet();
    });
    // A server without Response Information gives none.
    on_each_transport(|site| {
        let connect = Connect {
            properties: vec![byte(REQUEST_RESPONSE_INFORMATION, 1)],
            ..Connect::new(V5, "asking")
        };
        let (_, answer) = site.connect(&connect);
        assert!(answer.property(RESPONSE_INFORMATION).is_empty());
    });
}

/// Every answer that could carry an explanation, in its worst case.
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
