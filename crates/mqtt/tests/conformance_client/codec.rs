//! Strings, numbers and properties: the rules that hold in every packet.

use mqtt::{ClientOptions, Publish, ReasonCode, TopicName, Utf8String};

use crate::{ACCEPTED, Bench, options, text, topic};

/// Ill-formed UTF-8: a lone continuation, an overlong form, a surrogate, beyond U+10FFFF, cut off.
/// The decoder refuses all of it, and the encoder cannot be made to write it.
#[test]
fn mqtt_1_5_4_1_ill_formed_utf_8_is_refused_and_cannot_be_said() {
    for wire in [
        b"\x30\x07\x00\x03a\x80b\x00m".as_slice(),
        b"\x30\x06\x00\x02\xC0\xAF\x00m",
        b"\x30\x07\x00\x03\xED\xA0\x80\x00m",
        b"\x30\x07\x00\x03\xED\xBF\xBF\x00m",
        b"\x30\x08\x00\x04\xF4\x90\x80\x80\x00m",
        b"\x30\x06\x00\x02a\xE2\x00m",
    ] {
        let mut bench = Bench::connected(options(), ACCEPTED);
        let (reason, last_words) = bench.refuse(wire);
        assert_eq!(reason, ReasonCode::MalformedPacket, "{wire:x?}");
        assert_eq!(last_words, b"\xE0\x01\x81");
        let end = wire.len() - 2;
        assert!(Utf8String::from_bytes(bytes::Bytes::from_static(&wire[4..end])).is_err());
    }
}

/// Tested in a user property; topic names have the same rule (`[MQTT-4.7.3-2]`).
#[test]
fn mqtt_1_5_4_2_the_null_character_is_refused_and_cannot_be_said() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    let (reason, _) = bench.refuse(b"\x30\x0C\x00\x01t\x07\x26\x00\x01a\x00\x01\x00m");
    assert_eq!(reason, ReasonCode::MalformedPacket);
    assert!(Utf8String::try_from("a\0b").is_err());
    assert!(TopicName::try_from("a\0b").is_err());
}

/// At the beginning, in the middle, alone; in both directions.
#[test]
fn mqtt_1_5_4_3_a_byte_order_mark_is_a_character_like_others() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    let wire = b"\x30\x0C\x00\x08\xEF\xBB\xBFa\xEF\xBB\xBFb\x00m";
    bench.feed(wire);
    let [message] = &bench.messages()[..] else {
        panic!("one message");
    };
    assert_eq!(message.topic.as_deref(), Some("\u{FEFF}a\u{FEFF}b"));
    let publish = Publish::new(topic("\u{FEFF}a\u{FEFF}b"), "m");
    bench.client.publish(bench.now, publish).unwrap();
    assert_eq!(bench.sent(), wire);
    let mut bench = Bench::new(ClientOptions {
        client_id: text("\u{FEFF}"),
        ..options()
    });
    assert!(bench.open().ends_with(b"\x00\x03\xEF\xBB\xBF"));
}

/// The encoder writes remaining lengths at each border with the fewest bytes. The decoder refuses
/// longer forms.
#[test]
fn mqtt_1_5_5_1_numbers_have_no_more_bytes_than_they_need() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    for (payload, header) in [
        (123, b"\x30\x7F".as_slice()),
        (124, b"\x30\x80\x01"),
        (16_379, b"\x30\xFF\x7F"),
        (16_380, b"\x30\x80\x80\x01"),
        (2_097_147, b"\x30\xFF\xFF\x7F"),
        (2_097_148, b"\x30\x80\x80\x80\x01"),
    ] {
        let publish = Publish::new(topic("t"), vec![0; payload]);
        bench.client.publish(bench.now, publish).unwrap();
        let sent = bench.sent();
        assert!(sent.starts_with(header), "{payload}: {:x?}", &sent[..6]);
        assert_eq!(sent.len(), header.len() + 4 + payload);
    }
    for wire in [
        b"\x30\x85\x00\x00\x01t\x00m".as_slice(), // remaining length
        b"\x30\x06\x00\x01t\x80\x00m",            // property length
        b"\xD0\x80\x80\x80\x80\x01",              // a fifth byte
    ] {
        let mut bench = Bench::connected(options(), ACCEPTED);
        let (reason, _) = bench.refuse(wire);
        assert_eq!(reason, ReasonCode::MalformedPacket, "{wire:x?}");
    }
}

/// Tests both the name and the value of a user property.
#[test]
fn mqtt_1_5_7_1_both_strings_of_a_pair_are_utf_8() {
    for wire in [
        b"\x30\x0C\x00\x01t\x07\x26\x00\x01\xFF\x00\x01vm",
        b"\x30\x0C\x00\x01t\x07\x26\x00\x01n\x00\x01\xFFm",
    ] {
        let mut bench = Bench::connected(options(), ACCEPTED);
        let (reason, last_words) = bench.refuse(wire);
        assert_eq!(reason, ReasonCode::MalformedPacket);
        assert_eq!(last_words, b"\xE0\x01\x81");
    }
}

/// A packet without properties says so. A packet that leaves the length out ends too early.
#[test]
fn mqtt_2_2_2_1_no_properties_is_a_length_of_zero() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    let publish = Publish::new(topic("t"), "");
    bench.client.publish(bench.now, publish).unwrap();
    assert_eq!(bench.sent(), b"\x30\x04\x00\x01t\x00");
    let (reason, _) = bench.refuse(b"\x30\x03\x00\x01t");
    assert_eq!(reason, ReasonCode::MalformedPacket);
}

/// Nobody can publish to an invalid topic name. `[MQTT-3.3.2-2]` `[MQTT-3.3.2-14]`
/// `[MQTT-3.1.3-11]` `[MQTT-4.7.3-1]` `[MQTT-4.7.3-2]` `[MQTT-4.7.3-3]`
#[test]
fn mqtt_4_7_0_1_an_invalid_topic_name_cannot_be_sent() {
    for bad in ["", "#", "+", "a/+", "a/#", "a+b", "a\0"] {
        assert!(TopicName::try_from(bad).is_err(), "{bad:?}");
    }
    assert!(TopicName::try_from("x".repeat(65_536).as_str()).is_err());
    for good in ["/", "a b", "$x", "A/\u{1F600}"] {
        assert!(TopicName::try_from(good).is_ok(), "{good:?}");
    }
    assert!(TopicName::try_from("x".repeat(65_535).as_str()).is_ok());
}

/// Compared byte by byte: case, empty levels and the way an accent is encoded make a difference.
#[test]
fn mqtt_4_7_3_4_topics_are_compared_as_they_are() {
    use crate::filter;
    let matches = |name: &str, pattern: &str| mqtt::topic_matches(&topic(name), &filter(pattern));
    assert!(matches("a/b", "a/b"));
    for (name, pattern) in [
        ("A/b", "a/b"),
        ("a/b/", "a/b"),
        ("/a/b", "a/b"),
        ("a//b", "a/b"),
        ("\u{e9}", "e\u{301}"),
        ("a b", "ab"),
        ("a%2Fb", "a/b"),
    ] {
        assert!(!matches(name, pattern), "{name:?} {pattern:?}");
    }
}
