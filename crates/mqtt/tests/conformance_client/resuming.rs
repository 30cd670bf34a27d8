//! Which packets the client sends again, when, and in which order.

use mqtt::QoS;
use mqtt::client::PublishOutcome;

use crate::{ACCEPTED, Bench, RESUMED, options, resuming};

/// The client sends everything unfinished again, once, with its own identifier: PUBLISH with DUP,
/// PUBREL as it was. It sends nothing that is finished. `[MQTT-3.3.1-1]` `[MQTT-3.3.1-3]`
/// `[MQTT-4.3.3-5]` `[MQTT-4.3.3-6]`
#[test]
fn mqtt_4_4_0_1_unfinished_exchanges_are_sent_again() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    bench.publish(QoS::AtLeastOnce, "a");
    bench.publish(QoS::ExactlyOnce, "b");
    bench.publish(QoS::ExactlyOnce, "c");
    bench.publish(QoS::AtLeastOnce, "d");
    bench.sent();
    bench.feed(b"\x40\x02\x00\x04\x50\x02\x00\x02");
    assert_eq!(bench.sent(), b"\x62\x02\x00\x02");
    bench.outcomes();

    bench.reconnect(RESUMED);
    assert_eq!(
        bench.sent(),
        b"\x62\x02\x00\x02\x3A\x07\x00\x01t\x00\x01\x00a\x3C\x07\x00\x01t\x00\x03\x00c"
    );
    // The exchanges go on where they stopped.
    bench.feed(b"\x70\x02\x00\x02\x40\x02\x00\x01\x50\x02\x00\x03");
    assert_eq!(bench.sent(), b"\x62\x02\x00\x03");
    bench.feed(b"\x70\x02\x00\x03");
    assert_eq!(bench.outcomes().len(), 3);
    assert_eq!(bench.client.packet_ids_in_use(), 0);
}

/// The client sends nothing again because of time alone, however long the answer takes.
#[test]
fn mqtt_4_4_0_1_nothing_is_sent_again_on_the_same_connection() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    bench.publish(QoS::AtLeastOnce, "a");
    bench.publish(QoS::ExactlyOnce, "b");
    bench.sent();
    bench.feed(b"\x50\x02\x00\x02");
    assert_eq!(bench.sent(), b"\x62\x02\x00\x02");
    for _ in 0..20 {
        bench.wait(45);
        assert_eq!(bench.sent(), b"\xC0\x00");
        bench.feed(b"\xD0\x00");
    }
}

/// `QoS` 1 and 2 together, in the order of first sending, on each new connection.
#[test]
fn mqtt_4_6_0_1_publishes_are_sent_again_in_their_order() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    for (qos, payload) in [
        (QoS::ExactlyOnce, "1"),
        (QoS::AtLeastOnce, "2"),
        (QoS::ExactlyOnce, "3"),
        (QoS::AtLeastOnce, "4"),
    ] {
        bench.publish(qos, payload);
    }
    bench.sent();
    for _ in 0..3 {
        bench.reconnect(RESUMED);
        assert_eq!(
            bench.sent(),
            b"\x3C\x07\x00\x01t\x00\x01\x001\x3A\x07\x00\x01t\x00\x02\x002\
              \x3C\x07\x00\x01t\x00\x03\x003\x3A\x07\x00\x01t\x00\x04\x004"
        );
    }
}

/// What the application published while there was no connection comes after what is sent again, and
/// without DUP.
#[test]
fn mqtt_4_6_0_1_new_messages_come_after_repeated_ones() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    bench.publish(QoS::AtLeastOnce, "1");
    bench.sent();
    bench.reopen();
    bench.publish(QoS::AtLeastOnce, "2");
    bench.accept(RESUMED);
    assert_eq!(
        bench.sent(),
        b"\x3A\x07\x00\x01t\x00\x01\x001\x32\x07\x00\x01t\x00\x02\x002"
    );
}

/// The client sends PUBRELs again in the order of the PUBRECs that they answer.
#[test]
fn mqtt_4_6_0_4_pubrels_are_in_the_order_of_the_pubrecs() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    for payload in ["1", "2", "3"] {
        bench.publish(QoS::ExactlyOnce, payload);
    }
    bench.sent();
    bench.feed(b"\x50\x02\x00\x03\x50\x02\x00\x01\x50\x02\x00\x02");
    let pubrels = b"\x62\x02\x00\x03\x62\x02\x00\x01\x62\x02\x00\x02";
    assert_eq!(bench.sent(), pubrels);
    bench.reconnect(RESUMED);
    assert_eq!(bench.sent(), pubrels);
}

/// A later client takes over a stored session, as after a reload of a page. `[MQTT-3.1.2-23]`
/// `[MQTT-4.3.2-3]` `[MQTT-4.3.3-3]`
#[test]
fn mqtt_4_1_0_1_a_stored_session_goes_on() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    bench.publish(QoS::AtLeastOnce, "a");
    bench.publish(QoS::ExactlyOnce, "b");
    bench.sent();
    bench.feed(b"\x50\x02\x00\x02\x34\x07\x00\x01t\x00\x09\x00m");
    bench.sent();

    let session = bench.client.session();
    let mut later = Bench::new(mqtt::ClientOptions {
        session: Some(session),
        ..resuming()
    });
    let connect = later.open();
    assert_eq!(connect[9], 0, "Clean Start is 0");
    later.accept(RESUMED);
    assert_eq!(
        later.sent(),
        b"\x62\x02\x00\x02\x3A\x07\x00\x01t\x00\x01\x00a"
    );
    later.feed(b"\x3C\x07\x00\x01t\x00\x09\x00m");
    assert_eq!(later.messages(), [], "it was handed on before");
    later.feed(b"\x40\x02\x00\x01\x70\x02\x00\x02");
    let done = |(_, outcome)| matches!(outcome, PublishOutcome::Acknowledged(_));
    assert!(later.outcomes().into_iter().all(done));
    assert_eq!(later.client.packet_ids_in_use(), 0);
}

/// With a smaller Receive Maximum than before, repeated messages wait too. `[MQTT-4.9.0-1]`
#[test]
fn mqtt_4_9_0_2_the_quota_counts_repeated_messages() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    for payload in ["1", "2", "3"] {
        bench.publish(QoS::AtLeastOnce, payload);
    }
    bench.sent();
    bench.reconnect(b"\x20\x06\x01\x00\x03\x21\x00\x02");
    assert_eq!(
        bench.sent(),
        b"\x3A\x07\x00\x01t\x00\x01\x001\x3A\x07\x00\x01t\x00\x02\x002"
    );
    bench.feed(b"\x40\x02\x00\x01");
    assert_eq!(bench.sent(), b"\x3A\x07\x00\x01t\x00\x03\x003");
}
