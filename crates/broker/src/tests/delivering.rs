//! PUBLISH and its acknowledgements on one connection.

use std::num::NonZeroU16;
use std::time::Duration;

use mqtt::packet::PublishProperties;
use mqtt::{Connect, Packet, PubAck, PubComp, PubRec, PubRel, Publish, QoS, ReasonCode, TopicName};

use super::{V3, V5, World, lasting, message, packet_id, text, to};
use crate::{Conn, Input, Limit};

fn pair(world: &mut World, qos: QoS) -> (Conn, Conn) {
    let subscriber = world.client(V5, "s");
    world.subscribe(subscriber, &[to("#", qos)]);
    let publisher = world.client(V5, "p");
    (publisher, subscriber)
}

#[test]
fn mqtt_4_3_2_a_message_of_qos_1() {
    let mut world = World::new();
    let (publisher, subscriber) = pair(&mut world, QoS::AtLeastOnce);
    world.publish(publisher, "t", "x", QoS::AtLeastOnce);
    let ack = PubAck::new(packet_id(1), ReasonCode::Success);
    assert_eq!(world.received(publisher), [Packet::PubAck(ack)]);
    let publish = world.take_publish(subscriber);
    assert_eq!((publish.qos, publish.dup), (QoS::AtLeastOnce, false));
    assert_eq!(world.broker.metrics().queued_messages, 1);
    let id = publish.packet_id.unwrap();
    let ack = PubAck::new(id, ReasonCode::Success);
    world.send(subscriber, &Packet::PubAck(ack.clone()));
    assert_eq!(world.broker.metrics().queued_messages, 0);
    assert_eq!(world.broker.metrics().queued_bytes, 0);
    // A second PUBACK is ignored.
    world.send(subscriber, &Packet::PubAck(ack));
    assert!(world.received(subscriber).is_empty());
}

#[test]
fn mqtt_4_3_3_a_message_of_qos_2() {
    let mut world = World::new();
    let (publisher, subscriber) = pair(&mut world, QoS::ExactlyOnce);
    world.publish(publisher, "t", "x", QoS::ExactlyOnce);
    let received = PubRec::new(packet_id(1), ReasonCode::Success);
    assert_eq!(
        world.received(publisher),
        [Packet::PubRec(received.clone())]
    );
    let id = world.take_publish(subscriber).packet_id.unwrap();

    // [MQTT-4.3.3-10] Sent again, the message is answered again and not delivered again.
    let mut again = message("t", "x", QoS::ExactlyOnce, 1);
    again.dup = true;
    world.send(publisher, &Packet::Publish(again.clone()));
    assert_eq!(world.received(publisher), [Packet::PubRec(received)]);
    assert!(world.received(subscriber).is_empty());
    assert_eq!(world.broker.metrics().duplicates_in, 1);

    // [MQTT-4.3.3-11]
    let release = PubRel::new(packet_id(1), ReasonCode::Success);
    world.send(publisher, &Packet::PubRel(release.clone()));
    let complete = PubComp::new(packet_id(1), ReasonCode::Success);
    assert_eq!(world.received(publisher), [Packet::PubComp(complete)]);
    world.send(publisher, &Packet::PubRel(release));
    let unknown = PubComp::new(packet_id(1), ReasonCode::PacketIdentifierNotFound);
    assert_eq!(world.received(publisher), [Packet::PubComp(unknown)]);

    // [MQTT-4.3.3-12] After PUBREL the message counts as a new one.
    world.send(publisher, &Packet::Publish(again));
    assert_eq!(world.payloads(subscriber), ["x"]);

    // [MQTT-4.3.3-4]
    let received = PubRec::new(id, ReasonCode::Success);
    world.send(subscriber, &Packet::PubRec(received));
    let release = PubRel::new(id, ReasonCode::Success);
    assert_eq!(world.received(subscriber), [Packet::PubRel(release)]);
    assert_eq!(world.broker.metrics().queued_messages, 2);
    let complete = PubComp::new(id, ReasonCode::Success);
    world.send(subscriber, &Packet::PubComp(complete));
    assert_eq!(world.broker.metrics().queued_messages, 1);
}

