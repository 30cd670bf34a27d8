//! Messages to the server: the sender's half of the exchanges.

use mqtt::client::{DropCause, PublishOutcome};
use mqtt::{ClientOptions, Publish, QoS, ReasonCode};

use crate::{ACCEPTED, Bench, RESUMED, options, resuming, topic};

/// `[MQTT-2.2.1-2]` `[MQTT-3.3.1-2]` `[MQTT-3.3.2-1]` `[MQTT-4.3.1-1]`: flags 0, no packet
/// identifier, and never a second time.
#[test]
fn mqtt_4_3_1_1_qos_0_is_sent_once_without_identifier_and_dup() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    let id = bench.publish(QoS::AtMostOnce, "x");
    assert_eq!(bench.sent(), b"\x30\x05\x00\x01t\x00x");
    assert_eq!(bench.outcomes(), [(id, PublishOutcome::Sent)]);
    bench.reconnect(RESUMED);
    assert_eq!(bench.sent(), b"");
}

/// The client ignores what the application puts into the fields that the client itself fills.
/// `[MQTT-3.3.1-2]` `[MQTT-3.3.1-3]` `[MQTT-3.3.2-8]` `[MQTT-3.3.4-6]`
#[test]
fn mqtt_3_3_4_6_no_subscription_identifier_goes_to_a_server() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    let mut publish = Publish::new(topic("t"), "x");
    publish.dup = true;
    publish.packet_id = "9".parse().ok();
    publish.properties.topic_alias = "3".parse().ok();
    publish.properties.subscription_identifiers = vec![7.try_into().unwrap()];
    bench.client.publish(bench.now, publish.clone()).unwrap();
    assert_eq!(bench.sent(), b"\x30\x05\x00\x01t\x00x");
    publish.qos = QoS::AtLeastOnce;
    bench.client.publish(bench.now, publish).unwrap();
    assert_eq!(bench.sent(), b"\x32\x07\x00\x01t\x00\x01\x00x");
}

/// The whole exchange, and how long the sender keeps what. `[MQTT-2.2.1-3]` `[MQTT-4.3.2-1]`
/// `[MQTT-4.3.2-2]` `[MQTT-4.3.2-3]`
#[test]
fn mqtt_4_3_2_3_qos_1_is_unacknowledged_until_puback() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    let first = bench.publish(QoS::AtLeastOnce, "x");
    let second = bench.publish(QoS::AtLeastOnce, "y");
    assert_eq!(
        bench.sent(),
        b"\x32\x07\x00\x01t\x00\x01\x00x\x32\x07\x00\x01t\x00\x02\x00y"
    );
    // The answer to another message changes nothing.
    bench.feed(b"\x40\x02\x00\x63");
    assert_eq!(bench.outcomes(), []);
    assert_eq!(bench.client.packet_ids_in_use(), 2);
    bench.feed(b"\x40\x02\x00\x02\x40\x03\x00\x01\x10");
    let done = |id, code| (id, PublishOutcome::Acknowledged(code));
    assert_eq!(
        bench.outcomes(),
        [
            done(second, ReasonCode::Success),
            done(first, ReasonCode::NoMatchingSubscribers)
        ]
    );
    assert_eq!(bench.client.packet_ids_in_use(), 0);
    assert_eq!(bench.sent(), b"");
}

/// `[MQTT-2.2.1-5]` `[MQTT-4.3.3-1]` `[MQTT-4.3.3-2]` `[MQTT-4.3.3-3]` `[MQTT-4.3.3-5]`
/// `[MQTT-3.6.1-1]` `[MQTT-3.6.2-1]`
#[test]
fn mqtt_4_3_3_4_qos_2_answers_pubrec_with_pubrel() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    let id = bench.publish(QoS::ExactlyOnce, "x");
    assert_eq!(bench.sent(), b"\x34\x07\x00\x01t\x00\x01\x00x");
    bench.feed(b"\x50\x02\x00\x01");
    assert_eq!(bench.sent(), b"\x62\x02\x00\x01");
    assert_eq!(bench.outcomes(), [], "until PUBCOMP");
    assert_eq!(bench.client.packet_ids_in_use(), 1);
    // A second PUBREC gets a second PUBREL, and the exchange still does not end.
    bench.feed(b"\x50\x02\x00\x01");
    assert_eq!(bench.sent(), b"\x62\x02\x00\x01");
    bench.feed(b"\x70\x02\x00\x01");
    let done = PublishOutcome::Acknowledged(ReasonCode::Success);
    assert_eq!(bench.outcomes(), [(id, done)]);
    assert_eq!(bench.client.packet_ids_in_use(), 0);
}

