//! Refusals, and what the client and the log are told.

use core::time::Duration;
use std::num::NonZeroU16;

use mqtt::packet::{Unsubscribe, UserProperty, WillProperties};
use mqtt::{
    Connect, Disconnect, Packet, PubAck, PubRec, PubRel, QoS, ReasonCode, TopicName, Utf8String,
    Will,
};

use super::{V3, V5, World, lasting, message, packet_id, subscribe, text, to, topic};
use crate::{CloseCause, Conn, Limit};

fn utf8(text: &str) -> Utf8String {
    Utf8String::try_from(text).unwrap()
}

fn will(name: &str, payload: impl Into<bytes::Bytes>) -> Will {
    Will {
        topic: topic(name),
        payload: payload.into(),
        qos: QoS::AtMostOnce,
        retain: false,
        properties: WillProperties::default(),
    }
}

/// A message that claims that its payload is UTF-8.
fn texted(payload: &[u8], qos: QoS) -> Packet {
    let mut publish = message("t", "", qos, 7);
    publish.payload = payload.to_vec().into();
    publish.properties.payload_format_indicator = Some(true);
    Packet::Publish(publish)
}

fn acknowledged(world: &mut World, conn: Conn) -> (ReasonCode, Option<String>) {
    let (code, properties) = match world.take(conn) {
        Packet::PubAck(ack) => (ack.reason_code, ack.properties),
        Packet::PubRec(ack) => (ack.reason_code, ack.properties),
        other => panic!("{other:?}"),
    };
    (code, properties.reason_string.map(|it| it.to_string()))
}

#[test]
fn section_3_3_2_3_2_a_payload_that_says_it_is_utf_8_has_to_be() {
    let mut world = World::new();
    let watcher = world.client(V5, "w");
    world.subscribe(watcher, &[to("#", QoS::ExactlyOnce)]);
    let conn = world.client(V5, "a");
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        world.send(conn, &texted(b"\xFF", qos));
        let (code, reason) = acknowledged(&mut world, conn);
        assert_eq!(code, ReasonCode::PayloadFormatInvalid);
        assert!(reason.unwrap().contains("UTF-8"));
        world.send(conn, &texted("grüß".as_bytes(), qos));
        assert_eq!(acknowledged(&mut world, conn).0, ReasonCode::Success);
        let publish = world.take_publish(watcher);
        // [MQTT-3.3.2-4]
        assert_eq!(publish.properties.payload_format_indicator, Some(true));
        assert_eq!(text(&publish), "grüß");
        let release = PubRel::new(packet_id(7), ReasonCode::Success);
        world.send(conn, &Packet::PubRel(release));
        world.received(conn);
    }
    // Without the indicator, any bytes are accepted.
    let mut publish = message("t", "", QoS::AtMostOnce, 0);
    publish.payload = b"\xFF".to_vec().into();
    publish.properties.payload_format_indicator = Some(false);
    world.send(conn, &Packet::Publish(publish));
    assert_eq!(&*world.take_publish(watcher).payload, b"\xFF");
    // With QoS 0 only DISCONNECT can say so.
    world.send(conn, &texted(b"\xFF", QoS::AtMostOnce));
    assert_eq!(world.farewell(conn), Some(ReasonCode::PayloadFormatInvalid));
    assert!(world.received(watcher).is_empty());
    assert_eq!(world.broker.metrics().refused_payload_format, 3);
}

