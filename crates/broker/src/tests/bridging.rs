//! Bridges to another broker, and clients of MQTT 3.1.

use bytes::Bytes;
use mqtt::{Connect, Dialect, Packet, QoS, ReasonCode, Will};

use super::{V3, V5, World, lasting, message, retained, text, to, topic};
use crate::{BrokerOptions, Conn, Limit};

const STATE: &str = "$SYS/broker/connection/host.bridge/state";

fn bridge() -> Connect {
    Connect {
        dialect: Dialect {
            is_v3_1: false,
            is_bridge: true,
        },
        ..lasting(V3, "host.bridge")
    }
}

/// The will of mosquitto's bridge: it says that the bridge is gone.
fn with_state(mut connect: Connect, at: &str) -> Connect {
    connect.will = Some(Will {
        topic: topic(at),
        payload: Bytes::from_static(b"0"),
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: mqtt::packet::WillProperties::default(),
    });
    connect
}

/// The messages that have come, each with its retain flag.
fn messages(world: &mut World, conn: Conn) -> Vec<(String, bool)> {
    let message = |packet| match packet {
        Packet::Publish(publish) => Some((text(&publish), publish.retain)),
        _ => None,
    };
    world
        .received(conn)
        .into_iter()
        .filter_map(message)
        .collect()
}

#[test]
fn a_bridge_says_whether_it_is_connected() {
    for connect in [
        bridge(),
        lasting(V3, "host.bridge"),
        lasting(V5, "host.bridge"),
    ] {
        let mut world = World::new();
        let watcher = world.client(V5, "watcher");
        world.subscribe(watcher, &[to("$SYS/#", QoS::AtMostOnce)]);
        let (conn, connack) = world.connect(&with_state(connect, STATE));
        assert_eq!(connack.reason_code, ReasonCode::Success);
        world.send(conn, &retained(STATE, "1", QoS::AtLeastOnce));
        assert!(matches!(world.take(conn), Packet::PubAck(ack) if !ack.reason_code.is_error()));
        world.cut(conn);
        assert_eq!(world.payloads(watcher), ["1", "0"]);
        let late = world.client(V5, "late");
        world.subscribe(late, &[to("$SYS/#", QoS::AtMostOnce)]);
        assert_eq!(world.payloads(late), ["0"]);
    }
}

/// A bridge may publish its own state, and nothing else under `$`. Version 3.1.1 has a code for
/// a refused will.
#[test]
fn no_client_publishes_the_state_of_another() {
    let mut world = World::new();
    for at in [
        "$SYS/broker/connection/another/state",
        "$SYS/broker/connection//state",
        "$SYS/broker/connection/host.bridge",
        "$SYS/broker/connection/host.bridge/state/",
        "$SYS/broker/uptime",
        "$share/host.bridge/state",
    ] {
        let (_, connack) = world.connect(&with_state(bridge(), at));
        assert_eq!(connack.reason_code, ReasonCode::NotAuthorized, "{at}");
        let (_, connack) = world.connect(&with_state(lasting(V5, "host.bridge"), at));
        assert_eq!(connack.reason_code, ReasonCode::TopicNameInvalid, "{at}");
        let conn = world.client(V5, "host.bridge");
        world.send(
            conn,
            &Packet::Publish(message(at, "1", QoS::AtLeastOnce, 1)),
        );
        match world.take(conn) {
            Packet::PubAck(ack) => assert_eq!(ack.reason_code, ReasonCode::TopicNameInvalid),
            other => panic!("{other:?}"),
        }
    }
    // A client without an identifier has no such state.
    let (_, connack) = world.connect(&with_state(
        Connect::new(V5, ""),
        "$SYS/broker/connection//state",
    ));
    assert_eq!(connack.reason_code, ReasonCode::TopicNameInvalid);
    assert!(world.broker.metrics().refused_topic_name > 0);
}

