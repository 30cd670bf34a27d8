//! Messages that are larger than what every connection may have waiting. They evade no limit, and
//! no message that must be delivered gets stuck.

use mqtt::{Packet, QoS, RetainHandling};

use super::{V5, World, retained, to};
use crate::{Conn, Limit};

const LARGE: usize = 1_000_000;
/// The most bytes of such a message besides its payload.
const HEAD: u64 = 100;

/// Clients that are subscribed to `t` and do not read.
fn subscribers(world: &mut World, count: usize, qos: QoS) -> Vec<Conn> {
    let names = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"];
    let all: Vec<_> = names[..count]
        .iter()
        .map(|&name| {
            let conn = world.client(V5, name);
            world.subscribe(conn, &[to("t", qos)]);
            world.set_reads(conn, false);
            conn
        })
        .collect();
    assert_eq!(world.broker.metrics().unwritten_bytes, 0);
    all
}

#[test]
fn one_large_message_for_many_stays_within_all_out_buffers() {
    let mut world = World::with(|options| options.limits.all_out_buffers_bytes = 1 << 20);
    let publisher = world.client(V5, "p");
    let all = subscribers(&mut world, 10, QoS::AtMostOnce);
    world.publish(publisher, "t", &"x".repeat(LARGE), QoS::AtMostOnce);
    let metrics = world.broker.metrics();
    assert!(metrics.unwritten_bytes <= 1 << 20, "{metrics:?}");
    assert_eq!(metrics.dropped_slow, 9);
    assert_eq!(world.told[0].limit, Limit::SlowReader);
    // A small message finds room at every connection.
    world.publish(publisher, "t", "small", QoS::AtMostOnce);
    assert_eq!(world.broker.metrics().dropped_slow, 10);
    for conn in all {
        world.set_reads(conn, true);
    }
    assert_eq!(world.broker.metrics().unwritten_bytes, 0);
}

#[test]
fn one_large_message_for_many_stays_within_the_memory() {
    let mut world = World::with(|options| options.limits.memory_bytes = 4 << 20);
    let publisher = world.client(V5, "p");
    subscribers(&mut world, 10, QoS::AtMostOnce);
    world.publish(publisher, "t", &"x".repeat(LARGE), QoS::AtMostOnce);
    let metrics = world.broker.metrics();
    assert!(metrics.memory_bytes <= 4 << 20, "{metrics:?}");
    assert!(metrics.unwritten_bytes >= 3 * LARGE as u64, "{metrics:?}");
    assert_eq!(metrics.dropped_memory, 6);
}

#[test]
fn a_slow_client_gets_no_second_large_message_beyond_its_limit() {
    let mut world = World::with(|options| options.limits.all_out_buffers_bytes = 1_500_000);
    let publisher = world.client(V5, "p");
    let slow = subscribers(&mut world, 1, QoS::AtMostOnce)[0];
    let text = "x".repeat(LARGE);
    world.publish(publisher, "t", &text, QoS::AtMostOnce);
    // The shell has taken the bytes and is writing them.
    let mut taken = bytes::BytesMut::new();
    world.broker.take_writes(slow, &mut taken);
    world.publish(publisher, "t", &text, QoS::AtMostOnce);
    let metrics = world.broker.metrics();
    assert_eq!(metrics.unwritten_bytes, taken.len() as u64);
    assert_eq!(metrics.dropped_slow, 1);
}

#[test]
fn a_client_with_a_large_message_to_read_may_ping() {
    /// The number of bytes that every connection may have waiting.
    const LITTLE: u64 = 16 * 1024;
    let limit = 1_500_000;
    for too_many in [false, true] {
        let mut world = World::with(|options| options.limits.all_out_buffers_bytes = limit);
        let publisher = world.client(V5, "p");
        let slow = subscribers(&mut world, 1, QoS::AtMostOnce)[0];
        world.publish(publisher, "t", &"x".repeat(LARGE), QoS::AtMostOnce);
        let other = world.client(V5, "o");
        world.subscribe(other, &[to("o", QoS::AtMostOnce)]);
        world.set_reads(other, false);
        world.publish(
            publisher,
            "o",
            &"x".repeat(limit - LARGE - 10_000),
            QoS::AtMostOnce,
        );
        let free = limit as u64 - world.broker.metrics().unwritten_bytes;
        assert!(free < LITTLE, "{free}");
        // The answer has two bytes, and this client reads as fast as it can.
        world.send(slow, &Packet::PingReq);
        assert_eq!(world.closed(slow), None);
        if too_many {
            // But the number of answers is limited: these are twice what may wait for the client
            // now.
            let pings = usize::try_from(LITTLE).unwrap();
            world.send_bytes(slow, b"\xC0\0".repeat(pings));
            assert!(world.closed(slow).is_some());
            assert_eq!(world.broker.metrics().closed_not_reading, 1);
        } else {
            world.set_reads(slow, true);
            assert_eq!(world.take_publish(slow).payload.len(), LARGE);
            assert_eq!(world.take(slow), Packet::PingResp);
            assert_eq!(world.broker.metrics().closed_not_reading, 0);
        }
    }
}

