//! MQTT over WebSocket: chapter 6 of the standard.

use std::io::{Read, Write};
use std::net::TcpStream;

use bytes::{Bytes, BytesMut};
use mqtt::{Connect, Packet, ProtocolVersion, Publish, QoS, ReasonCode};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};

use super::support::{ByteStream, Peer, Server, bytes_of, tcp, topic_name, websocket};

const V5: ProtocolVersion = ProtocolVersion::V5;

/// Sends a handshake by hand, and gives the answer's head in lower case.
fn handshake(stream: &mut TcpStream, path: &str, subprotocols: Option<&str>) -> String {
    let subprotocols = subprotocols.map_or_else(String::new, |list| {
        format!("sec-websocket-protocol: {list}\r\n")
    });
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         {subprotocols}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

/// CONNECT in one frame. It is masked with zeroes, which change nothing.
fn connect_frame(client_id: &'static str) -> Vec<u8> {
    let connect = bytes_of(&Packet::Connect(Connect::new(V5, client_id)), V5);
    let length = u8::try_from(connect.len()).unwrap();
    let mut frame = vec![0x82, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(&connect);
    frame
}

/// A binary frame with a CONNACK in it.
fn assert_is_connack(frame: &[u8]) {
    assert_eq!((frame[0], frame[2]), (0x82, 0x20), "{frame:?}");
}

/// Old clients offer "mqttv3.1" or nothing, and mosquitto's users are used to `/` and `/ws`.
#[test]
fn every_usual_path_and_subprotocol_leads_to_the_broker() {
    let server = Server::start();
    for path in ["/", "/mqtt", "/mqtt/", "/ws", "/mqtt?token=x", "/?x"] {
        for (offered, selected) in [
            (Some("mqtt"), Some("mqtt")),
            (Some("mqttv3.1"), Some("mqttv3.1")),
            (Some("mqttv3.1, mqtt"), Some("mqtt")),
            (Some("chat, mqttv3.1"), Some("mqttv3.1")),
            (None, None),
        ] {
            let mut stream = tcp(server.http);
            let head = handshake(&mut stream, path, offered);
            assert!(
                head.starts_with("http/1.1 101 "),
                "{path} {offered:?}: {head}"
            );
            assert!(
                head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
                "{path} {offered:?}: {head}"
            );
            let line = head
                .lines()
                .find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
            assert_eq!(line, selected, "{path} {offered:?}");
            stream.write_all(&connect_frame("usual")).unwrap();
            assert_is_connack(&stream.receive().expect("the server closed"));
        }
    }
}

#[test]
fn other_paths_and_subprotocols_do_not() {
    let server = Server::start();
    for path in [
        "/mqtt/x",
        "/ws/",
        "/metrics",
        "/device/x",
        "/MQTT",
        "/api/v1/server",
    ] {
        let head = handshake(&mut tcp(server.http), path, Some("mqtt"));
        assert!(!head.starts_with("http/1.1 101 "), "{path}: {head}");
    }
    for path in ["/", "/mqtt", "/mqtt/", "/ws"] {
        for offered in ["chat", "MQTT", "mqtt5", ""] {
            let head = handshake(&mut tcp(server.http), path, Some(offered));
            assert!(
                head.starts_with("http/1.1 400 "),
                "{path} {offered}: {head}"
            );
        }
    }
    server.assert_alive();
}

/// The standard requires the offer of the client. The server refuses only other names.
#[test]
fn mqtt_6_0_0_3_other_subprotocols_are_refused() {
    let server = Server::start();
    for accepted in [None, Some("mqtt"), Some("chat, mqtt"), Some("mqttv3.1")] {
        assert!(websocket(&server, accepted).is_ok(), "{accepted:?}");
    }
    for refused in ["chat", "MQTT", "mqtt5"] {
        let error = websocket(&server, Some(refused)).unwrap_err();
        assert!(error.contains("400"), "{refused}: {error}");
    }
}

#[test]
fn mqtt_6_0_0_1_a_text_message_ends_the_connection() {
    let server = Server::start();
    let mut peer = Peer::connected_by_websocket(&server, "texter");
    peer.stream.send(Message::text("hello")).unwrap();
    match peer.stream.read() {
        Ok(Message::Close(Some(frame))) => assert_eq!(frame.code, CloseCode::Unsupported),
        other => panic!("not closed: {other:?}"),
    }
    let line = server.log_line("[MQTT-6.0.0-1]");
    assert!(line.contains("peer=127.0.0.1:"), "{line}");
    server.assert_alive();
}

#[test]
fn mqtt_6_0_0_2_a_packet_may_span_messages() {
    let server = Server::start();
    let mut peer = Peer::over(websocket(&server, Some("mqtt")).unwrap(), V5);
    for byte in &bytes_of(&Packet::Connect(Connect::new(V5, "spanning")), V5) {
        ByteStream::send(&mut peer.stream, Bytes::copy_from_slice(&[*byte])).unwrap();
    }
    assert!(matches!(peer.receive(), Some(Packet::ConnAck(_))));
}

#[test]
fn mqtt_6_0_0_2_a_message_may_hold_many_packets() {
    let server = Server::start();
    let mut peer = Peer::over(websocket(&server, Some("mqtt")).unwrap(), V5);
    let mut many = BytesMut::from(&bytes_of(&Packet::Connect(Connect::new(V5, "many")), V5)[..]);
    for _ in 0..5_000 {
        many.extend_from_slice(&bytes_of(&Packet::PingReq, V5));
    }
    let half_a_packet = bytes_of(&Packet::PingReq, V5).slice(..1);
    many.extend_from_slice(&half_a_packet);
    ByteStream::send(&mut peer.stream, many.freeze()).unwrap();
    assert!(matches!(peer.receive(), Some(Packet::ConnAck(_))));
    for _ in 0..5_000 {
        assert_eq!(peer.receive(), Some(Packet::PingResp));
    }
    ByteStream::send(&mut peer.stream, bytes_of(&Packet::PingReq, V5).slice(1..)).unwrap();
    assert_eq!(peer.receive(), Some(Packet::PingResp));
}

#[test]
fn a_message_may_come_in_fragments_with_pings_between() {
    let server = Server::start();
    let mut peer = Peer::over(websocket(&server, Some("mqtt")).unwrap(), V5);
    let connect = bytes_of(&Packet::Connect(Connect::new(V5, "fragments")), V5);
    let (head, tail) = (connect.slice(..5), connect.slice(5..));
    let first = Frame::message(head, OpCode::Data(Data::Binary), false);
    peer.stream.send(Message::Frame(first)).unwrap();
    peer.stream
        .send(Message::Ping(Bytes::from_static(b"between")))
        .unwrap();
    assert_eq!(
        peer.stream.read().unwrap(),
        Message::Pong(Bytes::from_static(b"between"))
    );
    let last = Frame::message(tail, OpCode::Data(Data::Continue), true);
    peer.stream.send(Message::Frame(last)).unwrap();
    assert!(matches!(peer.receive(), Some(Packet::ConnAck(_))));
}

#[test]
fn pings_of_one_who_does_not_read_are_answered_between_whole_frames() {
    const MESSAGES: u8 = 100;
    let server = Server::start();
    let mut writer = Peer::connected(&server, V5, "writer");
    let mut reader = Peer::connected_by_websocket(&server, "reader");
    reader.subscribe("much", QoS::AtLeastOnce);
    for number in 0..MESSAGES {
        writer.publish("much", vec![number; 100_000], QoS::AtLeastOnce);
        assert!(matches!(writer.receive(), Some(Packet::PubAck(_))));
    }
    // By now more waits than the sockets hold. Most of these come while a frame is half sent.
    let pings = 2_000_u32;
    for number in 0..pings {
        let payload = Bytes::copy_from_slice(&number.to_be_bytes());
        reader.stream.send(Message::Ping(payload)).unwrap();
    }
    let (mut next, mut last_pong) = (0, None);
    while next < MESSAGES || last_pong != Some(pings - 1) {
        match reader.stream.read().unwrap() {
            Message::Pong(payload) => {
                let number = u32::from_be_bytes(payload[..].try_into().unwrap());
                assert!(last_pong < Some(number), "{number} after {last_pong:?}");
                last_pong = Some(number);
            }
            Message::Binary(bytes) => {
                for packet in reader.decoded(bytes) {
                    if let Packet::Publish(publish) = &packet {
                        assert_eq!(publish.payload, vec![next; 100_000]);
                        next += 1;
                    }
                    reader.handle(packet);
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn bytes_that_follow_the_handshake_at_once_are_not_lost() {
    let server = Server::start();
    let mut stream = tcp(server.http);
    let mut bytes =
        b"GET /mqtt HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                      sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                      sec-websocket-protocol: mqtt\r\n\r\n"
            .to_vec();
    bytes.extend_from_slice(&connect_frame("eager"));
    stream.write_all(&bytes).unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|window| window == b"\r\n\r\n") || answer.last() == Some(&b'\n') {
        answer.extend_from_slice(&stream.receive().expect("the server closed"));
    }
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    assert_is_connack(&answer[end + 4..]);
}

#[test]
fn a_message_larger_than_allowed_ends_the_connection() {
    let server = Server::start_with(&["--max-packet-size", "64KiB"]);
    let mut peer = Peer::connected_by_websocket(&server, "large");
    let frame_header = [0x82, 0xFF, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];
    peer.stream.get_mut().write_all(&frame_header).unwrap();
    match peer.stream.read() {
        Ok(Message::Close(Some(frame))) => assert_eq!(frame.code, CloseCode::Size),
        other => panic!("not closed: {other:?}"),
    }
    // A message that fits a frame and is too large for a packet is for MQTT to refuse.
    let mut peer = Peer::connected_by_websocket(&server, "larger");
    let publish = Publish::new(topic_name("t"), vec![0; 70_000]);
    ByteStream::send(&mut peer.stream, bytes_of(&Packet::Publish(publish), V5)).unwrap();
    match peer.receive() {
        Some(Packet::Disconnect(disconnect)) => {
            assert_eq!(disconnect.reason_code, ReasonCode::PacketTooLarge);
        }
        other => panic!("no DISCONNECT: {other:?}"),
    }
    server.assert_alive();
}

#[test]
fn a_proper_close_is_answered() {
    let server = Server::start();
    let mut watcher = Peer::connected(&server, V5, "watcher");
    watcher.subscribe("x", QoS::AtMostOnce);
    let mut peer = Peer::connected_by_websocket(&server, "closing");
    peer.stream.close(None).unwrap();
    assert!(matches!(peer.stream.read(), Ok(Message::Close(_))));
    assert!(
        peer.stream.read().is_err(),
        "the server closes the connection after that"
    );
}
