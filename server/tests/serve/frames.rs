//! WebSocket frames that no browser sends. The server accepts what is allowed. What is not allowed
//! ends the connection with the close code of RFC 6455.

use std::io::{Read, Write};

use mqtt::{Connect, Packet, ProtocolVersion, ReasonCode};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::support::{Peer, Server, bytes_of, websocket};

const V5: ProtocolVersion = ProtocolVersion::V5;
const FINAL: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2: u8 = 0x20;
const RSV3: u8 = 0x10;
const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | u8::try_from(len).unwrap()),
        len => {
            frame.push(0xFE);
            frame.extend_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(byte, mask)| byte ^ mask));
    frame
}

/// The server's next frame: its first byte and its payload.
fn read_frame(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    let len = match head[1] {
        126 => {
            let mut len = [0; 2];
            stream.read_exact(&mut len).ok()?;
            u16::from_be_bytes(len).into()
        }
        len @ 0..126 => usize::from(len),
        other => panic!("a length of {other:#x}: masked, or larger than anything sent here"),
    };
    let mut payload = vec![0; len];
    stream.read_exact(&mut payload).ok()?;
    Some((head[0], payload))
}

fn connect() -> Vec<u8> {
    bytes_of(&Packet::Connect(Connect::new(V5, "frames")), V5).to_vec()
}

#[test]
fn a_packet_in_fragments_with_pings_between_is_a_packet() {
    let server = Server::start();
    let mut socket = websocket(&server, Some("mqtt")).unwrap();
    let stream = socket.get_mut();
    let connect = connect();
    let (last, others) = connect.split_last().unwrap();
    for (number, byte) in others.iter().enumerate() {
        let opcode = if number == 0 { BINARY } else { CONTINUATION };
        stream.write_all(&frame(opcode, &[*byte])).unwrap();
        stream.write_all(&frame(FINAL | PING, &[*byte])).unwrap();
    }
    stream.write_all(&frame(FINAL, &[*last])).unwrap();
    let mut pongs = 0;
    loop {
        match read_frame(stream).expect("closed") {
            (first, _) if first == FINAL | PONG => pongs += 1,
            (first, payload) => {
                assert_eq!((first, payload[0]), (FINAL | BINARY, 0x20));
                break;
            }
        }
    }
    // The server has to answer only the last of several pings (section 5.5.3).
    assert!((1..=others.len()).contains(&pongs), "{pongs}");
}

/// Checks that the server closes a connected client that sends this, with code 1002.
fn assert_breaks_the_protocol(server: &Server, what: &str, bytes: &[u8]) {
    let mut socket = websocket(server, Some("mqtt")).unwrap();
    let stream = socket.get_mut();
    stream
        .write_all(&frame(FINAL | BINARY, &connect()))
        .unwrap();
    assert_eq!(read_frame(stream).unwrap().1[0], 0x20);
    stream.write_all(bytes).unwrap();
    assert_closed_with_1002(stream, what);
}

/// Expects perhaps a DISCONNECT, then a close frame, then the end.
fn assert_closed_with_1002(stream: &mut impl Read, what: &str) {
    let (first, payload) = read_frame(stream).unwrap_or_else(|| panic!("{what}: no frame"));
    // DISCONNECT may come before it.
    let (first, payload) = if first == FINAL | BINARY {
        assert_eq!(payload[0], 0xE0, "{what}");
        read_frame(stream).unwrap_or_else(|| panic!("{what}: no close frame"))
    } else {
        (first, payload)
    };
    assert_eq!(first, FINAL | CLOSE, "{what}");
    let code = u16::from_be_bytes([payload[0], payload[1]]);
    assert_eq!(CloseCode::from(code), CloseCode::Protocol, "{what}");
    assert_eq!(read_frame(stream), None, "{what}");
}

/// The head of the answer to a handshake that has this line besides the usual ones.
fn handshake(server: &Server, line: &str) -> (std::net::TcpStream, String) {
    let mut stream = super::support::tcp(server.http);
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: mqtt\r\n{line}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    (
        stream,
        String::from_utf8(head).unwrap().to_ascii_lowercase(),
    )
}

