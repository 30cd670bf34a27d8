//! The journal's frames: how a record becomes bytes that a reader can trust.
//!
//! A journal is a sequence of frames with nothing between them:
//!
//! ```text
//! length  u32  bytes of what follows the checksum: 8 and the body; 0: nothing follows
//! crc     u32  CRC-32 (ISO-HDLC) of what follows
//! lsn     u64  1, 2, 3 …; 0: no record, but one of the writer's own
//! body         a record; its first byte says its kind
//! ```
//!
//! All numbers are little-endian. Records are numbered without gaps. The store makes records
//! durable in groups. Before each group it writes a frame with number 0, which says which record
//! was already durable. A reader needs that when it meets a frame that it cannot read. If a later
//! group says that the frame was durable, the file is damaged. Otherwise a crash tore off the end
//! of the file, and nobody was promised anything about those records. The store may put more into
//! its own frames.
//!
//! **Invariant.** No input makes reading panic. What is read is a slice of the input.
//!
//! ```
//! use broker::{Lsn, journal};
//! use bytes::BytesMut;
//!
//! let mut file = BytesMut::new();
//! journal::write_frame(&mut file, Lsn(1), |body| body.extend_from_slice(b"\x07record"));
//!
//! let mut file = file.freeze();
//! let frame = journal::next_frame(&mut file).unwrap().unwrap();
//! assert_eq!((frame.lsn, &frame.body[..]), (Lsn(1), &b"\x07record"[..]));
//! assert_eq!(journal::next_frame(&mut file), Ok(None));
//! ```

use core::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::types::Lsn;

/// The version of frames and records. A file states its version, and a program reads only its
/// own.
pub const FORMAT_VERSION: u32 = 1;

/// The number of a frame that holds no record, such as the head of a group.
pub const GROUP: Lsn = Lsn(0);

/// The first body byte of a group's head. No record begins with it.
pub const GROUP_KIND: u8 = 0;

/// The longest body in bytes. A reader takes a header that claims more as damage, so it neither
/// waits nor reserves memory for such a frame.
pub const MAX_BODY: usize = 1 << 30;

/// The size of length and checksum.
const HEADER: usize = 8;
const LSN: usize = 8;

/// A frame whose checksum is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The number of the record, or [`GROUP`].
    pub lsn: Lsn,
    /// The body of a record, or of a frame that the store wrote for itself. It has at least one
    /// byte.
    pub body: Bytes,
}

/// Why a frame cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The bytes end within the frame.
    Incomplete {
        /// How many bytes there are.
        has: usize,
        /// The least number of bytes that the frame has.
        needs: usize,
    },
    /// The frame claims an impossible length.
    Length(u32),
    /// The checksum is wrong: the bytes have changed since they were written.
    Checksum {
        /// The checksum in the frame.
        expected: u32,
        /// The checksum of the bytes that are there.
        found: u32,
    },
}

impl Frame {
    /// The length of the whole frame in bytes.
    pub fn encoded_len(&self) -> usize {
        HEADER + LSN + self.body.len()
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete { has, needs } => {
                write!(f, "only {has} bytes of a frame of at least {needs}")
            }
            Self::Length(length) => write!(f, "no frame has a length of {length}"),
            Self::Checksum { expected, found } => write!(
                f,
                "the checksum is {found:#010x} where {expected:#010x} was written"
            ),
        }
    }
}

impl core::error::Error for FrameError {}

/// Whether a record only concerns the journal itself, such as the start of a checkpoint. The
/// broker tells nobody anything because of such a record, and recovers the same state without
/// it.
///
/// `body` is the body of the record's frame. Of a checkpoint only the first and last records are
/// bookkeeping, not its contents.
pub fn is_bookkeeping(body: &[u8]) -> bool {
    body.first()
        .is_some_and(|kind| crate::durability::record::is_bookkeeping(*kind))
}

/// Appends a frame around what `body` appends, which must be 1 to [`MAX_BODY`] bytes. Returns
/// `false`, and appends nothing, if the body is longer, because no reader would accept it.
pub fn write_frame(out: &mut BytesMut, lsn: Lsn, body: impl FnOnce(&mut BytesMut)) -> bool {
    write_frame_within(out, lsn, MAX_BODY, body)
}

/// [`write_frame`] with a smaller limit for the body: `most` bytes, at most [`MAX_BODY`].
pub(crate) fn write_frame_within(
    out: &mut BytesMut,
    lsn: Lsn,
    most: usize,
    body: impl FnOnce(&mut BytesMut),
) -> bool {
    let start = out.len();
    out.put_u64_le(0);
    out.put_u64_le(lsn.0);
    body(out);
    let checked = &out[start + HEADER..];
    let length = u32::try_from(checked.len()).ok();
    let Some(length) = length.filter(|_| checked.len() - LSN <= most) else {
        out.truncate(start);
        return false;
    };
    let crc = crc32fast::hash(checked);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + HEADER].copy_from_slice(&crc.to_le_bytes());
    true
}

