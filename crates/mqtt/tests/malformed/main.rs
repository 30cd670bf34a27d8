//! What the standard calls malformed or a protocol error. Each case has the offset of the error,
//! its kind, and the reason code to answer with.
//!
//! The first word of each case is the rule's id, or the section where the standard gives it no id.
#![allow(clippy::unwrap_used)] // what a test relies on may panic

mod answers;
mod connect;
mod publish;
mod subscribe;

use bytes::Bytes;
use mqtt::{
    DecodeError, DecodeErrorKind, Decoder, PacketType, ProtocolVersion, ReasonCode, TextError,
};

use DecodeErrorKind as Kind;
use ProtocolVersion::{V3_1_1, V5};
use ReasonCode::{MalformedPacket, ProtocolError};

struct Case(&'static str, &'static [u8], usize, Kind, ReasonCode);

/// The decoder refuses each case as it says, in one piece and byte by byte.
#[track_caller]
fn check(cases: &[Case], before: &'static [u8], decoder: impl Fn() -> Decoder) {
    for Case(rule, wire, offset, kind, reason_code) in cases {
        let expected = DecodeError {
            offset: *offset,
            kind: kind.clone(),
        };
        for size in [wire.len(), 1] {
            let mut decoder = decoder();
            let mut input = Bytes::from_static(before);
            if !before.is_empty() {
                assert!(decoder.decode(&mut input).unwrap().is_some());
            }
            let error = wire
                .chunks(size)
                .find_map(|chunk| decoder.decode(&mut Bytes::copy_from_slice(chunk)).err());
            assert_eq!(error.as_ref(), Some(&expected), "{rule}, {wire:02x?}");
        }
        assert_eq!(expected.reason_code(), *reason_code, "{rule}");
    }
}

fn to_fresh_server(cases: &[Case]) {
    check(cases, b"", Decoder::server);
}

fn to_server(version: ProtocolVersion, cases: &[Case]) {
    let connect: &[u8] = match version {
        V3_1_1 => b"\x10\x0C\x00\x04MQTT\x04\x02\x00\x3C\x00\x00",
        V5 => b"\x10\x0D\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00",
    };
    check(cases, connect, Decoder::server);
}

fn to_client(version: ProtocolVersion, cases: &[Case]) {
    check(cases, b"", || Decoder::client(version));
}

#[test]
fn fixed_header() {
    to_fresh_server(&[
        Case(
            "2.1.2",
            b"\x00\x00",
            0,
            Kind::UnknownPacketType(0),
            MalformedPacket,
        ),
        Case(
            "MQTT-2.1.3-1",
            b"\x11\x0D",
            0,
            Kind::ReservedFlags(1),
            MalformedPacket,
        ),
        Case(
            "1.5.5",
            b"\x10\x80\x80\x80\x80",
            1,
            Kind::VariableByteInteger,
            MalformedPacket,
        ),
        Case(
            "1.5.5",
            b"\x10\xFF\xFF\xFF\xFF\x01",
            1,
            Kind::VariableByteInteger,
            MalformedPacket,
        ),
    ]);
    to_server(
        V5,
        &[
            Case(
                "MQTT-1.5.5-1",
                b"\xC0\x80\x00",
                1,
                Kind::VariableByteInteger,
                MalformedPacket,
            ),
            Case(
                "2.1.2",
                b"\x00\x00",
                0,
                Kind::UnknownPacketType(0),
                MalformedPacket,
            ),
            Case(
                "MQTT-2.1.3-1",
                b"\x41",
                0,
                Kind::ReservedFlags(1),
                MalformedPacket,
            ),
            Case(
                "MQTT-2.1.3-1",
                b"\x58",
                0,
                Kind::ReservedFlags(8),
                MalformedPacket,
            ),
            Case(
                "MQTT-3.6.1-1",
                b"\x60",
                0,
                Kind::ReservedFlags(0),
                MalformedPacket,
            ),
            Case(
                "MQTT-2.1.3-1",
                b"\x72",
                0,
                Kind::ReservedFlags(2),
                MalformedPacket,
            ),
            Case(
                "MQTT-3.8.1-1",
                b"\x80",
                0,
                Kind::ReservedFlags(0),
                MalformedPacket,
            ),
            Case(
                "MQTT-3.10.1-1",
                b"\xA3",
                0,
                Kind::ReservedFlags(3),
                MalformedPacket,
            ),
            Case(
                "MQTT-2.1.3-1",
                b"\xC1",
                0,
                Kind::ReservedFlags(1),
                MalformedPacket,
            ),
            Case(
                "MQTT-3.14.1-1",
                b"\xE4",
                0,
                Kind::ReservedFlags(4),
                MalformedPacket,
            ),
            Case(
                "MQTT-3.15.1-1",
                b"\xF1",
                0,
                Kind::ReservedFlags(1),
                MalformedPacket,
            ),
        ],
    );
    to_client(
        V5,
        &[
            Case(
                "MQTT-2.1.3-1",
                b"\x21",
                0,
                Kind::ReservedFlags(1),
                MalformedPacket,
            ),
            Case(
                "MQTT-2.1.3-1",
                b"\x92",
                0,
                Kind::ReservedFlags(2),
                MalformedPacket,
            ),
            Case(
                "MQTT-2.1.3-1",
                b"\xB2",
                0,
                Kind::ReservedFlags(2),
                MalformedPacket,
            ),
            Case(
                "MQTT-2.1.3-1",
                b"\xDF",
                0,
                Kind::ReservedFlags(15),
                MalformedPacket,
            ),
        ],
    );
}

