//! DISCONNECT from either side, AUTH, and packets that a client must not receive.

use mqtt::client::PublishError;
use mqtt::{DisconnectCause, Event, Publish, QoS, ReasonCode};

use crate::{ACCEPTED, Bench, options, topic};

/// Waiting packets go out before it, and nothing after it. `[MQTT-3.14.2-1]` `[MQTT-3.14.2-3]`
/// `[MQTT-3.14.2-4]` `[MQTT-3.14.4-2]` `[MQTT-2.1.3-1]`
#[test]
fn mqtt_3_14_4_1_nothing_follows_disconnect() {
    for (reason, last_words) in [
        (ReasonCode::Success, b"\xE0\x00".as_slice()),
        (ReasonCode::DisconnectWithWill, b"\xE0\x01\x04"),
    ] {
        let mut bench = Bench::connected(options(), ACCEPTED);
        bench.publish(QoS::AtLeastOnce, "x");
        bench.client.disconnect(bench.now, reason);
        let mut expected = b"\x32\x07\x00\x01t\x00\x01\x00x".to_vec();
        expected.extend_from_slice(last_words);
        assert!(bench.closes(), "[MQTT-3.14.4-2]");
        assert_eq!(bench.sent(), expected);
        // The client no longer answers a last message from the server.
        bench.feed(b"\x32\x07\x00\x01t\x00\x09\x00m\xD0\x00");
        let refused = bench
            .client
            .publish(bench.now, Publish::new(topic("t"), ""));
        assert_eq!(refused, Err(PublishError::Stopped));
        bench.wait(1_000);
        assert_eq!(bench.sent(), b"");
        assert_eq!(bench.client.poll_timeout(), None);
    }
}

/// A DISCONNECT from the server closes the transport without an answer. `[MQTT-4.13.2-1]`
#[test]
fn mqtt_3_14_4_2_after_the_servers_disconnect_the_transport_is_closed() {
    for wire in [
        b"\xE0\x01\x8E".as_slice(),
        b"\xE0\x01\x8B",
        b"\xE0\x01\x98",
        b"\xE0\x00",
        b"\xE0\x06\x97\x04\x1F\x00\x01q",
    ] {
        let mut bench = Bench::connected(options(), ACCEPTED);
        bench.publish(QoS::AtLeastOnce, "x");
        bench.feed(wire);
        let events = bench.events();
        assert!(events.contains(&Event::CloseTransport), "{events:?}");
        let expected = wire.get(2).copied().unwrap_or(0);
        let said = events.iter().any(|event| {
            matches!(event, Event::Disconnected { why: DisconnectCause::ByServer(reason), .. }
                if reason.reason_code.as_u8() == expected)
        });
        assert!(said, "{events:?}");
        assert_eq!(bench.sent(), b"", "{wire:x?}");
    }
}

/// Each fixed header has the flags that the standard lists, or the connection ends with "malformed
/// packet". `[MQTT-2.1.3-1]` `[MQTT-3.6.1-1]` `[MQTT-3.15.1-1]`
#[test]
fn mqtt_3_14_1_1_reserved_flags_end_the_connection() {
    for wire in [
        b"\xE1\x00".as_slice(),
        b"\xE8\x01\x8B",
        b"\xF1\x00",
        b"\xF2\x06\x18\x04\x15\x00\x01m",
        b"\x41\x02\x00\x01",
        b"\x52\x02\x00\x01",
        b"\x60\x02\x00\x01",
        b"\x63\x02\x00\x01",
        b"\x71\x02\x00\x01",
        b"\x92\x04\x00\x01\x00\x00",
        b"\xB2\x04\x00\x01\x00\x00",
        b"\xD1\x00",
        b"\x21\x03\x00\x00\x00",
    ] {
        let mut bench = Bench::connected(options(), ACCEPTED);
        let (reason, last_words) = bench.refuse(wire);
        assert_eq!(reason, ReasonCode::MalformedPacket, "{wire:x?}");
        assert_eq!(last_words, b"\xE0\x01\x81", "{wire:x?}");
    }
}

/// Codes that are not allowed in their packet. `[MQTT-3.4.2-1]` `[MQTT-3.5.2-1]` `[MQTT-3.6.2-1]`
/// `[MQTT-3.7.2-1]` `[MQTT-3.15.2-1]`
#[test]
fn mqtt_3_14_2_1_only_the_codes_of_the_standard_are_taken() {
    for wire in [
        b"\xE0\x01\x01".as_slice(),
        b"\xE0\x01\x86",
        b"\x40\x03\x00\x01\x92",
        b"\x40\x03\x00\x01\x01",
        b"\x50\x03\x00\x01\x92",
        b"\x62\x03\x00\x01\x87",
        b"\x70\x03\x00\x01\x87",
        b"\xF0\x06\x87\x04\x15\x00\x01m",
    ] {
        let mut bench = Bench::connected(options(), ACCEPTED);
        let (reason, last_words) = bench.refuse(wire);
        assert_eq!(reason, ReasonCode::ProtocolError, "{wire:x?}");
        assert_eq!(last_words, b"\xE0\x01\x82", "{wire:x?}");
    }
}

/// A server must not say when the session ends.
#[test]
fn mqtt_3_14_2_2_no_session_expiry_interval_from_the_server() {
    let mut bench = Bench::connected(options(), ACCEPTED);
    let (reason, last_words) = bench.refuse(b"\xE0\x07\x00\x05\x11\x00\x00\x00\x01");
    assert_eq!(reason, ReasonCode::ProtocolError);
    assert_eq!(last_words, b"\xE0\x01\x82");
}

/// Packets that only clients send.
#[test]
fn mqtt_3_1_0_2_a_server_that_speaks_like_a_client_is_left() {
    for wire in [
        b"\x10\x0D\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00".as_slice(),
        b"\x82\x07\x00\x01\x00\x00\x01a\x00",
        b"\xA2\x06\x00\x01\x00\x00\x01a",
        b"\xC0\x00",
        b"\x00\x00",
    ] {
        let mut bench = Bench::connected(options(), ACCEPTED);
        let (reason, last_words) = bench.refuse(wire);
        assert_eq!(last_words, [0xE0, 1, reason.as_u8()], "{wire:x?}");
        assert!(reason.is_error());
    }
}
