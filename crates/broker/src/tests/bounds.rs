//! Limits over all clients: a client that takes more than its fair share is held back, and no other
//! client is.

use std::time::Duration;

use mqtt::{Connect, Packet, QoS, ReasonCode};

use super::{V3, V5, World, lasting, message, retained, to};
use crate::{Limit, Output};

#[test]
fn large_queues_leave_room_for_small_ones() {
    let mut world = World::with(|options| options.limits.all_queues_bytes = 200_000);
    let publisher = world.client(V5, "p");
    for (id, filter) in [("hog 1", "hog"), ("hog 2", "hog"), ("innocent", "small")] {
        let (conn, _) = world.connect(&Connect {
            client_id: mqtt::Utf8String::try_from(id).unwrap(),
            ..lasting(V5, "x")
        });
        world.subscribe(conn, &[to(filter, QoS::AtLeastOnce)]);
        world.cut(conn);
    }
    for _ in 0..1_000 {
        world.publish(publisher, "hog", &"x".repeat(1_000), QoS::AtLeastOnce);
    }
    let metrics = world.broker.metrics().clone();
    assert!(metrics.dropped_queue_full > 1_000);
    // Two greedy clients get a third each.
    assert!(
        (120_000..140_000).contains(&metrics.queued_bytes),
        "{metrics:?}"
    );
    for _ in 0..10 {
        world.publish(publisher, "small", &"x".repeat(1_000), QoS::AtLeastOnce);
    }
    let after = world.broker.metrics();
    assert_eq!(after.dropped_queue_full, metrics.dropped_queue_full);
    assert_eq!(after.queued_messages, metrics.queued_messages + 10);
}

#[test]
fn clients_that_do_not_read_leave_room_for_the_others() {
    let mut world = World::with(|options| {
        options.limits.all_out_buffers_bytes = 200_000;
        options.limits.out_buffer_bytes = 1_000_000;
    });
    let publisher = world.client(V5, "p");
    for id in ["hog 1", "hog 2", "hog 3"] {
        let conn = world.client(V5, id);
        world.subscribe(conn, &[to("#", QoS::AtMostOnce)]);
        world.set_reads(conn, false);
    }
    for _ in 0..1_000 {
        world.publish(publisher, "t", &"x".repeat(1_000), QoS::AtMostOnce);
    }
    let unwritten = world.broker.metrics().unwritten_bytes;
    assert!((100_000..160_000).contains(&unwritten), "{unwritten}");
    // Another client that is slow for a moment may use all that is free.
    let late = world.client(V5, "late");
    world.subscribe(late, &[to("#", QoS::AtMostOnce)]);
    world.set_reads(late, false);
    let dropped = world.broker.metrics().dropped_slow;
    for _ in 0..20 {
        world.publish(publisher, "t", &"x".repeat(1_000), QoS::AtMostOnce);
    }
    // Those that had all they may have lost some of their oldest.
    let dropped = world.broker.metrics().dropped_slow - dropped;
    assert!((10..=90).contains(&dropped), "{dropped}");
    world.set_reads(late, true);
    assert_eq!(world.payloads(late).len(), 20);
}

/// A world whose memory is full of retained messages.
fn full() -> World {
    let mut world = World::with(|options| options.limits.memory_bytes = 100_000);
    let publisher = world.client(V5, "filler");
    for number in 0..100 {
        let topic = format!("fill/{number}");
        world.send(
            publisher,
            &retained(&topic, &"x".repeat(1_000), QoS::AtMostOnce),
        );
    }
    let used = world.broker.metrics().memory_bytes;
    assert!((100_000..103_000).contains(&used), "{used}");
    assert!(world.broker.metrics().dropped_memory > 0);
    world
}

#[test]
fn without_memory_new_messages_are_refused_in_each_versions_words() {
    let mut world = full();
    let publisher = crate::Conn(1);
    let dropped = world.broker.metrics().dropped_memory;
    world.publish(publisher, "t", "x", QoS::AtMostOnce);
    assert_eq!(world.broker.metrics().dropped_memory, dropped + 1);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        world.publish(publisher, "t", "x", qos);
        let code = match world.take(publisher) {
            Packet::PubAck(ack) => ack.reason_code,
            Packet::PubRec(ack) => ack.reason_code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code, ReasonCode::QuotaExceeded);
    }
    assert_eq!(world.broker.metrics().refused_memory, 2);

    // Messages that free memory are not refused. After them other messages are not refused either.
    for number in 0..10 {
        let topic = format!("fill/{number}");
        world.send(publisher, &retained(&topic, "", QoS::AtMostOnce));
    }
    world.publish(publisher, "t", "x", QoS::AtLeastOnce);
    let Packet::PubAck(ack) = world.take(publisher) else {
        panic!("PUBACK expected");
    };
    assert_eq!(ack.reason_code, ReasonCode::NoMatchingSubscribers);
}

