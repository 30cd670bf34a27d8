//! A store that is full, or slow.

use std::time::Duration;

use mqtt::packet::WillProperties;
use mqtt::{Connect, Disconnect, Packet, QoS, ReasonCode, Will};

use super::digest::Digest;
use super::{V5, World, lasting, packet_id, retained, subscribe, to, topic};
use crate::admission::WorkBudget;
use crate::{Input, Limit, StoreState};

fn world() -> World {
    World::with(|options| options.durable = true)
}

/// `QoS` 0 messages can cause records that nothing waits for. The backlog limit bounds them.
#[test]
fn records_of_qos_0_are_bounded_while_the_store_is_slow() {
    let mut world = world();
    let publisher = world.client(V5, "p");
    let other = world.client(V5, "o");
    world.subscribe(other, &[to("o", QoS::AtMostOnce)]);
    world.persists = false;
    let payload = "x".repeat(100_000);
    for number in 0..1_000 {
        let message = retained(&format!("t/{number}"), &payload, QoS::AtMostOnce);
        world.send(publisher, &message);
    }
    let waiting = world.broker.metrics().journal_bytes;
    assert!(
        waiting < (64 << 20) + 200_000,
        "{waiting} bytes wait for the store"
    );
    assert!(world.paused.contains(&publisher));
    assert_eq!(world.told[0].limit, Limit::JournalBacklog);
    // A client that causes no records is not held up.
    world.publish(other, "o", "O", QoS::AtMostOnce);
    assert_eq!(world.payloads(other), ["O"]);
    for session_expiry_interval in [Some(3_600), None] {
        let mut coming = with_will(false);
        coming.clean_start = true;
        coming.properties.session_expiry_interval = session_expiry_interval;
        let conn = world.open(V5);
        world.send(conn, &Packet::Connect(coming));
        assert_eq!(world.farewell(conn), Some(ReasonCode::ServerBusy));
    }
    // A client that connects now is heard when the store has caught up.
    let late = world.client(V5, "l");
    world.send(late, &retained("late", &payload, QoS::AtMostOnce));
    assert!(world.paused.contains(&late));
    assert!(world.broker.metrics().journal_bytes < (64 << 20) + 200_000);
    // The connection is not closed for silence, because the broker is not reading it.
    world.sleep(Duration::from_hours(1));
    assert_eq!(world.closed(publisher), None);
    // Nothing that the client sent is lost.
    world.persists = true;
    world.persist();
    assert!(!world.paused.contains(&publisher));
    let metrics = world.broker.metrics();
    assert_eq!(
        (metrics.retained_messages, metrics.journal_bytes),
        (1_001, 0)
    );
}

/// A retained message that finds no room causes only a small record, without its payload, in a
/// full store.
#[test]
fn a_full_store_does_not_take_payloads_of_qos_0() {
    let mut world = World::with(|options| {
        options.durable = true;
        options.limits.retained_messages = 1;
    });
    let publisher = world.client(V5, "p");
    world.send(publisher, &retained("a", "kept", QoS::AtMostOnce));
    world.input(Input::Store(StoreState::Full));
    let before: usize = world.journal().iter().map(|(_, it)| it.len()).sum();
    let payload = "x".repeat(100_000);
    for _ in 0..100 {
        world.send(publisher, &retained("b", &payload, QoS::AtMostOnce));
    }
    let after: usize = world.journal().iter().map(|(_, it)| it.len()).sum();
    assert!(
        after - before < 10_000,
        "{} bytes for the reserve",
        after - before
    );
}

