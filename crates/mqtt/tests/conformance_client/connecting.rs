//! CONNECT and CONNACK.

use bytes::Bytes;
use mqtt::client::{DropCause, PublishError, PublishOutcome};
use mqtt::packet::WillProperties;
use mqtt::{
    ClientOptions, DisconnectCause, Event, Publish, QoS, ReasonCode, State, Subscription, Will,
};

use crate::{ACCEPTED, Bench, RESUMED, filter, options, resuming, text, topic};

/// The properties of CONNECT with the options of these tests: a session of 300 s, Receive Maximum
/// 256, Maximum Packet Size 4 MiB, Topic Alias Maximum 64.
const PROPERTIES: &[u8] = b"\x10\x11\x00\x00\x01\x2C\x21\x01\x00\x27\x00\x40\x00\x00\x22\x00\x40";

/// CONNECT with these flags, keep alive 60, [`PROPERTIES`] and this payload.
fn connect(flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x05".to_vec();
    body.push(flags);
    body.extend_from_slice(b"\x00\x3C");
    body.extend_from_slice(PROPERTIES);
    body.extend_from_slice(payload);
    let mut wire = vec![0x10, u8::try_from(body.len()).unwrap()];
    wire.extend(body);
    wire
}

fn will(qos: QoS, retain: bool) -> Will {
    Will {
        topic: topic("w"),
        payload: Bytes::from_static(b"gone"),
        qos,
        retain,
        properties: WillProperties::default(),
    }
}

/// Whatever waits to be sent, nothing comes before CONNECT, and nothing before its answer.
/// `[MQTT-2.1.3-1]` `[MQTT-3.1.2-1]` `[MQTT-3.1.2-3]` `[MQTT-3.1.2-11]` `[MQTT-3.1.2-13]`
/// `[MQTT-3.1.2-16]` `[MQTT-3.1.2-18]` `[MQTT-3.1.3-3]`
#[test]
fn mqtt_3_1_0_1_connect_is_first_and_alone() {
    let mut bench = Bench::new(options());
    bench.publish(QoS::ExactlyOnce, "x");
    bench.subscribe("a");
    assert_eq!(bench.sent(), b"", "before the transport is there");
    assert_eq!(bench.open(), connect(0b0000_0010, b"\x00\x01c"));
    bench.wait(5);
    assert_eq!(bench.sent(), b"", "before CONNACK");
    bench.accept(ACCEPTED);
    let sent = bench.sent();
    assert_eq!(sent[0], 0x82, "then what waits");
    assert!(!sent.contains(&0x10), "{sent:x?}");
}

/// `[MQTT-3.1.2-9]` `[MQTT-3.1.2-17]` `[MQTT-3.1.2-19]` `[MQTT-3.1.3-4]` `[MQTT-3.1.3-11]`
/// `[MQTT-3.1.3-12]` `[MQTT-2.2.2-1]`
#[test]
fn mqtt_3_1_3_1_the_payload_is_in_the_order_of_the_standard() {
    let mut bench = Bench::new(ClientOptions {
        will: Some(will(QoS::AtMostOnce, false)),
        user_name: Some(text("us\u{e9}r")),
        password: Some(Bytes::from_static(b"\x00\xFF")),
        ..options()
    });
    assert_eq!(
        bench.open(),
        connect(
            0b1100_0110,
            b"\x00\x01c\x00\x00\x01w\x00\x04gone\x00\x05us\xC3\xA9r\x00\x02\x00\xFF"
        )
    );
}

/// `[MQTT-3.1.2-14]` `[MQTT-3.1.2-15]`: the flags match what the application asked for.
#[test]
fn mqtt_3_1_2_12_a_will_has_each_qos() {
    let payload = b"\x00\x01c\x00\x00\x01w\x00\x04gone";
    for (qos, retain, flags) in [
        (QoS::AtMostOnce, false, 0b0000_0110),
        (QoS::AtLeastOnce, false, 0b0000_1110),
        (QoS::ExactlyOnce, false, 0b0001_0110),
        (QoS::AtMostOnce, true, 0b0010_0110),
        (QoS::ExactlyOnce, true, 0b0011_0110),
    ] {
        let mut bench = Bench::new(ClientOptions {
            will: Some(will(qos, retain)),
            ..options()
        });
        assert_eq!(bench.open(), connect(flags, payload));
    }
}

/// `[MQTT-3.1.2-16]` `[MQTT-3.1.2-17]` `[MQTT-3.1.2-18]`: each of the two without the other.
#[test]
fn mqtt_3_1_2_19_a_password_needs_no_user_name() {
    let mut bench = Bench::new(ClientOptions {
        password: Some(Bytes::from_static(b"pw")),
        ..options()
    });
    assert_eq!(bench.open(), connect(0b0100_0010, b"\x00\x01c\x00\x02pw"));
    let mut bench = Bench::new(ClientOptions {
        user_name: Some(text("me")),
        ..options()
    });
    assert_eq!(bench.open(), connect(0b1000_0010, b"\x00\x01c\x00\x02me"));
}

