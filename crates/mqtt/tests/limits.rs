//! Maximum Packet Size, one message for many receivers, and packets that cannot be encoded.
#![allow(clippy::unwrap_used)] // what a test relies on may panic

mod strategies;

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use mqtt::packet::{AuthProperties, ConnectProperties, ReasonProperties};
use mqtt::{
    Auth, ConnAck, Connect, Decoder, Disconnect, EncodeError, Packet, PacketId, ProtocolVersion,
    PubAck, PubComp, PubRec, PubRel, Publish, PublishForm, PublishTemplate, QoS, ReasonCode,
    SubAck, Subscribe, Subscription, TemplatePatch, TopicFilter, TopicForm, TopicName, UnsubAck,
    Unsubscribe, Utf8String, Will, encode, encode_within, encoded_len,
};
use proptest::prelude::*;

use ProtocolVersion::{V3_1_1, V5};

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

fn encoded(packet: &Packet, version: ProtocolVersion) -> BytesMut {
    let mut out = BytesMut::new();
    encode(packet, version, &mut out).unwrap();
    out
}

fn decoded(wire: &[u8], version: ProtocolVersion) -> Packet {
    let mut input = Bytes::copy_from_slice(wire);
    let mut decoder = Decoder::client(version);
    decoder.decode(&mut input).unwrap().unwrap()
}

/// One packet of each kind that carries `properties`.
fn diagnosed(properties: &ReasonProperties) -> [Packet; 9] {
    let ReasonProperties {
        reason_string,
        user_properties,
    } = properties.clone();
    let mut connack = ConnAck::new(false, ReasonCode::Banned);
    connack.properties.reason_string.clone_from(&reason_string);
    connack
        .properties
        .user_properties
        .clone_from(&user_properties);
    let mut puback = PubAck::new(id(1), ReasonCode::NotAuthorized);
    puback.properties = properties.clone();
    let mut pubrec = PubRec::new(id(1), ReasonCode::Success);
    pubrec.properties = properties.clone();
    let mut pubrel = PubRel::new(id(1), ReasonCode::PacketIdentifierNotFound);
    pubrel.properties = properties.clone();
    let mut pubcomp = PubComp::new(id(1), ReasonCode::Success);
    pubcomp.properties = properties.clone();
    let mut disconnect = Disconnect::new(ReasonCode::Success);
    disconnect
        .properties
        .reason_string
        .clone_from(&reason_string);
    disconnect
        .properties
        .user_properties
        .clone_from(&user_properties);
    let auth = Auth {
        reason_code: ReasonCode::ContinueAuthentication,
        properties: AuthProperties {
            authentication_method: Some(Utf8String::from_static("m")),
            authentication_data: None,
            reason_string,
            user_properties,
        },
    };
    [
        Packet::ConnAck(connack),
        Packet::PubAck(puback),
        Packet::PubRec(pubrec),
        Packet::PubRel(pubrel),
        Packet::PubComp(pubcomp),
        Packet::SubAck(SubAck {
            packet_id: id(1),
            reason_codes: vec![ReasonCode::GrantedQoS1],
            properties: properties.clone(),
        }),
        Packet::UnsubAck(UnsubAck {
            packet_id: id(1),
            reason_codes: vec![ReasonCode::Success],
            properties: properties.clone(),
        }),
        Packet::Disconnect(disconnect),
        Packet::Auth(auth),
    ]
}

