//! Section 3.3.2.3: the properties of PUBLISH.

use crate::clock::seconds;
use crate::raw::{
    CONTENT_TYPE, CORRELATION_DATA, Connect, MESSAGE_EXPIRY, PAYLOAD_FORMAT, Publish,
    RESPONSE_TOPIC, TOPIC_ALIAS, TOPIC_ALIAS_MAXIMUM, USER_PROPERTY, V3, V5, byte, four,
    subscription_id, text, two, user,
};
use crate::wire::{Site, on_each_transport};

/// Checks that a message with these properties ends the connection for this reason.
#[track_caller]
fn refuses(site: &Site, properties: &[Vec<u8>], reason: u8) {
    let mut wire = site.connected(V5, "refused");
    wire.send(&Publish::new("t", "x").with(properties).bytes(V5));
    wire.expect_disconnect(reason);
}

/// `[MQTT-3.3.2-15]` `[MQTT-3.3.2-16]` `[MQTT-3.3.2-17]` `[MQTT-3.3.2-18]` `[MQTT-3.3.2-20]`: to
/// each subscriber, live, from a queue and retained. A 3.1.1 subscriber gets only the payload.
#[test]
fn mqtt_3_3_2_4_properties_are_passed_on_unaltered() {
    on_each_transport(|site| {
        let properties = [
            byte(PAYLOAD_FORMAT, 1),
            text(CONTENT_TYPE, "text/plain; charset=utf-8"),
            text(RESPONSE_TOPIC, "answers/to/\u{FEFF}me"),
            text(CORRELATION_DATA, b"\0\xFF\x80 any bytes"),
            user("b", "2"),
            user("a", ""),
            user("", "1"),
            user("b", "2"),
            user("b", "1"),
        ];
        let away = Connect::lasting(V5, "away");
        let (mut wire, _) = site.connect(&away);
        wire.subscribe("kept", 1);
        wire.leave();
        let mut live = [
            site.subscriber(V5, "kept", 0),
            site.subscriber(V5, "+", 1),
            site.subscriber(V5, "#", 2),
        ];
        let mut old = site.subscriber(V3, "kept", 2);
        let publish = Publish {
            retain: true,
            ..Publish::of_qos(2, 1, "kept", "some text").with(&properties)
        };
        site.connected(V5, "publisher").publishes(&publish);
        old.message("kept", "some text");
        let mut messages: Vec<Publish> = live
            .iter_mut()
            .map(|wire| wire.message("kept", "some text"))
            .collect();
        messages.push(site.connect(&away).0.message("kept", "some text"));
        let mut later = site.connected(V5, "later");
        later.subscribe("kept", 0);
        messages.push(later.message("kept", "some text"));
        for message in messages {
            for id in [
                PAYLOAD_FORMAT,
                CONTENT_TYPE,
                RESPONSE_TOPIC,
                CORRELATION_DATA,
                USER_PROPERTY,
            ] {
                assert_eq!(message.property(id), publish.property(id));
            }
            assert_eq!(message.properties.len(), properties.len(), "{message:02x?}");
        }
    });
}

/// One message for a queue and one retained message, each once with a second to live and once with
/// an hour.
#[test]
fn mqtt_3_3_2_5_and_6_a_message_ages_and_dies() {
    on_each_transport(|site| {
        let away = Connect::lasting(V5, "away");
        let (mut wire, _) = site.connect(&away);
        wire.subscribe("queue/#", 1);
        wire.leave();
        let mut publisher = site.connected(V5, "publisher");
        let mut now = site.subscriber(V5, "#", 0);
        for (name, life) in [("short", 1), ("long", 3600)] {
            for (place, retain) in [("queue", false), ("kept", true)] {
                let topic = format!("{place}/{name}");
                publisher.publishes(&Publish {
                    retain,
                    ..Publish::of_qos(1, 1, &topic, "x").with(&[four(MESSAGE_EXPIRY, life)])
                });
                assert_eq!(left(&now.message(&topic, "x")), life, "no time has passed");
            }
        }
        seconds(site, 2);
        let (mut wire, _) = site.connect(&away);
        let aged = left(&wire.message("queue/long", "x"));
        assert!((3590..3600).contains(&aged), "{aged}");
        wire.quiet();
        let mut later = site.connected(V5, "later");
        later.subscribe("kept/#", 0);
        let aged = left(&later.message("kept/long", "x"));
        assert!((3590..3600).contains(&aged), "{aged}");
        later.quiet();
    });
}

/// The Message Expiry Interval that is left.
fn left(publish: &Publish) -> u32 {
    match &publish.property(MESSAGE_EXPIRY)[..] {
        [property] => u32::from_be_bytes(property[1..].try_into().unwrap()),
        other => panic!("one interval, not {other:?}"),
    }
}

