//! A server that stood still, as on a host that slept. What clients sent meanwhile waits in its
//! sockets; it reads that before it ends anybody for silence.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mqtt::packet::{Will, WillProperties};
use mqtt::{Connect, Packet, ProtocolVersion, QoS, ReasonCode, TopicName};

use super::support::{ByteStream, PATIENCE, Peer, Server, bytes_of, tcp, wait_until, websocket};

const V5: ProtocolVersion = ProtocolVersion::V5;
/// In seconds. The test must stop the server before one and a half of these have passed.
const KEEP_ALIVE: u16 = 2;
/// Longer than one and a half keep alives, and than `--connect-timeout 2s`.
const LONG: Duration = Duration::from_millis(3_500);

/// A client that must send something within its short keep alive.
fn restless<L: ByteStream>(stream: L, client_id: &str) -> Peer<L> {
    let mut peer = Peer::over(stream, V5);
    let mut connect = Connect::with_client_id(V5, client_id).unwrap();
    connect.keep_alive = KEEP_ALIVE;
    peer.connect(connect);
    peer
}

fn assert_heard<L: ByteStream>(peer: &mut Peer<L>) {
    assert_eq!(peer.receive(), Some(Packet::PingResp));
}

fn assert_ended_for_silence<L: ByteStream>(peer: &mut Peer<L>) {
    match peer.receive() {
        Some(Packet::Disconnect(why)) => assert_eq!(why.reason_code, ReasonCode::KeepAliveTimeout),
        other => panic!("DISCONNECT expected, not {other:?}"),
    }
}

#[test]
fn a_client_that_sent_while_the_server_stood_still_was_not_silent() {
    let server = Server::start();
    // Its message is an input to the broker too, and must not end the others.
    let mut talker = Peer::connected(&server, V5, "talker");
    let mut pingers: Vec<_> = (0..20)
        .map(|number| restless(tcp(server.mqtt), &format!("pinger {number}")))
        .collect();
    let mut over_websocket = restless(websocket(&server, Some("mqtt")).unwrap(), "web pinger");
    let mut silent = restless(tcp(server.mqtt), "silent");
    server.stand_still(LONG, || {
        talker.publish("news", "x", QoS::AtMostOnce);
        for pinger in &mut pingers {
            pinger.send(&Packet::PingReq);
        }
        over_websocket.send(&Packet::PingReq);
    });
    pingers.iter_mut().for_each(assert_heard);
    assert_heard(&mut over_websocket);
    assert_ended_for_silence(&mut silent);
    server.assert_alive();
}

#[test]
fn a_connect_that_came_while_the_server_stood_still_came_in_time() {
    let server = Server::start_with(&["--connect-timeout", "2s"]);
    let (mut prompt, mut silent) = (Peer::over(tcp(server.mqtt), V5), tcp(server.mqtt));
    wait_until("the broker to have both", || {
        server.metric("mqtt_connections_opened_total") == 2
    });
    server.stand_still(LONG, || {
        let connect = Connect::with_client_id(V5, "prompt").unwrap();
        prompt.send(&Packet::Connect(connect));
    });
    assert!(matches!(prompt.receive(), Some(Packet::ConnAck(_))));
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0, "closed");
    assert_eq!(server.metric("mqtt_connect_timeouts_total"), 1);
}

/// Its session and its will wait for it too.
#[test]
fn a_client_that_came_back_while_the_server_stood_still_has_its_session() {
    let server = Server::start();
    let mut watcher = Peer::connected(&server, V5, "watcher");
    watcher.subscribe("will", QoS::AtMostOnce);
    let mut connect = Connect::with_client_id(V5, "back").unwrap();
    connect.clean_start = false;
    connect.properties.session_expiry_interval = Some(3);
    connect.will = Some(Will {
        topic: TopicName::try_from("will").unwrap(),
        payload: "gone".into(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: WillProperties {
            will_delay_interval: Some(3),
            ..WillProperties::default()
        },
    });
    let mut back = Peer::over(tcp(server.mqtt), V5);
    back.connect(connect.clone());
    drop(back);
    wait_until("the connection to be gone", || {
        server.metric("mqtt_clients") == 1
    });
    // The server has accepted this connection before it stands still.
    let mut back = Peer::over(tcp(server.mqtt), V5);
    wait_until("the broker to have it", || {
        server.metric("mqtt_connections_opened_total") == 3
    });
    server.stand_still(LONG, || back.send(&Packet::Connect(connect)));
    match back.receive() {
        Some(Packet::ConnAck(connack)) => assert!(connack.session_present),
        other => panic!("CONNACK expected, not {other:?}"),
    }
    assert_eq!(server.metric("mqtt_wills_published_total"), 0);
    assert_eq!(server.metric("mqtt_sessions_expired_total"), 0);
}

#[test]
fn a_request_that_came_while_the_server_stood_still_came_in_time() {
    let server = Server::start_with(&["--connect-timeout", "2s"]);
    let (mut prompt, mut silent) = (tcp(server.http), tcp(server.http));
    // Both are accepted when a later one has its answer: connections are accepted in order.
    server.metric("mqtt_connections");
    server.stand_still(LONG, || {
        let request = "GET /mqtt HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            sec-websocket-protocol: mqtt\r\n\r\n";
        prompt.write_all(request.as_bytes()).unwrap();
    });
    let mut answer = [0; 12];
    prompt.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0, "closed");
}

/// Clients that never stop sending cannot put off time limits.
#[test]
fn a_flood_after_the_standstill_does_not_keep_a_silent_client() {
    const FLOODS: usize = 4;
    let server = Server::start();
    let peers = [(); FLOODS].map(|()| Peer::connected(&server, V5, ""));
    let mut silent = restless(tcp(server.mqtt), "silent");
    let is_over = Arc::new(AtomicBool::new(false));
    let mut floods = Vec::new();
    server.stand_still(LONG, || {
        floods.extend(peers.into_iter().map(|peer| {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || flood(peer, &is_over))
        }));
    });
    let since = Instant::now();
    assert_ended_for_silence(&mut silent);
    let took = since.elapsed();
    is_over.store(true, Ordering::Relaxed);
    let sent: u64 = floods.into_iter().map(|it| it.join().unwrap()).sum();
    assert!(sent > 1_000, "no flood: {sent} messages");
    assert!(took < PATIENCE / 2, "ended {took:?} after the standstill");
}

/// Publishes until it is over. Returns how many messages it sent.
fn flood(mut peer: Peer<TcpStream>, is_over: &AtomicBool) -> u64 {
    let message = peer.publication("flood", "x", QoS::AtMostOnce);
    let some = bytes_of(&Packet::Publish(message), V5).repeat(1_000);
    let mut sent = 0;
    while !is_over.load(Ordering::Relaxed) {
        peer.stream.write_all(&some).unwrap();
        sent += 1_000;
    }
    sent
}
