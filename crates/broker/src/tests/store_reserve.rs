//! The estimate of the store's reserve is never too low.

use bytes::BytesMut;
use mqtt::packet::WillProperties;
use mqtt::{Connect, Disconnect, Packet, PubAck, PubComp, PubRec, QoS, ReasonCode, Will};

use super::{V5, World, message, retained, subscribe, to, topic};
use crate::{Conn, Input, Lsn};

const NAMES: [&str; 10] = ["s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9"];
/// Bytes of the head of a group, as the store writes it.
const GROUP: u64 = 33;

fn world() -> World {
    World::with(|options| options.durable = true)
}

/// Bytes of all records after the first `from`, with `more` for each.
fn written(world: &World, from: usize, more: u64) -> u64 {
    let records = world.journal()[from..].iter();
    records.map(|(_, body)| 16 + body.len() as u64 + more).sum()
}

/// Bytes of a checkpoint.
fn copied(world: &mut World) -> u64 {
    let before = world.journal().len();
    while world.broker.checkpoint(world.now, 10_000) {
        world.input(Input::Timeout);
    }
    world.input(Input::Timeout);
    written(world, before, 0)
}

/// Sessions that are away, subscribed to `t`.
fn absent(world: &mut World, qos: QoS) {
    for name in NAMES {
        let (conn, _) = world.lasting(V5, name);
        world.subscribe(conn, &[to("t", qos)]);
        world.cut(conn);
    }
}

/// Acknowledges everything, one packet after the other, until nothing comes any more.
fn take_all(world: &mut World, conn: Conn) -> usize {
    let mut count = 0;
    loop {
        let packets = world.received(conn);
        if packets.is_empty() {
            return count;
        }
        for packet in packets {
            let answer = match packet {
                Packet::Publish(publish) => {
                    count += 1;
                    let id = publish.packet_id.unwrap();
                    if publish.qos == QoS::AtLeastOnce {
                        Packet::PubAck(PubAck::new(id, ReasonCode::Success))
                    } else {
                        Packet::PubRec(PubRec::new(id, ReasonCode::Success))
                    }
                }
                Packet::PubRel(release) => {
                    Packet::PubComp(PubComp::new(release.packet_id, ReasonCode::Success))
                }
                other => panic!("{other:?}"),
            };
            world.send(conn, &answer);
        }
    }
}

#[test]
fn taking_everything_causes_no_more_records_than_estimated() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = world();
        absent(&mut world, qos);
        let publisher = world.client(V5, "p");
        for id in 1..=100 {
            world.send(publisher, &Packet::Publish(message("t", "x", qos, id)));
        }
        let metrics = world.broker.metrics();
        assert_eq!(metrics.stored_deliveries, 1_000);
        let thought = metrics.taking_bytes;
        let before = world.journal().len();
        for name in NAMES {
            let (conn, _) = world.lasting(V5, name);
            assert_eq!(take_all(&mut world, conn), 100);
        }
        let is = written(&world, before, GROUP);
        assert!(is > 1_000 * 90 && is <= thought, "{is} of {thought}");
        let metrics = world.broker.metrics();
        assert_eq!(
            (metrics.stored_deliveries, metrics.stored_message_bytes),
            (0, 0)
        );
    }
}

#[test]
fn a_checkpoint_is_no_larger_than_estimated_and_has_each_message_once() {
    const BODY: usize = 3_000;
    let mut world = world();
    absent(&mut world, QoS::ExactlyOnce);
    let publisher = world.client(V5, "p");
    let payload = "x".repeat(BODY);
    for number in 0..100 {
        world.publish(publisher, "t", &payload, QoS::AtLeastOnce);
        world.send(
            publisher,
            &retained(&format!("r/{number}"), &payload, QoS::AtLeastOnce),
        );
        let mut connect = Connect::with_client_id(V5, &format!("w{number}")).unwrap();
        // Half of the sessions end with their connections.
        connect.properties.session_expiry_interval = (number % 2 == 0).then_some(60);
        connect.will = Some(Will {
            topic: topic("wills"),
            payload: payload.clone().into(),
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: WillProperties::default(),
        });
        world.connect(&connect);
    }
    let thought = world.broker.metrics().copy_bytes;
    for _ in 0..2 {
        let is = copied(&mut world);
        assert!(is > 300 * BODY as u64, "{is}");
        assert!((is..is * 5 / 4).contains(&thought), "{is} of {thought}");
        assert_eq!(world.broker.metrics().copy_bytes, thought);
    }
    // The estimate is not too low after a restart either.
    world.crash();
    let thought = world.broker.metrics().copy_bytes;
    let is = copied(&mut world);
    assert!((is..is * 5 / 4).contains(&thought), "{is} of {thought}");
}

