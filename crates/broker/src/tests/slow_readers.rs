//! A client that reads too slowly loses its oldest `QoS` 0 messages, and nothing else waits for
//! them.

use std::collections::BTreeSet;
use std::time::Duration;

use mqtt::{Connect, Packet, QoS};

use super::{V5, World, message, retained, text, to};
use crate::{Conn, Input, Limit};

/// A world in which at most 1,000 bytes wait for a client. A subscriber to everything reads
/// nothing, and another client publishes.
fn slow(qos: QoS) -> (World, Conn, Conn) {
    let mut world = World::with(|options| options.limits.out_buffer_bytes = 1_000);
    let subscriber = world.client(V5, "s");
    world.subscribe(subscriber, &[to("#", qos)]);
    world.set_reads(subscriber, false);
    let publisher = world.client(V5, "p");
    (world, subscriber, publisher)
}

/// A payload of 100 bytes that begins with a number.
fn payload(number: usize) -> String {
    format!("{number:<100}")
}

fn numbers(payloads: &[String]) -> Vec<usize> {
    payloads
        .iter()
        .map(|it| it.trim().parse().unwrap())
        .collect()
}

#[test]
fn the_oldest_messages_are_lost_first_and_all_are_counted() {
    let (mut world, subscriber, publisher) = slow(QoS::AtMostOnce);
    for number in 0..50 {
        world.publish(publisher, "t", &payload(number), QoS::AtMostOnce);
        assert!(world.broker.metrics().unwritten_bytes <= 1_000);
    }
    world.sleep(Duration::from_secs(6));
    let slow = world.told.iter().filter(|it| it.limit == Limit::SlowReader);
    let reported: u64 = slow.map(|it| it.count).sum();
    world.set_reads(subscriber, true);
    let came = numbers(&world.payloads(subscriber));
    let lost = 50 - came.len();
    assert_eq!(came, (lost..50).collect::<Vec<_>>());
    assert!((5..10).contains(&came.len()), "{came:?}");
    let metrics = world.broker.metrics();
    assert_eq!(metrics.dropped_slow, lost as u64);
    assert_eq!(reported, lost as u64);
    // SUBACK is none of them.
    assert_eq!(metrics.messages_out, came.len() as u64);
}

#[test]
fn what_is_promised_is_not_lost() {
    let (mut world, subscriber, publisher) = slow(QoS::ExactlyOnce);
    let mut sure = Vec::new();
    for number in 0..40 {
        let is_sure = number % 10 == 0;
        let qos = if is_sure {
            QoS::AtLeastOnce
        } else {
            QoS::AtMostOnce
        };
        if is_sure {
            sure.push(number);
        }
        world.publish(publisher, "t", &payload(number), qos);
        world.received(publisher);
    }
    world.send(subscriber, &Packet::PingReq);
    world.set_reads(subscriber, true);
    let packets = world.received(subscriber);
    assert!(packets.contains(&Packet::PingResp));
    let mut at_most_once = Vec::new();
    for packet in packets {
        if let Packet::Publish(publish) = packet {
            let number: usize = text(&publish).trim().parse().unwrap();
            if publish.qos == QoS::AtMostOnce {
                at_most_once.push(number);
            } else {
                assert_eq!(sure.first(), Some(&number));
                sure.remove(0);
            }
        }
    }
    assert!(sure.is_empty(), "{sure:?}");
    assert_eq!(at_most_once.last(), Some(&39));
    assert!(at_most_once.is_sorted() && at_most_once.len() < 10);
}

/// A client reads slowly and live messages never stop. Each time that the system has taken what
/// waited, the buffer is full again.
#[test]
fn retained_messages_and_promised_ones_come_although_live_ones_fill_the_buffer() {
    let mut world = World::with(|options| options.limits.out_buffer_bytes = 1_000);
    let publisher = world.client(V5, "p");
    for number in 0..20 {
        let topic = format!("r/{number}");
        world.send(
            publisher,
            &retained(&topic, &payload(number), QoS::AtMostOnce),
        );
    }
    let subscriber = world.client(V5, "s");
    world.subscribe(subscriber, &[to("live", QoS::AtMostOnce)]);
    world.set_reads(subscriber, false);
    world.send(
        subscriber,
        &super::subscribe(
            &[to("r/#", QoS::AtMostOnce), to("sure", QoS::AtLeastOnce)],
            None,
        ),
    );
    let (mut found, mut sure) = (BTreeSet::new(), 0);
    for round in 0..30 {
        world.begin_to_write(subscriber);
        for number in 0..20 {
            world.publish(publisher, "live", &payload(number), QoS::AtMostOnce);
        }
        if round == 3 {
            world.publish(publisher, "sure", "sure", QoS::AtLeastOnce);
        }
        world.input(Input::Drained(subscriber));
        assert!(world.broker.metrics().unwritten_bytes < 2_000);
        for packet in world.received(subscriber) {
            if let Packet::Publish(publish) = packet {
                let topic = publish.topic.as_ref().unwrap().to_string();
                sure += usize::from(topic == "sure");
                found.extend(topic.starts_with("r/").then_some(topic));
            }
        }
    }
    assert_eq!((found.len(), sure), (20, 1));
    assert_eq!(world.broker.metrics().retained_lookups, 0);
    assert!(world.broker.metrics().dropped_slow > 100);
}