/// `[MQTT-3.3.2-12]` `[MQTT-3.3.2-7]`: all aliases that CONNACK allows, each for its topic, set
/// anew, with each `QoS`; and none of them at the next connection of the same session.
#[test]
fn mqtt_3_3_2_12_every_alias_up_to_the_servers_maximum_is_taken() {
    on_each_transport(|site| {
        let mut reader = site.subscriber(V5, "t/#", 0);
        let connect = Connect::lasting(V5, "aliases");
        let (mut wire, answer) = site.connect(&connect);
        let most = most(&answer.property(TOPIC_ALIAS_MAXIMUM));
        assert!(most > 0, "this server takes aliases");
        for round in ["first", "second"] {
            for alias in 1..=most {
                let topic = format!("t/{round}/{alias}");
                let named = Publish::new(&topic, "named").with(&[two(TOPIC_ALIAS, alias)]);
                wire.publishes(&named);
                let message = reader.message(&topic, "named");
                assert!(message.property(TOPIC_ALIAS).is_empty(), "the client's own");
            }
            for alias in (1..=most).rev() {
                for qos in 0..=2 {
                    let short = Publish::of_qos(qos, 1, "", "short");
                    wire.publishes(&short.with(&[two(TOPIC_ALIAS, alias)]));
                    reader.message(&format!("t/{round}/{alias}"), "short");
                }
            }
        }
        wire.leave();
        let (mut wire, answer) = site.connect(&connect);
        assert_eq!(answer.id, 1);
        let short = Publish::new("", "old").with(&[two(TOPIC_ALIAS, 1)]);
        wire.send(&short.bytes(V5));
        wire.expect_disconnect(0x82);
        reader.quiet();
    });
}

fn most(property: &[Vec<u8>]) -> u16 {
    match property {
        [property] => u16::from_be_bytes([property[1], property[2]]),
        _ => 0,
    }
}

/// `[MQTT-3.3.2-9]`: the server refuses an alias above the maximum for the same reason.
#[test]
fn mqtt_3_3_2_8_an_alias_of_0_ends_the_connection() {
    on_each_transport(|site| {
        let (_, answer) = site.connect(&Connect::new(V5, "maximum"));
        let most = most(&answer.property(TOPIC_ALIAS_MAXIMUM));
        for alias in [0, most + 1, 0xFFFF] {
            refuses(site, &[two(TOPIC_ALIAS, alias)], 0x94);
        }
        // An alias that stands for nothing yet.
        let mut wire = site.connected(V5, "nothing");
        let short = Publish::new("", "x").with(&[two(TOPIC_ALIAS, 1)]);
        wire.send(&short.bytes(V5));
        wire.expect_disconnect(0x82);
    });
}

/// `[MQTT-3.3.2-14]`
#[test]
fn mqtt_3_3_2_13_the_response_topic_is_a_topic() {
    on_each_transport(|site| {
        for bad in [
            &b"\xC3\x28"[..],
            b"a\0",
            b"\xED\xA0\x80",
            b"#",
            b"a/+/b",
            b"a/#",
        ] {
            refuses(site, &[text(RESPONSE_TOPIC, bad)], 0x81);
        }
    });
}

#[test]
fn mqtt_3_3_2_19_the_content_type_is_utf_8() {
    on_each_transport(|site| {
        for bad in [&b"\xC3\x28"[..], b"a\0", b"\xED\xA0\x80"] {
            refuses(site, &[text(CONTENT_TYPE, bad)], 0x81);
        }
    });
}

/// Not even an identifier that the client has.
#[test]
fn mqtt_3_3_4_6_a_subscription_identifier_from_a_client_ends_the_connection() {
    on_each_transport(|site| {
        refuses(site, &[subscription_id(1)], 0x82);
        let mut wire = site.connected(V5, "subscriber");
        wire.subscribe_with(&[subscription_id(7)], "t", 0);
        let publish = Publish::new("t", "x").with(&[subscription_id(7)]);
        wire.send(&publish.bytes(V5));
        wire.expect_disconnect(0x82);
    });
}

/// A property that may appear once appears once, and one of another packet does not appear here.
#[test]
fn mqtt_4_13_1_1_properties_that_may_not_stand_end_the_connection() {
    on_each_transport(|site| {
        for (properties, reason) in [
            (vec![byte(PAYLOAD_FORMAT, 2)], 0x82),
            (vec![byte(PAYLOAD_FORMAT, 0), byte(PAYLOAD_FORMAT, 0)], 0x82),
            (vec![four(MESSAGE_EXPIRY, 1), four(MESSAGE_EXPIRY, 1)], 0x82),
            (vec![text(CONTENT_TYPE, "a"), text(CONTENT_TYPE, "a")], 0x82),
            (
                vec![text(RESPONSE_TOPIC, "a"), text(RESPONSE_TOPIC, "a")],
                0x82,
            ),
            (vec![two(TOPIC_ALIAS, 1), two(TOPIC_ALIAS, 1)], 0x82),
            (vec![text(crate::raw::REASON_STRING, "why")], 0x81),
            (vec![byte(0x7F, 1)], 0x81),
        ] {
            refuses(site, &properties, reason);
        }
    });
}
