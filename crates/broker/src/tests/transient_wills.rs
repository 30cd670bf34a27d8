//! After a crash the wills of clients whose sessions end with their connections are published.

use std::time::Duration;

use mqtt::packet::WillProperties;
use mqtt::{Packet, QoS, ReasonCode};

use super::digest::Digest;
use super::restarting::{ack, with_will, world};
use super::{V3, V5, World, retained, text, to};
use crate::durability::Record;
use crate::{BrokerOptions, Lsn, Recovery};

/// A CONNECT as from `with_will`, but for a session that ends with its connection.
pub(super) fn transient_with_will(id: &'static str, delay: u32) -> mqtt::Connect {
    mqtt::Connect {
        clean_start: true,
        properties: mqtt::packet::ConnectProperties::default(),
        ..with_will(id, delay)
    }
}

/// Takes all `QoS` 2 messages that came and completes their exchanges.
fn take_all(world: &mut World, conn: crate::Conn) -> Vec<String> {
    let mut taken = Vec::new();
    for packet in world.received(conn) {
        if let Packet::Publish(publish) = packet {
            let id = publish.packet_id.unwrap().get();
            world.send(conn, &ack(id).0);
            world.send(conn, &ack(id).2);
            taken.push(text(&publish));
        }
    }
    taken
}

/// The crash ends connection and session, and with them every delay.
#[test]
fn mqtt_3_1_2_8_a_crash_publishes_the_wills_of_sessions_that_end_with_it() {
    let mut world = world();
    let (heir, _) = world.lasting(V5, "heir");
    world.subscribe(heir, &[to("wills", QoS::ExactlyOnce)]);
    let bye = |code| Packet::Disconnect(mqtt::Disconnect::new(code));
    for (id, delay) in [("there", 0), ("there-delayed", 1_000), ("old", 0)] {
        world.connect(&transient_with_will(id, delay));
    }
    // The same in version 3.1.1.
    let mut old = transient_with_will("old", 0);
    old.version = V3;
    old.will.as_mut().unwrap().properties = WillProperties::default();
    world.connect(&old);
    assert_eq!(take_all(&mut world, heir), ["old"]);
    // These wills were published or taken back.
    let (conn, _) = world.connect(&transient_with_will("cut", 0));
    world.cut(conn);
    let (conn, _) = world.connect(&transient_with_will("bye-with-will", 5));
    world.send(conn, &bye(ReasonCode::DisconnectWithWill));
    let (conn, _) = world.connect(&transient_with_will("polite", 0));
    world.send(conn, &bye(ReasonCode::Success));
    world.client(V5, "without");
    assert_eq!(take_all(&mut world, heir), ["cut", "bye-with-will"]);
    assert_eq!(
        Digest::of_recovery(world.now, &world.recovery()),
        Digest::of(world.now, &world.broker)
    );
    world.crash();
    assert_eq!(world.broker.metrics().wills_published, 3);
    assert_eq!(world.broker.metrics().sessions, 1);
    let (heir, _) = world.lasting(V5, "heir");
    let expected = ["there", "there-delayed", "old"];
    assert_eq!(take_all(&mut world, heir), expected);
    // Each is published only once.
    world.crash();
    let (heir, _) = world.lasting(V5, "heir");
    assert!(take_all(&mut world, heir).is_empty());
    // A client that connects now leaves a will of its own.
    world.connect(&transient_with_will("there", 0));
    world.crash();
    let (heir, _) = world.lasting(V5, "heir");
    assert_eq!(take_all(&mut world, heir), ["there"]);
}

/// A crash anywhere among the records of a will's publication: before, within, or after them.
#[test]
fn a_will_is_neither_lost_nor_doubled_wherever_crashes_come() {
    let prepared = || {
        let mut world = world();
        let (heir, _) = world.lasting(V5, "heir");
        world.subscribe(heir, &[to("wills", QoS::ExactlyOnce)]);
        world.cut(heir);
        world.connect(&transient_with_will("a", 7));
        world.connect(&transient_with_will("b", 0));
        let alive = world.journal().last().unwrap().0;
        world.persists = false;
        world.crash();
        let published = world.journal().last().unwrap().0;
        // There are at least three records: one for the restart, and one for each will.
        assert!(published.0 >= alive.0 + 3, "{published:?}");
        (world, alive, published)
    };
    let (_, alive, published) = prepared();
    for cut in alive.0..=published.0 {
        let (mut world, ..) = prepared();
        world.crash_at(Lsn(cut));
        world.crash();
        world.persists = true;
        world.persist();
        let (heir, _) = world.lasting(V5, "heir");
        assert_eq!(take_all(&mut world, heir), ["a", "b"], "at {cut}");
        world.crash();
        let (heir, _) = world.lasting(V5, "heir");
        assert!(take_all(&mut world, heir).is_empty(), "at {cut}");
    }
}