/// `[MQTT-3.2.2-19]` `[MQTT-3.2.2-20]` and the same rules of the other packets: `[MQTT-3.4.2-2]`
/// `[MQTT-3.4.2-3]` `[MQTT-3.5.2-2]` `[MQTT-3.5.2-3]` `[MQTT-3.6.2-2]` `[MQTT-3.6.2-3]`
/// `[MQTT-3.7.2-2]` `[MQTT-3.7.2-3]` `[MQTT-3.9.2-1]` `[MQTT-3.9.2-2]` `[MQTT-3.11.2-1]`
/// `[MQTT-3.11.2-2]` `[MQTT-3.14.2-3]` `[MQTT-3.14.2-4]` `[MQTT-3.15.2-2]` `[MQTT-3.15.2-3]`
#[test]
fn mqtt_3_2_2_19_diagnostics_are_left_out_of_packets_that_would_be_too_large() {
    let none = ReasonProperties::default();
    let reason = ReasonProperties {
        reason_string: Some(Utf8String::from_static("because of this")),
        user_properties: vec![],
    };
    let full = ReasonProperties {
        user_properties: vec![(Utf8String::from_static("a"), Utf8String::from_static("b"))],
        ..reason.clone()
    };
    let variants = diagnosed(&full)
        .into_iter()
        .zip(diagnosed(&reason))
        .zip(diagnosed(&none));
    for ((full, reason), none) in variants {
        let [full_len, reason_len, none_len] =
            [&full, &reason, &none].map(|packet| encoded_len(packet, V5).unwrap());
        assert!(none_len < reason_len && reason_len < full_len);
        for limit in none_len..=full_len + 1 {
            let expected = match limit {
                limit if limit >= full_len => &full,
                limit if limit >= reason_len => &reason,
                _ => &none,
            };
            let mut out = BytesMut::new();
            encode_within(&full, V5, u32::try_from(limit).unwrap(), &mut out).unwrap();
            assert_eq!(out, encoded(expected, V5), "within {limit}");
        }
        let mut out = BytesMut::from("before");
        let limit = none_len - 1;
        let result = encode_within(&full, V5, u32::try_from(limit).unwrap(), &mut out);
        let size = none_len;
        assert_eq!(result, Err(EncodeError::AboveLimit { size, limit }));
        assert_eq!(out, "before");
    }
}

/// `[MQTT-3.3.2-17]`: they belong to the message.
#[test]
fn mqtt_3_3_2_17_user_properties_of_a_message_are_never_left_out() {
    let mut publish = Publish::new(TopicName::try_from("t").unwrap(), "p");
    let property = (Utf8String::from_static("a"), Utf8String::from_static("b"));
    publish.properties.user_properties.push(property);
    let packet = Packet::Publish(publish);
    let size = encoded_len(&packet, V5).unwrap();
    let limit = size - 1;
    let result = encode_within(
        &packet,
        V5,
        u32::try_from(limit).unwrap(),
        &mut BytesMut::new(),
    );
    assert_eq!(result, Err(EncodeError::AboveLimit { size, limit }));
}

#[test]
fn remaining_lengths_of_one_to_four_bytes_come_back() {
    let limits = [126, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152];
    for version in [V3_1_1, V5] {
        for payload in limits {
            let packet = Packet::Publish(Publish::new(
                TopicName::try_from("t").unwrap(),
                vec![7; payload],
            ));
            let wire = encoded(&packet, version);
            assert_eq!(decoded(&wire, version), packet);
        }
    }
}

proptest! {
    /// A template writes exactly what the encoder writes for that receiver's own packet.
    #[test]
    fn a_template_is_the_encoder(
        (version, publish) in strategies::version()
            .prop_flat_map(|version| (Just(version), strategies::publish(version, true))),
        expiry in any::<u32>(),
        packet_id in strategies::packet_id(),
        alias in strategies::packet_id(),
        dup in any::<bool>(),
    ) {
        let template =
            PublishTemplate::new(&publish, version, &PublishForm::of(&publish)).unwrap();
        prop_assert_eq!(template.needs_packet_id(), publish.packet_id.is_some());

        // For the original receiver.
        let same = TemplatePatch {
            packet_id: publish.packet_id,
            dup: publish.dup,
            ..TemplatePatch::default()
        };
        let mut out = BytesMut::from("before");
        template.write(&same, &mut out);
        let wire = encoded(&Packet::Publish(publish.clone()), version);
        prop_assert_eq!(&out[6..], &wire[..]);
        prop_assert_eq!(template.encoded_len(), wire.len());

        // Without the wrapping packet.
        let mut bare = BytesMut::new();
        let form = PublishForm::of(&publish);
        mqtt::encode_publish(&publish, version, &form, publish.packet_id, &mut bare).unwrap();
        let mut first = publish.clone();
        first.dup = false;
        prop_assert_eq!(&bare, &encoded(&Packet::Publish(first), version));

        // Head and payload separately.
        let mut head = BytesMut::new();
        template.write_head(&same, &mut head);
        head.extend_from_slice(template.payload());
        prop_assert_eq!(&head, &wire);

        // For another receiver, later.
        let mut other = publish;
        other.packet_id = other.packet_id.map(|_| packet_id);
        other.dup = dup && other.qos != QoS::AtMostOnce;
        if let Some(left) = &mut other.properties.message_expiry_interval {
            *left = expiry;
        }
        if let Some(stands_for) = &mut other.properties.topic_alias {
            *stands_for = alias;
        }
        let mut out = BytesMut::new();
        let patch = TemplatePatch {
            packet_id: Some(packet_id),
            dup,
            message_expiry_interval: Some(expiry),
            topic_alias: Some(alias),
        };
        template.write(&patch, &mut out);
        prop_assert_eq!(out, encoded(&Packet::Publish(other), version));
    }
}