/// An empty client identifier is still present in the packet. The client keeps the one that the
/// server assigns. `[MQTT-3.1.3-2]` `[MQTT-3.1.3-6]` `[MQTT-3.1.3-7]`
#[test]
fn mqtt_3_1_3_3_a_client_id_is_always_there() {
    let mut bench = Bench::new(ClientOptions {
        client_id: text(""),
        ..options()
    });
    assert_eq!(bench.open(), connect(0b0000_0010, b"\x00\x00"));
    bench.accept(b"\x20\x08\x00\x00\x05\x12\x00\x02s7");
    assert_eq!(
        bench.reconnect(RESUMED),
        connect(0b0000_0000, b"\x00\x02s7")
    );
}

/// The new session takes nothing from an earlier run's session: no PUBREL of its exchanges, none of
/// its packet identifiers. A message with a known identifier is new.
#[test]
fn mqtt_3_1_2_4_a_clean_start_takes_up_nothing() {
    let mut earlier = Bench::connected(options(), ACCEPTED);
    for _ in 0..7 {
        earlier.publish(QoS::ExactlyOnce, "x");
    }
    earlier.sent();
    earlier.feed(b"\x50\x02\x00\x01");
    earlier.feed(b"\x34\x07\x00\x01t\x00\x09\x00m");
    let session = earlier.client.session();

    let mut bench = Bench::new(ClientOptions {
        session: Some(session),
        ..options()
    });
    let connect = bench.open();
    assert_eq!(connect[9], 0b0000_0010, "Clean Start");
    bench.accept(ACCEPTED);
    let sent = bench.sent();
    assert_eq!(sent.len(), 6 * 9, "the six without PUBREC, and no PUBREL");
    for (number, publish) in sent.chunks(9).enumerate() {
        assert_eq!(publish[0], 0x34, "QoS 2, DUP 0: these are new messages");
        assert_eq!(
            usize::from(publish[6]),
            number + 1,
            "identifiers begin anew"
        );
    }
    bench.feed(b"\x34\x07\x00\x01t\x00\x09\x00m");
    assert_eq!(bench.messages().len(), 1, "identifier 9 is a new message's");
}

/// `[MQTT-3.1.2-21]` `[MQTT-3.2.2-21]`: if the server has a keep alive, it counts.
#[test]
fn mqtt_3_1_2_20_pingreq_within_the_keep_alive() {
    let server_keep_alive = b"\x20\x06\x00\x00\x03\x13\x00\x14";
    for (connack, seconds) in [(ACCEPTED, 60), (server_keep_alive.as_slice(), 20)] {
        let mut bench = Bench::connected(options(), connack);
        bench.wait(seconds / 2);
        assert_eq!(bench.sent(), b"", "too early");
        let (at, _) = bench.client.poll_timeout().unwrap();
        assert!(at <= mqtt::Instant::from_millis(seconds * 1_000));
        bench.now = at;
        bench.client.handle_timeout(at);
        assert_eq!(bench.sent(), b"\xC0\x00");
    }
}

/// A server that answers with keep alive 0 (never) switches PINGREQ off.
#[test]
fn mqtt_3_2_2_21_a_server_keep_alive_of_zero_counts_too() {
    let mut bench = Bench::connected(options(), b"\x20\x06\x00\x00\x03\x13\x00\x00");
    bench.wait(1_000_000);
    assert_eq!(bench.sent(), b"");
    assert!(bench.client.state().is_connected());
}

/// `[MQTT-4.1.0-1]`: the exchange goes on with the next connection.
#[test]
fn mqtt_3_1_2_23_the_session_outlives_the_connection() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    bench.publish(QoS::AtLeastOnce, "x");
    assert_eq!(bench.sent(), b"\x32\x07\x00\x01t\x00\x01\x00x");
    bench.reconnect(RESUMED);
    assert_eq!(bench.sent(), b"\x3A\x07\x00\x01t\x00\x01\x00x");
}

#[test]
fn mqtt_3_2_2_4_a_session_that_does_not_exist_is_not_resumed() {
    let mut bench = Bench::new(options());
    bench.open();
    let (reason, last_words) = bench.refuse(RESUMED);
    assert_eq!(reason, ReasonCode::ProtocolError);
    assert_eq!(
        last_words, b"",
        "no DISCONNECT before the client is connected"
    );
}

