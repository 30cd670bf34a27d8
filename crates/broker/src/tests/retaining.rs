//! Retained messages.

use std::time::Duration;

use mqtt::{Packet, PubAck, QoS, ReasonCode, RetainHandling};

use super::{V3, V5, World, message, packet_id, retained, subscribe, text, to};
use crate::QueueFull;

#[test]
fn mqtt_3_3_1_5_the_last_retained_message_reaches_a_later_subscriber() {
    for version in [V5, V3] {
        let mut world = World::new();
        let publisher = world.client(version, "p");
        world.send(publisher, &retained("a/b", "1", QoS::AtMostOnce));
        world.send(publisher, &retained("a/b", "2", QoS::AtLeastOnce));
        world.send(publisher, &retained("$x/b", "3", QoS::AtMostOnce));
        let subscriber = world.client(version, "s");
        world.subscribe(subscriber, &[to("#", QoS::ExactlyOnce)]);
        let publish = world.take_publish(subscriber);
        assert!(publish.retain);
        assert_eq!(
            (&publish.payload[..], publish.qos),
            (&b"2"[..], QoS::AtLeastOnce)
        );
        assert!(world.received(subscriber).is_empty());
    }
}

#[test]
fn mqtt_3_3_1_6_an_empty_payload_removes_it_and_is_delivered() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.send(conn, &retained("t", "x", QoS::AtMostOnce));
    world.subscribe(conn, &[to("t", QoS::AtMostOnce)]);
    assert_eq!(world.payloads(conn), ["x"]);
    world.send(conn, &retained("t", "", QoS::AtMostOnce));
    assert_eq!(world.payloads(conn), [""]);
    assert_eq!(world.broker.metrics().retained_messages, 0);
    assert_eq!(world.broker.metrics().retained_bytes, 0);
}

#[test]
fn mqtt_3_3_1_8_a_message_without_retain_changes_no_retained_one() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.send(conn, &retained("t", "kept", QoS::AtMostOnce));
    world.publish(conn, "t", "passing", QoS::AtMostOnce);
    world.subscribe(conn, &[to("t", QoS::AtMostOnce)]);
    assert_eq!(world.payloads(conn), ["kept"]);
}

#[test]
fn mqtt_3_3_1_9_to_11_retain_handling() {
    for (handling, first, again) in [
        (RetainHandling::Send, 1, 1),
        (RetainHandling::SendIfNew, 1, 0),
        (RetainHandling::DoNotSend, 0, 0),
    ] {
        let mut world = World::new();
        let conn = world.client(V5, "a");
        world.send(conn, &retained("t", "x", QoS::AtMostOnce));
        let mut subscription = to("t", QoS::AtMostOnce);
        subscription.retain_handling = handling;
        for expected in [first, again] {
            world.subscribe(conn, &[subscription.clone()]);
            assert_eq!(world.payloads(conn).len(), expected, "{handling:?}");
        }
    }
}

#[test]
fn mqtt_3_3_1_12_and_13_the_retain_flag_of_a_live_message() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    for as_published in [false, true] {
        let mut subscription = to("t", QoS::AtMostOnce);
        subscription.retain_as_published = as_published;
        subscription.retain_handling = RetainHandling::DoNotSend;
        world.subscribe(conn, &[subscription]);
        world.send(conn, &retained("t", "x", QoS::AtMostOnce));
        assert_eq!(world.take_publish(conn).retain, as_published);
        world.publish(conn, "t", "x", QoS::AtMostOnce);
        assert!(!world.take_publish(conn).retain);
    }
}

#[test]
fn mqtt_3_3_2_6_a_retained_message_states_its_remaining_expiry() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    let mut publish = message("t", "x", QoS::AtMostOnce, 1);
    publish.retain = true;
    publish.properties.message_expiry_interval = Some(30);
    world.send(conn, &Packet::Publish(publish.clone()));
    world.sleep(Duration::from_millis(12_500));
    world.subscribe(conn, &[to("+", QoS::AtMostOnce)]);
    let properties = world.take_publish(conn).properties;
    assert_eq!(properties.message_expiry_interval, Some(18));
    // The message is not retained beyond its expiry.
    world.sleep(Duration::from_secs(18));
    assert_eq!(world.broker.metrics().retained_messages, 0);
    // A new message has its own expiry.
    world.send(conn, &Packet::Publish(publish.clone()));
    world.sleep(Duration::from_secs(20));
    world.send(conn, &Packet::PingReq);
    world.send(conn, &Packet::Publish(publish));
    world.sleep(Duration::from_secs(20));
    assert_eq!(world.broker.metrics().retained_messages, 1);
}

