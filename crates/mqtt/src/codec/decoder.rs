//! Turns a stream of bytes, split anywhere, into packets.

use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use super::decode;
use super::reader::{Reader, VariableByteInteger};
use crate::SERVER;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::packet::{Dialect, Packet, PacketType, ProtocolVersion, QoS};

/// Takes packets off a stream of bytes.
///
/// Feed it whatever has arrived, and call [`decode`](Self::decode) until it returns `None`. A
/// packet that arrived whole is a slice of the input: the decoder copies nothing, and the packet's
/// strings and payload share the input's memory. The decoder gathers only a packet that arrives in
/// pieces. The memory for it grows with what has arrived, not with what its header claims.
///
/// It refuses what is malformed, and what this side may never receive: anything before CONNECT, a
/// second CONNECT, a SUBACK sent to a server. The state machines check the order of what follows
/// (CONNACK first, AUTH only after a request).
///
/// After an error the connection has to end. The decoder drops what it holds, and drops everything
/// that it is fed from then on.
#[derive(Debug)]
pub struct Decoder {
    stage: Stage,
    max_packet_size: u32,
    /// The start of a packet whose rest has not arrived. It is never longer than `max_packet_size`,
    /// and takes no memory between packets.
    partial: Vec<u8>,
}

/// Who sends the bytes. That decides which packets may come.
#[derive(Copy, Clone, Debug)]
enum Stage {
    /// A client that has not sent anything.
    AwaitingConnect,
    /// A client after CONNECT.
    FromClient(ProtocolVersion, Dialect),
    /// A server.
    FromServer(ProtocolVersion),
    /// An error occurred. Holds the version if it was known by then.
    Failed(Option<ProtocolVersion>),
}

/// A valid fixed header (section 2.1).
#[derive(Copy, Clone)]
struct Header {
    packet_type: PacketType,
    first_byte: u8,
    /// Length of the fixed header: 2 to 5.
    len: usize,
    /// Length of the whole packet, in bytes.
    packet_len: usize,
    /// Whether the length has its shortest form `[MQTT-1.5.5-1]`. Only version 5 has this rule.
    minimal: bool,
}

/// How many bytes a packet in pieces reserves before more of it arrives.
const FIRST_RESERVATION: usize = 4 * 1024;

impl Decoder {
    /// The largest packet that a decoder accepts by default, in bytes: 16 MiB.
    pub const DEFAULT_MAX_PACKET_SIZE: u32 = 16 * 1024 * 1024;

    /// Decodes what a client sends. Without the feature `server` it refuses everything.
    ///
    /// It learns the version from CONNECT, which must come first and only once `[MQTT-3.1.0-1]`
    /// `[MQTT-3.1.0-2]`.
    pub const fn server() -> Self {
        Self::at(Stage::AwaitingConnect)
    }

    /// Decodes what a server sends to a client that speaks `version`.
    pub const fn client(version: ProtocolVersion) -> Self {
        Self::at(Stage::FromServer(version))
    }

    const fn at(stage: Stage) -> Self {
        Self {
            stage,
            max_packet_size: Self::DEFAULT_MAX_PACKET_SIZE,
            partial: Vec::new(),
        }
    }

    /// Refuses packets of more than `bytes`, fixed header included, from the next one on. This is
    /// the Maximum Packet Size that this side has announced.
    pub const fn set_max_packet_size(&mut self, bytes: u32) {
        self.max_packet_size = bytes;
    }

    /// The protocol version, as soon as it is known. It outlives an error: a CONNECT that tells its
    /// version and then goes wrong can be answered in that version.
    pub const fn version(&self) -> Option<ProtocolVersion> {
        match self.stage {
            Stage::AwaitingConnect => None,
            Stage::FromClient(version, _) | Stage::FromServer(version) => Some(version),
            Stage::Failed(version) => version,
        }
    }

    /// The memory that an unfinished packet takes, in bytes. It is zero between packets, and never
    /// more than the larger of 4 KiB and twice what has arrived.
    pub const fn buffered(&self) -> usize {
        self.partial.capacity()
    }

