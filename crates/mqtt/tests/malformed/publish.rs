//! PUBLISH.

use bytes::Bytes;
use mqtt::{Decoder, Packet, ReasonCode, TextError, TopicError};

use crate::ReasonCode::{MalformedPacket, ProtocolError};
use crate::{Case, Kind, V3_1_1, V5, to_client, to_server};

#[test]
fn publish() {
    to_server(
        V5,
        &[
            Case("MQTT-3.3.1-4", b"\x36\x07", 0, Kind::QoS, MalformedPacket),
            Case("MQTT-3.3.1-2", b"\x38\x05", 0, Kind::Dup, MalformedPacket),
            Case(
                "MQTT-3.3.2-1",
                b"\x30\x05\x00\x02\xFF\xFE\x00",
                2,
                Kind::Text(TextError::NotUtf8),
                MalformedPacket,
            ),
            Case(
                "MQTT-3.3.2-2",
                b"\x30\x06\x00\x03a/+\x00",
                2,
                Kind::Topic(TopicError::WildcardInName),
                MalformedPacket,
            ),
            Case(
                "MQTT-4.7.3-2",
                b"\x30\x06\x00\x03a\x00b\x00",
                2,
                Kind::Text(TextError::Null),
                MalformedPacket,
            ),
            Case(
                "3.3.2.1",
                b"\x30\x03\x00\x00\x00",
                2,
                Kind::NoTopic,
                ProtocolError,
            ),
            Case(
                "MQTT-2.2.1-3",
                b"\x32\x06\x00\x01t\x00\x00\x00",
                5,
                Kind::ZeroPacketId,
                ProtocolError,
            ),
            Case(
                "3.3.2.2",
                b"\x34\x04\x00\x01t\x00",
                5,
                Kind::UnexpectedEnd,
                MalformedPacket,
            ),
            Case(
                "MQTT-2.2.2-1",
                b"\x30\x03\x00\x01t",
                5,
                Kind::UnexpectedEnd,
                MalformedPacket,
            ),
            Case(
                "MQTT-3.3.2-8",
                b"\x30\x07\x00\x01t\x03\x23\x00\x00",
                7,
                Kind::PropertyValue(0x23),
                ReasonCode::TopicAliasInvalid,
            ),
            Case(
                "3.3.2.3.4",
                b"\x30\x0A\x00\x01t\x06\x23\x00\x01\x23\x00\x01",
                9,
                Kind::DuplicateProperty(0x23),
                ProtocolError,
            ),
            Case(
                "3.3.2.3.2",
                b"\x30\x06\x00\x01t\x02\x01\x02",
                7,
                Kind::PropertyValue(0x01),
                ProtocolError,
            ),
            Case(
                "3.3.2.3.3",
                b"\x30\x0E\x00\x01t\x0A\x02\x00\x00\x00\x01\x02\x00\x00\x00\x01",
                11,
                Kind::DuplicateProperty(0x02),
                ProtocolError,
            ),
            Case(
                "MQTT-3.3.2-13",
                b"\x30\x08\x00\x01t\x04\x08\x00\x01\xFF",
                7,
                Kind::Text(TextError::NotUtf8),
                MalformedPacket,
            ),
            Case(
                "MQTT-3.3.2-14",
                b"\x30\x08\x00\x01t\x04\x08\x00\x01#",
                7,
                Kind::Topic(TopicError::WildcardInName),
                MalformedPacket,
            ),
            Case(
                "MQTT-3.3.2-19",
                b"\x30\x08\x00\x01t\x04\x03\x00\x01\x80",
                7,
                Kind::Text(TextError::NotUtf8),
                MalformedPacket,
            ),
            Case(
                "MQTT-3.3.4-6",
                b"\x30\x06\x00\x01t\x02\x0B\x01",
                6,
                Kind::MisdirectedProperty(0x0B),
                ProtocolError,
            ),
            Case(
                "2.2.2.2",
                b"\x30\x08\x00\x01t\x04\x1F\x00\x01r",
                6,
                Kind::MisplacedProperty(0x1F),
                MalformedPacket,
            ),
        ],
    );
    to_client(
        V5,
        &[Case(
            "3.3.2.3.8",
            b"\x30\x06\x00\x01t\x02\x0B\x00",
            7,
            Kind::PropertyValue(0x0B),
            ProtocolError,
        )],
    );
    to_server(
        V3_1_1,
        &[
            Case(
                "MQTT-4.7.3-1",
                b"\x30\x02\x00\x00",
                2,
                Kind::Topic(TopicError::Empty),
                MalformedPacket,
            ),
            Case(
                "2.3.1 of 3.1.1",
                b"\x32\x05\x00\x01t\x00\x00",
                5,
                Kind::ZeroPacketId,
                ProtocolError,
            ),
            Case(
                "3.3.2.1",
                b"\x30\x02\x00\x01",
                2,
                Kind::UnexpectedEnd,
                MalformedPacket,
            ),
        ],
    );
}

/// `[MQTT-1.5.4-3]`: U+FEFF is a character like any other.
#[test]
fn mqtt_1_5_4_3_a_byte_order_mark_is_kept() {
    let mut input = Bytes::from_static(b"\x30\x06\x00\x04\xEF\xBB\xBFa");
    let mut decoder = Decoder::client(V3_1_1);
    let Ok(Some(Packet::Publish(publish))) = decoder.decode(&mut input) else {
        panic!("a PUBLISH");
    };
    assert_eq!(publish.topic.unwrap().as_str(), "\u{FEFF}a");
}