#[test]
fn packets_that_may_not_stand_here() {
    let unexpected = |rule, wire, number| {
        let kind = Kind::UnexpectedPacket(PacketType::from_u8(number).unwrap());
        Case(rule, wire, 0, kind, ProtocolError)
    };
    to_fresh_server(&[
        unexpected("MQTT-3.1.0-1", b"\x30\x05", 3),
        unexpected("MQTT-3.1.0-1", b"\xC0\x00", 12),
        unexpected("MQTT-3.1.0-1", b"\xF0\x00", 15),
        unexpected("MQTT-3.1.0-1", b"\x20\x02\x00\x00", 2),
        unexpected("MQTT-3.1.0-1", b"GET / HTTP/1.1\r\n", 4),
    ]);
    for version in [V3_1_1, V5] {
        to_server(
            version,
            &[
                unexpected("MQTT-3.1.0-2", b"\x10\x0C", 1),
                unexpected("2.1.2", b"\x20\x02\x00\x00", 2),
                unexpected("2.1.2", b"\x90\x03\x00\x01\x00", 9),
                unexpected("2.1.2", b"\xB0\x02\x00\x01", 11),
                unexpected("2.1.2", b"\xD0\x00", 13),
            ],
        );
        to_client(
            version,
            &[
                unexpected("2.1.2", b"\x10\x0C", 1),
                unexpected("2.1.2", b"\x82\x06", 8),
                unexpected("2.1.2", b"\xA2\x05", 10),
                unexpected("2.1.2", b"\xC0\x00", 12),
            ],
        );
    }
    // In 3.1.1 only a client sends DISCONNECT, and there is no AUTH.
    to_client(V3_1_1, &[unexpected("3.14 of 3.1.1", b"\xE0\x00", 14)]);
    let no_auth = || Kind::UnknownPacketType(15);
    to_client(
        V3_1_1,
        &[Case(
            "2.2.1 of 3.1.1",
            b"\xF0\x00",
            0,
            no_auth(),
            MalformedPacket,
        )],
    );
    to_server(
        V3_1_1,
        &[Case(
            "2.2.1 of 3.1.1",
            b"\xF0\x00",
            0,
            no_auth(),
            MalformedPacket,
        )],
    );
}

