//! A client that needs room does not pay for memory that ended sessions still hold.

use std::time::Duration;

use mqtt::packet::WillProperties;
use mqtt::{Connect, Packet, QoS, ReasonCode, Will};

use super::deferred_work::{MESSAGES, closed, named, stuck, until_dismissed};
use super::{V5, World, lasting, retained, to};
use crate::{Conn, Input};

#[test]
fn a_queue_is_not_full_because_of_ended_sessions() {
    let (mut world, conns, publisher) = stuck(100);
    let absent = named(lasting(V5, ""), "absent");
    let (absent, _) = world.connect(&absent);
    world.subscribe(absent, &[to("other", QoS::AtLeastOnce)]);
    world.cut(absent);
    world.publish(publisher, "t", "too much", QoS::AtLeastOnce);
    until_dismissed(&mut world, &conns);
    let left = world.broker.metrics().queued_bytes;
    let taken = usize::try_from(left).unwrap();
    assert_eq!(world.broker.metrics().clients, 1);
    assert!(taken > 1_000_000, "{taken}");
    world.broker.options.limits.all_queues_bytes = taken;
    for number in 1..=3 {
        world.publish(publisher, "other", "x", QoS::AtLeastOnce);
        let metrics = world.broker.metrics();
        assert_eq!(metrics.dropped_queue_full, 100);
        assert!(metrics.queued_bytes <= left, "{number}");
    }
    // The broker frees at once only what is needed.
    assert!(world.broker.metrics().queued_bytes > left / 2);
    let (absent, connack) = world.connect(&named(lasting(V5, ""), "absent"));
    assert!(connack.session_present);
    assert_eq!(world.payloads(absent), ["x"]);
    world.sleep(Duration::from_secs(1));
    assert_eq!(world.broker.metrics().queued_messages, 3);
}

#[test]
fn memory_is_not_short_because_of_ended_sessions() {
    let (mut world, conns, publisher) = stuck(100);
    world.publish(publisher, "t", "too much", QoS::AtLeastOnce);
    until_dismissed(&mut world, &conns);
    let taken = usize::try_from(world.broker.metrics().memory_bytes).unwrap();
    let left = world.broker.metrics().queued_bytes;
    assert!(left > 1_000_000, "{left}");
    world.broker.options.limits.memory_bytes = taken;
    world.received(publisher);
    world.publish(publisher, "t", "x", QoS::AtLeastOnce);
    let Packet::PubAck(ack) = world.take(publisher) else {
        panic!("no PUBACK");
    };
    assert_eq!(ack.reason_code, ReasonCode::NoMatchingSubscribers);
    world.client(V5, "another");
    assert_eq!(world.broker.metrics().refused_memory, 0);
    assert!(world.broker.metrics().queued_bytes > left / 2);
}

#[test]
fn expired_sessions_keep_no_client_out_and_end_no_other_session() {
    let mut world = World::with(|options| options.limits.sessions = 1_001);
    let publisher = world.client(V5, "p");
    for number in 0..1_000 {
        let mut connect = named(lasting(V5, ""), &format!("absent-{number}"));
        connect.properties.session_expiry_interval = Some(if number == 0 { 3_600 } else { 60 });
        let (conn, _) = world.connect(&connect);
        // Messages wait for all sessions except the first. That one could be ended without loss,
        // but has not expired.
        if number > 0 {
            world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
        }
        world.cut(conn);
    }
    world.publish(publisher, "t", "x", QoS::AtLeastOnce);
    world.now = world.now + Duration::from_mins(1);
    world.input(Input::Timeout);
    let expired = world.broker.metrics().sessions_expired;
    world.broker.options.limits.sessions = 1_001 - usize::try_from(expired).unwrap();
    let (_, connack) = world.connect(&named(Connect::new(V5, ""), "new"));
    assert_eq!(connack.reason_code, ReasonCode::Success);
    let metrics = world.broker.metrics();
    assert_eq!(metrics.sessions_expired, expired + 1);
    assert_eq!(metrics.sessions_evicted, 0);
    let (_, connack) = world.connect(&named(lasting(V5, ""), "absent-0"));
    assert!(connack.session_present);
}

