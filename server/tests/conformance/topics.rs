//! Section 4.7: topic names and topic filters.

use crate::raw::{
    PUBACK, Publish, SUBSCRIBE, UNSUBSCRIBE, V3, V5, VERSIONS, packet, properties, string,
    subscribe,
};
use crate::wire::on_each_transport;

/// [MQTT-3.3.2-2] [MQTT-4.13.1-1]
#[test]
fn mqtt_4_7_0_1_no_wildcards_in_a_topic_name() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for topic in ["#", "+", "a/+", "a/#", "a/+/b", "a+b", "a#"] {
                let mut wire = site.connected(version, "wild");
                wire.send(&Publish::new(topic, "x").bytes(version));
                wire.expect_disconnect(0x81);
            }
        }
    });
}

/// Invalid filters end the connection. Valid ones that look like them do not. [MQTT-4.7.1-2]
#[test]
fn mqtt_4_7_1_1_wildcards_are_whole_levels_and_the_last_one() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for bad in [
                "a#", "a/b#", "#/a", "a/#/b", "##", "a+", "+a", "a/+b/c", "a/b+", "++", "+#",
            ] {
                let mut wire = site.connected(version, "wild");
                wire.send(&subscribe(version, 9, &[(bad, 0)]));
                wire.expect_disconnect(0x81);
                let mut wire = site.connected(version, "wild");
                wire.send(&crate::raw::unsubscribe(version, 9, &[bad]));
                wire.expect_disconnect(0x81);
            }
            for (filter, yes, no) in [
                ("#", &["a", "a/b", "/", "/a"][..], &[][..]),
                ("+", &["a"], &["a/b", "/a", "a/"]),
                ("+/+", &["a/b", "/a", "a/", "/"], &["a", "a/b/c"]),
                ("/+", &["/a", "/"], &["a", "a/b"]),
                (
                    "a/#",
                    &["a", "a/", "a/b", "a/b/c"],
                    &["b", "ab", "/a", "A/b"],
                ),
                ("a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/c/d", "a/b/b/c"]),
                ("+/b/#", &["a/b", "/b/c", "a/b/c/d"], &["b", "a/c"]),
            ] {
                let mut wire = site.subscriber(version, filter, 0);
                let mut publisher = site.connected(version, "publisher");
                for topic in yes {
                    publisher.publishes(&Publish::new(topic, filter));
                    wire.message(topic, filter);
                }
                for topic in no {
                    publisher.publishes(&Publish::new(topic, filter));
                    wire.quiet();
                }
            }
        }
    });
}

/// Version 5 refuses it, 3.1.1 drops it. Nobody gets it, and the server does not retain it. One of
/// the broker's own tests shows that wildcards would not match it, because no client can publish
/// there. [MQTT-3.3.5-2 of 3.1.1]
#[test]
fn topics_that_begin_with_a_dollar_are_the_servers_own() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut publisher = site.connected(version, "publisher");
            let mut wires = ["#", "+/x", "+/#"].map(|it| site.subscriber(version, it, 0));
            for qos in [1, 2] {
                let publish = Publish {
                    retain: true,
                    ..Publish::of_qos(qos, 9, "$own/x", "x")
                };
                publisher.send(&publish.bytes(version));
                let refused = match version {
                    V3 => 0,
                    V5 => 0x90,
                };
                let first = if qos == 1 { PUBACK } else { crate::raw::PUBREC };
                publisher.expect_answer(first, 9, &[refused]);
            }
            publisher.publishes(&Publish::new("$own/x", "x"));
            wires.iter_mut().for_each(crate::wire::Wire::quiet);
            let mut late = site.subscriber(version, "+/+", 0);
            late.quiet();
        }
    });
}

/// An empty filter is malformed. An empty topic name is a protocol error if no alias stands for it
/// (section 3.3.2.1); 3.1.1 has no aliases.
#[test]
fn mqtt_4_7_3_1_at_least_one_character() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "empty");
            wire.send(&subscribe(version, 9, &[("", 0)]));
            wire.expect_disconnect(0x81);
            let mut wire = site.connected(version, "empty");
            wire.send(&crate::raw::unsubscribe(version, 9, &[""]));
            wire.expect_disconnect(0x81);
            let mut wire = site.connected(version, "empty");
            wire.send(&Publish::new("", "x").bytes(version));
            wire.expect_disconnect(0x82);
            // One is enough.
            let mut wire = site.subscriber(version, "/", 0);
            wire.send(&Publish::new("/", "x").bytes(version));
            wire.message("/", "x");
        }
    });
}

// [MQTT-1.5.4-2]
#[test]
fn mqtt_4_7_3_2_no_null_character() {
    on_each_transport(|site| {
        for version in VERSIONS {
            for bytes in [
                Publish::new("a\0", "x").bytes(version),
                packet(
                    SUBSCRIBE,
                    &[&[0, 9][..], &properties(version, &[]), &string("\0"), &[0]].concat(),
                ),
                packet(
                    UNSUBSCRIBE,
                    &[&[0, 9][..], &properties(version, &[]), &string("a/\0")].concat(),
                ),
            ] {
                let mut wire = site.connected(version, "null");
                wire.send(&bytes);
                wire.expect_disconnect(0x81);
            }
        }
    });
}

/// Upper case, empty levels, spaces, escapes, and two ways to write the same letter.
#[test]
fn mqtt_4_7_3_4_topics_are_compared_as_they_are() {
    on_each_transport(|site| {
        let topics = [
            "a/b",
            "A/b",
            "/a/b",
            "a/b/",
            "a//b",
            "a/./b",
            "a/x/../b",
            "a/%62",
            " a/b",
            "a/b ",
            "\u{e9}",
            "e\u{301}",
            "\u{c9}",
            "\u{FEFF}a",
            "\u{212B}",
            "\u{c5}",
            "A\u{30a}",
            "ﬁ",
            "fi",
            "\u{1F600}",
            "\u{FFFF}",
            "\u{1}",
        ];
        for version in VERSIONS {
            let mut publisher = site.connected(version, "publisher");
            for filter in topics {
                let mut wire = site.subscriber(version, filter, 0);
                for topic in topics {
                    publisher.send(&Publish::new(topic, "x").bytes(version));
                }
                publisher.quiet();
                let received = wire.publish();
                assert_eq!(received.topic.as_bytes(), filter.as_bytes());
                wire.quiet();
            }
        }
    });
}
