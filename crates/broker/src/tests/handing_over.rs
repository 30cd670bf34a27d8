//! Handing over messages of groups when there is hardly any room (section 4.8.2).

use mqtt::packet::ConnectProperties;
use mqtt::{Connect, QoS, Utf8String};

use super::{V5, World, lasting, to};
use crate::{Conn, QueueFull};

/// A member whose client takes one message at a time and acknowledges none.
fn member(world: &mut World, id: &'static str, qos: QoS) -> Conn {
    let connect = lasting(V5, id);
    let (conn, _) = world.connect(&Connect {
        client_id: Utf8String::from_static(id),
        properties: ConnectProperties {
            receive_maximum: Some(1),
            ..connect.properties
        },
        ..connect
    });
    world.subscribe(conn, &[to("$share/g/t", qos)]);
    conn
}

fn publish(world: &mut World, publisher: Conn, bytes: usize, qos: QoS) {
    world.publish(publisher, "t", &"x".repeat(bytes), qos);
    world.received(publisher);
}

#[test]
fn handing_over_loses_nothing_when_queues_are_nearly_full() {
    for queue_full in [
        QueueFull::DropNewest,
        QueueFull::DropOldest,
        QueueFull::Disconnect,
    ] {
        let mut world = World::with(|options| {
            options.limits.all_queues_bytes = 200_000;
            options.limits.queue_full = queue_full;
        });
        let publisher = world.client(V5, "p");
        let a = member(&mut world, "a", QoS::AtLeastOnce);
        let b = member(&mut world, "b", QoS::AtLeastOnce);
        // A session may hold as much as is still free. For two sessions that hold the same, that is
        // 66,667 bytes each.
        while world.broker.metrics().queued_bytes < 125_000 {
            publish(&mut world, publisher, 500, QoS::AtLeastOnce);
        }
        let before = world.broker.metrics().clone();
        assert_eq!(before.dropped_queue_full, 0);
        world.cut(b);
        let after = world.broker.metrics();
        assert_eq!(after.queued_messages, before.queued_messages);
        assert_eq!(after.queued_bytes, before.queued_bytes);
        assert_eq!(after.dropped_queue_full, 0);
        // A few messages found room with the other member, but most did not.
        assert!((1..30).contains(&after.passed_on), "{}", after.passed_on);
        assert!(world.closed(a).is_none());
    }
}

#[test]
fn a_group_sends_to_members_with_room_when_buffers_are_nearly_full() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let mut world = World::with(|options| {
            options.limits.all_out_buffers_bytes = 200_000;
            options.limits.out_buffer_bytes = 1_000_000;
        });
        let publisher = world.client(V5, "p");
        let stuck = world.client(V5, "stuck");
        let reads = world.client(V5, "reads");
        for conn in [stuck, reads] {
            world.subscribe(conn, &[to("$share/g/t", qos)]);
        }
        world.set_reads(stuck, false);
        let mut got = 0;
        for _ in 0..500 {
            publish(&mut world, publisher, 1_000, qos);
            for packet in world.received(reads) {
                let mqtt::Packet::Publish(publish) = packet else {
                    panic!("{packet:?}");
                };
                if let Some(id) = publish.packet_id {
                    let ack = mqtt::PubAck::new(id, mqtt::ReasonCode::Success);
                    world.send(reads, &mqtt::Packet::PubAck(ack));
                }
                got += 1;
            }
        }
        assert_eq!(world.broker.metrics().dropped_slow, 0);
        // One member's buffer may take half of the whole. The rest goes to the other member.
        assert!(got >= 400, "{got}");
        assert!(world.broker.metrics().unwritten_bytes <= 101_000);
    }
}

#[test]
fn a_large_message_keeps_its_place_in_a_full_group() {
    let mut world = World::with(|options| {
        options.limits.queue_bytes = 20_000;
        options.limits.queue_full = QueueFull::DropNewest;
    });
    let publisher = world.client(V5, "p");
    let a = member(&mut world, "a", QoS::AtLeastOnce);
    // One message is on its way to `a`, and one waits.
    publish(&mut world, publisher, 6_000, QoS::AtLeastOnce);
    publish(&mut world, publisher, 6_000, QoS::AtLeastOnce);
    world.received(a);
    let b = member(&mut world, "b", QoS::AtLeastOnce);
    for bytes in [10, 15_000, 10, 10] {
        publish(&mut world, publisher, bytes, QoS::AtLeastOnce);
    }
    let before = world.broker.metrics().clone();
    assert_eq!((before.queued_messages, before.passed_on), (6, 0));
    world.cut(b);
    let after = world.broker.metrics();
    assert_eq!(after.queued_messages, 6);
    assert_eq!(after.dropped_queue_full, 0);
    let waits: Vec<_> = (world.broker.sessions.find("b"))
        .and_then(|id| world.broker.sessions.get(id)?.outgoing())
        .into_iter()
        .flat_map(|it| it.queue().map(|queued| queued.message.cost() > 15_000))
        .collect();
    assert_eq!(waits.first(), Some(&true));
    assert!(waits.len() > 1 && waits[1..].iter().all(|is_large| !is_large));
}