#[test]
fn a_template_takes_its_form_and_not_the_publishers() {
    let mut publish = Publish::new(TopicName::try_from("a/b").unwrap(), "on");
    publish.qos = QoS::ExactlyOnce;
    publish.packet_id = Some(id(99));
    publish.dup = true;
    publish.retain = true;
    let identifiers = [7.try_into().unwrap(), 8.try_into().unwrap()];
    let form = PublishForm {
        qos: QoS::AtMostOnce,
        retain: false,
        topic: TopicForm::NameAndAlias(id(3)),
        subscription_identifiers: &identifiers,
    };
    let template = PublishTemplate::new(&publish, V5, &form).unwrap();
    let mut out = BytesMut::new();
    template.write(&TemplatePatch::default(), &mut out);
    assert_eq!(
        &out[..],
        b"\x30\x0F\x00\x03a/b\x07\x23\x00\x03\x0B\x07\x0B\x08on"
    );

    let by_alias = PublishForm {
        topic: TopicForm::Alias(id(3)),
        ..form
    };
    let template = PublishTemplate::new(&publish, V5, &by_alias).unwrap();
    let mut out = BytesMut::new();
    template.write(&TemplatePatch::default(), &mut out);
    assert_eq!(
        &out[..],
        b"\x30\x0C\x00\x00\x07\x23\x00\x03\x0B\x07\x0B\x08on"
    );

    // Version 3.1.1 has neither aliases nor identifiers.
    let template = PublishTemplate::new(&publish, V3_1_1, &by_alias).unwrap();
    let mut out = BytesMut::new();
    template.write(&TemplatePatch::default(), &mut out);
    assert_eq!(&out[..], b"\x30\x07\x00\x03a/bon");
}

