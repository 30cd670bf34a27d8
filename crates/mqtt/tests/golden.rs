//! Compares the codec in both directions with bytes that the standard itself writes out (its
//! figures and non-normative examples), and with bytes that follow from its tables.
#![allow(clippy::unwrap_used)] // what a test relies on may panic

use bytes::{Bytes, BytesMut};
use mqtt::packet::{ConnAckProperties, ConnectProperties, PublishProperties, ReasonProperties};
use mqtt::{
    Auth, ConnAck, Connect, Decoder, Disconnect, Packet, PacketId, ProtocolVersion, PubAck,
    PubComp, PubRec, PubRel, Publish, QoS, ReasonCode, RetainHandling, SubAck, Subscribe,
    Subscription, TopicFilter, TopicName, UnsubAck, Unsubscribe, Utf8String, Will, encode,
};

use ProtocolVersion::{V3_1_1, V5};

const CONNECT_V3_1_1: &[u8] = b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x3C\x00\x00";
const CONNECT_V5: &[u8] = b"\x10\x0D\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00";

/// `packet` encodes as `wire`, and `wire` from a client decodes as `packet`.
#[track_caller]
fn from_client(version: ProtocolVersion, wire: &[u8], packet: &Packet) {
    let mut decoder = Decoder::server();
    let mut connect = Bytes::from_static(match version {
        V3_1_1 => CONNECT_V3_1_1,
        V5 => CONNECT_V5,
    });
    assert!(decoder.decode(&mut connect).unwrap().is_some());
    check(decoder, version, wire, packet);
}

/// The same for what a server sends.
#[track_caller]
fn from_server(version: ProtocolVersion, wire: &[u8], packet: &Packet) {
    check(Decoder::client(version), version, wire, packet);
}

