//! CONNECT and DISCONNECT, keep alive.

use std::time::Duration;

use mqtt::packet::{Disconnect, Will, WillProperties};
use mqtt::{Connect, Packet, QoS, ReasonCode, Utf8String};

use super::{V3, V5, World, lasting, to, topic};
use crate::{CloseCause, Decision, Input, Principal};

#[test]
fn mqtt_3_1_0_1_the_first_packet_is_connect() {
    let mut world = World::new();
    let conn = world.open(V5);
    world.send(conn, &Packet::PingReq);
    assert!(matches!(
        world.closed(conn).unwrap().cause,
        CloseCause::Protocol(_)
    ));
    assert!(world.received(conn).is_empty());
}

#[test]
fn mqtt_3_1_0_2_a_second_connect_ends_the_connection() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.send(conn, &Packet::Connect(Connect::new(V5, "a")));
    assert_eq!(world.farewell(conn), Some(ReasonCode::ProtocolError));
    let reason = world.broker.metrics().protocol_errors;
    assert_eq!(reason, 1);
}

#[test]
fn mqtt_3_1_2_2_an_unsupported_version_is_told_so_in_its_own_form() {
    let mut world = World::new();
    let old = world.open(V3);
    world.send_bytes(old, &b"\x10\x0C\x00\x04MQTT\x03\x02\x00\x00\x00\x00"[..]);
    assert_eq!(
        world.farewell(old),
        Some(ReasonCode::UnsupportedProtocolVersion)
    );
    let new = world.open(V5);
    world.send_bytes(new, &b"\x10\x0C\x00\x04MQTT\x06\x02\x00\x00\x00\x00"[..]);
    assert_eq!(
        world.farewell(new),
        Some(ReasonCode::UnsupportedProtocolVersion)
    );
}

#[test]
fn mqtt_3_1_2_5_and_3_2_2_3_a_session_goes_on_and_says_so() {
    for version in [V5, V3] {
        let mut world = World::new();
        let (conn, present) = world.lasting(version, "a");
        assert!(!present);
        world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
        world.cut(conn);
        let (conn, present) = world.lasting(version, "a");
        assert!(present);
        let other = world.client(V5, "b");
        world.publish(other, "t", "x", QoS::AtMostOnce);
        assert_eq!(world.payloads(conn), ["x"]);
    }
}

#[test]
fn mqtt_3_1_2_4_clean_start_forgets_the_session() {
    for version in [V5, V3] {
        let mut world = World::new();
        let (conn, _) = world.lasting(version, "a");
        world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
        world.cut(conn);
        let (_, connack) = world.connect(&Connect::new(version, "a"));
        assert!(!connack.session_present);
        assert_eq!(world.broker.metrics().subscriptions, 0);
    }
}

#[test]
fn mqtt_3_1_2_23_a_session_lives_for_its_expiry_interval() {
    let mut world = World::new();
    let (conn, _) = world.lasting(V5, "a");
    world.cut(conn);
    world.sleep(Duration::from_secs(3_599));
    let (conn, present) = world.lasting(V5, "a");
    assert!(present);
    world.cut(conn);
    world.sleep(Duration::from_hours(1));
    assert_eq!(world.broker.metrics().sessions_expired, 1);
    assert_eq!(world.broker.metrics().sessions, 0);
    assert!(!world.lasting(V5, "a").1);
}

#[test]
fn mqtt_4_1_0_2_a_late_timer_does_not_revive_an_expired_session() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let mut world = World::with(|options| options.steps.each = 1);
    for name in NAMES {
        let (conn, _) = world.lasting(V5, name);
        world.cut(conn);
    }
    world.now = world.now + Duration::from_secs(3_601);
    world.input(Input::Timeout);
    assert!(world.broker.metrics().sessions > 1, "no timer is late");
    for name in NAMES {
        assert!(!world.lasting(V5, name).1);
    }
}

