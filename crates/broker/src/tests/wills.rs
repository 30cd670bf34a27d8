//! Wills of clients that vanished.

use std::time::Duration;

use mqtt::packet::{Disconnect, Will, WillProperties};
use mqtt::{Connect, Packet, QoS, ReasonCode};

use super::{V3, V5, World, lasting, text, to, topic};
use crate::Conn;

fn with_will(mut connect: Connect, delay: Option<u32>) -> Connect {
    connect.will = Some(Will {
        topic: topic("will"),
        payload: "gone".into(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: WillProperties {
            will_delay_interval: delay,
            ..WillProperties::default()
        },
    });
    connect
}

fn watcher(world: &mut World) -> Conn {
    let mut connect = Connect::new(V5, "watcher");
    connect.keep_alive = 0;
    let (conn, _) = world.connect(&connect);
    world.subscribe(conn, &[to("will", QoS::ExactlyOnce)]);
    conn
}

#[test]
fn mqtt_3_1_2_8_the_will_is_published_when_the_connection_fails() {
    for version in [V5, V3] {
        let mut world = World::new();
        let watcher = watcher(&mut world);
        let (conn, _) = world.connect(&with_will(Connect::new(version, "a"), None));
        world.cut(conn);
        assert_eq!(world.payloads(watcher), ["gone"]);
        assert_eq!(world.broker.metrics().wills_published, 1);
    }
}

#[test]
fn mqtt_3_1_2_8_and_22_the_will_is_published_at_a_keep_alive_timeout() {
    let mut world = World::new();
    let watcher = watcher(&mut world);
    let mut connect = with_will(Connect::new(V3, "a"), None);
    connect.keep_alive = 2;
    world.connect(&connect);
    world.sleep(Duration::from_secs(4));
    assert_eq!(world.payloads(watcher), ["gone"]);
}

#[test]
fn mqtt_3_1_2_8_the_will_is_published_after_a_protocol_error() {
    let mut world = World::new();
    let watcher = watcher(&mut world);
    let (conn, _) = world.connect(&with_will(Connect::new(V3, "a"), None));
    world.send_bytes(conn, &b"\x60\x02\x00\x01"[..]);
    assert_eq!(world.payloads(watcher), ["gone"]);
}

#[test]
fn mqtt_3_14_4_3_a_normal_disconnect_takes_the_will_back() {
    for version in [V5, V3] {
        let mut world = World::new();
        let watcher = watcher(&mut world);
        let (conn, _) = world.connect(&with_will(lasting(version, "a"), Some(5)));
        let disconnect = Disconnect::new(ReasonCode::Success);
        world.send(conn, &Packet::Disconnect(disconnect));
        world.sleep(Duration::from_secs(10_000));
        assert!(world.payloads(watcher).is_empty());
    }
}

#[test]
fn section_3_14_2_1_disconnect_with_will_publishes_it() {
    let mut world = World::new();
    let watcher = watcher(&mut world);
    let (conn, _) = world.connect(&with_will(Connect::new(V5, "a"), None));
    let disconnect = Disconnect::new(ReasonCode::DisconnectWithWill);
    world.send(conn, &Packet::Disconnect(disconnect));
    assert_eq!(world.payloads(watcher), ["gone"]);
}

#[test]
fn mqtt_3_1_3_9_a_will_waits_for_its_delay_and_is_taken_back_by_a_new_connection() {
    let mut world = World::new();
    let watcher = watcher(&mut world);
    let (conn, _) = world.connect(&with_will(lasting(V5, "a"), Some(30)));
    world.cut(conn);
    world.sleep(Duration::from_secs(29));
    let (conn, connack) = world.connect(&with_will(lasting(V5, "a"), Some(30)));
    assert!(connack.session_present);
    world.sleep(Duration::from_mins(1));
    assert!(world.payloads(watcher).is_empty());
    world.cut(conn);
    world.sleep(Duration::from_secs(31));
    assert_eq!(world.payloads(watcher), ["gone"]);
}

#[test]
fn mqtt_3_1_2_8_the_end_of_the_session_ends_the_delay() {
    let mut world = World::new();
    let watcher = watcher(&mut world);
    let mut connect = with_will(lasting(V5, "a"), Some(1_000));
    connect.properties.session_expiry_interval = Some(10);
    let (conn, _) = world.connect(&connect);
    world.cut(conn);
    world.sleep(Duration::from_secs(9));
    assert!(world.payloads(watcher).is_empty());
    world.sleep(Duration::from_secs(2));
    assert_eq!(world.payloads(watcher), ["gone"]);

    let (conn, _) = world.connect(&connect);
    world.cut(conn);
    world.connect(&Connect::new(V5, "a"));
    assert_eq!(world.payloads(watcher), ["gone"]);
}

#[test]
fn mqtt_3_1_4_3_a_takeover_publishes_a_will_without_delay_only() {
    for (delay, expected) in [(None, 1), (Some(30), 0)] {
        let mut world = World::new();
        let watcher = watcher(&mut world);
        world.connect(&with_will(lasting(V5, "a"), delay));
        world.lasting(V5, "a");
        world.sleep(Duration::from_secs(40));
        assert_eq!(world.payloads(watcher).len(), expected);
    }
}

#[test]
fn mqtt_3_1_2_14_and_15_the_will_is_retained_if_it_says_so() {
    let mut world = World::new();
    for (retain, expected) in [(false, 0), (true, 1)] {
        let mut connect = with_will(Connect::new(V5, "a"), None);
        if let Some(will) = &mut connect.will {
            will.retain = retain;
        }
        let (conn, _) = world.connect(&connect);
        world.cut(conn);
        assert_eq!(world.broker.metrics().retained_messages, expected);
    }
    let late = watcher(&mut world);
    let publish = world.take_publish(late);
    assert!(publish.retain);
    assert_eq!(text(&publish), "gone");
}

#[test]
fn a_will_to_a_topic_of_the_servers_own_is_refused() {
    let mut world = World::new();
    let mut connect = with_will(Connect::new(V5, "a"), None);
    if let Some(will) = &mut connect.will {
        will.topic = topic("$SYS/x");
    }
    let (_, connack) = world.connect(&connect);
    assert_eq!(connack.reason_code, ReasonCode::TopicNameInvalid);
}
