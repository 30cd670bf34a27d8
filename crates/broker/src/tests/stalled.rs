//! A fan-out skips sessions whose connections have no room for `QoS` 0 messages, but only as long
//! as they have none.

use std::time::Duration;

use mqtt::{Connect, QoS};

use super::{V5, World, lasting, retained, to};
use crate::{Conn, Limit};

/// A subscriber to everything that reads nothing and has no room for messages of 100 bytes,
/// another client, and how many messages were refused.
fn stalled() -> (World, Conn, Conn, u64) {
    let mut world = World::with(|options| options.limits.out_buffer_bytes = 1_000);
    let (subscriber, _) = world.connect(&lasting(V5, "s"));
    world.subscribe(subscriber, &[to("#", QoS::AtMostOnce)]);
    world.set_reads(subscriber, false);
    let publisher = world.client(V5, "p");
    for _ in 0..20 {
        world.publish(publisher, "t", &"x".repeat(100), QoS::AtMostOnce);
    }
    let refused = world.broker.metrics().dropped_slow;
    assert!(refused > 5 && world.broker.metrics().messages_out < 15);
    (world, subscriber, publisher, refused)
}

#[test]
fn every_refusal_is_counted_and_reported_with_the_client() {
    let (mut world, _, publisher, refused) = stalled();
    for _ in 0..10 {
        world.publish(publisher, "t", &"x".repeat(100), QoS::AtMostOnce);
    }
    assert_eq!(world.broker.metrics().dropped_slow, refused + 10);
    world.sleep(Duration::from_secs(6));
    let slow = world.told.iter().filter(|it| it.limit == Limit::SlowReader);
    let (mut all, mut clients) = (0, Vec::new());
    for it in slow {
        all += it.count;
        clients.push(it.client_id.as_deref());
    }
    assert_eq!(all, refused + 10);
    assert_eq!(clients, [Some("s"); 2]);
}

#[test]
fn a_message_that_fits_into_the_free_budget_goes_out() {
    let (mut world, _, publisher, refused) = stalled();
    let out = world.broker.metrics().messages_out;
    world.publish(publisher, "t", "x", QoS::AtMostOnce);
    assert_eq!(world.broker.metrics().messages_out, out + 1);
    assert_eq!(world.broker.metrics().dropped_slow, refused);
}

#[test]
fn a_client_that_reads_again_gets_messages_again() {
    let (mut world, subscriber, publisher, refused) = stalled();
    world.set_reads(subscriber, true);
    world.received(subscriber);
    for _ in 0..20 {
        world.publish(publisher, "t", &"y".repeat(100), QoS::AtMostOnce);
    }
    assert_eq!(world.payloads(subscriber).len(), 20);
    assert_eq!(world.broker.metrics().dropped_slow, refused);
}

#[test]
fn a_returning_client_gets_messages_again() {
    let (mut world, subscriber, publisher, refused) = stalled();
    world.cut(subscriber);
    world.publish(publisher, "t", &"x".repeat(100), QoS::AtMostOnce);
    let metrics = world.broker.metrics();
    assert_eq!((metrics.dropped_absent, metrics.dropped_slow), (1, refused));
    let (subscriber, connack) = world.connect(&lasting(V5, "s"));
    assert!(connack.session_present);
    world.publish(publisher, "t", &"x".repeat(100), QoS::AtMostOnce);
    assert_eq!(world.payloads(subscriber).len(), 1);

    // Another session at the same place does not inherit the lack of room either.
    world.set_reads(subscriber, false);
    for _ in 0..20 {
        world.publish(publisher, "t", &"x".repeat(100), QoS::AtMostOnce);
    }
    let taken_over = Connect::new(V5, "s");
    let (other, connack) = world.connect(&taken_over);
    assert!(!connack.session_present);
    world.subscribe(other, &[to("#", QoS::AtMostOnce)]);
    world.publish(publisher, "t", &"x".repeat(100), QoS::AtMostOnce);
    assert_eq!(world.payloads(other).len(), 1);
}

#[test]
fn live_messages_come_after_the_retained_ones_that_were_asked_for() {
    let (mut world, subscriber, publisher, refused) = stalled();
    let old = retained("r", &"old".repeat(40), QoS::AtMostOnce);
    world.send(publisher, &old);
    // The client subscribes again, and has no room for the retained messages.
    let again = super::subscribe(&[to("r", QoS::AtMostOnce)], None);
    world.send(subscriber, &again);
    assert_eq!(world.broker.metrics().retained_lookups, 1);
    world.publish(publisher, "r", &"new".repeat(40), QoS::AtMostOnce);
    assert_eq!(world.broker.metrics().dropped_slow, refused + 1);
    world.set_reads(subscriber, true);
    let payloads = world.payloads(subscriber);
    let news: Vec<_> = payloads.iter().filter(|it| !it.starts_with('x')).collect();
    assert_eq!(news, [&"old".repeat(40), &"new".repeat(40)]);
}
