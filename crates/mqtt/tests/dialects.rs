//! Clients that are served as version 3.1.1 but say something else in CONNECT: MQTT 3.1, and
//! bridges.
#![allow(clippy::unwrap_used)] // what a test relies on may panic

use bytes::{Bytes, BytesMut};
use mqtt::ProtocolVersion::{V3_1_1, V5};
use mqtt::{
    Connect, DecodeError, DecodeErrorKind, Decoder, Dialect, EncodeError, Packet, encode,
    encoded_len,
};

const V3_1: Dialect = Dialect {
    is_v3_1: true,
    is_bridge: false,
};

fn decode(wire: &[u8]) -> Result<Option<Packet>, DecodeError> {
    Decoder::server().decode(&mut Bytes::copy_from_slice(wire))
}

fn connect(wire: &[u8]) -> Connect {
    match decode(wire) {
        Ok(Some(Packet::Connect(connect))) => connect,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_dialect_is_written_as_it_is_read() {
    let wires: [(&[u8], Dialect); 4] = [
        (
            b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x3C\x00\x01c",
            Dialect::default(),
        ),
        (b"\x10\x0F\x00\x06MQIsdp\x03\x02\x00\x3C\x00\x01c", V3_1),
        (
            b"\x10\x0D\x00\x04MQTT\x84\x02\x00\x3C\x00\x01c",
            Dialect {
                is_v3_1: false,
                is_bridge: true,
            },
        ),
        (
            b"\x10\x0F\x00\x06MQIsdp\x83\x02\x00\x3C\x00\x01c",
            Dialect {
                is_v3_1: true,
                is_bridge: true,
            },
        ),
    ];
    for (wire, dialect) in wires {
        let expected = Connect {
            dialect,
            ..Connect::new(V3_1_1, "c")
        };
        assert_eq!(connect(wire), expected);
        let packet = Packet::Connect(expected);
        let mut out = BytesMut::new();
        encode(&packet, V3_1_1, &mut out).unwrap();
        assert_eq!(&out[..], wire);
        assert_eq!(encoded_len(&packet, V3_1_1), Ok(wire.len()));
        // The rest of the connection speaks 3.1.1.
        let mut decoder = Decoder::server();
        decoder.decode(&mut Bytes::copy_from_slice(wire)).unwrap();
        assert_eq!(decoder.version(), Some(V3_1_1));
    }
}

#[test]
fn version_5_has_no_dialects() {
    let packet = Packet::Connect(Connect {
        dialect: V3_1,
        ..Connect::new(V5, "c")
    });
    let written = encode(&packet, V5, &mut BytesMut::new());
    assert!(
        matches!(written, Err(EncodeError::Invalid(_))),
        "{written:?}"
    );
}

/// The flags of a will without a will, and the lowest bit: 3.1.1 forbids them, 3.1 does not.
#[test]
fn flags_without_a_meaning_are_ignored_in_version_3_1() {
    for flags in [0x03, 0x0A, 0x22, 0x3B & !0x10] {
        let mut wire = *b"\x10\x0F\x00\x06MQIsdp\x03\x02\x00\x3C\x00\x01c";
        wire[11] = flags;
        let connect = connect(&wire);
        assert_eq!((connect.will, connect.clean_start), (None, true), "{flags}");

        let mut wire = *b"\x10\x0D\x00\x04MQTT\x84\x02\x00\x3C\x00\x01c";
        wire[9] = flags;
        let error = decode(&wire).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::Flags(flags));
    }
}

/// "The Remaining Length field takes precedence over the User Name flag" (3.1, section 3.1).
#[test]
fn user_name_and_password_may_be_missing_in_version_3_1() {
    let missing = connect(b"\x10\x0F\x00\x06MQIsdp\x03\xC2\x00\x3C\x00\x01c");
    assert_eq!((missing.user_name, missing.password), (None, None));
    let half = connect(b"\x10\x12\x00\x06MQIsdp\x03\xC2\x00\x3C\x00\x01c\x00\x01u");
    assert_eq!(half.user_name.as_deref(), Some("u"));
    assert_eq!(half.password, None);
    // A field that is there must be complete.
    let cut = decode(b"\x10\x11\x00\x06MQIsdp\x03\xC2\x00\x3C\x00\x01c\x00\x01");
    assert_eq!(cut.unwrap_err().kind, DecodeErrorKind::UnexpectedEnd);
}

/// In 3.1 a client that repeats PUBREL, SUBSCRIBE or UNSUBSCRIBE sets DUP (its section 2.1).
#[test]
fn a_repeated_request_has_dup_in_version_3_1_alone() {
    let repeated: [&[u8]; 3] = [
        b"\x6A\x02\x00\x01",
        b"\x8A\x06\x00\x01\x00\x01t\x00",
        b"\xAA\x05\x00\x01\x00\x01t",
    ];
    for wire in repeated {
        let after = |connect: &[u8], wire: &[u8]| {
            let mut decoder = Decoder::server();
            let mut input = Bytes::copy_from_slice(&[connect, wire].concat());
            assert!(decoder.decode(&mut input).unwrap().is_some());
            decoder.decode(&mut input)
        };
        let first = [&[wire[0] & !0x08], &wire[1..]].concat();
        let old = b"\x10\x0F\x00\x06MQIsdp\x03\x02\x00\x3C\x00\x01c";
        assert_eq!(after(old, wire), after(old, &first));
        assert!(after(old, wire).is_ok_and(|packet| packet.is_some()));
        // No other bit.
        let wrong = [&[wire[0] | 0x01], &wire[1..]].concat();
        assert!(after(old, &wrong).is_err());

        let new = b"\x10\x0D\x00\x04MQTT\x04\x02\x00\x3C\x00\x01c";
        let refused = after(new, wire).unwrap_err().kind;
        assert_eq!(refused, DecodeErrorKind::ReservedFlags(0x0A));
    }
}