#[test]
fn retained_messages_match_wildcards_as_live_ones_do() {
    let mut world = World::new();
    let conn = world.client(V5, "p");
    for topic in ["a", "a/b", "a/c", "a/b/c", "/", "b//c"] {
        world.send(conn, &retained(topic, topic, QoS::AtMostOnce));
    }
    for (filter, expected) in [
        ("a/#", vec!["a", "a/b", "a/b/c", "a/c"]),
        ("a/+", vec!["a/b", "a/c"]),
        ("+/b", vec!["a/b"]),
        ("+", vec!["a"]),
        ("+/+", vec!["/", "a/b", "a/c"]),
        ("b/+/c", vec!["b//c"]),
        ("a/b/c/#", vec!["a/b/c"]),
        ("#", vec!["/", "a", "a/b", "a/b/c", "a/c", "b//c"]),
    ] {
        let subscriber = world.client(V5, "s");
        world.subscribe(subscriber, &[to(filter, QoS::AtMostOnce)]);
        let mut payloads = world.payloads(subscriber);
        payloads.sort();
        assert_eq!(payloads, expected, "{filter}");
    }
}

#[test]
fn mqtt_3_8_3_3_no_local_holds_for_retained_messages_too() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.send(conn, &retained("t", "mine", QoS::AtMostOnce));
    let mut subscription = to("t", QoS::AtMostOnce);
    subscription.no_local = true;
    world.subscribe(conn, &[subscription]);
    assert!(world.payloads(conn).is_empty());
}

#[test]
fn mqtt_3_3_4_4_a_retained_message_carries_the_subscriptions_identifier() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.send(conn, &retained("t", "x", QoS::AtMostOnce));
    world.send(conn, &subscribe(&[to("t", QoS::AtMostOnce)], Some(7)));
    assert!(matches!(world.take(conn), Packet::SubAck(_)));
    let identifiers = world.take_publish(conn).properties.subscription_identifiers;
    assert_eq!(
        identifiers.iter().map(|id| id.get()).collect::<Vec<_>>(),
        [7]
    );
}

#[test]
fn more_retained_messages_than_the_connection_takes_at_once_all_arrive_in_the_end() {
    let mut world = World::with(|options| {
        options.limits.out_buffer_bytes = 1_000;
        options.limits.queue_messages = 10;
    });
    let publisher = world.client(V5, "p");
    for number in 0..500 {
        let topic = format!("t/{number}");
        world.send(publisher, &retained(&topic, &topic, QoS::AtLeastOnce));
        world.received(publisher);
    }
    let subscriber = world.client(V5, "s");
    world.set_reads(subscriber, false);
    world.send(subscriber, &subscribe(&[to("#", QoS::AtMostOnce)], None));
    // Live messages do not wait for them.
    for number in 0..5 {
        let topic = format!("t/{number}");
        world.publish(publisher, &topic, "live", QoS::AtMostOnce);
    }
    assert_eq!(world.broker.metrics().retained_lookups, 1);
    assert!(world.broker.metrics().retained_lookup_bytes > 0);
    world.set_reads(subscriber, true);
    let payloads = world.payloads(subscriber);
    let live = payloads.iter().filter(|payload| *payload == "live").count();
    assert_eq!((payloads.len() - live, live), (500, 5));
    let metrics = world.broker.metrics();
    assert_eq!(metrics.dropped_slow, 0);
    assert_eq!((metrics.queued_messages, metrics.queued_bytes), (0, 0));
    assert_eq!(metrics.retained_lookups, 0);
    assert_eq!(metrics.retained_lookup_bytes, 0);
}

#[test]
fn waiting_retained_messages_leave_live_ones_their_room() {
    for queue_full in [QueueFull::Disconnect, QueueFull::DropOldest] {
        let mut world = World::with(|options| {
            options.limits.inflight_window = 64;
            options.limits.queue_messages = 10;
            options.limits.queue_full = queue_full;
        });
        let publisher = world.client(V5, "p");
        for number in 0..200 {
            let topic = format!("t/{number}");
            world.send(publisher, &retained(&topic, &topic, QoS::AtLeastOnce));
        }
        let (subscriber, _) = world.lasting(V5, "s");
        world.subscribe(subscriber, &[to("#", QoS::AtLeastOnce)]);
        // The window is full, and the search has not reached 136 messages yet.
        for number in 0..10 {
            world.publish(publisher, "t", &format!("live {number}"), QoS::AtLeastOnce);
        }
        assert_eq!(world.closed(subscriber), None);
        assert_eq!(world.broker.metrics().queued_messages, 64 + 10);
        assert_eq!(world.broker.metrics().dropped_queue_full, 0);
        // One more live message is one too many.
        world.publish(publisher, "t", "live 10", QoS::AtLeastOnce);
        assert_eq!(world.broker.metrics().dropped_queue_full, 1);
        let is_closed = world.closed(subscriber).is_some();
        assert_eq!(is_closed, queue_full == QueueFull::Disconnect);
        world.cut(subscriber);

        let (subscriber, _) = world.lasting(V5, "s");
        let mut payloads = Vec::new();
        loop {
            let packets = world.received(subscriber);
            if packets.is_empty() {
                break;
            }
            for packet in packets {
                if let Packet::Publish(publish) = packet {
                    payloads.push(text(&publish));
                    let ack = PubAck::new(publish.packet_id.unwrap(), ReasonCode::Success);
                    world.send(subscriber, &Packet::PubAck(ack));
                }
            }
        }
        assert_eq!(payloads.len(), 210);
        let first = usize::from(queue_full == QueueFull::DropOldest);
        let live: Vec<_> = payloads
            .iter()
            .filter_map(|payload| payload.strip_prefix("live "))
            .collect();
        let expected: Vec<_> = (first..first + 10).map(|it| it.to_string()).collect();
        assert_eq!(live, expected);
    }
}