#[test]
fn without_memory_a_3_1_1_client_is_closed_instead_of_acknowledged() {
    let mut world = World::with(|options| options.limits.memory_bytes = 4_000);
    let conn = world.client(V3, "old");
    world.send(conn, &retained("t", &"x".repeat(3_000), QoS::AtMostOnce));
    world.send(
        conn,
        &Packet::Publish(message("t", "x", QoS::AtLeastOnce, 1)),
    );
    assert!(world.received(conn).is_empty());
    assert_eq!(
        world.closed(conn).unwrap().cause.reason_code(),
        ReasonCode::QuotaExceeded
    );
}

#[test]
fn without_memory_only_returning_clients_are_let_in() {
    let mut world = World::with(|options| options.limits.memory_bytes = 10_000);
    let (conn, _) = world.lasting(V5, "known");
    world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
    world.cut(conn);
    let publisher = world.client(V5, "p");
    for _ in 0..10 {
        world.publish(publisher, "t", &"x".repeat(1_000), QoS::AtLeastOnce);
    }
    let (_, connack) = world.connect(&Connect::new(V5, "new"));
    assert_eq!(connack.reason_code, ReasonCode::ServerBusy);
    let (conn, present) = world.lasting(V5, "known");
    assert!(present);
    assert!(!world.payloads(conn).is_empty());
}

#[test]
fn the_unfinished_packet_that_was_held_most_for_longest_goes() {
    let mut world = World::with(|options| options.limits.all_partial_bytes = 300_000);
    // A client has sent almost all of a PUBLISH of 200,000 bytes.
    let start = [0x30, 0xC0, 0x9A, 0x0C];
    let hostile = world.client(V5, "hostile");
    world.send_bytes(hostile, start.to_vec());
    world.send_bytes(hostile, vec![0; 150_000]);
    let held = world.broker.metrics().partial_bytes;
    assert!((150_000..=200_010).contains(&held), "{held}");
    world.now = world.now + Duration::from_secs(10);
    let honest = world.client(V5, "honest");
    world.subscribe(honest, &[to("t", QoS::AtMostOnce)]);
    let mut large = bytes::BytesMut::new();
    let publish = message("t", &"x".repeat(199_000), QoS::AtMostOnce, 1);
    mqtt::encode(&Packet::Publish(publish), V5, &mut large).unwrap();
    for chunk in large.chunks(10_000) {
        world.send_bytes(honest, chunk.to_vec());
    }
    assert_eq!(world.payloads(honest).len(), 1);
    assert_eq!(world.farewell(hostile), Some(ReasonCode::QuotaExceeded));
    assert_eq!(world.broker.metrics().closed_partial, 1);
    assert_eq!(world.broker.metrics().partial_bytes, 0);
}

#[test]
fn a_reached_limit_is_reported_with_the_client() {
    let mut world = World::with(|options| options.limits.subscriptions_per_client = 1);
    let conn = world.client(V5, "greedy");
    world.send(
        conn,
        &super::subscribe(&[to("a", QoS::AtMostOnce), to("b", QoS::AtMostOnce)], None),
    );
    let told = std::mem::take(&mut world.told);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].limit, Limit::Subscriptions);
    assert_eq!(told[0].client_id.as_deref(), Some("greedy"));
    assert!(matches!(world.broker.poll_output(), Output::Idle(_)));
}

/// Sends this many messages, which the broker gets as one input.
fn flood(world: &mut World, conn: crate::Conn, messages: u32) {
    let mut bytes = bytes::BytesMut::new();
    for number in 0..messages {
        let publish = message("t", &number.to_string(), QoS::AtMostOnce, 1);
        mqtt::encode(&Packet::Publish(publish), V5, &mut bytes).unwrap();
    }
    world.send_bytes(conn, bytes);
}

#[test]
fn a_client_that_publishes_too_fast_waits_and_loses_nothing() {
    let mut world = World::with(|options| options.limits.publish_rate = 10);
    let subscriber = world.client(V5, "s");
    world.subscribe(subscriber, &[to("t", QoS::AtMostOnce)]);
    let mut connect = Connect::new(V5, "fast");
    connect.keep_alive = 2;
    let (fast, _) = world.connect(&connect);
    flood(&mut world, fast, 70);
    assert!(world.paused.contains(&fast));
    // The messages of one second were accepted at once, and so was the one that exceeded the rate.
    assert_eq!(world.payloads(subscriber).len(), 11);
    assert!(world.broker.metrics().partial_bytes > 0);
    world.sleep(Duration::from_millis(1_050));
    let payloads = world.payloads(subscriber);
    assert!((9..=11).contains(&payloads.len()), "{payloads:?}");
    assert_eq!(payloads[0], "11");
    // No other client waits, and this one is not closed for silence.
    world.publish(subscriber, "t", "other", QoS::AtMostOnce);
    assert_eq!(world.payloads(subscriber), ["other"]);
    world.sleep(Duration::from_secs(5));
    assert_eq!(world.closed(fast), None);
    assert_eq!(world.payloads(subscriber).last().unwrap(), "69");
    assert!(!world.paused.contains(&fast));
    let metrics = world.broker.metrics();
    assert!(metrics.publish_rate_pauses > 10);
    assert_eq!(metrics.partial_bytes, 0);
    assert_eq!(world.told[0].limit, Limit::PublishRate);

    // If it stays silent from then on, it is closed for silence.
    world.sleep(Duration::from_secs(4));
    assert!(world.closed(fast).is_some());
}