/// A device's will corrects the device's retained state.
#[test]
fn mqtt_3_1_2_15_a_retained_will_replaces_the_retained_message_after_a_crash() {
    let mut world = world();
    let mut connect = transient_with_will("offline", 0);
    connect.will.as_mut().unwrap().retain = true;
    let (conn, _) = world.connect(&connect);
    world.send(conn, &retained("wills", "online", QoS::AtLeastOnce));
    world.crash();
    let reader = world.client(V5, "reader");
    world.subscribe(reader, &[to("wills", QoS::AtMostOnce)]);
    assert_eq!(world.payloads(reader), ["offline"]);
}

#[test]
fn a_checkpoint_has_the_live_wills_and_no_others() {
    let mut world = world();
    let (heir, _) = world.lasting(V5, "heir");
    world.subscribe(heir, &[to("wills", QoS::ExactlyOnce)]);
    for id in ["gone", "there", "leaves-later"] {
        world.connect(&transient_with_will(id, 0));
    }
    let bye = Packet::Disconnect(mqtt::Disconnect::new(ReasonCode::Success));
    let (conn, _) = world.connect(&transient_with_will("gone", 0));
    assert_eq!(take_all(&mut world, heir), ["gone"]);
    world.send(conn, &bye);
    // One client comes and one goes during the checkpoint.
    let mut more = world.broker.checkpoint(world.now, 1);
    let (conn, _) = world.connect(&transient_with_will("leaves-later", 0));
    assert_eq!(take_all(&mut world, heir), ["leaves-later"]);
    while more {
        more = world.broker.checkpoint(world.now, 1);
    }
    world.send(conn, &bye);
    world.connect(&transient_with_will("comes-later", 0));
    world.persist();
    let from = world.checkpointed.unwrap();
    let mut recovery = Recovery::new(BrokerOptions::default());
    for (lsn, body) in world.journal() {
        if *lsn >= from {
            recovery.replay(*lsn, body.clone()).unwrap();
        }
    }
    assert_eq!(recovery.strays(), 0);
    let live = Digest::of(world.now, &world.broker);
    assert_eq!(Digest::of_recovery(world.now, &recovery), live);
    let mut wills: Vec<_> = recovery
        .wills()
        .map(|(_, it)| it.publisher.as_str())
        .collect();
    wills.sort_unstable();
    assert_eq!(wills, ["comes-later", "there"]);
    // The next checkpoint begins where no earlier records are left.
    world.checkpoint(usize::MAX);
    assert_eq!(Digest::of_recovery(world.now, &world.recovery()), live);
    // No number is used again, even if no record names it any more.
    let numbers = |world: &World| -> Vec<_> {
        let recovery = world.recovery();
        let numbers = recovery.wills().map(|(number, _)| *number);
        numbers.collect()
    };
    let before = numbers(&world);
    world.crash();
    world.connect(&transient_with_will("new", 0));
    let after = numbers(&world);
    assert!(after[0] > before[1] && after.len() == 1, "{after:?}");
}

/// A session that will end with its connection keeps only its will in the records.
#[test]
fn mqtt_3_1_2_8_a_session_that_no_longer_lasts_leaves_its_will() {
    let mut world = world();
    let (heir, _) = world.lasting(V5, "heir");
    world.subscribe(heir, &[to("wills", QoS::ExactlyOnce)]);
    let (conn, _) = world.connect(&with_will("a", 20));
    world.cut(conn);
    let mut connect = transient_with_will("a", 0);
    connect.clean_start = false;
    let (_, connack) = world.connect(&connect);
    assert!(connack.session_present);
    let live = Digest::of(world.now, &world.broker);
    assert_eq!(Digest::of_recovery(world.now, &world.recovery()), live);
    world.crash();
    assert_eq!(world.broker.metrics().sessions, 1);
    let (heir, _) = world.lasting(V5, "heir");
    assert_eq!(take_all(&mut world, heir), ["a"]);
    // The other way round: a lasting session takes over a connection whose session does not last.
    world.connect(&transient_with_will("a", 0));
    world.connect(&with_will("a", 20));
    assert_eq!(take_all(&mut world, heir), ["a"]);
    world.crash();
    let (heir, _) = world.lasting(V5, "heir");
    assert!(take_all(&mut world, heir).is_empty());
    world.sleep(Duration::from_secs(21));
    assert_eq!(take_all(&mut world, heir), ["a"]);
}

#[test]
fn no_number_of_a_will_is_used_again() {
    let mut world = world();
    world.connect(&transient_with_will("a", 0));
    world.crash();
    world.connect(&transient_with_will("b", 0));
    world.lasting(V5, "c");
    let recovery = world.recovery();
    let b: Vec<_> = recovery.wills().map(|(number, _)| number.0.get()).collect();
    assert_eq!(b, [2]);
    let c = world.records.iter().find_map(|(_, record)| match record {
        Record::Opened { session, .. } => Some(session.0.get()),
        _ => None,
    });
    assert_eq!(c, Some(3));
}