/// The client answers a PUBREC without a message with a code in PUBREL, and with nothing else.
/// `[MQTT-3.6.2-2]` `[MQTT-3.6.2-3]`
#[test]
fn mqtt_3_6_2_1_pubrel_says_that_the_identifier_is_unknown() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    bench.feed(b"\x50\x02\x00\x63");
    assert_eq!(bench.sent(), b"\x62\x03\x00\x63\x92");
    bench.feed(b"\x50\x03\x00\x63\x91");
    assert_eq!(bench.sent(), b"", "a refusal wants no answer");
}

/// A PUBACK or PUBREC with a code of 0x80 or more ends the exchange: there is no PUBREL, the
/// identifier is free, and the client sends nothing again. `[MQTT-4.3.3-4]`
#[test]
fn mqtt_4_4_0_2_a_refused_message_is_not_sent_again() {
    for (qos, refusal) in [
        (QoS::AtLeastOnce, b"\x40\x03\x00\x01\x87"),
        (QoS::ExactlyOnce, b"\x50\x03\x00\x01\x87"),
    ] {
        let mut bench = Bench::connected(options(), ACCEPTED);
        let id = bench.publish(qos, "x");
        bench.sent();
        bench.feed(refusal);
        let refused = PublishOutcome::Refused(ReasonCode::NotAuthorized);
        assert_eq!(bench.outcomes(), [(id, refused)]);
        assert_eq!(bench.sent(), b"");
        assert_eq!(bench.client.packet_ids_in_use(), 0);
        bench.reconnect(RESUMED);
        assert_eq!(bench.sent(), b"");
    }
}

/// A message that was sent does not end when it expires. The client sends it again on the next
/// connection, and its exchange goes on.
#[test]
fn mqtt_4_3_3_7_a_message_that_was_sent_does_not_expire() {
    let mut bench = Bench::connected(resuming(), RESUMED);
    let mut publish = Publish::new(topic("t"), "x");
    publish.qos = QoS::ExactlyOnce;
    publish.properties.message_expiry_interval = Some(5);
    bench.client.publish(bench.now, publish.clone()).unwrap();
    let wire = b"\x34\x0C\x00\x01t\x00\x01\x05\x02\x00\x00\x00\x05x";
    assert_eq!(bench.sent(), wire);
    bench.wait(10);
    bench.reconnect(RESUMED);
    let sent = bench.sent();
    assert_eq!(sent[..8], b"\x3C\x0C\x00\x01t\x00\x01\x05"[..]);
    bench.feed(b"\x50\x02\x00\x01");
    assert_eq!(bench.sent(), b"\x62\x02\x00\x01");
    bench.feed(b"\x70\x02\x00\x01");
    assert!(matches!(
        bench.outcomes()[..],
        [(_, PublishOutcome::Acknowledged(_))]
    ));

    // A message that was never sent does expire.
    bench.client.handle_transport_closed(bench.now);
    let id = bench.client.publish(bench.now, publish).unwrap();
    bench.wait(20);
    bench.open();
    bench.accept(RESUMED);
    assert_eq!(bench.sent(), b"");
    let expired = PublishOutcome::Dropped(DropCause::Expired);
    assert_eq!(bench.outcomes(), [(id, expired)]);
}

