//! Sections 3.8 to 3.11: SUBSCRIBE, UNSUBSCRIBE and their answers.

use crate::raw::{
    Connect, PUBACK, PUBCOMP, PUBREC, PUBREL, Publish, REASON_STRING, SUBACK, SUBSCRIBE, UNSUBACK,
    UNSUBSCRIBE, USER_PROPERTY, V3, V5, VERSIONS, Version, ack, packet, properties, string,
    subscribe, unsubscribe,
};
use crate::wire::on_each_transport;

const NO_LOCAL: u8 = 0b100;
const RETAIN_HANDLING_2: u8 = 0b10_0000;

/// A filter with more levels than the server accepts.
fn too_deep() -> String {
    "a/".repeat(1_000)
}

/// SUBSCRIBE or UNSUBSCRIBE with identifier 9 and this payload.
fn filters(version: Version, first: u8, payload: &[u8]) -> Vec<u8> {
    let rest = [&[0, 9][..], &properties(version, &[]), payload].concat();
    packet(first, &rest)
}

// [MQTT-2.1.3-1] [MQTT-3.10.1-1] [MQTT-4.13.1-1] [MQTT-2.2.2-2 of 3.1.1]
#[test]
fn mqtt_3_8_1_1_other_flags_end_the_connection() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for flags in [0, 1, 3, 6, 10, 15] {
                for (first, payload) in [(0x80, &[0, 1, b'a', 0][..]), (0xA0, &[0, 1, b'a'])] {
                    let mut wire = site.connected(version, "flags");
                    wire.send(&filters(version, first | flags, payload));
                    wire.expect_disconnect(0x81);
                }
            }
        }
    });
}

// [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-3.10.3-1]
#[test]
fn mqtt_3_8_3_1_a_filter_that_is_no_utf_8_ends_the_connection() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for bad in [
                &b"\xC3\x28"[..],
                b"\xED\xA0\x80",
                b"a\0b",
                b"\xC0\x80",
                b"\xFF",
            ] {
                let mut wire = site.connected(version, "utf-8");
                let payload = [string(bad), vec![0]].concat();
                wire.send(&filters(version, SUBSCRIBE, &payload));
                wire.expect_disconnect(0x81);
                let mut wire = site.connected(version, "utf-8");
                wire.send(&filters(version, UNSUBSCRIBE, &string(bad)));
                wire.expect_disconnect(0x81);
            }
        }
    });
}

// [MQTT-3.10.3-2]
#[test]
fn mqtt_3_8_3_2_without_a_filter_the_connection_ends() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for first in [SUBSCRIBE, UNSUBSCRIBE] {
                let mut wire = site.connected(version, "empty");
                wire.send(&filters(version, first, &[]));
                wire.expect_disconnect(0x82);
            }
        }
    });
}

#[test]
fn mqtt_3_8_3_3_no_local_keeps_a_clients_own_messages_from_it() {
    on_each_transport(|site| {
        let mut wire = site.connected(V5, "local");
        wire.subscribe("t", NO_LOCAL | 2);
        let mut other = site.subscriber(V5, "t", 2);
        let mut publisher = site.connected(V5, "publisher");
        for qos in 0..3 {
            wire.publishes(&Publish::of_qos(qos, 9, "t", "own"));
            wire.quiet();
            other.message("t", "own");
            publisher.publishes(&Publish::of_qos(qos, 9, "t", "foreign"));
            wire.message("t", "foreign");
            other.message("t", "foreign");
        }
    });
}

#[test]
fn mqtt_3_8_3_4_no_local_on_a_shared_subscription_ends_the_connection() {
    on_each_transport(|site| {
        let mut wire = site.connected(V5, "shared");
        wire.send(&subscribe(V5, 9, &[("$share/group/t", NO_LOCAL)]));
        wire.expect_disconnect(0x82);
    });
}

