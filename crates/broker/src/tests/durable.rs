//! Answers and messages that wait for records.

use mqtt::packet::WillProperties;
use mqtt::{
    Connect, Packet, ProtocolVersion, PubAck, PubComp, PubRec, PubRel, QoS, ReasonCode, Will,
};

use super::{V3, V5, World, lasting, message, packet_id, retained, subscribe, to, topic};
use crate::durability::{Record, Retention};
use crate::types::Cause;
use crate::{Input, Lsn, Peer, StoreState};

/// A world in which records become durable when the test says so.
pub(super) fn world() -> World {
    let mut world = World::with(|options| options.durable = true);
    world.persists = false;
    world
}

/// The same with an absent client that is subscribed to `t` with `QoS` 2.
fn world_with_absent() -> World {
    let mut world = World::with(|options| options.durable = true);
    let (conn, _) = world.lasting(V5, "absent");
    world.subscribe(conn, &[to("t", QoS::ExactlyOnce)]);
    world.cut(conn);
    world.persists = false;
    world
}

fn pub_ack(id: u16) -> Packet {
    Packet::PubAck(PubAck::new(packet_id(id), ReasonCode::Success))
}

fn pub_rec(id: u16) -> Packet {
    Packet::PubRec(PubRec::new(packet_id(id), ReasonCode::Success))
}

fn pub_rel(id: u16) -> Packet {
    Packet::PubRel(PubRel::new(packet_id(id), ReasonCode::Success))
}

fn pub_comp(id: u16) -> Packet {
    Packet::PubComp(PubComp::new(packet_id(id), ReasonCode::Success))
}

#[test]
fn mqtt_4_3_2_4_puback_waits_until_the_message_is_durable() {
    let mut world = world_with_absent();
    let conn = world.client(V5, "a");
    world.subscribe(conn, &[to("t", QoS::AtMostOnce)]);
    world.publish(conn, "t", "x", QoS::AtLeastOnce);
    // `QoS` 0 messages and PINGRESP do not wait.
    assert_eq!(world.payloads(conn), ["x"]);
    world.send(conn, &Packet::PingReq);
    assert_eq!(world.received(conn), [Packet::PingResp]);
    let Some((_, Record::Accepted(accepted))) = world.records.last() else {
        panic!("{:?}", world.records);
    };
    assert_eq!(accepted.message.publisher.as_str(), "a");
    let mut expected = message("t", "x", QoS::AtLeastOnce, 1);
    expected.packet_id = None;
    assert_eq!(accepted.message.publish, expected);
    assert_eq!(
        (accepted.cause, accepted.retention),
        (Cause::Client, Retention::Unchanged)
    );
    assert_eq!(accepted.recipients.len(), 1);
    world.persist();
    assert_eq!(world.received(conn), [pub_ack(1)]);
}

/// Nothing is recorded about sessions that end with their connections.
#[test]
fn a_message_without_lasting_recipients_waits_for_nothing() {
    let mut world = world();
    let conn = world.client(V5, "a");
    world.subscribe(conn, &[to("t", QoS::ExactlyOnce)]);
    world.publish(conn, "t", "x", QoS::ExactlyOnce);
    assert_eq!(world.received(conn).len(), 2);
    world.send(conn, &pub_rec(1));
    world.send(conn, &pub_comp(1));
    world.send(conn, &pub_rel(1));
    assert_eq!(world.received(conn), [pub_rel(1), pub_comp(1)]);
    world.cut(conn);
    assert_eq!(world.records, []);
}

fn transient_with_will(version: ProtocolVersion, id: &'static str) -> Connect {
    let mut connect = Connect::new(version, id);
    connect.will = Some(Will {
        topic: topic("wills"),
        payload: "gone".into(),
        qos: QoS::ExactlyOnce,
        retain: true,
        properties: WillProperties::default(),
    });
    connect
}

/// If a session ends with its connection, only its will survives a crash.
#[test]
fn mqtt_3_1_2_8_connack_waits_until_the_will_is_durable() {
    for version in [V5, V3] {
        let mut world = world();
        let conn = world.open(version);
        let connect = transient_with_will(version, "a");
        world.send(conn, &Packet::Connect(connect.clone()));
        // This CONNACK cannot be overtaken either [MQTT-3.2.0-1].
        world.send(conn, &Packet::PingReq);
        assert!(world.received(conn).is_empty());
        let [(Lsn(1), Record::TransientWill(transient_will))] = &world.records[..] else {
            panic!("{:?}", world.records);
        };
        assert_eq!(transient_will.client_id.as_str(), "a");
        assert_eq!(Some(&*transient_will.will), connect.will.as_ref());
        world.persist();
        let kinds: Vec<_> = world.received(conn).iter().map(kind).collect();
        assert_eq!(kinds, ["CONNACK", "PINGRESP"]);
        // From now on this client causes no records, like any client whose session ends with its
        // connection.
        world.subscribe(conn, &[to("t", QoS::ExactlyOnce)]);
        world.publish(conn, "t", "x", QoS::AtLeastOnce);
        assert_eq!(world.received(conn).len(), 2);
        assert_eq!(world.records.len(), 1);
    }
}

