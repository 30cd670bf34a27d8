//! The bytes of a segment: a head, then groups of records, one after another.
//!
//! ```text
//! head:   "beaconry log 1\n"
//!         id      u64  the log's random number
//!         group   u64  the number of its first group
//!         crc     u32
//! group:  id      u64  the same number again
//!         number  u64  one more than the group before it, in this segment or an earlier one
//!         len     u64  bytes of the records
//!         crc     u32
//! record: len     u32  bytes of the body
//!         crc     u32  covers the body too
//!         body
//! ```
//!
//! All numbers are little-endian. Each checksum also covers the log's number and the place in the file.
//! So bytes count as a record only where a record was written: not inside another record, and not in
//! another file. No client knows the log's number. So no message can look like a group or a record.

use std::hash::{BuildHasher, RandomState};
use std::io;

use crc32fast::Hasher;

/// A segment begins with this. Another format has another number.
const MAGIC: &[u8] = b"beaconry log 1\n";
/// The part of [`MAGIC`] before the number.
const NAME: &[u8] = b"beaconry log ";

/// Bytes of the head of a segment.
pub(super) const HEAD: usize = MAGIC.len() + 8 + 8 + 4;
/// Bytes of a group before its records.
pub(super) const GROUP: usize = 8 + 8 + 8 + 4;
/// Bytes of a record before its body.
pub(super) const RECORD: usize = 4 + 4;

/// A body has fewer bytes than this.
const MAX_BODY: usize = u32::MAX as usize;

/// The random number of a log. It also marks the beginning of each group.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct LogId(pub(super) u64);

impl LogId {
    pub(super) fn random() -> Self {
        Self(RandomState::new().hash_one("log"))
    }
}

/// What a segment says about itself.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: LogId,
    /// The number of its first group.
    pub(super) group: u64,
}

impl Head {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for number in [self.id.0, self.group] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Reads a head. `None`: it is not whole.
    ///
    /// # Errors
    ///
    /// Another version of Beaconry has written it.
    pub(super) fn read(bytes: &[u8]) -> io::Result<Option<Self>> {
        if is_other_format(bytes) {
            // A damaged byte may look like another number.
            let mended = [MAGIC, bytes.get(MAGIC.len()..).unwrap_or_default()].concat();
            if Self::read_whole(&mended).is_none() {
                let what = "a newer beaconry has written it; use that one, or move the file away";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        Ok(Self::read_whole(bytes))
    }

    fn read_whole(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEAD)?;
        let (covered, crc) = bytes.split_at(HEAD - 4);
        let is_whole = crc32fast::hash(covered).to_le_bytes() == crc;
        let mut numbers = covered.strip_prefix(MAGIC)?;
        let head = Self {
            id: LogId(take_u64(&mut numbers)?),
            group: take_u64(&mut numbers)?,
        };
        is_whole.then_some(head)
    }
}

fn is_other_format(segment: &[u8]) -> bool {
    let line = segment
        .strip_prefix(NAME)
        .and_then(|it| it.split(|&byte| byte == b'\n').next());
    let number = line.filter(|it| NAME.len() + it.len() < segment.len());
    let is_number = |it: &[u8]| (1..10).contains(&it.len()) && it.iter().all(u8::is_ascii_digit);
    number.is_some_and(is_number) && !segment.starts_with(MAGIC)
}

/// The beginning of a group.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupHead {
    pub(super) number: u64,
    /// Bytes of its records.
    pub(super) len: u64,
}

impl GroupHead {
    /// The bytes of a head at byte `at` of a segment.
    pub(super) fn bytes(self, id: LogId, at: u64) -> [u8; GROUP] {
        let mut bytes = [0; GROUP];
        bytes[..8].copy_from_slice(&id.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.len.to_le_bytes());
        let crc = checksum(id, at, &bytes[8..24], b"group");
        bytes[24..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the head at byte `at` of a segment. `None`: none stands there.
    pub(super) fn read(id: LogId, at: u64, bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..GROUP)?;
        let mut numbers = bytes.strip_prefix(&id.0.to_le_bytes())?;
        let head = Self {
            number: take_u64(&mut numbers)?,
            len: take_u64(&mut numbers)?,
        };
        (head.bytes(id, at) == bytes).then_some(head)
    }
}

/// The log's number, from the first group of a segment whose head is damaged.
pub(super) fn id_from_first_group(segment: &[u8]) -> Option<LogId> {
    let group = segment.get(HEAD..)?;
    let id = LogId(take_u64(&mut &*group)?);
    GroupHead::read(id, HEAD as u64, group).map(|_| id)
}

/// Appends a record that will stand at byte `at` of a segment.
///
/// # Panics
///
/// If the body has 4 GiB or more.
pub(super) fn put_record(id: LogId, at: u64, body: &[u8], out: &mut Vec<u8>) {
    assert!(body.len() < MAX_BODY, "a record has less than 4 GiB");
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&len);
    out.extend_from_slice(&checksum(id, at, &len, body).to_le_bytes());
    out.extend_from_slice(body);
}

/// How long the body of a record should be. `None`: there are too few bytes.
pub(super) fn body_len(record: &[u8]) -> Option<usize> {
    let len = u32::from_le_bytes(*record.first_chunk()?);
    usize::try_from(len).ok()
}

/// Whether these are the bytes of the record that was written at byte `at` of a segment.
pub(super) fn is_record(id: LogId, at: u64, record: &[u8]) -> bool {
    let Some((head, body)) = record.split_at_checked(RECORD) else {
        return false;
    };
    let (len, crc) = head.split_at(4);
    body_len(len) == Some(body.len()) && checksum(id, at, len, body).to_le_bytes() == crc
}

fn checksum(id: LogId, at: u64, head: &[u8], body: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&id.0.to_le_bytes());
    hasher.update(&at.to_le_bytes());
    hasher.update(head);
    hasher.update(body);
    hasher.finalize()
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}