#[test]
fn a_payload_of_the_wrong_format_is_logged_with_its_client() {
    let mut world = World::new();
    let conn = world.client(V5, "spoilt");
    let told = |world: &mut World| {
        let told = std::mem::take(&mut world.told);
        let told = told
            .into_iter()
            .map(|it| (it.limit, it.client_id, it.count));
        told.collect::<Vec<_>>()
    };
    for _ in 0..100 {
        world.send(conn, &texted(b"\xFF", QoS::AtLeastOnce));
    }
    // One report at once, however many there are. The others follow later, in one report.
    let client = Some(utf8("spoilt"));
    assert_eq!(
        told(&mut world),
        [(Limit::PayloadFormat, client.clone(), 1)]
    );
    world.sleep(Duration::from_secs(5));
    assert_eq!(told(&mut world), [(Limit::PayloadFormat, client, 99)]);
    world.sleep(Duration::from_secs(5));
    let mut connect = Connect::new(V5, "mute");
    let mut will = will("t", b"\xFF".to_vec());
    will.properties.payload_format_indicator = Some(true);
    connect.will = Some(will);
    world.connect(&connect);
    let client = Some(utf8("mute"));
    assert_eq!(told(&mut world), [(Limit::PayloadFormat, client, 1)]);
}

/// Each limit has its own report, because a common one did not say which flag would help.
#[test]
fn each_fault_of_a_topic_has_its_own_report_in_the_log() {
    let mut world = World::with(|options| {
        options.limits.topic_bytes = 20;
        options.limits.topic_levels = 3;
    });
    let (new, old) = (world.client(V5, "new"), world.client(V3, "old"));
    let long = "x".repeat(21);
    for (fault, limit) in [
        (long.as_str(), Limit::TopicBytes),
        ("a/b/c/d", Limit::TopicLevels),
        ("$SYS/x", Limit::ServerTopic),
    ] {
        world.told.clear();
        world.publish(new, fault, "x", QoS::AtLeastOnce);
        world.publish(old, fault, "x", QoS::AtLeastOnce);
        assert_eq!(world.told.len(), 1, "{fault}");
        assert_eq!(world.told[0].limit, limit, "{fault}");
        // The alias of a refused topic is refused too.
        world.sleep(Duration::from_secs(5));
        world.told.clear();
        for topic in [Some(fault), None] {
            let mut publish = message("t", "x", QoS::AtMostOnce, 0);
            publish.topic = topic.map(|topic| TopicName::try_from(topic).unwrap());
            publish.properties.topic_alias = NonZeroU16::new(1);
            world.send(new, &Packet::Publish(publish));
        }
        world.sleep(Duration::from_secs(5));
        let told = world.told.iter();
        let told: Vec<_> = told.map(|it| (it.limit, it.count)).collect();
        assert_eq!(told.iter().map(|it| it.1).sum::<u64>(), 2, "{fault}");
        assert!(told.iter().all(|it| it.0 == limit), "{told:?}");
    }
    for (fault, limit) in [
        (long.as_str(), Limit::TopicBytes),
        ("a/b/c/d", Limit::TopicLevels),
        ("$share/g", Limit::ShareName),
    ] {
        world.sleep(Duration::from_secs(5));
        world.told.clear();
        // Only a client of 3.1.1 can send such a filter.
        let mut subscribe = vec![0x82, 0, 0, 1, 0, 0];
        subscribe[5] = u8::try_from(fault.len()).unwrap();
        subscribe.extend_from_slice(fault.as_bytes());
        subscribe.push(0);
        subscribe[1] = u8::try_from(subscribe.len() - 2).unwrap();
        world.send_bytes(old, subscribe);
        let told: Vec<_> = world.told.iter().map(|it| it.limit).collect();
        assert_eq!(told, [limit], "{fault}");
    }
}

#[test]
fn section_3_1_3_2_3_a_will_that_says_it_is_utf_8_has_to_be() {
    let mut world = World::new();
    let mut connect = Connect::new(V5, "a");
    let mut will = will("t", b"\xC3\x28".to_vec());
    will.properties.payload_format_indicator = Some(true);
    connect.will = Some(will);
    let (conn, connack) = world.connect(&connect);
    assert_eq!(connack.reason_code, ReasonCode::PayloadFormatInvalid);
    assert!(world.closed(conn).is_some());
    assert_eq!(world.broker.metrics().sessions, 0);
}

