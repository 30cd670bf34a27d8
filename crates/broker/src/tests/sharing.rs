//! Shared subscriptions (section 4.8.2).

use std::collections::BTreeMap;

use mqtt::packet::Unsubscribe;
use mqtt::{Connect, Packet, PubAck, PubComp, PubRec, QoS, ReasonCode, TopicFilter};

use super::{V3, V5, World, message, packet_id, retained, subscribe, text, to};
use crate::Conn;

fn member(world: &mut World, id: &'static str, qos: QoS) -> Conn {
    let (conn, _) = world.lasting(V5, id);
    world.subscribe(conn, &[to("$share/g/t/#", qos)]);
    conn
}

fn publish(world: &mut World, publisher: Conn, numbers: std::ops::Range<u16>, qos: QoS) {
    for number in numbers {
        let publish = message("t/x", &number.to_string(), qos, number + 1);
        world.send(publisher, &Packet::Publish(publish));
        if qos == QoS::ExactlyOnce {
            let release = mqtt::PubRel::new(packet_id(number + 1), ReasonCode::Success);
            world.send(publisher, &Packet::PubRel(release));
        }
    }
    world.received(publisher);
}

/// Acknowledges messages until none come any more. Returns their payloads.
fn work(world: &mut World, conn: Conn) -> Vec<String> {
    let mut done = Vec::new();
    loop {
        let packets = world.received(conn);
        if packets.is_empty() {
            return done;
        }
        for packet in packets {
            match packet {
                Packet::Publish(publish) => {
                    done.push(text(&publish));
                    let code = ReasonCode::Success;
                    match (publish.qos, publish.packet_id) {
                        (QoS::AtLeastOnce, Some(id)) => {
                            world.send(conn, &Packet::PubAck(PubAck::new(id, code)));
                        }
                        (QoS::ExactlyOnce, Some(id)) => {
                            world.send(conn, &Packet::PubRec(PubRec::new(id, code)));
                        }
                        _ => {}
                    }
                }
                Packet::PubRel(release) => {
                    let complete = PubComp::new(release.packet_id, ReasonCode::Success);
                    world.send(conn, &Packet::PubComp(complete));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Members that are not connected, with room for one message each.
fn absent_members(world: &mut World, ids: std::ops::Range<u16>) {
    for id in ids {
        let connect = Connect {
            client_id: id.to_string().as_str().try_into().unwrap(),
            ..super::lasting(V5, "")
        };
        let (conn, _) = world.connect(&connect);
        world.subscribe(conn, &[to("$share/g/t/#", QoS::AtLeastOnce)]);
        world.cut(conn);
    }
}

/// More members in a row than one choice asks have full queues, and others have room. No message is
/// lost, neither a published one nor one that a member leaves behind.
#[test]
fn messages_find_the_member_with_room_behind_hundreds_of_full_queues() {
    let mut world = World::with(|options| options.limits.queue_messages = 1);
    let publisher = world.client(V5, "p");
    absent_members(&mut world, 0..300);
    publish(&mut world, publisher, 0..300, QoS::AtLeastOnce);
    assert_eq!(world.broker.metrics().queued_messages, 300);
    absent_members(&mut world, 300..600);
    // A member that acknowledges nothing, and whose session ends.
    let leaver = world.client(V5, "leaver");
    world.subscribe(leaver, &[to("$share/g/t/#", QoS::AtLeastOnce)]);
    publish(&mut world, publisher, 300..310, QoS::AtLeastOnce);
    assert_eq!(world.received(leaver).len(), 10);
    world.cut(leaver);
    assert_eq!(world.broker.metrics().passed_on, 10);
    publish(&mut world, publisher, 310..600, QoS::AtLeastOnce);
    let metrics = world.broker.metrics();
    assert_eq!(metrics.queued_messages, 600);
    assert_eq!(
        (metrics.dropped_queue_full, metrics.dropped_session_ended),
        (0, 0)
    );
    // Each has one message.
    let (conn, present) = world.lasting(V5, "599");
    assert!(present);
    assert_eq!(work(&mut world, conn).len(), 1);
}

fn numbers(range: std::ops::Range<u16>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn section_4_8_2_each_message_goes_to_one_member_of_each_group_in_turn() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = World::new();
        let members = ["a", "b", "c"].map(|id| member(&mut world, id, QoS::ExactlyOnce));
        let (other, _) = world.lasting(V3, "other");
        world.subscribe(other, &[to("$share/h/t/x", QoS::ExactlyOnce)]);
        let plain = world.client(V5, "plain");
        world.subscribe(plain, &[to("t/x", QoS::ExactlyOnce)]);
        let publisher = world.client(V5, "p");
        publish(&mut world, publisher, 0..9, qos);
        for (conn, expected) in
            members
                .into_iter()
                .zip([["0", "3", "6"], ["1", "4", "7"], ["2", "5", "8"]])
        {
            assert_eq!(work(&mut world, conn), expected);
        }
        assert_eq!(work(&mut world, other), numbers(0..9));
        assert_eq!(work(&mut world, plain), numbers(0..9));
        assert_eq!(world.broker.metrics().queued_messages, 0);
    }
}

#[test]
fn section_4_8_2_a_client_in_a_group_and_with_a_subscription_of_its_own_gets_both() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    let shared = [to("$share/g/t", QoS::AtLeastOnce)];
    world.send(conn, &subscribe(&shared, Some(7)));
    world.send(conn, &subscribe(&[to("t", QoS::AtMostOnce)], Some(8)));
    world.received(conn);
    let publisher = world.client(V5, "p");
    world.publish(publisher, "t", "x", QoS::AtLeastOnce);
    let mut got: Vec<_> = [0; 2]
        .map(|_| world.take_publish(conn))
        .iter()
        .map(|it| (it.properties.subscription_identifiers[0].get(), it.qos))
        .collect();
    got.sort_unstable();
    assert_eq!(got, [(7, QoS::AtLeastOnce), (8, QoS::AtMostOnce)]);
}

#[test]
fn mqtt_4_8_2_3_the_members_own_qos_and_options_count() {
    // [MQTT-3.8.4-8] [MQTT-3.3.1-12] [MQTT-3.3.1-13]
    let mut world = World::new();
    let low = world.client(V5, "low");
    world.subscribe(low, &[to("$share/g/t", QoS::AtMostOnce)]);
    let high = world.client(V5, "high");
    let mut subscription = to("$share/g/t", QoS::ExactlyOnce);
    subscription.retain_as_published = true;
    world.subscribe(high, &[subscription]);
    let publisher = world.client(V5, "p");
    for _ in 0..2 {
        world.send(publisher, &retained("t", "x", QoS::AtLeastOnce));
    }
    let one = world.take_publish(low);
    assert_eq!((one.qos, one.retain), (QoS::AtMostOnce, false));
    let two = world.take_publish(high);
    assert_eq!((two.qos, two.retain), (QoS::AtLeastOnce, true));
}

#[test]
fn section_3_8_4_retained_messages_are_not_sent_for_shared_subscriptions() {
    let mut world = World::new();
    let publisher = world.client(V5, "p");
    world.send(publisher, &retained("t", "x", QoS::AtMostOnce));
    let conn = world.client(V5, "a");
    world.subscribe(conn, &[to("$share/g/t", QoS::AtLeastOnce)]);
    assert!(world.received(conn).is_empty());
    world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
    assert_eq!(world.payloads(conn), ["x"]);
}

#[test]
fn section_3_2_2_3_13_connack_says_nothing_against_shared_subscriptions() {
    let mut world = World::new();
    let (_, connack) = world.connect(&Connect::new(V5, "a"));
    let available = connack.properties.shared_subscription_available;
    assert!(available.unwrap_or(true));
}

#[test]
fn mqtt_4_8_2_1_and_2_invalid_share_names() {
    for filter in [
        "$share/",
        "$share//t",
        "$share/g",
        "$share/g/",
        "$share/+/t",
        "$share/a#/t",
    ] {
        assert!(TopicFilter::try_from(filter).is_err(), "{filter}");
        let mut world = World::new();
        let conn = world.client(V5, "a");
        let mut bytes = vec![0x82, 0, 0, 1, 0, 0, u8::try_from(filter.len()).unwrap()];
        bytes.extend(filter.bytes());
        bytes.push(0);
        bytes[1] = u8::try_from(bytes.len() - 2).unwrap();
        world.send_bytes(conn, bytes);
        assert_eq!(world.farewell(conn), Some(ReasonCode::MalformedPacket));
    }
}

#[test]
fn groups_differ_by_name_and_by_filter() {
    let mut world = World::new();
    let conns: Vec<_> = ["$share/g/t", "$share/h/t", "$share/g/+", "$share/G/t"]
        .into_iter()
        .zip(["a", "b", "c", "d"])
        .map(|(filter, id)| {
            let conn = world.client(V5, id);
            world.subscribe(conn, &[to(filter, QoS::AtMostOnce)]);
            conn
        })
        .collect();
    let publisher = world.client(V5, "p");
    world.publish(publisher, "t", "x", QoS::AtMostOnce);
    for conn in conns {
        assert_eq!(world.payloads(conn), ["x"]);
    }
    assert_eq!(world.broker.metrics().subscriptions, 4);
}

#[test]
fn a_subscription_to_the_same_group_replaces_the_first_and_unsubscribe_ends_it() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.subscribe(conn, &[to("$share/g/t", QoS::ExactlyOnce)]);
    world.subscribe(conn, &[to("$share/g/t", QoS::AtMostOnce)]);
    let publisher = world.client(V5, "p");
    world.publish(publisher, "t", "x", QoS::AtLeastOnce);
    assert_eq!(world.take_publish(conn).qos, QoS::AtMostOnce);
    assert!(world.received(conn).is_empty());
    assert_eq!(world.broker.metrics().subscriptions, 1);
    // [MQTT-3.10.4-1]
    let filters = ["$share/g/+", "$share/h/t", "t", "$share/g/t", "$share/g/t"];
    let unsubscribe = Unsubscribe {
        packet_id: packet_id(901),
        topic_filters: filters.map(|it| it.try_into().unwrap()).to_vec(),
        user_properties: Vec::new(),
    };
    world.send(conn, &Packet::Unsubscribe(unsubscribe));
    let Packet::UnsubAck(ack) = world.take(conn) else {
        panic!("UNSUBACK expected");
    };
    let none = ReasonCode::NoSubscriptionExisted;
    assert_eq!(
        ack.reason_codes,
        [none, none, none, ReasonCode::Success, none]
    );
    let metrics = world.broker.metrics();
    assert_eq!((metrics.subscriptions, metrics.subscription_bytes), (0, 0));
    world.publish(publisher, "t", "x", QoS::AtLeastOnce);
    assert!(world.received(conn).is_empty());
}

#[test]
fn a_stuck_member_does_not_hold_up_the_others() {
    let mut world = World::with(|options| {
        options.limits.inflight_window = 4;
        options.limits.queue_messages = 1_000;
    });
    let stuck = member(&mut world, "stuck", QoS::AtLeastOnce);
    let busy = ["a", "b"].map(|id| member(&mut world, id, QoS::AtLeastOnce));
    let publisher = world.client(V5, "p");
    let mut done = Vec::new();
    for start in 0..100 {
        publish(
            &mut world,
            publisher,
            start * 3..start * 3 + 3,
            QoS::AtLeastOnce,
        );
        for conn in busy {
            done.extend(work(&mut world, conn));
        }
    }
    // The stuck member's window is full, and it has not got one message more.
    assert_eq!(world.received(stuck).len(), 4);
    assert_eq!(world.broker.metrics().queued_messages, 4);
    assert_eq!(done.len(), 296);
}

#[test]
fn if_all_members_are_busy_messages_wait_for_the_shortest_queues() {
    let mut world = World::with(|options| options.limits.inflight_window = 1);
    let conns = ["a", "b", "c"].map(|id| member(&mut world, id, QoS::AtLeastOnce));
    let publisher = world.client(V5, "p");
    publish(&mut world, publisher, 0..30, QoS::AtLeastOnce);
    let mut done = Vec::new();
    for conn in conns {
        let mine = work(&mut world, conn);
        assert_eq!(mine.len(), 10);
        done.extend(mine);
    }
    done.sort_by_key(|number| number.parse::<u16>().unwrap());
    assert_eq!(done, numbers(0..30));
    // All members are ready again.
    publish(&mut world, publisher, 0..3, QoS::AtLeastOnce);
    for conn in conns {
        assert_eq!(work(&mut world, conn).len(), 1);
    }
}

#[test]
fn while_all_members_are_absent_messages_wait_fairly() {
    let mut world = World::new();
    for id in ["a", "b", "c"] {
        let conn = member(&mut world, id, QoS::AtLeastOnce);
        world.cut(conn);
    }
    let publisher = world.client(V5, "p");
    publish(&mut world, publisher, 0..30, QoS::AtLeastOnce);
    publish(&mut world, publisher, 30..33, QoS::AtMostOnce);
    assert_eq!(world.broker.metrics().dropped_absent, 3);
    let mut by_client = BTreeMap::new();
    for id in ["a", "b", "c"] {
        let (conn, present) = world.lasting(V5, id);
        assert!(present);
        by_client.insert(id, work(&mut world, conn));
    }
    assert!(by_client.values().all(|it| it.len() == 10), "{by_client:?}");
}

#[test]
fn a_connected_member_is_preferred_to_absent_ones() {
    let mut world = World::with(|options| options.limits.inflight_window = 1);
    let away = member(&mut world, "away", QoS::AtLeastOnce);
    world.cut(away);
    let here = member(&mut world, "here", QoS::AtLeastOnce);
    let publisher = world.client(V5, "p");
    publish(&mut world, publisher, 0..20, QoS::AtLeastOnce);
    assert_eq!(work(&mut world, here), numbers(0..20));
}

#[test]
fn a_full_queue_is_passed_over_while_another_member_has_room() {
    let mut world = World::with(|options| {
        options.limits.inflight_window = 1;
        options.limits.queue_messages = 5;
    });
    let conns = ["a", "b"].map(|id| member(&mut world, id, QoS::AtLeastOnce));
    let publisher = world.client(V5, "p");
    publish(&mut world, publisher, 0..12, QoS::AtLeastOnce);
    assert_eq!(world.broker.metrics().dropped_queue_full, 0);
    publish(&mut world, publisher, 12..13, QoS::AtLeastOnce);
    assert_eq!(world.broker.metrics().dropped_queue_full, 1);
    let closed = conns.map(|conn| world.closed(conn).is_some());
    assert_eq!(closed.iter().filter(|&&closed| closed).count(), 1);
}

#[test]
fn section_3_1_2_11_4_a_message_too_large_for_one_member_goes_to_another() {
    let mut world = World::new();
    let mut connect = super::lasting(V5, "small");
    connect.properties.maximum_packet_size = Some(40);
    let (small, _) = world.connect(&connect);
    world.subscribe(small, &[to("$share/g/t", QoS::AtLeastOnce)]);
    let (large, _) = world.lasting(V5, "large");
    world.subscribe(large, &[to("$share/g/t", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    for payload in [
        "x".repeat(100),
        "y".to_owned(),
        "x".repeat(100),
        "y".to_owned(),
    ] {
        world.publish(publisher, "t", &payload, QoS::AtLeastOnce);
    }
    assert_eq!(work(&mut world, small), ["y", "y"]);
    assert_eq!(work(&mut world, large).len(), 2);
    // [MQTT-3.1.2-25] If no member can take the message, it is dropped.
    world.cut(large);
    world.publish(publisher, "t", &"x".repeat(100), QoS::AtLeastOnce);
    assert!(world.received(small).is_empty());
    let (large, _) = world.lasting(V5, "large");
    assert_eq!(work(&mut world, large).len(), 1);
}

#[test]
fn mqtt_4_8_2_4_unsent_messages_go_to_another_member_but_sent_qos_2_stays() {
    let mut world = World::with(|options| options.limits.inflight_window = 2);
    let gone = member(&mut world, "gone", QoS::ExactlyOnce);
    let publisher = world.client(V5, "p");
    // Two messages are sent, one with each QoS. Two more wait.
    for (number, qos) in [
        (0, QoS::AtLeastOnce),
        (1, QoS::ExactlyOnce),
        (2, QoS::AtLeastOnce),
        (3, QoS::ExactlyOnce),
    ] {
        publish(&mut world, publisher, number..number + 1, qos);
    }
    let other = member(&mut world, "other", QoS::ExactlyOnce);
    assert_eq!(world.received(gone).len(), 2);
    world.cut(gone);
    assert_eq!(work(&mut world, other), ["0", "2", "3"]);
    assert_eq!(world.broker.metrics().passed_on, 3);
    let (gone, present) = world.lasting(V5, "gone");
    assert!(present);
    let again = world.take_publish(gone);
    assert_eq!((text(&again).as_str(), again.dup), ("1", true));
    assert!(world.received(gone).is_empty());
    world.send(
        gone,
        &Packet::PubRec(PubRec::new(again.packet_id.unwrap(), ReasonCode::Success)),
    );
    work(&mut world, gone);
    assert_eq!(world.broker.metrics().queued_messages, 0);
    assert_eq!(world.broker.metrics().queued_bytes, 0);
}

#[test]
fn mqtt_4_8_2_5_a_sent_qos_2_message_goes_to_nobody_else_when_the_session_ends() {
    let mut world = World::with(|options| options.limits.inflight_window = 2);
    let gone = world.client(V5, "gone");
    world.subscribe(gone, &[to("$share/g/t/x", QoS::ExactlyOnce)]);
    let publisher = world.client(V5, "p");
    publish(&mut world, publisher, 0..4, QoS::ExactlyOnce);
    let (other, _) = world.lasting(V5, "other");
    world.subscribe(other, &[to("$share/g/t/x", QoS::ExactlyOnce)]);
    world.cut(other);
    world.cut(gone);
    assert_eq!(world.broker.metrics().dropped_session_ended, 2);
    let (other, _) = world.lasting(V5, "other");
    assert_eq!(work(&mut world, other), ["2", "3"]);
    assert_eq!(world.broker.metrics().queued_bytes, 0);
}

#[test]
fn mqtt_4_8_2_6_a_message_that_a_member_refuses_goes_to_nobody() {
    let mut world = World::new();
    let refusing = member(&mut world, "refusing", QoS::ExactlyOnce);
    let publisher = world.client(V5, "p");
    publish(&mut world, publisher, 0..1, QoS::AtLeastOnce);
    publish(&mut world, publisher, 1..2, QoS::ExactlyOnce);
    let other = member(&mut world, "other", QoS::ExactlyOnce);
    for packet in world.received(refusing) {
        let Packet::Publish(publish) = packet else {
            panic!("{packet:?}");
        };
        let (id, code) = (publish.packet_id.unwrap(), ReasonCode::QuotaExceeded);
        let refusal = match publish.qos {
            QoS::ExactlyOnce => Packet::PubRec(PubRec::new(id, code)),
            _ => Packet::PubAck(PubAck::new(id, code)),
        };
        world.send(refusing, &refusal);
    }
    world.cut(refusing);
    assert!(world.received(other).is_empty());
    let (refusing, _) = world.lasting(V5, "refusing");
    assert!(world.received(refusing).is_empty());
    assert_eq!(world.broker.metrics().queued_messages, 0);
}

#[test]
fn waiting_messages_stay_with_a_lasting_member_if_no_other_is_connected() {
    let mut world = World::with(|options| options.limits.inflight_window = 1);
    for id in ["a", "b"] {
        let conn = member(&mut world, id, QoS::AtLeastOnce);
        world.cut(conn);
    }
    let (a, _) = world.lasting(V5, "a");
    let publisher = world.client(V5, "p");
    publish(&mut world, publisher, 0..5, QoS::AtLeastOnce);
    world.cut(a);
    assert_eq!(world.broker.metrics().passed_on, 0);
    let (a, _) = world.lasting(V5, "a");
    assert_eq!(work(&mut world, a), numbers(0..5));
}

#[test]
fn mqtt_3_10_4_3_sent_messages_stay_with_the_member_that_unsubscribes() {
    let mut world = World::with(|options| options.limits.inflight_window = 1);
    let leaving = member(&mut world, "leaving", QoS::AtLeastOnce);
    world.subscribe(leaving, &[to("own", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    publish(&mut world, publisher, 0..3, QoS::AtLeastOnce);
    world.publish(publisher, "own", "mine", QoS::AtLeastOnce);
    let other = member(&mut world, "other", QoS::AtLeastOnce);
    let unsubscribe = Unsubscribe {
        packet_id: packet_id(901),
        topic_filters: vec!["$share/g/t/#".try_into().unwrap()],
        user_properties: Vec::new(),
    };
    world.send(leaving, &Packet::Unsubscribe(unsubscribe));
    assert_eq!(work(&mut world, other), ["1", "2"]);
    let first = world.take_publish(leaving);
    assert!(matches!(world.take(leaving), Packet::UnsubAck(_)));
    let ack = PubAck::new(first.packet_id.unwrap(), ReasonCode::Success);
    world.send(leaving, &Packet::PubAck(ack));
    assert_eq!(work(&mut world, leaving), ["mine"]);
    assert_eq!(world.broker.metrics().queued_bytes, 0);
}

#[test]
fn a_server_that_ends_leaves_shared_messages_to_sessions_that_go_on() {
    let mut world = World::with(|options| options.limits.inflight_window = 1);
    let passing = world.client(V5, "passing");
    world.subscribe(passing, &[to("$share/g/t/#", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    publish(&mut world, publisher, 0..4, QoS::AtLeastOnce);
    member(&mut world, "lasting", QoS::AtLeastOnce);
    world.input(crate::Input::Shutdown);
    assert_eq!(world.broker.metrics().passed_on, 4);
    assert_eq!(world.broker.metrics().queued_messages, 4);
}

/// A member that acknowledges nothing does not get what another member could do.
#[test]
fn no_member_hoards_the_messages_of_its_group() {
    let mut world = World::new();
    let publisher = world.client(V5, "p");
    let [slow, busy] = ["slow", "busy"].map(|id| {
        let conn = world.client(V5, id);
        world.subscribe(conn, &[to("$share/g/t", QoS::AtLeastOnce)]);
        conn
    });
    let mut done = 0;
    for _ in 0..1_000 {
        world.publish(publisher, "t", "x", QoS::AtLeastOnce);
        for packet in world.received(busy) {
            if let Packet::Publish(publish) = packet {
                let ack = PubAck::new(publish.packet_id.unwrap(), ReasonCode::Success);
                world.send(busy, &Packet::PubAck(ack));
                done += 1;
            }
        }
    }
    assert_eq!((done, world.payloads(slow).len()), (936, 64));
}