/// Answers that wait for the store count, even if the client reads everything else.
#[test]
fn answers_that_wait_for_the_store_count_even_if_others_are_taken() {
    let mut world = World::with(|options| {
        options.durable = true;
        options.limits.out_buffer_bytes = 1_000;
    });
    let conn = world.lasting(V5, "a").0;
    world.persists = false;
    let mut answered = 0;
    while world.closed(conn).is_none() {
        world.send(conn, &super::subscribe(&[to("t", QoS::AtLeastOnce)], None));
        world.send(conn, &Packet::PingReq);
        answered += 1;
        assert!(answered < 1_000, "never too much");
    }
    // Each SUBACK has six bytes.
    assert_eq!(answered, 2_000 / 6 + 1);
}

#[test]
fn large_messages_that_are_promised_go_out_as_others_make_room() {
    for limit in [1 << 20, 2_100_000, LARGE / 2] {
        let mut world = World::with(|options| options.limits.all_out_buffers_bytes = limit);
        let publisher = world.client(V5, "p");
        let all = subscribers(&mut world, 6, QoS::AtLeastOnce);
        let text = "x".repeat(LARGE);
        world.publish(publisher, "t", &text, QoS::AtLeastOnce);
        let most = limit.max(LARGE) as u64 + HEAD;
        assert!(world.broker.metrics().unwritten_bytes <= most);
        assert_eq!(world.broker.metrics().dropped_queue_full, 0);
        let mut got = 0;
        // The last client waits for the room that the others use. It leaves before it gets any.
        world.cut(all[5]);
        for &conn in all[..5].iter().rev() {
            world.set_reads(conn, true);
            assert!(world.broker.metrics().unwritten_bytes <= most);
        }
        for &conn in &all[..5] {
            let publish = world.take_publish(conn);
            assert_eq!(publish.payload.len(), LARGE);
            got += 1;
        }
        assert_eq!(got, 5);
        assert_eq!(world.broker.metrics().unwritten_bytes, 0);
    }
}

#[test]
fn retained_messages_that_are_large_wait_for_room() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let mut world = World::with(|options| options.limits.all_out_buffers_bytes = 1 << 20);
        let publisher = world.client(V5, "p");
        world.send(publisher, &retained("r", &"x".repeat(LARGE), qos));
        world.received(publisher);
        let all = subscribers(&mut world, 4, qos);
        for &conn in &all {
            let mut asks = to("r", qos);
            asks.retain_handling = RetainHandling::Send;
            world.send(conn, &super::subscribe(&[asks], None));
        }
        let unwritten = world.broker.metrics().unwritten_bytes;
        assert!(unwritten <= 1 << 20, "{unwritten}");
        assert_eq!(world.broker.metrics().retained_lookups, 4);
        // These clients get the message that has replaced it in the meantime.
        let expected = if qos == QoS::AtMostOnce {
            LARGE
        } else {
            LARGE - 1
        };
        if expected < LARGE {
            world.send(publisher, &retained("r", &"y".repeat(expected), qos));
        }
        for &conn in &all {
            world.set_reads(conn, true);
        }
        for &conn in &all {
            let payloads = world.payloads(conn);
            assert_eq!(payloads.last().map(String::len), Some(expected), "{qos:?}");
        }
        assert_eq!(world.broker.metrics().retained_lookups, 0);
        assert_eq!(world.broker.metrics().unwritten_bytes, 0);
    }
}
