//! The rules of version 3.1.1 that differ from version 5. Its statements have numbers of their own.
//! Where they say the same, the tests of version 5 stand for both.

use bytes::Bytes;
use mqtt::client::PublishOutcome;
use mqtt::packet::WillProperties;
use mqtt::{ClientOptions, DisconnectCause, Event, Publish, QoS, ReasonCode, Subscription, Will};

use crate::{ACCEPTED_3_1_1, Bench, RESUMED_3_1_1, filter, options, options_3_1_1, text, topic};

fn resuming() -> ClientOptions {
    ClientOptions {
        clean_start: false,
        ..options_3_1_1()
    }
}

/// Neither CONNECT nor the will has a property length, and the level is 4.
#[test]
fn mqtt_3_1_1_connect_has_no_properties() {
    let mut bench = Bench::new(ClientOptions {
        will: Some(Will {
            topic: topic("w"),
            payload: Bytes::from_static(b"gone"),
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: WillProperties {
                will_delay_interval: Some(9),
                ..WillProperties::default()
            },
        }),
        user_name: Some(text("me")),
        password: Some(Bytes::from_static(b"pw")),
        ..options_3_1_1()
    });
    assert_eq!(
        bench.open(),
        b"\x10\x1E\x00\x04MQTT\x04\xEE\x00\x3C\x00\x01c\x00\x01w\x00\x04gone\x00\x02me\x00\x02pw"
    );
}

/// `[MQTT-3.1.2-22 of 3.1.1]`: in version 5 a password may stand alone.
#[test]
fn mqtt_3_1_1_a_password_needs_a_user_name() {
    let mut bench = Bench::new(ClientOptions {
        password: Some(Bytes::from_static(b"pw")),
        ..options_3_1_1()
    });
    assert_eq!(
        bench.open(),
        b"\x10\x13\x00\x04MQTT\x04\xC2\x00\x3C\x00\x01c\x00\x00\x00\x02pw"
    );
}

/// `[MQTT-3.1.3-7 of 3.1.1]`: a client without a client identifier always asks for a clean session.
#[test]
fn mqtt_3_1_1_an_empty_client_id_needs_a_clean_session() {
    let mut bench = Bench::new(ClientOptions {
        client_id: text(""),
        ..resuming()
    });
    let connect = b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x3C\x00\x00";
    assert_eq!(bench.open(), connect);
    bench.accept(ACCEPTED_3_1_1);
    assert_eq!(bench.reconnect(ACCEPTED_3_1_1), connect);
}

/// One flag says when the session begins and when it ends: a client that wants no session beyond
/// its connection sets Clean Session each time. `[MQTT-3.1.2-6 of 3.1.1]`
#[test]
fn mqtt_3_1_1_clean_session_also_ends_the_session() {
    let flags = |options: ClientOptions| {
        let mut bench = Bench::new(options);
        let first = bench.open()[9];
        bench.accept(ACCEPTED_3_1_1);
        (first, bench.reconnect(ACCEPTED_3_1_1)[9])
    };
    assert_eq!(flags(options_3_1_1()), (2, 0), "clean once, then resume");
    assert_eq!(flags(resuming()), (0, 0));
    let without = ClientOptions {
        session_expiry_interval: 0,
        ..options_3_1_1()
    };
    assert_eq!(flags(without), (2, 2));
}

/// Return codes 1 to 5 mean what the table says. There are no others, and none has properties.
/// `[MQTT-3.2.2-5 of 3.1.1]`
#[test]
fn mqtt_3_1_1_return_codes_are_understood() {
    for (code, expected) in [
        (1, ReasonCode::UnsupportedProtocolVersion),
        (2, ReasonCode::ClientIdentifierNotValid),
        (3, ReasonCode::ServerUnavailable),
        (4, ReasonCode::BadUserNameOrPassword),
        (5, ReasonCode::NotAuthorized),
    ] {
        let mut bench = Bench::new(options_3_1_1());
        bench.open();
        let wire = Bytes::from(vec![0x20, 2, 0, code]);
        bench.client.handle_input(bench.now, wire).unwrap();
        let events = bench.events();
        let refused = events.iter().any(|event| {
            matches!(event, Event::Disconnected { why: DisconnectCause::Refused(reason), .. }
                if reason.reason_code == expected)
        });
        assert!(
            refused && events.contains(&Event::CloseTransport),
            "{events:?}"
        );
    }
    for wire in [
        b"\x20\x02\x00\x06".as_slice(),
        b"\x20\x02\x00\x85",
        b"\x20\x03\x00\x00\x00",
    ] {
        let mut bench = Bench::new(options_3_1_1());
        bench.open();
        let (_, last_words) = bench.refuse(wire);
        assert_eq!(last_words, b"");
    }
}