/// Packet identifiers and unfinished receptions of the lost session mean nothing any more.
#[test]
fn mqtt_3_2_2_5_a_session_that_the_server_has_lost_is_discarded() {
    let mut bench = Bench::connected(resuming(), RESUMED);
    bench.publish(QoS::ExactlyOnce, "x");
    bench.sent();
    bench.feed(b"\x50\x02\x00\x01");
    assert_eq!(bench.sent(), b"\x62\x02\x00\x01");
    bench.feed(b"\x34\x07\x00\x01t\x00\x09\x00m");
    bench.messages();
    bench.sent();

    bench.reconnect(ACCEPTED);
    assert_eq!(bench.sent(), b"", "no PUBREL for a session that is gone");
    assert_eq!(bench.client.packet_ids_in_use(), 0);
    bench.feed(b"\x34\x07\x00\x01t\x00\x09\x00m");
    assert_eq!(bench.messages().len(), 1, "identifier 9 is a new message's");
}

/// If the server breaks the greeting, the client sends nothing and closes. `[MQTT-3.2.0-1]`
/// `[MQTT-3.2.2-1]` `[MQTT-3.2.2-6]` `[MQTT-3.2.2-8]`
#[test]
fn mqtt_3_2_0_1_only_a_connack_of_the_standard_connects() {
    for (wire, expected) in [
        // PINGRESP, SUBACK, AUTH, DISCONNECT before CONNACK.
        (b"\xD0\x00".as_slice(), ReasonCode::ProtocolError),
        (b"\x90\x04\x00\x01\x00\x00", ReasonCode::ProtocolError),
        (b"\xF0\x00", ReasonCode::ProtocolError),
        (b"\xE0\x00", ReasonCode::ProtocolError),
        // A reserved acknowledge flag.
        (b"\x20\x03\x02\x00\x00", ReasonCode::MalformedPacket),
        // Session present in a refusal.
        (b"\x20\x03\x01\x87\x00", ReasonCode::ProtocolError),
        // 0x92 is not a Connect Reason Code.
        (b"\x20\x03\x00\x92\x00", ReasonCode::ProtocolError),
    ] {
        let mut bench = Bench::new(options());
        bench.open();
        let (reason, last_words) = bench.refuse(wire);
        assert_eq!(reason, expected, "{wire:x?}");
        assert_eq!(last_words, b"", "{wire:x?}");
    }
}

#[test]
fn mqtt_3_2_0_2_a_second_connack_ends_the_connection() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    let (_, last_words) = bench.refuse(ACCEPTED);
    assert_eq!(last_words, b"\xE0\x01\x82");
}

/// `[MQTT-4.13.2-1]`: any refusal closes the transport.
#[test]
fn mqtt_3_2_2_7_a_refused_client_closes_and_says_nothing() {
    for wire in [
        b"\x20\x03\x00\x80\x00".as_slice(),
        b"\x20\x03\x00\x85\x00",
        b"\x20\x03\x00\x87\x00",
        b"\x20\x03\x00\x8C\x00",
        b"\x20\x03\x00\x97\x00",
        b"\x20\x03\x00\x9F\x00",
    ] {
        let mut bench = Bench::new(options());
        bench.publish(QoS::AtMostOnce, "x");
        bench.open();
        bench
            .client
            .handle_input(bench.now, Bytes::from_static(wire))
            .unwrap();
        let events = bench.events();
        assert!(events.contains(&Event::CloseTransport), "{events:?}");
        let refused = events.iter().any(|event| {
            matches!(event, Event::Disconnected { why: DisconnectCause::Refused(reason), .. }
                if reason.reason_code.as_u8() == wire[3])
        });
        assert!(refused, "{events:?}");
        assert_eq!(bench.sent(), b"");
        assert!(!matches!(bench.client.state(), State::Connected { .. }));
    }
}

/// Maximum `QoS` 1: a message with a higher `QoS` goes out with 1, or not at all.
#[test]
fn mqtt_3_2_2_11_no_qos_above_the_servers_maximum() {
    let connack = b"\x20\x05\x00\x00\x02\x24\x01";
    let mut bench = Bench::connected(options(), connack);
    bench.publish(QoS::ExactlyOnce, "x");
    assert_eq!(bench.sent(), b"\x32\x07\x00\x01t\x00\x01\x00x");

    let strict = ClientOptions {
        lower_qos: false,
        ..options()
    };
    let mut bench = Bench::new(strict);
    let queued = bench.publish(QoS::ExactlyOnce, "x");
    bench.open();
    bench.accept(connack);
    assert_eq!(bench.sent(), b"");
    let dropped = PublishOutcome::Dropped(DropCause::QoSNotSupported);
    assert_eq!(bench.outcomes(), [(queued, dropped)]);
    let mut publish = Publish::new(topic("t"), "x");
    publish.qos = QoS::ExactlyOnce;
    let refused = bench.client.publish(bench.now, publish);
    assert_eq!(refused, Err(PublishError::QoSNotSupported));

    // Maximum QoS 0, for a message that was sent before and must be sent again.
    let mut bench = Bench::connected(resuming(), RESUMED);
    bench.publish(QoS::AtLeastOnce, "x");
    bench.sent();
    bench.reconnect(b"\x20\x05\x01\x00\x02\x24\x00");
    assert_eq!(bench.sent(), b"");
}

