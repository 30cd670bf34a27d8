//! What the flags deny to every client.

use mqtt::{Packet, ProtocolVersion, QoS, ReasonCode, Subscribe, Subscription, TopicFilter};

use super::devices::list;
use super::support::{Peer, Server, wait_until};

const V5: ProtocolVersion = ProtocolVersion::V5;
const V3: ProtocolVersion = ProtocolVersion::V3_1_1;

fn suback<L: super::support::ByteStream>(peer: &mut Peer<L>, filter: &str) -> ReasonCode {
    let filter = TopicFilter::try_from(filter).unwrap();
    let subscription = Subscription::new(filter, QoS::AtLeastOnce);
    let id = mqtt::PacketId::new(77).unwrap();
    peer.send(&Packet::Subscribe(Subscribe {
        packet_id: id,
        subscription_identifier: None,
        user_properties: Vec::new(),
        subscriptions: vec![subscription],
    }));
    match peer.receive() {
        Some(Packet::SubAck(suback)) => suback.reason_codes[0],
        other => panic!("SUBACK expected, not {other:?}"),
    }
}

#[test]
fn what_is_denied_is_refused_or_filtered_and_counted() {
    let server = Server::start_with(&["--deny-subscribe=secret/#", "--deny-publish=locked/+"]);
    let mut publisher = Peer::connected(&server, V5, "publisher");
    let mut watcher = Peer::connected(&server, V5, "watcher");
    assert_eq!(suback(&mut watcher, "secret/a"), ReasonCode::NotAuthorized);
    assert_eq!(suback(&mut watcher, "#"), ReasonCode::GrantedQoS1);
    let mut old = Peer::connected(&server, V3, "old");
    assert_eq!(suback(&mut old, "secret/#"), ReasonCode::UnspecifiedError);

    publisher.publish("secret/a", "no", QoS::AtMostOnce);
    publisher.publish("locked/a", "no", QoS::AtMostOnce);
    publisher.publish("open", "yes", QoS::AtMostOnce);
    let (topic, payload) = watcher.message();
    assert_eq!((topic.as_str(), &payload[..]), ("open", &b"yes"[..]));
    assert!(server.log_line("--deny-subscribe").contains("watcher"));
    assert!(server.log_line("--deny-publish").contains("publisher"));
    assert_eq!(
        server.metric("mqtt_refused_total{limit=\"publish_rule\"}"),
        1
    );
    assert_eq!(
        server.metric("mqtt_refused_total{limit=\"subscribe_rule\"}"),
        2
    );
    assert_eq!(
        server.metric("mqtt_dropped_messages_total{reason=\"rule\"}"),
        1
    );
    assert_eq!(server.metric("mqtt_refused_total{limit=\"will_rule\"}"), 0);
}

/// The API must not tell what no client is sent.
#[test]
fn the_api_knows_nothing_of_what_nobody_may_receive() {
    let server = Server::start_with(&["--deny-subscribe=locks/#"]);
    let mut publisher = Peer::connected(&server, V5, "publisher");
    publisher.publish("locks/front/code", "1234", QoS::AtLeastOnce);
    publisher.publish("garden/temperature", "21.5", QoS::AtLeastOnce);
    wait_until("the other device is known", || list(&server, "").total > 0);
    let known = format!("{:?}", list(&server, "").devices);
    assert!(known.contains("garden") && !known.contains("locks") && !known.contains("1234"));
}