#[track_caller]
fn check(mut decoder: Decoder, version: ProtocolVersion, wire: &[u8], packet: &Packet) {
    let mut out = BytesMut::new();
    encode(packet, version, &mut out).unwrap();
    assert_eq!(Bytes::from(out), Bytes::copy_from_slice(wire), "encoded");
    let mut input = Bytes::copy_from_slice(wire);
    assert_eq!(
        decoder.decode(&mut input).as_ref(),
        Ok(&Some(packet.clone()))
    );
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

fn text(text: &'static str) -> Utf8String {
    Utf8String::from_static(text)
}

fn topic(text: &str) -> TopicName {
    TopicName::try_from(text).unwrap()
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::try_from(text).unwrap()
}

/// The variable header of section 3.1.2.12: user name, password, will at `QoS` 1, clean start, keep
/// alive 10 s, session expiry 10 s.
#[test]
fn section_3_1_2_connect_of_version_5() {
    let mut connect = Connect::new(V5, "c");
    connect.keep_alive = 10;
    connect.user_name = Some(text("u"));
    connect.password = Some(Bytes::from_static(b"\xFF\x00"));
    connect.will = Some(Will {
        topic: topic("w"),
        payload: Bytes::from_static(b"gone"),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: mqtt::packet::WillProperties::default(),
    });
    connect.properties = ConnectProperties {
        session_expiry_interval: Some(10),
        ..ConnectProperties::default()
    };
    let wire = b"\x10\x24\x00\x04MQTT\x05\xCE\x00\x0A\x05\x11\x00\x00\x00\x0A\
        \x00\x01c\x00\x00\x01w\x00\x04gone\x00\x01u\x00\x02\xFF\x00";
    check(Decoder::server(), V5, wire, &Packet::Connect(connect));
}

/// Figure 3.6 of version 3.1.1: the same without properties.
#[test]
fn section_3_1_2_connect_of_version_3_1_1() {
    let mut connect = Connect::new(V3_1_1, "c");
    connect.keep_alive = 10;
    connect.user_name = Some(text("u"));
    connect.password = Some(Bytes::from_static(b"p"));
    connect.will = Some(Will {
        topic: topic("w"),
        payload: Bytes::from_static(b"gone"),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: mqtt::packet::WillProperties::default(),
    });
    let wire = b"\x10\x1C\x00\x04MQTT\x04\xCE\x00\x0A\
        \x00\x01c\x00\x01w\x00\x04gone\x00\x01u\x00\x01p";
    check(Decoder::server(), V3_1_1, wire, &Packet::Connect(connect));
}

/// Figure 1.1: "A" and U+2A6D4.
#[test]
fn section_1_5_4_utf8_encoded_string() {
    let connect = Connect::new(V3_1_1, "A\u{2A6D4}");
    let wire = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3C\x00\x05\x41\xF0\xAA\x9B\x94";
    check(Decoder::server(), V3_1_1, wire, &Packet::Connect(connect));
}

#[test]
fn section_3_2_connack() {
    let accepted = Packet::ConnAck(ConnAck::new(true, ReasonCode::Success));
    from_server(V3_1_1, b"\x20\x02\x01\x00", &accepted);
    from_server(V5, b"\x20\x03\x01\x00\x00", &accepted);
    let with_properties = Packet::ConnAck(ConnAck {
        properties: ConnAckProperties {
            receive_maximum: Some(20),
            maximum_qos: Some(QoS::AtLeastOnce),
            assigned_client_identifier: Some(text("x")),
            ..ConnAckProperties::default()
        },
        ..ConnAck::new(false, ReasonCode::Success)
    });
    let wire = b"\x20\x0C\x00\x00\x09\x21\x00\x14\x24\x01\x12\x00\x01x";
    from_server(V5, wire, &with_properties);
}

/// Table 3.1 of version 3.1.1.
#[test]
fn section_3_2_2_3_return_codes_of_version_3_1_1() {
    for (return_code, reason_code) in [
        (0, ReasonCode::Success),
        (1, ReasonCode::UnsupportedProtocolVersion),
        (2, ReasonCode::ClientIdentifierNotValid),
        (3, ReasonCode::ServerUnavailable),
        (4, ReasonCode::BadUserNameOrPassword),
        (5, ReasonCode::NotAuthorized),
    ] {
        let connack = Packet::ConnAck(ConnAck::new(false, reason_code));
        from_server(V3_1_1, &[0x20, 0x02, 0x00, return_code], &connack);
    }
}

/// The encoder writes the nearest return code if 3.1.1 has none of that meaning.
#[test]
fn connack_of_version_3_1_1_says_the_nearest_return_code() {
    for (reason_code, return_code) in [
        (ReasonCode::Banned, 5),
        (ReasonCode::BadAuthenticationMethod, 4),
        (ReasonCode::ServerBusy, 3),
        (ReasonCode::QuotaExceeded, 3),
    ] {
        let mut out = BytesMut::new();
        let connack = Packet::ConnAck(ConnAck::new(false, reason_code));
        encode(&connack, V3_1_1, &mut out).unwrap();
        assert_eq!(out[3], return_code, "{reason_code}");
    }
}

/// A server that knows only 3.1.1 refuses a CONNECT of version 5 in its own format.
#[test]
fn a_client_of_version_5_understands_the_refusal_of_a_server_of_3_1_1() {
    let mut decoder = Decoder::client(V5);
    let mut input = Bytes::from_static(b"\x20\x02\x00\x01");
    let refusal = ConnAck::new(false, ReasonCode::UnsupportedProtocolVersion);
    let refusal = Packet::ConnAck(refusal);
    assert_eq!(decoder.decode(&mut input), Ok(Some(refusal)));
}

/// The example of section 3.3.2: topic name a/b, packet identifier 10, no properties.
#[test]
fn section_3_3_2_publish() {
    let mut publish = Publish::new(topic("a/b"), "");
    publish.qos = QoS::AtLeastOnce;
    publish.packet_id = Some(id(10));
    let packet = Packet::Publish(publish.clone());
    from_client(V5, b"\x32\x08\x00\x03a/b\x00\x0A\x00", &packet);
    from_client(V3_1_1, b"\x32\x07\x00\x03a/b\x00\x0A", &packet);

    publish.qos = QoS::ExactlyOnce;
    publish.dup = true;
    publish.retain = true;
    publish.payload = Bytes::from_static(b"on");
    let packet = Packet::Publish(publish);
    from_server(V3_1_1, b"\x3D\x09\x00\x03a/b\x00\x0Aon", &packet);

    let bare = Packet::Publish(Publish::new(topic("a/b"), "21.5"));
    from_server(V3_1_1, b"\x30\x09\x00\x03a/b21.5", &bare);
    from_server(V5, b"\x30\x0A\x00\x03a/b\x0021.5", &bare);
}

#[test]
fn section_3_3_2_3_publish_with_every_property() {
    let mut publish = Publish::new(topic("t"), "p");
    publish.topic = None;
    publish.properties = PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(300),
        topic_alias: Some(id(5)),
        response_topic: Some(topic("r")),
        correlation_data: Some(Bytes::from_static(b"\x01")),
        user_properties: vec![(text("a"), text("b")), (text("a"), text("c"))],
        subscription_identifiers: vec![1.try_into().unwrap(), 268_435_455.try_into().unwrap()],
        content_type: Some(text("j")),
    };
    let wire = b"\x30\x2F\x00\x00\x2B\x02\x00\x00\x01\x2C\x01\x01\x23\x00\x05\
        \x08\x00\x01r\x09\x00\x01\x01\x26\x00\x01a\x00\x01b\x26\x00\x01a\x00\x01c\
        \x0B\x01\x0B\xFF\xFF\xFF\x7F\x03\x00\x01jp";
    from_server(V5, wire, &Packet::Publish(publish));
}

