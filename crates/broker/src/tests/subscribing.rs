//! SUBSCRIBE and UNSUBSCRIBE, and which messages they lead to.

use mqtt::packet::Unsubscribe;
use mqtt::{Packet, QoS, ReasonCode, TopicFilter};

use super::{V3, V5, World, message, packet_id, subscribe, to};

fn unsubscribe(filters: &[&str]) -> Packet {
    let filters = filters.iter().map(|&filter| TopicFilter::try_from(filter));
    Packet::Unsubscribe(Unsubscribe {
        packet_id: packet_id(901),
        topic_filters: filters.map(Result::unwrap).collect(),
        user_properties: Vec::new(),
    })
}

fn codes(world: &mut World, conn: crate::Conn) -> Vec<ReasonCode> {
    match world.take(conn) {
        Packet::SubAck(ack) => {
            assert_eq!(ack.packet_id, packet_id(900));
            ack.reason_codes
        }
        Packet::UnsubAck(ack) => {
            assert_eq!(ack.packet_id, packet_id(901));
            ack.reason_codes
        }
        other => panic!("SUBACK or UNSUBACK expected, not {other:?}"),
    }
}

#[test]
fn mqtt_3_8_4_1_and_2_and_5_to_7_suback_answers_each_filter_in_order() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    let subscriptions = [
        to("a", QoS::ExactlyOnce),
        to("$share/g/b", QoS::AtMostOnce),
        to("c", QoS::AtLeastOnce),
        to("d", QoS::AtMostOnce),
    ];
    world.send(conn, &subscribe(&subscriptions, None));
    assert_eq!(
        codes(&mut world, conn),
        [
            ReasonCode::GrantedQoS2,
            ReasonCode::Success,
            ReasonCode::GrantedQoS1,
            ReasonCode::Success,
        ]
    );
    assert_eq!(world.broker.metrics().subscriptions, 4);
}

#[test]
fn connack_states_the_servers_limits() {
    let mut world = World::new();
    let (_, connack) = world.connect(&mqtt::Connect::new(V5, "a"));
    let properties = connack.properties;
    assert_eq!(properties.receive_maximum, Some(256));
    assert_eq!(properties.maximum_packet_size, Some(1_048_576));
    assert_eq!(properties.topic_alias_maximum, Some(16));
}

#[test]
fn mqtt_3_8_3_4_no_local_on_a_shared_subscription_is_a_protocol_error() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    // The packet is written by hand, because the encoder would refuse to write it.
    let bytes = b"\x82\x10\x00\x01\x00\x00\x0A$share/g/b\x04";
    let mut bytes = bytes.to_vec();
    bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
    world.send_bytes(conn, bytes);
    assert_eq!(world.farewell(conn), Some(ReasonCode::ProtocolError));
}

#[test]
fn mqtt_3_8_4_3_a_subscription_to_the_same_filter_replaces_the_first() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.subscribe(conn, &[to("t", QoS::ExactlyOnce)]);
    world.subscribe(conn, &[to("t", QoS::AtMostOnce)]);
    world.publish(conn, "t", "x", QoS::AtLeastOnce);
    assert_eq!(world.take_publish(conn).qos, QoS::AtMostOnce);
    assert_eq!(world.broker.metrics().subscriptions, 1);
}

#[test]
fn mqtt_3_8_4_8_the_lower_qos_counts() {
    let levels = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    for published in levels {
        for granted in levels {
            let mut world = World::new();
            let subscriber = world.client(V5, "s");
            world.subscribe(subscriber, &[to("t", granted)]);
            let publisher = world.client(V3, "p");
            world.publish(publisher, "t", "x", published);
            let publish = world.take_publish(subscriber);
            assert_eq!(publish.qos, published.min(granted));
            assert_eq!(publish.packet_id.is_some(), publish.qos > QoS::AtMostOnce);
        }
    }
}

#[test]
fn mqtt_3_3_4_2_to_4_overlapping_subscriptions_give_one_message_at_the_highest_qos() {
    let mut world = World::new();
    let conn = world.client(V5, "s");
    for (filter, qos, identifier) in [
        ("a/#", QoS::AtMostOnce, Some(1)),
        ("a/+", QoS::ExactlyOnce, Some(2)),
        ("+/b", QoS::AtLeastOnce, None),
        ("other", QoS::ExactlyOnce, Some(3)),
    ] {
        world.send(conn, &subscribe(&[to(filter, qos)], identifier));
    }
    let publisher = world.client(V5, "p");
    world.received(conn);
    world.publish(publisher, "a/b", "x", QoS::ExactlyOnce);
    let publish = world.take_publish(conn);
    assert_eq!(publish.qos, QoS::ExactlyOnce);
    let mut identifiers: Vec<_> = publish
        .properties
        .subscription_identifiers
        .iter()
        .map(|id| id.get())
        .collect();
    identifiers.sort_unstable();
    assert_eq!(identifiers, [1, 2]);
    assert!(world.received(conn).is_empty());
}

#[test]
fn mqtt_3_8_3_3_no_local() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    let mut subscription = to("t", QoS::AtMostOnce);
    subscription.no_local = true;
    world.subscribe(conn, &[subscription]);
    world.publish(conn, "t", "mine", QoS::AtMostOnce);
    assert!(world.payloads(conn).is_empty());
    let other = world.client(V5, "b");
    world.publish(other, "t", "another's", QoS::AtMostOnce);
    assert_eq!(world.payloads(conn), ["another's"]);
    // A second subscription without No Local brings the client its own messages.
    world.subscribe(conn, &[to("#", QoS::AtMostOnce)]);
    world.publish(conn, "t", "mine", QoS::AtMostOnce);
    assert_eq!(world.payloads(conn), ["mine"]);
}

