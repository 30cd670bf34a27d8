//! The standard's data types (section 1.5), read from one whole packet.

use core::num::NonZeroU16;

use bytes::{Buf, Bytes};

use crate::error::{DecodeError, DecodeErrorKind};
use crate::packet::{PacketId, ProtocolVersion};
use crate::text::Utf8String;
use crate::topic::{TopicError, TopicFilter, TopicName};

/// A position in one whole packet.
///
/// Every error carries the offset of the field that is wrong. If the field has a length prefix,
/// that is the first byte of the prefix.
pub(super) struct Reader {
    packet: Bytes,
    at: usize,
    end: usize,
}

/// The value of a variable byte integer and the number of bytes it takes.
pub(super) struct VariableByteInteger {
    pub(super) value: u32,
    pub(super) len: usize,
}

impl VariableByteInteger {
    /// Parses the integer at the start of `bytes`. Returns `None` if it is incomplete, and an error
    /// if it has a fifth byte (section 1.5.5).
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, DecodeErrorKind> {
        let mut value = 0;
        for (index, &byte) in bytes.iter().take(4).enumerate() {
            value |= u32::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(Some(Self {
                    value,
                    len: index + 1,
                }));
            }
        }
        if bytes.len() >= 4 {
            return Err(DecodeErrorKind::VariableByteInteger);
        }
        Ok(None)
    }

    /// Whether no shorter encoding of the same value exists `[MQTT-1.5.5-1]`.
    pub(super) const fn is_minimal(&self) -> bool {
        self.len == 1 || self.value >> (7 * (self.len - 1)) != 0
    }
}

impl Reader {
    /// Reads `packet`, whose fixed header ends before byte `at`.
    pub(super) const fn new(packet: Bytes, at: usize) -> Self {
        let end = packet.len();
        Self { packet, at, end }
    }

    /// Where the next field starts.
    pub(super) const fn offset(&self) -> usize {
        self.at
    }

