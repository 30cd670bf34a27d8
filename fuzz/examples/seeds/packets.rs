//! Packets: one of each type, side and version, and some that are invalid.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use mqtt::packet::{
    AuthProperties, ConnAckProperties, DisconnectProperties, PublishProperties, ReasonProperties,
};
use mqtt::{
    Auth, ConnAck, Disconnect, Packet, ProtocolVersion, PubAck, PubComp, PubRec, PubRel, QoS,
    ReasonCode, SubAck, Subscribe, Subscription, UnsubAck, Unsubscribe,
};

use crate::made::{connect, filter, id, publish, text, topic, user, wire};
use crate::{Seeds, V3, V5};

/// One packet of each type, side and version, with every field that it can have.
pub(crate) fn seeds() -> Seeds {
    let mut seeds = Vec::new();
    let sides = [
        (0, V3, vec![connect(V3)]),
        (0, V5, vec![connect(V5)]),
        (1, V3, from_client(V3)),
        (2, V5, from_client(V5)),
        (3, V3, from_server(V3)),
        (4, V5, from_server(V5)),
    ];
    for (side, version, packets) in sides {
        for packet in packets {
            let mut seed = vec![side, 7];
            seed.extend_from_slice(&wire(&packet, version));
            let from = if side < 3 { "client" } else { "server" };
            let name = packet.packet_type().name().to_lowercase();
            seeds.push((format!("{name}-{}-from-{from}", tag(version)), seed));
        }
    }
    for (name, dialect) in [
        ("connect-3-1-from-client", (true, false)),
        ("connect-of-a-bridge", (false, true)),
    ] {
        let Packet::Connect(mut connect) = connect(V3) else {
            unreachable!()
        };
        (connect.dialect.is_v3_1, connect.dialect.is_bridge) = dialect;
        let wire = wire(&Packet::Connect(connect), V3);
        seeds.push((name.to_owned(), [&[0, 7], &wire[..]].concat()));
    }
    // A PUBREL that is sent again, as MQTT 3.1 has it.
    seeds.push((
        "pubrel-3-1-with-dup".to_owned(),
        b"\x05\x07\x6a\x02\x00\x01".to_vec(),
    ));
    let mut two = vec![4, 2];
    two.extend_from_slice(&wire(&publish(QoS::AtLeastOnce), V5));
    two.extend_from_slice(b"\xd0\x80\x00");
    seeds.push(("a-length-longer-than-it-need-be".to_owned(), two));
    seeds.push((
        "a-length-of-256-mb".to_owned(),
        b"\x00\x00\x10\xff\xff\xff\x7f".to_vec(),
    ));
    seeds.push((
        "http".to_owned(),
        b"\x00\x00GET / HTTP/1.1\r\n\r\n".to_vec(),
    ));
    seeds
}

fn tag(version: ProtocolVersion) -> &'static str {
    match version {
        V3 => "3-1-1",
        V5 => "5",
    }
}

/// A PUBLISH with every property; `from_server` adds those that only a server may send.
fn rich_publish(from_server: bool) -> Packet {
    let Packet::Publish(mut publish) = publish(QoS::ExactlyOnce) else {
        unreachable!()
    };
    publish.retain = true;
    publish.properties = PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(60),
        topic_alias: NonZeroU16::new(1),
        response_topic: Some(topic("r")),
        correlation_data: Some(Bytes::from_static(b"c")),
        user_properties: user(),
        subscription_identifiers: if from_server {
            vec![
                NonZeroU32::MIN,
                NonZeroU32::new(268_435_455).expect("not zero"),
            ]
        } else {
            Vec::new()
        },
        content_type: Some(text("t")),
    };
    Packet::Publish(publish)
}

