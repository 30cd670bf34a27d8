//! Topic aliases towards clients.

use std::num::NonZeroU16;

use mqtt::{Connect, Packet, PubAck, QoS, ReasonCode};

use super::{V3, V5, World, lasting, message, text, to};
use crate::Conn;

fn subscriber(world: &mut World, most: Option<u16>, qos: QoS) -> Conn {
    let mut connect = Connect::new(V5, "s");
    connect.properties.topic_alias_maximum = most;
    let (conn, _) = world.connect(&connect);
    world.subscribe(conn, &[to("#", qos)]);
    conn
}

/// How the next message names its topic: name and alias.
fn said(world: &mut World, conn: Conn) -> (Option<String>, Option<u16>) {
    let publish = world.take_publish(conn);
    (
        publish.topic.map(|topic| topic.to_string()),
        publish.properties.topic_alias.map(NonZeroU16::get),
    )
}

#[test]
fn mqtt_3_1_2_26_aliases_go_up_to_the_clients_maximum_and_no_further() {
    // [MQTT-3.3.2-11]
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut world = World::new();
        let conn = subscriber(&mut world, Some(2), qos);
        let publisher = world.client(V3, "p");
        let names = ["devices/1/state", "devices/2/state", "devices/3/state"];
        let aliases = [Some(1), Some(2), None];
        for (id, name, alias) in (1..).zip(names).zip(aliases).map(|((a, b), c)| (a, b, c)) {
            world.send(publisher, &Packet::Publish(message(name, "x", qos, id)));
            assert_eq!(said(&mut world, conn), (Some(name.to_owned()), alias));
            world.send(
                publisher,
                &Packet::Publish(message(name, "x", qos, id + 10)),
            );
            let topic = alias.is_none().then(|| name.to_owned());
            assert_eq!(said(&mut world, conn), (topic, alias));
        }
        assert_eq!(world.broker.metrics().aliases_out, 2);
    }
}

#[test]
fn mqtt_3_1_2_27_no_aliases_for_clients_that_take_none() {
    for most in [None, Some(0)] {
        let mut world = World::new();
        let conn = subscriber(&mut world, most, QoS::AtMostOnce);
        let publisher = world.client(V5, "p");
        for _ in 0..3 {
            world.publish(publisher, "devices/1/state", "x", QoS::AtMostOnce);
            assert_eq!(
                said(&mut world, conn),
                (Some("devices/1/state".into()), None)
            );
        }
    }
    // The server also names the topic if it may use no aliases, or if the topic is shorter than
    // an alias.
    let mut world = World::with(|options| options.limits.server_topic_aliases = 0);
    let conn = subscriber(&mut world, Some(9), QoS::AtMostOnce);
    world.publish(conn, "devices/1/state", "x", QoS::AtMostOnce);
    assert_eq!(
        said(&mut world, conn),
        (Some("devices/1/state".into()), None)
    );
    let mut world = World::new();
    let conn = subscriber(&mut world, Some(9), QoS::AtMostOnce);
    world.publish(conn, "short", "x", QoS::AtMostOnce);
    assert_eq!(said(&mut world, conn), (Some("short".into()), None));
}

#[test]
fn mqtt_3_3_2_7_aliases_end_with_their_connection() {
    let mut world = World::new();
    let mut connect = lasting(V5, "s");
    connect.properties.topic_alias_maximum = Some(9);
    let (conn, _) = world.connect(&connect);
    world.subscribe(conn, &[to("#", QoS::AtLeastOnce)]);
    let publisher = world.client(V5, "p");
    let name = "devices/1/state";
    for (topic, payload) in [(Some(name), "1"), (None, "2")] {
        world.publish(publisher, name, payload, QoS::AtLeastOnce);
        let topic = topic.map(str::to_owned);
        assert_eq!(said(&mut world, conn), (topic, Some(1)));
    }
    world.cut(conn);
    world.publish(publisher, name, "3", QoS::AtLeastOnce);
    // On a new connection, messages that are sent again and messages that waited are complete.
    let (conn, _) = world.connect(&connect);
    assert_eq!(said(&mut world, conn), (Some(name.to_owned()), Some(1)));
    assert_eq!(said(&mut world, conn), (None, Some(1)));
    assert_eq!(said(&mut world, conn), (None, Some(1)));
    world.cut(conn);
    // The same holds for a client that no longer takes aliases.
    connect.properties.topic_alias_maximum = None;
    let (conn, _) = world.connect(&connect);
    for _ in 0..3 {
        assert_eq!(said(&mut world, conn), (Some(name.to_owned()), None));
    }
}

