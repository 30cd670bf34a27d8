//! What a page in a browser gets: messages in few frames, answers at once.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use mqtt::{Packet, ProtocolVersion, QoS};
use tokio_tungstenite::tungstenite::WebSocket;

use super::support::{ByteStream, Peer, Server};

const V5: ProtocolVersion = ProtocolVersion::V5;
const POSTPONED: &str = "websocket_postponed_frames_total";

/// Publishes, and waits until the server has handled the message.
fn publish(publisher: &mut Peer, payload: &str) {
    publisher.publish("t", payload.to_owned(), QoS::AtLeastOnce);
    assert!(matches!(publisher.receive(), Some(Packet::PubAck(_))));
}

/// How many frames bring 800 messages that come every 2 ms, and how long that takes.
fn frames(server: &Server, mut peer: Peer<WebSocket<TcpStream>>) -> (usize, Duration) {
    const MESSAGES: usize = 800;
    peer.subscribe("t", QoS::AtMostOnce);
    let mut publisher = Peer::connected(server, V5, "publisher");
    let start = Instant::now();
    let counting = std::thread::spawn(move || {
        let (mut frames, mut messages) = (0, Vec::new());
        while messages.len() < MESSAGES {
            let bytes = peer.stream.receive().expect("closed");
            frames += 1;
            for packet in peer.decoded(bytes) {
                if let Packet::Publish(publish) = packet {
                    messages.push(publish.payload);
                }
            }
        }
        // In order, and each once.
        for (number, payload) in messages.iter().enumerate() {
            assert_eq!(*payload, number.to_string());
        }
        frames
    });
    for number in 0..MESSAGES {
        let due = start + Duration::from_millis(2) * u32::try_from(number).unwrap();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        publisher.publish("t", number.to_string(), QoS::AtMostOnce);
    }
    (counting.join().unwrap(), start.elapsed())
}

#[test]
fn a_page_gets_sixty_frames_a_second_at_most_and_others_as_many_as_there_are() {
    let server = Server::start();
    let (few, time) = frames(&server, Peer::connected_page(&server, "page"));
    let most = time.as_millis() * 60 / 1_000 + 7;
    assert!(few as u128 <= most, "{few} frames in {time:?}");
    assert!(server.metric(POSTPONED) > 10);
    let postponed = server.metric(POSTPONED);
    let (many, _) = frames(&server, Peer::connected_by_websocket(&server, "program"));
    assert!(many > 2 * few, "{many} and {few} frames");
    assert_eq!(server.metric(POSTPONED), postponed);
}

#[test]
fn a_message_alone_waits_for_nothing() {
    let server = Server::start();
    let mut page = Peer::connected_page(&server, "page");
    page.subscribe("t", QoS::AtMostOnce);
    let mut publisher = Peer::connected(&server, V5, "publisher");
    for number in 0..20 {
        publish(&mut publisher, &number.to_string());
        assert_eq!(page.message().1, number.to_string());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.metric(POSTPONED), 0);
}

/// Messages wait for a whole second here.
#[test]
fn answers_leave_at_once_and_take_along_what_waits() {
    let server = Server::start_with(&["--max-page-frames", "1"]);
    let mut page = Peer::connected_page(&server, "page");
    page.subscribe("t", QoS::AtMostOnce);
    let mut publisher = Peer::connected(&server, V5, "publisher");
    let mut postponed = 0;
    let mut wait_for_some = |publisher: &mut Peer| {
        let mut published = 0;
        while server.metric(POSTPONED) == postponed {
            publish(publisher, "before");
            published += 1;
            assert!(published < 20, "nothing waits");
        }
        postponed = server.metric(POSTPONED);
        published
    };
    for round in 0..4 {
        let before = wait_for_some(&mut publisher);
        publish(&mut publisher, "last");
        let start = Instant::now();
        match round {
            0 => page.send(&Packet::PingReq),
            1 => page.publish("other", "x", QoS::AtLeastOnce),
            2 => page.publish("other", "x", QoS::ExactlyOnce),
            _ => page.send(&super::latest::newest("none", "100")),
        }
        // All messages come before the answer, in order.
        let mut payloads = Vec::new();
        let answer = loop {
            match page.receive() {
                Some(Packet::Publish(publish)) => payloads.push(publish.payload),
                answer => break answer,
            }
        };
        let took = start.elapsed();
        assert!(took < Duration::from_millis(500), "{took:?}");
        assert_eq!(payloads.len(), before + 1);
        assert_eq!(payloads.pop().unwrap(), "last");
        let is_it = matches!(
            (round, answer),
            (0, Some(Packet::PingResp))
                | (1, Some(Packet::PubAck(_)))
                | (2, Some(Packet::PubRec(_)))
                | (3, Some(Packet::SubAck(_)))
        );
        assert!(is_it, "in round {round}");
    }
}

/// A page with a window of one message gets nothing more before it acknowledges, so nothing waits.
#[test]
fn a_message_that_ends_the_window_leaves_at_once() {
    let server = Server::start_with(&["--inflight-window", "1", "--max-page-frames", "1"]);
    let mut page = Peer::connected_page(&server, "page");
    page.subscribe("t", QoS::AtLeastOnce);
    let mut publisher = Peer::connected(&server, V5, "publisher");
    let start = Instant::now();
    for number in 0..20 {
        publish(&mut publisher, &number.to_string());
        assert_eq!(page.message().1, number.to_string());
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(server.metric(POSTPONED), 0);
}