/// The server stood still. The client's CONNECT waited in the socket, perhaps since before its time
/// was over.
#[test]
fn a_client_that_came_back_while_the_server_stood_still_has_its_session() {
    let mut world = World::new();
    let watcher = world.client(V5, "watcher");
    world.subscribe(watcher, &[to("will", QoS::AtMostOnce)]);
    let mut connect = lasting(V5, "a");
    connect.will = Some(Will {
        topic: topic("will"),
        payload: "gone".into(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: WillProperties {
            will_delay_interval: Some(10),
            ..WillProperties::default()
        },
    });
    let (conn, _) = world.connect(&connect);
    world.cut(conn);
    let (conn, _) = world.lasting(V5, "b");
    world.cut(conn);
    let begun = world.now + Duration::from_secs(3_601);
    // Other clients are read first.
    world.now = begun;
    world.publish(watcher, "x", "1", QoS::AtMostOnce);
    world.now = begun + Duration::from_millis(5);
    assert!(world.lasting(V5, "a").1);
    world.broker.handle_input(begun, Input::Timeout);
    world.sleep(Duration::from_secs(1));
    assert_eq!(world.payloads(watcher), Vec::<String>::new(), "no will");
    assert!(!world.lasting(V5, "b").1, "that one did not come back");
}

#[test]
fn the_session_of_a_3_1_1_client_expires_after_the_configured_time() {
    let mut world = World::with(|options| options.session_expiry_interval_3_1_1 = 60);
    let (conn, _) = world.lasting(V3, "a");
    world.cut(conn);
    world.sleep(Duration::from_secs(61));
    assert_eq!(world.broker.metrics().sessions, 0);
}

#[test]
fn an_interval_above_the_limit_is_cut_and_told() {
    let mut world = World::with(|options| options.limits.session_expiry_interval = 60);
    let (conn, connack) = world.connect(&lasting(V5, "a"));
    assert_eq!(connack.properties.session_expiry_interval, Some(60));
    world.cut(conn);
    world.sleep(Duration::from_secs(61));
    assert_eq!(world.broker.metrics().sessions, 0);
}

#[test]
fn section_3_14_2_2_2_disconnect_changes_the_expiry_interval() {
    let mut world = World::new();
    let (conn, _) = world.lasting(V5, "a");
    let mut disconnect = Disconnect::new(ReasonCode::Success);
    disconnect.properties.session_expiry_interval = Some(10);
    world.send(conn, &Packet::Disconnect(disconnect.clone()));
    world.sleep(Duration::from_secs(11));
    assert_eq!(world.broker.metrics().sessions, 0);

    let conn = world.client(V5, "b");
    world.send(conn, &Packet::Disconnect(disconnect));
    assert_eq!(world.farewell(conn), Some(ReasonCode::ProtocolError));
}

#[test]
fn mqtt_3_1_2_22_silence_ends_the_connection_after_one_and_a_half_keep_alives() {
    let mut world = World::new();
    let mut connect = Connect::new(V5, "a");
    connect.keep_alive = 10;
    let (conn, _) = world.connect(&connect);
    world.sleep(Duration::from_secs(14));
    world.send(conn, &Packet::PingReq);
    assert_eq!(world.received(conn), [Packet::PingResp]);
    world.sleep(Duration::from_millis(14_900));
    assert!(world.closed(conn).is_none());
    world.sleep(Duration::from_millis(200));
    assert_eq!(world.farewell(conn), Some(ReasonCode::KeepAliveTimeout));
    assert_eq!(world.broker.metrics().keep_alive_timeouts, 1);
}

#[test]
fn mqtt_3_1_2_22_a_keep_alive_of_zero_is_none() {
    let mut world = World::new();
    let mut connect = Connect::new(V3, "a");
    connect.keep_alive = 0;
    let (conn, _) = world.connect(&connect);
    world.sleep(Duration::from_secs(1_000_000));
    assert!(world.closed(conn).is_none());
}

#[test]
fn mqtt_3_1_2_21_the_servers_keep_alive_is_told_and_in_force() {
    let mut world = World::with(|options| options.server_keep_alive = Some(20));
    let mut connect = Connect::new(V5, "a");
    connect.keep_alive = 0;
    let (conn, connack) = world.connect(&connect);
    assert_eq!(connack.properties.server_keep_alive, Some(20));
    world.sleep(Duration::from_secs(31));
    assert_eq!(world.farewell(conn), Some(ReasonCode::KeepAliveTimeout));
    connect.keep_alive = 10;
    assert_eq!(world.connect(&connect).1.properties.server_keep_alive, None);
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let mut world = World::new();
    let conn = world.open(V5);
    world.send_bytes(conn, &b"\x10\x20\x00"[..]);
    world.sleep(Duration::from_secs(11));
    assert_eq!(
        world.closed(conn).unwrap().cause,
        CloseCause::ConnectTimeout
    );
    assert_eq!(world.broker.metrics().connections, 0);
}

#[test]
fn mqtt_3_1_3_6_and_7_a_client_without_identifier_gets_one() {
    let mut world = World::new();
    let (_, first) = world.connect(&Connect::new(V5, ""));
    let (_, second) = world.connect(&Connect::new(V5, ""));
    let first = first.properties.assigned_client_identifier.unwrap();
    let second = second.properties.assigned_client_identifier.unwrap();
    assert_ne!(first, second);
    assert_eq!(world.broker.metrics().sessions, 2);
    let (_, old) = world.connect(&Connect::new(V3, ""));
    assert_eq!(old.reason_code, ReasonCode::Success);
}

#[test]
fn mqtt_3_1_3_8_of_3_1_1_a_lasting_session_needs_an_identifier() {
    let mut world = World::new();
    let (conn, connack) = world.connect(&lasting(V3, ""));
    assert_eq!(connack.reason_code, ReasonCode::ClientIdentifierNotValid);
    assert!(world.closed(conn).is_some());
}

#[test]
fn mqtt_3_1_4_3_the_new_connection_takes_over() {
    let mut world = World::new();
    let (old, _) = world.lasting(V5, "a");
    world.subscribe(old, &[to("t", QoS::AtMostOnce)]);
    let (new, present) = world.lasting(V5, "a");
    assert!(present);
    assert_eq!(
        world.closed(old).unwrap().cause,
        CloseCause::TakenOver { by: new }
    );
    assert_eq!(world.farewell(old), Some(ReasonCode::SessionTakenOver));
    world.publish(new, "t", "x", QoS::AtMostOnce);
    assert_eq!(world.payloads(new), ["x"]);
    assert_eq!(world.broker.metrics().clients, 1);
    assert_eq!(world.broker.metrics().takeovers, 1);
}

#[test]
fn mqtt_3_1_4_3_a_session_that_ends_with_its_connection_is_not_taken_over() {
    let mut world = World::new();
    let old = world.client(V3, "a");
    let mut connect = lasting(V5, "a");
    connect.properties.session_expiry_interval = None;
    let (new, connack) = world.connect(&connect);
    assert!(!connack.session_present);
    assert_eq!(
        world.closed(old).unwrap().cause,
        CloseCause::TakenOver { by: new }
    );
    assert!(world.received(old).is_empty());
}

#[test]
fn mqtt_3_1_4_6_bytes_after_a_refused_connect_are_not_processed() {
    let mut world = World::with(|options| options.authenticate = true);
    let watcher = accepted(&mut world, "watcher");
    world.subscribe(watcher, &[to("#", QoS::AtMostOnce)]);
    let conn = world.open(V5);
    world.send(conn, &Packet::Connect(Connect::new(V5, "a")));
    world.publish(conn, "t", "early", QoS::AtMostOnce);
    let asked = world.asked.pop().unwrap();
    let decision = Decision::Refuse(ReasonCode::NotAuthorized);
    world.input(Input::Authenticated(asked, decision));
    assert_eq!(world.farewell(conn), Some(ReasonCode::NotAuthorized));
    assert!(world.payloads(watcher).is_empty());
    let reason = world.closed(conn).unwrap().to_string();
    assert!(reason.contains("\"a\""), "{reason}");
}

#[test]
fn bytes_after_connect_wait_for_the_decision() {
    let mut world = World::with(|options| options.authenticate = true);
    let watcher = accepted(&mut world, "watcher");
    world.subscribe(watcher, &[to("#", QoS::AtMostOnce)]);
    let conn = world.open(V5);
    world.send(conn, &Packet::Connect(Connect::new(V5, "a")));
    world.publish(conn, "t", "early", QoS::AtMostOnce);
    assert!(world.payloads(watcher).is_empty());
    let asked = world.asked.pop().unwrap();
    world.input(Input::Authenticated(
        asked,
        Decision::Accept(Principal::default()),
    ));
    assert_eq!(world.payloads(watcher), ["early"]);
    // A second decision changes nothing.
    let refuse = Decision::Refuse(ReasonCode::NotAuthorized);
    world.input(Input::Authenticated(asked, refuse));
    assert!(world.closed(conn).is_none());
}

fn accepted(world: &mut World, id: &'static str) -> crate::Conn {
    let conn = world.open(V5);
    world.send(conn, &Packet::Connect(Connect::new(V5, id)));
    let asked = world.asked.pop().unwrap();
    world.input(Input::Authenticated(
        asked,
        Decision::Accept(Principal::default()),
    ));
    assert!(matches!(world.take(conn), Packet::ConnAck(_)));
    conn
}

#[test]
fn bytes_after_connect_are_bounded() {
    let mut world = World::with(|options| options.authenticate = true);
    let conn = world.open(V5);
    world.send(conn, &Packet::Connect(Connect::new(V5, "a")));
    for _ in 0..70 {
        world.send_bytes(conn, vec![0; 1024]);
    }
    assert_eq!(world.farewell(conn), Some(ReasonCode::QuotaExceeded));
}

#[test]
fn mqtt_4_12_0_1_enhanced_authentication_is_refused() {
    let mut world = World::new();
    let mut connect = Connect::new(V5, "a");
    connect.properties.authentication_method = Some("SCRAM-SHA-1".try_into().unwrap());
    let (_, connack) = world.connect(&connect);
    assert_eq!(connack.reason_code, ReasonCode::BadAuthenticationMethod);
}

/// If even the refusal is too large for the client, the connection is closed without a packet.
/// Found by fuzzing.
#[test]
fn mqtt_3_1_2_24_a_refusal_is_no_larger_than_the_client_takes_either() {
    let mut world = World::new();
    let mut connect = Connect::new(V5, "a");
    connect.properties.authentication_method = Some("SCRAM-SHA-1".try_into().unwrap());
    for (limit, said) in [(5, true), (4, false)] {
        connect.properties.maximum_packet_size = Some(limit);
        let conn = world.open(V5);
        world.send(conn, &Packet::Connect(connect.clone()));
        let received = world.received(conn);
        assert_eq!(received.len(), usize::from(said), "{received:?}");
        assert!(world.closed(conn).is_some());
    }
}

#[test]
fn mqtt_4_12_0_7_auth_without_a_method_is_a_protocol_error() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.send_bytes(conn, &b"\xF0\x06\x19\x04\x15\x00\x01m"[..]);
    assert_eq!(world.farewell(conn), Some(ReasonCode::ProtocolError));
}