/// For every packet with a reason code and for every byte, the decoder accepts exactly the codes of
/// section 2.4.
#[test]
fn section_2_4_every_reason_code_in_every_packet() {
    for code in 0..=u8::MAX {
        let answers: [(&[u8], PacketType); 9] = [
            (&[0x20, 3, 0, code, 0], PacketType::ConnAck),
            (&[0x40, 3, 0, 1, code], PacketType::PubAck),
            (&[0x50, 3, 0, 1, code], PacketType::PubRec),
            (&[0x62, 3, 0, 1, code], PacketType::PubRel),
            (&[0x70, 3, 0, 1, code], PacketType::PubComp),
            (&[0x90, 4, 0, 1, 0, code], PacketType::SubAck),
            (&[0xB0, 4, 0, 1, 0, code], PacketType::UnsubAck),
            (&[0xE0, 1, code], PacketType::Disconnect),
            (&[0xF0, 6, code, 4, 0x15, 0, 1, b'm'], PacketType::Auth),
        ];
        for (wire, packet_type) in answers {
            let mut input = Bytes::copy_from_slice(wire);
            let decoded = Decoder::client(V5).decode(&mut input);
            let expected =
                ReasonCode::from_u8(code).is_some_and(|code| code.belongs_in(packet_type));
            assert_eq!(decoded.is_ok(), expected, "{packet_type} {code:#04x}");
            if let Ok(Some(packet)) = decoded {
                assert_eq!(packet.packet_type(), packet_type);
            }
        }
    }
}

/// Table 3-10: the decoder refuses a client's DISCONNECT with a code that only a server may send.
#[test]
fn mqtt_3_14_2_1_a_client_may_not_disconnect_with_a_servers_reason() {
    const OF_SERVERS: &[u8] = &[
        0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
    ];
    for code in 0..=u8::MAX {
        let mut decoder = Decoder::server();
        let connect = b"\x10\x0D\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00";
        decoder.decode(&mut Bytes::from_static(connect)).unwrap();
        let mut disconnect = Bytes::copy_from_slice(&[0xE0, 1, code]);
        let decoded = decoder.decode(&mut disconnect);
        let belongs =
            ReasonCode::from_u8(code).is_some_and(|it| it.belongs_in(PacketType::Disconnect));
        assert_eq!(
            decoded.is_ok(),
            belongs && !OF_SERVERS.contains(&code),
            "{code:#04x}"
        );
        if let Err(error) = decoded {
            assert_eq!(error.kind, Kind::ReasonCode(code));
            assert_eq!(error.reason_code(), ProtocolError);
        }
    }
}

/// The log names the rule.
#[test]
fn a_clients_mistake_names_its_rule() {
    for (kind, rule) in [
        (Kind::Dup, "[MQTT-3.3.1-2]"),
        (
            Kind::UnexpectedPacket(PacketType::Connect),
            "[MQTT-3.1.0-2]",
        ),
        (
            Kind::UnexpectedPacket(PacketType::Publish),
            "[MQTT-3.1.0-1]",
        ),
        (Kind::UnexpectedPacket(PacketType::SubAck), "(table 2-1)"),
        (Kind::SubscriptionOptions(0x04), "[MQTT-3.8.3-4]"),
        (Kind::SubscriptionOptions(0x2E), "[MQTT-3.8.3-4]"),
        (Kind::SubscriptionOptions(0x03), "(section 3.8.3.1)"),
        (Kind::SubscriptionOptions(0x30), "(section 3.8.3.1)"),
        (Kind::PropertyValue(0x23), "[MQTT-3.3.2-8]"),
        (Kind::PropertyValue(0x21), "(section 2.2.2.2)"),
        (Kind::Text(TextError::Null), "[MQTT-1.5.4-2]"),
        (Kind::Topic(TextError::NotUtf8.into()), "[MQTT-1.5.4-1]"),
    ] {
        assert_eq!(kind.rule(), rule, "{kind}");
    }
    let second = Kind::UnexpectedPacket(PacketType::Connect);
    assert_eq!(second.to_string(), "CONNECT is not allowed here");
}
