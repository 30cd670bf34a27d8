//! Groups with lasting members, whose sessions survive a crash, and transient ones.

use mqtt::{Packet, QoS};

use super::digest::Digest;
use super::{V5, World, message, packet_id, to};

fn world() -> World {
    World::with(|options| options.durable = true)
}

/// A message was stored for a lasting member, acknowledged to its publisher, and handed over to a
/// transient member.
#[test]
fn a_message_to_a_member_that_does_not_last_survives_a_crash() {
    let mut world = world();
    let (a, _) = world.lasting(V5, "a");
    world.subscribe(a, &[to("$share/g/t", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    world.publish(publisher, "t", "M", QoS::AtLeastOnce);
    assert!(matches!(world.take(publisher), Packet::PubAck(_)));
    assert_eq!(world.payloads(a), ["M"]);
    let b = world.client(V5, "b");
    world.subscribe(b, &[to("$share/g/t", QoS::AtLeastOnce)]);
    world.set_reads(b, false);
    world.cut(a);
    // b has not acknowledged the message. Without the crash, a would get it back.
    world.crash();
    let (a, present) = world.lasting(V5, "a");
    assert!(present);
    assert_eq!(world.payloads(a), ["M"]);
}

/// The same without a crash: the message comes back when b goes.
#[test]
fn a_message_that_went_to_a_transient_member_comes_back() {
    let mut world = world();
    let (a, _) = world.lasting(V5, "a");
    world.subscribe(a, &[to("$share/g/t", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    world.publish(publisher, "t", "M", QoS::AtLeastOnce);
    assert_eq!(world.payloads(a), ["M"]);
    let b = world.client(V5, "b");
    world.subscribe(b, &[to("$share/g/t", QoS::AtLeastOnce)]);
    world.cut(a);
    world.cut(b);
    let (a, _) = world.lasting(V5, "a");
    assert_eq!(world.payloads(a), ["M"]);
}

/// A group has a lasting member, and a message waits for a transient one.
#[test]
fn a_groups_messages_survive_if_any_member_does() {
    let mut world = world();
    let (a, _) = world.lasting(V5, "a");
    world.subscribe(a, &[to("$share/g/t", QoS::AtLeastOnce)]);
    world.cut(a);
    let b = world.client(V5, "b");
    world.subscribe(b, &[to("$share/g/t", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    for _ in 0..50 {
        world.publish(publisher, "t", "M", QoS::AtLeastOnce);
    }
    let acks = world.received(publisher).len();
    assert_eq!(acks, 50);
    world.crash();
    let (a, _) = world.lasting(V5, "a");
    assert_eq!(world.payloads(a).len(), 50);
}

/// Messages in the queue of a lasting member, and messages that were sent to a transient one.
#[test]
fn the_queue_of_a_member_that_lasts_survives_with_one_that_does_not() {
    let mut world = world();
    let (a, _) = world.lasting(V5, "a");
    world.subscribe(a, &[to("$share/g/t", QoS::AtLeastOnce)]);
    let b = world.client(V5, "b");
    world.subscribe(b, &[to("$share/g/t", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    world.set_reads(a, false);
    world.set_reads(b, false);
    for n in 0..20 {
        world.publish(publisher, "t", &n.to_string(), QoS::AtLeastOnce);
    }
    world.cut(a);
    let acknowledged = world.received(publisher).len();
    world.crash();
    let (a, _) = world.lasting(V5, "a");
    let got = world.payloads(a).len();
    assert_eq!((acknowledged, got), (20, 20));
}

/// A message moves from a lasting member's queue to a transient member. The crash comes after that
/// member has completed the exchange, but before the record of it is durable.
#[test]
fn mqtt_4_3_3_2_no_two_members_get_a_message_of_qos_2() {
    let mut world = World::with(|options| {
        options.durable = true;
        options.limits.inflight_window = 1;
    });
    let (a, _) = world.lasting(V5, "a");
    world.subscribe(a, &[to("$share/g/t", QoS::ExactlyOnce)]);
    let publisher = world.client(V5, "p");
    for id in 1..=2 {
        world.send(
            publisher,
            &Packet::Publish(message("t", &id.to_string(), QoS::ExactlyOnce, id)),
        );
    }
    assert_eq!(world.payloads(a), ["1"]);
    let b = world.client(V5, "b");
    world.subscribe(b, &[to("$share/g/t", QoS::ExactlyOnce)]);
    world.persists = false;
    let durable = world.journal().last().unwrap().0;
    world.cut(a);
    let by_b = world.payloads(b);
    world.crash_at(durable);
    world.persists = true;
    let (a, _) = world.lasting(V5, "a");
    world.send(
        a,
        &Packet::PubRec(mqtt::PubRec::new(packet_id(1), mqtt::ReasonCode::Success)),
    );
    world.send(
        a,
        &Packet::PubComp(mqtt::PubComp::new(packet_id(1), mqtt::ReasonCode::Success)),
    );
    let by_a = world.payloads(a);
    assert!(
        !(by_b.contains(&"2".to_owned()) && by_a.contains(&"2".to_owned())),
        "{by_a:?} {by_b:?}"
    );
}

/// The group has ended, and only a message in a window still names it.
#[test]
fn a_groups_number_is_not_used_again_after_a_restart_from_a_checkpoint() {
    let mut world = world();
    let (a, _) = world.lasting(V5, "a");
    world.subscribe(a, &[to("$share/z/zz", QoS::AtLeastOnce)]);
    world.subscribe(a, &[to("$share/g/private", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    world.publish(publisher, "private", "M", QoS::AtLeastOnce);
    assert_eq!(world.payloads(a), ["M"]);
    world.send(
        a,
        &Packet::Unsubscribe(mqtt::Unsubscribe {
            packet_id: packet_id(7),
            topic_filters: vec![mqtt::TopicFilter::try_from("$share/g/private").unwrap()],
            user_properties: Vec::new(),
        }),
    );
    world.checkpoint(1 << 20);
    world.crash();
    let (a, _) = world.lasting(V5, "a");
    let b = world.client(V5, "b");
    world.subscribe(b, &[to("$share/h/other", QoS::AtLeastOnce)]);
    world.cut(a);
    assert_eq!(
        world.payloads(b),
        Vec::<String>::new(),
        "b never subscribed to it"
    );
}

/// A message that its member acknowledged goes to nobody else, and a checkpoint keeps one that
/// was not acknowledged.
#[test]
fn acknowledged_messages_do_not_come_back_and_a_checkpoint_keeps_the_rest() {
    let mut world = world();
    let (a, _) = world.lasting(V5, "a");
    world.subscribe(a, &[to("$share/g/t", QoS::AtLeastOnce)]);
    world.cut(a);
    let b = world.client(V5, "b");
    world.subscribe(b, &[to("$share/g/t", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    for payload in ["1", "2", "3"] {
        world.publish(publisher, "t", payload, QoS::AtLeastOnce);
    }
    let second = world.received(b).remove(1);
    let Packet::Publish(second) = second else {
        panic!("{second:?}")
    };
    world.checkpoint(1);
    let ack = mqtt::PubAck::new(second.packet_id.unwrap(), mqtt::ReasonCode::Success);
    world.send(b, &Packet::PubAck(ack));
    world.checkpoint(1);
    let live = Digest::of(world.now, &world.broker);
    let replayed = Digest::of_recovery(world.now, &world.recovery());
    assert_eq!(live, replayed);
    world.crash();
    let (a, _) = world.lasting(V5, "a");
    assert_eq!(world.payloads(a), ["1", "3"]);
}

/// A session that will end with its connection leaves its messages to lasting members.
#[test]
fn messages_of_a_session_that_no_longer_lasts_survive_with_its_group() {
    let mut world = world();
    let (a, _) = world.lasting(V5, "a");
    world.subscribe(a, &[to("$share/g/t", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    world.publish(publisher, "t", "M", QoS::AtLeastOnce);
    let (b, _) = world.lasting(V5, "b");
    world.subscribe(b, &[to("$share/g/t", QoS::AtLeastOnce)]);
    world.set_reads(b, false);
    // No other connected member has room for the message, so it stays with a.
    let mut ending = mqtt::Connect::new(V5, "a");
    ending.clean_start = false;
    world.cut(b);
    let (a, _) = world.connect(&ending);
    assert_eq!(world.payloads(a), ["M"]);
    world.crash();
    let (b, present) = world.lasting(V5, "b");
    assert!(present);
    assert_eq!(world.payloads(b), ["M"]);
}

/// `[MQTT-4.8.2-5]`: a message that was sent with `QoS` 2 goes to nobody else, even after a
/// crash.
#[test]
fn mqtt_4_8_2_5_a_sent_qos_2_message_goes_to_nobody_else_after_a_crash() {
    let mut world = world();
    let (a, _) = world.lasting(V5, "a");
    world.subscribe(a, &[to("$share/g/t", QoS::ExactlyOnce)]);
    world.cut(a);
    let mut connect = mqtt::Connect::new(V5, "b");
    connect.properties.receive_maximum = std::num::NonZeroU16::new(1).map(Into::into);
    let (b, _) = world.connect(&connect);
    world.subscribe(b, &[to("$share/g/t", QoS::ExactlyOnce)]);
    let publisher = world.client(V5, "p");
    for id in 1..=3 {
        let publish = message("t", &id.to_string(), QoS::ExactlyOnce, id);
        world.send(publisher, &Packet::Publish(publish));
    }
    assert_eq!(world.payloads(b), ["1"]);
    let received = mqtt::PubRec::new(packet_id(1), mqtt::ReasonCode::Success);
    world.send(b, &Packet::PubRec(received));
    let complete = mqtt::PubComp::new(packet_id(1), mqtt::ReasonCode::Success);
    world.send(b, &Packet::PubComp(complete));
    // Message 2 waited for b, and has now been sent to b.
    assert_eq!(world.payloads(b), ["2"]);
    world.crash();
    let (a, _) = world.lasting(V5, "a");
    assert_eq!(world.payloads(a), ["3"]);
}
