//! The server closes a client that sends nonsense, and names it in the log. The others do not
//! notice.

use std::io::{Read, Write};

use bytes::Bytes;
use mqtt::{Connect, Packet, ProtocolVersion};

use super::support::{ByteStream, Peer, Server, bytes_of, tcp, websocket};

/// Noise that is the same every time.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        })
        .collect()
}

fn connect() -> Bytes {
    bytes_of(
        &Packet::Connect(Connect::new(ProtocolVersion::V5, "hostile")),
        ProtocolVersion::V5,
    )
}

/// Reads until the server closes.
fn drain(stream: &mut impl Read) {
    let mut buffer = [0; 4_096];
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {}
}

#[test]
fn noise_instead_of_connect() {
    let server = Server::start_with(&["--connect-timeout", "500ms"]);
    for seed in 0..100 {
        let mut stream = tcp(server.mqtt);
        // The server may close while the test is still writing.
        let _ = stream.write_all(&noise(seed, 2_000));
        drain(&mut stream);
    }
    server.log_line("broke the protocol");
    server.assert_alive();
}

#[test]
fn noise_after_connect() {
    let server = Server::start();
    for seed in 0..100 {
        let mut stream = tcp(server.mqtt);
        stream.write_all(&connect()).unwrap();
        let _ = stream.write_all(&noise(seed, 20_000));
        let _ = stream.shutdown(std::net::Shutdown::Write);
        drain(&mut stream);
    }
    server.assert_alive();
}

#[test]
fn noise_in_websocket_messages_and_instead_of_them() {
    let server = Server::start();
    for seed in 0..40 {
        let mut socket = websocket(&server, Some("mqtt")).unwrap();
        let _ = ByteStream::send(&mut socket, noise(seed, 3_000).into());
        let _ = socket.close(None);
        while socket.read().is_ok() {}

        let mut socket = websocket(&server, Some("mqtt")).unwrap();
        let stream = socket.get_mut();
        let _ = stream.write_all(&noise(seed, 3_000));
        let _ = stream.shutdown(std::net::Shutdown::Write);
        drain(stream);
    }
    server.assert_alive();
}

#[test]
fn noise_instead_of_http() {
    let server = Server::start();
    for seed in 0..40 {
        let mut stream = tcp(server.http);
        let _ = stream.write_all(&noise(seed, 3_000));
        let _ = stream.shutdown(std::net::Shutdown::Write);
        drain(&mut stream);
    }
    server.assert_alive();
}

#[test]
fn a_remaining_length_of_256_mb_is_refused_at_once() {
    let server = Server::start();
    for first in [0x10_u8, 0x30, 0x82] {
        let mut stream = tcp(server.mqtt);
        if first != 0x10 {
            stream.write_all(&connect()).unwrap();
        }
        stream.write_all(&[first, 0xFF, 0xFF, 0xFF, 0x7F]).unwrap();
        drain(&mut stream);
        let line = server.log_line("the limit is");
        assert!(
            line.contains("268435460 bytes") && line.contains("peer=127.0.0.1:"),
            "{line}"
        );
    }
    server.assert_alive();
}

#[test]
fn mqtt_1_5_4_a_rule_that_is_broken_is_named_with_the_client() {
    let server = Server::start();
    let mut peer = Peer::connected(&server, ProtocolVersion::V5, "naughty");
    // PUBLISH of QoS 3.
    peer.stream
        .write_all(&[0x36, 0x03, 0x00, 0x01, b'a'])
        .unwrap();
    drain(&mut peer.stream);
    let line = server.log_line("QoS 3 does not exist");
    assert!(line.contains("naughty"), "{line}");
}

/// A client with the wrong port or version gets no answer that says so, so the log has to.
#[test]
fn who_speaks_something_else_is_told_to_the_log_as_that() {
    let server = Server::start();
    let twice = [connect(), connect()].concat();
    let late = [&connect()[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
    for (bytes, says) in [
        (
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"[..],
            ["this looks like TLS", "this port speaks plain MQTT"],
        ),
        (
            b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
            ["this looks like HTTP", "on the port of --http"],
        ),
        (
            b"POST / HTTP/1.1\r\n\r\n",
            ["this looks like HTTP", "on the port of --http"],
        ),
        (
            b"\x10\x0D\x00\x04MQTT\x06\x02\x00\x3C\x00\x00\x00",
            ["protocol version 6 is not supported", "[MQTT-3.1.2-2]"],
        ),
        (&twice, ["CONNECT is not allowed here", "[MQTT-3.1.0-2]"]),
        // Not at the start, so it is just a protocol error.
        (
            &late,
            ["broke the protocol, reserved flags", "[MQTT-2.1.3-1]"],
        ),
    ] {
        let mut stream = tcp(server.mqtt);
        stream.write_all(bytes).unwrap();
        drain(&mut stream);
        let line = server.log_line("closed: ");
        for part in says {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    assert_eq!(server.metric("mqtt_protocol_errors_total"), 6);
    server.assert_alive();
}

#[test]
fn a_flood_of_faults_does_not_flood_the_log() {
    let server = Server::start();
    for _ in 0..200 {
        let mut stream = tcp(server.mqtt);
        let _ = stream.write_all(&[0xF0, 0x00]);
        drain(&mut stream);
    }
    server.assert_alive();
    server.signal(rustix::process::Signal::TERM);
    let mut lines = 0;
    while !server.log_line(" ").contains("ended") {
        lines += 1;
    }
    assert!(lines < 150, "{lines} lines for 200 faults");
}
