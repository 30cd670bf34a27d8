//! What happens at each bound.

use std::time::Duration;

use mqtt::packet::WillProperties;
use mqtt::{Connect, Disconnect, Packet, PubAck, QoS, ReasonCode, Will};

use super::{V3, V5, World, lasting, message, packet_id, text, to, topic};
use crate::{CloseCause, Limit, QueueFull};

#[test]
fn connections_are_bounded() {
    let mut world = World::with(|options| options.limits.connections = 2);
    let first = world.client(V5, "a");
    world.client(V5, "b");
    let third = world.open(V5);
    assert!(matches!(
        world.closed(third).unwrap().cause,
        CloseCause::Limit { .. }
    ));
    assert_eq!(world.broker.metrics().refused_connections_limit, 1);
    world.cut(first);
    world.client(V5, "c");
}

#[test]
fn sessions_are_bounded() {
    let mut world = World::with(|options| options.limits.sessions = 1);
    world.lasting(V5, "a");
    let (_, connack) = world.connect(&Connect::new(V5, "b"));
    assert_eq!(connack.reason_code, ReasonCode::QuotaExceeded);
    assert_eq!(world.broker.metrics().refused_sessions_limit, 1);
    assert!(world.lasting(V5, "a").1);
}

#[test]
fn a_queue_is_bounded_in_messages() {
    for (policy, expected) in [
        (QueueFull::DropNewest, ["1", "2"]),
        (QueueFull::Disconnect, ["1", "2"]),
        (QueueFull::DropOldest, ["3", "4"]),
    ] {
        let mut world = World::with(|options| {
            options.limits.queue_messages = 2;
            options.limits.queue_full = policy;
        });
        let (subscriber, _) = world.lasting(V3, "s");
        world.subscribe(subscriber, &[to("#", QoS::AtLeastOnce)]);
        world.cut(subscriber);
        let publisher = world.client(V5, "p");
        for payload in ["1", "2", "3", "4"] {
            world.publish(publisher, "t", payload, QoS::AtLeastOnce);
        }
        assert_eq!(world.broker.metrics().dropped_queue_full, 2);
        let (subscriber, _) = world.lasting(V3, "s");
        assert_eq!(world.payloads(subscriber), expected);
    }
}

#[test]
fn a_queue_is_bounded_in_bytes_of_its_own_and_of_all() {
    for all in [false, true] {
        let mut world = World::with(|options| {
            let limit = 5_000;
            options.limits.queue_full = QueueFull::DropNewest;
            if all {
                options.limits.all_queues_bytes = limit;
            } else {
                options.limits.queue_bytes = limit;
            }
        });
        for id in ["s1", "s2"] {
            let (subscriber, _) = world.lasting(V5, id);
            world.subscribe(subscriber, &[to("#", QoS::AtLeastOnce)]);
            world.cut(subscriber);
        }
        let publisher = world.client(V5, "p");
        for _ in 0..100 {
            world.publish(publisher, "t", &"x".repeat(1_000), QoS::AtLeastOnce);
        }
        let metrics = world.broker.metrics();
        let bytes = if all { 2_500..5_001 } else { 5_000..10_001 };
        assert!(bytes.contains(&metrics.queued_bytes), "{metrics:?}");
        assert_eq!(metrics.dropped_queue_full + metrics.queued_messages, 200);
    }
}

#[test]
fn expired_messages_make_room_first() {
    let mut world = World::with(|options| options.limits.queue_messages = 1);
    let (subscriber, _) = world.lasting(V5, "s");
    world.subscribe(subscriber, &[to("#", QoS::AtLeastOnce)]);
    world.cut(subscriber);
    let publisher = world.client(V5, "p");
    let mut publish = message("t", "old", QoS::AtLeastOnce, 1);
    publish.properties.message_expiry_interval = Some(1);
    world.send(publisher, &Packet::Publish(publish));
    world.sleep(Duration::from_secs(2));
    world.publish(publisher, "t", "new", QoS::AtLeastOnce);
    let (subscriber, _) = world.lasting(V5, "s");
    assert_eq!(world.payloads(subscriber), ["new"]);
    assert_eq!(world.broker.metrics().dropped_expired, 1);
    assert_eq!(world.broker.metrics().dropped_queue_full, 0);
}