#[test]
fn each_client_has_its_own_aliases_for_one_message() {
    let mut world = World::new();
    let conns = ["a", "b", "c"].map(|id| {
        let mut connect = Connect::new(V5, id);
        connect.properties.topic_alias_maximum = (id != "c").then_some(9);
        let (conn, _) = world.connect(&connect);
        let filters = ["for/all/of/us", &format!("for/{id}/alone")];
        world.subscribe(conn, &filters.map(|filter| to(filter, QoS::AtLeastOnce)));
        conn
    });
    let publisher = world.client(V5, "p");
    world.publish(publisher, "for/b/alone", "own", QoS::AtMostOnce);
    let mut publish = message("for/all/of/us", "x", QoS::AtLeastOnce, 1);
    let properties = &mut publish.properties;
    properties.message_expiry_interval = Some(7);
    properties.payload_format_indicator = Some(true);
    properties.content_type = Some("y".try_into().unwrap());
    let expected = properties.clone();
    for _ in 0..2 {
        world.send(publisher, &Packet::Publish(publish.clone()));
    }
    assert_eq!(said(&mut world, conns[1]).1, Some(1));
    for (conn, alias) in conns.into_iter().zip([Some(1), Some(2), None]) {
        for round in 0..2 {
            let publish = world.take_publish(conn);
            let is_named = round == 0 || alias.is_none();
            let name = is_named.then_some("for/all/of/us");
            assert_eq!(publish.topic.as_deref(), name);
            let mut properties = publish.properties;
            let stands_for = properties.topic_alias.take();
            assert_eq!(stands_for.map(NonZeroU16::get), alias);
            assert_eq!(properties, expected);
        }
    }
}

#[test]
fn mqtt_3_1_2_24_an_alias_is_not_introduced_where_there_is_no_room_for_it() {
    let mut world = World::new();
    let mut connect = Connect::new(V5, "s");
    connect.properties.topic_alias_maximum = Some(9);
    connect.properties.maximum_packet_size = Some(30);
    let (conn, _) = world.connect(&connect);
    world.subscribe(conn, &[to("#", QoS::AtMostOnce)]);
    let name = "devices/1/state";
    // The packet is 20 bytes longer than the payload.
    world.publish(conn, name, "1234567890", QoS::AtMostOnce);
    assert_eq!(said(&mut world, conn), (Some(name.to_owned()), None));
    world.publish(conn, name, "12345", QoS::AtMostOnce);
    assert_eq!(said(&mut world, conn), (Some(name.to_owned()), Some(1)));
    // This message fits with an alias, but not with its name.
    world.publish(conn, name, "1234567890123456789", QoS::AtMostOnce);
    assert_eq!(said(&mut world, conn), (None, Some(1)));
    assert_eq!(world.broker.metrics().dropped_too_large, 0);
}

#[test]
fn messages_that_go_on_keep_their_aliases() {
    let mut world = World::with(|options| options.limits.inflight_window = 1);
    let conn = subscriber(&mut world, Some(9), QoS::AtLeastOnce);
    let publisher = world.client(V5, "p");
    for payload in ["1", "2", "3"] {
        world.publish(publisher, "devices/1/state", payload, QoS::AtLeastOnce);
    }
    for (number, topic) in [("1", Some("devices/1/state")), ("2", None), ("3", None)] {
        let publish = world.take_publish(conn);
        assert_eq!(text(&publish), number);
        assert_eq!(publish.topic.as_deref(), topic);
        assert_eq!(publish.properties.topic_alias, NonZeroU16::new(1));
        let ack = PubAck::new(publish.packet_id.unwrap(), ReasonCode::Success);
        world.send(conn, &Packet::PubAck(ack));
    }
}