#[test]
fn mqtt_4_13_1_1_a_malformed_packet_ends_the_connection_with_its_reason() {
    let mut world = World::new();
    for version in [V5, V3] {
        let conn = world.client(version, "a");
        // PUBREL with flags 0 [MQTT-3.6.1-1].
        world.send_bytes(conn, &b"\x60\x02\x00\x01"[..]);
        let expected = (version == V5).then_some(ReasonCode::MalformedPacket);
        assert_eq!(world.farewell(conn), expected);
        let reason = world.closed(conn).unwrap();
        assert_eq!(reason.client_id.as_deref(), Some("a"));
    }
}

#[test]
fn mqtt_3_1_2_29_a_client_may_do_without_reason_strings() {
    let mut world = World::new();
    for wanted in [true, false] {
        let mut connect = Connect::new(V5, "a");
        connect.properties.request_problem_information = Some(wanted);
        let (conn, _) = world.connect(&connect);
        world.send_bytes(conn, &b"\x60\x02\x00\x01"[..]);
        let Some(Packet::Disconnect(disconnect)) = world.received(conn).pop() else {
            panic!("DISCONNECT expected");
        };
        assert_eq!(disconnect.properties.reason_string.is_some(), wanted);
    }
}

#[test]
fn a_server_that_ends_says_so_and_lets_no_client_in() {
    let mut world = World::new();
    let five = world.client(V5, "five");
    let three = world.client(V3, "three");
    let silent = world.open(V5);
    world.input(Input::Shutdown);
    assert_eq!(world.farewell(five), Some(ReasonCode::ServerShuttingDown));
    assert_eq!(world.farewell(three), None);
    assert_eq!(world.farewell(silent), None);
    assert_eq!(world.broker.metrics().connections, 0);
    let late = world.open(V5);
    assert_eq!(world.closed(late).unwrap().cause, CloseCause::ShuttingDown);
}