#[test]
fn expired_retained_messages_take_no_room_from_others() {
    let mut world = World::with(|options| options.limits.retained_messages = 5_000);
    let publisher = world.client(V5, "p");
    for number in 0..5_000 {
        let mut packet = retained(&format!("t/{number}"), "x", QoS::AtMostOnce);
        if let Packet::Publish(publish) = &mut packet {
            publish.properties.message_expiry_interval = Some(10);
        }
        world.send(publisher, &packet);
    }
    world.now = world.now + Duration::from_secs(10);
    world.input(Input::Timeout);
    let kept = world.broker.metrics().retained_messages;
    assert!((4_000..5_000).contains(&kept), "{kept}");
    for number in 0..5_000 {
        let state = format!("new/{number}");
        world.send(publisher, &retained(&state, "x", QoS::AtMostOnce));
    }
    let metrics = world.broker.metrics();
    assert_eq!(metrics.refused_retained_limit, 0);
    assert_eq!(metrics.retained_messages, 5_000);
}

/// More retained messages were restored than the limit allows, and removing some makes no room.
#[test]
fn expired_retained_messages_stay_if_removing_them_does_not_help() {
    let mut world = World::with(|options| options.durable = true);
    let publisher = world.client(V5, "p");
    for number in 0..5_000 {
        let mut packet = retained(&format!("t/{number}"), "x", QoS::AtMostOnce);
        if let Packet::Publish(publish) = &mut packet {
            publish.properties.message_expiry_interval = Some(10);
        }
        world.send(publisher, &packet);
    }
    world.options.limits.retained_messages = 0;
    world.crash();
    world.now = world.now + Duration::from_secs(10);
    let publisher = world.client(V5, "p");
    let kept = world.broker.metrics().retained_messages;
    world.send(publisher, &retained("new", "x", QoS::AtMostOnce));
    let left = world.broker.metrics().retained_messages;
    assert!((kept - 10..kept).contains(&left), "{left} of {kept}");
    assert_eq!(world.broker.metrics().refused_retained_limit, 1);
}

/// Ended sessions hold nearly all memory. One member of a group has this many messages, and its
/// session ends with its connection. Another member is absent and has none.
fn group_beside_remains(messages: usize) -> (World, Conn, Conn) {
    let (mut world, conns, publisher) = stuck(100);
    let shared = to("$share/g/other", QoS::AtLeastOnce);
    let (member, _) = world.connect(&named(Connect::new(V5, ""), "passing"));
    world.subscribe(member, std::slice::from_ref(&shared));
    for _ in 0..messages {
        world.publish(publisher, "other", "x", QoS::AtLeastOnce);
    }
    let (absent, _) = world.connect(&named(lasting(V5, ""), "absent"));
    world.subscribe(absent, &[shared]);
    world.cut(absent);
    world.publish(publisher, "t", "too much", QoS::AtLeastOnce);
    until_dismissed(&mut world, &conns);
    let taken = usize::try_from(world.broker.metrics().queued_bytes).unwrap();
    assert!(taken > 1_000_000, "{taken}");
    world.broker.options.limits.all_queues_bytes = taken;
    (world, member, publisher)
}

/// The messages of a member that leaves go to the others, even if ended sessions hold all room.
#[test]
fn ended_sessions_do_not_keep_members_from_taking_over() {
    let (mut world, member, _) = group_beside_remains(1);
    world.cut(member);
    let metrics = world.broker.metrics();
    assert_eq!(metrics.passed_on, 1);
    assert_eq!(metrics.dropped_session_ended, 50_000);
    let (absent, _) = world.connect(&named(lasting(V5, ""), "absent"));
    assert_eq!(world.payloads(absent), ["x"]);
}

/// The member that is asked first has a full queue, and the next has room.
#[test]
fn ended_sessions_do_not_keep_a_member_from_taking_a_message() {
    let (mut world, member, publisher) = group_beside_remains(MESSAGES);
    let dropped = world.broker.metrics().dropped_queue_full;
    world.publish(publisher, "other", "y", QoS::AtLeastOnce);
    assert_eq!(world.broker.metrics().dropped_queue_full, dropped);
    assert!(world.closed(member).is_none());
    let (absent, _) = world.connect(&named(lasting(V5, ""), "absent"));
    assert_eq!(world.payloads(absent), ["y"]);
}

