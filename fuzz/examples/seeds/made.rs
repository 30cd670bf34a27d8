//! Packets for several targets.

use bytes::{Bytes, BytesMut};
use mqtt::packet::{ConnectProperties, UserProperty, WillProperties};
use mqtt::{
    Connect, Packet, PacketId, ProtocolVersion, Publish, QoS, Subscribe, Subscription, TopicFilter,
    TopicName, Utf8String, Will, encode,
};

use crate::V5;

pub(crate) fn wire(packet: &Packet, version: ProtocolVersion) -> Vec<u8> {
    let mut wire = BytesMut::new();
    encode(packet, version, &mut wire).expect("a good packet");
    wire.to_vec()
}

pub(crate) fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not zero")
}

pub(crate) fn text(text: &'static str) -> Utf8String {
    Utf8String::from_static(text)
}

pub(crate) fn topic(name: &'static str) -> TopicName {
    TopicName::try_from(name).expect("a topic name")
}

pub(crate) fn filter(filter: &'static str) -> TopicFilter {
    TopicFilter::try_from(filter).expect("a topic filter")
}

pub(crate) fn user() -> Vec<UserProperty> {
    vec![(text("k"), text("v"))]
}

pub(crate) fn the_will() -> Will {
    Will {
        topic: topic("a/will"),
        payload: Bytes::from_static(b"gone"),
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: WillProperties {
            will_delay_interval: Some(1),
            payload_format_indicator: Some(true),
            message_expiry_interval: Some(60),
            content_type: Some(text("t")),
            response_topic: Some(topic("r")),
            correlation_data: Some(Bytes::from_static(b"c")),
            user_properties: user(),
        },
    }
}

pub(crate) fn connect(version: ProtocolVersion) -> Packet {
    let mut connect = Connect::new(version, "x");
    connect.will = Some(the_will());
    connect.user_name = Some(text("u"));
    connect.password = Some(Bytes::from_static(b"p"));
    if version == V5 {
        connect.properties = ConnectProperties {
            session_expiry_interval: Some(9),
            receive_maximum: Some(3),
            maximum_packet_size: Some(500),
            topic_alias_maximum: Some(2),
            request_response_information: Some(true),
            request_problem_information: Some(false),
            user_properties: user(),
            authentication_method: Some(text("m")),
            authentication_data: Some(Bytes::from_static(b"d")),
        };
    }
    Packet::Connect(connect)
}

pub(crate) fn publish(qos: QoS) -> Packet {
    let mut publish = Publish::new(topic("a/b"), "21.5");
    publish.qos = qos;
    publish.packet_id = (qos != QoS::AtMostOnce).then(|| id(7));
    Packet::Publish(publish)
}

pub(crate) fn subscribe(wanted: &'static str, qos: QoS) -> Packet {
    Packet::Subscribe(Subscribe {
        packet_id: id(2),
        subscriptions: vec![Subscription::new(filter(wanted), qos)],
        subscription_identifier: None,
        user_properties: Vec::new(),
    })
}