/// Takes the next frame off the front of `bytes`. Takes nothing on an error.
///
/// Returns `None` at the end: nothing is left, or the rest begins with a length of 0, like the
/// unwritten part of a preallocated file. The caller checks whether only zeros follow.
pub fn next_frame(bytes: &mut Bytes) -> Result<Option<Frame>, FrameError> {
    let has = bytes.len();
    let incomplete = |needs| FrameError::Incomplete { has, needs };
    let Some(length) = bytes.first_chunk() else {
        return if bytes.iter().all(|&byte| byte == 0) {
            Ok(None)
        } else {
            Err(incomplete(HEADER + LSN + 1))
        };
    };
    let length = u32::from_le_bytes(*length);
    if length == 0 {
        return Ok(None);
    }
    let checked_len = length as usize;
    if checked_len <= LSN || checked_len > LSN + MAX_BODY {
        return Err(FrameError::Length(length));
    }
    if has < HEADER + checked_len {
        return Err(incomplete(HEADER + checked_len));
    }
    let mut header = &bytes[4..HEADER + LSN];
    let expected = header.get_u32_le();
    let lsn = Lsn(header.get_u64_le());
    let found = crc32fast::hash(&bytes[HEADER..HEADER + checked_len]);
    if found != expected {
        return Err(FrameError::Checksum { expected, found });
    }
    bytes.advance(HEADER + LSN);
    let body = bytes.split_to(checked_len - LSN);
    Ok(Some(Frame { lsn, body }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn journal(bodies: &[Vec<u8>]) -> Bytes {
        let mut out = BytesMut::new();
        for (lsn, body) in (1..).zip(bodies) {
            write_frame(&mut out, Lsn(lsn), |out| out.extend_from_slice(body));
        }
        out.freeze()
    }

    fn read(mut bytes: Bytes) -> (Vec<Frame>, Result<(), FrameError>) {
        let mut frames = Vec::new();
        loop {
            match next_frame(&mut bytes) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, Ok(())),
                Err(error) => return (frames, Err(error)),
            }
        }
    }

    fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let body = prop::collection::vec(any::<u8>(), 1..60);
        prop::collection::vec(body, 1..6)
    }

    #[test]
    fn a_frame_is_what_the_head_of_this_file_says() {
        let bytes = journal(&[b"abc".to_vec()]);
        // CRC-32 of the eight bytes of the number and of "abc", as any other program computes
        // it.
        let crc = crc32fast::hash(b"\x01\0\0\0\0\0\0\0abc");
        let mut expected = b"\x0b\0\0\0".to_vec();
        expected.extend_from_slice(&crc.to_le_bytes());
        expected.extend_from_slice(b"\x01\0\0\0\0\0\0\0abc");
        assert_eq!(&bytes[..], &expected[..]);
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn zeros_after_the_last_frame_are_the_end() {
        for zeros in 0..20 {
            let mut bytes = journal(&[b"abc".to_vec()]).to_vec();
            bytes.resize(bytes.len() + zeros, 0);
            let (frames, end) = read(bytes.into());
            assert_eq!((frames.len(), end), (1, Ok(())));
        }
    }

    #[test]
    fn an_impossible_length_is_damage_and_not_waited_for() {
        for length in [1, 8, u32::MAX, 8 + u32::try_from(MAX_BODY).unwrap() + 1] {
            let mut bytes = length.to_le_bytes().to_vec();
            bytes.resize(64, 1);
            assert_eq!(read(bytes.into()).1, Err(FrameError::Length(length)));
        }
    }

    proptest! {
        #[test]
        fn written_frames_are_read_back(bodies in bodies()) {
            let (frames, end) = read(journal(&bodies));
            prop_assert_eq!(end, Ok(()));
            prop_assert_eq!(frames.len(), bodies.len());
            for ((lsn, body), frame) in (1..).zip(&bodies).zip(&frames) {
                prop_assert_eq!((frame.lsn, &frame.body[..]), (Lsn(lsn), &body[..]));
                prop_assert_eq!(frame.encoded_len(), body.len() + 16);
            }
        }

        #[test]
        fn a_torn_tail_loses_only_the_torn_frames_and_is_reported(bodies in bodies(), cut in any::<prop::sample::Index>()) {
            let whole = journal(&bodies);
            let cut = cut.index(whole.len());
            let (frames, end) = read(whole.slice(..cut));
            let mut left = cut;
            let complete = bodies.iter().take_while(|body| {
                let fits = body.len() + 16 <= left;
                left -= if fits { body.len() + 16 } else { 0 };
                fits
            });
            prop_assert_eq!(frames.len(), complete.count());
            if left == 0 {
                prop_assert_eq!(end, Ok(()));
            } else {
                let is_incomplete = matches!(end, Err(FrameError::Incomplete { has, needs }) if has == left && needs > has);
                prop_assert!(is_incomplete, "{:?}", end);
            }
        }

        #[test]
        fn a_changed_bit_is_found(bodies in bodies(), at in any::<prop::sample::Index>(), bit in 0..8) {
            let whole = journal(&bodies);
            let at = at.index(whole.len());
            let mut damaged = whole.to_vec();
            damaged[at] ^= 1_u8 << bit;
            let (frames, _) = read(damaged.into());
            let mut end = 0;
            let before = bodies.iter().take_while(|body| {
                end += body.len() + 16;
                end <= at
            });
            // All frames before the changed bit are read, and none after it.
            prop_assert_eq!(frames.len(), before.count());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (frames, _) = read(bytes.into());
            prop_assert!(frames.len() <= 200 / 17);
        }
    }
}