#[test]
fn sections_3_4_to_3_7_acknowledgements() {
    let ok = ReasonCode::Success;
    for version in [V3_1_1, V5] {
        from_client(
            version,
            b"\x40\x02\x00\x0A",
            &Packet::PubAck(PubAck::new(id(10), ok)),
        );
        from_client(
            version,
            b"\x50\x02\x00\x0A",
            &Packet::PubRec(PubRec::new(id(10), ok)),
        );
        from_client(
            version,
            b"\x62\x02\x00\x0A",
            &Packet::PubRel(PubRel::new(id(10), ok)),
        );
        from_client(
            version,
            b"\x70\x02\x00\x0A",
            &Packet::PubComp(PubComp::new(id(10), ok)),
        );
    }
    let nobody = PubAck::new(id(10), ReasonCode::NoMatchingSubscribers);
    from_server(V5, b"\x40\x03\x00\x0A\x10", &Packet::PubAck(nobody));
    let mut unknown = PubRel::new(id(10), ReasonCode::PacketIdentifierNotFound);
    unknown.properties.reason_string = Some(text("?"));
    from_server(
        V5,
        b"\x62\x08\x00\x0A\x92\x04\x1F\x00\x01?",
        &Packet::PubRel(unknown),
    );
}

/// A success code and an empty property list may be present, although they could be left out.
#[test]
fn mqtt_3_4_2_an_acknowledgement_may_spell_out_success() {
    let expected = Packet::PubAck(PubAck::new(id(10), ReasonCode::Success));
    for wire in [
        &b"\x40\x02\x00\x0A"[..],
        b"\x40\x03\x00\x0A\x00",
        b"\x40\x04\x00\x0A\x00\x00",
    ] {
        let mut input = Bytes::copy_from_slice(wire);
        let decoded = Decoder::client(V5).decode(&mut input);
        assert_eq!(decoded, Ok(Some(expected.clone())));
    }
}

/// The examples of section 3.8: packet identifier 10, a/b at `QoS` 1, c/d at `QoS` 2.
#[test]
fn section_3_8_subscribe() {
    let mut subscribe = Subscribe {
        packet_id: id(10),
        subscriptions: vec![
            Subscription::new(filter("a/b"), QoS::AtLeastOnce),
            Subscription::new(filter("c/d"), QoS::ExactlyOnce),
        ],
        subscription_identifier: None,
        user_properties: vec![],
    };
    let packet = Packet::Subscribe(subscribe.clone());
    from_client(
        V3_1_1,
        b"\x82\x0E\x00\x0A\x00\x03a/b\x01\x00\x03c/d\x02",
        &packet,
    );
    from_client(
        V5,
        b"\x82\x0F\x00\x0A\x00\x00\x03a/b\x01\x00\x03c/d\x02",
        &packet,
    );

    subscribe.subscription_identifier = Some(200.try_into().unwrap());
    subscribe.subscriptions.truncate(1);
    subscribe.subscriptions[0].no_local = true;
    subscribe.subscriptions[0].retain_as_published = true;
    subscribe.subscriptions[0].retain_handling = RetainHandling::DoNotSend;
    let packet = Packet::Subscribe(subscribe);
    from_client(
        V5,
        b"\x82\x0C\x00\x0A\x03\x0B\xC8\x01\x00\x03a/b\x2D",
        &packet,
    );
}