#[test]
fn the_check_of_payloads_can_be_turned_off() {
    let mut world = World::with(|options| options.check_payload_format = false);
    let conn = world.client(V5, "a");
    world.subscribe(conn, &[to("t", QoS::AtMostOnce)]);
    world.send(conn, &texted(b"\xFF", QoS::AtMostOnce));
    assert_eq!(&*world.take_publish(conn).payload, b"\xFF");
}

#[test]
fn mqtt_3_1_2_29_refusals_say_why_to_clients_that_want_to_know() {
    for wanted in [true, false] {
        let mut world = World::with(|options| {
            options.limits.topic_levels = 2;
            options.limits.subscriptions_per_client = 1;
        });
        let mut connect = Connect::new(V5, "a");
        connect.properties.request_problem_information = Some(wanted);
        let (conn, _) = world.connect(&connect);
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            world.send(conn, &Packet::Publish(message("$SYS/x", "x", qos, 1)));
            let (code, reason) = acknowledged(&mut world, conn);
            assert_eq!(code, ReasonCode::TopicNameInvalid);
            assert_eq!(reason.is_some(), wanted);
        }
        let filters = ["a", "a/b/c", "b"].map(|filter| to(filter, QoS::AtMostOnce));
        world.send(conn, &subscribe(&filters, None));
        let Packet::SubAck(ack) = world.take(conn) else {
            panic!("SUBACK expected");
        };
        let expected = [
            ReasonCode::Success,
            ReasonCode::TopicFilterInvalid,
            ReasonCode::QuotaExceeded,
        ];
        assert_eq!(ack.reason_codes, expected);
        assert_eq!(ack.properties.reason_string.is_some(), wanted);
    }
}

#[test]
fn mqtt_2_2_1_3_a_packet_identifier_that_is_in_use_is_refused() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.send(
        conn,
        &Packet::Publish(message("t", "x", QoS::ExactlyOnce, 900)),
    );
    world.received(conn);
    world.send(
        conn,
        &Packet::Publish(message("t", "x", QoS::AtLeastOnce, 900)),
    );
    let in_use = ReasonCode::PacketIdentifierInUse;
    assert_eq!(acknowledged(&mut world, conn).0, in_use);
    world.send(conn, &subscribe(&[to("t", QoS::AtMostOnce)], None));
    let Packet::SubAck(ack) = world.take(conn) else {
        panic!("SUBACK expected");
    };
    assert_eq!(ack.reason_codes, [in_use]);
    let unsubscribe = Unsubscribe {
        packet_id: packet_id(900),
        topic_filters: vec!["t".try_into().unwrap()],
        user_properties: Vec::new(),
    };
    world.send(conn, &Packet::Unsubscribe(unsubscribe.clone()));
    let Packet::UnsubAck(ack) = world.take(conn) else {
        panic!("UNSUBACK expected");
    };
    assert_eq!(ack.reason_codes, [in_use]);
    assert_eq!(world.broker.metrics().subscriptions, 0);
    // The identifier is free and can be used again [MQTT-4.3.3-12].
    let release = PubRel::new(packet_id(900), ReasonCode::Success);
    world.send(conn, &Packet::PubRel(release));
    world.received(conn);
    world.subscribe(conn, &[to("t", QoS::AtMostOnce)]);
    // Version 3.1.1 has no code for this, so the broker accepts the message.
    let old = world.client(V3, "old");
    for qos in [QoS::ExactlyOnce, QoS::AtLeastOnce] {
        world.send(old, &Packet::Publish(message("t", "x", qos, 900)));
    }
    assert_eq!(world.payloads(conn), ["x", "x"]);
}