/// PUBLISH, its answers and SUBSCRIBE without properties and codes, and the whole of `QoS` 2.
#[test]
fn mqtt_3_1_1_packets_have_neither_properties_nor_codes() {
    let mut bench = Bench::connected(options_3_1_1(), ACCEPTED_3_1_1);
    let mut publish = Publish::new(topic("t"), "x");
    publish.properties.content_type = Some(text("c"));
    publish.properties.message_expiry_interval = Some(60);
    for (qos, wire) in [
        (QoS::AtMostOnce, b"\x30\x04\x00\x01tx".as_slice()),
        (QoS::AtLeastOnce, b"\x32\x06\x00\x01t\x00\x01x"),
        (QoS::ExactlyOnce, b"\x34\x06\x00\x01t\x00\x02x"),
    ] {
        publish.qos = qos;
        bench.client.publish(bench.now, publish.clone()).unwrap();
        assert_eq!(bench.sent(), wire);
    }
    bench.feed(b"\x40\x02\x00\x01\x50\x02\x00\x02");
    assert_eq!(bench.sent(), b"\x62\x02\x00\x02");
    bench.feed(b"\x70\x02\x00\x02");
    let done = |(_, outcome)| matches!(outcome, PublishOutcome::Acknowledged(ReasonCode::Success));
    bench
        .outcomes()
        .into_iter()
        .skip(1)
        .for_each(|it| assert!(done(it)));
    assert_eq!(bench.client.packet_ids_in_use(), 0);

    bench.feed(b"\x32\x06\x00\x01t\x00\x09m\x34\x06\x00\x01t\x00\x0Am\x62\x02\x00\x0A");
    assert_eq!(
        bench.sent(),
        b"\x40\x02\x00\x09\x50\x02\x00\x0A\x70\x02\x00\x0A"
    );
    // The client answers an unknown PUBREL as if it knew it: there is no code for it.
    bench.feed(b"\x62\x02\x00\x0B");
    assert_eq!(bench.sent(), b"\x70\x02\x00\x0B");
    assert_eq!(bench.messages().len(), 2);

    let mut subscription = Subscription::new(filter("a"), QoS::ExactlyOnce);
    subscription.no_local = true;
    subscription.retain_as_published = true;
    bench
        .client
        .subscribe(bench.now, vec![subscription])
        .unwrap();
    assert_eq!(
        bench.sent(),
        b"\x82\x06\x00\x03\x00\x01a\x02",
        "options are the QoS alone"
    );
    bench.feed(b"\x90\x03\x00\x03\x80");
    assert!(
        matches!(&bench.events()[..], [Event::Subscribed { reason_codes, .. }]
        if reason_codes[..] == [ReasonCode::UnspecifiedError])
    );
    bench
        .client
        .unsubscribe(bench.now, vec![filter("a")])
        .unwrap();
    assert_eq!(bench.sent(), b"\xA2\x05\x00\x04\x00\x01a");
    bench.feed(b"\xB0\x02\x00\x04");
    assert!(matches!(&bench.events()[..], [Event::Unsubscribed { .. }]));
}

/// `[MQTT-4.4.0-1 of 3.1.1]`: the same as in version 5, in 3.1.1's own words.
#[test]
fn mqtt_3_1_1_unfinished_exchanges_are_sent_again() {
    let mut bench = Bench::connected(resuming(), ACCEPTED_3_1_1);
    bench.publish(QoS::AtLeastOnce, "a");
    bench.publish(QoS::ExactlyOnce, "b");
    bench.publish(QoS::ExactlyOnce, "c");
    bench.sent();
    bench.feed(b"\x50\x02\x00\x02");
    bench.sent();
    bench.reconnect(RESUMED_3_1_1);
    assert_eq!(
        bench.sent(),
        b"\x62\x02\x00\x02\x3A\x06\x00\x01t\x00\x01a\x3C\x06\x00\x01t\x00\x03c"
    );
}

/// DISCONNECT has no reason: it always means a normal end. If the will is to be published, or the
/// server has broken a rule, the client just closes the transport. `[MQTT-2.2.2-2 of 3.1.1]`
/// `[MQTT-4.8.0-1 of 3.1.1]`
#[test]
fn mqtt_3_1_1_disconnect_means_that_all_is_well() {
    let mut bench = Bench::connected(options_3_1_1(), ACCEPTED_3_1_1);
    bench.client.disconnect(bench.now, ReasonCode::Success);
    assert!(bench.closes());
    assert_eq!(bench.sent(), b"\xE0\x00");

    let mut bench = Bench::connected(options_3_1_1(), ACCEPTED_3_1_1);
    bench
        .client
        .disconnect(bench.now, ReasonCode::DisconnectWithWill);
    assert!(bench.closes());
    assert_eq!(bench.sent(), b"");

    // DISCONNECT from the server, AUTH, a PUBACK with a code: none of them exists in 3.1.1.
    for wire in [
        b"\xE0\x00".as_slice(),
        b"\xF0\x00",
        b"\x40\x03\x00\x01\x00",
        b"\x36\x06\x00\x01t\x00\x01m",
        b"\x60\x02\x00\x01",
        b"\xD1\x00",
    ] {
        let mut bench = Bench::connected(options_3_1_1(), ACCEPTED_3_1_1);
        let (_, last_words) = bench.refuse(wire);
        assert_eq!(last_words, b"", "{wire:x?}");
    }
}

/// The client speaks 3.1.1 to a server that answers in its own way that it does not know version 5.
/// `[MQTT-3.1.2-2 of 3.1.1]`
#[test]
fn mqtt_3_1_1_a_client_falls_back_to_it() {
    let mut bench = Bench::new(ClientOptions {
        fall_back: true,
        ..options()
    });
    assert_eq!(bench.open()[8], 5);
    bench
        .client
        .handle_input(bench.now, Bytes::from_static(b"\x20\x02\x00\x01"))
        .unwrap();
    assert!(bench.events().contains(&Event::OpenTransport));
    assert_eq!(bench.open()[8], 4);
}