#[test]
fn mqtt_4_4_0_2_a_message_that_the_client_refuses_is_done_with() {
    let mut world = World::new();
    let (publisher, subscriber) = pair(&mut world, QoS::ExactlyOnce);
    world.publish(publisher, "t", "x", QoS::ExactlyOnce);
    let id = world.take_publish(subscriber).packet_id.unwrap();
    let refused = PubRec::new(id, ReasonCode::QuotaExceeded);
    world.send(subscriber, &Packet::PubRec(refused));
    assert!(world.received(subscriber).is_empty());
    assert_eq!(world.broker.metrics().queued_messages, 0);
}

#[test]
fn section_4_3_3_a_pubrec_for_an_unknown_message_is_answered_so() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.send(
        conn,
        &Packet::PubRec(PubRec::new(packet_id(9), ReasonCode::Success)),
    );
    let unknown = PubRel::new(packet_id(9), ReasonCode::PacketIdentifierNotFound);
    assert_eq!(world.received(conn), [Packet::PubRel(unknown)]);
}

#[test]
fn section_4_3_an_acknowledgement_of_the_wrong_kind_is_a_protocol_error() {
    let wrong = |id| {
        [
            (
                QoS::ExactlyOnce,
                Packet::PubAck(PubAck::new(id, ReasonCode::Success)),
            ),
            (
                QoS::AtLeastOnce,
                Packet::PubRec(PubRec::new(id, ReasonCode::Success)),
            ),
            (
                QoS::ExactlyOnce,
                Packet::PubComp(PubComp::new(id, ReasonCode::Success)),
            ),
        ]
    };
    for case in 0..3 {
        let mut world = World::new();
        let (publisher, subscriber) = pair(&mut world, QoS::ExactlyOnce);
        let (qos, _) = wrong(packet_id(1))[case].clone();
        world.publish(publisher, "t", "x", qos);
        let id = world.take_publish(subscriber).packet_id.unwrap();
        let (_, packet) = wrong(id)[case].clone();
        world.send(subscriber, &packet);
        assert_eq!(world.farewell(subscriber), Some(ReasonCode::ProtocolError));
    }
}

#[test]
fn section_3_4_2_1_the_publisher_learns_that_nobody_subscribes() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.publish(conn, "t", "x", QoS::AtLeastOnce);
    let ack = PubAck::new(packet_id(1), ReasonCode::NoMatchingSubscribers);
    assert_eq!(world.received(conn), [Packet::PubAck(ack)]);
}

#[test]
fn mqtt_3_3_4_9_the_clients_receive_maximum_is_kept() {
    let mut world = World::new();
    let mut connect = Connect::new(V5, "s");
    connect.properties.receive_maximum = Some(2);
    let (subscriber, _) = world.connect(&connect);
    world.subscribe(subscriber, &[to("#", QoS::ExactlyOnce)]);
    let publisher = world.client(V3, "p");
    for (id, qos) in [
        (1, QoS::AtLeastOnce),
        (2, QoS::ExactlyOnce),
        (3, QoS::AtLeastOnce),
    ] {
        world.send(
            publisher,
            &Packet::Publish(message("t", &id.to_string(), qos, id)),
        );
    }
    let one = world.take_publish(subscriber);
    let two = world.take_publish(subscriber);
    assert!(world.received(subscriber).is_empty());
    // [MQTT-3.3.4-10] Other packets do not wait.
    world.send(subscriber, &Packet::PingReq);
    world.publish(publisher, "t", "0", QoS::AtMostOnce);
    assert_eq!(world.take(subscriber), Packet::PingResp);
    assert_eq!(world.payloads(subscriber), ["0"]);
    // PUBREC frees no quota, PUBCOMP does.
    let id = two.packet_id.unwrap();
    world.send(
        subscriber,
        &Packet::PubRec(PubRec::new(id, ReasonCode::Success)),
    );
    assert!(world.payloads(subscriber).is_empty());
    world.send(
        subscriber,
        &Packet::PubComp(PubComp::new(id, ReasonCode::Success)),
    );
    assert_eq!(world.payloads(subscriber), ["3"]);
    let ack = PubAck::new(one.packet_id.unwrap(), ReasonCode::Success);
    world.send(subscriber, &Packet::PubAck(ack));
    assert!(world.received(subscriber).is_empty());
}