#[test]
fn section_4_9_messages_of_earlier_connections_do_not_count() {
    let mut world = World::with(|options| options.limits.receive_maximum = 2);
    let publish = |id, dup| {
        let mut publish = message("t", "x", QoS::ExactlyOnce, id);
        publish.dup = dup;
        Packet::Publish(publish)
    };
    let release = |id| Packet::PubRel(PubRel::new(packet_id(id), ReasonCode::Success));
    let (conn, _) = world.lasting(V5, "a");
    world.send(conn, &publish(1, false));
    world.send(conn, &publish(2, false));
    world.cut(conn);

    // Two more are allowed, although the two from the earlier connection are still not released.
    let (conn, _) = world.lasting(V5, "a");
    world.send(conn, &publish(3, false));
    world.send(conn, &publish(4, false));
    assert!(world.closed(conn).is_none());
    // Releasing a message that did not count makes no room.
    world.send(conn, &release(1));
    world.send(conn, &publish(5, false));
    let exceeded = Some(ReasonCode::ReceiveMaximumExceeded);
    assert_eq!(world.farewell(conn), exceeded);

    // A message that is sent again on this connection counts.
    let (conn, _) = world.lasting(V5, "a");
    world.send(conn, &publish(2, true));
    world.send(conn, &publish(3, true));
    assert!(world.closed(conn).is_none());
    world.send(conn, &release(2));
    world.send(conn, &publish(4, true));
    assert!(world.closed(conn).is_none());
    world.send(conn, &publish(6, false));
    assert_eq!(world.farewell(conn), exceeded);
}

#[test]
fn mqtt_3_1_2_28_response_information_is_for_clients_that_ask() {
    let mut world = World::with(|options| {
        options.response_information = Some(utf8("answers"));
    });
    for (asks, id, expected) in [
        (Some(true), "a", Some("answers/a")),
        (Some(false), "a", None),
        (None, "a", None),
        // The identifier cannot stand in a topic.
        (Some(true), "a+", None),
    ] {
        let mut connect = Connect::new(V5, id);
        connect.properties.request_response_information = asks;
        let (_, connack) = world.connect(&connect);
        let told = connack.properties.response_information;
        assert_eq!(told.as_deref(), expected);
    }
    // An assigned identifier works as well.
    let mut connect = Connect::new(V5, "");
    connect.properties.request_response_information = Some(true);
    let (_, connack) = world.connect(&connect);
    let id = connack.properties.assigned_client_identifier.unwrap();
    let told = connack.properties.response_information.unwrap();
    assert_eq!(told.as_str(), format!("answers/{id}"));

    let mut world = World::new();
    connect.client_id = utf8("a");
    let (_, connack) = world.connect(&connect);
    assert_eq!(connack.properties.response_information, None);
}

#[test]
fn mqtt_3_14_0_1_no_disconnect_where_connack_is_too_large_for_the_client() {
    // [MQTT-3.1.2-24] [MQTT-3.2.0-1]
    let mut world = World::new();
    for limit in [2, 5, 15, 18, 19, 30] {
        let mut connect = lasting(V5, "a");
        connect.properties.maximum_packet_size = Some(limit);
        let conn = world.open(V5);
        world.send(conn, &Packet::Connect(connect));
        let received = world.received(conn);
        let is_refused = world.closed(conn).is_some();
        match received.as_slice() {
            [] => assert!(is_refused),
            [Packet::ConnAck(connack)] => assert_eq!(connack.reason_code.is_error(), is_refused),
            other => panic!("{other:?}"),
        }
        for packet in received {
            let size = mqtt::encoded_len(&packet, V5).unwrap();
            assert!(size <= limit as usize, "{size} {packet:?}");
        }
        // No session remains of a refused client.
        assert_eq!(world.broker.metrics().sessions, u64::from(!is_refused));
    }
}

#[test]
fn section_3_14_2_2_2_only_a_client_that_asked_for_a_session_may_prolong_it() {
    // The server has shortened the interval to 0, but the client had asked for a longer one.
    let mut world = World::with(|options| options.limits.session_expiry_interval = 0);
    let (conn, _) = world.connect(&lasting(V5, "a"));
    let mut disconnect = Disconnect::new(ReasonCode::Success);
    disconnect.properties.session_expiry_interval = Some(10);
    world.send(conn, &Packet::Disconnect(disconnect.clone()));
    let cause = &world.closed(conn).unwrap().cause;
    assert_eq!(*cause, CloseCause::Disconnected(ReasonCode::Success));
    assert_eq!(world.broker.metrics().sessions, 0);

    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.send(conn, &Packet::Disconnect(disconnect));
    assert_eq!(world.farewell(conn), Some(ReasonCode::ProtocolError));
}

