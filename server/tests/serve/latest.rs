//! `beaconry-latest` on the wire: a client that asked for the newest values is never closed for
//! being slow, holds no more than its share, and has the newest of everything in the end.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use mqtt::{
    Packet, PacketId, ProtocolVersion, QoS, ReasonCode, Subscribe, Subscription, TopicFilter,
    Utf8String,
};
use tokio_tungstenite::tungstenite::WebSocket;

use super::bounded::Healthy;
use super::support::{ByteStream, PATIENCE, Peer, Server, bytes_of, wait_until};

const V5: ProtocolVersion = ProtocolVersion::V5;
const TOPICS: usize = 5_000;
const ROUNDS: usize = 24;

/// SUBSCRIBE for the newest values of `filter`, at most every `interval` milliseconds.
pub(crate) fn newest(filter: &str, interval: &str) -> Packet {
    let text = |text| Utf8String::try_from(text).unwrap();
    let filter = TopicFilter::new(text(filter)).unwrap();
    Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscriptions: vec![Subscription::new(filter, QoS::ExactlyOnce)],
        subscription_identifier: None,
        user_properties: vec![(text("beaconry-latest"), text(interval))],
    })
}

/// The socket of a client, whatever it carries.
trait Socket: ByteStream {
    fn socket(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Socket for WebSocket<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref()
    }
}

/// Five thousand topics change again and again while the subscriber reads nothing.
fn stands_still(server: &Server, mut peer: Peer<impl Socket>) {
    // Little is received for it before it reads.
    rustix::net::sockopt::set_socket_recv_buffer_size(peer.stream.socket(), 64 << 10).unwrap();
    peer.send(&newest("fleet/#", "50"));
    let Some(Packet::SubAck(suback)) = peer.receive() else {
        panic!("no SUBACK");
    };
    assert_eq!(suback.reason_codes, [ReasonCode::Success]);
    let healthy = Healthy::watch(server);
    let mut publisher = Peer::connected(server, V5, "publisher");
    for round in 0..ROUNDS {
        let payload = format!("{round:0>250}");
        for topic in 0..TOPICS {
            let publish =
                publisher.publication(&format!("fleet/{topic}"), payload.clone(), QoS::AtMostOnce);
            let bytes = bytes_of(&Packet::Publish(publish), V5);
            publisher.stream.write_all(&bytes).unwrap();
        }
    }
    let all = u64::try_from(ROUNDS * TOPICS).unwrap();
    wait_until("all messages", || {
        server.metric("mqtt_received_messages_total") >= all
    });
    healthy.assert_served();
    let waiting = server.metric("mqtt_latest_bytes");
    assert!(waiting > 500_000 && waiting < 16 << 20, "{waiting}");
    let (replaced, dropped) = (
        server.metric("mqtt_latest_replaced_total"),
        server.metric(r#"mqtt_dropped_messages_total{reason="latest_full"}"#),
    );
    assert!(replaced > all / 4 && dropped == 0, "{replaced} {dropped}");

    // Now it reads, and has the newest of everything. Every message counts once.
    let newest = format!("{:0>250}", ROUNDS - 1);
    let mut stood_for = BTreeMap::new();
    let (mut is_newest, mut received) = (0, 0);
    let deadline = Instant::now() + 2 * PATIENCE;
    while is_newest < TOPICS {
        assert!(Instant::now() < deadline, "{is_newest} of {TOPICS}");
        let publish = peer.raw_message(|_| true);
        let skipped = publish.properties.user_properties.iter();
        let skipped = skipped.filter(|(name, _)| **name == *"beaconry-skipped");
        let skipped: u64 = skipped
            .map(|(_, value)| value.parse::<u64>().unwrap())
            .sum();
        let topic = publish.topic.unwrap().as_str().to_owned();
        *stood_for.entry(topic).or_insert(0) += 1 + skipped;
        is_newest += usize::from(publish.payload == newest);
        received += 1;
    }
    // What the systems at both ends held was old, and it was little.
    assert!(received < 3 * TOPICS, "{received}");
    assert_eq!(stood_for.len(), TOPICS);
    for (topic, messages) in stood_for {
        assert_eq!(messages, ROUNDS as u64, "{topic}");
    }
    peer.send(&Packet::PingReq);
    assert_eq!(peer.receive(), Some(Packet::PingResp));
    wait_until("an empty map", || server.metric("mqtt_latest_bytes") == 0);
}

#[test]
fn a_subscriber_that_reads_nothing_has_the_newest_in_the_end_over_tcp() {
    let server = Server::start();
    let peer = Peer::connected(&server, V5, "slow");
    stands_still(&server, peer);
}

#[test]
fn a_subscriber_that_reads_nothing_has_the_newest_in_the_end_over_websocket() {
    let server = Server::start();
    let peer = Peer::connected_by_websocket(&server, "slow");
    stands_still(&server, peer);
}

#[test]
fn what_waits_comes_when_it_is_due() {
    let server = Server::start();
    let mut peer = Peer::connected(&server, V5, "watcher");
    peer.send(&newest("t", "300"));
    assert!(matches!(peer.receive(), Some(Packet::SubAck(_))));
    let mut publisher = Peer::connected(&server, V5, "publisher");
    let start = Instant::now();
    publisher.publish("t", "first", QoS::AtMostOnce);
    assert_eq!(peer.message().1, "first");
    for payload in ["second", "third"] {
        publisher.publish("t", payload, QoS::AtLeastOnce);
    }
    assert_eq!(peer.message().1, "third");
    assert!(start.elapsed() >= Duration::from_millis(300));
}