#[test]
fn mqtt_3_10_4_1_unsubscribe_compares_character_by_character() {
    let mut world = World::new();
    for version in [V5, V3] {
        let conn = world.client(version, "a");
        world.subscribe(
            conn,
            &[to("a/+", QoS::AtMostOnce), to("a/b", QoS::AtMostOnce)],
        );
        world.send(conn, &unsubscribe(&["a/#", "a/b", "a/b", "A/+"]));
        let expected = [
            ReasonCode::NoSubscriptionExisted,
            ReasonCode::Success,
            ReasonCode::NoSubscriptionExisted,
            ReasonCode::NoSubscriptionExisted,
        ];
        let codes = codes(&mut world, conn);
        assert_eq!(codes, if version == V5 { &expected[..] } else { &[] });
        world.publish(conn, "a/b", "x", QoS::AtMostOnce);
        assert_eq!(world.payloads(conn).len(), 1);
        world.send(conn, &unsubscribe(&["a/+"]));
        world.received(conn);
        world.publish(conn, "a/b", "x", QoS::AtMostOnce);
        assert!(world.received(conn).is_empty());
    }
}

#[test]
fn mqtt_3_10_4_3_queued_messages_are_delivered_after_unsubscribe() {
    let mut world = World::with(|options| options.limits.inflight_window = 1);
    let conn = world.client(V5, "a");
    world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    for payload in ["1", "2"] {
        world.publish(publisher, "t", payload, QoS::AtLeastOnce);
    }
    world.send(conn, &unsubscribe(&["t"]));
    let first = world.take_publish(conn);
    world.received(conn);
    let ack = mqtt::PubAck::new(first.packet_id.unwrap(), ReasonCode::Success);
    world.send(conn, &Packet::PubAck(ack));
    assert_eq!(world.payloads(conn), ["2"]);
}

#[test]
fn topics_are_bounded_in_bytes_and_levels() {
    let mut world = World::with(|options| {
        options.limits.topic_bytes = 20;
        options.limits.topic_levels = 3;
    });
    let conn = world.client(V5, "a");
    for filter in ["a/b/c/#", "a23456789012345678901"] {
        world.send(conn, &subscribe(&[to(filter, QoS::AtMostOnce)], None));
        assert_eq!(codes(&mut world, conn), [ReasonCode::TopicFilterInvalid]);
    }
    world.subscribe(conn, &[to("#", QoS::AtMostOnce)]);
    for topic in ["a/b/c/d", "a23456789012345678901", "$SYS/x"] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce] {
            world.send(conn, &Packet::Publish(message(topic, "x", qos, 5)));
            let code = match world.received(conn).pop() {
                Some(Packet::PubAck(ack)) => Some(ack.reason_code),
                Some(Packet::PubRec(ack)) => Some(ack.reason_code),
                Some(other) => panic!("{other:?}"),
                None => None,
            };
            let expected = (qos > QoS::AtMostOnce).then_some(ReasonCode::TopicNameInvalid);
            assert_eq!(code, expected);
        }
    }
    assert_eq!(world.broker.metrics().refused_topic_name, 9);
    assert_eq!(world.broker.metrics().refused_topic_filter, 2);
    // Version 3.1.1 has no code for this.
    let old = world.client(V3, "old");
    for topic in ["a/b/c/d", "a23456789012345678901", "$SYS/x"] {
        world.publish(old, topic, "x", QoS::AtLeastOnce);
        let ack = mqtt::PubAck::new(packet_id(1), ReasonCode::Success);
        assert_eq!(world.received(old), [Packet::PubAck(ack)]);
    }
    assert!(world.closed(old).is_none());
    assert!(world.received(conn).is_empty());
    assert_eq!(world.broker.metrics().refused_topic_name, 12);
}

#[test]
fn subscriptions_of_a_client_are_bounded() {
    let mut world = World::with(|options| options.limits.subscriptions_per_client = 2);
    let conn = world.client(V5, "a");
    let subscriptions = ["a", "b", "c", "a"].map(|filter| to(filter, QoS::AtMostOnce));
    world.send(conn, &subscribe(&subscriptions, None));
    assert_eq!(
        codes(&mut world, conn),
        [
            ReasonCode::Success,
            ReasonCode::Success,
            ReasonCode::QuotaExceeded,
            ReasonCode::Success,
        ]
    );
    assert_eq!(world.broker.metrics().refused_subscriptions_limit, 1);
}

#[test]
fn subscriptions_are_bounded_in_bytes_of_a_client_and_of_all() {
    for all in [false, true] {
        let mut world = World::with(|options| {
            let limits = &mut options.limits;
            if all {
                limits.all_subscriptions_bytes = 1_000;
            } else {
                limits.subscription_bytes_per_client = 1_000;
            }
        });
        let conn = world.client(V5, "a");
        let deep = ["1/2/3/4/5", "1/2/3/4/6"].map(|filter| to(filter, QoS::AtMostOnce));
        world.send(conn, &subscribe(&deep, None));
        let expected = [ReasonCode::Success, ReasonCode::QuotaExceeded];
        assert_eq!(codes(&mut world, conn), expected);
        let other = world.client(V5, "b");
        world.send(other, &subscribe(&deep[1..], None));
        assert_eq!(codes(&mut world, other)[0].is_error(), all);
        // The bytes of an ended subscription can be used again.
        world.send(conn, &unsubscribe(&["1/2/3/4/5"]));
        codes(&mut world, conn);
        world.send(
            other,
            &Packet::Disconnect(mqtt::Disconnect::new(ReasonCode::Success)),
        );
        assert_eq!(world.broker.metrics().subscription_bytes, 0);
        world.send(conn, &subscribe(&deep[1..], None));
        assert_eq!(codes(&mut world, conn), [ReasonCode::Success]);
    }
}
