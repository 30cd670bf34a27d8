//! MQTT over TCP: sockets, the log, limits of connections.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mqtt::packet::WillProperties;
use mqtt::{Connect, Dialect, Disconnect, Packet, ProtocolVersion, QoS, ReasonCode, Will};

use super::support::{Peer, Server, bytes_of, tcp, topic_name};

#[test]
fn messages_cross_versions_and_transports() {
    let server = Server::start();
    let mut new = Peer::connected(&server, ProtocolVersion::V5, "new");
    let mut old = Peer::connected(&server, ProtocolVersion::V3_1_1, "old");
    let mut websocket = Peer::connected_by_websocket(&server, "websocket");
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let topic = format!("to/{}", qos.as_u8());
        new.subscribe(&topic, qos);
        old.subscribe(&topic, qos);
        websocket.subscribe(&topic, qos);
        websocket.publish(&topic, "héllo", qos);
        let expected = (topic, Bytes::from_static("héllo".as_bytes()));
        assert_eq!(websocket.message(), expected);
        assert_eq!(new.message(), expected);
        assert_eq!(old.message(), expected);
    }
}

#[test]
fn a_packet_may_come_byte_by_byte() {
    let server = Server::start();
    let version = ProtocolVersion::V5;
    let mut peer = Peer::over(tcp(server.mqtt), version);
    peer.stream.set_nodelay(true).unwrap();
    let connect = bytes_of(&Packet::Connect(Connect::new(version, "slow")), version);
    for byte in &connect {
        peer.stream.write_all(&[*byte]).unwrap();
    }
    assert!(matches!(peer.receive(), Some(Packet::ConnAck(_))));
}

#[test]
fn a_large_message_arrives_whole() {
    let server = Server::start();
    let mut peer = Peer::connected(&server, ProtocolVersion::V5, "large");
    let mut websocket = Peer::connected_by_websocket(&server, "websocket");
    websocket.subscribe("large", QoS::AtLeastOnce);
    peer.subscribe("large", QoS::AtLeastOnce);
    let payload: Bytes = (0..1_048_000_u32)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        peer.publish("large", payload.clone(), qos);
        assert!(websocket.message().1 == payload, "over WebSocket, {qos:?}");
        assert!(peer.message().1 == payload, "over TCP, {qos:?}");
    }
}

#[test]
fn a_slow_reader_gets_everything_that_it_was_promised() {
    let server = Server::start();
    let mut reader = Peer::connected(&server, ProtocolVersion::V5, "reader");
    let mut writer = Peer::connected(&server, ProtocolVersion::V5, "writer");
    reader.subscribe("much", QoS::AtLeastOnce);
    // More than the sockets' buffers hold: the server has to wait for room, and go on.
    let count = 120_u8;
    for number in 0..count {
        writer.publish("much", vec![number; 100_000], QoS::AtLeastOnce);
        assert!(matches!(writer.receive(), Some(Packet::PubAck(_))));
    }
    for number in 0..count {
        let (_, payload) = reader.message();
        assert_eq!((payload[0], payload.len()), (number, 100_000));
    }
}

#[test]
fn the_will_speaks_for_a_client_that_vanishes() {
    let server = Server::start();
    let mut watcher = Peer::connected(&server, ProtocolVersion::V5, "watcher");
    watcher.subscribe("will/#", QoS::AtMostOnce);
    let mut connect = Connect::new(ProtocolVersion::V5, "mortal");
    connect.will = Some(Will {
        topic: topic_name("will/mortal"),
        payload: Bytes::from_static(b"gone"),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: WillProperties::default(),
    });
    let mut mortal = Peer::over(tcp(server.mqtt), ProtocolVersion::V5);
    mortal.connect(connect);
    drop(mortal);
    assert_eq!(
        watcher.message(),
        ("will/mortal".to_owned(), Bytes::from_static(b"gone"))
    );
}

