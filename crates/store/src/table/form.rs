//! The bytes of a table's file: a head, and groups behind it.
//!
//! ```text
//! "beaconry table 1\n"
//!
//! group:  marker  8 bytes
//!         crc     u32  CRC-32 of what follows
//!         len     u32  bytes of the body
//!         raw     u32  bytes of the body when it is inflated
//!         body         deflated entries
//! entry:  key     u32  bytes of the key
//!         value   u32  bytes of the value; u32::MAX: the key was removed
//!         the key, the value
//! ```
//!
//! All numbers are little-endian. A group does not say where it stands, so it can be copied to another
//! place as it is. The marker is for finding the next group behind damage.
//!
//! **Invariant.** No bytes make reading panic, or take more memory than a group may have.

use std::io;
use std::ops::Range;

use crc32fast::hash;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::disk::File;

/// The file begins with this. Another format has another number.
pub(super) const HEAD: &[u8] = b"beaconry table 1\n";
/// The part of [`HEAD`] before the number.
const NAME: &[u8] = b"beaconry table ";
const MARKER: &[u8; 8] = b"\xf5group\xfa\n";
/// Bytes of a group before its body.
const GROUP_HEAD: usize = 20;
/// Bytes of an entry before its key.
const ENTRY_HEAD: usize = 8;
/// The length of a value that is none.
const REMOVED: u32 = u32::MAX;

/// The most bytes of a key and its value together.
pub const MAX_ENTRY: usize = 16 * 1024 * 1024;
/// The most bytes of a group when it is inflated. A reader takes more for damage.
const MAX_RAW: usize = MAX_ENTRY + 1024 * 1024;

/// Groups that are not in a file yet.
#[derive(Debug, Default)]
pub(super) struct Encoded<'a> {
    bytes: Vec<u8>,
    /// For each group where it begins, and its entries.
    groups: Vec<(usize, Vec<Written<'a>>)>,
    /// The entries of the group that is not compressed yet.
    open: Vec<Written<'a>>,
}

/// An entry of a group.
#[derive(Copy, Clone, Debug)]
pub(super) struct Written<'a> {
    pub(super) key: &'a [u8],
    /// Bytes that it takes in the file, about. `None`: the key is removed.
    pub(super) share: Option<u64>,
}

impl<'a> Encoded<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The groups: the place of each behind the first one, its length, and its entries.
    pub(super) fn groups(&self) -> impl Iterator<Item = (Range<u64>, &[Written<'a>])> {
        let ends = self.groups.iter().skip(1).map(|it| it.0);
        let ends = ends.chain([self.bytes.len()]);
        let groups = self.groups.iter().zip(ends);
        groups.map(|((begin, entries), end)| (*begin as u64..end as u64, &entries[..]))
    }

    /// All entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Written<'a>> {
        self.groups.iter().flat_map(|(_, entries)| entries)
    }
}

/// Makes groups of entries.
#[derive(Debug)]
pub(super) struct Encoder {
    raw: Vec<u8>,
    deflate: Compress,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            raw: Vec::new(),
            // What is written every few seconds must cost little.
            deflate: Compress::new(Compression::fast(), false),
        }
    }
}

