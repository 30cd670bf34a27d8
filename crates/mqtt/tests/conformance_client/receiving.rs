//! Messages from the server: the receiver's half of the exchanges.

use bytes::Bytes;
use mqtt::{ClientOptions, QoS, ReasonCode};

use crate::{ACCEPTED, Bench, RESUMED, options};

/// A message of each `QoS`, and its answer in the shortest form: success without properties.
/// `[MQTT-2.2.1-5]` `[MQTT-2.1.3-1]` `[MQTT-3.4.2-1]` `[MQTT-3.4.2-2]` `[MQTT-3.4.2-3]`
/// `[MQTT-3.5.2-1]` `[MQTT-3.5.2-2]` `[MQTT-3.5.2-3]` `[MQTT-3.7.2-1]` `[MQTT-3.7.2-2]`
/// `[MQTT-3.7.2-3]` `[MQTT-4.3.2-4]` `[MQTT-4.3.3-8]` `[MQTT-4.3.3-11]`
#[test]
fn mqtt_3_3_4_1_each_qos_has_its_answer() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    bench.feed(b"\x30\x05\x00\x01t\x00m");
    assert_eq!(bench.sent(), b"");
    bench.feed(b"\x32\x07\x00\x01t\xAB\xCD\x00m");
    assert_eq!(bench.sent(), b"\x40\x02\xAB\xCD");
    bench.feed(b"\x34\x07\x00\x01t\xAB\xCE\x00m");
    assert_eq!(bench.sent(), b"\x50\x02\xAB\xCE");
    bench.feed(b"\x62\x02\xAB\xCE");
    assert_eq!(bench.sent(), b"\x70\x02\xAB\xCE");
    assert_eq!(bench.messages().len(), 3);
}

/// The client answers a message whether or not it has subscribed to anything, and also when the
/// application never asks for it.
#[test]
fn mqtt_4_5_0_2_every_message_is_acknowledged() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    bench.feed(b"\x32\x0A\x00\x04none\x00\x01\x00m");
    assert_eq!(bench.sent(), b"\x40\x02\x00\x01");
}

/// After PUBACK the server may use the identifier again, whatever DUP says.
#[test]
fn mqtt_4_3_2_5_after_puback_the_same_identifier_is_a_new_message() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    for wire in [
        b"\x32\x07\x00\x01t\x00\x01\x00a",
        b"\x3A\x07\x00\x01t\x00\x01\x00b",
    ] {
        bench.feed(wire);
        assert_eq!(bench.sent(), b"\x40\x02\x00\x01");
        assert_eq!(bench.messages().len(), 1);
    }
}

/// Until PUBREL the client answers every PUBLISH with the identifier and hands none of them on, on
/// this connection and on the next one.
#[test]
fn mqtt_4_3_3_10_qos_2_is_handed_on_once() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    bench.feed(b"\x34\x07\x00\x01t\x00\x01\x00m");
    assert_eq!(bench.messages().len(), 1);
    bench.feed(b"\x3C\x07\x00\x01t\x00\x01\x00m");
    assert_eq!(bench.sent(), b"\x50\x02\x00\x01\x50\x02\x00\x01");
    assert_eq!(bench.messages(), []);
    bench.reconnect(RESUMED);
    bench.sent();
    bench.feed(b"\x3C\x07\x00\x01t\x00\x01\x00m");
    assert_eq!(bench.sent(), b"\x50\x02\x00\x01");
    assert_eq!(bench.messages(), []);
}

#[test]
fn mqtt_4_3_3_12_after_pubcomp_the_same_identifier_is_a_new_message() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    for flags in [
        b"\x34\x07\x00\x01t\x00\x01\x00m".as_slice(),
        b"\x3C\x07\x00\x01t\x00\x01\x00m",
    ] {
        bench.feed(flags);
        assert_eq!(bench.messages().len(), 1);
        bench.feed(b"\x62\x02\x00\x01");
        assert_eq!(bench.sent(), b"\x50\x02\x00\x01\x70\x02\x00\x01");
    }
}

/// PUBREL for an unknown identifier: the client still answers with PUBCOMP, with a code of its own.
#[test]
fn mqtt_3_7_2_1_pubcomp_says_that_the_identifier_is_unknown() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    bench.feed(b"\x62\x02\x00\x05");
    assert_eq!(bench.sent(), b"\x70\x03\x00\x05\x92");
}

/// The message's expiry does not end its exchange.
#[test]
fn mqtt_4_3_3_13_the_exchange_goes_on_when_the_message_has_expired() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    bench.feed(b"\x34\x0C\x00\x01t\x00\x01\x05\x02\x00\x00\x00\x01m");
    assert_eq!(bench.sent(), b"\x50\x02\x00\x01");
    bench.wait(30);
    bench.feed(b"\x62\x02\x00\x01");
    assert_eq!(bench.sent(), b"\x70\x02\x00\x01");
}