/// Two devices with the same client identifier close each other's connections for ever. Only the
/// log says so.
#[test]
fn who_takes_over_a_connection_is_logged_with_both_addresses() {
    let server = Server::start();
    for (version, twin) in [
        (ProtocolVersion::V5, "twin"),
        (ProtocolVersion::V3_1_1, "older twin"),
    ] {
        let old = Peer::connected(&server, version, twin);
        let new = Peer::connected(&server, version, twin);
        let line = server.log_line("another connection uses its client identifier");
        for part in [
            format!("closed: client {twin:?}: "),
            format!("peer={}", old.stream.local_addr().unwrap()),
            format!("by={}", new.stream.local_addr().unwrap()),
        ] {
            assert!(line.contains(&part), "{part} in {line}");
        }
    }
}

#[test]
fn each_connect_and_each_end_is_logged_at_debug() {
    let server = Server::start_with(&["--log", "debug"]);
    let mut polite = Peer::connected(&server, ProtocolVersion::V5, "polite");
    server.log_line("client_id=\"polite\"");
    let good_bye = Disconnect::new(ReasonCode::Success);
    polite.send(&Packet::Disconnect(good_bye));
    server.log_line("closed: client \"polite\": disconnected");
    let rude = Peer::connected(&server, ProtocolVersion::V5, "rude");
    server.log_line("client_id=\"rude\"");
    let address = rude.stream.local_addr().unwrap();
    drop(rude);
    let line = server.log_line("closed the connection without DISCONNECT");
    assert!(line.contains(&format!("peer={address}")), "{line}");
}

#[test]
fn connections_above_the_limit_are_closed_and_the_others_live() {
    let server = Server::start_with(&["--max-connections", "2"]);
    let mut first = Peer::connected(&server, ProtocolVersion::V5, "first");
    let second = Peer::connected(&server, ProtocolVersion::V5, "second");
    assert_eq!(
        tcp(server.mqtt).read(&mut [0]).unwrap_or(0),
        0,
        "closed at once"
    );
    server.log_line("refused 1 connection");
    first.send(&Packet::PingReq);
    assert_eq!(first.receive(), Some(Packet::PingResp));
    drop(second);
    // The place is free as soon as the server has noticed.
    let deadline = Instant::now() + super::support::PATIENCE;
    loop {
        let mut stream = tcp(server.mqtt);
        let version = ProtocolVersion::V5;
        let connect = bytes_of(&Packet::Connect(Connect::new(version, "third")), version);
        if stream.write_all(&connect).is_ok() && stream.read(&mut [0]).is_ok_and(|count| count == 1)
        {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "the place of a client that left is not given again"
        );
    }
}

#[test]
fn the_log_says_which_version_a_client_speaks_and_whether_it_is_a_bridge() {
    let server = Server::start_with(&["--log", "debug"]);
    let (v3, v5) = (ProtocolVersion::V3_1_1, ProtocolVersion::V5);
    for (version, is_v3_1, is_bridge, expected) in [
        (v3, true, false, r#"version="3.1" bridge=false"#),
        (v3, true, true, r#"version="3.1" bridge=true"#),
        (v3, false, true, r#"version="3.1.1" bridge=true"#),
        (v3, false, false, r#"version="3.1.1" bridge=false"#),
        (v5, false, false, r#"version="5.0" bridge=false"#),
    ] {
        let mut connect = Connect::new(version, "speaker");
        connect.dialect = Dialect { is_v3_1, is_bridge };
        let mut peer = Peer::over(tcp(server.mqtt), version);
        peer.connect(connect);
        let line = server.log_line("client_id=\"speaker\"");
        assert!(line.contains(expected), "{line}");
    }
}

#[test]
fn silence_ends_a_connection() {
    let server = Server::start_with(&["--connect-timeout", "200ms"]);
    let begun = Instant::now();
    assert_eq!(tcp(server.mqtt).read(&mut [0]).unwrap(), 0);
    server.log_line("sent no CONNECT in time");
    let mut http = tcp(server.http);
    http.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ")
        .unwrap();
    let mut answer = Vec::new();
    // Closed, with an answer or without.
    let _ = http.read_to_end(&mut answer);
    assert!(begun.elapsed() >= Duration::from_millis(200));
}