#[test]
fn reconnecting_does_not_raise_the_publish_rate() {
    let mut world = World::with(|options| options.limits.publish_rate = 10);
    let (fast, _) = world.lasting(V5, "fast");
    flood(&mut world, fast, 100);
    assert!(world.paused.contains(&fast));
    world.cut(fast);
    assert_eq!(world.broker.metrics().partial_bytes, 0);
    let (fast, _) = world.lasting(V5, "fast");
    flood(&mut world, fast, 1);
    assert!(world.paused.contains(&fast));
    world.cut(fast);
    world.sleep(Duration::from_secs(3));
}

#[test]
fn the_longest_absent_session_with_an_empty_queue_makes_room() {
    let mut world = World::with(|options| options.limits.sessions = 3);
    for (id, filter) in [("holds", "t"), ("old", "u"), ("new", "u")] {
        let (conn, _) = world.lasting(V5, id);
        world.subscribe(conn, &[to(filter, QoS::AtLeastOnce)]);
        if id == "holds" {
            world.publish(conn, "t", "mine", QoS::AtLeastOnce);
        }
        world.cut(conn);
        world.sleep(Duration::from_secs(1));
    }
    let subscriptions = world.broker.metrics().subscriptions;
    let first = world.client(V5, "first");
    assert_eq!(world.broker.metrics().sessions_evicted, 1);
    assert_eq!(world.broker.metrics().subscriptions, subscriptions - 1);
    world.client(V5, "second");
    assert_eq!(world.broker.metrics().sessions_evicted, 2);
    assert_eq!(world.told[0].client_id.as_deref(), Some("old"));
    // Sessions with waiting messages stay, and so do connected ones.
    let (_, connack) = world.connect(&Connect::new(V5, "third"));
    assert_eq!(connack.reason_code, ReasonCode::QuotaExceeded);
    world.cut(first);
    let (holds, present) = world.lasting(V5, "holds");
    assert!(present);
    assert_eq!(world.payloads(holds), ["mine"]);
    assert_eq!(world.broker.metrics().sessions_evicted, 2);
    assert_eq!(world.broker.metrics().refused_sessions_limit, 1);
}

#[test]
fn topic_aliases_are_counted_and_freed() {
    let mut world = World::with(|options| options.limits.memory_bytes = 20_000);
    let aliased = |alias: u16| {
        let mut publish = message("t", "x", QoS::AtMostOnce, 1);
        publish.topic = Some(super::topic(&"t".repeat(4_000)));
        publish.properties.topic_alias = std::num::NonZeroU16::new(alias);
        Packet::Publish(publish)
    };
    let conn = world.client(V5, "a");
    for alias in [1, 2, 2] {
        world.send(conn, &aliased(alias));
    }
    let bytes = world.broker.metrics().alias_bytes;
    assert!((8_000..8_500).contains(&bytes), "{bytes}");
    for alias in 3..6 {
        if world.closed(conn).is_none() {
            world.send(conn, &aliased(alias));
        }
    }
    assert_eq!(world.farewell(conn), Some(ReasonCode::QuotaExceeded));
    assert_eq!(world.broker.metrics().alias_bytes, 0);
    let conn = world.client(V5, "b");
    world.send(conn, &aliased(1));
    world.cut(conn);
    assert_eq!(world.broker.metrics().alias_bytes, 0);
}

#[test]
fn no_session_ends_for_a_client_that_is_refused_for_want_of_memory() {
    let mut world = World::with(|options| {
        options.limits.memory_bytes = 10_000;
        options.limits.sessions = 2;
    });
    let publisher = world.client(V5, "p");
    let (old, _) = world.lasting(V5, "old");
    world.cut(old);
    let large = retained("r", &"x".repeat(10_000), QoS::AtMostOnce);
    world.send(publisher, &large);
    let (_, connack) = world.connect(&Connect::new(V5, "new"));
    assert_eq!(connack.reason_code, ReasonCode::ServerBusy);
    assert_eq!(world.broker.metrics().sessions_evicted, 0);
    assert!(world.lasting(V5, "old").1);
}