/// `QoS` 0 messages overtake messages that wait for a record. An alias that such a message
/// introduced would come too late.
#[test]
fn mqtt_3_3_2_7_nothing_that_can_be_overtaken_introduces_an_alias() {
    let mut world = World::with(|options| options.durable = true);
    let mut connect = lasting(V5, "s");
    connect.properties.topic_alias_maximum = Some(9);
    let (conn, _) = world.connect(&connect);
    world.subscribe(conn, &[to("#", QoS::ExactlyOnce)]);
    let publisher = world.client(V5, "p");
    world.persists = false;
    let name = "devices/1/state";
    // The first waits for its record, the second does not.
    world.publish(publisher, name, "2", QoS::ExactlyOnce);
    assert!(world.received(conn).is_empty());
    world.publish(publisher, name, "0", QoS::AtMostOnce);
    assert_eq!(said(&mut world, conn), (Some(name.to_owned()), Some(1)));
    world.persist();
    assert_eq!(said(&mut world, conn), (Some(name.to_owned()), None));
    // Messages that wait use the alias too, because the client knows it by then.
    world.send(
        publisher,
        &Packet::Publish(message(name, "2", QoS::ExactlyOnce, 2)),
    );
    world.publish(publisher, name, "0", QoS::AtMostOnce);
    world.persist();
    for _ in 0..2 {
        assert_eq!(said(&mut world, conn), (None, Some(1)));
    }
}

#[test]
fn aliases_of_both_directions_are_counted_while_they_exist() {
    let mut world = World::with(|options| {
        options.limits.server_topic_aliases = 1_000;
        options.limits.topic_alias_maximum = 1_000;
    });
    let reader = subscriber(&mut world, Some(1_000), QoS::AtMostOnce);
    let publisher = world.client(V5, "p");
    let introduce = |topic: &str, alias: u16| {
        let mut publish = message(topic, "", QoS::AtMostOnce, 1);
        publish.properties.topic_alias = NonZeroU16::new(alias);
        Packet::Publish(publish)
    };
    assert_eq!(world.broker.metrics().alias_bytes, 0);
    for number in 0..500 {
        let topic = format!("{number:03}/{}", "x".repeat(196));
        world.publish(publisher, &topic, "", QoS::AtMostOnce);
    }
    let towards = world.broker.metrics().alias_bytes;
    assert!((500 * 200..500 * 300).contains(&towards), "{towards}");
    // A message with a longer topic replaces one with a shorter topic, and the other way round.
    for (topic, alias) in [
        ("short", 7),
        ("rather/long", 7),
        ("short", 7),
        ("other", 900),
    ] {
        world.send(publisher, &introduce(topic, alias));
    }
    let id = world.broker.sessions.find("p").unwrap();
    let slot = world.broker.sessions.get(id).unwrap().slot().unwrap();
    let (agreement, _, _) = world.broker.connections.established(slot).unwrap();
    let from = agreement.alias_bytes();
    assert!(from > 900 * 90, "{from}");
    let all = world.broker.metrics().alias_bytes;
    // The reader got one more alias: "rather/long".
    assert!(all > towards + from && all < towards + from + 200, "{all}");
    world.cut(publisher);
    assert_eq!(world.broker.metrics().alias_bytes, all - from);
    world.cut(reader);
    assert_eq!(world.broker.metrics().alias_bytes, 0);
}

#[test]
fn aliases_towards_a_client_count_in_the_bound_of_memory() {
    let mut world = World::with(|options| {
        options.limits.server_topic_aliases = u16::MAX;
        options.limits.memory_bytes = 500_000;
    });
    let reader = subscriber(&mut world, Some(u16::MAX), QoS::AtMostOnce);
    let publisher = world.client(V5, "p");
    let mut got = 0;
    for number in 0..5_000 {
        let topic = format!("{number:04}/{}", "x".repeat(195));
        world.publish(publisher, &topic, "", QoS::AtMostOnce);
        got += world.received(reader).len();
    }
    assert!((1_000..3_000).contains(&got), "{got}");
    let metrics = world.broker.metrics();
    assert!(metrics.memory_bytes < 501_000);
    assert_eq!(metrics.dropped_memory, 5_000 - got as u64);
}