/// `[MQTT-4.6.0-3]` `[MQTT-4.6.0-4]`: all kinds of answers come in the order of the packets that
/// they answer.
#[test]
fn mqtt_4_6_0_2_acknowledgements_are_in_order() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    for payload in ["1", "2"] {
        bench.publish(QoS::ExactlyOnce, payload);
    }
    bench.sent();
    bench.feed(
        b"\x32\x07\x00\x01t\x00\x09\x00a\x32\x07\x00\x01t\x00\x03\x00b\
          \x34\x07\x00\x01t\x00\x08\x00c\x34\x07\x00\x01t\x00\x02\x00d\
          \x32\x07\x00\x01t\x00\x01\x00e\
          \x50\x02\x00\x02\x50\x02\x00\x01",
    );
    assert_eq!(
        bench.sent(),
        b"\x40\x02\x00\x09\x40\x02\x00\x03\x50\x02\x00\x08\x50\x02\x00\x02\x40\x02\x00\x01\
          \x62\x02\x00\x02\x62\x02\x00\x01"
    );
}

/// Our Topic Alias Maximum is 64: the client accepts 1 and 64, but not 65 and 0. `[MQTT-3.1.2-26]`
/// `[MQTT-3.3.2-8]` `[MQTT-3.3.2-11]`
#[test]
fn mqtt_3_3_2_10_every_alias_up_to_our_maximum_is_taken() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    bench.feed(b"\x30\x08\x00\x01a\x03\x23\x00\x01m\x30\x08\x00\x01b\x03\x23\x00\x40m");
    bench.feed(b"\x30\x07\x00\x00\x03\x23\x00\x40m\x30\x07\x00\x00\x03\x23\x00\x01m");
    let topics: Vec<_> = bench
        .messages()
        .into_iter()
        .map(|it| it.topic.unwrap())
        .collect();
    assert_eq!(
        topics
            .iter()
            .map(mqtt::TopicName::as_str)
            .collect::<Vec<_>>(),
        ["a", "b", "b", "a"]
    );

    for alias in [
        b"\x30\x08\x00\x01a\x03\x23\x00\x41m",
        b"\x30\x08\x00\x01a\x03\x23\x00\x00m",
    ] {
        let mut bench = Bench::connected(options(), ACCEPTED);
        let (reason, last_words) = bench.refuse(alias);
        assert_eq!(reason, ReasonCode::TopicAliasInvalid);
        assert_eq!(last_words, b"\xE0\x01\x94");
    }
}

/// A client that allows no aliases accepts none.
#[test]
fn mqtt_3_1_2_27_no_alias_where_none_is_allowed() {
    let mut bench = Bench::connected(
        ClientOptions {
            topic_alias_maximum: 0,
            ..options()
        },
        ACCEPTED,
    );
    let (reason, _) = bench.refuse(b"\x30\x08\x00\x01a\x03\x23\x00\x01m");
    assert_eq!(reason, ReasonCode::TopicAliasInvalid);
}

/// Both sides forget the aliases of the last connection.
#[test]
fn mqtt_3_3_2_7_aliases_end_with_the_connection() {
    let alias_maximum = b"\x20\x06\x00\x00\x03\x22\x00\x02";
    let mut bench = Bench::connected(options(), alias_maximum);
    bench.feed(b"\x30\x08\x00\x01a\x03\x23\x00\x01m");
    let publish = mqtt::Publish::new(crate::topic("top/a"), "");
    bench.client.publish(bench.now, publish.clone()).unwrap();
    let with_name = b"\x30\x0B\x00\x05top/a\x03\x23\x00\x01";
    assert_eq!(bench.sent(), with_name);

    bench.reconnect(b"\x20\x06\x01\x00\x03\x22\x00\x02");
    bench.client.publish(bench.now, publish).unwrap();
    assert_eq!(bench.sent(), with_name);
    let (reason, _) = bench.refuse(b"\x30\x07\x00\x00\x03\x23\x00\x01m");
    assert_eq!(reason, ReasonCode::ProtocolError);
}