/// The encoder refuses whatever the other side's decoder would refuse, and appends nothing.
#[test]
fn forbidden_packets_are_not_written() {
    let topic = || TopicName::try_from("t").unwrap();
    let filter = |text: &str| TopicFilter::try_from(text).unwrap();
    let publish = |change: &dyn Fn(&mut Publish)| {
        let mut publish = Publish::new(topic(), "p");
        change(&mut publish);
        Packet::Publish(publish)
    };
    let connect = |change: &dyn Fn(&mut Connect)| {
        let mut connect = Connect::new(V5, "c");
        change(&mut connect);
        Packet::Connect(connect)
    };
    let too_long = Bytes::from(vec![0; 65_536]);
    let mut no_local = Subscription::new(filter("$share/g/t"), QoS::AtMostOnce);
    no_local.no_local = true;
    let subscribe = |subscriptions| {
        Packet::Subscribe(Subscribe {
            packet_id: id(1),
            subscriptions,
            subscription_identifier: None,
            user_properties: vec![],
        })
    };
    let bare_auth = Auth {
        reason_code: ReasonCode::ReAuthenticate,
        properties: AuthProperties::default(),
    };
    let mut packets = vec![
        (
            "2.2.1-2",
            publish(&|publish| publish.packet_id = Some(id(1))),
        ),
        (
            "2.2.1-3",
            publish(&|publish| publish.qos = QoS::AtLeastOnce),
        ),
        ("3.3.1-2", publish(&|publish| publish.dup = true)),
        ("3.3.2.1", publish(&|publish| publish.topic = None)),
        (
            "1.5.6",
            publish(&|publish| publish.properties.correlation_data = Some(too_long.clone())),
        ),
        (
            "3.3.2.3.8",
            publish(&|publish| {
                publish.properties.subscription_identifiers = vec![268_435_456.try_into().unwrap()];
            }),
        ),
        ("3.1.2-2", connect(&|connect| connect.version = V3_1_1)),
        (
            "1.5.6",
            connect(&|connect| connect.password = Some(too_long.clone())),
        ),
        (
            "1.5.6",
            connect(&|connect| {
                connect.will = Some(Will {
                    topic: topic(),
                    payload: too_long.clone(),
                    qos: QoS::AtMostOnce,
                    retain: false,
                    properties: mqtt::packet::WillProperties::default(),
                });
            }),
        ),
        (
            "3.1.2.11.3",
            connect(&|connect| connect.properties.receive_maximum = Some(0)),
        ),
        (
            "3.1.2.11.4",
            connect(&|connect| connect.properties.maximum_packet_size = Some(0)),
        ),
        (
            "3.1.2.11.10",
            connect(&|connect| {
                connect.properties = ConnectProperties {
                    authentication_data: Some(Bytes::new()),
                    ..ConnectProperties::default()
                };
            }),
        ),
        ("3.8.3-2", subscribe(vec![])),
        ("3.8.3-4", subscribe(vec![no_local])),
        (
            "3.10.3-2",
            Packet::Unsubscribe(Unsubscribe {
                packet_id: id(1),
                topic_filters: vec![],
                user_properties: vec![],
            }),
        ),
        (
            "3.2.2-6",
            Packet::ConnAck(ConnAck::new(true, ReasonCode::Banned)),
        ),
        (
            "3.2.2-8",
            Packet::ConnAck(ConnAck::new(false, ReasonCode::GrantedQoS1)),
        ),
        (
            "3.6.2-1",
            Packet::PubRel(PubRel::new(id(1), ReasonCode::QuotaExceeded)),
        ),
        (
            "3.14.2-1",
            Packet::Disconnect(Disconnect::new(ReasonCode::Banned)),
        ),
        ("3.15.2.2.2", Packet::Auth(bare_auth)),
    ];
    let mut connack = ConnAck::new(false, ReasonCode::Success);
    connack.properties.maximum_qos = Some(QoS::ExactlyOnce);
    packets.push(("3.2.2.3.4", Packet::ConnAck(connack)));
    for (rule, packet) in packets {
        let mut out = BytesMut::from("before");
        assert!(encode(&packet, V5, &mut out).is_err(), "{rule}");
        assert!(encoded_len(&packet, V5).is_err(), "{rule}");
        assert!(
            encode_within(&packet, V5, 9_999_999, &mut out).is_err(),
            "{rule}"
        );
        assert_eq!(out, "before", "{rule}");
    }
}

#[test]
fn version_3_1_1_cannot_say_everything() {
    let mut out = BytesMut::new();
    let auth = Packet::Auth(Auth {
        reason_code: ReasonCode::Success,
        properties: AuthProperties::default(),
    });
    assert!(encode(&auth, V3_1_1, &mut out).is_err());

    // [MQTT-3.1.2-22 of 3.1.1]
    let mut connect = Connect::new(V3_1_1, "c");
    connect.password = Some(Bytes::from_static(b"p"));
    assert!(encode(&Packet::Connect(connect), V3_1_1, &mut out).is_err());

    let mut by_alias = Publish::new(TopicName::try_from("t").unwrap(), "p");
    by_alias.topic = None;
    by_alias.properties.topic_alias = Some(id(1));
    assert!(encode(&Packet::Publish(by_alias), V3_1_1, &mut out).is_err());
    assert!(out.is_empty());
}

/// Counts the table of section 2.4: each packet allows as many codes as it lists.
#[test]
fn section_2_4_every_reason_code_stands_somewhere() {
    use mqtt::PacketType;
    let known: Vec<_> = (0..=u8::MAX).filter_map(ReasonCode::from_u8).collect();
    assert_eq!(known.len(), 43);
    let mut used: BTreeSet<ReasonCode> = BTreeSet::new();
    for (packet_type, count) in [
        (PacketType::ConnAck, 22),
        (PacketType::PubAck, 9),
        (PacketType::PubRec, 9),
        (PacketType::PubRel, 2),
        (PacketType::PubComp, 2),
        (PacketType::SubAck, 12),
        (PacketType::UnsubAck, 7),
        (PacketType::Disconnect, 30),
        (PacketType::Auth, 3),
        (PacketType::Publish, 0),
    ] {
        let codes: Vec<ReasonCode> = known
            .iter()
            .copied()
            .filter(|code| code.belongs_in(packet_type))
            .collect();
        assert_eq!(codes.len(), count, "{packet_type}");
        used.extend(codes);
    }
    assert_eq!(used.len(), known.len());
}
