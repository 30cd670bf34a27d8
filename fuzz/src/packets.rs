//! The packet decoder and encoder.
//!
//! Byte 0 of the input says which side reads, byte 1 how the stream is split. The rest is the
//! stream.
//!
//! The target checks that every split of the stream gives the same packets and the same error. The
//! decoder keeps no more of an unfinished packet than documented. A decoded packet can be encoded,
//! in the length foretold, and decodes to the same again. A template writes what the encoder
//! writes.

use bytes::{Bytes, BytesMut};
use mqtt::{
    Connect, DecodeError, Decoder, Dialect, EncodeError, Packet, ProtocolVersion, Publish,
    PublishForm, PublishTemplate, TemplatePatch, encode, encode_within, encoded_len,
};

use crate::Script;

/// Small enough for a short input to exceed it.
const MAX_PACKET_SIZE: u32 = 4_000;

/// The side that reads the stream, and what came before it.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    /// A server, from the first byte on.
    Server,
    /// A server after a CONNECT of this version.
    Connected(ProtocolVersion),
    /// A client of this version.
    Client(ProtocolVersion),
    /// A server after a CONNECT of MQTT 3.1, which is less strict about flags.
    ConnectedV3_1,
}

impl Side {
    /// The sides, as byte 0 of the input numbers them.
    pub const ALL: [Self; 6] = [
        Self::Server,
        Self::Connected(ProtocolVersion::V3_1_1),
        Self::Connected(ProtocolVersion::V5),
        Self::Client(ProtocolVersion::V3_1_1),
        Self::Client(ProtocolVersion::V5),
        Self::ConnectedV3_1,
    ];

    fn decoder(self) -> Decoder {
        let mut decoder = match self {
            Self::Server | Self::Connected(_) | Self::ConnectedV3_1 => Decoder::server(),
            Self::Client(version) => Decoder::client(version),
        };
        decoder.set_max_packet_size(MAX_PACKET_SIZE);
        if let Some(connect) = self.connect() {
            let mut wire = BytesMut::new();
            let version = connect.version;
            encode(&Packet::Connect(connect), version, &mut wire).expect("a good CONNECT");
            let decoded = decoder.decode(&mut wire.freeze());
            assert!(matches!(decoded, Ok(Some(Packet::Connect(_)))));
        }
        decoder
    }

    /// What came before the stream.
    fn connect(self) -> Option<Connect> {
        match self {
            Self::Server | Self::Client(_) => None,
            Self::Connected(version) => Some(Connect::new(version, "c")),
            Self::ConnectedV3_1 => Some(Connect {
                dialect: Dialect {
                    is_v3_1: true,
                    is_bridge: false,
                },
                ..Connect::new(ProtocolVersion::V3_1_1, "c")
            }),
        }
    }
}

/// Runs one input; see the module.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let side = Side::ALL[usize::from(script.below(6))];
    let step = usize::from(script.byte()) + 1;
    let wire = script.rest();

    let mut decoder = side.decoder();
    let whole = decode(&mut decoder, std::iter::once(wire));
    let version = decoder.version();
    assert_eq!(
        whole,
        decode(&mut side.decoder(), wire.chunks(1)),
        "byte by byte"
    );
    assert_eq!(
        whole,
        decode(&mut side.decoder(), wire.chunks(step)),
        "in pieces of {step}"
    );

    if let Some(version) = version {
        for packet in &whole.0 {
            again(packet, version, side);
        }
    } else {
        assert!(whole.0.is_empty(), "packets of no version");
    }
}

fn decode<'a>(
    decoder: &mut Decoder,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> (Vec<Packet>, Option<DecodeError>) {
    let mut packets = Vec::new();
    let mut arrived = 0;
    for chunk in chunks {
        arrived += chunk.len();
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
        assert!(input.is_empty(), "what is not used up is lost");
        assert!(decoder.buffered() <= 4_096.max(2 * arrived), "hoards");
    }
    (packets, None)
}

fn again(packet: &Packet, version: ProtocolVersion, side: Side) {
    let mut wire = BytesMut::new();
    encode(packet, version, &mut wire).unwrap_or_else(|error| panic!("{error}: {packet:?}"));
    assert_eq!(wire.len(), encoded_len(packet, version).unwrap());
    let wire = wire.freeze();

    let side = match (side, packet) {
        (Side::Server, Packet::Connect(_)) => Side::Server,
        (Side::Server, _) => Side::Connected(version),
        (side, _) => side,
    };
    let mut decoder = side.decoder();
    // A packet that is not in its shortest form may become longer: a reason code that was left out
    // stays out, but a length of four bytes becomes one of one.
    decoder.set_max_packet_size(2 * MAX_PACKET_SIZE);
    let (decoded, error) = decode(&mut decoder, std::iter::once(&wire[..]));
    assert_eq!(error, None, "{packet:?}");
    assert_eq!(decoded.len(), 1);
    assert_eq!(&decoded[0], packet);

    within(packet, version, &wire);
    if let Packet::Publish(publish) = packet {
        template(publish, version, &wire);
    }
}

/// A smaller limit leaves out diagnostics or refuses the packet. The output never exceeds the
/// limit.
fn within(packet: &Packet, version: ProtocolVersion, wire: &Bytes) {
    let len = u32::try_from(wire.len()).unwrap();
    let mut out = BytesMut::new();
    encode_within(packet, version, len, &mut out).unwrap();
    assert_eq!(out, wire);
    for limit in [len - 1, len / 2] {
        let mut out = BytesMut::new();
        match encode_within(packet, version, limit, &mut out) {
            Ok(()) => assert!(out.len() <= limit as usize && !out.is_empty()),
            Err(EncodeError::AboveLimit { .. }) => assert!(out.is_empty()),
            Err(error) => panic!("{error}: {packet:?}"),
        }
    }
}

fn template(publish: &Publish, version: ProtocolVersion, wire: &Bytes) {
    let template = PublishTemplate::new(publish, version, &PublishForm::of(publish)).unwrap();
    let patch = TemplatePatch {
        packet_id: publish.packet_id,
        dup: publish.dup,
        message_expiry_interval: publish.properties.message_expiry_interval,
        topic_alias: publish.properties.topic_alias,
    };
    let mut out = BytesMut::new();
    template.write(&patch, &mut out);
    assert_eq!(out, wire);
    assert_eq!(template.encoded_len(), wire.len());
}