/// `[MQTT-3.1.2-24]` `[MQTT-4.13.2-1]`: what the server must not send ends the connection, with the
/// code that the standard has for it.
#[test]
fn mqtt_3_3_4_9_more_than_our_limits_ends_the_connection() {
    let mut bench = Bench::connected(
        ClientOptions {
            receive_maximum: 1,
            maximum_packet_size: 16,
            ..options()
        },
        ACCEPTED,
    );
    bench.feed(b"\x34\x07\x00\x01t\x00\x01\x00m");
    let (reason, last_words) = bench.refuse(b"\x34\x07\x00\x01t\x00\x02\x00m");
    assert_eq!(reason, ReasonCode::ReceiveMaximumExceeded);
    assert!(last_words.ends_with(b"\xE0\x01\x93"), "{last_words:x?}");

    let mut bench = Bench::connected(
        ClientOptions {
            maximum_packet_size: 16,
            ..options()
        },
        ACCEPTED,
    );
    bench.feed(b"\x30\x0E\x00\x01t\x00exactly 10");
    assert_eq!(bench.messages().len(), 1);
    let (reason, last_words) = bench.refuse(b"\x30\x0F\x00\x01t\x00eleven byte");
    assert_eq!(reason, ReasonCode::PacketTooLarge);
    assert_eq!(last_words, b"\xE0\x01\x95");
}

/// Everything that can be wrong with a PUBLISH from a server. `[MQTT-2.2.1-2]` `[MQTT-3.3.1-2]`
/// `[MQTT-3.3.1-4]` `[MQTT-3.3.2-1]` `[MQTT-3.3.2-2]` `[MQTT-3.3.2-13]` `[MQTT-3.3.2-14]`
/// `[MQTT-3.3.2-19]` `[MQTT-4.7.0-1]` `[MQTT-4.7.3-1]` `[MQTT-4.7.3-2]`
#[test]
fn mqtt_3_3_1_4_a_publish_that_is_none_ends_the_connection() {
    for (wire, expected) in [
        // QoS 3.
        (b"\x36\x07\x00\x01t\x00\x01\x00m".as_slice(), 0x81),
        // DUP with QoS 0.
        (b"\x38\x05\x00\x01t\x00m", 0x81),
        // Packet identifier 0.
        (b"\x32\x07\x00\x01t\x00\x00\x00m", 0x82),
        // Neither a topic name nor an alias.
        (b"\x30\x04\x00\x00\x00m", 0x82),
        // Wildcards, U+0000 and ill-formed UTF-8 in the topic name.
        (b"\x30\x05\x00\x01#\x00m", 0x81),
        (b"\x30\x07\x00\x03a/+\x00m", 0x81),
        (b"\x30\x07\x00\x03a\x00b\x00m", 0x81),
        (b"\x30\x06\x00\x02\xC3\x28\x00m", 0x81),
        // A wildcard in the response topic; ill-formed UTF-8 there and in the content type.
        (b"\x30\x09\x00\x01t\x04\x08\x00\x01+m", 0x81),
        (b"\x30\x09\x00\x01t\x04\x08\x00\x01\xFFm", 0x81),
        (b"\x30\x09\x00\x01t\x04\x03\x00\x01\xFFm", 0x81),
    ] {
        let mut bench = Bench::connected(options(), ACCEPTED);
        let (reason, last_words) = bench.refuse(wire);
        assert_eq!(reason.as_u8(), expected, "{wire:x?}");
        assert_eq!(last_words, [0xE0, 1, expected], "{wire:x?}");
        assert_eq!(bench.messages(), [], "{wire:x?}");
    }
}

/// Properties reach the application as they came, and user properties in their order.
/// `[MQTT-3.3.2-18]` `[MQTT-1.5.4-3]`
#[test]
fn mqtt_3_3_2_17_the_application_sees_every_property() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    bench.feed(
        b"\x30\x2D\x00\x01t\x29\x01\x01\x02\x00\x00\x00\x07\x08\x00\x01r\x09\x00\x02\x00\xFF\
          \x26\x00\x01b\x00\x011\x26\x00\x01a\x00\x03\xEF\xBB\xBF\x0B\x07\x0B\x80\x01\
          \x03\x00\x01c",
    );
    let [message] = &bench.messages()[..] else {
        panic!("one message, and it has no payload");
    };
    let properties = &message.properties;
    assert_eq!(properties.payload_format_indicator, Some(true));
    assert_eq!(properties.message_expiry_interval, Some(7));
    assert_eq!(properties.response_topic.as_deref(), Some("r"));
    assert_eq!(
        properties.correlation_data,
        Some(Bytes::from_static(b"\x00\xFF"))
    );
    let user: Vec<_> = properties
        .user_properties
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(user, [("b", "1"), ("a", "\u{FEFF}")]);
    let identifiers: Vec<_> = properties
        .subscription_identifiers
        .iter()
        .map(|it| it.get())
        .collect();
    assert_eq!(identifiers, [7, 128]);
    assert_eq!(properties.content_type.as_deref(), Some("c"));
}
