//! Clients that take all they can get: the server's memory stays bounded, and it serves the others
//! meanwhile.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mqtt::packet::WillProperties;
use mqtt::{
    Connect, Packet, PacketId, ProtocolVersion, Publish, QoS, ReasonCode, Subscribe, Subscription,
    TopicFilter, Utf8String, Will,
};

use super::support::{ByteStream, Peer, Server, bytes_of, tcp, topic_name, websocket};

const V5: ProtocolVersion = ProtocolVersion::V5;
const MIB: usize = 1 << 20;

/// Two clients on a thread of their own. One publishes to the other over and over.
pub(crate) struct Healthy {
    is_over: Arc<AtomicBool>,
    /// How long each round took.
    thread: JoinHandle<Vec<Duration>>,
}

impl Healthy {
    /// At least this many rounds, or their median would say nothing.
    const ROUNDS: usize = 9;

    pub(crate) fn watch(server: &Server) -> Self {
        // It sends nothing for as long as the test takes.
        let mut connect = Connect::new(V5, "healthy listener");
        connect.keep_alive = 0;
        let mut listener = Peer::over(tcp(server.mqtt), V5);
        listener.connect(connect);
        listener.subscribe("healthy", QoS::AtMostOnce);
        let mut speaker = Peer::connected(server, V5, "healthy speaker");
        let is_over = Arc::new(AtomicBool::new(false));
        let is_seen_over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let mut rounds = Vec::new();
            while rounds.len() < Self::ROUNDS || !is_seen_over.load(Ordering::Relaxed) {
                let start = Instant::now();
                speaker.publish("healthy", "x", QoS::AtMostOnce);
                listener.message();
                rounds.push(start.elapsed());
                // So that this client is not a flood itself.
                std::thread::sleep(Duration::from_millis(5));
            }
            rounds
        });
        Self { is_over, thread }
    }

    /// Ends, and checks that no round took long. The bounds are generous, most of all for a single
    /// round: the machine may be busy with other tests, and the server is not optimised. If the
    /// others really waited for the greedy client, half of the rounds would be late.
    pub(crate) fn assert_served(self) {
        self.is_over.store(true, Ordering::Relaxed);
        let mut rounds = self.thread.join().unwrap();
        rounds.sort_unstable();
        let (median, longest) = (rounds[rounds.len() / 2], rounds[rounds.len() - 1]);
        assert!(
            median < Duration::from_millis(250) && longest < Duration::from_secs(10),
            "waited {median:?}, once {longest:?}, in {} rounds",
            rounds.len()
        );
    }
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::new(Utf8String::try_from(text).unwrap()).unwrap()
}

fn subscribe(filters: impl Iterator<Item = String>) -> Packet {
    Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscriptions: filters
            .map(|it| Subscription::new(filter(&it), QoS::AtMostOnce))
            .collect(),
        subscription_identifier: None,
        user_properties: Vec::new(),
    })
}

/// The reason codes of the next SUBACK, whatever comes before it.
fn suback<L: ByteStream>(peer: &mut Peer<L>) -> Vec<ReasonCode> {
    loop {
        match peer.receive() {
            Some(Packet::SubAck(suback)) => return suback.reason_codes,
            Some(Packet::Publish(_)) => {}
            other => panic!("SUBACK expected, not {other:?}"),
        }
    }
}

#[test]
fn a_connect_that_comes_byte_by_byte_is_accepted_if_it_comes_in_time() {
    let server = Server::start_with(&["--connect-timeout", "3s"]);
    let connect = bytes_of(&Packet::Connect(Connect::new(V5, "drop by drop")), V5);
    let mut over_tcp = Peer::over(tcp(server.mqtt), V5);
    let mut over_websocket = Peer::over(websocket(&server, Some("mqtt")).unwrap(), V5);
    for at in 0..connect.len() {
        ByteStream::send(&mut over_tcp.stream, connect.slice(at..=at)).unwrap();
        ByteStream::send(&mut over_websocket.stream, connect.slice(at..=at)).unwrap();
    }
    assert!(matches!(over_tcp.receive(), Some(Packet::ConnAck(_))));
    assert!(matches!(over_websocket.receive(), Some(Packet::ConnAck(_))));

    // The server closes a client that never finishes, though bytes keep coming.
    let mut slow = tcp(server.mqtt);
    let healthy = Healthy::watch(&server);
    let start = Instant::now();
    let long = bytes_of(
        &Packet::Connect(Connect::with_client_id(V5, &"x".repeat(60_000)).unwrap()),
        V5,
    );
    let mut sent = 0;
    while slow.write_all(&long[sent..=sent]).is_ok() {
        sent += 1;
        assert!(start.elapsed() < Duration::from_secs(20), "{sent} sent");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.metric("mqtt_connect_timeouts_total"), 1);
    healthy.assert_served();
}