// [MQTT-3.8.3-4 of 3.1.1]: 3.1.1 has only the QoS there. QoS 3 and Retain Handling 3 are protocol
// errors in version 5 (section 3.8.3.1).
#[test]
fn mqtt_3_8_3_5_reserved_bits_of_the_options_end_the_connection() {
    on_each_transport(|site| {
        for (version, options, reason) in [
            (V5, 0b0100_0000, 0x81),
            (V5, 0b1000_0001, 0x81),
            (V5, 0b1100_0010, 0x81),
            (V5, 0b0000_0011, 0x82),
            (V5, 0b0011_0000, 0x82),
            (V3, 0b0000_0011, 0),
            (V3, 0b0000_0100, 0),
            (V3, 0b0001_0001, 0),
            (V3, 0b1000_0000, 0),
        ] {
            let mut wire = site.connected(version, "options");
            wire.send(&subscribe(version, 9, &[("a", 0), ("b", options)]));
            wire.expect_disconnect(reason);
        }
    });
}

// [MQTT-2.2.1-6] [MQTT-3.8.4-2] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-2]
#[test]
fn mqtt_3_8_4_1_subscribe_is_answered_with_its_identifier_and_the_granted_qos() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "answers");
            for (id, qos) in [(1, 0), (0x1234, 1), (0xFFFF, 2), (1, 2)] {
                wire.send(&subscribe(version, id, &[("a/+/#", qos)]));
                let empty = properties(version, &[]);
                let rest = [&id.to_be_bytes()[..], &empty, &[qos]].concat();
                wire.expect(&packet(SUBACK, &rest));
            }
        }
    });
}

// [MQTT-3.9.3-1] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-2] [MQTT-3.9.3-2 of 3.1.1]
#[test]
fn mqtt_3_8_4_5_several_filters_are_several_subscriptions_with_one_answer() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "several");
            let deep = too_deep();
            let wanted = [("b", 2), (&deep[..], 1), ("a", 0), ("c", 1), ("a", 1)];
            wire.send(&subscribe(version, 9, &wanted));
            let failed = match version {
                V3 => 0x80,
                V5 => 0x8F,
            };
            wire.expect_answer(SUBACK, 9, &[2, failed, 0, 1, 1]);
            // The last subscription to a filter counts, as with several SUBSCRIBEs.
            let mut publisher = site.connected(version, "publisher");
            for (topic, qos) in [("a", 1), ("b", 2), ("c", 1)] {
                publisher.publishes(&Publish::of_qos(2, 9, topic, "x"));
                assert_eq!(wire.message(topic, "x").qos, qos);
            }
            wire.quiet();
        }
    });
}

#[test]
fn mqtt_3_8_4_3_the_same_filter_replaces_the_subscription() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "replacing");
            let mut publisher = site.connected(version, "publisher");
            for qos in [0, 2, 1, 1, 0] {
                wire.subscribe("t/+", qos);
                publisher.publishes(&Publish::of_qos(2, 9, "t/x", "x"));
                assert_eq!(wire.message("t/x", "x").qos, qos);
                wire.quiet();
            }
            // One UNSUBSCRIBE ends it.
            wire.send(&unsubscribe(version, 9, &["t/+"]));
            assert_eq!(wire.packet().first, UNSUBACK);
            publisher.publishes(&Publish::of_qos(2, 9, "t/x", "x"));
            wire.quiet();
        }
    });
}

/// Retained messages come again with each SUBSCRIBE, and every message that is published around the
/// replacements comes once. [MQTT-3.8.4-3 of 3.1.1] [MQTT-3.3.1-6 of 3.1.1]
#[test]
fn mqtt_3_8_4_4_replacing_sends_the_retained_again_and_loses_nothing() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut publisher = site.connected(version, "publisher");
            publisher.publishes(&Publish {
                retain: true,
                ..Publish::of_qos(1, 9, "kept", "old")
            });
            let mut wire = site.connected(version, "replacing");
            wire.subscribe("#", 1);
            assert!(wire.message("kept", "old").retain);
            for number in 0..20_u8 {
                // The subscriber sends its SUBSCRIBE before it reads this message.
                publisher.publishes(&Publish::of_qos(1, 9, "live", [number]));
                wire.send(&subscribe(version, 9, &[("#", 1)]));
                wire.message("live", [number]);
                wire.expect_answer(SUBACK, 9, &[1]);
                let kept = wire.message("kept", "old");
                assert!(kept.retain && !kept.dup);
            }
            wire.quiet();
            publisher.publishes(&Publish::retained("kept", ""));
        }
    });
}

