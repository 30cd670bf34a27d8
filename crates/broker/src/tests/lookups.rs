//! Retained look-ups: which messages wait for them, and what they wait for.

use std::time::Duration;

use mqtt::{Packet, PubAck, QoS, ReasonCode, Unsubscribe, Utf8String};

use super::{V5, World, lasting, message, packet_id, retained, to};
use crate::delivery::Routed;
use crate::session::Outgoing;
use crate::types::Delivery;
use crate::types::{Origin, Queued};

/// Acknowledges everything that has come. Returns the payloads.
fn acknowledge(world: &mut World, conn: crate::Conn) -> Vec<String> {
    let mut payloads = Vec::new();
    loop {
        let received = world.received(conn);
        if received.is_empty() {
            return payloads;
        }
        for packet in received {
            if let Packet::Publish(publish) = packet {
                payloads.push(super::text(&publish));
                if let Some(packet_id) = publish.packet_id {
                    let ack = PubAck::new(packet_id, ReasonCode::Success);
                    world.send(conn, &Packet::PubAck(ack));
                }
            }
        }
    }
}

#[test]
fn a_message_between_two_look_ups_does_not_stall() {
    let mut world = World::new();
    let publisher = world.client(V5, "p");
    for number in 0..20_000 {
        let topic = format!("n{number}/r");
        world.send(publisher, &retained(&topic, "x", QoS::AtMostOnce));
    }
    world.send(publisher, &retained("last/z", "old", QoS::AtLeastOnce));
    let conn = world.client(V5, "s");
    world.subscribe(conn, &[to("+/z", QoS::AtLeastOnce)]);
    acknowledge(&mut world, conn);
    // This message waits for a retained message of its topic that may still be found.
    world.publish(publisher, "last/z", "live", QoS::AtLeastOnce);
    world.subscribe(conn, &[to("other", QoS::AtLeastOnce)]);
    assert_eq!(world.broker.metrics().retained_lookups, 2);
    assert_eq!(world.broker.metrics().queued_messages, 1);
    world.sleep(Duration::from_secs(1));
    assert_eq!(acknowledge(&mut world, conn), ["live"]);
    assert_eq!(world.broker.metrics().retained_lookups, 0);
    assert_eq!(world.broker.metrics().queued_messages, 0);
}

/// A look-up knows how many queued messages go before it. It must keep that place when the queue
/// becomes empty.
#[test]
fn a_look_up_goes_on_after_a_reconnect_with_an_empty_queue() {
    let mut world = World::new();
    let publisher = world.client(V5, "p");
    let (conn, _) = world.lasting(V5, "s");
    world.subscribe(conn, &[to("live", QoS::AtLeastOnce)]);
    world.cut(conn);
    world.publish(publisher, "live", "queued", QoS::AtLeastOnce);
    let (conn, _) = world.lasting(V5, "s");
    assert_eq!(acknowledge(&mut world, conn), ["queued"]);
    for number in 0..20_000 {
        let topic = format!("n{number}/r");
        world.send(publisher, &retained(&topic, "x", QoS::AtMostOnce));
    }
    for number in 0..4 {
        let topic = format!("n{}/z", 5_000 * number);
        world.send(publisher, &retained(&topic, &topic, QoS::AtLeastOnce));
    }
    world.subscribe(conn, &[to("+/z", QoS::AtLeastOnce)]);
    let mut found = acknowledge(&mut world, conn);
    assert_eq!(world.broker.metrics().retained_lookups, 1);
    assert_eq!(world.broker.metrics().queued_messages, 0);
    assert!(found.len() < 3, "{found:?}");
    world.cut(conn);
    let (conn, _) = world.lasting(V5, "s");
    world.sleep(Duration::from_secs(1));
    found.extend(acknowledge(&mut world, conn));
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(world.broker.metrics().retained_lookups, 0);
}

#[test]
fn queue_numbers_stay_right_when_entries_leave_the_middle() {
    let queued = |origin| {
        let publish = message("t", "x", QoS::AtLeastOnce, 1);
        let publisher = Utf8String::try_from("p").unwrap();
        Queued {
            message: Routed::fresh(publish, publisher).keep(mqtt::Instant::ZERO),
            delivery: Delivery {
                qos: QoS::AtLeastOnce,
                retain: false,
                identifiers: None.into(),
            },
            origin,
            is_held: false,
        }
    };
    let mut outgoing = Outgoing::default();
    outgoing.push(queued(Origin::Retained));
    outgoing.push(queued(Origin::Live));
    outgoing.push(queued(Origin::Live));
    outgoing.pop_live();
    assert!(!outgoing.is_past(1));
    assert_eq!(outgoing.next_queued(), 0);
    outgoing.pop();
    assert!(outgoing.is_past(2));
    assert!(!outgoing.is_past(3));
    outgoing.sent(packet_id(1), queued(Origin::Live));
    let window = outgoing.window_bytes();
    assert!(window > 0 && window < outgoing.bytes());
    outgoing.drop_expired(mqtt::Instant::ZERO);
    assert!(!outgoing.is_past(3));
    outgoing.pop();
    assert!(outgoing.is_past(3));
    assert_eq!(outgoing.window_bytes(), outgoing.bytes());
}

#[test]
fn each_filter_has_one_look_up_however_often_it_is_subscribed() {
    let mut world = World::new();
    let publisher = world.client(V5, "p");
    for topic in ["keep/1", "keep/2", "keep/3"] {
        world.send(publisher, &retained(topic, "x", QoS::AtLeastOnce));
    }
    world.received(publisher);
    let mut connect = lasting(V5, "s");
    connect.properties.receive_maximum = Some(1);
    let (conn, _) = world.connect(&connect);
    world.subscribe(conn, &[to("keep/+", QoS::AtLeastOnce)]);
    // The window is full, so the look-up pauses.
    let first = world.take_publish(conn);
    let bytes = world.broker.metrics().retained_lookup_bytes;
    let filters: Vec<_> = (0..1_000)
        .map(|number| to(&format!("f/{number}"), QoS::AtLeastOnce))
        .collect();
    world.subscribe(conn, &filters);
    let all_bytes = world.broker.metrics().retained_lookup_bytes;
    world.subscribe(conn, &filters);
    assert_eq!(world.broker.metrics().retained_lookups, 1_001);
    assert_eq!(world.broker.metrics().retained_lookup_bytes, all_bytes);
    // A live message waits for the retained message of its own topic, but not for others.
    for (topic, waits) in [("f/1", false), ("keep/4", false), ("keep/2", true)] {
        let qos = QoS::AtMostOnce;
        world.publish(publisher, topic, "live", qos);
        assert_eq!(world.payloads(conn).is_empty(), waits, "{topic}");
    }
    world.send(
        conn,
        &Packet::Unsubscribe(Unsubscribe {
            packet_id: packet_id(1),
            topic_filters: filters.into_iter().map(|it| it.topic_filter).collect(),
            user_properties: Vec::new(),
        }),
    );
    assert_eq!(world.broker.metrics().retained_lookups, 1);
    assert_eq!(world.broker.metrics().retained_lookup_bytes, bytes);
    world.received(conn);
    let ack = PubAck::new(first.packet_id.unwrap(), ReasonCode::Success);
    world.send(conn, &Packet::PubAck(ack));
    assert_eq!(acknowledge(&mut world, conn), ["x", "x", "live"]);
    assert_eq!(world.broker.metrics().retained_lookups, 0);
    assert_eq!(world.broker.metrics().retained_lookup_bytes, 0);
}