#[test]
fn a_hundred_thousand_subscriptions_of_one_client() {
    let server = Server::start();
    let healthy = Healthy::watch(&server);
    let before = server.resident();
    let mut peer = Peer::connected(&server, V5, "greedy");
    let mut granted = 0;
    for round in 0..10 {
        let filters = (0..10_000).map(|number| format!("greedy/{round}/{number}/+/x"));
        peer.send(&subscribe(filters));
        let codes = suback(&mut peer);
        granted += codes.iter().filter(|code| !code.is_error()).count();
        let refused = codes.iter().filter(|code| code.is_error());
        assert!(
            refused
                .clone()
                .all(|code| *code == ReasonCode::QuotaExceeded)
        );
    }
    assert!((5_000..=10_000).contains(&granted), "{granted}");
    let refused = server.metric("mqtt_refused_total{limit=\"subscriptions\"}");
    assert_eq!(refused, 100_000 - granted as u64);
    let line = server.log_line("--max-subscriptions");
    assert!(line.contains("greedy"), "{line}");
    server.assert_grew_less_than(before, 64 * MIB);
    healthy.assert_served();
}

#[test]
fn a_storm_of_subscriptions_to_everything() {
    let server = Server::start();
    let mut publisher = Peer::connected(&server, V5, "publisher");
    for number in 0..1_000 {
        let mut publish =
            publisher.publication(&format!("kept/{number}"), "x".repeat(100), QoS::AtMostOnce);
        publish.retain = true;
        publisher.send(&Packet::Publish(publish));
    }
    let healthy = Healthy::watch(&server);
    let before = server.resident();
    // Each asks for all retained messages again and again, and reads none of them.
    let mut storm: Vec<_> = (0..50)
        .map(|number| Peer::connected(&server, V5, &format!("storm {number}")))
        .collect();
    for _ in 0..100 {
        for peer in &mut storm {
            // The server may have closed the connection by now, because the client reads nothing.
            let packet = subscribe(std::iter::once("#".to_owned()));
            let _ = peer.stream.send(bytes_of(&packet, V5));
        }
    }
    server.assert_grew_less_than(before, 150 * MIB);
    drop(storm);
    healthy.assert_served();
    server.assert_alive();
}

#[test]
fn filters_full_of_wildcards_over_many_retained_messages() {
    let server = Server::start();
    let mut publisher = Peer::connected(&server, V5, "publisher");
    for number in 0..20_000 {
        let topic = format!("a/{}/{}/{}", number % 10, number % 100, number);
        let mut publish = publisher.publication(&topic, "x", QoS::AtMostOnce);
        publish.retain = true;
        publisher.send(&Packet::Publish(publish));
    }
    publisher.subscribe("nothing", QoS::AtMostOnce);
    assert_eq!(server.metric("mqtt_retained_messages"), 20_000);
    let healthy = Healthy::watch(&server);
    let before = server.resident();
    let mut peer = Peer::connected(&server, V5, "wild");
    // The server would walk through everything for each filter, and find nothing.
    let filters = (0..200).map(|number| format!("+/+/+/+/{number}"));
    peer.send(&subscribe(filters));
    assert!(suback(&mut peer).iter().all(|code| !code.is_error()));
    // The server answers at once, and serves the others while it looks.
    peer.send(&Packet::PingReq);
    assert_eq!(peer.receive(), Some(Packet::PingResp));
    // The number of overlapping filters bounds how many of them a topic can match.
    let overlapping = (0..1 << 12).map(|bits: u32| {
        let level = |at: u32| if (bits >> at) & 1 == 1 { "+" } else { "l" };
        (0..12).map(level).collect::<Vec<_>>().join("/")
    });
    peer.send(&subscribe(overlapping));
    suback(&mut peer);
    for _ in 0..50 {
        publisher.publish(&["l"; 12].join("/"), "x", QoS::AtMostOnce);
    }
    healthy.assert_served();
    server.assert_grew_less_than(before, 64 * MIB);
}

