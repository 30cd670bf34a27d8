//! Packets that answer, and short packets.

use bytes::Bytes;
use mqtt::{DecodeError, Decoder};

use crate::ReasonCode::{MalformedPacket, ProtocolError};
use crate::{Case, Kind, V3_1_1, V5, to_client, to_server};

#[test]
fn connack() {
    to_client(
        V5,
        &[
            Case(
                "MQTT-3.2.2-1",
                b"\x20\x03\x02\x00\x00",
                2,
                Kind::Flags(2),
                MalformedPacket,
            ),
            Case(
                "MQTT-3.2.2-6",
                b"\x20\x03\x01\x87\x00",
                2,
                Kind::SessionPresent,
                ProtocolError,
            ),
            Case(
                "MQTT-3.2.2-8",
                b"\x20\x03\x00\x10\x00",
                3,
                Kind::ReasonCode(0x10),
                ProtocolError,
            ),
            Case(
                "MQTT-3.2.2-8",
                b"\x20\x03\x00\x03\x00",
                3,
                Kind::ReasonCode(3),
                ProtocolError,
            ),
            Case(
                "MQTT-2.2.2-1",
                b"\x20\x02\x00\x00",
                4,
                Kind::UnexpectedEnd,
                MalformedPacket,
            ),
            Case(
                "3.2.2",
                b"\x20\x01\x00",
                3,
                Kind::UnexpectedEnd,
                MalformedPacket,
            ),
            Case("3.2", b"\x20\x00", 2, Kind::UnexpectedEnd, MalformedPacket),
            Case(
                "3.2.3",
                b"\x20\x04\x00\x00\x00\x00",
                5,
                Kind::TrailingBytes(1),
                MalformedPacket,
            ),
            Case(
                "3.2.2.3.3",
                b"\x20\x06\x00\x00\x03\x21\x00\x00",
                6,
                Kind::PropertyValue(0x21),
                ProtocolError,
            ),
            Case(
                "3.2.2.3.4",
                b"\x20\x05\x00\x00\x02\x24\x02",
                6,
                Kind::PropertyValue(0x24),
                ProtocolError,
            ),
            Case(
                "3.2.2.3.5",
                b"\x20\x05\x00\x00\x02\x25\x02",
                6,
                Kind::PropertyValue(0x25),
                ProtocolError,
            ),
            Case(
                "3.2.2.3.6",
                b"\x20\x08\x00\x00\x05\x27\x00\x00\x00\x00",
                6,
                Kind::PropertyValue(0x27),
                ProtocolError,
            ),
            Case(
                "3.2.2.3.11",
                b"\x20\x05\x00\x00\x02\x28\x02",
                6,
                Kind::PropertyValue(0x28),
                ProtocolError,
            ),
            Case(
                "3.2.2.3.12",
                b"\x20\x05\x00\x00\x02\x29\x02",
                6,
                Kind::PropertyValue(0x29),
                ProtocolError,
            ),
            Case(
                "3.2.2.3.13",
                b"\x20\x05\x00\x00\x02\x2A\xFF",
                6,
                Kind::PropertyValue(0x2A),
                ProtocolError,
            ),
            Case(
                "2.2.2.2",
                b"\x20\x05\x00\x00\x02\x19\x01",
                5,
                Kind::MisplacedProperty(0x19),
                MalformedPacket,
            ),
        ],
    );
    to_client(
        V3_1_1,
        &[
            Case(
                "3.2.2.3",
                b"\x20\x02\x00\x06",
                3,
                Kind::ReasonCode(6),
                ProtocolError,
            ),
            Case(
                "MQTT-3.2.2-4 of 3.1.1",
                b"\x20\x02\x01\x05",
                2,
                Kind::SessionPresent,
                ProtocolError,
            ),
            Case(
                "3.2.3",
                b"\x20\x03\x00\x00\x00",
                4,
                Kind::TrailingBytes(1),
                MalformedPacket,
            ),
        ],
    );
}