/// Retain Available 0.
#[test]
fn mqtt_3_2_2_14_no_retained_message_to_a_server_that_has_none() {
    let connack = b"\x20\x05\x00\x00\x02\x25\x00";
    let mut publish = Publish::new(topic("t"), "x");
    publish.retain = true;
    let mut bench = Bench::new(options());
    let queued = bench.client.publish(bench.now, publish.clone()).unwrap();
    bench.open();
    bench.accept(connack);
    assert_eq!(bench.sent(), b"");
    let dropped = PublishOutcome::Dropped(DropCause::RetainNotSupported);
    assert_eq!(bench.outcomes(), [(queued, dropped)]);
    let refused = bench.client.publish(bench.now, publish);
    assert_eq!(refused, Err(PublishError::RetainNotSupported));
}

/// Maximum Packet Size 12: a PUBLISH of 12 bytes goes out. One of 13 does not, and a SUBSCRIBE of
/// 13 does not either.
#[test]
fn mqtt_3_2_2_15_nothing_larger_than_the_server_takes() {
    let connack = b"\x20\x08\x00\x00\x05\x27\x00\x00\x00\x0C";
    let mut bench = Bench::new(options());
    bench.publish(QoS::AtLeastOnce, "12345");
    bench.publish(QoS::AtMostOnce, "1234567");
    bench.open();
    bench.accept(connack);
    assert_eq!(bench.sent(), b"", "13 and 14 bytes: known only now");
    bench.publish(QoS::AtLeastOnce, "1234");
    // The message that is too large had taken identifier 1.
    assert_eq!(bench.sent(), b"\x32\x0A\x00\x01t\x00\x02\x001234");
    bench.publish(QoS::AtMostOnce, "123456");
    assert_eq!(bench.sent(), b"\x30\x0A\x00\x01t\x00123456");
    let publish = Publish::new(topic("t"), "1234567");
    let refused = bench.client.publish(bench.now, publish);
    assert!(
        matches!(refused, Err(PublishError::TooLarge { size: 13, .. })),
        "{refused:?}"
    );

    for (name, sent) in [("1234", 12), ("12345", 0)] {
        let subscription = Subscription::new(filter(name), QoS::AtMostOnce);
        bench
            .client
            .subscribe(bench.now, vec![subscription])
            .unwrap();
        assert_eq!(bench.sent().len(), sent);
    }
}

/// Topic Alias Maximum 2, and 0. `[MQTT-3.2.2-17]` `[MQTT-3.2.2-18]` `[MQTT-3.3.2-8]`
#[test]
fn mqtt_3_3_2_9_no_alias_above_the_servers_maximum() {
    let mut bench = Bench::connected(options(), b"\x20\x06\x00\x00\x03\x22\x00\x02");
    for (name, wire) in [
        ("top/a", b"\x30\x0B\x00\x05top/a\x03\x23\x00\x01".as_slice()),
        ("top/b", b"\x30\x0B\x00\x05top/b\x03\x23\x00\x02"),
        ("top/a", b"\x30\x06\x00\x00\x03\x23\x00\x01"),
        ("top/c", b"\x30\x0B\x00\x05top/c\x03\x23\x00\x02"),
    ] {
        let publish = Publish::new(topic(name), "");
        bench.client.publish(bench.now, publish).unwrap();
        assert_eq!(bench.sent(), wire);
    }

    for connack in [ACCEPTED, b"\x20\x06\x00\x00\x03\x22\x00\x00"] {
        let mut bench = Bench::connected(options(), connack);
        for _ in 0..2 {
            let publish = Publish::new(topic("top/a"), "");
            bench.client.publish(bench.now, publish).unwrap();
            assert_eq!(bench.sent(), b"\x30\x08\x00\x05top/a\x00");
        }
    }
}

/// The client offers no authentication method. `[MQTT-4.12.0-6]`: so the server must not use one.
#[test]
fn mqtt_4_12_0_7_no_auth_without_a_method() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    for auth in [b"\xF0\x00".as_slice(), b"\xF0\x06\x18\x04\x15\x00\x01m"] {
        let (reason, last_words) = bench.refuse(auth);
        assert_eq!(reason, ReasonCode::ProtocolError);
        assert_eq!(last_words, b"\xE0\x01\x82", "DISCONNECT, and no AUTH");
        bench = Bench::connected(options(), ACCEPTED);
    }
}