#[test]
fn a_flood_of_connections() {
    let server = Server::start_with(&["--max-connections", "100"]);
    let before = server.resident();
    let healthy = Healthy::watch(&server);
    let mut flood = Vec::new();
    for _ in 0..1_000 {
        flood.push(TcpStream::connect(server.mqtt).unwrap());
    }
    let line = server.log_line("--max-connections");
    assert!(line.contains("refused"), "{line}");
    drop(flood);
    healthy.assert_served();
    server.assert_grew_less_than(before, 32 * MIB);
    assert!(server.metric("connections_refused_total") > 500);
    server.assert_alive();
}

#[test]
fn packets_that_never_come_to_their_end() {
    let server = Server::start_with(&["--max-all-partial-bytes", "4MiB"]);
    let healthy = Healthy::watch(&server);
    let before = server.resident();
    let mut publish = bytes_of(
        &Packet::Publish(Publish::new(topic_name("t"), vec![0; 1_000_000])),
        V5,
    );
    publish.truncate(900_000);
    let mut lorises: Vec<_> = (0..50)
        .map(|number| Peer::connected(&server, V5, &format!("loris {number}")))
        .collect();
    for peer in &mut lorises {
        // The server may have closed the connection already.
        let _ = peer.stream.send(publish.clone());
    }
    let line = server.log_line("--max-all-partial-bytes");
    assert!(line.contains("loris"), "{line}");
    assert!(server.metric("mqtt_partial_bytes") <= 4 * MIB as u64);
    // The server serves a client that finishes its packet.
    let mut honest = Peer::connected(&server, V5, "honest");
    honest.subscribe("large", QoS::AtMostOnce);
    honest.publish("large", vec![1; 500_000], QoS::AtMostOnce);
    assert_eq!(honest.message().1.len(), 500_000);
    server.assert_grew_less_than(before, 32 * MIB);
    healthy.assert_served();
}

#[test]
fn wills_that_take_much_more_than_their_bytes() {
    let server = Server::start_with(&["--max-all-wills-bytes", "1MiB"]);
    let healthy = Healthy::watch(&server);
    let before = server.resident();
    let empty = || (Utf8String::default(), Utf8String::default());
    let mut refused = 0;
    let mut clients = Vec::new();
    for number in 0..100 {
        let mut connect = Connect::with_client_id(V5, &format!("will {number}")).unwrap();
        connect.will = Some(Will {
            topic: topic_name("will"),
            payload: bytes::Bytes::new(),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: WillProperties {
                // Five bytes each on the wire, and 128 in memory.
                user_properties: vec![empty(); 900],
                ..WillProperties::default()
            },
        });
        let mut peer = Peer::over(tcp(server.mqtt), V5);
        peer.send(&Packet::Connect(connect));
        match peer.receive() {
            Some(Packet::ConnAck(connack)) if connack.reason_code == ReasonCode::Success => {
                clients.push(peer);
            }
            Some(Packet::ConnAck(connack)) => {
                assert_eq!(connack.reason_code, ReasonCode::QuotaExceeded);
                refused += 1;
            }
            other => panic!("CONNACK expected, not {other:?}"),
        }
    }
    assert!((5..=10).contains(&clients.len()), "{}", clients.len());
    assert_eq!(server.metric("mqtt_refused_total{limit=\"will\"}"), refused);
    assert!(server.metric("mqtt_will_bytes") <= MIB as u64);
    server.assert_grew_less_than(before, 16 * MIB);
    healthy.assert_served();
}