/// The client uses all 65,535 identifiers once, none of them zero, and skips one that is in use.
/// `[MQTT-4.3.2-1]` `[MQTT-4.3.3-1]`
#[test]
fn mqtt_2_2_1_3_no_identifier_twice_and_never_zero() {
    let mut bench = Bench::connected(
        ClientOptions {
            queue_limit_messages: 100_000,
            queue_limit_bytes: 100 << 20,
            ..options()
        },
        ACCEPTED,
    );
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..65_534 {
        bench.publish(QoS::AtLeastOnce, "x");
    }
    bench.subscribe("a");
    bench.publish(QoS::ExactlyOnce, "x");
    let sent = bench.sent();
    let (subscribe, publishes) = sent.split_at(9);
    assert_eq!(subscribe[0], 0x82);
    seen.insert([subscribe[2], subscribe[3]]);
    for publish in publishes.chunks(9) {
        assert!(seen.insert([publish[5], publish[6]]), "{publish:x?}");
    }
    assert_eq!(seen.len(), 65_535);
    assert!(!seen.contains(&[0, 0]));
    // The next message waits for an identifier, and gets the one that is free.
    bench.feed(b"\x40\x02\x12\x34");
    assert_eq!(bench.sent(), b"\x34\x07\x00\x01t\x12\x34\x00x");
}

/// Receive Maximum 2. `[MQTT-4.9.0-1]` `[MQTT-4.9.0-2]` `[MQTT-4.9.0-3]` `[MQTT-3.3.4-8]`
#[test]
fn mqtt_3_3_4_7_never_more_than_the_servers_receive_maximum() {
    let mut bench = Bench::connected(options(), b"\x20\x06\x00\x00\x03\x21\x00\x02");
    bench.publish(QoS::ExactlyOnce, "a");
    bench.publish(QoS::AtLeastOnce, "b");
    bench.publish(QoS::AtLeastOnce, "c");
    assert_eq!(
        bench.sent(),
        b"\x34\x07\x00\x01t\x00\x01\x00a\x32\x07\x00\x01t\x00\x02\x00b"
    );
    // At quota zero everything else goes on: SUBSCRIBE, PUBACK, PUBREC, PUBREL, PINGREQ.
    bench.subscribe("a");
    bench.feed(b"\x32\x07\x00\x01t\x00\x10\x00m\x34\x07\x00\x01t\x00\x11\x00m\x50\x02\x00\x01");
    let sent = bench.sent();
    let rest = b"\x40\x02\x00\x10\x50\x02\x00\x11";
    assert!(sent.starts_with(rest), "{sent:x?}");
    assert!(
        sent[8..].windows(4).any(|it| it == b"\x62\x02\x00\x01"),
        "{sent:x?}"
    );
    assert!(
        sent[8..].windows(2).any(|it| it == b"\x82\x07"),
        "{sent:x?}"
    );
    assert!(!sent.contains(&b'c'), "PUBREC of success frees no place");
    bench.wait(50);
    assert_eq!(bench.sent(), b"\xC0\x00");
    bench.feed(b"\x70\x02\x00\x01");
    let sent = bench.sent();
    assert!(
        sent.starts_with(b"\x32\x07\x00\x01t") && sent.ends_with(b"\x00c"),
        "{sent:x?}"
    );
    assert_eq!(bench.sent(), b"");
}

/// A `QoS` 0 message does not count against the quota.
#[test]
fn mqtt_4_9_0_2_only_qos_1_and_2_count() {
    let mut bench = Bench::connected(options(), b"\x20\x06\x00\x00\x03\x21\x00\x01");
    bench.publish(QoS::AtLeastOnce, "a");
    bench.sent();
    bench.publish(QoS::AtMostOnce, "z");
    assert_eq!(bench.sent(), b"\x30\x05\x00\x01t\x00z");
    // A refusal in PUBREC frees the place in the quota.
    let mut bench = Bench::connected(options(), b"\x20\x06\x00\x00\x03\x21\x00\x01");
    bench.publish(QoS::ExactlyOnce, "a");
    bench.publish(QoS::ExactlyOnce, "b");
    assert_eq!(bench.sent(), b"\x34\x07\x00\x01t\x00\x01\x00a");
    bench.feed(b"\x50\x03\x00\x01\x97");
    assert_eq!(bench.sent(), b"\x34\x07\x00\x01t\x00\x02\x00b");
}