/// Messages and wills that could not be stored are stored as soon as there is room.
#[test]
fn retained_messages_of_qos_0_are_stored_when_there_is_room_again() {
    let mut world = world();
    let publisher = world.client(V5, "p");
    world.send(publisher, &retained("a", "old", QoS::AtMostOnce));
    world.input(Input::Store(StoreState::Full));
    let payload = "x".repeat(100_000);
    for number in 0..20 {
        world.send(
            publisher,
            &retained(&format!("b/{number}"), &payload, QoS::AtMostOnce),
        );
    }
    world.send(publisher, &retained("a", "new", QoS::AtMostOnce));
    world.input(Input::Store(StoreState::Ready));
    world.crash();
    let reader = world.client(V5, "r");
    world.subscribe(reader, &[to("a", QoS::AtMostOnce)]);
    assert_eq!(world.payloads(reader), ["new"]);
    assert_eq!(world.broker.metrics().retained_messages, 21);
}

fn with_will(retain: bool) -> Connect {
    let mut connect = lasting(V5, "w");
    connect.will = Some(Will {
        topic: topic("wills"),
        payload: "w".repeat(60_000).into(),
        qos: QoS::AtLeastOnce,
        retain,
        properties: WillProperties::default(),
    });
    connect
}

/// A client that connects again and again with a large will does not use up the store's reserve.
#[test]
fn a_full_store_does_not_take_wills() {
    let mut world = world();
    let (s, _) = world.lasting(V5, "s");
    world.subscribe(s, &[to("wills", QoS::AtLeastOnce)]);
    let (w, _) = world.connect(&with_will(true));
    world.send(w, &Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    world.input(Input::Store(StoreState::Full));
    let bytes = |world: &World| -> usize { world.journal().iter().map(|(_, it)| it.len()).sum() };
    let before = bytes(&world);
    for _ in 0..50 {
        let (w, connack) = world.connect(&with_will(true));
        assert!(connack.session_present);
        world.cut(w);
        // A connected client gets it.
        assert_eq!(world.take_publish(s).qos, QoS::AtMostOnce);
    }
    assert!(
        bytes(&world) - before < 10_000,
        "{}",
        bytes(&world) - before
    );
    // Fifty wills were kept, and fifty were published.
    assert_eq!(world.broker.metrics().wills_not_stored, 100);
    let live = Digest::of(world.now, &world.broker);
    assert_eq!(live, Digest::of_recovery(world.now, &world.recovery()));
    world.input(Input::Store(StoreState::Ready));
    world.crash();
    let reader = world.client(V5, "r");
    world.subscribe(reader, &[to("wills", QoS::AtMostOnce)]);
    assert_eq!(world.payloads(reader).len(), 1);
}

/// A will that was kept in memory is stored as soon as there is room.
#[test]
fn mqtt_3_1_2_8_a_will_is_stored_when_there_is_room_again() {
    let mut world = world();
    let (s, _) = world.lasting(V5, "s");
    world.subscribe(s, &[to("wills", QoS::AtLeastOnce)]);
    let (w, _) = world.lasting(V5, "w");
    world.cut(w);
    world.input(Input::Store(StoreState::Full));
    world.connect(&with_will(false));
    world.input(Input::Store(StoreState::Ready));
    world.crash();
    let (s, _) = world.lasting(V5, "s");
    assert_eq!(world.payloads(s).len(), 1);
}

/// The same, with a delayed will of a client that is gone before there is room.
#[test]
fn mqtt_3_1_2_8_a_delayed_will_is_stored_when_there_is_room_again() {
    let mut world = world();
    // A new lasting session would be refused.
    let (w, _) = world.lasting(V5, "w");
    world.cut(w);
    world.input(Input::Store(StoreState::Full));
    let mut connect = with_will(false);
    if let Some(will) = &mut connect.will {
        will.properties.will_delay_interval = Some(7);
    }
    let (w, _) = world.connect(&connect);
    world.cut(w);
    let live = Digest::of(world.now, &world.broker);
    assert_eq!(live, Digest::of_recovery(world.now, &world.recovery()));
    world.input(Input::Store(StoreState::Ready));
    let live = Digest::of(world.now, &world.broker);
    assert_eq!(live, Digest::of_recovery(world.now, &world.recovery()));
    world.crash();
    let reader = world.client(V5, "r");
    world.subscribe(reader, &[to("wills", QoS::AtMostOnce)]);
    world.sleep(Duration::from_secs(8));
    assert_eq!(world.payloads(reader).len(), 1);
}

/// A device is let in nevertheless. Its will stays in memory until there is room.
#[test]
fn mqtt_3_1_2_8_a_full_store_lets_in_clients_with_wills() {
    let mut world = world();
    let passing = |id| {
        let mut connect = Connect::new(V5, id);
        connect.will = with_will(true).will;
        connect
    };
    world.input(Input::Store(StoreState::Full));
    let bytes = |world: &World| -> usize { world.journal().iter().map(|(_, it)| it.len()).sum() };
    let before = bytes(&world);
    for _ in 0..50 {
        let (conn, connack) = world.connect(&passing("comes-and-goes"));
        assert_eq!(connack.reason_code, ReasonCode::Success);
        world.send(
            conn,
            &Packet::Disconnect(Disconnect::new(ReasonCode::Success)),
        );
    }
    assert_eq!(bytes(&world), before);
    assert_eq!(world.broker.metrics().wills_not_stored, 50);
    assert_eq!(world.broker.metrics().refused_store_full, 0);
    assert_eq!(world.told[0].limit, Limit::Store);
    world.connect(&passing("stays"));
    let live = Digest::of(world.now, &world.broker);
    assert_eq!(live, Digest::of_recovery(world.now, &world.recovery()));
    world.input(Input::Store(StoreState::Ready));
    // Deferrable work of the same moment comes first.
    world.sleep(Duration::from_millis(40));
    assert_eq!(world.recovery().wills().count(), 1);
    world.crash();
    let reader = world.client(V5, "r");
    world.subscribe(reader, &[to("wills", QoS::AtMostOnce)]);
    assert_eq!(world.payloads(reader).len(), 1);

    // A will that was already recorded is published with `QoS` 0, and a record says that it is
    // gone.
    let (conn, _) = world.connect(&passing("before"));
    world.input(Input::Store(StoreState::Full));
    world.cut(conn);
    assert_eq!(world.take_publish(reader).qos, QoS::AtMostOnce);
    assert_eq!(world.recovery().wills().count(), 0);
}

/// A message without a record is not given to a lasting session while there is no room.
#[test]
fn a_full_store_does_not_take_messages_that_a_member_leaves() {
    let mut world = world();
    let b = world.client(V5, "b");
    world.subscribe(b, &[to("$share/g/t", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    world.publish(publisher, "t", &"x".repeat(100_000), QoS::AtLeastOnce);
    let (a, _) = world.lasting(V5, "a");
    world.subscribe(a, &[to("$share/g/t", QoS::AtLeastOnce)]);
    world.input(Input::Store(StoreState::Full));
    let bytes = |world: &World| -> usize { world.journal().iter().map(|(_, it)| it.len()).sum() };
    let before = bytes(&world);
    world.cut(b);
    assert!(bytes(&world) - before < 1_000);
    assert_eq!(world.broker.metrics().dropped_session_ended, 1);
}

/// A record that would be too long to read back is not written, and nothing that builds on it is
/// promised.
#[test]
fn mqtt_4_1_0_1_nothing_is_acknowledged_behind_a_record_that_is_too_long() {
    let mut world = world();
    let (s, _) = world.lasting(V5, "s");
    world.subscribe(s, &[to("t", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    world.publish(publisher, "t", "before", QoS::AtLeastOnce);
    assert_eq!(world.received(publisher).len(), 1);
    world.broker.ledger.set_max_body(1_000);
    world.publish(publisher, "t", &"x".repeat(2_000), QoS::AtLeastOnce);
    assert!(world.received(publisher).is_empty());
    assert_eq!(world.told[0].limit, Limit::RecordSize);
    // From now on such a message is refused at once.
    let other = world.client(V5, "o");
    world.publish(other, "t", "behind", QoS::AtLeastOnce);
    let Packet::PubAck(ack) = world.take(other) else {
        panic!("no PUBACK")
    };
    assert_eq!(ack.reason_code, ReasonCode::QuotaExceeded);
    assert!(!world.broker.checkpoint(world.now, 1 << 20));
    world.crash();
    let (s, present) = world.lasting(V5, "s");
    assert!(present);
    assert_eq!(world.payloads(s), ["before"]);
}

/// A client that comes back for the messages that fill the store often subscribes again, to the
/// same filters.
#[test]
fn mqtt_3_8_4_3_an_equal_subscription_is_granted_by_a_full_store() {
    let mut world = world();
    let (s, _) = world.lasting(V5, "s");
    let same = [
        to("t", QoS::AtLeastOnce),
        to("$share/g/u", QoS::AtLeastOnce),
    ];
    world.subscribe(s, &same);
    let publisher = world.client(V5, "p");
    world.publish(publisher, "t", "before", QoS::AtLeastOnce);
    world.send(publisher, &retained("t", "kept", QoS::AtMostOnce));
    world.received(s);
    world.input(Input::Store(StoreState::Full));
    let bytes = |world: &World| -> usize { world.journal().iter().map(|(_, it)| it.len()).sum() };
    let before = bytes(&world);
    world.subscribe(s, &same);
    assert_eq!(world.payloads(s), ["kept"]);
    assert!(bytes(&world) - before < 200, "{}", bytes(&world) - before);
    assert_eq!(world.broker.metrics().refused_store_full, 0);
    // With other options the subscription would need a record.
    for other in [to("t", QoS::AtMostOnce), to("v", QoS::AtLeastOnce)] {
        world.send(s, &subscribe(&[other], None));
        let Packet::SubAck(ack) = world.take(s) else {
            panic!("no SUBACK")
        };
        assert_eq!(ack.reason_codes, [ReasonCode::QuotaExceeded]);
    }
    let unsubscribe = mqtt::Unsubscribe {
        packet_id: packet_id(7),
        topic_filters: vec![to("$share/g/u", QoS::AtLeastOnce).topic_filter],
        user_properties: Vec::new(),
    };
    world.send(s, &Packet::Unsubscribe(unsubscribe));
    let Packet::UnsubAck(ack) = world.take(s) else {
        panic!("no UNSUBACK")
    };
    assert_eq!(ack.reason_codes, [ReasonCode::Success]);
    let live = Digest::of(world.now, &world.broker);
    assert_eq!(live, Digest::of_recovery(world.now, &world.recovery()));
}

/// One turn does not search all that is stored for the little that is not stored.
#[test]
fn the_write_back_searches_in_several_turns() {
    let mut world = world();
    let publisher = world.client(V5, "p");
    for number in 0..10_000 {
        let message = retained(&format!("t/{number}"), "x", QoS::AtMostOnce);
        world.send(publisher, &message);
    }
    world.input(Input::Store(StoreState::Full));
    world.send(publisher, &retained("last", "x", QoS::AtMostOnce));
    world.now = world.now + Duration::from_secs(1);
    let before = world.records.len();
    world.input(Input::Store(StoreState::Ready));
    let mut turns = 1;
    while world.records.len() == before {
        // It continues even if nothing else happens.
        let at = world.run().unwrap();
        assert!(at > world.now && at <= world.now + WorkBudget::PERIOD);
        world.now = at;
        world.input(Input::Timeout);
        turns += 1;
    }
    assert!((3..10).contains(&turns), "{turns}");
    world.sleep(Duration::from_millis(10));
    let at = world.run().unwrap();
    assert!(at > world.now + Duration::from_secs(1));
    world.crash();
    assert_eq!(world.broker.metrics().retained_messages, 10_001);
}
