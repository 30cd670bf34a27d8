//! Takes MQTT out of a WebSocket's frames as they arrive.
//!
//! MQTT is one stream of bytes, whatever messages and frames carry it `[MQTT-6.0.0-2]`. So nothing has
//! to wait for the end of a message. Only control frames (ping, pong, close) are collected. They have at
//! most 125 bytes.

use std::io::Cursor;

use bytes::{Buf, Bytes, BytesMut};
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};

use crate::StreamError;

/// How far the frames have been read.
#[derive(Debug)]
pub(super) struct Inbound {
    max_frame: u64,
    stage: Stage,
    /// Whether the last fragment of a message is still to come.
    is_open: bool,
}

#[derive(Debug)]
enum Stage {
    /// In a header, of which `len` bytes have come.
    Header { bytes: [u8; HEADER], len: usize },
    /// In the payload of a frame that carries MQTT.
    Payload { left: u64, mask: [u8; 4] },
    /// In a control frame: its header and the bytes behind it so far.
    Control { frame: Vec<u8>, left: usize },
}

/// What was found besides MQTT.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole control frame, unchanged.
    Control(Vec<u8>),
    /// Nothing until there is more input, or more space for output.
    Nothing,
}

/// The longest header (RFC 6455, section 5.2).
const HEADER: usize = 14;
const BEGIN: Stage = Stage::Header {
    bytes: [0; HEADER],
    len: 0,
};

impl Inbound {
    /// Frames of more than `max_frame` bytes are refused.
    pub(super) const fn new(max_frame: u64) -> Self {
        Self {
            max_frame,
            stage: BEGIN,
            is_open: false,
        }
    }

    /// Moves the MQTT bytes of `input` to `output`, until `output` has `most` bytes, `input` is empty, or
    /// a control frame is found.
    pub(super) fn read(
        &mut self,
        input: &mut Bytes,
        output: &mut BytesMut,
        most: usize,
    ) -> Result<Found, StreamError> {
        while !input.is_empty() && output.len() < most {
            match &mut self.stage {
                Stage::Header { bytes, len } => {
                    let missing = header_len(&bytes[..*len]) - *len;
                    let count = missing.min(input.len());
                    input.copy_to_slice(&mut bytes[*len..*len + count]);
                    *len += count;
                    let (raw, len) = (*bytes, *len);
                    let raw = &raw[..len];
                    if header_len(raw) == len {
                        check_length(raw)?;
                        // This fails if the opcode is reserved.
                        let header = FrameHeader::parse(&mut Cursor::new(raw))
                            .map_err(crate::stream_error)?;
                        if let Some((header, payload)) = header {
                            self.stage = self.begin(&header, payload, raw)?;
                        }
                    }
                }
                Stage::Payload { left, mask } => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX);
                    let count = count.min(input.len()).min(most - output.len());
                    let start = output.len();
                    output.extend_from_slice(&input[..count]);
                    unmask(&mut output[start..], mask);
                    input.advance(count);
                    *left -= count as u64;
                }
                Stage::Control { frame, left } => {
                    let count = (*left).min(input.len());
                    frame.extend_from_slice(&input[..count]);
                    input.advance(count);
                    *left -= count;
                }
            }
            match &mut self.stage {
                Stage::Payload { left: 0, .. } => self.stage = BEGIN,
                Stage::Control { frame, left: 0 } => {
                    let frame = std::mem::take(frame);
                    self.stage = BEGIN;
                    return Ok(Found::Control(frame));
                }
                Stage::Header { .. } | Stage::Payload { .. } | Stage::Control { .. } => {}
            }
        }
        Ok(Found::Nothing)
    }

    /// Decides what comes behind a header. `raw` holds its bytes.
    fn begin(
        &mut self,
        header: &FrameHeader,
        payload: u64,
        raw: &[u8],
    ) -> Result<Stage, StreamError> {
        const MOST_OF_CONTROL: u64 = 125;
        let fault = |error: ProtocolError| Err(crate::stream_error(Error::Protocol(error)));
        // Client and server agreed on no extension, such as compression.
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return fault(ProtocolError::NonZeroReservedBits);
        }
        let Some(mask) = header.mask else {
            return fault(ProtocolError::UnmaskedFrameFromClient);
        };
        match header.opcode {
            OpCode::Data(data) => {
                match (data, self.is_open) {
                    (Data::Continue, true) | (Data::Binary, false) => {}
                    (Data::Continue, false) => {
                        return fault(ProtocolError::UnexpectedContinueFrame);
                    }
                    (Data::Text, false) => {
                        return Err(StreamError::Rule {
                            code: CloseCode::Unsupported,
                            what: "a text message, but MQTT allows only binary ones [MQTT-6.0.0-1]"
                                .to_owned(),
                        });
                    }
                    (data, _) => return fault(ProtocolError::ExpectedFragment(data)),
                }
                if payload > self.max_frame {
                    return Err(StreamError::Rule {
                        code: CloseCode::Size,
                        what: format!(
                            "a frame of {payload} bytes, but at most {} are allowed",
                            self.max_frame
                        ),
                    });
                }
                self.is_open = !header.is_final;
                Ok(Stage::Payload {
                    left: payload,
                    mask,
                })
            }
            OpCode::Control(_) if !header.is_final => fault(ProtocolError::FragmentedControlFrame),
            OpCode::Control(_) if payload > MOST_OF_CONTROL => {
                fault(ProtocolError::ControlFrameTooBig)
            }
            OpCode::Control(_) => Ok(Stage::Control {
                frame: raw.to_vec(),
                left: usize::try_from(payload).unwrap_or(usize::MAX),
            }),
        }
    }
}

