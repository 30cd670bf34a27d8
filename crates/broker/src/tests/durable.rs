//! Acknowledgements that wait for records.

use mqtt::{Packet, PubAck, PubComp, PubRec, PubRel, QoS, ReasonCode};

use super::{V5, World, message, packet_id, retained, to};
use crate::record::Record;
use crate::{BrokerOptions, Input, Lsn, RecordError, RecordErrorKind, Recovery};

fn world() -> World {
    World::with(|options| options.durable = true)
}

#[test]
fn mqtt_4_3_2_4_puback_waits_until_the_message_is_durable() {
    let mut world = world();
    let conn = world.client(V5, "a");
    world.subscribe(conn, &[to("t", QoS::AtMostOnce)]);
    world.publish(conn, "t", "x", QoS::AtLeastOnce);
    assert_eq!(world.payloads(conn), ["x"]);
    let (lsn, record) = world.records.pop().unwrap();
    let Record::Accepted(accepted) = record else {
        panic!("{record:?}");
    };
    assert_eq!((lsn, accepted.publisher.as_str()), (Lsn(1), "a"));
    let mut expected = message("t", "x", QoS::AtLeastOnce, 1);
    expected.packet_id = None;
    assert_eq!(accepted.publish, expected);
    // Nothing else waits.
    world.send(conn, &Packet::PingReq);
    assert_eq!(world.received(conn), [Packet::PingResp]);
    world.input(Input::Persisted(lsn));
    let ack = PubAck::new(packet_id(1), ReasonCode::Success);
    assert_eq!(world.received(conn), [Packet::PubAck(ack)]);
}

#[test]
fn mqtt_4_6_0_2_acknowledgements_keep_their_order() {
    let mut world = world();
    let conn = world.client(V5, "a");
    world.subscribe(conn, &[to("t", QoS::AtMostOnce)]);
    let other = world.client(V5, "b");
    for id in 1..=3 {
        world.send(
            conn,
            &Packet::Publish(message("t", "x", QoS::AtLeastOnce, id)),
        );
        world.send(
            other,
            &Packet::Publish(message("t", "x", QoS::ExactlyOnce, id)),
        );
    }
    world.received(conn);
    // Refused, so without a record; still behind the others.
    world.send(
        conn,
        &Packet::Publish(message("$t", "x", QoS::AtLeastOnce, 4)),
    );
    world.input(Input::Persisted(Lsn(3)));
    let ids = |packets: Vec<Packet>| -> Vec<u16> {
        packets
            .iter()
            .map(|packet| match packet {
                Packet::PubAck(ack) => ack.packet_id.get(),
                Packet::PubRec(ack) => ack.packet_id.get(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(ids(world.received(conn)), [1, 2]);
    assert_eq!(ids(world.received(other)), [1]);
    world.input(Input::Persisted(Lsn(6)));
    assert_eq!(ids(world.received(conn)), [3, 4]);
    assert_eq!(ids(world.received(other)), [2, 3]);
}

#[test]
fn mqtt_4_3_3_11_pubcomp_waits_until_the_release_is_durable() {
    let mut world = world();
    let conn = world.client(V5, "a");
    world.subscribe(conn, &[to("t", QoS::AtMostOnce)]);
    world.publish(conn, "t", "x", QoS::ExactlyOnce);
    world.input(Input::Persisted(Lsn(1)));
    world.received(conn);
    let release = PubRel::new(packet_id(1), ReasonCode::Success);
    world.send(conn, &Packet::PubRel(release));
    assert!(world.received(conn).is_empty());
    assert!(matches!(
        world.records.last(),
        Some((Lsn(2), Record::Released { .. }))
    ));
    world.input(Input::Persisted(Lsn(2)));
    let complete = PubComp::new(packet_id(1), ReasonCode::Success);
    assert_eq!(world.received(conn), [Packet::PubComp(complete)]);
}

#[test]
fn what_waits_counts_against_receive_maximum_and_is_bounded() {
    let mut world = World::with(|options| {
        options.durable = true;
        options.limits.receive_maximum = 10;
    });
    let conn = world.client(V5, "a");
    for id in 1..=10 {
        world.send(
            conn,
            &Packet::Publish(message("t", "x", QoS::AtLeastOnce, id)),
        );
    }
    assert!(world.closed(conn).is_none());
    world.send(
        conn,
        &Packet::Publish(message("t", "x", QoS::AtLeastOnce, 11)),
    );
    assert_eq!(
        world.farewell(conn),
        Some(ReasonCode::ReceiveMaximumExceeded)
    );

    let conn = world.client(V5, "b");
    for _ in 0..100 {
        world.send(
            conn,
            &Packet::Publish(message("t", "x", QoS::ExactlyOnce, 1)),
        );
    }
    assert_eq!(
        world.farewell(conn),
        Some(ReasonCode::ReceiveMaximumExceeded)
    );
}

#[test]
fn what_waits_for_a_connection_that_is_gone_goes_nowhere() {
    let mut world = world();
    let (conn, _) = world.lasting(V5, "a");
    world.publish(conn, "t", "x", QoS::ExactlyOnce);
    world.cut(conn);
    let (conn, _) = world.lasting(V5, "a");
    world.input(Input::Persisted(Lsn(1)));
    assert!(world.received(conn).is_empty());
    let mut again = message("t", "x", QoS::ExactlyOnce, 1);
    again.dup = true;
    world.send(conn, &Packet::Publish(again));
    let received = PubRec::new(packet_id(1), ReasonCode::Success);
    assert_eq!(world.received(conn), [Packet::PubRec(received)]);
}

/// Everything but the connections goes on where it was.
#[test]
fn retained_messages_come_back() {
    let mut world = world();
    let conn = world.client(V5, "a");
    for (topic, payload) in [("t", "old"), ("t", "new"), ("u", "x"), ("u", "")] {
        world.send(conn, &retained(topic, payload, QoS::AtMostOnce));
    }
    let mut recovery = Recovery::new(BrokerOptions::default());
    for (lsn, body) in world.journal() {
        recovery.replay(lsn, body).unwrap();
    }
    assert_eq!(recovery.last_lsn(), Lsn(4));
    world.broker = recovery.finish(world.now).unwrap();
    assert_eq!(world.broker.metrics().retained_messages, 1);
    let conn = world.client(V5, "b");
    world.subscribe(conn, &[to("#", QoS::AtMostOnce)]);
    assert_eq!(world.payloads(conn), ["new"]);
    world.send(conn, &retained("v", "x", QoS::AtMostOnce));
    assert_eq!(world.records.last().unwrap().0, Lsn(5));
}

#[test]
fn a_missing_record_is_told() {
    let mut recovery = Recovery::new(BrokerOptions::default());
    let record = || world_with_one_record().1;
    recovery.replay(Lsn(7), record()).unwrap();
    let error = recovery.replay(Lsn(9), record()).unwrap_err();
    let kind = RecordErrorKind::Gap { expected: Lsn(8) };
    assert_eq!(error, RecordError { lsn: Lsn(9), kind });
    let error = recovery.replay(Lsn(8), vec![255].into()).unwrap_err();
    assert_eq!(error.kind, RecordErrorKind::UnknownKind(255));
}

fn world_with_one_record() -> (Lsn, bytes::Bytes) {
    let mut world = world();
    let conn = world.client(V5, "a");
    world.send(conn, &retained("t", "x", QoS::AtMostOnce));
    world.journal().pop().unwrap()
}