#[test]
fn a_retained_message_without_room_is_not_kept_nor_is_its_predecessor() {
    let mut world = World::with(|options| options.limits.retained_bytes = 2_000);
    let conn = world.client(V5, "a");
    world.send(conn, &retained("t", "small", QoS::AtMostOnce));
    assert_eq!(world.broker.metrics().retained_messages, 1);
    world.send(conn, &retained("t", &"x".repeat(3_000), QoS::AtMostOnce));
    assert_eq!(world.broker.metrics().retained_messages, 0);
    assert_eq!(world.broker.metrics().refused_retained_limit, 1);
    let mut world = World::with(|options| options.limits.retained_messages = 2);
    let conn = world.client(V5, "a");
    for topic in ["a", "b", "c", "a"] {
        world.send(conn, &retained(topic, "x", QoS::AtLeastOnce));
        let ack = Packet::PubAck(mqtt::PubAck::new(
            packet_id(1),
            mqtt::ReasonCode::NoMatchingSubscribers,
        ));
        assert_eq!(world.received(conn), [ack]);
    }
    assert_eq!(world.broker.metrics().retained_messages, 2);
    assert_eq!(world.broker.metrics().refused_retained_limit, 1);
}

#[test]
fn equal_filters_in_one_subscribe_do_not_ask_without_end() {
    let mut world = World::with(|options| options.limits.subscriptions_per_client = 3);
    let conn = world.client(V5, "a");
    world.send(conn, &retained("t", "x", QoS::AtMostOnce));
    let subscriptions = vec![to("t", QoS::AtMostOnce); 100];
    world.subscribe(conn, &subscriptions);
    assert_eq!(world.payloads(conn).len(), 3);
    assert_eq!(world.broker.metrics().retained_not_looked_for, 97);
}

/// Reads and acknowledges until nothing comes.
fn all_payloads(world: &mut World, conn: crate::Conn) -> Vec<String> {
    let mut payloads = Vec::new();
    loop {
        let packets = world.received(conn);
        if packets.is_empty() {
            return payloads;
        }
        for packet in packets {
            if let Packet::Publish(publish) = packet {
                payloads.push(text(&publish));
                if let Some(packet_id) = publish.packet_id {
                    let ack = PubAck::new(packet_id, ReasonCode::Success);
                    world.send(conn, &Packet::PubAck(ack));
                }
            }
        }
    }
}

#[test]
fn retained_messages_take_no_room_in_the_queue_and_are_not_lost() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let mut world = World::with(|options| {
            options.limits.queue_bytes = 5_000;
            options.limits.out_buffer_bytes = 100;
        });
        let publisher = world.client(V5, "p");
        for number in 0..50 {
            let topic = format!("t/{number}");
            world.send(publisher, &retained(&topic, &"x".repeat(1_000), qos));
        }
        world.send(publisher, &retained("u", "small", qos));
        let subscriber = world.client(V5, "s");
        world.set_reads(subscriber, false);
        let subscriptions = [to("t/#", qos), to("u", qos)];
        world.send(subscriber, &subscribe(&subscriptions, None));
        assert_eq!(world.broker.metrics().retained_lookups, 2);
        world.set_reads(subscriber, true);
        let payloads = all_payloads(&mut world, subscriber);
        assert_eq!(payloads.len(), 51);
        assert!(payloads.contains(&"small".to_owned()));
        let metrics = world.broker.metrics();
        assert_eq!(metrics.dropped_slow + metrics.dropped_queue_full, 0);
    }
}

