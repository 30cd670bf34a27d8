//! What a session keeps while its client is away.

use mqtt::{Packet, PubAck, PubComp, PubRec, PubRel, QoS, ReasonCode};

use super::{V3, V5, World, lasting, message, packet_id, text, to};
use crate::Conn;

fn absent_subscriber(world: &mut World, qos: QoS) -> Conn {
    let (subscriber, _) = world.lasting(V5, "s");
    world.subscribe(subscriber, &[to("#", qos)]);
    world.cut(subscriber);
    world.client(V5, "p")
}

#[test]
fn mqtt_4_5_0_1_an_absent_client_gets_its_messages_when_it_comes_back() {
    for version in [V5, V3] {
        let mut world = World::new();
        let (subscriber, _) = world.lasting(version, "s");
        world.subscribe(subscriber, &[to("#", QoS::ExactlyOnce)]);
        world.cut(subscriber);
        let publisher = world.client(V5, "p");
        for (payload, qos) in [
            ("1", QoS::AtLeastOnce),
            ("lost", QoS::AtMostOnce),
            ("2", QoS::ExactlyOnce),
        ] {
            world.publish(publisher, "t", payload, qos);
        }
        assert_eq!(world.broker.metrics().dropped_absent, 1);
        let (subscriber, present) = world.lasting(version, "s");
        assert!(present);
        let publish = world.take_publish(subscriber);
        assert_eq!((text(&publish), publish.dup), ("1".to_owned(), false));
        assert_eq!(world.payloads(subscriber), ["2"]);
    }
}