impl Encoder {
    /// Adds an entry. Closes the group when it has `enough` bytes.
    pub(super) fn put<'a>(
        &mut self,
        key: &'a [u8],
        value: Option<&[u8]>,
        enough: usize,
        out: &mut Encoded<'a>,
    ) -> io::Result<()> {
        let before = self.raw.len();
        put_entry(&mut self.raw, key, value);
        out.open.push(Written {
            key,
            share: value.map(|_| (self.raw.len() - before) as u64),
        });
        if self.raw.len() >= enough {
            self.finish(out)?;
        }
        Ok(())
    }

    /// Closes the group, unless it has no entries.
    pub(super) fn finish(&mut self, out: &mut Encoded<'_>) -> io::Result<()> {
        if out.open.is_empty() {
            return Ok(());
        }
        let begin = out.bytes.len();
        let mut entries = std::mem::take(&mut out.open);
        self.deflate_into(&mut out.bytes)?;
        let (raw, packed) = (self.raw.len() as u64, (out.bytes.len() - begin) as u64);
        for entry in &mut entries {
            entry.share = entry.share.map(|bytes| share(bytes, packed, raw));
        }
        self.raw.clear();
        out.groups.push((begin, entries));
        Ok(())
    }

    /// Forgets entries that were not finished, because something has failed.
    pub(super) fn clear(&mut self) {
        self.raw.clear();
    }

    /// Appends what waits as a group.
    fn deflate_into(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let begin = out.len();
        out.extend_from_slice(MARKER);
        out.extend_from_slice(&[0; GROUP_HEAD - MARKER.len()]);
        self.deflate.reset();
        // Deflate makes nothing larger by more than this.
        out.reserve(self.raw.len() + self.raw.len() / 1_000 + 64);
        loop {
            let done = usize::try_from(self.deflate.total_in()).unwrap_or(usize::MAX);
            let status = self.deflate.compress_vec(
                self.raw.get(done..).unwrap_or_default(),
                out,
                FlushCompress::Finish,
            );
            match status.map_err(io::Error::other)? {
                Status::StreamEnd => break,
                // There was no room after all.
                Status::Ok | Status::BufError => out.reserve(4 * 1024),
            }
        }
        let body = begin + GROUP_HEAD;
        let (len, raw) = (out.len() - body, self.raw.len());
        out[body - 8..body - 4].copy_from_slice(&short(len).to_le_bytes());
        out[body - 4..body].copy_from_slice(&short(raw).to_le_bytes());
        let crc = hash(&out[body - 8..]);
        out[body - 12..body - 8].copy_from_slice(&crc.to_le_bytes());
        Ok(())
    }
}

/// Whether a key and its value are not too large together.
pub(super) fn fits(key: &[u8], value: Option<&[u8]>) -> bool {
    key.len() + value.map_or(0, <[u8]>::len) <= MAX_ENTRY
}

/// Appends an entry that [`fits`].
fn put_entry(raw: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    raw.extend_from_slice(&short(key.len()).to_le_bytes());
    let len = value.map_or(REMOVED, |value| short(value.len()));
    raw.extend_from_slice(&len.to_le_bytes());
    raw.extend_from_slice(key);
    raw.extend_from_slice(value.unwrap_or_default());
}

/// A length that [`MAX_RAW`] bounds.
fn short(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The part of a group of `packed` bytes that belongs to `bytes` of its `raw` ones.
fn share(bytes: u64, packed: u64, raw: u64) -> u64 {
    (bytes * packed).div_ceil(raw.max(1))
}

/// A group that was read.
#[derive(Debug)]
pub(super) struct Group {
    packed: Vec<u8>,
    raw: Vec<u8>,
}

impl Group {
    /// The bytes in the file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.packed
    }

    /// How many bytes it takes in the file.
    pub(super) fn len(&self) -> u64 {
        self.packed.len() as u64
    }

    /// The entries, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut rest = &self.raw[..];
        std::iter::from_fn(move || next_entry(&mut rest))
    }

    /// The entries as they were written.
    pub(super) fn written(&self) -> impl Iterator<Item = Written<'_>> {
        let (packed, raw) = (self.len(), self.raw.len() as u64);
        self.entries().map(move |(key, value)| Written {
            key,
            share: value.map(|value| {
                let bytes = ENTRY_HEAD + key.len() + value.len();
                share(bytes as u64, packed, raw)
            }),
        })
    }
}