/// Even if nothing could be delivered yet: messages for an absent client.
#[test]
fn mqtt_3_8_4_4_what_waits_survives_a_replaced_subscription() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let (mut wire, _) = site.connect(&Connect::lasting(version, "absent"));
            wire.subscribe("t", 1);
            wire.cut();
            let mut publisher = site.connected(version, "publisher");
            for number in 0..100_u8 {
                publisher.publishes(&Publish::of_qos(1, 9, "t", [number]));
            }
            let (mut wire, _) = site.connect(&Connect::lasting(version, "absent"));
            wire.send(&subscribe(version, 9, &[("t", 1)]));
            let mut numbers = Vec::new();
            let mut answered = 0;
            while numbers.len() < 100 || answered == 0 {
                let packet = wire.packet();
                if packet.first == SUBACK {
                    answered += 1;
                    continue;
                }
                let publish = Publish::read(version, &packet);
                wire.send(&ack(PUBACK, publish.id));
                numbers.extend(publish.payload);
            }
            assert_eq!(numbers, (0..100).collect::<Vec<u8>>());
            wire.quiet();
        }
    });
}

#[test]
fn mqtt_3_8_4_8_the_lower_qos_counts() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut publisher = site.connected(version, "publisher");
            for granted in 0..3 {
                let mut wire = site.subscriber(version, "t", granted);
                for published in 0..3 {
                    publisher.publishes(&Publish::of_qos(published, 9, "t", "x"));
                    assert_eq!(wire.message("t", "x").qos, published.min(granted));
                }
                // Retained messages too.
                publisher.publishes(&Publish {
                    retain: true,
                    ..Publish::of_qos(2, 9, "kept", "x")
                });
                wire.subscribe("kept", granted);
                assert_eq!(wire.message("kept", "x").qos, granted);
            }
        }
    });
}

/// A client that accepts little gets answers without reason strings, another one gets them with.
/// [MQTT-3.11.2-1] [MQTT-3.1.2-24]
#[test]
fn mqtt_3_9_2_1_no_words_where_they_would_be_too_large() {
    on_each_transport(|site| {
        let roomy = site.connected(V5, "roomy");
        let small = crate::ending::with_least_packet_size(site, "small");
        for (mut wire, words) in [(roomy, 1), (small, 0)] {
            wire.send(&subscribe(V5, 9, &[(&too_deep(), 0)]));
            let suback = wire.expect_answer(SUBACK, 9, &[0x8F]);
            // The identifier belongs to a message.
            wire.send(&Publish::of_qos(2, 9, "t", "x").bytes(V5));
            wire.expect_answer(PUBREC, 9, &[0x10]);
            wire.send(&unsubscribe(V5, 9, &["t"]));
            let unsuback = wire.expect_answer(UNSUBACK, 9, &[0x91]);
            for answer in [suback, unsuback] {
                assert_eq!(answer.property(REASON_STRING).len(), words, "{answer:02x?}");
                assert!(answer.property(USER_PROPERTY).is_empty());
            }
        }
    });
}

// [MQTT-3.10.4-2]
#[test]
fn mqtt_3_10_4_1_exactly_the_filter_is_deleted() {
    on_each_transport(|site| {
        let mut wire = site.connected(V5, "exact");
        let mut publisher = site.connected(V5, "publisher");
        wire.subscribe("a/#", 0);
        for other in ["a/b", "A/#", "a/+", "a", "#", "/a/#", "a//#", "+/#"] {
            wire.send(&unsubscribe(V5, 9, &[other]));
            wire.expect_answer(UNSUBACK, 9, &[0x11]);
            publisher.publishes(&Publish::new("a/b", other));
            wire.message("a/b", other);
        }
        wire.send(&unsubscribe(V5, 10, &["a/#"]));
        wire.expect_answer(UNSUBACK, 10, &[0]);
        publisher.publishes(&Publish::of_qos(1, 9, "a/b", "x"));
        wire.quiet();
        wire.send(&unsubscribe(V5, 11, &["a/#"]));
        wire.expect_answer(UNSUBACK, 11, &[0x11]);
    });
}