/// Sessions that end with their connections cost the store nothing, whatever waits for them.
#[test]
fn unrecorded_state_needs_no_room() {
    let mut world = world();
    let nothing = world.broker.metrics().copy_bytes;
    for name in NAMES {
        let conn = world.client(V5, name);
        world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
    }
    let publisher = world.client(V5, "p");
    for _ in 0..20 {
        world.publish(publisher, "t", &"x".repeat(1_000), QoS::AtLeastOnce);
    }
    let metrics = world.broker.metrics();
    assert_eq!(metrics.queued_messages, 200);
    assert_eq!((metrics.copy_bytes, metrics.taking_bytes), (nothing, 0));
}

/// After messages were handed over and sessions have ended, nothing is left in the counts.
#[test]
fn ended_sessions_need_no_room_in_the_store() {
    let mut world = world();
    let nothing = world.broker.metrics().copy_bytes;
    for shared in [false, true] {
        let filter = if shared { "$share/g/t" } else { "t" };
        let publisher = world.client(V5, "p");
        for name in NAMES {
            let (conn, _) = world.lasting(V5, name);
            world.subscribe(conn, &[to(filter, QoS::AtLeastOnce)]);
            for _ in 0..20 {
                world.publish(publisher, "t", "x", QoS::AtLeastOnce);
            }
        }
        assert!(world.broker.metrics().stored_deliveries >= 200);
        for name in NAMES {
            // The session goes on for an hour, or has ended. The others get what it had of a
            // group.
            let (conn, _) = world.lasting(V5, name);
            world.send(conn, &subscribe(&[to("other", QoS::AtLeastOnce)], None));
            let mut disconnect = Disconnect::new(ReasonCode::Success);
            disconnect.properties.session_expiry_interval = Some(0);
            world.send(conn, &Packet::Disconnect(disconnect));
        }
        world.sleep(std::time::Duration::from_secs(1));
        let metrics = world.broker.metrics();
        assert_eq!((metrics.sessions, metrics.stored_deliveries), (1, 0));
        assert_eq!((metrics.copy_bytes, metrics.taking_bytes), (nothing, 0));
    }
}

/// A burst that is accepted before anything is durable still leaves the reserve.
#[test]
fn a_burst_leaves_the_stores_reserve() {
    const ROOM: u64 = 200_000;
    let mut world = world();
    absent(&mut world, QoS::AtLeastOnce);
    let publisher = world.client(V5, "p");
    world.input(Input::StoreRoom {
        bytes: ROOM,
        from: Lsn(0),
    });
    world.persists = false;
    let before = world.journal().len();
    // The whole checkpoint is written in one piece.
    let mut bytes = BytesMut::new();
    for id in 1..=256 {
        let message = message("t", &"x".repeat(1_000), QoS::AtLeastOnce, id);
        mqtt::encode(&Packet::Publish(message), V5, &mut bytes).unwrap();
    }
    world.send_bytes(publisher, bytes.freeze());
    let metrics = world.broker.metrics();
    let used = written(&world, before, 0) + metrics.copy_bytes + metrics.taking_bytes;
    assert!(used <= ROOM, "{used}");
    assert!(used > ROOM * 3 / 4, "{used}");
    assert_eq!(
        metrics.refused_store_full + metrics.stored_deliveries / 10,
        256
    );
    // A retained message of QoS 0 and a will stay in memory. A lasting session is refused.
    let fill = retained("r", &"x".repeat(100_000), QoS::AtMostOnce);
    world.send(publisher, &fill);
    assert_eq!(world.broker.metrics().retained_not_stored, 1);
    // With more room, more is accepted.
    world.persists = true;
    world.persist();
    world.input(Input::StoreRoom {
        bytes: 3 * ROOM,
        from: Lsn(0),
    });
    assert!(world.broker.spare_room() > 0);
    world.received(publisher);
    world.send(
        publisher,
        &Packet::Publish(message("t", "x", QoS::AtLeastOnce, 1)),
    );
    match world.take(publisher) {
        Packet::PubAck(ack) => assert_eq!(ack.reason_code, ReasonCode::Success),
        other => panic!("{other:?}"),
    }
}

/// The written part of a checkpoint needs no reserve, until the records before it have gone.
#[test]
fn an_unfinished_checkpoint_needs_room_only_for_its_rest() {
    let mut world = world();
    absent(&mut world, QoS::AtLeastOnce);
    let publisher = world.client(V5, "p");
    for _ in 0..50 {
        world.publish(publisher, "t", &"x".repeat(1_000), QoS::AtLeastOnce);
    }
    let room = |world: &mut World, bytes, from| {
        world.input(Input::StoreRoom { bytes, from });
        world.broker.spare_room()
    };
    let full = room(&mut world, 1_000_000, Lsn(0));
    let before = world.journal().len();
    while world.broker.checkpoint(world.now, 10_000) {
        world.input(Input::Timeout);
        let left = 1_000_000 - written(&world, before, 0);
        assert!(room(&mut world, left, Lsn(0)) >= full);
    }
    world.input(Input::Timeout);
    let left = 1_000_000 - written(&world, before, 0);
    assert!(room(&mut world, left, Lsn(0)) >= full);
    let from = world.checkpointed.unwrap();
    assert!(room(&mut world, left, from) < full);
}