fn next_entry<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let (key_len, behind) = rest.split_first_chunk::<4>()?;
    let (value_len, behind) = behind.split_first_chunk::<4>()?;
    let key_len = usize::try_from(u32::from_le_bytes(*key_len)).ok()?;
    let (key, mut behind) = behind.split_at_checked(key_len)?;
    let value = match u32::from_le_bytes(*value_len) {
        REMOVED => None,
        len => {
            let (value, after) = behind.split_at_checked(usize::try_from(len).ok()?)?;
            behind = after;
            Some(value)
        }
    };
    *rest = behind;
    Some((key, value))
}

/// Reads groups from a file.
pub(super) struct Reader<'a> {
    file: &'a File,
    len: u64,
    inflate: Decompress,
}

impl<'a> Reader<'a> {
    /// Reads the first `len` bytes of `file`.
    pub(super) fn new(file: &'a File, len: u64) -> Self {
        Self {
            file,
            len,
            inflate: Decompress::new(false),
        }
    }

    /// Whether the file begins as it should. The error says that another format stands there.
    pub(super) fn has_head(&self) -> io::Result<bool> {
        let head = self.bytes_at(0, HEAD.len())?;
        let is_other = head.len() == HEAD.len()
            && head.starts_with(NAME)
            && head != HEAD
            && head[NAME.len()].is_ascii_digit();
        if is_other {
            let what = "a newer beaconry has written it; use that one, or move the file away";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(head == HEAD)
    }

    /// The group at this place. `None`: none stands there, or it is not whole.
    pub(super) fn group_at(&mut self, at: u64) -> io::Result<Option<Group>> {
        let mut packed = self.bytes_at(at, GROUP_HEAD)?;
        let Some((crc, len, raw)) = group_head(&packed) else {
            return Ok(None);
        };
        packed.extend_from_slice(&self.bytes_at(at + GROUP_HEAD as u64, len)?);
        if packed.len() < GROUP_HEAD + len || hash(&packed[GROUP_HEAD - 8..]) != crc {
            return Ok(None);
        }
        self.inflate.reset(false);
        let mut inflated = Vec::with_capacity(raw);
        let status = self.inflate.decompress_vec(
            &packed[GROUP_HEAD..],
            &mut inflated,
            FlushDecompress::Finish,
        );
        let is_whole = matches!(status, Ok(Status::StreamEnd)) && inflated.len() == raw;
        Ok(is_whole.then_some(Group {
            packed,
            raw: inflated,
        }))
    }

    /// The place of the first whole group behind `at`.
    pub(super) fn next_group(&mut self, at: u64) -> io::Result<Option<u64>> {
        const WINDOW: usize = 64 * 1024;
        let mut begin = at + 1;
        while begin < self.len {
            let window = self.bytes_at(begin, WINDOW)?;
            let places = window.windows(MARKER.len()).enumerate();
            let places = places.filter(|(_, bytes)| bytes == MARKER);
            for (place, _) in places {
                let place = begin + place as u64;
                if self.group_at(place)?.is_some() {
                    return Ok(Some(place));
                }
            }
            if window.len() < WINDOW {
                break;
            }
            // A marker may stand across the end of the window.
            begin += (WINDOW - MARKER.len() + 1) as u64;
        }
        Ok(None)
    }

    /// At most `len` bytes from `at` on, fewer at the end of the file.
    fn bytes_at(&self, at: u64, len: usize) -> io::Result<Vec<u8>> {
        let rest = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(rest)];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

/// The checksum, the length of the body, and its length when it is inflated. `None`: this is no head of
/// a group.
fn group_head(bytes: &[u8]) -> Option<(u32, usize, usize)> {
    let (marker, rest) = bytes.split_first_chunk::<8>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let raw = rest.first_chunk::<4>()?;
    let [crc, len, raw] = [crc, len, raw].map(|it| u32::from_le_bytes(*it));
    let (len, raw) = (usize::try_from(len).ok()?, usize::try_from(raw).ok()?);
    // Deflate makes nothing larger by more than this.
    let is_possible = marker == MARKER && raw <= MAX_RAW && len <= MAX_RAW + MAX_RAW / 1_000 + 64;
    is_possible.then_some((crc, len, raw))
}