#[test]
fn mqtt_3_3_2_15_to_20_everything_is_forwarded_unaltered_and_in_order() {
    // [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]
    // [MQTT-3.1.3-10]
    let mut world = World::new();
    let (conn, _) = world.lasting(V5, "s");
    world.subscribe(conn, &[to("#", QoS::AtLeastOnce)]);
    let user_properties: Vec<UserProperty> = [("b", "1"), ("a", "2"), ("b", "1"), ("", "")]
        .map(|(name, value)| (utf8(name), utf8(value)))
        .to_vec();
    let mut publish = message("t", "x", QoS::AtLeastOnce, 1);
    let properties = &mut publish.properties;
    properties.payload_format_indicator = Some(false);
    properties.response_topic = Some(TopicName::try_from("r/1").unwrap());
    properties.correlation_data = Some(b"\0\xFF".to_vec().into());
    properties.content_type = Some(utf8("text/plain; charset=x"));
    properties.user_properties.clone_from(&user_properties);
    let mut expected = publish.properties.clone();
    publish.properties.topic_alias = NonZeroU16::new(1);
    let publisher = world.client(V5, "p");
    world.send(publisher, &Packet::Publish(publish.clone()));
    assert_eq!(world.take_publish(conn).properties, expected);
    // The same for an absent client.
    world.cut(conn);
    world.send(publisher, &Packet::Publish(publish));
    let (conn, _) = world.lasting(V5, "s");
    assert_eq!(world.take_publish(conn).properties, expected);

    let mut connect = Connect::new(V5, "w");
    let mut will = will("will", "gone");
    will.properties.user_properties = user_properties;
    will.properties
        .response_topic
        .clone_from(&expected.response_topic);
    will.properties
        .correlation_data
        .clone_from(&expected.correlation_data);
    will.properties
        .content_type
        .clone_from(&expected.content_type);
    will.properties.payload_format_indicator = Some(false);
    connect.will = Some(will);
    let (dying, _) = world.connect(&connect);
    world.received(conn);
    world.cut(dying);
    expected.message_expiry_interval = None;
    assert_eq!(world.take_publish(conn).properties, expected);
}