/// A client without a will waits for nothing, even if other clients have just connected with wills.
#[test]
fn no_client_waits_for_the_wills_of_others() {
    let mut world = world();
    let willed = ["a", "b", "c"].map(|id| {
        let conn = world.open(V5);
        world.send(conn, &Packet::Connect(transient_with_will(V5, id)));
        conn
    });
    world.persist();
    let bye = mqtt::Disconnect::new(ReasonCode::Success);
    world.send(willed[0], &Packet::Disconnect(bye));
    world.cut(willed[1]);
    let recorded = world.records.len();
    assert_eq!(recorded, 5);
    for (version, id) in [(V5, "d"), (V3, "e"), (V5, "a"), (V5, "b")] {
        world.client(version, id);
    }
    assert_eq!(world.records.len(), recorded);
    // A client that takes over causes the will to be published, and does not wait for it either.
    world.client(V5, "c");
    let last = world.records.last();
    let Some((_, Record::Accepted(accepted))) = last else {
        panic!("{last:?}");
    };
    assert!(matches!(accepted.cause, Cause::TransientWill(_)));
    assert_eq!(world.records.len(), recorded + 1);
}

/// [MQTT-3.1.2-10]
#[test]
fn mqtt_3_1_2_10_each_end_of_a_will_is_recorded_once() {
    let mut world = world();
    world.persists = true;
    let mut light = transient_with_will(V5, "light");
    light.will.as_mut().unwrap().qos = QoS::AtMostOnce;
    light.will.as_mut().unwrap().retain = false;
    let bye = |code| Packet::Disconnect(mqtt::Disconnect::new(code));
    // Four wills: the first is taken back, the second is published and retained, the third is
    // published to nobody, the fourth is taken back late.
    let (conn, _) = world.connect(&transient_with_will(V5, "a"));
    world.send(conn, &bye(ReasonCode::Success));
    assert!(matches!(
        world.records[1..],
        [(_, Record::TransientWillEnded { .. })]
    ));
    let (conn, _) = world.connect(&transient_with_will(V5, "a"));
    world.send(conn, &bye(ReasonCode::DisconnectWithWill));
    assert!(matches!(
        &world.records[3..],
        [(_, Record::Accepted(it))] if it.retention == Retention::Kept
    ));
    let (conn, _) = world.connect(&light);
    world.cut(conn);
    assert!(matches!(
        world.records[5..],
        [(_, Record::TransientWillEnded { .. })]
    ));
    assert!(world.recovery().wills().next().is_none());
    // Each will has its own number.
    let numbers: Vec<_> = world
        .records
        .iter()
        .filter_map(|(_, record)| match record {
            Record::TransientWill(transient_will) => Some(transient_will.session.0.get()),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, [1, 2, 3]);
    // A broker without a journal records nothing.
    let mut world = World::new();
    let (conn, _) = world.connect(&transient_with_will(V5, "a"));
    world.cut(conn);
    assert_eq!(world.records, []);
    assert_eq!(world.broker.metrics().wills_published, 1);
}

/// [MQTT-4.6.0-2] [MQTT-4.6.0-3]
#[test]
fn mqtt_4_6_0_2_acknowledgements_keep_their_order() {
    let mut world = world_with_absent();
    let conn = world.client(V5, "a");
    let other = world.client(V5, "b");
    for id in 1..=3 {
        let publish = |qos| Packet::Publish(message("t", "x", qos, id));
        world.send(conn, &publish(QoS::AtLeastOnce));
        world.send(other, &publish(QoS::ExactlyOnce));
    }
    // A refused message has no record, but its answer still goes behind the others.
    let refused = message("$t", "x", QoS::AtLeastOnce, 4);
    world.send(conn, &Packet::Publish(refused));
    assert!(world.received(conn).is_empty() && world.received(other).is_empty());
    let first = world.journal().len() as u64 - 6;
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
    world.input(Input::Persisted(Lsn(first + 3)));
    assert_eq!(ids(world.received(conn)), [1, 2]);
    assert_eq!(ids(world.received(other)), [1]);
    world.input(Input::Persisted(Lsn(first + 6)));
    assert_eq!(ids(world.received(conn)), [3, 4]);
    assert_eq!(ids(world.received(other)), [2, 3]);
}

/// [MQTT-4.3.3-8] [MQTT-4.3.3-11]
#[test]
fn mqtt_4_3_3_11_pubrec_and_pubcomp_wait_for_what_they_promise() {
    let mut world = world_with_absent();
    world.persists = true;
    let (conn, _) = world.lasting(V5, "a");
    world.persists = false;
    world.publish(conn, "t", "x", QoS::ExactlyOnce);
    // The broker knows the message by its packet identifier, whose record is not durable yet.
    world.publish(conn, "t", "x", QoS::ExactlyOnce);
    assert!(world.received(conn).is_empty());
    world.persist();
    assert_eq!(world.received(conn), [pub_rec(1), pub_rec(1)]);
    world.send(conn, &pub_rel(1));
    assert!(world.received(conn).is_empty());
    assert!(matches!(
        world.records.last(),
        Some((_, Record::Released { .. }))
    ));
    world.persist();
    assert_eq!(world.received(conn), [pub_comp(1)]);
}

/// Otherwise the broker would send the message as a new one after a crash, and the client would
/// take it for another message.
#[test]
fn mqtt_4_3_3_2_a_message_of_qos_2_waits_until_its_packet_identifier_is_durable() {
    let mut world = world_with_absent();
    world.persists = true;
    let (conn, _) = world.lasting(V5, "absent");
    world.persists = false;
    let publisher = world.client(V5, "a");
    world.publish(publisher, "t", "x", QoS::ExactlyOnce);
    assert!(world.received(conn).is_empty());
    world.persist();
    assert_eq!(world.payloads(conn), ["x"]);
    // [MQTT-4.3.3-4]
    world.send(conn, &pub_rec(1));
    assert!(world.received(conn).is_empty());
    world.persist();
    assert_eq!(world.received(conn), [pub_rel(1)]);
    // The client sends PUBREC again, when the record is known to be durable.
    world.send(conn, &pub_rec(1));
    assert_eq!(world.received(conn), [pub_rel(1)]);
}

/// Otherwise the publisher would send the message again after a crash, and another member would get
/// it too.
#[test]
fn mqtt_4_8_2_5_a_member_that_does_not_last_gets_qos_2_when_the_publish_is_durable() {
    let mut world = world();
    world.persists = true;
    let shared = [to("$share/g/t", QoS::ExactlyOnce)];
    let (absent, _) = world.lasting(V5, "absent");
    world.subscribe(absent, &shared);
    world.cut(absent);
    let member = world.client(V5, "member");
    world.subscribe(member, &shared);
    let (publisher, _) = world.lasting(V5, "publisher");
    world.persists = false;
    world.publish(publisher, "t", "x", QoS::ExactlyOnce);
    assert!(world.received(member).is_empty());
    world.persist();
    assert_eq!(world.payloads(member), ["x"]);
    // This publisher's session ends with its connection, so a message that it sent again would be a
    // new one. The member need not wait for it.
    let other = world.client(V5, "other");
    world.publish(other, "t", "y", QoS::ExactlyOnce);
    assert_eq!(world.payloads(member), ["y"]);
}

/// The same for a message from the queue.
#[test]
fn mqtt_4_3_3_2_a_queued_message_waits_for_its_packet_identifier() {
    let mut world = world_with_absent();
    let publisher = world.client(V5, "a");
    world.publish(publisher, "t", "x", QoS::ExactlyOnce);
    world.persist();
    let conn = world.open(V5);
    world.send(conn, &Packet::Connect(lasting(V5, "absent")));
    // CONNACK waits, and so does everything behind it.
    assert!(world.received(conn).is_empty());
    assert!(matches!(
        world.records.last(),
        Some((_, Record::Sent { .. }))
    ));
    world.persist();
    let received = world.received(conn);
    assert!(matches!(
        &received[..],
        [Packet::ConnAck(_), Packet::Publish(_)]
    ));
}

#[test]
fn mqtt_3_2_0_1_nothing_passes_connack() {
    let mut world = world();
    let conn = world.open(V5);
    world.send(conn, &Packet::Connect(lasting(V5, "a")));
    world.send(conn, &Packet::PingReq);
    world.send(conn, &subscribe(&[to("t", QoS::AtMostOnce)], None));
    world.send(
        conn,
        &Packet::Publish(message("t", "x", QoS::AtMostOnce, 0)),
    );
    assert!(world.received(conn).is_empty());
    world.input(Input::Persisted(Lsn(1)));
    // SUBACK waits for its own record. Packets that need no order do not.
    let kinds: Vec<_> = world.received(conn).iter().map(kind).collect();
    assert_eq!(kinds, ["CONNACK", "PINGRESP"]);
    world.persist();
    let kinds: Vec<_> = world.received(conn).iter().map(kind).collect();
    assert_eq!(kinds, ["SUBACK", "PUBLISH"]);
}

fn kind(packet: &Packet) -> &'static str {
    match packet {
        Packet::ConnAck(_) => "CONNACK",
        Packet::PingResp => "PINGRESP",
        Packet::SubAck(_) => "SUBACK",
        Packet::UnsubAck(_) => "UNSUBACK",
        Packet::Publish(_) => "PUBLISH",
        other => panic!("{other:?}"),
    }
}