#[test]
fn acknowledgements() {
    for (first_byte, number) in [(0x40, 4), (0x50, 5), (0x62, 6), (0x70, 7)] {
        let cases = [
            (
                [first_byte, 2, 0, 0, 0, 0],
                4,
                2,
                Kind::ZeroPacketId,
                ProtocolError,
            ),
            (
                [first_byte, 1, 0, 0, 0, 0],
                3,
                2,
                Kind::UnexpectedEnd,
                MalformedPacket,
            ),
            // A code that belongs to CONNACK, and one that does not exist.
            (
                [first_byte, 3, 0, 1, 0x8A, 0],
                5,
                4,
                Kind::ReasonCode(0x8A),
                ProtocolError,
            ),
            (
                [first_byte, 3, 0, 1, 0xFF, 0],
                5,
                4,
                Kind::ReasonCode(0xFF),
                ProtocolError,
            ),
            // The property is one byte too long.
            (
                [first_byte, 4, 0, 1, 0, 1],
                6,
                6,
                Kind::UnexpectedEnd,
                MalformedPacket,
            ),
        ];
        for (wire, len, offset, kind, reason_code) in cases {
            let mut decoder = Decoder::client(V5);
            let mut input = Bytes::copy_from_slice(&wire[..len]);
            let error = decoder.decode(&mut input).unwrap_err();
            assert_eq!(error, DecodeError { offset, kind }, "packet type {number}");
            assert_eq!(error.reason_code(), reason_code);
        }
        // Version 3.1.1 has no reason code, so one byte is left over.
        let mut decoder = Decoder::client(V3_1_1);
        let mut input = Bytes::copy_from_slice(&[first_byte, 3, 0, 1, 0]);
        let error = decoder.decode(&mut input).unwrap_err();
        let kind = Kind::TrailingBytes(1);
        assert_eq!(error, DecodeError { offset: 4, kind });
    }
    to_client(
        V5,
        &[
            Case(
                "2.2.2.2",
                b"\x40\x07\x00\x01\x00\x03\x21\x00\x01",
                6,
                Kind::MisplacedProperty(0x21),
                MalformedPacket,
            ),
            Case(
                "3.4.2.2.2",
                b"\x40\x0C\x00\x01\x00\x08\x1F\x00\x01a\x1F\x00\x01b",
                10,
                Kind::DuplicateProperty(0x1F),
                ProtocolError,
            ),
            Case(
                "3.4.2.2",
                b"\x40\x05\x00\x01\x00\x00\x00",
                6,
                Kind::TrailingBytes(1),
                MalformedPacket,
            ),
        ],
    );
}

#[test]
fn suback_and_unsuback() {
    to_client(
        V5,
        &[
            Case(
                "MQTT-3.8.4-6",
                b"\x90\x03\x00\x01\x00",
                5,
                Kind::Empty,
                ProtocolError,
            ),
            Case(
                "MQTT-3.9.3-2",
                b"\x90\x05\x00\x01\x00\x00\x03",
                6,
                Kind::ReasonCode(3),
                ProtocolError,
            ),
            Case(
                "MQTT-3.11.3-2",
                b"\xB0\x03\x00\x01\x00",
                5,
                Kind::Empty,
                ProtocolError,
            ),
            Case(
                "MQTT-3.11.3-2",
                b"\xB0\x04\x00\x01\x00\x01",
                5,
                Kind::ReasonCode(1),
                ProtocolError,
            ),
            Case(
                "2.2.1",
                b"\x90\x04\x00\x00\x00\x00",
                2,
                Kind::ZeroPacketId,
                ProtocolError,
            ),
        ],
    );
    to_client(
        V3_1_1,
        &[
            Case(
                "MQTT-3.9.3-2 of 3.1.1",
                b"\x90\x03\x00\x01\x87",
                4,
                Kind::ReasonCode(0x87),
                ProtocolError,
            ),
            Case("3.9.3", b"\x90\x02\x00\x01", 4, Kind::Empty, ProtocolError),
            Case(
                "3.11.3",
                b"\xB0\x03\x00\x01\x00",
                4,
                Kind::TrailingBytes(1),
                MalformedPacket,
            ),
        ],
    );
}

#[test]
fn ping_disconnect_auth() {
    to_server(
        V5,
        &[
            Case(
                "3.12.2",
                b"\xC0\x01\x00",
                2,
                Kind::TrailingBytes(1),
                MalformedPacket,
            ),
            Case(
                "MQTT-3.14.2-1",
                b"\xE0\x01\x01",
                2,
                Kind::ReasonCode(1),
                ProtocolError,
            ),
            Case(
                "3.14.2.2",
                b"\xE0\x03\x00\x00\x00",
                4,
                Kind::TrailingBytes(1),
                MalformedPacket,
            ),
            Case(
                "MQTT-3.15.2-1",
                b"\xF0\x02\x80\x00",
                2,
                Kind::ReasonCode(0x80),
                ProtocolError,
            ),
            Case(
                "3.15.2.2",
                b"\xF0\x01\x18",
                3,
                Kind::UnexpectedEnd,
                MalformedPacket,
            ),
            Case(
                "3.15.2.2.2",
                b"\xF0\x02\x18\x00",
                3,
                Kind::MissingProperty(0x15),
                ProtocolError,
            ),
        ],
    );
    to_client(
        V5,
        &[
            Case(
                "3.13.2",
                b"\xD0\x01\x00",
                2,
                Kind::TrailingBytes(1),
                MalformedPacket,
            ),
            Case(
                "MQTT-3.14.2-2",
                b"\xE0\x07\x00\x05\x11\x00\x00\x00\x01",
                4,
                Kind::MisdirectedProperty(0x11),
                ProtocolError,
            ),
        ],
    );
    to_server(
        V3_1_1,
        &[Case(
            "3.14.2 of 3.1.1",
            b"\xE0\x01\x00",
            2,
            Kind::TrailingBytes(1),
            MalformedPacket,
        )],
    );
}
