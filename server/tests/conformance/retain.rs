//! Section 3.3.1: what the server retains, and who gets it.

use crate::raw::{Publish, SUBACK, V3, V5, VERSIONS, subscribe, unsubscribe};
use crate::wire::on_each_transport;

/// Options of a subscription: Retain As Published and Retain Handling.
const AS_PUBLISHED: u8 = 0x08;
const HANDLING: [u8; 3] = [0x00, 0x10, 0x20];

/// `[MQTT-3.3.1-9]`; of 3.1.1 `[MQTT-3.3.1-6 of 3.1.1]` `[MQTT-3.3.1-8 of 3.1.1]`: a new subscriber
/// gets the last message of each topic, whatever its `QoS`, with RETAIN. `[MQTT-3.3.1-7 of 3.1.1]`
#[test]
fn mqtt_3_3_1_5_the_last_retained_message_of_a_topic_is_kept() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut publisher = site.connected(version, "publisher");
            for (qos, payload) in [(0, "first"), (1, "second"), (2, "third"), (0, "last")] {
                for topic in ["kept/a", "kept/b"] {
                    publisher.publishes(&Publish {
                        retain: true,
                        ..Publish::of_qos(qos, 1, topic, [topic, payload].concat())
                    });
                }
            }
            let mut wire = site.subscriber(version, "kept/+", 2);
            let mut topics = Vec::new();
            for _ in 0..2 {
                let publish = wire.publish();
                assert!(
                    publish.retain && !publish.dup && publish.qos == 0,
                    "{publish:?}"
                );
                assert_eq!(
                    publish.payload,
                    [&publish.topic, "last"].concat().as_bytes()
                );
                topics.push(publish.topic);
            }
            topics.sort();
            assert_eq!(topics, ["kept/a", "kept/b"]);
            wire.quiet();
        }
    });
}

/// `[MQTT-3.3.1-7]`
#[test]
fn mqtt_3_3_1_6_an_empty_payload_is_delivered_and_removes_what_was_kept() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut publisher = site.connected(version, "publisher");
            publisher.publishes(&Publish::retained("kept", "x"));
            let mut before = site.subscriber(version, "kept", 1);
            assert!(before.message("kept", "x").retain);
            for _ in 0..2 {
                publisher.publishes(&Publish {
                    retain: true,
                    ..Publish::of_qos(1, 1, "kept", "")
                });
                let removal = before.message("kept", "");
                assert_eq!((removal.qos, removal.retain), (1, false));
                site.subscriber(version, "+", 1).quiet();
            }
        }
    });
}

#[test]
fn mqtt_3_3_1_8_a_message_without_retain_changes_nothing_that_is_kept() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut publisher = site.connected(version, "publisher");
            publisher.publishes(&Publish::new("kept", "before"));
            site.subscriber(version, "kept", 0).quiet();
            publisher.publishes(&Publish::retained("kept", "x"));
            for (qos, payload) in [(0, "new"), (1, "new"), (2, ""), (0, "")] {
                publisher.publishes(&Publish::of_qos(qos, 1, "kept", payload));
                let mut later = site.subscriber(version, "kept", 0);
                later.message("kept", "x");
                later.quiet();
            }
            publisher.publishes(&Publish::retained("kept", ""));
        }
    });
}

/// `[MQTT-3.3.1-10]` `[MQTT-3.3.1-11]` `[MQTT-3.8.4-4]`: a first subscription, a repeated one, and
/// a new one.
#[test]
fn mqtt_3_3_1_9_retain_handling_says_when_retained_messages_are_sent() {
    on_each_transport(|site| {
        let mut publisher = site.connected(V5, "publisher");
        for topic in ["kept/a", "kept/b"] {
            publisher.publishes(&Publish::retained(topic, "x"));
        }
        for (handling, expected) in HANDLING.into_iter().zip([
            [true, true, true],
            [true, false, true],
            [false, false, false],
        ]) {
            let mut wire = site.connected(V5, "subscriber");
            for (round, sent) in expected.into_iter().enumerate() {
                if round == 2 {
                    wire.send(&unsubscribe(V5, 1, &["kept/#"]));
                    wire.expect_answer(crate::raw::UNSUBACK, 1, &[0]);
                }
                wire.subscribe("kept/#", handling | 1);
                if sent {
                    let mut topics = [wire.publish().topic, wire.publish().topic];
                    topics.sort();
                    assert_eq!(topics, ["kept/a", "kept/b"]);
                }
                wire.quiet();
            }
        }
    });
}

/// `[MQTT-3.8.4-3 of 3.1.1]` `[MQTT-3.3.1-6 of 3.1.1]`: 3.1.1 sends them each time.
#[test]
fn mqtt_3_3_1_8_of_3_1_1_each_subscription_brings_what_is_retained() {
    on_each_transport(|site| {
        site.connected(V5, "publisher")
            .publishes(&Publish::retained("kept", "x"));
        let mut wire = site.connected(V3, "subscriber");
        for qos in [0, 1, 2, 0] {
            wire.send(&subscribe(V3, 7, &[("kept", qos)]));
            wire.expect_answer(SUBACK, 7, &[qos]);
            assert!(wire.message("kept", "x").retain);
            wire.quiet();
        }
    });
}

/// `[MQTT-3.3.1-13]`, and `[MQTT-3.3.1-9 of 3.1.1]`: only for live messages. A retained message
/// that is sent for a new subscription always has RETAIN.
#[test]
fn mqtt_3_3_1_12_retain_as_published() {
    on_each_transport(|site| {
        let mut publisher = site.connected(V5, "publisher");
        let mut cleared = site.subscriber(V5, "t", 0);
        let mut kept = site.connected(V5, "kept");
        kept.subscribe("t", AS_PUBLISHED);
        let mut old = site.subscriber(V3, "t", 0);
        for retain in [true, false] {
            publisher.publishes(&Publish {
                retain,
                ..Publish::new("t", "x")
            });
            assert!(!cleared.message("t", "x").retain);
            assert_eq!(kept.message("t", "x").retain, retain);
            assert!(!old.message("t", "x").retain);
        }
        for options in [0, AS_PUBLISHED] {
            let mut later = site.connected(V5, "later");
            later.subscribe("t", options);
            assert!(later.message("t", "x").retain);
        }
    });
}