#[test]
fn what_rfc_6455_forbids_ends_the_connection() {
    let server = Server::start();
    let mut unmasked = frame(FINAL | BINARY, b"x");
    unmasked[1] &= 0x7F;
    for (what, bytes) in [
        ("unmasked (5.1)", unmasked),
        // The sides agreed on no extension, so nothing can be compressed.
        (
            "compressed (5.2)",
            frame(FINAL | RSV1 | BINARY, b"\x4a\x04\x00"),
        ),
        (
            "reserved bits (5.2)",
            frame(FINAL | RSV2 | RSV3 | BINARY, b"x"),
        ),
        ("a reserved opcode (5.2)", frame(FINAL | 0x3, b"x")),
        ("a reserved control opcode (5.2)", frame(FINAL | 0xB, b"x")),
        (
            "a continuation of nothing (5.4)",
            frame(FINAL | CONTINUATION, b"x"),
        ),
        ("a ping in fragments (5.5)", frame(PING, b"x")),
        ("a ping of 126 bytes (5.5)", frame(FINAL | PING, &[0; 126])),
        (
            "a close frame of one byte (5.5.1)",
            frame(FINAL | CLOSE, b"x"),
        ),
    ] {
        assert_breaks_the_protocol(&server, what, &bytes);
        let line = server.log_line("broke the WebSocket protocol");
        assert!(line.contains("client \"frames\""), "{what}: {line}");
        // One log line is enough.
        assert!(!line.contains("protocol error"), "{what}: {line}");
    }
    assert_eq!(server.metric("websocket_faults_total"), 9);
    server.assert_alive();
}

#[test]
fn compression_is_not_agreed_on_and_not_taken() {
    let server = Server::start();
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits=8, permessage-deflate",
        "x-webkit-deflate-frame, permessage-bzip2",
    ] {
        let (mut stream, head) = handshake(&server, &format!("sec-websocket-extensions: {offer}"));
        assert!(head.starts_with("http/1.1 101 "), "{offer}: {head}");
        assert!(!head.contains("extension"), "{offer}: {head}");
        // The server accepts a frame that is not compressed.
        let connect = frame(FINAL | BINARY, &connect());
        stream.write_all(&connect).unwrap();
        let (first, payload) = read_frame(&mut stream).unwrap();
        assert_eq!((first, payload[0]), (FINAL | BINARY, 0x20), "{offer}");
        // It refuses a PINGREQ that is deflated and has the bit that says so.
        let deflated = [0x3A, 0xC0, 0x00, 0x00];
        stream
            .write_all(&frame(FINAL | RSV1 | BINARY, &deflated))
            .unwrap();
        assert_closed_with_1002(&mut stream, offer);
    }
    assert_eq!(server.metric("websocket_faults_total"), 4);
    server.assert_alive();
}

#[test]
fn reserved_bits_end_the_connection_wherever_they_stand() {
    let server = Server::start();
    let mut faults = 0;
    for bit in [RSV1, RSV2, RSV3, RSV1 | RSV2 | RSV3] {
        // Half of a PINGREQ, which is valid so far.
        let half = frame(BINARY, &[0xC0]);
        let after_half = |first: u8, payload: &[u8]| [&half[..], &frame(first, payload)].concat();
        for (what, bytes) in [
            ("first and last", frame(FINAL | bit | BINARY, &[0xC0, 0])),
            ("first", frame(bit | BINARY, &[0xC0])),
            ("empty", frame(FINAL | bit | BINARY, b"")),
            ("continuation", after_half(bit | CONTINUATION, &[0])),
            (
                "last continuation",
                after_half(FINAL | bit | CONTINUATION, &[0]),
            ),
            ("ping", frame(FINAL | bit | PING, b"x")),
            ("ping between", after_half(FINAL | bit | PING, b"x")),
            ("pong", frame(FINAL | bit | PONG, b"x")),
            (
                "close",
                frame(FINAL | bit | CLOSE, &1_000_u16.to_be_bytes()),
            ),
        ] {
            assert_breaks_the_protocol(&server, &format!("{bit:#x}, {what}"), &bytes);
            faults += 1;
        }
    }
    assert_eq!(server.metric("websocket_faults_total"), faults);
    server.assert_alive();
}