#[test]
fn memory_for_a_large_message_of_qos_0_is_taken_from_ended_sessions() {
    let (mut world, conns, publisher) = stuck(100);
    let witness = world.client(V5, "witness");
    world.subscribe(witness, &[to("large", QoS::AtMostOnce)]);
    world.subscribe(witness, &[to("$share/g/large", QoS::AtMostOnce)]);
    world.publish(publisher, "t", "too much", QoS::AtLeastOnce);
    until_dismissed(&mut world, &conns);
    let left = world.broker.metrics().queued_bytes;
    let taken = usize::try_from(world.broker.metrics().memory_bytes).unwrap();
    world.broker.options.limits.memory_bytes = taken + 1_000;
    world.publish(publisher, "large", &"x".repeat(100_000), QoS::AtMostOnce);
    assert_eq!(world.payloads(witness).len(), 2);
    let metrics = world.broker.metrics();
    assert_eq!(metrics.dropped_memory, 0);
    assert!((left / 2..left - 99_000).contains(&metrics.queued_bytes));
}

#[test]
fn connections_that_are_due_to_close_keep_no_client_out() {
    let (mut world, conns, publisher) = stuck(100);
    let silent = (0..100).map(|number| {
        let mut connect = named(Connect::new(V5, ""), &format!("silent-{number}"));
        connect.keep_alive = 10;
        world.connect(&connect).0
    });
    let silent: Vec<_> = silent.collect();
    for at_once in [&conns, &silent] {
        if at_once == &conns {
            world.publish(publisher, "t", "too much", QoS::AtLeastOnce);
        } else {
            until_dismissed(&mut world, &conns);
            world.now = world.now + Duration::from_secs(15);
            world.input(Input::Timeout);
        }
        let gone = closed(&world, at_once);
        assert!((1..50).contains(&gone), "{gone}");
        let connections = usize::try_from(world.broker.metrics().connections).unwrap();
        world.broker.options.limits.connections = connections;
        for number in 1..=10 {
            let id = format!("{number} after {gone} of {connections}");
            let (_, connack) = world.connect(&named(Connect::new(V5, ""), &id));
            assert_eq!(connack.reason_code, ReasonCode::Success);
            assert_eq!(closed(&world, at_once), gone + number);
        }
        world.broker.options.limits.connections = 1_000;
    }
    assert_eq!(world.broker.metrics().refused_connections_limit, 0);
}

#[test]
fn expired_sessions_take_no_room_from_others() {
    let mut world = World::new();
    let will = Will {
        topic: super::topic("wills"),
        payload: "w".into(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: WillProperties {
            will_delay_interval: Some(3_600),
            ..WillProperties::default()
        },
    };
    for number in 0..1_000 {
        let mut connect = named(lasting(V5, ""), &format!("absent-{number}"));
        connect.properties.session_expiry_interval = Some(60);
        connect.will = Some(will.clone());
        let (conn, _) = world.connect(&connect);
        world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
        world.cut(conn);
    }
    world.now = world.now + Duration::from_mins(1);
    world.input(Input::Timeout);
    let metrics = world.broker.metrics().clone();
    assert!(metrics.sessions > 500);
    let limits = &mut world.broker.options.limits;
    limits.all_wills_bytes = usize::try_from(metrics.will_bytes).unwrap();
    limits.all_subscriptions_bytes = usize::try_from(metrics.subscription_bytes).unwrap();
    let mut connect = Connect::new(V5, "new");
    connect.will = Some(will);
    let (conn, connack) = world.connect(&connect);
    assert_eq!(connack.reason_code, ReasonCode::Success);
    world.subscribe(conn, &[to("a/b/c", QoS::AtLeastOnce)]);
    // The broker frees only what is needed.
    let metrics = world.broker.metrics();
    assert!(metrics.sessions > 500);
    assert_eq!(
        (
            metrics.refused_will_limit,
            metrics.refused_subscriptions_limit
        ),
        (0, 0)
    );
}
