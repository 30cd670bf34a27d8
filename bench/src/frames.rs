//! WebSocket frames: those that the generator sends, masked beforehand, and those that it receives.

/// The key that masks frames. Any key will do, because nobody else is on the wire. It is not zero,
/// so that unmasking is real work.
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
const BINARY: u8 = 2;

/// Appends one masked binary message with `payload` to `out`.
pub(crate) fn mask(payload: &[u8], out: &mut Vec<u8>) {
    const MASKED: u8 = 0x80;
    out.push(0x80 | BINARY);
    let len = payload.len();
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ 0..=125), _) => out.push(MASKED | short),
        (_, Ok(middle)) => {
            out.push(MASKED + 126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            out.push(MASKED + 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&KEY);
    out.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
}

/// Unwraps the server's frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The part of the next header that has come.
    header: Vec<u8>,
    /// How much is left of the present frame, and whether it carries data.
    left: u64,
    carries_data: bool,
}

/// What ends a WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// The server sent a close frame.
    Closed,
    /// The server sent text, a masked frame, or an extension that the generator did not ask for.
    Unexpected(u8),
}

impl std::error::Error for FrameError {}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the broker closed the WebSocket"),
            Self::Unexpected(byte) => write!(f, "the broker sent a frame of kind {byte:#04x}"),
        }
    }
}

impl Frames {
    /// Returns the next piece of data at the start of `bytes`, and moves `bytes` behind it. Returns
    /// `None` when `bytes` is used up.
    pub(crate) fn next<'a>(
        &mut self,
        bytes: &mut &'a [u8],
    ) -> Result<Option<&'a [u8]>, FrameError> {
        while !bytes.is_empty() {
            if self.left == 0 {
                self.read_header(bytes)?;
                continue;
            }
            let here = usize::try_from(self.left)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (data, later) = bytes.split_at(here);
            *bytes = later;
            self.left -= here as u64;
            if self.carries_data {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    fn read_header(&mut self, bytes: &mut &[u8]) -> Result<(), FrameError> {
        while let Some((&byte, later)) = bytes.split_first() {
            self.header.push(byte);
            *bytes = later;
            let (first, len) = match *self.header {
                [_, masked] if masked >= 0x80 => return Err(FrameError::Unexpected(masked)),
                [first, len] if len < 126 => (first, u64::from(len)),
                [first, 126, high, low] => (first, u64::from(u16::from_be_bytes([high, low]))),
                [first, 127, ref len @ ..] if len.len() == 8 => {
                    let len = len.first_chunk().copied().unwrap_or_default();
                    (first, u64::from_be_bytes(len))
                }
                _ => continue,
            };
            self.header.clear();
            self.left = len;
            self.carries_data = match first & 0x7F {
                // A message may come in several frames.
                0 | BINARY => true,
                // Ping and pong.
                9 | 10 => false,
                8 => return Err(FrameError::Closed),
                other => return Err(FrameError::Unexpected(other)),
            };
            return Ok(());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(chunks: &[&[u8]]) -> Result<Vec<u8>, FrameError> {
        let mut frames = Frames::default();
        let mut data = Vec::new();
        for mut chunk in chunks.iter().copied() {
            while let Some(piece) = frames.next(&mut chunk)? {
                data.extend_from_slice(piece);
            }
        }
        Ok(data)
    }

    fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            len @ 0..=125 => frame.push(u8::try_from(len).unwrap()),
            len @ 126..=0xFFFF => {
                frame.push(126);
                frame.extend(u16::try_from(len).unwrap().to_be_bytes());
            }
            len => {
                frame.push(127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    #[test]
    fn data_of_frames_of_all_lengths_is_joined_however_it_is_cut() {
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        for (byte, len) in [(1, 0), (2, 1), (3, 125), (4, 126), (5, 0x1_0000)] {
            let payload = vec![byte; len];
            wire.extend(server_frame(0x82, &payload));
            wire.extend(server_frame(0x89, b"ping"));
            expected.extend(payload);
        }
        assert_eq!(data(&[&wire]).unwrap(), expected);
        for at in (0..300).chain(wire.len() - 20..wire.len()) {
            let (left, right) = wire.split_at(at);
            assert_eq!(data(&[left, right]).unwrap(), expected, "cut at {at}");
        }
    }

    #[test]
    fn a_message_in_several_frames_is_one_stream() {
        let mut wire = server_frame(0x02, b"ab");
        wire.extend(server_frame(0x80, b"cd"));
        assert_eq!(data(&[&wire]).unwrap(), b"abcd");
    }

    #[test]
    fn what_ends_a_websocket_is_an_error() {
        assert_eq!(
            data(&[&server_frame(0x88, b"\x03\xe8")]),
            Err(FrameError::Closed)
        );
        assert_eq!(
            data(&[&server_frame(0x81, b"text")]),
            Err(FrameError::Unexpected(1))
        );
        assert_eq!(data(&[&[0x82, 0x81]]), Err(FrameError::Unexpected(0x81)));
    }

    #[test]
    fn masked_frames_are_what_the_standard_says() {
        let unmasked = |frame: &[u8], header: usize| -> Vec<u8> {
            let key = &frame[header..header + 4];
            let payload = frame[header + 4..].iter().zip(key.iter().cycle());
            payload.map(|(byte, key)| byte ^ key).collect()
        };
        for (len, header) in [(5, 2), (126, 4), (70_000, 10)] {
            let payload: Vec<u8> = (0..=255).cycle().take(len).collect();
            let mut frame = Vec::new();
            mask(&payload, &mut frame);
            assert_eq!((frame[0], frame[1] & 0x80), (0x82, 0x80));
            assert_eq!(unmasked(&frame, header), payload);
        }
    }
}