/// Each wrong packet with its reason code in version 5, and the rule that the log names besides
/// the client.
#[test]
fn mqtt_4_13_1_1_each_fault_ends_the_connection_with_its_reason_and_its_rule() {
    let faults: &[(&[u8], ReasonCode, &str)] = &[
        (b"\x10\x00", ReasonCode::ProtocolError, "[MQTT-3.1.0-2]"),
        (b"\x20\x00", ReasonCode::ProtocolError, "(table 2-1)"),
        (b"\x00\x00", ReasonCode::MalformedPacket, "(section 2.1.2)"),
        (b"\xC1\x00", ReasonCode::MalformedPacket, "[MQTT-2.1.3-1]"),
        (b"\x36\x00", ReasonCode::MalformedPacket, "[MQTT-3.3.1-4]"),
        (b"\x38\x00", ReasonCode::MalformedPacket, "[MQTT-3.3.1-2]"),
        (
            b"\x30\x04\x00\x01#\x00",
            ReasonCode::MalformedPacket,
            "[MQTT-4.7.0-1]",
        ),
        (
            b"\x30\x03\x00\x00\x00",
            ReasonCode::ProtocolError,
            "(section 3.3.2.1)",
        ),
        (
            b"\x32\x06\x00\x01t\x00\x00\x00",
            ReasonCode::ProtocolError,
            "[MQTT-2.2.1-3]",
        ),
        (
            b"\x30\x06\x00\x01t\x02\x0B\x01",
            ReasonCode::ProtocolError,
            "[MQTT-3.3.4-6]",
        ),
        (
            b"\x30\x07\x00\x01t\x03\x23\x00\x00",
            ReasonCode::TopicAliasInvalid,
            "[MQTT-3.3.2-8]",
        ),
        (
            b"\x30\x07\x00\x01t\x03\x23\x00\x11",
            ReasonCode::TopicAliasInvalid,
            "[MQTT-3.3.2-9]",
        ),
        (
            b"\x30\x06\x00\x00\x03\x23\x00\x01",
            ReasonCode::ProtocolError,
            "(section 3.3.2.3.4)",
        ),
        (
            b"\x82\x03\x00\x01\x00",
            ReasonCode::ProtocolError,
            "[MQTT-3.8.3-2]",
        ),
        (
            b"\x82\x07\x00\x01\x00\x00\x01t\x40",
            ReasonCode::MalformedPacket,
            "[MQTT-2.1.3-1]",
        ),
        (
            b"\x82\x07\x00\x01\x00\x00\x01t\x03",
            ReasonCode::ProtocolError,
            "(section 3.8.3.1)",
        ),
        (
            b"\xA2\x03\x00\x01\x00",
            ReasonCode::ProtocolError,
            "[MQTT-3.10.3-2]",
        ),
        (b"\xE0\x01\x8E", ReasonCode::ProtocolError, "(section 2.4)"),
        (b"\xF0\x00", ReasonCode::ProtocolError, "[MQTT-4.12.0-7]"),
        (
            b"\xC0\x80\x00",
            ReasonCode::MalformedPacket,
            "[MQTT-1.5.5-1]",
        ),
        (
            b"\x30\x80\x80\x80\x7F",
            ReasonCode::PacketTooLarge,
            "[MQTT-3.2.2-15]",
        ),
    ];
    for (bytes, reason_code, rule) in faults {
        let mut world = World::new();
        let conn = world.client(V5, "culprit");
        world.send_bytes(conn, bytes.to_vec());
        let reason = world.closed(conn).unwrap().to_string();
        assert!(reason.contains("\"culprit\""), "{reason}");
        assert!(reason.contains(rule), "{reason} should name {rule}");
        assert_eq!(world.farewell(conn), Some(*reason_code), "{reason}");
    }
}

/// A peer that has not sent CONNECT gets no packet, and neither does a client of version 3.1.1.
#[test]
fn mqtt_3_1_0_1_before_connect_there_is_nothing_to_answer() {
    for bytes in [&b"\x30\x00"[..], b"GET / HTTP/1.1", b"\x00", b"\xFF\xFF"] {
        let mut world = World::new();
        let conn = world.open(V5);
        world.send_bytes(conn, bytes.to_vec());
        assert_eq!(world.farewell(conn), None);
    }
    let mut world = World::new();
    let conn = world.client(V3, "a");
    world.send_bytes(conn, &b"\x36\x00"[..]);
    assert_eq!(world.farewell(conn), None);
}

#[test]
fn section_4_3_the_client_may_refuse_with_any_code_and_hears_nothing_of_it() {
    let mut world = World::new();
    let conn = world.client(V5, "a");
    world.subscribe(conn, &[to("t", QoS::ExactlyOnce)]);
    let publisher = world.client(V5, "p");
    for (qos, code) in [
        (QoS::AtLeastOnce, ReasonCode::ImplementationSpecificError),
        (QoS::ExactlyOnce, ReasonCode::PayloadFormatInvalid),
    ] {
        world.publish(publisher, "t", "x", qos);
        let id = world.take_publish(conn).packet_id.unwrap();
        let refusal = match qos {
            QoS::ExactlyOnce => Packet::PubRec(PubRec::new(id, code)),
            _ => Packet::PubAck(PubAck::new(id, code)),
        };
        world.send(conn, &refusal);
        assert!(world.received(conn).is_empty());
    }
    assert_eq!(world.broker.metrics().queued_messages, 0);
}