#[test]
fn mqtt_3_3_4_7_a_client_that_exceeds_our_receive_maximum_is_disconnected() {
    let mut world = World::with(|options| options.limits.receive_maximum = 2);
    let conn = world.client(V5, "a");
    for id in 1..=2 {
        world.send(
            conn,
            &Packet::Publish(message("t", "x", QoS::ExactlyOnce, id)),
        );
    }
    // A message that is acknowledged at once does not count, as long as there is room for it.
    let release = PubRel::new(packet_id(1), ReasonCode::Success);
    world.send(conn, &Packet::PubRel(release));
    world.send(
        conn,
        &Packet::Publish(message("t", "x", QoS::AtLeastOnce, 3)),
    );
    world.send(
        conn,
        &Packet::Publish(message("t", "x", QoS::ExactlyOnce, 4)),
    );
    assert!(world.closed(conn).is_none());
    world.send(
        conn,
        &Packet::Publish(message("t", "x", QoS::ExactlyOnce, 5)),
    );
    assert_eq!(
        world.farewell(conn),
        Some(ReasonCode::ReceiveMaximumExceeded)
    );
    assert_eq!(world.broker.metrics().refused_receive_maximum, 1);
}

#[test]
fn a_client_of_version_3_1_1_cannot_know_our_receive_maximum_and_is_not_held_to_it() {
    for durable in [false, true] {
        let mut world = World::with(|options| options.durable = durable);
        let conn = world.client(V3, "a");
        for id in 1..=300 {
            let publish = message("t", "x", QoS::ExactlyOnce, id);
            world.send(conn, &Packet::Publish(publish));
        }
        for id in 301..=2_000 {
            let publish = message("t", "x", QoS::AtLeastOnce, id);
            world.send(conn, &Packet::Publish(publish));
        }
        assert_eq!(world.closed(conn), None);
        if let Some(&(lsn, _)) = world.records.last() {
            world.input(Input::Persisted(lsn));
        }
        assert_eq!(world.received(conn).len(), 2_000);
        for id in 1..=300 {
            let release = PubRel::new(packet_id(id), ReasonCode::Success);
            world.send(conn, &Packet::PubRel(release));
        }
        if let Some(&(lsn, _)) = world.records.last() {
            world.input(Input::Persisted(lsn));
        }
        assert_eq!(world.received(conn).len(), 300);
        assert_eq!(world.broker.metrics().refused_receive_maximum, 0);
    }
}

