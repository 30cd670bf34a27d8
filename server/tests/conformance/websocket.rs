//! Chapter 6: MQTT over WebSocket.

use bytes::Bytes;
use std::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Message, WebSocket};

use crate::raw::{Connect, PINGREQ, PINGRESP, Publish, V5, VERSIONS, subscribe};
use crate::support::websocket;
use crate::wire::Site;

/// A WebSocket on which MQTT is connected.
fn connected(site: &Site) -> WebSocket<TcpStream> {
    let mut socket = site.websocket();
    let connect = Connect::new(V5, "by hand").bytes();
    socket.send(Message::Binary(Bytes::from(connect))).unwrap();
    match socket.read().unwrap() {
        Message::Binary(bytes) => assert_eq!((bytes[0], bytes[3]), (0x20, 0)),
        other => panic!("{other:?}"),
    }
    socket
}

/// Reads until the end. Everything is binary, and a close frame with this code ends it.
fn closed_with(mut socket: WebSocket<TcpStream>) -> CloseCode {
    loop {
        match socket.read().unwrap() {
            Message::Binary(_) => {}
            Message::Close(Some(frame)) => return frame.code,
            other => panic!("{other:?}"),
        }
    }
}

/// A text frame ends the connection, even if it holds MQTT; also in the middle of a packet, and
/// before CONNECT. The log names the client, because many share a proxy's address. The server's own
/// frames are binary: `connected` and every other test over WebSocket check that.
#[test]
fn mqtt_6_0_0_1_a_text_frame_ends_the_connection() {
    let site = Site::of_websockets();
    let ping = || {
        std::str::from_utf8(&[0x30, 5, 0, 1, b't', 0, b'x'])
            .unwrap()
            .to_owned()
    };
    let mut watcher = site.subscriber(V5, "#", 0);

    let logged = |who: &str| {
        let line = site.server.log_line("[MQTT-6.0.0-1]");
        assert!(line.contains(&format!("closed: {who}: ")), "{line}");
    };

    let mut socket = connected(&site);
    socket.send(Message::text(ping())).unwrap();
    assert_eq!(closed_with(socket), CloseCode::Unsupported);
    logged("client \"by hand\"");

    let mut socket = connected(&site);
    socket
        .send(Message::Binary(Bytes::from_static(&[0x30])))
        .unwrap();
    socket.send(Message::text(&ping()[1..])).unwrap();
    assert_eq!(closed_with(socket), CloseCode::Unsupported);
    logged("client \"by hand\"");

    // Before CONNECT.
    let mut socket = site.websocket();
    socket.send(Message::text("hello")).unwrap();
    assert_eq!(closed_with(socket), CloseCode::Unsupported);
    logged("client not yet known");
    watcher.quiet();
}

/// One byte per frame; all packets in one frame; a frame that ends within a packet; fragments with
/// a WebSocket ping between them.
#[test]
fn mqtt_6_0_0_2_packets_need_not_be_aligned_to_frames() {
    let site = Site::of_websockets();
    for version in VERSIONS {
        let packets = [
            Connect::new(version, "unaligned").bytes(),
            subscribe(version, 1, &[("t", 0)]),
            Publish::new("t", "x").bytes(version),
            PINGREQ.to_vec(),
        ]
        .concat();
        for size in [1, 2, 3, 7, packets.len() - 1, packets.len()] {
            let mut wire = site.open();
            wire.version = version;
            for part in packets.chunks(size) {
                wire.send(part);
            }
            assert_eq!(wire.packet().first, 0x20);
            assert_eq!(wire.packet().first, 0x90);
            wire.expect(&Publish::new("t", "x").bytes(version));
            wire.expect(&PINGRESP);
        }
    }

    let mut socket = connected(&site);
    let parts = [
        (OpCode::Data(Data::Binary), &[0xC0][..], false),
        (OpCode::Data(Data::Continue), &[0], true),
    ];
    for (code, bytes, last) in parts {
        let frame = Frame::message(Bytes::copy_from_slice(bytes), code, last);
        socket.send(Message::Frame(frame)).unwrap();
        if !last {
            socket
                .send(Message::Ping(Bytes::from_static(b"?")))
                .unwrap();
        }
    }
    let mut answers = Vec::new();
    while !answers.ends_with(&PINGRESP) {
        match socket.read().unwrap() {
            Message::Binary(bytes) => answers.extend_from_slice(&bytes),
            Message::Pong(bytes) => assert_eq!(&bytes[..], b"?"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(answers, PINGRESP);
}

/// The server selects "mqtt", whatever else the list has; `websocket` checks what it has selected. A
/// list without any of MQTT's names gets no connection. The server is more lenient than the
/// statement towards clients that offer "mqttv3.1" or nothing: see `serve/websocket.rs`.
#[test]
fn mqtt_6_0_0_4_the_server_selects_mqtt() {
    let site = Site::of_websockets();
    for list in ["mqtt", "chat, mqtt", "mqtt, mqttv3.1", "mqttv3.1,mqtt , x"] {
        let socket = websocket(&site.server, Some(list));
        assert!(socket.is_ok(), "{list}: {:?}", socket.err());
    }
    for list in ["chat", "mqtt5", "MQTT"] {
        assert!(websocket(&site.server, Some(list)).is_err(), "{list:?}");
    }
}
