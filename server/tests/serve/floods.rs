//! Many connections at once, of well-behaved clients and of silent ones.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use mqtt::{Connect, Packet, ProtocolVersion, ReasonCode};
use tokio_tungstenite::tungstenite::Message;

use super::bounded::Healthy;
use super::support::{ByteStream, Peer, Server, bytes_of, tcp, wait_until, websocket};

const V5: ProtocolVersion = ProtocolVersion::V5;
/// How many connections a test has open at once. A process may usually have 1,024 files.
const OPEN: usize = 300;

/// Connects without waiting for the answer.
fn rush(server: &Server, client_id: &str) -> Peer {
    let mut peer = Peer::over(tcp(server.mqtt), V5);
    let connect = Connect::with_client_id(V5, client_id).unwrap();
    peer.send(&Packet::Connect(connect));
    peer
}

fn assert_accepted(peer: &mut Peer) {
    match peer.receive() {
        Some(Packet::ConnAck(answer)) => assert_eq!(answer.reason_code, ReasonCode::Success),
        other => panic!("CONNACK expected, not {other:?}"),
    }
}

#[test]
fn a_flood_of_new_clients() {
    const CLIENTS: u64 = 2_000;
    let server = Server::start();
    let healthy = Healthy::watch(&server);
    let before = server.resident();
    let mut open = VecDeque::new();
    for number in 0..CLIENTS {
        open.push_back(rush(&server, &format!("new {number}")));
        if open.len() == OPEN {
            assert_accepted(&mut open.pop_front().unwrap());
        }
    }
    open.iter_mut().for_each(assert_accepted);
    drop(open);
    // Plus the two well-behaved ones.
    let accepted = server.metric("mqtt_connects_accepted_total");
    assert_eq!(accepted, CLIENTS + 2);
    wait_until("their sessions to end", || {
        server.metric("mqtt_sessions") == 2
    });
    server.assert_grew_less_than(before, 32 << 20);
    healthy.assert_served();
}

#[test]
fn a_flood_of_connections_of_one_client() {
    const TIMES: u64 = 1_000;
    let server = Server::start();
    let healthy = Healthy::watch(&server);
    let before = server.resident();
    let mut open = VecDeque::new();
    for _ in 0..TIMES {
        open.push_back(rush(&server, "one and the same"));
        if open.len() == OPEN {
            let mut oldest = open.pop_front().unwrap();
            assert_accepted(&mut oldest);
            match oldest.receive() {
                Some(Packet::Disconnect(disconnect)) => {
                    assert_eq!(disconnect.reason_code, ReasonCode::SessionTakenOver);
                }
                other => panic!("DISCONNECT expected, not {other:?}"),
            }
            assert_eq!(oldest.receive(), None);
        }
    }
    open.iter_mut().for_each(assert_accepted);
    assert_eq!(server.metric("mqtt_takeovers_total"), TIMES - 1);
    assert_eq!(server.metric("mqtt_clients"), 3);
    server.assert_grew_less_than(before, 32 << 20);
    healthy.assert_served();
}

/// `None`: there is no place, or nothing came.
fn healthz(http: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(http).ok()?;
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().next().map(str::to_owned)
}

#[test]
fn a_flood_of_http_connections_that_ask_for_nothing() {
    let server = Server::start_with(&["--max-connections", "100", "--connect-timeout", "2s"]);
    let before = server.resident();
    let healthy = Healthy::watch(&server);
    let flood: Vec<_> = (0..OPEN)
        .map(|number| {
            let mut stream = TcpStream::connect(server.http).unwrap();
            if number % 2 == 0 {
                // The server may have refused the connection already.
                let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: local");
            }
            stream
        })
        .collect();
    let line = server.log_line("--max-connections");
    assert!(line.contains("http: refused"), "{line}");
    // They stay, but the server does not wait for them for ever.
    wait_until("an answer", || {
        healthz(server.http).is_some_and(|status| status.contains("200"))
    });
    let line = server.log_line("--connect-timeout");
    assert!(line.contains("http: closed"), "{line}");
    // On a slow machine the server closes some before all have come, which makes room for others.
    let refused = || server.metric("connections_refused_total");
    wait_until("the end of all", || {
        server.metric("http_head_timeouts_total") + refused() >= OPEN as u64
    });
    assert!(refused() > 0);
    drop(flood);
    server.assert_grew_less_than(before, 32 << 20);
    healthy.assert_served();
}

#[test]
fn who_says_nothing_over_http_or_websocket_is_closed_and_counted() {
    let server = Server::start_with(&["--connect-timeout", "1s"]);
    let timeouts = || {
        let of = |name| server.metric(name);
        let names = ["mqtt_connect_timeouts_total", "http_head_timeouts_total"];
        names.map(of)
    };
    // The handshake is done, but no CONNECT comes: nothing, or only a part of it.
    for part in [0, 5] {
        let mut socket = websocket(&server, Some("mqtt")).unwrap();
        let connect = bytes_of(&Packet::Connect(Connect::new(V5, "late")), V5);
        if part > 0 {
            ByteStream::send(&mut socket, connect.slice(..part)).unwrap();
        }
        match socket.read() {
            Ok(Message::Close(_)) => {}
            other => panic!("not closed: {other:?}"),
        }
    }
    assert_eq!(timeouts(), [2, 0]);
    let line = server.log_line("limit reached");
    assert!(line.contains("--connect-timeout"), "{line}");

    // A head that comes byte by byte and has no end.
    let mut slow = tcp(server.http);
    slow.write_all(b"GET /mqtt HTTP/1.1\r\nhost: x\r\nx: ")
        .unwrap();
    let begun = std::time::Instant::now();
    while slow.write_all(b"x").is_ok() {
        assert!(begun.elapsed() < super::support::PATIENCE, "never closed");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // No head at all.
    assert_eq!(ByteStream::receive(&mut tcp(server.http)), None);
    assert_eq!(timeouts(), [2, 2]);
    let line = server.log_line("http: closed");
    assert!(line.contains("--connect-timeout"), "{line}");

    // A connection that has sent a request and is idle since has done nothing wrong.
    let mut idle = tcp(server.http);
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    while ByteStream::receive(&mut idle).is_some() {}
    assert_eq!(timeouts(), [2, 2]);
    // The server does not close a client that has connected either.
    let mut client = Peer::connected_by_websocket(&server, "client");
    let mut silent = tcp(server.http);
    assert_eq!(ByteStream::receive(&mut silent), None);
    client.send(&Packet::PingReq);
    assert_eq!(client.receive(), Some(Packet::PingResp));
}