#[test]
fn mqtt_3_1_2_24_and_25_a_message_too_large_for_the_client_is_dropped() {
    let mut world = World::new();
    let mut connect = Connect::new(V5, "s");
    connect.properties.maximum_packet_size = Some(40);
    connect.properties.receive_maximum = Some(1);
    let (subscriber, _) = world.connect(&connect);
    world.subscribe(subscriber, &[to("#", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        world.publish(publisher, "t", &"x".repeat(50), qos);
    }
    assert_eq!(world.broker.metrics().dropped_too_large, 2);
    // The same for a message from the queue.
    for payload in ["1", &"x".repeat(50), "2"] {
        world.publish(publisher, "t", payload, QoS::AtLeastOnce);
    }
    let id = world.take_publish(subscriber).packet_id.unwrap();
    world.send(
        subscriber,
        &Packet::PubAck(PubAck::new(id, ReasonCode::Success)),
    );
    assert_eq!(world.payloads(subscriber), ["2"]);
    assert_eq!(world.broker.metrics().dropped_too_large, 3);
    // The log reports the first at once, and the others after the silence.
    world.sleep(Duration::from_secs(5));
    let told = world.told.iter();
    let told: Vec<_> = told
        .map(|it| (it.limit, it.client_id.as_deref(), it.count))
        .collect();
    let of_subscriber = |count| (Limit::ClientPacketSize, Some("s"), count);
    assert_eq!(told, [of_subscriber(1), of_subscriber(2)]);
}

/// The message was first sent on a connection that took larger packets. So the size must be checked
/// here too, before the message is sent again.
#[test]
fn a_message_too_large_to_be_sent_again_is_dropped_and_reported() {
    let mut world = World::new();
    let (subscriber, _) = world.connect(&lasting(V5, "s"));
    world.subscribe(subscriber, &[to("t", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    world.publish(publisher, "t", &"x".repeat(50), QoS::AtLeastOnce);
    world.take_publish(subscriber);
    world.cut(subscriber);
    let mut connect = lasting(V5, "s");
    connect.properties.maximum_packet_size = Some(40);
    let (subscriber, _) = world.connect(&connect);
    assert!(world.received(subscriber).is_empty());
    assert_eq!(world.broker.metrics().dropped_too_large, 1);
    let told: Vec<_> = world.told.iter().map(|it| it.limit).collect();
    assert_eq!(told, [Limit::ClientPacketSize]);
}

#[test]
fn mqtt_3_2_2_15_a_packet_that_is_too_large_for_us_ends_the_connection() {
    let mut world = World::with(|options| options.limits.maximum_packet_size = 100);
    let conn = world.client(V5, "a");
    world.publish(conn, "t", &"x".repeat(100), QoS::AtMostOnce);
    assert_eq!(world.farewell(conn), Some(ReasonCode::PacketTooLarge));
    assert_eq!(world.broker.metrics().refused_packet_too_large, 1);
}

fn aliased(topic: Option<&str>, alias: u16) -> Packet {
    let mut publish = message("t", "x", QoS::AtMostOnce, 1);
    publish.topic = topic.map(|topic| TopicName::try_from(topic).unwrap());
    publish.properties.topic_alias = NonZeroU16::new(alias);
    Packet::Publish(publish)
}

#[test]
fn mqtt_3_3_2_12_topic_aliases_stand_for_topics() {
    let mut world = World::new();
    let (publisher, subscriber) = pair(&mut world, QoS::AtMostOnce);
    for (topic, alias) in [(Some("a"), 1), (Some("b"), 16), (None, 1), (None, 16)] {
        world.send(publisher, &aliased(topic, alias));
    }
    world.send(publisher, &aliased(Some("c"), 1));
    world.send(publisher, &aliased(None, 1));
    let topics = world.received(subscriber).into_iter().map(|packet| {
        let Packet::Publish(publish) = packet else {
            panic!("PUBLISH expected, not {packet:?}");
        };
        // [MQTT-3.3.2-11] The alias of the publisher is not passed on.
        assert_eq!(publish.properties.topic_alias, None);
        publish.topic.unwrap().as_str().to_owned()
    });
    assert_eq!(topics.collect::<Vec<_>>(), ["a", "b", "a", "b", "c", "c"]);
}

#[test]
fn mqtt_3_3_2_7_topic_aliases_do_not_outlive_the_connection() {
    let mut world = World::new();
    let (conn, _) = world.lasting(V5, "a");
    world.send(conn, &aliased(Some("a"), 1));
    world.cut(conn);
    let (conn, _) = world.lasting(V5, "a");
    world.send(conn, &aliased(None, 1));
    assert_eq!(world.farewell(conn), Some(ReasonCode::ProtocolError));
}

#[test]
fn mqtt_3_3_2_9_a_topic_alias_above_the_maximum_is_refused() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.send(conn, &aliased(Some("a"), 17));
    assert_eq!(world.farewell(conn), Some(ReasonCode::TopicAliasInvalid));
}

#[test]
fn mqtt_3_3_2_4_and_15_to_18_and_20_properties_are_passed_on_unaltered() {
    let mut world = World::new();
    let (publisher, subscriber) = pair(&mut world, QoS::AtLeastOnce);
    let property = |name: &str| (name.try_into().unwrap(), "value".try_into().unwrap());
    let publish = Publish {
        properties: PublishProperties {
            payload_format_indicator: Some(true),
            message_expiry_interval: Some(100),
            topic_alias: None,
            response_topic: Some("answer".try_into().unwrap()),
            correlation_data: Some("42".into()),
            user_properties: vec![property("b"), property("a"), property("b")],
            subscription_identifiers: Vec::new(),
            content_type: Some("text/plain".try_into().unwrap()),
        },
        ..message("t", "x", QoS::AtMostOnce, 1)
    };
    world.send(publisher, &Packet::Publish(publish.clone()));
    assert_eq!(world.take_publish(subscriber), publish);
}

#[test]
fn mqtt_3_3_1_3_dup_is_not_passed_on() {
    let mut world = World::new();
    let (publisher, subscriber) = pair(&mut world, QoS::AtLeastOnce);
    let mut publish = message("t", "x", QoS::AtLeastOnce, 1);
    publish.dup = true;
    world.send(publisher, &Packet::Publish(publish));
    assert!(!world.take_publish(subscriber).dup);
}

#[test]
fn mqtt_3_3_2_5_and_6_a_waiting_message_ages_and_dies() {
    let mut world = World::new();
    let (subscriber, _) = world.lasting(V5, "s");
    world.subscribe(subscriber, &[to("#", QoS::AtLeastOnce)]);
    world.cut(subscriber);
    let publisher = world.client(V5, "p");
    for (payload, seconds) in [("short", 10), ("long", 60)] {
        let mut publish = message("t", payload, QoS::AtLeastOnce, 1);
        publish.properties.message_expiry_interval = Some(seconds);
        world.send(publisher, &Packet::Publish(publish));
    }
    world.sleep(Duration::from_secs(20));
    let (conn, _) = world.lasting(V5, "s");
    let publish = world.take_publish(conn);
    assert_eq!(text(&publish), "long");
    assert_eq!(publish.properties.message_expiry_interval, Some(40));
    assert_eq!(world.broker.metrics().dropped_expired, 1);
    assert!(world.received(conn).is_empty());
}

#[test]
fn one_turn_is_one_write_for_each_connection() {
    let mut world = World::new();
    let (publisher, subscriber) = pair(&mut world, QoS::AtMostOnce);
    world.set_reads(subscriber, false);
    for _ in 0..100 {
        world.publish(publisher, "t", "x", QoS::AtMostOnce);
    }
    let before = world.broker.metrics().bytes_out;
    let mut out = bytes::BytesMut::new();
    world.broker.take_writes(subscriber, &mut out);
    assert_eq!(out.len() as u64, world.broker.metrics().bytes_out - before);
    assert_eq!(out.len(), 100 * 7);
}

#[test]
fn both_versions_meet() {
    let mut world = World::new();
    let old = world.client(V3, "old");
    let new = world.client(V5, "new");
    for conn in [old, new] {
        world.subscribe(conn, &[to("t", QoS::AtMostOnce)]);
    }
    world.publish(old, "t", "from old", QoS::AtMostOnce);
    world.publish(new, "t", "from new", QoS::AtMostOnce);
    for conn in [old, new] {
        assert_eq!(world.payloads(conn), ["from old", "from new"]);
    }
    let (_, present) = world.connect(&lasting(V3, "old"));
    assert!(!present.session_present);
}