    /// How many bytes are left in the packet, or in the open section.
    pub(super) const fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// An error about the next field.
    #[cold]
    pub(super) const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError {
            offset: self.at,
            kind,
        }
    }

    /// Checks that no byte is left over.
    pub(super) fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            surplus => Err(self.error(DecodeErrorKind::TrailingBytes(surplus))),
        }
    }

    /// Opens a section of `len` bytes; reads cannot go beyond it. Returns the end of the enclosing
    /// section, for [`Reader::leave`].
    pub(super) fn enter(&mut self, len: usize) -> Result<usize, DecodeError> {
        self.need(len)?;
        Ok(core::mem::replace(&mut self.end, self.at + len))
    }

    /// Closes a section that was read to its end.
    pub(super) const fn leave(&mut self, end: usize) {
        self.end = end;
    }

    fn need(&self, len: usize) -> Result<(), DecodeError> {
        if self.remaining() < len {
            return Err(self.error(DecodeErrorKind::UnexpectedEnd));
        }
        Ok(())
    }

    /// The next byte, without consuming it.
    pub(super) fn peek(&self) -> Option<u8> {
        self.left().first().copied()
    }

    fn left(&self) -> &[u8] {
        self.packet.get(self.at..self.end).unwrap_or_default()
    }

    /// One byte (section 1.5.1).
    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let Some(byte) = self.peek() else {
            return Err(self.error(DecodeErrorKind::UnexpectedEnd));
        };
        self.at += 1;
        Ok(byte)
    }

    /// A two byte integer (section 1.5.2).
    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        let Some(bytes) = self.left().first_chunk() else {
            return Err(self.error(DecodeErrorKind::UnexpectedEnd));
        };
        let value = u16::from_be_bytes(*bytes);
        self.at += 2;
        Ok(value)
    }

    /// A four byte integer (section 1.5.3).
    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        let Some(bytes) = self.left().first_chunk() else {
            return Err(self.error(DecodeErrorKind::UnexpectedEnd));
        };
        let value = u32::from_be_bytes(*bytes);
        self.at += 4;
        Ok(value)
    }

    /// A variable byte integer of version 5, in its shortest form `[MQTT-1.5.5-1]`.
    pub(super) fn variable_byte_integer(&mut self) -> Result<u32, DecodeError> {
        match VariableByteInteger::parse(self.left()) {
            Ok(Some(integer)) if integer.is_minimal() => {
                self.at += integer.len;
                Ok(integer.value)
            }
            Ok(Some(_)) => Err(self.error(DecodeErrorKind::VariableByteInteger)),
            Ok(None) => Err(self.error(DecodeErrorKind::UnexpectedEnd)),
            Err(kind) => Err(self.error(kind)),
        }
    }

    /// A packet identifier, which is never zero `[MQTT-2.2.1-3]`.
    pub(super) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        let offset = self.at;
        NonZeroU16::new(self.u16()?).ok_or(DecodeError {
            offset,
            kind: DecodeErrorKind::ZeroPacketId,
        })
    }

    /// Binary data (section 1.5.6), shared with the packet.
    pub(super) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let Some(prefix) = self.left().first_chunk() else {
            return Err(self.error(DecodeErrorKind::UnexpectedEnd));
        };
        let len = usize::from(u16::from_be_bytes(*prefix));
        self.need(2 + len)?;
        let start = self.at + 2;
        self.at = start + len;
        Ok(self.packet.slice(start..self.at))
    }

    /// A UTF-8 encoded string `[MQTT-1.5.4-1]` `[MQTT-1.5.4-2]`, shared with the packet.
    pub(super) fn text(&mut self) -> Result<Utf8String, DecodeError> {
        let offset = self.at;
        Utf8String::from_bytes(self.binary()?).map_err(|error| DecodeError {
            offset,
            kind: DecodeErrorKind::Text(error),
        })
    }

    /// A topic name `[MQTT-3.3.2-2]` `[MQTT-4.7.3-1]`.
    pub(super) fn topic_name(&mut self) -> Result<TopicName, DecodeError> {
        let offset = self.at;
        TopicName::new(self.text()?).map_err(|error| topic_error(offset, error))
    }

    /// A topic filter `[MQTT-4.7.1-1]` `[MQTT-4.7.1-2]` `[MQTT-4.8.2-1]`.
    pub(super) fn topic_filter(
        &mut self,
        version: ProtocolVersion,
    ) -> Result<TopicFilter, DecodeError> {
        let offset = self.at;
        TopicFilter::of_version(version, self.text()?).map_err(|error| topic_error(offset, error))
    }

    /// All the bytes that are left, without counting another reference to the packet.
    pub(super) fn rest(&mut self) -> Bytes {
        if self.remaining() == 0 {
            return Bytes::new();
        }
        let mut rest = core::mem::take(&mut self.packet);
        rest.advance(self.at);
        self.at = self.end;
        rest
    }
}

#[cold]
fn topic_error(offset: usize, error: TopicError) -> DecodeError {
    DecodeError {
        offset,
        kind: DecodeErrorKind::Topic(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 1-1 of the standard.
    #[test]
    fn mqtt_1_5_5_reads_the_limits_of_every_length() {
        for (bytes, value) in [
            (&[0x00][..], 0),
            (&[0x7F], 127),
            (&[0x80, 0x01], 128),
            (&[0xFF, 0x7F], 16_383),
            (&[0x80, 0x80, 0x01], 16_384),
            (&[0xFF, 0xFF, 0x7F], 2_097_151),
            (&[0x80, 0x80, 0x80, 0x01], 2_097_152),
            (&[0xFF, 0xFF, 0xFF, 0x7F], 268_435_455),
        ] {
            let mut reader = Reader::new(Bytes::copy_from_slice(bytes), 0);
            assert_eq!(reader.variable_byte_integer(), Ok(value));
            assert_eq!(reader.finish(), Ok(()));
        }
    }

    #[test]
    fn mqtt_1_5_5_1_refuses_a_longer_encoding_than_needed() {
        for bytes in [
            &[0x80, 0x00][..],
            &[0xFF, 0x00],
            &[0x80, 0x80, 0x00],
            &[0x80, 0x80, 0x80, 0x00],
            &[0x80, 0x80, 0x80, 0x80],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0x01],
        ] {
            let mut reader = Reader::new(Bytes::copy_from_slice(bytes), 0);
            let error = reader.variable_byte_integer().unwrap_err();
            assert_eq!(error.kind, DecodeErrorKind::VariableByteInteger);
            assert_eq!(error.offset, 0);
        }
    }
}
