//! Whatever the bytes are, the decoder neither panics nor takes much memory.
#![allow(clippy::unwrap_used)] // what a test relies on may panic

mod strategies;

use bytes::{Bytes, BytesMut};
use mqtt::{DecodeError, DecodeErrorKind, Decoder, Packet, ProtocolVersion, ReasonCode, encode};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const CONNECT_V5: &[u8] = b"\x10\x0D\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00";

/// The packets before the first error, and that error.
fn decode_chunks(
    mut decoder: Decoder,
    chunks: &mut dyn Iterator<Item = &[u8]>,
) -> (Vec<Packet>, Option<DecodeError>) {
    let mut packets = vec![];
    for chunk in chunks {
        let mut input = Bytes::copy_from_slice(chunk);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => {
                    assert!(error.reason_code().is_error());
                    assert!(!error.to_string().is_empty());
                    assert_eq!(decoder.buffered(), 0);
                    return (packets, Some(error));
                }
            }
        }
    }
    (packets, None)
}

fn decoders() -> [Decoder; 3] {
    [
        Decoder::server(),
        Decoder::client(ProtocolVersion::V3_1_1),
        Decoder::client(ProtocolVersion::V5),
    ]
}

/// Decodes `wire` whole and byte by byte. Both must give the same result.
fn check(wire: &[u8]) {
    for (whole, bytewise) in decoders().into_iter().zip(decoders()) {
        let whole = decode_chunks(whole, &mut std::iter::once(wire));
        let bytewise = decode_chunks(bytewise, &mut wire.chunks(1));
        assert_eq!(whole, bytewise);
    }
}

#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Truncate(Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<Index>(), 0..8_u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        any::<Index>().prop_map(Mutation::Remove),
        any::<Index>().prop_map(Mutation::Truncate),
    ]
}

fn mutate(wire: &mut Vec<u8>, mutation: &Mutation) {
    if wire.is_empty() {
        return;
    }
    let len = wire.len();
    match mutation {
        Mutation::Set(at, byte) => wire[at.index(len)] = *byte,
        Mutation::Flip(at, bit) => wire[at.index(len)] ^= 1 << bit,
        Mutation::Insert(at, byte) => wire.insert(at.index(len), *byte),
        Mutation::Remove(at) => {
            wire.remove(at.index(len));
        }
        Mutation::Truncate(at) => wire.truncate(at.index(len)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn arbitrary_bytes_never_panic(wire in vec(any::<u8>(), 0..300)) {
        check(&wire);
    }

    #[test]
    fn arbitrary_bytes_after_connect_never_panic(tail in vec(any::<u8>(), 0..300)) {
        let mut wire = CONNECT_V5.to_vec();
        wire.extend_from_slice(&tail);
        check(&wire);
    }

    #[test]
    fn mutated_packets_never_panic_and_end_alike_from_every_split(
        (version, packets) in strategies::version().prop_flat_map(|version| {
            let stream = prop_oneof![
                strategies::client_stream(version),
                strategies::server_stream(version),
            ];
            (Just(version), stream)
        }),
        mutations in vec(mutation(), 1..6),
    ) {
        let mut out = BytesMut::new();
        for packet in &packets {
            encode(packet, version, &mut out).unwrap();
        }
        let mut wire = out.to_vec();
        for mutation in &mutations {
            mutate(&mut wire, mutation);
        }
        check(&wire);
    }

    /// What the decoder accepts can be encoded again, and then decodes to the same.
    #[test]
    fn decoded_packets_can_be_encoded(
        (version, packets) in strategies::version()
            .prop_flat_map(|version| (Just(version), strategies::client_stream(version))),
        mutations in vec(mutation(), 1..4),
    ) {
        let mut out = BytesMut::new();
        for packet in &packets {
            encode(packet, version, &mut out).unwrap();
        }
        let mut wire = out.to_vec();
        for mutation in &mutations {
            mutate(&mut wire, mutation);
        }
        let (decoded, _) = decode_chunks(Decoder::server(), &mut std::iter::once(&wire[..]));
        let Some(Packet::Connect(connect)) = decoded.first() else { return Ok(()) };
        let version = connect.version;
        let mut again = BytesMut::new();
        for packet in &decoded {
            encode(packet, version, &mut again).unwrap();
        }
        let (redecoded, error) =
            decode_chunks(Decoder::server(), &mut std::iter::once(&again[..]));
        prop_assert_eq!(error, None);
        prop_assert_eq!(redecoded, decoded);
    }
}

#[test]
fn mqtt_3_1_2_24_refuses_256_mb_as_soon_as_the_fixed_header_is_read() {
    let mut decoder = Decoder::server();
    let mut input = Bytes::from_static(b"\x10\xFF\xFF\xFF\x7F");
    let error = decoder.decode(&mut input).unwrap_err();
    assert_eq!(error.offset, 1);
    assert_eq!(
        error.kind,
        DecodeErrorKind::PacketTooLarge {
            size: 268_435_460,
            limit: 16_777_216
        }
    );
    assert_eq!(error.reason_code(), ReasonCode::PacketTooLarge);
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn a_packet_of_exactly_the_limit_is_taken_and_one_byte_more_is_not() {
    let mut decoder = Decoder::client(ProtocolVersion::V3_1_1);
    decoder.set_max_packet_size(9);
    let mut input = Bytes::from_static(b"\x30\x07\x00\x03a/b42\x30\x08\x00\x03a/b421");
    assert!(decoder.decode(&mut input).unwrap().is_some());
    let error = decoder.decode(&mut input).unwrap_err();
    let expected = DecodeErrorKind::PacketTooLarge { size: 10, limit: 9 };
    assert_eq!(error.kind, expected);
}

#[test]
fn memory_grows_with_what_arrived_and_not_with_what_is_announced() {
    let mut decoder = Decoder::client(ProtocolVersion::V5);
    // The header announces 10 MB.
    let mut arrived = 5;
    let mut input = Bytes::from_static(b"\x30\x80\xAD\xE2\x04");
    while arrived < 9_000_000 {
        assert_eq!(decoder.decode(&mut input), Ok(None));
        assert!(decoder.buffered() <= 4096.max(2 * arrived), "at {arrived}");
        input = Bytes::from(vec![b'x'; 10_007]);
        arrived += input.len();
    }
}

#[test]
fn after_an_error_nothing_is_decoded_and_nothing_is_held() {
    let mut decoder = Decoder::server();
    let mut input = Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n");
    assert!(decoder.decode(&mut input).is_err());
    assert!(input.is_empty());
    let mut input = Bytes::from_static(CONNECT_V5);
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert!(input.is_empty());
    assert_eq!(decoder.buffered(), 0);
}

/// The server can answer a CONNECT that goes wrong after its version in that version.
#[test]
fn the_version_outlives_an_error() {
    let mut decoder = Decoder::server();
    let mut input = Bytes::from_static(b"\x10\x0D\x00\x04MQTT\x05\x01\x00\x3C\x00\x00\x00");
    assert!(decoder.decode(&mut input).is_err());
    assert_eq!(decoder.version(), Some(ProtocolVersion::V5));
}
