//! How a client reaches each limit, and what the server answers: for `limits.rs`.

use std::io::Write;

use mqtt::packet::WillProperties;
use mqtt::{
    Connect, Disconnect, Packet, PacketId, ProtocolVersion, QoS, ReasonCode, Subscribe,
    Subscription, TopicFilter, Utf8String, Will,
};

use super::latest::newest;
use super::support::{ByteStream, Peer, Server, bytes_of, tcp, topic_name, wait_until};

const V5: ProtocolVersion = ProtocolVersion::V5;
/// The client that reaches the limit.
pub(crate) const CULPRIT: &str = "culprit";

pub(crate) fn culprit(server: &Server) -> Peer {
    Peer::connected(server, V5, CULPRIT)
}

/// Connects with a usual CONNECT that `change` has changed. Returns the answer.
fn comes(
    server: &Server,
    client_id: &str,
    change: impl FnOnce(&mut Connect),
) -> (Peer, mqtt::ConnAck) {
    let mut peer = Peer::over(tcp(server.mqtt), V5);
    let mut connect = Connect::with_client_id(V5, client_id).unwrap();
    change(&mut connect);
    peer.send(&Packet::Connect(connect));
    match peer.receive() {
        Some(Packet::ConnAck(answer)) => (peer, answer),
        other => panic!("CONNACK expected, not {other:?}"),
    }
}

/// Sends DISCONNECT, and waits until the server has closed.
fn leaves(mut peer: Peer) {
    peer.send(&Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    assert_eq!(peer.receive(), None);
}

/// Expects that the server closes and gives the reason, whatever it sent before.
fn assert_dismissed(peer: &mut Peer, reason_code: ReasonCode) {
    let mut last = None;
    while let Some(packet) = peer.receive() {
        last = Some(packet);
    }
    match last {
        Some(Packet::Disconnect(disconnect)) => assert_eq!(disconnect.reason_code, reason_code),
        other => panic!("DISCONNECT expected, not {other:?}"),
    }
}

/// Publishes with `QoS` 1. Returns the answer.
fn offer(peer: &mut Peer, topic: &str, bytes: usize, retain: bool) -> ReasonCode {
    let mut publish = peer.publication(topic, vec![b'x'; bytes], QoS::AtLeastOnce);
    publish.retain = retain;
    peer.send(&Packet::Publish(publish));
    match peer.receive() {
        Some(Packet::PubAck(answer)) => answer.reason_code,
        other => panic!("PUBACK expected, not {other:?}"),
    }
}

fn ask(peer: &mut Peer, filters: &[String]) -> Vec<ReasonCode> {
    let subscription = |text: &String| {
        let text = Utf8String::try_from(text.as_str()).unwrap();
        Subscription::new(TopicFilter::new(text).unwrap(), QoS::AtLeastOnce)
    };
    peer.send(&Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscriptions: filters.iter().map(subscription).collect(),
        subscription_identifier: None,
        user_properties: Vec::new(),
    }));
    match peer.receive() {
        Some(Packet::SubAck(answer)) => answer.reason_codes,
        other => panic!("SUBACK expected, not {other:?}"),
    }
}

