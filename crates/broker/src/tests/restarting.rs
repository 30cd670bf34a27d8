//! What survives a crash.

use std::time::Duration;

use mqtt::packet::WillProperties;
use mqtt::{Packet, PubComp, PubRec, PubRel, QoS, ReasonCode, Will};

use super::digest::Digest;
use super::transient_wills::transient_with_will;
use super::{V3, V5, World, lasting, message, packet_id, retained, subscribe, text, to, topic};
use crate::durability::Record;
use crate::{BrokerOptions, Lsn, RecordError, RecordErrorKind, Recovery};

pub(super) fn world() -> World {
    World::with(|options| options.durable = true)
}

pub(super) fn ack(id: u16) -> (Packet, Packet, Packet) {
    let code = ReasonCode::Success;
    let id = packet_id(id);
    (
        Packet::PubRec(PubRec::new(id, code)),
        Packet::PubRel(PubRel::new(id, code)),
        Packet::PubComp(PubComp::new(id, code)),
    )
}

/// [MQTT-4.1.0-1] [MQTT-4.4.0-1] [MQTT-3.3.1-1]
#[test]
fn mqtt_4_1_0_1_a_session_goes_on_where_it_was() {
    let mut world = world();
    let (conn, _) = world.lasting(V5, "a");
    world.subscribe(
        conn,
        &[to("t", QoS::ExactlyOnce), to("u", QoS::AtLeastOnce)],
    );
    let publisher = world.client(V5, "p");
    for (name, payload, qos) in [
        ("t", "1", QoS::ExactlyOnce),
        ("t", "2", QoS::ExactlyOnce),
        ("u", "3", QoS::AtLeastOnce),
        ("t", "4", QoS::ExactlyOnce),
    ] {
        world.publish(publisher, name, payload, qos);
        let (_, release, _) = ack(1);
        world.send(publisher, &release);
    }
    assert_eq!(world.payloads(conn), ["1", "2", "3", "4"]);
    // The first is complete, the second has its PUBREC, and the last two are not acknowledged.
    world.send(conn, &ack(1).0);
    world.send(conn, &ack(1).2);
    world.send(conn, &ack(2).0);
    world.crash();

    let (conn, is_present) = world.lasting(V5, "a");
    assert!(is_present);
    let received = world.received(conn);
    assert_eq!(received[0], ack(2).1);
    let again: Vec<_> = received[1..]
        .iter()
        .map(|packet| match packet {
            Packet::Publish(it) => (text(it), it.packet_id, it.dup),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [("3", 3), ("4", 4)];
    let expected = expected.map(|(text, id)| (text.to_owned(), Some(packet_id(id)), true));
    assert_eq!(again, expected);
    // The next message gets the next packet identifier, and the subscriptions are there.
    let publisher = world.client(V5, "p");
    world.publish(publisher, "t", "5", QoS::ExactlyOnce);
    assert_eq!(world.take_publish(conn).packet_id, Some(packet_id(5)));
}

/// [MQTT-4.3.3-10]
#[test]
fn mqtt_4_3_3_10_a_repetition_is_known_after_a_crash() {
    let mut world = world();
    let (absent, _) = world.lasting(V5, "absent");
    world.subscribe(absent, &[to("t", QoS::ExactlyOnce)]);
    world.cut(absent);
    let (conn, _) = world.lasting(V3, "a");
    for (id, name) in [(1, "t"), (2, "nobody")] {
        let publish = message(name, "x", QoS::ExactlyOnce, id);
        world.send(conn, &Packet::Publish(publish));
        assert_eq!(world.received(conn), [ack(id).0]);
    }
    world.crash();
    let (conn, _) = world.lasting(V3, "a");
    for (id, name) in [(1, "t"), (2, "nobody")] {
        let mut publish = message(name, "x", QoS::ExactlyOnce, id);
        publish.dup = true;
        world.send(conn, &Packet::Publish(publish));
        assert_eq!(world.received(conn), [ack(id).0]);
        world.send(conn, &ack(id).1);
        assert_eq!(world.received(conn), [ack(id).2]);
    }
    assert_eq!(world.broker.metrics().duplicates_in, 2);
    world.crash();
    let (conn, _) = world.lasting(V3, "a");
    world.publish(conn, "t", "y", QoS::ExactlyOnce);
    let (absent, _) = world.lasting(V5, "absent");
    assert_eq!(world.payloads(absent), ["x", "y"]);
}

#[test]
fn retained_messages_come_back_and_expire_by_the_wall_clock() {
    let mut world = world();
    let conn = world.client(V5, "a");
    for (name, payload) in [("t", "old"), ("t", "new"), ("u", "x"), ("u", "")] {
        world.send(conn, &retained(name, payload, QoS::AtMostOnce));
    }
    let mut expiring = message("v", "expires", QoS::AtLeastOnce, 1);
    expiring.retain = true;
    expiring.properties.message_expiry_interval = Some(10);
    world.send(conn, &Packet::Publish(expiring));
    world.crash();
    assert_eq!(world.broker.metrics().retained_messages, 2);
    world.now = world.now + Duration::from_secs(4);
    let conn = world.client(V5, "b");
    world.subscribe(conn, &[to("#", QoS::AtMostOnce)]);
    let mut received: Vec<_> = world.received(conn);
    let mut seen = Vec::new();
    for packet in received.drain(..) {
        if let Packet::Publish(it) = packet {
            seen.push((text(&it), it.properties.message_expiry_interval));
        }
    }
    seen.sort();
    let expected = [("expires", Some(6)), ("new", None)];
    assert_eq!(seen, expected.map(|(text, left)| (text.to_owned(), left)));
    world.now = world.now + Duration::from_secs(6);
    world.crash();
    assert_eq!(world.broker.metrics().retained_messages, 1);
}

/// [MQTT-3.3.2-5]
#[test]
fn mqtt_3_3_2_5_messages_that_expired_while_the_server_was_away_are_not_sent() {
    let mut world = world();
    let (conn, _) = world.lasting(V5, "a");
    world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
    world.cut(conn);
    let publisher = world.client(V5, "p");
    for (payload, expiry) in [("1", Some(5)), ("2", None), ("3", Some(20))] {
        let mut publish = message("t", payload, QoS::AtLeastOnce, 1);
        publish.properties.message_expiry_interval = expiry;
        world.send(publisher, &Packet::Publish(publish));
    }
    world.now = world.now + Duration::from_secs(10);
    world.crash();
    assert_eq!(world.broker.metrics().queued_messages, 2);
    let (conn, _) = world.lasting(V5, "a");
    assert_eq!(world.payloads(conn), ["2", "3"]);
}

/// The hour until a session expires starts at a crash only if it had not started before.
#[test]
fn mqtt_3_1_2_23_sessions_expire_by_the_wall_clock() {
    let mut world = world();
    let (conn, _) = world.lasting(V5, "absent");
    world.cut(conn);
    world.lasting(V5, "connected");
    world.now = world.now + Duration::from_mins(40);
    world.crash();
    assert_eq!(world.broker.metrics().sessions, 2);
    world.sleep(Duration::from_mins(21));
    assert_eq!(world.broker.metrics().sessions, 1);
    // The hour counts from the first crash, not from the second.
    world.crash();
    world.sleep(Duration::from_mins(38));
    assert_eq!(world.broker.metrics().sessions, 1);
    world.sleep(Duration::from_mins(2));
    assert_eq!(world.broker.metrics().sessions, 0);
    world.crash();
    assert_eq!(world.broker.metrics().sessions, 0);
    // These were published while it was away.
    let (conn, _) = world.lasting(V5, "absent");
    world.cut(conn);
    world.now = world.now + Duration::from_hours(2);
    world.crash();
    assert_eq!(world.broker.metrics().sessions, 0);
    let (_, is_present) = world.lasting(V5, "absent");
    assert!(!is_present);
}

pub(super) fn with_will(id: &'static str, delay: u32) -> mqtt::Connect {
    let mut connect = lasting(V5, id);
    connect.will = Some(Will {
        topic: topic("wills"),
        payload: id.into(),
        qos: QoS::ExactlyOnce,
        retain: false,
        properties: WillProperties {
            will_delay_interval: Some(delay),
            ..WillProperties::default()
        },
    });
    connect
}

/// [MQTT-3.1.2-8]
#[test]
fn mqtt_3_1_2_8_wills_come_in_time_and_once() {
    let mut world = world();
    let (heir, _) = world.lasting(V5, "heir");
    world.subscribe(heir, &[to("wills", QoS::ExactlyOnce)]);
    world.cut(heir);
    // There are wills of absent and of connected clients, each with and without a delay. One client
    // has sent DISCONNECT.
    for (id, delay, leaves) in [
        ("away-20", 20, true),
        ("away-0", 0, true),
        ("there-20", 20, false),
        ("there-0", 0, false),
        ("there-for-ever", 100_000, false),
    ] {
        let (conn, _) = world.connect(&with_will(id, delay));
        if leaves {
            world.cut(conn);
        }
    }
    let (conn, _) = world.connect(&with_will("polite", 0));
    let bye = mqtt::Disconnect::new(ReasonCode::Success);
    world.send(conn, &Packet::Disconnect(bye));
    world.sleep(Duration::from_secs(15));
    let heard = |world: &mut World| {
        let (heir, _) = world.lasting(V5, "heir");
        let mut heard = Vec::new();
        for packet in world.received(heir) {
            if let Packet::Publish(publish) = packet {
                let id = publish.packet_id.unwrap().get();
                world.send(heir, &ack(id).0);
                world.send(heir, &ack(id).2);
                heard.push(text(&publish));
            }
        }
        world.cut(heir);
        heard
    };
    assert_eq!(heard(&mut world), ["away-0"]);
    world.crash();
    assert_eq!(heard(&mut world), ["there-0"]);
    world.sleep(Duration::from_secs(6));
    assert_eq!(heard(&mut world), ["away-20"]);
    world.crash();
    assert!(heard(&mut world).is_empty());
    world.sleep(Duration::from_secs(15));
    assert_eq!(heard(&mut world), ["there-20"]);
    // The will is published when its session ends, after an hour.
    world.crash();
    world.now = world.now + Duration::from_mins(30);
    let (heir, _) = world.lasting(V5, "heir");
    world.cut(heir);
    world.sleep(Duration::from_mins(31));
    assert_eq!(heard(&mut world), ["there-for-ever"]);
    world.crash();
    assert!(heard(&mut world).is_empty());
}

/// A server that shuts down publishes no wills, but they are not lost.
#[test]
fn wills_of_clients_connected_at_the_end_come_after_the_start() {
    let mut world = world();
    let (heir, _) = world.lasting(V5, "heir");
    world.subscribe(heir, &[to("wills", QoS::AtLeastOnce)]);
    world.connect(&with_will("there", 0));
    world.connect(&transient_with_will("passing", 0));
    world.input(crate::Input::Shutdown);
    world.crash();
    let (heir, _) = world.lasting(V5, "heir");
    assert_eq!(world.payloads(heir), ["passing", "there"]);
}

/// [MQTT-4.8.2-4]
#[test]
fn waiting_messages_go_to_another_member_after_a_crash_too() {
    let mut world = world();
    for id in ["a", "b"] {
        let (conn, _) = world.lasting(V5, id);
        world.subscribe(conn, &[to("$share/g/t", QoS::AtLeastOnce)]);
        world.cut(conn);
    }
    let publisher = world.client(V5, "p");
    for payload in ["1", "2", "3", "4"] {
        world.publish(publisher, "t", payload, QoS::AtLeastOnce);
    }
    world.crash();
    // The other member's session ends, and this one gets its messages.
    let (conn, _) = world.lasting(V5, "a");
    let mut payloads = world.payloads(conn);
    let mut connect = lasting(V5, "b");
    connect.properties.session_expiry_interval = Some(0);
    let (other, connack) = world.connect(&connect);
    assert!(connack.session_present);
    world.cut(other);
    payloads.extend(world.payloads(conn));
    payloads.sort();
    payloads.dedup();
    assert_eq!(payloads, ["1", "2", "3", "4"]);
    world.crash();
    assert_eq!(world.broker.metrics().sessions, 1);
    assert_eq!(world.broker.metrics().queued_messages, 4);
}

/// After a crash nothing comes back of a session that its client ended.
#[test]
fn mqtt_4_1_0_2_an_ended_session_does_not_come_back() {
    let mut world = world();
    let (conn, _) = world.lasting(V5, "a");
    world.subscribe(conn, &[to("#", QoS::AtLeastOnce)]);
    world.publish(conn, "t", "x", QoS::AtLeastOnce);
    let (conn, connack) = world.connect(&mqtt::Connect::new(V5, "a"));
    assert!(!connack.session_present);
    world.crash();
    assert_eq!(world.broker.metrics().sessions, 0);
    assert_eq!(world.broker.metrics().subscriptions, 0);
    assert_eq!(world.broker.metrics().queued_messages, 0);
    let _ = conn;
    // Nothing comes back of a session that its client ended only with DISCONNECT.
    let (conn, _) = world.lasting(V5, "a");
    let mut bye = mqtt::Disconnect::new(ReasonCode::Success);
    bye.properties.session_expiry_interval = Some(0);
    world.send(conn, &Packet::Disconnect(bye));
    world.crash();
    assert_eq!(world.broker.metrics().sessions, 0);
}

#[test]
fn ended_subscriptions_and_dropped_messages_do_not_come_back() {
    let mut world = World::with(|options| {
        options.durable = true;
        options.limits.queue_messages = 2;
        options.limits.queue_full = crate::QueueFull::DropOldest;
    });
    let (conn, _) = world.lasting(V5, "a");
    world.subscribe(
        conn,
        &[to("t", QoS::AtLeastOnce), to("u", QoS::AtLeastOnce)],
    );
    world.send(
        conn,
        &Packet::Unsubscribe(mqtt::Unsubscribe {
            packet_id: packet_id(3),
            topic_filters: vec![to("u", QoS::AtLeastOnce).topic_filter],
            user_properties: Vec::new(),
        }),
    );
    world.cut(conn);
    let publisher = world.client(V5, "p");
    for (name, payload) in [("t", "1"), ("u", "2"), ("t", "3"), ("t", "4")] {
        world.publish(publisher, name, payload, QoS::AtLeastOnce);
    }
    world.crash();
    assert_eq!(world.broker.metrics().subscriptions, 1);
    let (conn, _) = world.lasting(V5, "a");
    assert_eq!(world.payloads(conn), ["3", "4"]);
}

#[test]
fn a_checkpoint_replaces_everything_before_it() {
    let mut world = world();
    let (conn, _) = world.lasting(V5, "a");
    world.subscribe(
        conn,
        &[
            to("t", QoS::ExactlyOnce),
            to("$share/g/u", QoS::AtLeastOnce),
        ],
    );
    let publisher = world.client(V5, "p");
    for payload in ["1", "2", "3"] {
        world.publish(publisher, "t", payload, QoS::AtLeastOnce);
        world.send(publisher, &retained("r", payload, QoS::AtMostOnce));
    }
    world.connect(&with_will("will", 30));
    world.cut(conn);
    world.publish(publisher, "u", "4", QoS::AtLeastOnce);
    let before = Digest::of(world.now, &world.broker);
    let records = world.journal().len();
    world.checkpoint(1);
    let first = world.journal()[0].0;
    assert!(first > Lsn(records as u64), "{first:?}");
    assert_eq!(Digest::of_recovery(world.now, &world.recovery()), before);
    assert_eq!(world.broker.metrics().checkpoints, 1);
    // A second checkpoint replaces the first.
    world.publish(publisher, "t", "5", QoS::AtLeastOnce);
    world.checkpoint(usize::MAX);
    let now = Digest::of(world.now, &world.broker);
    assert_eq!(Digest::of_recovery(world.now, &world.recovery()), now);
    world.crash();
    let (conn, _) = world.lasting(V5, "a");
    assert_eq!(world.payloads(conn), ["1", "2", "3", "4", "5"]);
}

/// Records are written during a checkpoint, about state that it has and state that it has not
/// reached.
#[test]
fn a_checkpoint_is_right_whatever_happens_meanwhile() {
    let mut world = world();
    for id in ["a", "b", "c"] {
        let (conn, _) = world.lasting(V5, id);
        world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
        world.cut(conn);
    }
    let publisher = world.client(V5, "p");
    world.send(publisher, &retained("r", "old", QoS::AtLeastOnce));
    let mut steps = 0;
    let mut more = true;
    while more {
        more = world.broker.checkpoint(world.now, 1);
        steps += 1;
        // Every client gets a message, and one gets a retained message that the checkpoint has
        // not reached.
        world.publish(publisher, "t", &steps.to_string(), QoS::AtLeastOnce);
        if steps == 2 {
            let (conn, _) = world.lasting(V5, "a");
            world.received(conn);
            world.subscribe(conn, &[to("r", QoS::AtLeastOnce)]);
            world.cut(conn);
        }
    }
    world.persist();
    assert!(steps > 4, "{steps}");
    let from = world.checkpointed.unwrap();
    let mut recovery = Recovery::new(BrokerOptions::default());
    for (lsn, body) in world.journal() {
        if *lsn >= from {
            recovery.replay(*lsn, body.clone()).unwrap();
        }
    }
    assert_eq!(recovery.strays(), 0);
    assert_eq!(
        Digest::of_recovery(world.now, &recovery),
        Digest::of(world.now, &world.broker)
    );
}

#[test]
fn a_journal_without_its_beginning_or_a_whole_checkpoint_is_refused() {
    let mut world = world();
    let (_, _) = world.lasting(V5, "a");
    world.lasting(V5, "b");
    let mut recovery = Recovery::new(BrokerOptions::default());
    for (lsn, body) in &world.journal()[1..] {
        recovery.replay(*lsn, body.clone()).unwrap();
    }
    let error = recovery.finish(world.now).unwrap_err();
    assert_eq!(error.kind, RecordErrorKind::NoWholeCopy);
}

#[test]
fn a_missing_or_unknown_record_is_an_error() {
    let mut world = world();
    world.lasting(V5, "a");
    let record = || world.journal()[0].1.clone();
    let mut recovery = Recovery::new(BrokerOptions::default());
    recovery.replay(Lsn(7), record()).unwrap();
    let error = recovery.replay(Lsn(9), record()).unwrap_err();
    let kind = RecordErrorKind::Gap { expected: Lsn(8) };
    assert_eq!(error, RecordError { lsn: Lsn(9), kind });
    let error = recovery.replay(Lsn(8), vec![255].into()).unwrap_err();
    assert_eq!(error.kind, RecordErrorKind::UnknownKind(255));
    assert!(error.to_string().contains("newer"), "{error}");
    let cut = record().slice(..3);
    let error = recovery.replay(Lsn(8), cut).unwrap_err();
    assert!(matches!(error.kind, RecordErrorKind::Malformed { .. }));
}

/// If a crash tears records that belong together, their beginning may survive.
#[test]
fn each_prefix_of_the_journal_gives_a_state() {
    let mut world = world();
    let (conn, _) = world.lasting(V5, "a");
    world.send(conn, &subscribe(&[to("#", QoS::ExactlyOnce)], Some(9)));
    world.connect(&with_will("b", 0));
    world.connect(&transient_with_will("c", 0));
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        world.publish(conn, "t", "x", qos);
        world.send(conn, &retained("r", "x", qos));
    }
    world.cut(conn);
    world.checkpoint(1);
    let records = world.journal().to_vec();
    let end = records
        .iter()
        .position(|(_, body)| {
            matches!(
                Record::decode(body.clone()),
                Ok(Record::CheckpointEnded { .. })
            )
        })
        .unwrap();
    for len in 0..=records.len() {
        let mut recovery = Recovery::new(BrokerOptions::default());
        for (lsn, body) in &records[..len] {
            recovery.replay(*lsn, body.clone()).unwrap();
        }
        let is_whole = len == 0 || len > end;
        assert_eq!(recovery.finish(world.now).is_ok(), is_whole, "{len}");
    }
}

#[test]
fn unreleased_messages_end_with_their_session() {
    let mut world = World::with(|options| options.durable = true);
    let (conn, _) = world.lasting(V5, "a");
    world.publish(conn, "t", "once", QoS::ExactlyOnce);
    world.crash();
    assert_eq!(world.broker.metrics().incoming_messages, 1);
    // This client connects with Clean Start.
    world.client(V5, "a");
    assert_eq!(world.broker.metrics().incoming_messages, 0);
    world.crash();
    assert_eq!(world.broker.metrics().incoming_messages, 0);
}
