//! Encoding and decoding are each other's inverse, and the bytes may be split anywhere.
#![allow(clippy::unwrap_used)] // what a test relies on may panic

mod strategies;

use bytes::{Bytes, BytesMut};
use mqtt::{DecodeError, Decoder, Packet, ProtocolVersion, encode, encoded_len};
use proptest::prelude::*;

fn encode_all(packets: &[Packet], version: ProtocolVersion) -> Bytes {
    let mut out = BytesMut::new();
    for packet in packets {
        let start = out.len();
        encode(packet, version, &mut out).unwrap();
        assert_eq!(out.len() - start, encoded_len(packet, version).unwrap());
    }
    out.freeze()
}

/// Everything that `decoder` makes of `chunks`.
fn decode_all<'a>(
    decoder: &mut Decoder,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Packet>, DecodeError> {
    let mut packets = vec![];
    for chunk in chunks {
        let mut input = Bytes::copy_from_slice(chunk);
        while let Some(packet) = decoder.decode(&mut input)? {
            packets.push(packet);
        }
        assert!(input.is_empty(), "what is not used up is lost");
    }
    Ok(packets)
}

/// Decodes `wire` in one piece, byte by byte, and in two pieces split at every point.
fn check_every_split(wire: &[u8], packets: &[Packet], decoder: impl Fn() -> Decoder) {
    let whole = decode_all(&mut decoder(), [wire]).unwrap();
    assert_eq!(whole, packets);
    let mut bytewise = decoder();
    assert_eq!(
        decode_all(&mut bytewise, wire.chunks(1)).unwrap(),
        packets,
        "byte by byte"
    );
    assert_eq!(bytewise.buffered(), 0, "an idle decoder holds no memory");
    for at in 0..=wire.len() {
        let (first, second) = wire.split_at(at);
        let split = decode_all(&mut decoder(), [first, second]).unwrap();
        assert_eq!(split, packets, "split at {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_clients_packets_come_back_the_same_from_every_split(
        (version, packets) in strategies::version()
            .prop_flat_map(|version| (Just(version), strategies::client_stream(version)))
    ) {
        let wire = encode_all(&packets, version);
        check_every_split(&wire, &packets, Decoder::server);
    }

    #[test]
    fn a_servers_packets_come_back_the_same_from_every_split(
        (version, packets) in strategies::version()
            .prop_flat_map(|version| (Just(version), strategies::server_stream(version)))
    ) {
        let wire = encode_all(&packets, version);
        check_every_split(&wire, &packets, || Decoder::client(version));
    }

    #[test]
    fn a_server_decoder_learns_the_version_from_connect(
        connect in strategies::version().prop_flat_map(strategies::connect)
    ) {
        let version = connect.version;
        let mut decoder = Decoder::server();
        prop_assert_eq!(decoder.version(), None);
        let wire = encode_all(&[Packet::Connect(connect)], version);
        decode_all(&mut decoder, [&wire[..]]).unwrap();
        prop_assert_eq!(decoder.version(), Some(version));
    }
}

/// The payload is the input's own memory, not a copy.
#[test]
fn a_packet_that_arrives_whole_is_not_copied() {
    let publish = b"\x30\x09\x00\x03a/b21.5";
    let mut input = Bytes::copy_from_slice(publish);
    let range = input.as_ptr_range();
    let mut decoder = Decoder::client(ProtocolVersion::V3_1_1);
    let Ok(Some(Packet::Publish(publish))) = decoder.decode(&mut input) else {
        panic!("a PUBLISH");
    };
    assert_eq!(&publish.payload[..], b"21.5");
    assert!(range.contains(&publish.payload.as_ptr()));
    let topic = publish.topic.unwrap();
    assert!(range.contains(&topic.as_text().as_bytes().as_ptr()));
}
