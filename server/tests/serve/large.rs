//! Packets of some 20 MiB, where the limit allows them: over TCP and WebSocket, with each `QoS`, to
//! connected and absent clients, retained, and from the store after a restart.
//!
//! `BEACONRY_PACKET_MIB=255` makes them as large as the standard allows. That takes some GB of
//! memory and of disk.

use std::time::Instant;

use bytes::Bytes;
use mqtt::{Connect, Packet, ProtocolVersion, QoS};
use rustix::process::Signal;
use tokio_tungstenite::tungstenite::client::{IntoClientRequest, client_with_config};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::support::{ByteStream, Peer, Server, tcp};

const V5: ProtocolVersion = ProtocolVersion::V5;
const LEVELS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

type AnyPeer = Peer<Box<dyn ByteStream>>;

/// Opens a connection over TCP or WebSocket, and sends no CONNECT.
fn open(server: &Server, by_websocket: bool) -> AnyPeer {
    if !by_websocket {
        return Peer::over(Box::new(tcp(server.mqtt)), V5);
    }
    let request = format!("ws://{}/mqtt", server.http);
    let mut request = request.into_client_request().unwrap();
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", HeaderValue::from_static("mqtt"));
    // The default limit for received messages is lower.
    let config = WebSocketConfig::default()
        .max_frame_size(None)
        .max_message_size(None);
    let (socket, _) = client_with_config(request, tcp(server.http), Some(config)).unwrap();
    Peer::over(Box::new(socket), V5)
}

fn connected(server: &Server, by_websocket: bool, client_id: &str) -> AnyPeer {
    let mut peer = open(server, by_websocket);
    peer.connect(Connect::with_client_id(V5, client_id).unwrap());
    peer
}

/// The same with a session that lasts. Returns whether the session was present.
fn lasting(server: &Server, by_websocket: bool, client_id: &str) -> (AnyPeer, bool) {
    let mut peer = open(server, by_websocket);
    let mut connect = Connect::with_client_id(V5, client_id).unwrap();
    connect.clean_start = false;
    connect.properties.session_expiry_interval = Some(1_000);
    let answer = peer.connect(connect);
    (peer, answer.session_present)
}

/// This many MiB in which no page is like another.
fn payload(mib: usize) -> Bytes {
    let pages = (0..mib << 8).map(|number| number.to_be_bytes().repeat(4_096 / 8));
    pages.collect::<Vec<_>>().concat().into()
}

/// Publishes, and waits for the acknowledgements.
fn publish(peer: &mut AnyPeer, topic: &str, payload: &Bytes, qos: QoS, retain: bool) {
    let mut publish = peer.publication(topic, payload.clone(), qos);
    publish.retain = retain;
    peer.send(&Packet::Publish(publish));
    if qos == QoS::AtMostOnce {
        return;
    }
    loop {
        let packet = peer.receive().expect("closed instead of acknowledged");
        let is_over = matches!(packet, Packet::PubAck(_) | Packet::PubComp(_));
        peer.handle(packet);
        if is_over {
            return;
        }
    }
}

fn assert_receives(peer: &mut AnyPeer, topic: &str, payload: &Bytes, qos: QoS) {
    let publish = peer.raw_message(|_| true);
    assert_eq!(publish.topic.unwrap().as_str(), topic);
    assert_eq!(publish.qos, qos, "{topic}");
    // Not `assert_eq`, because that would print both.
    assert!(publish.payload == *payload, "{topic}: another payload");
}

fn assert_is_retained(server: &Server, by_websocket: bool, payload: &Bytes) {
    for qos in LEVELS {
        let mut peer = connected(server, by_websocket, "new");
        let topic = format!("retained/{}", qos as u8);
        peer.subscribe(&topic, QoS::ExactlyOnce);
        assert_receives(&mut peer, &topic, payload, qos);
    }
}

/// Checks the messages that wait for an absent client.
fn assert_was_kept(server: &Server, by_websocket: bool, client_id: &str, payload: &Bytes) {
    let (mut peer, was_present) = lasting(server, by_websocket, client_id);
    assert!(was_present);
    assert_receives(&mut peer, "queued/1", payload, QoS::AtLeastOnce);
    assert_receives(&mut peer, "queued/2", payload, QoS::ExactlyOnce);
}

#[test]
fn packets_much_larger_than_usual_come_and_go_by_all_ways() {
    let folder = testbed::Folder::new();
    let data = folder.data();
    let mib = std::env::var("BEACONRY_PACKET_MIB").map_or(20, |mib| mib.parse().unwrap());
    let most = (mib + 12).min(256);
    let (packet, memory) = (format!("{most}MiB"), format!("{}MiB", 32 * most));
    let flags = [
        "--max-packet-size",
        &packet,
        "--max-memory",
        &memory,
        "--data",
        data.to_str().unwrap(),
    ];
    let server = Server::start_with(&flags);
    let payload = payload(mib);
    let begun = Instant::now();

    let mut publishers = [false, true].map(|ws| connected(&server, ws, &format!("p {ws}")));
    let mut listeners = [false, true].map(|ws| connected(&server, ws, &format!("l {ws}")));
    for listener in &mut listeners {
        listener.subscribe("live/#", QoS::ExactlyOnce);
    }
    for qos in LEVELS {
        for (number, publisher) in publishers.iter_mut().enumerate() {
            let topic = format!("live/{}/{number}", qos as u8);
            publish(publisher, &topic, &payload, qos, false);
            for listener in &mut listeners {
                assert_receives(listener, &topic, &payload, qos);
            }
        }
    }
    drop(listeners);

    for client_id in ["before", "after"] {
        let (mut peer, _) = lasting(&server, false, client_id);
        peer.subscribe("queued/#", QoS::ExactlyOnce);
    }
    let [by_tcp, by_websocket] = &mut publishers;
    publish(by_tcp, "queued/1", &payload, QoS::AtLeastOnce, false);
    publish(by_websocket, "queued/2", &payload, QoS::ExactlyOnce, false);
    assert_was_kept(&server, true, "before", &payload);

    publish(by_websocket, "retained/0", &payload, QoS::AtMostOnce, true);
    publish(by_tcp, "retained/1", &payload, QoS::AtLeastOnce, true);
    publish(by_websocket, "retained/2", &payload, QoS::ExactlyOnce, true);
    assert_is_retained(&server, true, &payload);
    drop(publishers);

    let mib_resident = server.resident().map(|bytes| bytes >> 20);
    println!("{:.1?}, {mib_resident:?} MiB", begun.elapsed());
    server.signal(Signal::TERM);
    assert!(server.ended().0.success());
    let server = Server::start_with(&flags);
    assert_was_kept(&server, false, "after", &payload);
    assert_is_retained(&server, false, &payload);
    let mib_resident = server.resident().map(|bytes| bytes >> 20);
    println!("took {:.1?}, {mib_resident:?} MiB", begun.elapsed());

    // The server refuses more than the limit as before: a PUBLISH with the longest possible length.
    let mut peer = connected(&server, false, "too large");
    let header = Bytes::from_static(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]);
    peer.stream.send(header).unwrap();
    match peer.receive() {
        Some(Packet::Disconnect(disconnect)) => {
            assert_eq!(disconnect.reason_code, mqtt::ReasonCode::PacketTooLarge);
        }
        other => panic!("DISCONNECT expected, not {other:?}"),
    }
}
