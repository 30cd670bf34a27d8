//! SUBSCRIBE, UNSUBSCRIBE and their answers.

use mqtt::client::SubscribeError;
use mqtt::{Event, QoS, ReasonCode, RetainHandling, Subscription};

use crate::{ACCEPTED, Bench, filter, options};

/// Every option has its bits; the reserved bits are 0. `[MQTT-2.1.3-1]` `[MQTT-2.2.1-3]`
/// `[MQTT-2.2.2-1]` `[MQTT-3.8.3-1]` `[MQTT-3.8.3-2]` `[MQTT-3.8.3-5]`
#[test]
fn mqtt_3_8_1_1_subscribe_has_the_flags_and_options_of_the_standard() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    let first = Subscription::new(filter("\u{e9}/+/#"), QoS::ExactlyOnce);
    let second = Subscription {
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
        ..Subscription::new(filter("b"), QoS::AtLeastOnce)
    };
    let both = vec![first, second];
    bench.client.subscribe(bench.now, both).unwrap();
    assert_eq!(
        bench.sent(),
        b"\x82\x10\x00\x01\x00\x00\x06\xC3\xA9/+/#\x02\x00\x01b\x2D"
    );
}

/// `[MQTT-2.1.3-1]` `[MQTT-2.2.1-3]` `[MQTT-3.10.3-1]` `[MQTT-3.10.3-2]`
#[test]
fn mqtt_3_10_1_1_unsubscribe_has_the_flags_of_the_standard() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    let filters = vec![filter("a/+"), filter("b")];
    bench.client.unsubscribe(bench.now, filters).unwrap();
    assert_eq!(bench.sent(), b"\xA2\x0B\x00\x01\x00\x00\x03a/+\x00\x01b");
}

/// `[MQTT-3.8.3-2]` `[MQTT-3.10.3-2]`: the client refuses what the standard forbids.
#[test]
fn mqtt_3_8_3_4_no_local_does_not_go_with_a_shared_subscription() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    let now = bench.now;
    let mut shared = Subscription::new(filter("$share/g/t"), QoS::AtMostOnce);
    shared.no_local = true;
    let refused = bench.client.subscribe(now, vec![shared]);
    assert_eq!(refused, Err(SubscribeError::NoLocalShared));
    let refused = bench.client.subscribe(now, vec![]);
    assert_eq!(refused, Err(SubscribeError::Empty));
    let refused = bench.client.unsubscribe(now, vec![]);
    assert!(matches!(refused, Err(SubscribeError::Empty)));
    assert_eq!(bench.sent(), b"");
}

/// The codes come in the order of the filters. `[MQTT-2.2.1-6]` `[MQTT-3.8.4-6]`
#[test]
fn mqtt_3_9_3_1_each_filter_gets_its_code() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    let both = ["a", "b"].map(|it| Subscription::new(filter(it), QoS::ExactlyOnce));
    bench.client.subscribe(bench.now, both.to_vec()).unwrap();
    bench.sent();
    bench.feed(b"\x90\x05\x00\x01\x00\x01\x87");
    let events = bench.events();
    let [
        Event::Subscribed {
            reason_codes,
            topic_filters,
            ..
        },
    ] = &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!(topic_filters[..], [filter("a"), filter("b")]);
    assert_eq!(
        reason_codes[..],
        [ReasonCode::GrantedQoS1, ReasonCode::NotAuthorized]
    );
    assert_eq!(bench.client.packet_ids_in_use(), 0);

    let filters = vec![filter("a"), filter("b")];
    bench.client.unsubscribe(bench.now, filters).unwrap();
    assert_eq!(bench.sent()[..4], b"\xA2\x09\x00\x02"[..]);
    bench.feed(b"\xB0\x05\x00\x02\x00\x00\x11");
    let events = bench.events();
    let [Event::Unsubscribed { reason_codes, .. }] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(
        reason_codes[..],
        [ReasonCode::Success, ReasonCode::NoSubscriptionExisted]
    );
}

/// Too few codes, too many, one of another packet, none at all: the connection ends.
/// `[MQTT-3.8.4-6]` `[MQTT-3.9.3-1]` `[MQTT-3.11.3-1]` `[MQTT-3.11.3-2]`
#[test]
fn mqtt_3_9_3_2_an_answer_that_does_not_fit_ends_the_connection() {
    for (wire, code) in [
        (b"\x90\x04\x00\x01\x00\x00".as_slice(), 0x82),
        (b"\x90\x06\x00\x01\x00\x00\x00\x00", 0x82),
        (b"\x90\x05\x00\x01\x00\x00\x03", 0x82),
        (b"\x90\x05\x00\x01\x00\x00\x11", 0x82),
        (b"\x90\x03\x00\x01\x00", 0x82),
        (b"\xB0\x05\x00\x01\x00\x00\x00", 0x82),
    ] {
        let mut bench = Bench::connected(options(), ACCEPTED);
        let both = ["a", "b"].map(|it| Subscription::new(filter(it), QoS::ExactlyOnce));
        bench.client.subscribe(bench.now, both.to_vec()).unwrap();
        bench.sent();
        let (reason, last_words) = bench.refuse(wire);
        assert_eq!(reason.as_u8(), code, "{wire:x?}");
        assert_eq!(last_words, [0xE0, 1, code], "{wire:x?}");
    }
}

/// The client refuses an invalid filter. `[MQTT-1.5.4-2]` `[MQTT-4.7.1-2]` `[MQTT-4.7.3-1]`
/// `[MQTT-4.7.3-2]` `[MQTT-4.7.3-3]` `[MQTT-4.8.2-1]` `[MQTT-4.8.2-2]`
#[test]
fn mqtt_4_7_1_1_an_invalid_topic_filter_cannot_be_sent() {
    use mqtt::TopicFilter;
    for bad in [
        "",
        "a#",
        "a/#/b",
        "#/a",
        "a/b#",
        "a+",
        "+a",
        "a/+b/c",
        "a\0b",
        "$share/g",
        "$share/g/",
        "$share//t",
        "$share/g+/t",
        "$share/#/t",
        "$share/",
    ] {
        assert!(TopicFilter::try_from(bad).is_err(), "{bad:?}");
    }
    assert!(TopicFilter::try_from("x".repeat(65_536).as_str()).is_err());
    for good in [
        "#",
        "+",
        "/",
        "+/+",
        "a/#",
        "/+/a",
        "a//b",
        "$SYS/#",
        "$share/g/#",
        "$share/g//a",
        "$shared",
        "a$share/b",
        "A b",
    ] {
        assert!(TopicFilter::try_from(good).is_ok(), "{good:?}");
    }
    assert!(TopicFilter::try_from("x".repeat(65_535).as_str()).is_ok());
}