/// A client that is closed before its CONNACK left gets no packet [MQTT-3.14.0-1].
#[test]
fn mqtt_3_14_0_1_no_disconnect_before_connack() {
    let mut world = world();
    let conn = world.open(V5);
    world.send(conn, &Packet::Connect(lasting(V5, "a")));
    let other = world.open(V5);
    world.send(other, &Packet::Connect(lasting(V5, "a")));
    assert!(world.closed(conn).is_some());
    assert!(world.received(conn).is_empty());
    world.persist();
    assert!(world.received(conn).is_empty());
    assert_eq!(world.received(other).len(), 1);
}

#[test]
fn suback_and_unsuback_wait_where_the_session_lasts() {
    let mut world = world();
    world.persists = true;
    let (conn, _) = world.lasting(V5, "a");
    world.persists = false;
    world.send(conn, &subscribe(&[to("t", QoS::AtMostOnce)], None));
    assert!(world.received(conn).is_empty());
    world.persist();
    assert_eq!(kind(&world.take(conn)), "SUBACK");
    let unsubscribe = Packet::Unsubscribe(mqtt::Unsubscribe {
        packet_id: packet_id(7),
        topic_filters: vec![to("t", QoS::AtMostOnce).topic_filter],
        user_properties: Vec::new(),
    });
    world.send(conn, &unsubscribe);
    assert!(world.received(conn).is_empty());
    world.persist();
    assert_eq!(kind(&world.take(conn)), "UNSUBACK");
    // There was no subscription, so nothing is recorded and nothing waits.
    world.send(conn, &unsubscribe);
    assert_eq!(kind(&world.take(conn)), "UNSUBACK");
    let passing = world.client(V5, "b");
    world.subscribe(passing, &[to("t", QoS::AtMostOnce)]);
}