#[test]
fn subscribers_that_stop_reading_cost_their_limit_and_no_more() {
    let server = Server::start_with(&[
        "--max-packet-size",
        "64KiB",
        "--max-out-buffer",
        "64KiB",
        "--max-queued-messages",
        "100",
    ]);
    let healthy = Healthy::watch(&server);
    let before = server.resident();
    let mut stuck: Vec<_> = (0..40)
        .map(|number| {
            let mut peer = Peer::connected(&server, V5, &format!("stuck {number}"));
            let qos = match number % 4 {
                0 => QoS::AtLeastOnce,
                1 => QoS::ExactlyOnce,
                _ => QoS::AtMostOnce,
            };
            peer.subscribe("much", qos);
            peer
        })
        .collect();
    let mut publisher = Peer::connected(&server, V5, "publisher");
    // Far more than the sockets hold.
    for _ in 0..2_000 {
        publisher.publish("much", vec![0; 10_000], QoS::AtMostOnce);
    }
    // A client that reads nothing gets nothing more, so as many messages are more than a queue
    // holds.
    for _ in 0..100 {
        publish_once(&mut publisher);
    }
    let dismissed = || server.metric("mqtt_refused_total{limit=\"queue_full\"}");
    for more in 0.. {
        publish_once(&mut publisher);
        if dismissed() == 20 {
            break;
        }
        assert!(more < 200, "{} dismissed", dismissed());
    }
    // The clients with QoS 0 lost messages and are still connected. The others learn why they have
    // to go, after what was sent before.
    for peer in &mut stuck[..2] {
        assert_eq!(last_words(peer), Some(ReasonCode::QuotaExceeded));
    }
    for _ in 0..200 {
        publish_once(&mut publisher);
    }
    assert!(server.metric("mqtt_dropped_messages_total{reason=\"slow\"}") > 1_000);
    assert_eq!(dismissed(), 20);
    let line = server.log_line("--max-queued-messages");
    assert!(line.contains("stuck"), "{line}");
    server.assert_grew_less_than(before, 64 * MIB);
    healthy.assert_served();
    // A client that may lose messages is still connected, and gets what is in the sockets.
    assert!(matches!(stuck[2].receive(), Some(Packet::Publish(_))));
}

/// Publishes a message with `QoS` 2, and completes the exchange.
fn publish_once(publisher: &mut Peer) {
    publisher.publish("much", vec![0; 10_000], QoS::ExactlyOnce);
    loop {
        let packet = publisher.receive().unwrap();
        let is_over = matches!(packet, Packet::PubComp(_));
        publisher.handle(packet);
        if is_over {
            return;
        }
    }
}

/// Reads everything that comes. Returns why the server closed, if that came last.
fn last_words(peer: &mut Peer) -> Option<ReasonCode> {
    let mut last = None;
    while let Some(packet) = peer.receive() {
        last = Some(packet);
    }
    match last {
        Some(Packet::Disconnect(disconnect)) => Some(disconnect.reason_code),
        _ => None,
    }
}

#[test]
fn who_publishes_too_fast_waits_and_loses_nothing() {
    let server = Server::start_with(&["--max-publish-rate", "100"]);
    let mut listener = Peer::connected(&server, V5, "listener");
    listener.subscribe("t", QoS::AtMostOnce);
    let mut fast = Peer::connected(&server, V5, "fast");
    let start = Instant::now();
    for number in 0..250 {
        fast.publish("t", number.to_string(), QoS::AtMostOnce);
    }
    for number in 0..250 {
        assert_eq!(listener.message().1, number.to_string());
    }
    let took = start.elapsed();
    assert!(took > Duration::from_millis(1_300), "{took:?}");
    assert!(server.metric("mqtt_publish_rate_pauses_total") > 0);
    let line = server.log_line("--max-publish-rate");
    assert!(line.contains("fast"), "{line}");
}

#[test]
fn without_memory_new_messages_are_refused_and_the_server_goes_on() {
    let server = Server::start_with(&["--max-memory", "16MiB", "--max-retained-bytes", "100MiB"]);
    let before = server.resident();
    let mut peer = Peer::connected(&server, V5, "filler");
    let mut refused = 0;
    for number in 0..300 {
        let mut publish = peer.publication(
            &format!("kept/{number}"),
            vec![0; 100_000],
            QoS::AtLeastOnce,
        );
        publish.retain = true;
        peer.send(&Packet::Publish(publish));
        let Some(Packet::PubAck(ack)) = peer.receive() else {
            panic!("PUBACK expected");
        };
        refused += u64::from(ack.reason_code == ReasonCode::QuotaExceeded);
    }
    assert!((100..200).contains(&refused), "{refused}");
    assert_eq!(
        server.metric("mqtt_refused_total{limit=\"memory\"}"),
        refused
    );
    server.assert_grew_less_than(before, 40 * MIB);
    let mut new = Peer::over(tcp(server.mqtt), V5);
    new.send(&Packet::Connect(Connect::new(V5, "new")));
    match new.receive() {
        Some(Packet::ConnAck(connack)) => assert_eq!(connack.reason_code, ReasonCode::ServerBusy),
        other => panic!("CONNACK expected, not {other:?}"),
    }
    server.log_line("--max-memory");
}