    /// Takes the next packet off the front of `input`.
    ///
    /// `None` means that `input` is used up. The decoder keeps an incomplete packet.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Packet>, DecodeError> {
        if let Stage::Failed(_) = self.stage {
            input.clear();
            return Ok(None);
        }
        let result = self.decode_next(input);
        if result.is_err() {
            self.stage = Stage::Failed(self.version());
            self.partial = Vec::new();
            input.clear();
        }
        result
    }

    fn decode_next(&mut self, input: &mut Bytes) -> Result<Option<Packet>, DecodeError> {
        match self.next_frame(input)? {
            Some((header, frame)) => self.decode_frame(header, frame),
            None => Ok(None),
        }
    }

    /// The next whole packet, if it has arrived.
    fn next_frame(&mut self, input: &mut Bytes) -> Result<Option<(Header, Bytes)>, DecodeError> {
        if self.partial.is_empty() {
            let header = self.header(input)?;
            if let Some(header) = header
                && header.packet_len <= input.len()
            {
                return Ok(Some((header, input.split_to(header.packet_len))));
            }
        }
        loop {
            if let Some(header) = self.header(&self.partial)? {
                self.gather(input, header.packet_len);
                if self.partial.len() < header.packet_len {
                    return Ok(None);
                }
                let frame = Bytes::from(core::mem::take(&mut self.partial));
                return Ok(Some((header, frame)));
            }
            if !input.has_remaining() {
                return Ok(None);
            }
            self.partial.push(input.get_u8());
        }
    }

    /// Moves the bytes of a packet of `packet_len` bytes from `input` to `partial`, as many as have
    /// arrived.
    fn gather(&mut self, input: &mut Bytes, packet_len: usize) {
        let arrived = self.partial.len();
        let chunk = input.split_to(input.len().min(packet_len.saturating_sub(arrived)));
        let needed = arrived + chunk.len();
        if needed > self.partial.capacity() {
            let grown = (2 * self.partial.capacity()).max(FIRST_RESERVATION);
            let capacity = grown.max(needed).min(packet_len);
            self.partial.reserve_exact(capacity - arrived);
        }
        self.partial.extend_from_slice(&chunk);
    }

    /// The fixed header at the start of `bytes`, if all of it is there. The decoder judges each
    /// byte as soon as it arrives, so it never waits for a packet that it will refuse.
    fn header(&self, bytes: &[u8]) -> Result<Option<Header>, DecodeError> {
        let Some((&first_byte, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let packet_type = self
            .admit(first_byte)
            .map_err(|kind| DecodeError { offset: 0, kind })?;
        let error = |kind| DecodeError { offset: 1, kind };
        let Some(remaining_length) = VariableByteInteger::parse(rest).map_err(error)? else {
            return Ok(None);
        };
        let minimal = remaining_length.is_minimal();
        if !minimal && self.version() == Some(ProtocolVersion::V5) {
            return Err(error(DecodeErrorKind::VariableByteInteger));
        }
        let len = 1 + remaining_length.len;
        let packet_len = len + remaining_length.value as usize;
        let limit = self.max_packet_size as usize;
        if packet_len > limit {
            return Err(error(DecodeErrorKind::PacketTooLarge {
                size: packet_len,
                limit,
            }));
        }
        Ok(Some(Header {
            packet_type,
            first_byte,
            len,
            packet_len,
            minimal,
        }))
    }

    /// Whether a packet that starts with `first_byte` may come now.
    fn admit(&self, first_byte: u8) -> Result<PacketType, DecodeErrorKind> {
        let number = first_byte >> 4;
        let unknown = DecodeErrorKind::UnknownPacketType(number);
        let packet_type = PacketType::from_u8(number).ok_or(unknown.clone())?;
        if packet_type == PacketType::Auth && self.version() == Some(ProtocolVersion::V3_1_1) {
            return Err(unknown);
        }
        let expected = match self.stage {
            Stage::AwaitingConnect => SERVER && packet_type == PacketType::Connect,
            Stage::FromClient(..) => SERVER && is_sent_by_client(packet_type),
            Stage::FromServer(version) => is_sent_by_server(packet_type, version),
            Stage::Failed(_) => false,
        };
        if !expected {
            return Err(DecodeErrorKind::UnexpectedPacket(packet_type));
        }
        check_flags(
            packet_type,
            first_byte & !self.meaningless_flags(packet_type),
        )?;
        Ok(packet_type)
    }

    /// Flags that mean nothing in a packet of this type. In MQTT 3.1 (its section 2.1) a sender
    /// that repeats one of these three packets sets DUP. From 3.1.1 on the bit is reserved.
    const fn meaningless_flags(&self, packet_type: PacketType) -> u8 {
        match (self.stage, packet_type) {
            (
                Stage::FromClient(_, Dialect { is_v3_1: true, .. }),
                PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe,
            ) => 0x08,
            _ => 0,
        }
    }

    fn decode_frame(
        &mut self,
        header: Header,
        frame: Bytes,
    ) -> Result<Option<Packet>, DecodeError> {
        let mut reader = Reader::new(frame, header.len);
        let (version, dialect, from_server) = match self.stage {
            Stage::FromClient(version, dialect) => (version, dialect, false),
            Stage::FromServer(version) => (version, Dialect::default(), true),
            Stage::AwaitingConnect | Stage::Failed(_) => {
                let (version, dialect) = decode::connect_version(&mut reader)?;
                self.stage = Stage::FromClient(version, dialect);
                if !header.minimal && version == ProtocolVersion::V5 {
                    let kind = DecodeErrorKind::VariableByteInteger;
                    return Err(DecodeError { offset: 1, kind });
                }
                (version, dialect, false)
            }
        };
        let body = decode::Body {
            reader,
            first_byte: header.first_byte,
            version,
            dialect,
            // Without the feature `server` everything counts as the server's.
            from_server: from_server || !SERVER,
        };
        body.decode(header.packet_type)
    }
}

/// The column "direction of flow" of table 2-1. CONNECT is not in it, because it comes only once.
const fn is_sent_by_client(packet_type: PacketType) -> bool {
    match packet_type {
        PacketType::Publish
        | PacketType::PubAck
        | PacketType::PubRec
        | PacketType::PubRel
        | PacketType::PubComp
        | PacketType::Subscribe
        | PacketType::Unsubscribe
        | PacketType::PingReq
        | PacketType::Disconnect
        | PacketType::Auth => true,
        PacketType::Connect
        | PacketType::ConnAck
        | PacketType::SubAck
        | PacketType::UnsubAck
        | PacketType::PingResp => false,
    }
}

/// In 3.1.1 a server has no DISCONNECT; it just closes the connection.
const fn is_sent_by_server(packet_type: PacketType, version: ProtocolVersion) -> bool {
    match packet_type {
        PacketType::ConnAck
        | PacketType::Publish
        | PacketType::PubAck
        | PacketType::PubRec
        | PacketType::PubRel
        | PacketType::PubComp
        | PacketType::SubAck
        | PacketType::UnsubAck
        | PacketType::PingResp => true,
        PacketType::Disconnect | PacketType::Auth => matches!(version, ProtocolVersion::V5),
        PacketType::Connect
        | PacketType::Subscribe
        | PacketType::Unsubscribe
        | PacketType::PingReq => false,
    }
}

/// Table 2-2 `[MQTT-2.1.3-1]`.
fn check_flags(packet_type: PacketType, first_byte: u8) -> Result<(), DecodeErrorKind> {
    let flags = first_byte & 0x0F;
    match packet_type {
        PacketType::Publish => match QoS::from_u8(flags >> 1 & 0x03) {
            // [MQTT-3.3.1-4]
            None => Err(DecodeErrorKind::QoS),
            // [MQTT-3.3.1-2]
            Some(QoS::AtMostOnce) if flags & 0x08 != 0 => Err(DecodeErrorKind::Dup),
            Some(QoS::AtMostOnce | QoS::AtLeastOnce | QoS::ExactlyOnce) => Ok(()),
        },
        // [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
        PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => {
            expect_flags(flags, 0x02)
        }
        // [MQTT-3.14.1-1] [MQTT-3.15.1-1]
        PacketType::Connect
        | PacketType::ConnAck
        | PacketType::PubAck
        | PacketType::PubRec
        | PacketType::PubComp
        | PacketType::SubAck
        | PacketType::UnsubAck
        | PacketType::PingReq
        | PacketType::PingResp
        | PacketType::Disconnect
        | PacketType::Auth => expect_flags(flags, 0x00),
    }
}

fn expect_flags(flags: u8, expected: u8) -> Result<(), DecodeErrorKind> {
    if flags == expected {
        Ok(())
    } else {
        Err(DecodeErrorKind::ReservedFlags(flags))
    }
}

/// The length of the packet at the start of `bytes`, as its fixed header says. `None` if that is not
/// there or not well formed. For packets that were just encoded.
///
/// ```
/// use mqtt::{Packet, ProtocolVersion, Publish, TopicName, encode, packet_len};
///
/// let publish = Publish::new(TopicName::try_from("a/b").unwrap(), "hello");
/// let mut bytes = bytes::BytesMut::new();
/// encode(&Packet::Publish(publish), ProtocolVersion::V5, &mut bytes).unwrap();
/// encode(&Packet::PingReq, ProtocolVersion::V5, &mut bytes).unwrap();
/// assert_eq!(packet_len(&bytes), Some(bytes.len() - 2));
/// assert_eq!(packet_len(&bytes[..1]), None);
/// ```
pub fn packet_len(bytes: &[u8]) -> Option<usize> {
    let remaining_length = VariableByteInteger::parse(bytes.get(1..)?).ok()??;
    Some(1 + remaining_length.len + remaining_length.value as usize)
}