#[test]
fn waiting_pubacks_count_against_receive_maximum() {
    let mut world = world_with_absent();
    world.broker.options.limits.receive_maximum = 10;
    world.broker.options.limits.out_buffer_bytes = 200;
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

    // Acknowledged messages make room again.
    let conn = world.client(V5, "b");
    for id in 1..=30 {
        world.send(
            conn,
            &Packet::Publish(message("t", "x", QoS::AtLeastOnce, id)),
        );
        if id % 10 == 0 {
            world.persist();
        }
    }
    assert_eq!(world.received(conn).len(), 30);

    // The answers to repeated messages are bounded in bytes.
    let conn = world.client(V5, "c");
    for _ in 0..101 {
        world.publish(conn, "t", "x", QoS::ExactlyOnce);
    }
    assert_eq!(world.farewell(conn), Some(ReasonCode::QuotaExceeded));
    assert_eq!(world.broker.metrics().unwritten_bytes, 0);
}

#[test]
fn bytes_for_a_connection_that_is_gone_go_nowhere() {
    let mut world = world_with_absent();
    world.persists = true;
    let (conn, _) = world.lasting(V5, "a");
    world.persists = false;
    world.publish(conn, "t", "x", QoS::ExactlyOnce);
    world.cut(conn);
    let conn = world.open(V5);
    world.send(conn, &Packet::Connect(lasting(V5, "a")));
    world.persist();
    assert_eq!(kind(&world.take(conn)), "CONNACK");
    assert!(world.received(conn).is_empty());
    let mut again = message("t", "x", QoS::ExactlyOnce, 1);
    again.dup = true;
    world.send(conn, &Packet::Publish(again));
    assert_eq!(world.received(conn), [pub_rec(1)]);
}