/// Nothing new is added, not even for an absent client that comes back.
#[test]
fn mqtt_3_10_4_2_after_unsubscribe_nothing_new_is_added() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let (mut wire, _) = site.connect(&Connect::lasting(version, "leaving"));
            wire.subscribe("t", 2);
            wire.send(&unsubscribe(version, 9, &["t"]));
            assert_eq!(wire.packet().first, UNSUBACK);
            let mut publisher = site.connected(version, "publisher");
            for qos in 0..3 {
                publisher.publishes(&Publish::of_qos(qos, 9, "t", "x"));
            }
            wire.quiet();
            wire.cut();
            publisher.publishes(&Publish::of_qos(2, 9, "t", "x"));
            let (mut wire, connack) = site.connect(&Connect::lasting(version, "leaving"));
            assert_eq!(connack.id, 1);
            wire.quiet();
        }
    });
}

#[test]
fn mqtt_3_10_4_3_deliveries_that_were_begun_are_completed() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let (mut wire, _) = site.connect(&Connect::lasting(version, "leaving"));
            wire.subscribe("t", 2);
            let mut publisher = site.connected(version, "publisher");
            publisher.publishes(&Publish::of_qos(1, 9, "t", "one"));
            publisher.publishes(&Publish::of_qos(2, 9, "t", "two"));
            let one = wire.publish();
            let two = wire.publish();
            wire.send(&unsubscribe(version, 9, &["t"]));
            assert_eq!(wire.packet().first, UNSUBACK);
            wire.send(&ack(PUBREC, two.id));
            wire.expect(&ack(PUBREL, two.id));
            wire.cut();
            let (mut wire, _) = site.connect(&Connect::lasting(version, "leaving"));
            let again = Publish {
                dup: true,
                ..one.clone()
            };
            assert_eq!(wire.publish(), again);
            wire.expect(&ack(PUBREL, two.id));
            wire.send(&ack(PUBACK, one.id));
            wire.send(&ack(PUBCOMP, two.id));
            wire.quiet();
        }
    });
}

// [MQTT-2.2.1-6] [MQTT-3.10.4-5] [MQTT-3.11.3-2] [MQTT-3.10.4-5 of 3.1.1]
#[test]
fn mqtt_3_10_4_4_unsubscribe_is_answered_with_its_identifier() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "answers");
            for id in [1, 0x1234, 0xFFFF] {
                // There is no such subscription.
                wire.send(&unsubscribe(version, id, &["none"]));
                let [high, low] = id.to_be_bytes();
                match version {
                    V3 => wire.expect(&[0xB0, 2, high, low]),
                    V5 => wire.expect(&[0xB0, 4, high, low, 0, 0x11]),
                }
            }
        }
    });
}

// [MQTT-3.11.3-1] [MQTT-3.11.3-2]
#[test]
fn mqtt_3_10_4_6_several_filters_are_several_unsubscribes_with_one_answer() {
    on_each_transport(|site| {
        let mut wire = site.connected(V5, "several");
        wire.send(&subscribe(
            V5,
            1,
            &[("a", 0), ("b", 0), ("c", RETAIN_HANDLING_2)],
        ));
        wire.expect_answer(SUBACK, 1, &[0, 0, 0]);
        wire.send(&unsubscribe(V5, 9, &["x", "c", "y", "a", "a"]));
        wire.expect_answer(UNSUBACK, 9, &[0x11, 0, 0x11, 0, 0x11]);
        let mut publisher = site.connected(V5, "publisher");
        for topic in ["a", "c", "b"] {
            publisher.publishes(&Publish::new(topic, topic));
        }
        wire.message("b", "b");
        wire.quiet();
    });
}