#[test]
fn a_connected_client_whose_queue_is_full_is_disconnected_and_may_come_back() {
    let mut world = World::with(|options| {
        options.limits.queue_messages = 3;
        options.limits.inflight_window = 1;
    });
    let (subscriber, _) = world.lasting(V5, "s");
    world.subscribe(subscriber, &[to("#", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    for number in 0..5 {
        world.publish(publisher, "t", &number.to_string(), QoS::AtLeastOnce);
    }
    assert_eq!(world.farewell(subscriber), Some(ReasonCode::QuotaExceeded));
    assert_eq!(world.broker.metrics().closed_queue_full, 1);
    let (subscriber, present) = world.lasting(V5, "s");
    assert!(present);
    let mut payloads = Vec::new();
    while let Some(Packet::Publish(publish)) = world.received(subscriber).pop() {
        payloads.push(text(&publish));
        let ack = PubAck::new(publish.packet_id.unwrap(), ReasonCode::Success);
        world.send(subscriber, &Packet::PubAck(ack));
    }
    assert_eq!(payloads, ["0", "1", "2", "3"]);
}

#[test]
fn a_client_that_does_not_read_costs_its_buffer_and_no_more() {
    let mut world = World::with(|options| options.limits.out_buffer_bytes = 1_000);
    let (subscriber, _) = world.connect(&lasting(V5, "s"));
    world.subscribe(
        subscriber,
        &[to("0", QoS::AtMostOnce), to("1", QoS::AtLeastOnce)],
    );
    let other = world.client(V5, "other");
    world.subscribe(other, &[to("0", QoS::AtMostOnce)]);
    let publisher = world.client(V5, "p");
    world.set_reads(subscriber, false);
    for _ in 0..100 {
        world.publish(publisher, "0", &"x".repeat(93), QoS::AtMostOnce);
        world.publish(publisher, "1", "sure", QoS::AtLeastOnce);
    }
    assert!(world.closed(subscriber).is_none());
    let dropped = world.broker.metrics().dropped_slow;
    assert!((90..100).contains(&dropped), "{dropped}");
    assert_eq!(world.payloads(other).len(), 100);

    // The client reads again: its `QoS` 1 and 2 messages are there, as the window allows.
    world.set_reads(subscriber, true);
    let mut sure = 0;
    loop {
        let packets = world.received(subscriber);
        if packets.is_empty() {
            break;
        }
        for packet in packets {
            if let Packet::Publish(publish) = packet
                && let Some(id) = publish.packet_id
            {
                sure += 1;
                world.send(
                    subscriber,
                    &Packet::PubAck(PubAck::new(id, ReasonCode::Success)),
                );
            }
        }
    }
    assert_eq!(sure, 100);
    assert_eq!(world.broker.metrics().queued_bytes, 0);
}

#[test]
fn a_client_that_causes_answers_and_does_not_read_is_closed() {
    let mut world = World::with(|options| options.limits.out_buffer_bytes = 1_000);
    let conn = world.client(V5, "a");
    world.set_reads(conn, false);
    for _ in 0..2_000 {
        world.send(conn, &Packet::PingReq);
    }
    assert_eq!(
        world.closed(conn).unwrap().cause.reason_code(),
        ReasonCode::QuotaExceeded
    );
    assert_eq!(world.broker.metrics().closed_not_reading, 1);
}

#[test]
fn an_answer_that_is_too_large_for_the_client_ends_the_connection() {
    let mut world = World::new();
    let mut connect = Connect::new(V5, "a");
    connect.properties.maximum_packet_size = Some(30);
    let (conn, _) = world.connect(&connect);
    let many: Vec<_> = (0..40)
        .map(|number| to(&number.to_string(), QoS::AtMostOnce))
        .collect();
    world.send(conn, &super::subscribe(&many, None));
    assert_eq!(world.farewell(conn), Some(ReasonCode::PacketTooLarge));
}

/// A client with a lasting session and a will whose payload has this length.
fn with_will(id: &'static str, len: usize, delay: u32) -> Connect {
    let mut connect = lasting(V5, id);
    connect.will = Some(Will {
        topic: topic("will"),
        payload: "x".repeat(len).into(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: WillProperties {
            will_delay_interval: Some(delay),
            ..WillProperties::default()
        },
    });
    connect
}

#[test]
fn wills_are_bounded_each_and_together_and_given_back() {
    let mut world = World::with(|options| {
        options.limits.will_bytes = 2_000;
        options.limits.all_wills_bytes = 3_000;
    });
    let (_, connack) = world.connect(&with_will("large", 2_000, 0));
    assert_eq!(connack.reason_code, ReasonCode::QuotaExceeded);
    let (first, _) = world.connect(&with_will("first", 1_000, 0));
    let (second, _) = world.connect(&with_will("second", 1_000, 10));
    let (_, connack) = world.connect(&with_will("third", 1_000, 0));
    assert_eq!(connack.reason_code, ReasonCode::QuotaExceeded);
    let metrics = world.broker.metrics();
    assert_eq!(metrics.refused_will_limit, 2);
    assert_eq!((metrics.wills, metrics.connects_refused), (2, 2));
    assert!((2_000..3_000).contains(&metrics.will_bytes), "{metrics:?}");

    // The wills are published, taken back, replaced, and published after their delay.
    world.cut(first);
    assert_eq!(world.broker.metrics().wills, 1);
    let (first, _) = world.connect(&with_will("first", 1_000, 0));
    world.send(
        first,
        &Packet::Disconnect(Disconnect::new(ReasonCode::Success)),
    );
    assert_eq!(world.broker.metrics().wills, 1);
    world.cut(second);
    let (second, _) = world.connect(&with_will("second", 1_100, 10));
    assert_eq!(world.broker.metrics().wills, 1);
    world.cut(second);
    assert_eq!(world.broker.metrics().wills, 1);
    world.sleep(Duration::from_secs(11));
    let metrics = world.broker.metrics();
    assert_eq!((metrics.wills, metrics.will_bytes), (0, 0));
    assert_eq!(metrics.wills_published, 2);
}

#[test]
fn a_client_that_is_closed_for_not_reading_is_counted_once() {
    let mut world = World::with(|options| options.limits.out_buffer_bytes = 100);
    let conn = world.client(V5, "a");
    world.set_reads(conn, false);
    let mut pings = bytes::BytesMut::new();
    for _ in 0..1_000 {
        mqtt::encode(&Packet::PingReq, V5, &mut pings).unwrap();
    }
    world.send_bytes(conn, pings);
    assert!(world.closed(conn).is_some());
    assert_eq!(world.broker.metrics().closed_not_reading, 1);
    assert_eq!(world.broker.metrics().unwritten_bytes, 0);
}

#[test]
fn a_queue_is_not_emptied_for_a_message_that_can_never_fit() {
    let mut world = World::with(|options| {
        options.limits.queue_bytes = 10_000;
        options.limits.queue_full = QueueFull::DropOldest;
    });
    let publisher = world.client(V5, "p");
    let (conn, _) = world.lasting(V5, "absent");
    world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
    world.cut(conn);
    for text in ["1", "2", "3"] {
        world.publish(publisher, "t", text, QoS::AtLeastOnce);
    }
    world.publish(publisher, "t", &"x".repeat(20_000), QoS::AtLeastOnce);
    assert_eq!(world.broker.metrics().dropped_queue_full, 1);
    let (conn, _) = world.lasting(V5, "absent");
    assert_eq!(world.payloads(conn), ["1", "2", "3"]);
}

#[test]
fn only_messages_that_wait_for_the_window_count_as_such() {
    let waits = |world: &World| world.broker.metrics().window_waits;
    // The limit is the window, or the client's smaller Receive Maximum.
    for (window, receive_maximum) in [(2, None), (64, Some(2))] {
        let mut world = World::with(|options| {
            options.limits.inflight_window = window;
            options.limits.out_buffer_bytes = 1_000;
        });
        let mut connect = lasting(V5, "s");
        connect.properties.receive_maximum = receive_maximum;
        let (subscriber, _) = world.connect(&connect);
        let both = [to("#", QoS::AtLeastOnce), to("0", QoS::AtMostOnce)];
        world.subscribe(subscriber, &both);
        let publisher = world.client(V5, "p");
        for _ in 0..2 {
            world.publish(publisher, "t", "sent", QoS::AtLeastOnce);
        }
        assert_eq!(waits(&world), 0);
        for _ in 0..3 {
            world.publish(publisher, "t", "waits", QoS::ExactlyOnce);
            let rel = mqtt::PubRel::new(packet_id(1), ReasonCode::Success);
            world.send(publisher, &Packet::PubRel(rel));
            world.publish(publisher, "t", "is sent", QoS::AtMostOnce);
        }
        assert_eq!(waits(&world), 3);
        // One message is acknowledged, and another joins the queue.
        let ids = world.received(subscriber).into_iter().filter_map(|packet| {
            let Packet::Publish(publish) = packet else {
                return None;
            };
            publish.packet_id
        });
        let first = ids.collect::<Vec<_>>()[0];
        let ack = PubAck::new(first, ReasonCode::Success);
        world.send(subscriber, &Packet::PubAck(ack));
        world.publish(publisher, "t", "waits", QoS::AtLeastOnce);
        assert_eq!(waits(&world), 4);
        // An absent client's messages wait for the client, not for its window.
        world.cut(subscriber);
        world.publish(publisher, "t", "absent", QoS::AtLeastOnce);
        assert_eq!(waits(&world), 4);
        // Messages that were sent are sent again, and leave no room in the window.
        let (subscriber, _) = world.connect(&connect);
        world.publish(publisher, "t", "waits", QoS::AtLeastOnce);
        assert_eq!(waits(&world), 5);
        drop(world.received(subscriber));

        // Messages for a client that does not read do not count either.
        let slow = world.client(V5, "slow");
        world.subscribe(slow, &[to("slow", QoS::AtLeastOnce)]);
        world.set_reads(slow, false);
        world.cut(subscriber);
        for _ in 0..2 {
            world.publish(publisher, "slow", &"x".repeat(600), QoS::AtLeastOnce);
        }
        assert!(world.broker.metrics().queued_messages > 0);
        assert_eq!(waits(&world), 5);
    }
}

#[test]
fn a_client_that_sends_too_much_early_is_named_in_the_log() {
    let mut world = World::with(|options| {
        options.authenticate = true;
        options.limits.early_bytes = 100;
    });
    let conn = world.open(V5);
    world.send(conn, &Packet::Connect(Connect::new(V5, "eager")));
    world.send_bytes(conn, vec![0xC0; 100]);
    assert!(world.closed(conn).is_none());
    world.send_bytes(conn, vec![0xC0; 1]);
    assert_eq!(world.farewell(conn), Some(ReasonCode::QuotaExceeded));
    assert_eq!(world.broker.metrics().refused_early_bytes, 1);
    let told = world.told.pop().unwrap();
    assert_eq!(told.limit, Limit::EarlyBytes);
    assert_eq!(told.client_id.as_deref(), Some("eager"));
}

/// Clients of version 3.1.1 cannot say how many messages they can have unacknowledged, so they get
/// few.
#[test]
fn the_window_is_as_large_as_the_client_says_it_may_be() {
    let mut world = World::new();
    let publisher = world.client(V5, "p");
    let asked = [(V5, None, 4_096), (V5, Some(1_000), 1_000), (V3, None, 64)];
    for (version, receive_maximum, window) in asked {
        let mut connect = Connect::new(version, "s");
        connect.properties.receive_maximum = receive_maximum;
        let (conn, _) = world.connect(&connect);
        world.subscribe(conn, &[to("t", QoS::ExactlyOnce)]);
        for number in 0..5_000 {
            let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][number % 2];
            world.publish(publisher, "t", "x", qos);
            let release = mqtt::PubRel::new(packet_id(1), ReasonCode::Success);
            world.send(publisher, &Packet::PubRel(release));
        }
        world.received(publisher);
        assert_eq!(world.payloads(conn).len(), window);
        world.cut(conn);
    }
}