/// A bridge's own messages do not come back, neither live nor retained, at any `QoS`. Messages of
/// other clients arrive with their retain flag, for the other broker.
#[test]
fn a_bridges_messages_do_not_go_back_to_it() {
    let mut world = World::new();
    let watcher = world.client(V5, "watcher");
    world.subscribe(watcher, &[to("#", QoS::ExactlyOnce)]);
    let (conn, _) = world.connect(&bridge());
    world.subscribe(conn, &[to("#", QoS::ExactlyOnce)]);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let sent = message("brought", "x", qos, 7);
        world.send(conn, &Packet::Publish(sent));
    }
    world.send(conn, &retained("kept", "mine", QoS::AtMostOnce));
    assert_eq!(world.payloads(watcher).len(), 4);
    assert_eq!(messages(&mut world, conn), []);
    world.subscribe(conn, &[to("#", QoS::ExactlyOnce)]);
    assert_eq!(messages(&mut world, conn), []);

    world.send(watcher, &retained("kept", "theirs", QoS::AtMostOnce));
    world.send(
        watcher,
        &Packet::Publish(message("t", "plain", QoS::AtMostOnce, 0)),
    );
    let expected = [("theirs".to_owned(), true), ("plain".to_owned(), false)];
    assert_eq!(messages(&mut world, conn), expected);
}

/// No Local is forbidden for shared subscriptions [MQTT-3.8.3-4], so a bridge may get its own
/// message as a member of a group.
#[test]
fn a_bridge_may_be_of_a_group() {
    let mut world = World::new();
    let (conn, _) = world.connect(&bridge());
    world.subscribe(conn, &[to("$share/g/t", QoS::AtMostOnce)]);
    world.send(
        conn,
        &Packet::Publish(message("t", "own", QoS::AtMostOnce, 0)),
    );
    assert_eq!(world.payloads(conn).len(), 1);
}

/// The options belong to the session and outlive the connection.
#[test]
fn an_absent_bridges_queue_has_none_of_its_own_messages() {
    let mut world = World::new();
    let (conn, _) = world.connect(&bridge());
    world.subscribe(conn, &[to("#", QoS::AtLeastOnce)]);
    world.cut(conn);
    let other = world.client(V5, "other");
    world.send(other, &retained("t", "meanwhile", QoS::AtLeastOnce));
    let (conn, connack) = world.connect(&bridge());
    assert!(connack.session_present);
    assert_eq!(messages(&mut world, conn), [("meanwhile".to_owned(), true)]);
}

fn v3_1(connect: Connect) -> Connect {
    Connect {
        dialect: Dialect {
            is_v3_1: true,
            is_bridge: false,
        },
        ..connect
    }
}

#[test]
fn a_client_of_mqtt_3_1_is_served_and_never_told_of_a_session() {
    let mut world = World::new();
    let (conn, _) = world.connect(&v3_1(lasting(V3, "old")));
    world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
    world.cut(conn);
    let other = world.client(V5, "other");
    world.send(
        other,
        &Packet::Publish(message("t", "kept", QoS::AtLeastOnce, 1)),
    );
    let (conn, connack) = world.connect(&v3_1(lasting(V3, "old")));
    // MQTT 3.1 reserves the byte.
    assert!(!connack.session_present);
    assert_eq!(world.payloads(conn).len(), 1);
}

#[test]
fn a_client_of_mqtt_3_1_needs_an_identifier() {
    let mut world = World::new();
    let (_, connack) = world.connect(&v3_1(Connect::new(V3, "")));
    assert_eq!(connack.reason_code, ReasonCode::ClientIdentifierNotValid);
    // MQTT 3.1 forbids longer identifiers, but other brokers have always let such clients in.
    let long = v3_1(Connect::new(V3, "more-than-twenty-three-characters"));
    let (_, connack) = world.connect(&long);
    assert_eq!(connack.reason_code, ReasonCode::Success);
}

/// A lack of room may soon be over: the code is 3, not 5.
#[test]
fn a_will_that_is_too_large_is_refused_with_a_code_in_3_1_1() {
    let mut world = World::with(|options: &mut BrokerOptions| options.limits.will_bytes = 10);
    let (_, connack) = world.connect(&with_state(bridge(), STATE));
    assert_eq!(connack.reason_code, ReasonCode::ServerUnavailable);
    assert!(world.told.iter().any(|it| it.limit == Limit::Will));
}