#[test]
fn deferred_bytes_keep_no_read_buffer_alive() {
    let mut world = World::with(|options| options.limits.publish_rate = 10);
    let fast = world.client(V5, "fast");
    flood(&mut world, fast, 20);
    assert!(world.paused.contains(&fast));
    let read = bytes::Bytes::from(vec![0xC0, 0, 0xC0, 0]);
    world.send_bytes(fast, read.clone());
    assert!(read.is_unique());
    assert!(world.broker.metrics().partial_bytes >= 4);

    let mut world = World::with(|options| options.authenticate = true);
    let conn = world.open(V5);
    world.send(conn, &Packet::Connect(Connect::new(V5, "asked")));
    assert_eq!(world.asked, [conn]);
    world.send_bytes(conn, read.clone());
    assert!(read.is_unique());
    world.input(crate::Input::Authenticated(
        conn,
        crate::Decision::Accept(crate::Principal::default()),
    ));
    assert_eq!(world.received(conn).len(), 3);
}

#[test]
fn a_publish_rate_is_exact_however_high() {
    for rate in [700_000, 1_500_000, 3_000_000] {
        let mut world = World::with(|options| options.limits.publish_rate = rate);
        let publisher = world.client(V5, "p");
        let id = world.broker.sessions.find("p").unwrap();
        // The messages of one second are used up. Then two milliseconds pass.
        let now = u64::from(rate) * world.now.as_micros() / 1_000_000;
        world
            .broker
            .sessions
            .get_mut(id)
            .unwrap()
            .set_paid(now + u64::from(rate));
        world.now = world.now + Duration::from_millis(2);
        let mut sent = 0;
        while !world.paused.contains(&publisher) && sent < 10_000 {
            world.publish(publisher, "t", "", QoS::AtMostOnce);
            sent += 1;
        }
        // The last message was too many.
        assert_eq!(sent, rate / 500 + 1);
    }
}

#[test]
fn messages_that_are_not_released_are_counted_and_do_not_grow_with_each_connection() {
    let unreleased = |world: &World| world.broker.metrics().incoming_messages;
    let mut world = World::with(|options| options.limits.receive_maximum = 10);
    let mut id = 0;
    for connection in 1..=3 {
        let (conn, _) = world.lasting(V5, "new");
        for _ in 0..10 {
            id += 1;
            let publish = message("t", "", QoS::ExactlyOnce, id);
            world.send(conn, &Packet::Publish(publish));
        }
        if connection < 3 {
            assert!(world.closed(conn).is_none());
        } else {
            // [MQTT-3.3.4-7]
            let exceeded = Some(ReasonCode::ReceiveMaximumExceeded);
            assert_eq!(world.farewell(conn), exceeded);
        }
        world.cut(conn);
    }
    assert_eq!(unreleased(&world), 20);
    // A client that sends PUBREL for its messages has room again.
    let (conn, _) = world.lasting(V5, "new");
    let release = mqtt::PubRel::new(super::packet_id(1), ReasonCode::Success);
    world.send(conn, &Packet::PubRel(release));
    assert_eq!(unreleased(&world), 19);
    let publish = message("t", "", QoS::ExactlyOnce, 30);
    world.send(conn, &Packet::Publish(publish));
    assert!(world.closed(conn).is_none());
    assert_eq!(unreleased(&world), 20);

    // A client of version 3.1.1 may have as many as there are packet identifiers. Only memory
    // bounds it.
    let before = world.broker.metrics().memory_bytes;
    let (old, _) = world.lasting(V3, "old");
    for id in 1..=5_000 {
        let publish = message("t", "", QoS::ExactlyOnce, id);
        world.send(old, &Packet::Publish(publish));
    }
    assert!(world.broker.metrics().memory_bytes > before + 5_000 * 4);
    world.cut(old);
    assert_eq!(unreleased(&world), 5_020);
    world.connect(&Connect::new(V3, "old"));
    assert_eq!(unreleased(&world), 20);
}

#[test]
fn messages_that_are_not_released_are_counted_after_a_crash() {
    let mut world = World::with(|options| options.durable = true);
    let (conn, _) = world.lasting(V5, "a");
    for id in 1..=3 {
        let publish = message("t", "", QoS::ExactlyOnce, id);
        world.send(conn, &Packet::Publish(publish));
    }
    let release = mqtt::PubRel::new(super::packet_id(2), ReasonCode::Success);
    world.send(conn, &Packet::PubRel(release));
    world.crash();
    assert_eq!(world.broker.metrics().incoming_messages, 2);
    world.checkpoint(1_000);
    world.crash();
    assert_eq!(world.broker.metrics().incoming_messages, 2);
    world.client(V5, "a");
    assert_eq!(world.broker.metrics().incoming_messages, 0);
}