fn acknowledgements(version: ProtocolVersion) -> Vec<Packet> {
    let mut packets = vec![
        Packet::PubAck(PubAck::new(id(7), ReasonCode::Success)),
        Packet::PubRec(PubRec::new(id(7), ReasonCode::Success)),
        Packet::PubRel(PubRel::new(id(7), ReasonCode::Success)),
        Packet::PubComp(PubComp::new(id(7), ReasonCode::Success)),
    ];
    if version == V5 {
        for packet in &mut packets {
            match packet {
                Packet::PubAck(ack) => ack.properties = reason(),
                Packet::PubRec(ack) => ack.reason_code = ReasonCode::QuotaExceeded,
                Packet::PubRel(ack) => ack.reason_code = ReasonCode::PacketIdentifierNotFound,
                Packet::PubComp(ack) => ack.properties = reason(),
                _ => {}
            }
        }
    }
    packets
}

fn auth() -> Packet {
    Packet::Auth(Auth {
        reason_code: ReasonCode::ContinueAuthentication,
        properties: AuthProperties {
            authentication_method: Some(text("m")),
            authentication_data: Some(Bytes::from_static(b"d")),
            reason_string: Some(text("why")),
            user_properties: user(),
        },
    })
}

fn from_client(version: ProtocolVersion) -> Vec<Packet> {
    let mut packets = acknowledgements(version);
    let mut subscribe = Subscribe {
        packet_id: id(2),
        subscriptions: vec![
            Subscription::new(filter("a/+/#"), QoS::ExactlyOnce),
            Subscription::new(filter("$share/g/a"), QoS::AtMostOnce),
        ],
        subscription_identifier: None,
        user_properties: Vec::new(),
    };
    if version == V5 {
        subscribe.subscription_identifier = NonZeroU32::new(300);
        subscribe.subscriptions[0].no_local = true;
        packets.push(rich_publish(false));
        packets.push(auth());
    } else {
        packets.push(publish(QoS::AtLeastOnce));
    }
    packets.push(Packet::Subscribe(subscribe));
    packets.push(Packet::Unsubscribe(Unsubscribe {
        packet_id: id(3),
        topic_filters: vec![filter("a"), filter("+")],
        user_properties: user(),
    }));
    packets.push(Packet::PingReq);
    packets.push(Packet::Disconnect(Disconnect::new(if version == V5 {
        ReasonCode::DisconnectWithWill
    } else {
        ReasonCode::Success
    })));
    packets
}

fn from_server(version: ProtocolVersion) -> Vec<Packet> {
    let mut packets = acknowledgements(version);
    let mut connack = ConnAck::new(true, ReasonCode::Success);
    if version == V5 {
        connack.properties = ConnAckProperties {
            session_expiry_interval: Some(9),
            receive_maximum: Some(3),
            maximum_qos: Some(QoS::AtLeastOnce),
            retain_available: Some(false),
            maximum_packet_size: Some(500),
            assigned_client_identifier: Some(text("i")),
            topic_alias_maximum: Some(2),
            reason_string: Some(text("why")),
            user_properties: user(),
            wildcard_subscription_available: Some(false),
            subscription_identifiers_available: Some(true),
            shared_subscription_available: Some(false),
            server_keep_alive: Some(5),
            response_information: Some(text("r")),
            server_reference: Some(text("s")),
            authentication_method: Some(text("m")),
            authentication_data: Some(Bytes::from_static(b"d")),
        };
        packets.push(rich_publish(true));
        packets.push(auth());
        packets.push(Packet::Disconnect(Disconnect {
            reason_code: ReasonCode::UseAnotherServer,
            properties: DisconnectProperties {
                reason_string: Some(text("why")),
                server_reference: Some(text("s")),
                user_properties: user(),
                ..DisconnectProperties::default()
            },
        }));
    } else {
        packets.push(publish(QoS::AtLeastOnce));
    }
    packets.push(Packet::ConnAck(connack));
    packets.push(Packet::SubAck(SubAck {
        packet_id: id(2),
        reason_codes: vec![ReasonCode::GrantedQoS2, ReasonCode::UnspecifiedError],
        properties: reason(),
    }));
    packets.push(Packet::UnsubAck(UnsubAck {
        packet_id: id(3),
        reason_codes: vec![ReasonCode::Success],
        properties: reason(),
    }));
    packets.push(Packet::PingResp);
    packets
}

fn reason() -> ReasonProperties {
    ReasonProperties {
        reason_string: Some(text("why")),
        user_properties: user(),
    }
}