#[test]
fn live_messages_come_after_the_retained_ones_that_were_asked_for() {
    let (mut world, subscriber, publisher) = slow(QoS::AtMostOnce);
    for number in 0..20 {
        let old = retained(&format!("r/{number}"), "old", QoS::AtLeastOnce);
        world.send(publisher, &old);
    }
    let again = super::subscribe(&[to("r/#", QoS::AtMostOnce)], None);
    for _ in 0..20 {
        world.publish(publisher, "t", &payload(0), QoS::AtMostOnce);
    }
    world.send(subscriber, &again);
    for number in 0..20 {
        world.publish(publisher, &format!("r/{number}"), "new", QoS::AtMostOnce);
    }
    world.set_reads(subscriber, true);
    let mut seen = BTreeSet::new();
    for packet in world.received(subscriber) {
        if let Packet::Publish(publish) = packet {
            let topic = publish.topic.as_ref().unwrap().to_string();
            match text(&publish).as_str() {
                "new" => assert!(seen.contains(&topic), "{topic}: new before old"),
                "old" => assert!(seen.insert(topic.clone()) || !publish.retain, "{topic}"),
                _ => {}
            }
        }
    }
}

#[test]
fn of_live_messages_behind_retained_ones_the_oldest_are_lost_too() {
    let mut world = World::with(|options| {
        options.limits.out_buffer_bytes = 1_000;
        options.limits.queue_messages = 5;
    });
    let publisher = world.client(V5, "p");
    for number in 0..20 {
        let topic = format!("r/{number}");
        world.send(publisher, &retained(&topic, &payload(0), QoS::AtMostOnce));
    }
    let subscriber = world.client(V5, "s");
    world.set_reads(subscriber, false);
    let subscribe = super::subscribe(&[to("r/#", QoS::AtMostOnce)], None);
    world.send(subscriber, &subscribe);
    for number in 1..=12 {
        world.publish(publisher, "r/19", &payload(number), QoS::AtMostOnce);
    }
    assert_eq!(world.broker.metrics().dropped_slow, 7);
    world.set_reads(subscriber, true);
    world.sleep(Duration::from_secs(1));
    let came = numbers(&world.payloads(subscriber));
    assert_eq!(came[20..], [8, 9, 10, 11, 12]);
}

/// A message that introduces an alias is needed by later ones.
#[test]
fn no_alias_is_used_before_it_is_introduced() {
    let mut world = World::with(|options| options.limits.out_buffer_bytes = 1_000);
    let mut connect = Connect::new(V5, "s");
    connect.properties.topic_alias_maximum = Some(8);
    let (subscriber, _) = world.connect(&connect);
    world.subscribe(subscriber, &[to("#", QoS::AtMostOnce)]);
    world.set_reads(subscriber, false);
    let publisher = world.client(V5, "p");
    for number in 0..60 {
        // The topics get known one after the other.
        let topic = format!("devices/{}/state", number % (1 + number / 8));
        world.publish(publisher, &topic, &payload(number), QoS::AtMostOnce);
    }
    world.set_reads(subscriber, true);
    let mut known = BTreeSet::new();
    let mut came = 0;
    for packet in world.received(subscriber) {
        if let Packet::Publish(publish) = packet {
            came += 1;
            let alias = publish.properties.topic_alias;
            match publish.topic {
                Some(_) => known.extend(alias),
                None => assert!(known.contains(&alias.unwrap()), "{alias:?}"),
            }
        }
    }
    assert!(came > 5 && world.broker.metrics().dropped_slow > 20);
}

#[test]
fn a_message_larger_than_the_buffer_goes_out_alone() {
    let (mut world, subscriber, publisher) = slow(QoS::AtMostOnce);
    let large = "x".repeat(5_000);
    for _ in 0..3 {
        world.publish(publisher, "t", &payload(1), QoS::AtMostOnce);
        world.publish(publisher, "t", &large, QoS::AtMostOnce);
    }
    world.set_reads(subscriber, true);
    let lengths: Vec<_> = world.payloads(subscriber).iter().map(String::len).collect();
    assert_eq!(lengths, [5_000]);
    assert_eq!(world.broker.metrics().dropped_slow, 5);
}

#[test]
fn a_client_that_returns_gets_messages_again() {
    let (mut world, subscriber, publisher) = slow(QoS::AtMostOnce);
    for number in 0..50 {
        world.publish(publisher, "t", &payload(number), QoS::AtMostOnce);
    }
    world.cut(subscriber);
    assert_eq!(world.broker.metrics().unwritten_bytes, 0);
    let subscriber = world.client(V5, "s");
    world.subscribe(subscriber, &[to("#", QoS::AtMostOnce)]);
    world.send(
        publisher,
        &Packet::Publish(message("t", "x", QoS::AtMostOnce, 1)),
    );
    assert_eq!(world.payloads(subscriber), ["x"]);
}