/// Checks that the length of a payload uses as few bytes as possible (section 5.2), and does not set the
/// highest bit.
fn check_length(header: &[u8]) -> Result<(), StreamError> {
    const MASKED: u8 = 0x80;
    let is_well_said = match header {
        [_, second, high, low, ..] if second & !MASKED == 126 => {
            u16::from_be_bytes([*high, *low]) > 125
        }
        [_, second, rest @ ..] if second & !MASKED == 127 => {
            let length = rest.first_chunk().map(|it| u64::from_be_bytes(*it));
            length.is_some_and(|it| it > u64::from(u16::MAX) && it >> 63 == 0)
        }
        _ => true,
    };
    if is_well_said {
        Ok(())
    } else {
        Err(StreamError::Rule {
            code: CloseCode::Protocol,
            what: "the length of a frame uses more bytes than it needs".to_owned(),
        })
    }
}

/// The length of a header that begins with these bytes. If they do not show it yet, returns the
/// least length that is possible.
fn header_len(bytes: &[u8]) -> usize {
    const MASKED: u8 = 0x80;
    let Some(second) = bytes.get(1) else { return 2 };
    let extended = match second & !MASKED {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + extended + if second & MASKED == 0 { 0 } else { 4 }
}

/// Removes the mask (section 5.3), and rotates it for the next byte.
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let word = u32::from_ne_bytes(*mask);
    let wide = u64::from(word) << 32 | u64::from(word);
    let mut chunks = bytes.chunks_exact_mut(8);
    for chunk in &mut chunks {
        for (byte, mask) in chunk.iter_mut().zip(wide.to_ne_bytes()) {
            *byte ^= mask;
        }
    }
    let rest = chunks.into_remainder();
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    mask.rotate_left(rest.len() % 4);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Masked as a client does it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [9, 8, 7, 6];
        let mut frame = vec![first];
        if let Ok(len @ 0..=125) = u8::try_from(payload.len()) {
            frame.push(0x80 | len);
        } else {
            frame.push(0xFE);
            frame.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
        frame
    }

    #[test]
    fn every_split_of_the_input_gives_the_same() {
        let long: Vec<u8> = (0..1_000_u32).map(|it| it.to_le_bytes()[0]).collect();
        let ping = frame(0x89, b"ping");
        let mut wire = frame(0x02, b"be");
        wire.extend_from_slice(&ping);
        wire.extend(frame(0x00, b""));
        wire.extend(frame(0x80, b"gun"));
        wire.extend(frame(0x82, &long));
        let expected = [&b"begun"[..], &long].concat();
        for (step, most) in [(1, 1), (3, 7), (7, 100), (10_000, 64), (10_000, 10_000)] {
            let mut inbound = Inbound::new(1_000);
            let (mut found, mut controls) = (Vec::new(), Vec::new());
            for chunk in wire.chunks(step) {
                let mut input = Bytes::copy_from_slice(chunk);
                while !input.is_empty() {
                    let mut output = BytesMut::new();
                    match inbound.read(&mut input, &mut output, most).unwrap() {
                        Found::Control(frame) => controls.push(frame),
                        Found::Nothing => {}
                    }
                    assert!(output.len() <= most);
                    found.extend_from_slice(&output);
                }
            }
            assert!(found == expected, "{step} {most}");
            assert_eq!(controls, std::slice::from_ref(&ping));
        }
    }

    #[test]
    fn what_is_not_allowed_is_refused_at_its_header() {
        let unmasked = vec![0x82, 1, 0];
        for (bytes, code) in [
            (unmasked, CloseCode::Protocol),
            (frame(0xC2, b""), CloseCode::Protocol),
            (frame(0x80, b""), CloseCode::Protocol),
            (frame(0x83, b""), CloseCode::Protocol),
            (frame(0x09, b""), CloseCode::Protocol),
            (frame(0x89, &[0; 126]), CloseCode::Protocol),
            // Lengths in more bytes than they need (RFC 6455, section 5.2), and one with the highest
            // bit set.
            (vec![0x82, 0xFE, 0, 125, 0, 0, 0, 0], CloseCode::Protocol),
            (vec![0x89, 0xFE, 0, 0, 0, 0, 0, 0], CloseCode::Protocol),
            (
                vec![0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0],
                CloseCode::Protocol,
            ),
            (
                vec![0x82, 0xFF, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
                CloseCode::Protocol,
            ),
            (frame(0x81, b""), CloseCode::Unsupported),
            (frame(0x82, &[0; 1_001]), CloseCode::Size),
            (
                [frame(0x02, b""), frame(0x82, b"")].concat(),
                CloseCode::Protocol,
            ),
        ] {
            let mut input = Bytes::from(bytes.clone());
            match Inbound::new(1_000).read(&mut input, &mut BytesMut::new(), 10) {
                Err(StreamError::Rule { code: given, .. }) => assert_eq!(given, code),
                other => panic!("{bytes:?}: {other:?}"),
            }
        }
    }
}