#[test]
fn a_flood_of_pings_costs_no_memory() {
    let server = Server::start();
    let mut watcher = Peer::connected(&server, V5, "watcher");
    watcher.subscribe("x", mqtt::QoS::AtMostOnce);
    let before = server.resident();
    let mut socket = websocket(&server, Some("mqtt")).unwrap();
    let stream = socket.get_mut();
    stream
        .write_all(&frame(FINAL | BINARY, &connect()))
        .unwrap();
    let pings = frame(FINAL | PING, &[0; 125]).repeat(500);
    stream
        .set_write_timeout(Some(std::time::Duration::from_secs(1)))
        .unwrap();
    // The test reads nothing. At some time the server accepts no more, or drops answers.
    for _ in 0..200 {
        if stream.write_all(&pings).is_err() {
            break;
        }
    }
    server.assert_grew_less_than(before, 16 << 20);
    watcher.publish("x", "y", mqtt::QoS::AtMostOnce);
    assert_eq!(watcher.message().1, "y");
}

#[test]
fn a_large_upload_leaves_nothing_behind_nor_does_one_that_never_ends() {
    // What waits for the model of the devices is bounded by a limit of its own.
    let server = Server::start_with(&["--max-all-partial-bytes=4MiB", "--max-tap-bytes=2MiB"]);
    let before = server.resident();
    let large = |client: &str| {
        let mut peer = Peer::connected_by_websocket(&server, client);
        peer.publish("t", vec![0; 1_000_000], mqtt::QoS::AtLeastOnce);
        assert!(matches!(peer.receive(), Some(Packet::PubAck(_))));
        peer
    };
    let uploaded: Vec<_> = (0..40).map(|it| large(&format!("large {it}"))).collect();
    server.assert_grew_less_than(before, 16 << 20);
    // A frame of 1,000,000 bytes that is never finished counts like any unfinished packet.
    let mut publish = mqtt::Publish::new(super::support::topic_name("t"), vec![0; 999_000]);
    publish.qos = mqtt::QoS::AtMostOnce;
    let packet = bytes_of(&Packet::Publish(publish), V5);
    let mut unfinished = Vec::new();
    for number in 0..40 {
        let mut peer = Peer::connected_by_websocket(&server, &format!("unfinished {number}"));
        let stream = peer.stream.get_mut();
        let mut header = vec![FINAL | BINARY, 0xFF];
        header.extend_from_slice(&(packet.len() as u64).to_be_bytes());
        header.extend_from_slice(&[0; 4]);
        let _ = stream.write_all(&header);
        // The server may have closed the connection already.
        let _ = stream.write_all(&packet[..900_000]);
        unfinished.push(peer);
    }
    server.log_line("--max-all-partial-bytes");
    assert!(server.metric("mqtt_partial_bytes") <= 4 << 20);
    server.assert_grew_less_than(before, 32 << 20);
    drop(uploaded);
    server.assert_alive();
}

#[test]
fn a_packet_larger_than_allowed_in_small_frames_is_refused_as_soon_as_it_says_so() {
    let server = Server::start();
    let mut peer = Peer::connected_by_websocket(&server, "large");
    // PUBLISH of 256 MB.
    let stream = peer.stream.get_mut();
    stream
        .write_all(&frame(FINAL | BINARY, &[0x30, 0xFF, 0xFF, 0xFF, 0x7F]))
        .unwrap();
    match peer.receive() {
        Some(Packet::Disconnect(disconnect)) => {
            assert_eq!(disconnect.reason_code, ReasonCode::PacketTooLarge);
        }
        other => panic!("no DISCONNECT: {other:?}"),
    }
    assert_eq!(
        server.metric("mqtt_refused_total{limit=\"packet_size\"}"),
        1
    );
}
