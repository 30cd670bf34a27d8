//! A checkpoint copies a session with a long queue piece by piece.

use mqtt::{Connect, Packet, PubAck, QoS, ReasonCode};

use super::digest::Digest;
use super::{V5, World, to};
use crate::durability::Record;
use crate::{BrokerOptions, Lsn, Recovery};

const PIECE: usize = 10_000;
const MESSAGE: usize = 1_000;
const MESSAGES: usize = 500;

/// A session with many messages in its queue and some in its window, and a publisher. The
/// messages are in records before the checkpoint.
fn waiting() -> (World, crate::Conn) {
    let mut world = World::with(|options| {
        options.durable = true;
        options.limits.inflight_window = 64;
    });
    let (subscriber, _) = world.lasting(V5, "s");
    world.subscribe(subscriber, &[to("t", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    for number in 0..MESSAGES {
        if number == 10 {
            world.cut(subscriber);
        }
        let payload = format!("{number:0>MESSAGE$}");
        world.publish(publisher, "t", &payload, QoS::AtLeastOnce);
    }
    world.received(publisher);
    (world, publisher)
}

/// Replays the records from the beginning of the last checkpoint.
fn from_copy(world: &World) -> Recovery {
    let from = world.checkpointed.unwrap();
    let options = BrokerOptions {
        durable: true,
        ..BrokerOptions::default()
    };
    let mut recovery = Recovery::new(options);
    for (lsn, body) in world.journal().iter().filter(|(lsn, _)| *lsn >= from) {
        recovery.replay(*lsn, body.clone()).unwrap();
    }
    assert_eq!(recovery.strays(), 0);
    recovery
}

#[test]
fn no_piece_is_much_larger_than_asked_for() {
    let (mut world, _) = waiting();
    let first = world.records.last().unwrap().0;
    let (mut pieces, mut largest) = (0, 0);
    let mut more = true;
    while more {
        more = world.broker.checkpoint(world.now, PIECE);
        largest = largest.max(world.broker.journal_backlog());
        pieces += 1;
        world.run();
    }
    assert!(pieces > MESSAGES * MESSAGE / PIECE / 2, "{pieces}");
    // The record of the session names each of its messages, and is in one piece.
    assert!(largest < PIECE + MESSAGE + MESSAGES * 32, "{largest}");
    let copied: Vec<_> = world.records.iter().filter(|it| it.0 > first).collect();
    let is_message = |it: &&&(Lsn, Record)| matches!(it.1, Record::Message { .. });
    assert_eq!(copied.iter().filter(is_message).count(), MESSAGES);
    let sessions = copied.iter().filter_map(|(_, record)| match record {
        Record::Session(state) => Some((state.window.len(), state.queue.len())),
        _ => None,
    });
    assert_eq!(sessions.collect::<Vec<_>>(), [(10, MESSAGES - 10)]);
    let (now, broker) = (world.now, &world.broker);
    assert_eq!(
        Digest::of_recovery(now, &from_copy(&world)),
        Digest::of(now, broker)
    );
}

/// While a session's messages are copied, its client takes some, new ones arrive, and the session
/// ends and begins anew.
#[test]
fn a_checkpoint_in_pieces_is_right_whatever_happens_meanwhile() {
    let (mut world, publisher) = waiting();
    let mut step = 0;
    let mut subscriber = None;
    while world.broker.checkpoint(world.now, PIECE) {
        world.run();
        step += 1;
        world.publish(publisher, "t", &format!("new {step}"), QoS::AtLeastOnce);
        match step {
            5 => subscriber = Some(world.lasting(V5, "s").0),
            6..=9 => {
                let conn = subscriber.unwrap();
                for packet in world.received(conn) {
                    if let Packet::Publish(publish) = packet {
                        let ack = PubAck::new(publish.packet_id.unwrap(), ReasonCode::Success);
                        world.send(conn, &Packet::PubAck(ack));
                    }
                }
            }
            12 => world.cut(subscriber.unwrap()),
            // A crash after which the journal has the beginning of the checkpoint but not its
            // end.
            15 => {
                let before = Digest::of(world.now, &world.broker);
                let found = Digest::of_recovery(world.now, &world.recovery());
                assert_eq!(found, before);
            }
            20 => {
                let mut connect = super::lasting(V5, "s");
                connect.clean_start = true;
                let (conn, connack) = world.connect(&connect);
                assert!(!connack.session_present);
                world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
                world.cut(conn);
            }
            _ => {}
        }
    }
    world.run();
    assert!(step >= 20, "{step}");
    assert!(world.broker.metrics().queued_messages > 0);
    assert_eq!(
        Digest::of_recovery(world.now, &from_copy(&world)),
        Digest::of(world.now, &world.broker)
    );
    assert_eq!(
        Digest::of_recovery(world.now, &world.recovery()),
        Digest::of(world.now, &world.broker)
    );
}

/// Sessions that end with their connections are not copied, but looking at them takes time too.
#[test]
fn sessions_that_are_not_copied_are_passed_over_in_pieces() {
    let mut world = World::with(|options| options.durable = true);
    for number in 0..5_000 {
        let mut connect = Connect::new(super::V5, "");
        connect.client_id = format!("{number}").as_str().try_into().unwrap();
        world.connect(&connect);
    }
    let mut pieces = 1;
    while world.broker.checkpoint(world.now, 1 << 20) {
        world.run();
        pieces += 1;
    }
    assert!((3..10).contains(&pieces), "{pieces}");
}