#[test]
fn mqtt_4_4_0_1_unacknowledged_packets_are_sent_again_in_order_with_their_identifiers() {
    let mut world = World::new();
    let (subscriber, _) = world.lasting(V5, "s");
    world.subscribe(subscriber, &[to("#", QoS::ExactlyOnce)]);
    let publisher = world.client(V5, "p");
    for (id, qos) in [
        (1, QoS::AtLeastOnce),
        (2, QoS::ExactlyOnce),
        (3, QoS::ExactlyOnce),
        (4, QoS::AtLeastOnce),
    ] {
        world.send(
            publisher,
            &Packet::Publish(message("t", &id.to_string(), qos, id)),
        );
    }
    let ids: Vec<_> = (0..4)
        .map(|_| world.take_publish(subscriber).packet_id.unwrap())
        .collect();
    world.send(
        subscriber,
        &Packet::PubRec(PubRec::new(ids[1], ReasonCode::Success)),
    );
    world.cut(subscriber);
    world.publish(publisher, "t", "5", QoS::AtLeastOnce);

    let (subscriber, _) = world.lasting(V5, "s");
    let sent: Vec<_> = world
        .received(subscriber)
        .into_iter()
        .map(|packet| match packet {
            Packet::Publish(publish) => (text(&publish), publish.packet_id.unwrap(), publish.dup),
            Packet::PubRel(release) => ("PUBREL".to_owned(), release.packet_id, false),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        ("1".to_owned(), ids[0], true),
        ("PUBREL".to_owned(), ids[1], false),
        ("3".to_owned(), ids[2], true),
        ("4".to_owned(), ids[3], true),
    ];
    assert_eq!(sent[..4], expected);
    assert_eq!((sent[4].0.as_str(), sent[4].2), ("5", false));
    assert_eq!(world.broker.metrics().retransmissions, 3);
}

#[test]
fn mqtt_3_3_4_9_repeated_messages_respect_the_new_receive_maximum() {
    let mut world = World::new();
    let (subscriber, _) = world.lasting(V5, "s");
    world.subscribe(subscriber, &[to("#", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    for payload in ["1", "2", "3"] {
        world.publish(publisher, "t", payload, QoS::AtLeastOnce);
    }
    world.cut(subscriber);
    let mut connect = lasting(V5, "s");
    connect.properties.receive_maximum = Some(1);
    let (subscriber, _) = world.connect(&connect);
    for expected in ["1", "2", "3"] {
        let publish = world.take_publish(subscriber);
        assert_eq!((text(&publish).as_str(), publish.dup), (expected, true));
        assert!(world.received(subscriber).is_empty());
        let ack = PubAck::new(publish.packet_id.unwrap(), ReasonCode::Success);
        world.send(subscriber, &Packet::PubAck(ack));
    }
    assert_eq!(world.broker.metrics().queued_messages, 0);
}

#[test]
fn section_4_9_a_pubrel_that_is_sent_again_neither_takes_nor_gives_quota() {
    let mut world = World::new();
    let (subscriber, _) = world.lasting(V5, "s");
    world.subscribe(subscriber, &[to("#", QoS::ExactlyOnce)]);
    let publisher = world.client(V3, "p");
    world.publish(publisher, "t", "1", QoS::ExactlyOnce);
    let id = world.take_publish(subscriber).packet_id.unwrap();
    world.send(
        subscriber,
        &Packet::PubRec(PubRec::new(id, ReasonCode::Success)),
    );
    world.cut(subscriber);
    for payload in ["2", "3", "4"] {
        world.publish(publisher, "t", payload, QoS::AtLeastOnce);
    }
    let mut connect = lasting(V5, "s");
    connect.properties.receive_maximum = Some(2);
    let (subscriber, _) = world.connect(&connect);
    assert!(matches!(world.take(subscriber), Packet::PubRel(_)));
    assert_eq!(world.payloads(subscriber), ["2", "3"]);
    world.send(
        subscriber,
        &Packet::PubComp(PubComp::new(id, ReasonCode::Success)),
    );
    assert!(world.received(subscriber).is_empty());
}

#[test]
fn mqtt_4_3_3_10_an_incoming_message_is_remembered_over_a_lost_connection() {
    for version in [V5, V3] {
        let mut world = World::new();
        let watcher = world.client(V5, "w");
        world.subscribe(watcher, &[to("#", QoS::AtMostOnce)]);
        let (conn, _) = world.lasting(version, "a");
        world.publish(conn, "t", "once", QoS::ExactlyOnce);
        world.cut(conn);
        let (conn, _) = world.lasting(version, "a");
        let mut again = message("t", "once", QoS::ExactlyOnce, 1);
        again.dup = true;
        world.send(conn, &Packet::Publish(again));
        let received = PubRec::new(packet_id(1), ReasonCode::Success);
        assert_eq!(world.received(conn), [Packet::PubRec(received)]);
        world.send(
            conn,
            &Packet::PubRel(PubRel::new(packet_id(1), ReasonCode::Success)),
        );
        let complete = PubComp::new(packet_id(1), ReasonCode::Success);
        assert_eq!(world.received(conn), [Packet::PubComp(complete)]);
        assert_eq!(world.payloads(watcher), ["once"]);
    }
}

#[test]
fn mqtt_2_2_1_4_no_packet_identifier_is_used_twice_at_a_time() {
    let mut world = World::new();
    let (subscriber, _) = world.lasting(V5, "s");
    world.subscribe(subscriber, &[to("#", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    world.publish(publisher, "t", "stays", QoS::AtLeastOnce);
    let first = world.take_publish(subscriber).packet_id.unwrap();
    for _ in 0..70_000 {
        world.publish(publisher, "t", "goes", QoS::AtLeastOnce);
        let id = world.take_publish(subscriber).packet_id.unwrap();
        assert_ne!(id, first);
        let ack = PubAck::new(id, ReasonCode::Success);
        world.send(subscriber, &Packet::PubAck(ack));
        world.received(publisher);
    }
    assert_eq!(world.broker.metrics().queued_messages, 1);
}

#[test]
fn a_session_that_ends_takes_its_messages_with_it() {
    let mut world = World::new();
    let publisher = absent_subscriber(&mut world, QoS::AtLeastOnce);
    world.publish(publisher, "t", "x", QoS::AtLeastOnce);
    assert_eq!(world.broker.metrics().queued_messages, 1);
    world.client(V5, "s");
    let metrics = world.broker.metrics();
    assert_eq!(metrics.dropped_session_ended, 1);
    assert_eq!((metrics.queued_messages, metrics.queued_bytes), (0, 0));
}