/// A world with this many retained messages, a client that published them, and one that has
/// subscribed to all of them and reads nothing.
fn waiting(count: usize, qos: QoS) -> (World, crate::Conn, crate::Conn) {
    let mut world = World::with(|options| options.limits.out_buffer_bytes = 1_000);
    let publisher = world.client(V5, "p");
    for number in 0..count {
        let topic = format!("t/{number}/x");
        world.send(publisher, &retained(&topic, "old", qos));
        world.received(publisher);
    }
    let (subscriber, _) = world.lasting(V5, "s");
    world.set_reads(subscriber, false);
    world.send(subscriber, &subscribe(&[to("t/#", qos)], None));
    assert_eq!(world.broker.metrics().retained_lookups, 1);
    (world, publisher, subscriber)
}

#[test]
fn a_look_up_finds_replaced_messages_once_and_removed_ones_never() {
    let (mut world, publisher, subscriber) = waiting(500, QoS::AtMostOnce);
    for number in 0..500 {
        let topic = format!("t/{number}/x");
        let payload = if number % 2 == 0 { "new" } else { "" };
        world.send(publisher, &retained(&topic, payload, QoS::AtMostOnce));
    }
    let found = world.broker.metrics().messages_out;
    assert!(found < 100, "{found}");
    world.set_reads(subscriber, true);
    // Live messages went first, and were dropped if they found no room.
    let dropped = world.broker.metrics().dropped_slow;
    let payloads = all_payloads(&mut world, subscriber);
    let old = payloads.iter().filter(|payload| *payload == "old").count();
    assert!(old < 100, "{old}");
    assert_eq!((payloads.len() - old) as u64 + dropped, 500);
    assert_eq!(world.broker.metrics().retained_lookups, 0);
}

#[test]
fn mqtt_3_10_4_2_unsubscribing_ends_the_search() {
    let (mut world, _, subscriber) = waiting(500, QoS::AtMostOnce);
    let unsubscribe = Packet::Unsubscribe(mqtt::Unsubscribe {
        packet_id: packet_id(7),
        topic_filters: vec![to("t/#", QoS::AtMostOnce).topic_filter],
        user_properties: Vec::new(),
    });
    world.send(subscriber, &unsubscribe);
    let metrics = world.broker.metrics();
    assert_eq!(
        (metrics.retained_lookups, metrics.retained_lookup_bytes),
        (0, 0)
    );
    world.set_reads(subscriber, true);
    assert!(world.payloads(subscriber).len() < 100);
}

#[test]
fn a_look_up_outlives_the_connection_if_its_qos_is_1_or_2() {
    for (qos, expected) in [(QoS::AtMostOnce, 0), (QoS::AtLeastOnce, 500)] {
        let (mut world, _, subscriber) = waiting(500, qos);
        world.cut(subscriber);
        let (subscriber, present) = world.lasting(V5, "s");
        assert!(present);
        assert_eq!(all_payloads(&mut world, subscriber).len(), expected);
        assert_eq!(world.broker.metrics().retained_lookups, 0);
    }
}

#[test]
fn a_session_that_ends_releases_its_look_ups() {
    let (mut world, publisher, subscriber) = waiting(500, QoS::AtLeastOnce);
    for number in 0..500 {
        let topic = format!("t/{number}/x");
        world.send(publisher, &retained(&topic, "", QoS::AtMostOnce));
    }
    // The node at which the search pauses is still there.
    assert_eq!(world.broker.retained.tree().len(), 1 + 3);
    world.cut(subscriber);
    world.connect(&mqtt::Connect::new(V5, "s"));
    assert_eq!(world.broker.metrics().retained_lookups, 0);
    assert_eq!(world.broker.retained.tree().len(), 1);
}

#[test]
fn a_look_up_that_finds_little_goes_in_pieces() {
    let mut world = World::new();
    let publisher = world.client(V5, "p");
    for number in 0..10_000 {
        let topic = format!("t/{number}/x");
        world.send(publisher, &retained(&topic, "old", QoS::AtMostOnce));
    }
    world.send(publisher, &retained("t/5000/y", "rare", QoS::AtMostOnce));
    let filters = ["+/+/y", "+/+/+/z", "#"].map(|filter| to(filter, QoS::AtMostOnce));
    let subscriber = world.client(V5, "s");
    world.send(subscriber, &subscribe(&filters[..2], None));
    assert_eq!(world.broker.metrics().retained_lookups, 2);
    // Another client does not wait for it.
    let other = world.client(V5, "other");
    world.subscribe(other, &[to("t/7/x", QoS::AtMostOnce)]);
    assert_eq!(world.payloads(other), ["old"]);
    assert_eq!(world.broker.metrics().retained_lookups, 2);
    world.sleep(std::time::Duration::from_millis(50));
    assert_eq!(world.payloads(subscriber), ["rare"]);
    assert_eq!(world.broker.metrics().retained_lookups, 0);
}