/// Figure 3.27 of version 3.1.1.
#[test]
fn section_3_9_suback() {
    let suback = Packet::SubAck(SubAck {
        packet_id: id(10),
        reason_codes: vec![
            ReasonCode::Success,
            ReasonCode::GrantedQoS2,
            ReasonCode::UnspecifiedError,
        ],
        properties: ReasonProperties::default(),
    });
    from_server(V3_1_1, b"\x90\x05\x00\x0A\x00\x02\x80", &suback);
    from_server(V5, b"\x90\x06\x00\x0A\x00\x00\x02\x80", &suback);
}

/// Version 3.1.1 has a single failure code.
#[test]
fn suback_of_version_3_1_1_says_0x80_for_every_failure() {
    let suback = Packet::SubAck(SubAck {
        packet_id: id(10),
        reason_codes: vec![ReasonCode::NotAuthorized],
        properties: ReasonProperties::default(),
    });
    let mut out = BytesMut::new();
    encode(&suback, V3_1_1, &mut out).unwrap();
    assert_eq!(&out[..], b"\x90\x03\x00\x0A\x80");
}

/// The examples of section 3.10.
#[test]
fn section_3_10_unsubscribe() {
    let packet = Packet::Unsubscribe(Unsubscribe {
        packet_id: id(10),
        topic_filters: vec![filter("a/b"), filter("c/d")],
        user_properties: vec![],
    });
    from_client(V3_1_1, b"\xA2\x0C\x00\x0A\x00\x03a/b\x00\x03c/d", &packet);
    from_client(V5, b"\xA2\x0D\x00\x0A\x00\x00\x03a/b\x00\x03c/d", &packet);
}

#[test]
fn section_3_11_unsuback() {
    let mut unsuback = UnsubAck {
        packet_id: id(10),
        reason_codes: vec![],
        properties: ReasonProperties::default(),
    };
    from_server(
        V3_1_1,
        b"\xB0\x02\x00\x0A",
        &Packet::UnsubAck(unsuback.clone()),
    );
    unsuback.reason_codes = vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted];
    from_server(
        V5,
        b"\xB0\x05\x00\x0A\x00\x00\x11",
        &Packet::UnsubAck(unsuback),
    );
}

#[test]
fn sections_3_12_to_3_15_ping_disconnect_auth() {
    for version in [V3_1_1, V5] {
        from_client(version, b"\xC0\x00", &Packet::PingReq);
        from_server(version, b"\xD0\x00", &Packet::PingResp);
        let bye = Packet::Disconnect(Disconnect::new(ReasonCode::Success));
        from_client(version, b"\xE0\x00", &bye);
    }
    let with_will = Packet::Disconnect(Disconnect::new(ReasonCode::DisconnectWithWill));
    from_client(V5, b"\xE0\x01\x04", &with_will);
    let mut moved = Disconnect::new(ReasonCode::ServerMoved);
    moved.properties.server_reference = Some(text("b"));
    from_server(
        V5,
        b"\xE0\x06\x9D\x04\x1C\x00\x01b",
        &Packet::Disconnect(moved),
    );

    let mut auth = Auth {
        reason_code: ReasonCode::Success,
        properties: mqtt::packet::AuthProperties::default(),
    };
    from_server(V5, b"\xF0\x00", &Packet::Auth(auth.clone()));
    auth.reason_code = ReasonCode::ContinueAuthentication;
    auth.properties.authentication_method = Some(text("m"));
    auth.properties.authentication_data = Some(Bytes::from_static(b"\x2A"));
    from_client(
        V5,
        b"\xF0\x0A\x18\x08\x15\x00\x01m\x16\x00\x01\x2A",
        &Packet::Auth(auth),
    );
}

/// Version 3.1.1 does not demand the shortest remaining length; 5 does `[MQTT-1.5.5-1]`.
#[test]
fn mqtt_1_5_5_1_is_a_rule_of_version_5_alone() {
    let mut decoder = Decoder::client(V3_1_1);
    let mut input = Bytes::from_static(b"\xD0\x80\x00");
    assert_eq!(decoder.decode(&mut input), Ok(Some(Packet::PingResp)));
    let mut input = Bytes::from_static(b"\xD0\x80\x00");
    assert!(Decoder::client(V5).decode(&mut input).is_err());

    let mut padded = Bytes::from_static(b"\x10\x8C\x00\x00\x04MQTT\x04\x02\x00\x3C\x00\x00");
    assert!(Decoder::server().decode(&mut padded).unwrap().is_some());
    let mut padded = Bytes::from_static(b"\x10\x8D\x00\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00");
    assert_eq!(Decoder::server().decode(&mut padded).unwrap_err().offset, 1);
}