fn will(bytes: usize) -> Will {
    Will {
        topic: topic_name("will"),
        payload: vec![b'x'; bytes].into(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: WillProperties::default(),
    }
}

pub(crate) fn says_nothing(server: &Server) {
    let mut peer = Peer::over(tcp(server.mqtt), V5);
    assert_eq!(peer.receive(), None);
}

pub(crate) fn asks_half_a_question(server: &Server) {
    let mut stream = tcp(server.http);
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        .unwrap();
    assert_eq!(ByteStream::receive(&mut stream), None);
}

pub(crate) fn sends_a_large_packet(server: &Server) {
    let (mut peer, answer) = comes(server, CULPRIT, |_| {});
    assert_eq!(answer.properties.maximum_packet_size, Some(1_024));
    peer.publish("t", vec![0; 1_020], QoS::AtMostOnce);
    assert_dismissed(&mut peer, ReasonCode::PacketTooLarge);
}

const LONG: [&str; 2] = ["xxxxxxxxxxxxxxx/x/x/x", "xxxx/x/x"];

pub(crate) fn publishes_to_a_topic_of_21_bytes_and_4_levels(server: &Server) {
    let mut peer = culprit(server);
    for (topic, reason_code) in [
        (LONG[1], ReasonCode::NoMatchingSubscribers),
        (LONG[0], ReasonCode::TopicNameInvalid),
    ] {
        assert_eq!(offer(&mut peer, topic, 1, false), reason_code, "{topic}");
    }
}

pub(crate) fn subscribes_to_21_bytes_and_4_levels(server: &Server) {
    let mut peer = culprit(server);
    let codes = ask(&mut peer, &LONG.map(str::to_owned));
    let expected = [ReasonCode::TopicFilterInvalid, ReasonCode::GrantedQoS1];
    assert_eq!(codes, expected);
}

pub(crate) fn publishes_to_what_is_the_servers_own(server: &Server) {
    let mut peer = culprit(server);
    let answer = offer(&mut peer, "$SYS/x", 1, false);
    assert_eq!(answer, ReasonCode::TopicNameInvalid);
    leaves(peer);
}

pub(crate) fn uses_a_third_alias(server: &Server) {
    let (mut peer, answer) = comes(server, CULPRIT, |_| {});
    assert_eq!(answer.properties.topic_alias_maximum, Some(2));
    for alias in 1..=3 {
        let mut publish = peer.publication("t", "x", QoS::AtMostOnce);
        publish.properties.topic_alias = std::num::NonZeroU16::new(alias);
        peer.send(&Packet::Publish(publish));
    }
    assert_dismissed(&mut peer, ReasonCode::TopicAliasInvalid);
    // It is one fault, of the third message.
    assert_eq!(server.metric("mqtt_protocol_errors_total"), 1);
}

pub(crate) fn is_sent_one_topic_by_alias(server: &Server) {
    let (mut peer, _) = comes(server, CULPRIT, |connect| {
        connect.properties.topic_alias_maximum = Some(9);
    });
    peer.subscribe("#", QoS::AtMostOnce);
    let mut publisher = Peer::connected(server, V5, "publisher");
    let topics = ["the first topic", "the second topic"];
    for topic in topics.repeat(2) {
        publisher.publish(topic, "x", QoS::AtMostOnce);
    }
    let sent = [(); 4].map(|()| {
        let publish = peer.raw_message(|_| true);
        (
            publish.topic.is_some(),
            publish.properties.topic_alias.is_some(),
        )
    });
    let by_name = (true, false);
    assert_eq!(sent, [(true, true), by_name, (false, true), by_name]);
}

pub(crate) fn has_4_kb_stored(server: &Server) {
    let mut peer = culprit(server);
    for _ in 0..2 {
        // The message waits, and nothing is lost.
        assert!(!offer(&mut peer, "kept", 4_000, true).is_error());
    }
}

pub(crate) fn stores_until_it_is_refused(server: &Server) {
    let mut peer = culprit(server);
    let mut stored = 0;
    loop {
        match offer(&mut peer, &format!("kept/{stored}"), 4_000, true) {
            ReasonCode::QuotaExceeded => break,
            reason_code => assert!(!reason_code.is_error(), "{reason_code:?}"),
        }
        stored += 1;
        assert!(stored < 100, "never full");
    }
    assert!(stored > 10, "{stored}");
}

/// Other clients fill the store, and are not refused themselves.
fn fill_the_store(server: &Server) {
    let mut peer = Peer::connected(server, V5, "others");
    let mut stored = 0;
    while server.metric("store_full") == 0 {
        let answer = offer(&mut peer, &format!("kept/{stored}"), 2_000, true);
        if answer == ReasonCode::QuotaExceeded {
            // It was full before it reported that.
            break;
        }
        stored += 1;
        assert!(stored < 200, "never full");
    }
}

pub(crate) fn retains_what_is_not_stored(server: &Server) {
    fill_the_store(server);
    let mut peer = culprit(server);
    let before = server.metric("mqtt_retained_messages");
    let mut publish = peer.publication("more", "x", QoS::AtMostOnce);
    publish.retain = true;
    peer.send(&Packet::Publish(publish));
    wait_until("it to be kept", || {
        server.metric("mqtt_retained_messages") == before + 1
    });
}

pub(crate) fn comes_with_a_will_when_the_store_is_full(server: &Server) {
    fill_the_store(server);
    let (peer, answer) = comes(server, CULPRIT, |connect| connect.will = Some(will(10)));
    assert_eq!(answer.reason_code, ReasonCode::Success);
    leaves(peer);
}

pub(crate) fn makes_room_for_another(server: &Server) {
    let lasting = |connect: &mut Connect| {
        connect.properties.session_expiry_interval = Some(1_000);
        connect.clean_start = false;
    };
    leaves(comes(server, CULPRIT, lasting).0);
    let (other, answer) = comes(server, "other", |_| {});
    assert_eq!(answer.reason_code, ReasonCode::Success);
    leaves(other);
    let (_, answer) = comes(server, CULPRIT, lasting);
    assert!(!answer.session_present);
}

pub(crate) fn is_one_too_many(server: &Server) {
    let _other = Peer::connected(server, V5, "other");
    let (mut peer, answer) = comes(server, CULPRIT, |_| {});
    assert_eq!(answer.reason_code, ReasonCode::QuotaExceeded);
    assert_eq!(peer.receive(), None);
}

pub(crate) fn wants_its_session_kept_for_long(server: &Server) {
    let (peer, answer) = comes(server, CULPRIT, |connect| {
        connect.properties.session_expiry_interval = Some(1_000);
    });
    assert_eq!(answer.properties.session_expiry_interval, Some(1));
    leaves(peer);
}

pub(crate) fn comes_with_a_large_will(server: &Server) {
    let (mut small, answer) = comes(server, "small", |connect| connect.will = Some(will(100)));
    assert_eq!(answer.reason_code, ReasonCode::Success);
    let (mut peer, answer) = comes(server, CULPRIT, |connect| connect.will = Some(will(1_000)));
    assert_eq!(answer.reason_code, ReasonCode::QuotaExceeded);
    assert_eq!(peer.receive(), None);
    small.send(&Packet::PingReq);
    assert_eq!(small.receive(), Some(Packet::PingResp));
}

pub(crate) fn subscribes_to_too_much(server: &Server) {
    let mut peer = culprit(server);
    let filters = ["a", "b", "c", "d"].map(|it| it.repeat(200));
    let codes = ask(&mut peer, &filters);
    assert_eq!(codes[0], ReasonCode::GrantedQoS1);
    assert_eq!(codes[3], ReasonCode::QuotaExceeded, "{codes:?}");
}

pub(crate) fn asks_for_what_is_retained_too_often(server: &Server) {
    let mut peer = culprit(server);
    // The same filter four times: one subscription, and four look-ups of retained messages.
    let codes = ask(&mut peer, &["a", "a", "a", "a"].map(str::to_owned));
    assert_eq!(codes, [ReasonCode::GrantedQoS1; 4]);
}

pub(crate) fn publishes_too_fast(server: &Server) {
    let mut peer = culprit(server);
    let mut packets = Vec::new();
    for _ in 0..25 {
        let publish = peer.publication("t", "x", QoS::AtLeastOnce);
        packets.extend_from_slice(&bytes_of(&Packet::Publish(publish), V5));
    }
    peer.stream.write_all(&packets).unwrap();
    for _ in 0..25 {
        assert!(matches!(peer.receive(), Some(Packet::PubAck(_))));
    }
}

pub(crate) fn has_three_messages_unreleased(server: &Server) {
    let (mut peer, answer) = comes(server, CULPRIT, |_| {});
    assert_eq!(answer.properties.receive_maximum, Some(2));
    for _ in 0..3 {
        peer.publish("t", "x", QoS::ExactlyOnce);
    }
    assert_dismissed(&mut peer, ReasonCode::ReceiveMaximumExceeded);
}

pub(crate) fn acknowledges_late(server: &Server) {
    acknowledge_late(server, culprit(server));
}

pub(crate) fn acknowledges_late_in_3_1_1(server: &Server) {
    let peer = Peer::connected(server, ProtocolVersion::V3_1_1, CULPRIT);
    acknowledge_late(server, peer);
}

fn acknowledge_late(server: &Server, mut peer: Peer) {
    peer.subscribe("t", QoS::AtLeastOnce);
    let mut publisher = Peer::connected(server, V5, "publisher");
    for _ in 0..2 {
        assert_eq!(offer(&mut publisher, "t", 1, false), ReasonCode::Success);
    }
    assert_eq!(server.metric("mqtt_window_waits_total"), 0);
    assert_eq!(offer(&mut publisher, "t", 2, false), ReasonCode::Success);
    assert_eq!(server.metric("mqtt_window_waits_total"), 1);
    // The client acknowledges it now, and what waited comes.
    for bytes in [1, 1, 2] {
        assert_eq!(peer.message().1.len(), bytes);
    }
}

pub(crate) fn acknowledges_nothing(server: &Server) {
    let (mut peer, _) = comes(server, CULPRIT, |connect| {
        connect.properties.receive_maximum = Some(1);
    });
    peer.subscribe("t", QoS::AtLeastOnce);
    let mut publisher = Peer::connected(server, V5, "publisher");
    for _ in 0..4 {
        // The publisher does not learn what another client loses.
        assert!(!offer(&mut publisher, "t", 1_500, false).is_error());
    }
    assert_dismissed(&mut peer, ReasonCode::QuotaExceeded);
}

pub(crate) fn takes_no_more_than_100_bytes(server: &Server) {
    let (mut peer, _) = comes(server, CULPRIT, |connect| {
        connect.properties.maximum_packet_size = Some(100);
    });
    peer.subscribe("t", QoS::AtLeastOnce);
    let mut publisher = Peer::connected(server, V5, "publisher");
    for bytes in [200, 10] {
        // The publisher does not learn that the message is too large for another client.
        assert!(!offer(&mut publisher, "t", bytes, false).is_error());
    }
    assert_eq!(peer.message().1.len(), 10);
}

pub(crate) fn is_a_page_that_gets_much(server: &Server) {
    let mut page = Peer::connected_page(server, CULPRIT);
    page.subscribe("t", QoS::AtMostOnce);
    let mut publisher = Peer::connected(server, V5, "publisher");
    while server.metric("websocket_postponed_frames_total") == 0 {
        for _ in 0..20 {
            assert!(!offer(&mut publisher, "t", 10, false).is_error());
        }
    }
}

pub(crate) fn wants_the_newest_of_too_many_topics(server: &Server) {
    let mut peer = culprit(server);
    peer.send(&newest("t/#", "60000"));
    assert!(matches!(peer.receive(), Some(Packet::SubAck(_))));
    let mut publisher = Peer::connected(server, V5, "publisher");
    for number in 0..100 {
        publisher.publish(&format!("t/{number}"), vec![0; 1_000], QoS::AtMostOnce);
    }
    assert_eq!(peer.message().0, "t/0");
}

pub(crate) fn reads_nothing(server: &Server) {
    let mut peer = culprit(server);
    peer.subscribe("t", QoS::AtMostOnce);
    let mut publisher = Peer::connected(server, V5, "publisher");
    let dropped = || server.metric(r#"mqtt_dropped_messages_total{reason="slow"}"#);
    let mut sent = 0;
    while dropped() == 0 {
        for _ in 0..200 {
            publisher.publish("t", vec![0; 8_000], QoS::AtMostOnce);
        }
        sent += 200;
        assert!(sent < 10_000, "the system holds more than 80 MB");
    }
    // Both flags allow no more, and the system holds little of it.
    let unwritten = server.metric("mqtt_unwritten_bytes");
    assert!(unwritten <= 32 << 10, "{unwritten}");
}

pub(crate) fn reads_no_answers(server: &Server) {
    let mut peer = culprit(server);
    rustix::net::sockopt::set_socket_recv_buffer_size(&peer.stream, 4_096).unwrap();
    // Nine bytes each. The refusal takes five times as many.
    let subscribe = [0x82, 7, 0, 1, 0, 0, 1, b'/', 0];
    let many = subscribe.repeat(1_000);
    let mut sent = 0;
    while server.metric(r#"mqtt_refused_total{limit="not_reading"}"#) == 0 {
        // The server may have closed the connection already.
        let _ = peer.stream.write_all(&many);
        sent += 1_000;
        assert!(sent < 2_000_000, "never closed");
    }
    assert_dismissed(&mut peer, ReasonCode::QuotaExceeded);
}

pub(crate) fn never_comes_to_an_end(server: &Server) {
    let mut peer = culprit(server);
    let mut other = Peer::connected(server, V5, "other");
    let publish = peer.publication("t", vec![0; 60_000], QoS::AtMostOnce);
    let packet = bytes_of(&Packet::Publish(publish), V5);
    peer.stream.write_all(&packet[..59_000]).unwrap();
    wait_until("the first part", || {
        server.metric("mqtt_partial_bytes") > 50_000
    });
    other.stream.write_all(&packet[..10_000]).unwrap();
    assert_dismissed(&mut peer, ReasonCode::QuotaExceeded);
    // The other client may finish.
    other.stream.write_all(&packet[10_000..]).unwrap();
    other.send(&Packet::PingReq);
    assert_eq!(other.receive(), Some(Packet::PingResp));
}

pub(crate) fn retains_too_much(server: &Server) {
    let mut listener = Peer::connected(server, V5, "listener");
    listener.subscribe("kept/#", QoS::AtMostOnce);
    let mut peer = culprit(server);
    for number in 0..3 {
        let topic = format!("kept/{number}");
        assert_eq!(offer(&mut peer, &topic, 1_000, true), ReasonCode::Success);
        // The server delivers it, whether it keeps it or not.
        assert_eq!(listener.message().0, topic);
    }
    let kept = server.metric("mqtt_retained_messages");
    assert!((1..=2).contains(&kept), "{kept}");
}

pub(crate) fn fills_the_memory_with_qos_1(server: &Server) {
    let mut peer = culprit(server);
    let mut kept = 0;
    while offer(&mut peer, &format!("kept/{kept}"), 900_000, true) != ReasonCode::QuotaExceeded {
        kept += 1;
        assert!(kept < 30, "never full");
    }
    assert!(kept > 10, "{kept}");
}

pub(crate) fn fills_the_memory_with_qos_0(server: &Server) {
    let mut peer = culprit(server);
    let mut kept = 0;
    while server.metric(r#"mqtt_dropped_messages_total{reason="memory"}"#) == 0 {
        let topic = format!("kept/{kept}");
        let mut publish = peer.publication(&topic, vec![0; 900_000], QoS::AtMostOnce);
        publish.retain = true;
        peer.send(&Packet::Publish(publish));
        peer.send(&Packet::PingReq);
        assert_eq!(peer.receive(), Some(Packet::PingResp));
        kept += 1;
        assert!(kept < 30, "never full");
    }
    assert!(kept > 10, "{kept}");
}