/// The broker announces records once, until the shell takes them.
#[test]
fn records_are_announced_once_until_they_are_taken() {
    let mut world = world();
    let conn = crate::Conn(1);
    let now = world.now;
    let mut connect = bytes::BytesMut::new();
    mqtt::encode(&Packet::Connect(lasting(V5, "a")), V5, &mut connect).unwrap();
    for input in [
        Input::Opened(conn, Peer::MEMORY),
        Input::Bytes(conn, connect.freeze()),
    ] {
        world.broker.handle_input(now, input);
    }
    let mut announced = Vec::new();
    for _ in 0..10 {
        if let crate::Output::Persist(lsn) = world.broker.poll_output() {
            announced.push(lsn);
        }
    }
    assert_eq!(announced, [Lsn(1)]);
    assert!(world.broker.journal_backlog() > 0);
    let mut taken = bytes::BytesMut::from("before");
    world.broker.take_journal(&mut taken);
    assert_eq!(world.broker.journal_backlog(), 0);
    let frame = crate::journal::next_frame(&mut taken.split_off(6).freeze());
    assert_eq!(frame.unwrap().unwrap().lsn, Lsn(1));
}

#[test]
fn a_full_store_refuses_what_it_would_have_to_keep_and_nothing_else() {
    let mut world = world_with_absent();
    world.persists = true;
    let (lasting_one, _) = world.lasting(V5, "lasting");
    let conn = world.client(V5, "a");
    world.subscribe(conn, &[to("#", QoS::AtLeastOnce)]);
    world.input(Input::Store(StoreState::Full));

    let answer = |world: &mut World, name, qos, retain| {
        let mut publish = message(name, "x", qos, 1);
        publish.retain = retain;
        world.send(conn, &Packet::Publish(publish));
        let received = world.received(conn);
        let codes = received.iter().filter_map(|packet| match packet {
            Packet::PubAck(ack) => Some(ack.reason_code),
            Packet::PubRec(ack) => Some(ack.reason_code),
            _ => None,
        });
        codes.last()
    };
    // These messages are for an absent client, or are to be retained.
    for (name, qos, retain) in [
        ("t", QoS::AtLeastOnce, false),
        ("t", QoS::ExactlyOnce, false),
        ("u", QoS::AtLeastOnce, true),
    ] {
        let code = answer(&mut world, name, qos, retain);
        assert_eq!(code, Some(ReasonCode::QuotaExceeded), "{name}, {qos:?}");
    }
    // This one is only for connected clients.
    let code = answer(&mut world, "u", QoS::AtLeastOnce, false);
    assert_eq!(code, Some(ReasonCode::Success));
    // `QoS` 0 messages are still accepted, retained ones too.
    assert_eq!(answer(&mut world, "t", QoS::AtMostOnce, false), None);
    assert_eq!(answer(&mut world, "u", QoS::AtMostOnce, true), None);
    let metrics = world.broker.metrics();
    assert_eq!(
        (metrics.refused_store_full, metrics.retained_not_stored),
        (3, 1)
    );
    assert_eq!(metrics.retained_messages, 1);

    // Nothing new that would last is granted. Existing sessions and subscriptions stay.
    let (_, connack) = world.connect(&lasting(V5, "new"));
    assert_eq!(connack.reason_code, ReasonCode::QuotaExceeded);
    let (_, connack) = world.connect(&lasting(V3, "new"));
    assert_eq!(connack.reason_code, ReasonCode::ServerUnavailable);
    world.send(lasting_one, &subscribe(&[to("t", QoS::AtMostOnce)], None));
    let Packet::SubAck(suback) = world.take(lasting_one) else {
        panic!("SUBACK expected");
    };
    assert_eq!(suback.reason_codes, [ReasonCode::QuotaExceeded]);
    assert!(world.lasting(V5, "absent").1);
}

#[test]
fn a_full_store_closes_clients_that_cannot_be_told() {
    let mut world = world_with_absent();
    world.persists = true;
    let conn = world.client(V3, "a");
    world.input(Input::Store(StoreState::Full));
    world.publish(conn, "t", "x", QoS::AtLeastOnce);
    assert!(world.closed(conn).is_some());
    assert!(world.received(conn).is_empty());

    let conn = world.client(V3, "a");
    world.input(Input::Store(StoreState::Ready));
    world.publish(conn, "t", "x", QoS::AtLeastOnce);
    assert_eq!(world.received(conn), [pub_ack(1)]);
    world.send(conn, &retained("u", "x", QoS::AtLeastOnce));
    assert_eq!(world.received(conn), [pub_ack(1)]);
    assert_eq!(world.broker.metrics().refused_store_full, 1);
}