/// The property is left out before the client is refused. `[MQTT-3.1.2-29]` lets the server send it
/// although the client wants no diagnostics.
#[test]
fn mqtt_3_2_2_20_connack_names_the_server_if_there_is_room() {
    let mut world = World::with(|options| {
        options.server_id = Some(Utf8String::from_static("0123456789abcdef"));
    });
    let expected = [(
        Utf8String::from_static("beaconry-server"),
        Utf8String::from_static("0123456789abcdef"),
    )];
    let mut connect = Connect::new(V5, "a");
    connect.properties.request_problem_information = Some(false);
    let (_, mut connack) = world.connect(&connect);
    assert_eq!(connack.properties.user_properties, expected);
    let whole = mqtt::encoded_len(&Packet::ConnAck(connack.clone()), V5).unwrap();
    connack.properties.user_properties.clear();
    let least = mqtt::encoded_len(&Packet::ConnAck(connack), V5).unwrap();
    for size in least..=whole {
        connect.properties.maximum_packet_size = Some(size.try_into().unwrap());
        let (_, connack) = world.connect(&connect);
        assert_eq!(connack.reason_code, ReasonCode::Success);
        let has_room = size == whole;
        assert_eq!(
            connack.properties.user_properties.len(),
            usize::from(has_room)
        );
    }
    let (_, connack) = world.connect(&Connect::new(V3, "a"));
    assert!(connack.properties.user_properties.is_empty());
}
