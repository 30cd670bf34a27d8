//! The files of the journal: their names, their first frame, and the frame before each group.
//!
//! A segment is a file of [frames](broker::journal). The first frame is a header. Groups follow: each has
//! a frame of its own and the records that were made durable with one call. Zeros fill the file up to
//! its reserved size.

use broker::Lsn;
use broker::journal::{self, Frame, GROUP, GROUP_KIND};
use bytes::{Buf, BufMut, BytesMut};

/// The kind of a header's frame. No record has this kind.
const HEADER_KIND: u8 = 0xFF;
const MAGIC: &[u8; 16] = b"beaconry journal";

/// Bytes of a header's frame.
pub const HEADER_LEN: usize = 16 + 1 + MAGIC.len() + 4 + 8 + 8;
/// Bytes of a group's frame.
pub const GROUP_LEN: usize = 16 + 1 + 8 + 8;

/// What the first frame of a segment says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The format of the file.
    pub version: u32,
    /// The journal that the file belongs to.
    pub journal: JournalId,
    /// The number of the first record.
    pub first: Lsn,
}

/// A journal's random number. No client knows it. So no client can send a message that would look like
/// the frame of a group in a torn tail.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct JournalId(pub u64);

impl Header {
    /// Appends the frame.
    pub fn write(&self, out: &mut BytesMut) {
        journal::write_frame(out, GROUP, |body| {
            body.put_u8(HEADER_KIND);
            body.put_slice(MAGIC);
            body.put_u32_le(self.version);
            body.put_u64_le(self.journal.0);
            body.put_u64_le(self.first.0);
        });
    }

    /// A newer version may add more fields at the end.
    pub(super) fn read(frame: &Frame) -> Option<Self> {
        let mut body = frame
            .body
            .strip_prefix(&[HEADER_KIND])?
            .strip_prefix(MAGIC)?;
        if frame.lsn != GROUP || body.len() < 20 {
            return None;
        }
        Some(Self {
            version: body.get_u32_le(),
            journal: JournalId(body.get_u64_le()),
            first: Lsn(body.get_u64_le()),
        })
    }
}

/// Appends the frame of a group. It says that all records up to `durable` were durable before it.
pub fn write_group(out: &mut BytesMut, journal: JournalId, durable: Lsn) {
    journal::write_frame(out, GROUP, |body| {
        body.put_u8(GROUP_KIND);
        body.put_u64_le(durable.0);
        body.put_u64_le(journal.0);
    });
}

/// Reads the frame of a group of this journal: the last record that was durable before it.
pub(super) fn durable_before(frame: &Frame, journal: JournalId) -> Option<Lsn> {
    let mut body = frame.body.strip_prefix(&[GROUP_KIND])?;
    if frame.lsn != GROUP || body.len() != 16 {
        return None;
    }
    let durable = Lsn(body.get_u64_le());
    (body.get_u64_le() == journal.0).then_some(durable)
}

pub(super) fn file_name(number: u64) -> String {
    format!("{number:08}.log")
}

/// The number of a segment; `None` for other files.
pub(super) fn number_of(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(".log")?;
    let number = digits.parse().ok()?;
    (self::file_name(number) == file_name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_as_long_as_said_and_say_what_was_written() {
        let header = Header {
            version: 7,
            journal: JournalId(0xABCD),
            first: Lsn(9),
        };
        let mut out = BytesMut::new();
        header.write(&mut out);
        assert_eq!(out.len(), HEADER_LEN);
        write_group(&mut out, header.journal, Lsn(8));
        assert_eq!(out.len(), HEADER_LEN + GROUP_LEN);
        let mut bytes = out.freeze();
        let frame = journal::next_frame(&mut bytes).unwrap().unwrap();
        assert_eq!(Header::read(&frame), Some(header));
        assert_eq!(durable_before(&frame, header.journal), None);
        let frame = journal::next_frame(&mut bytes).unwrap().unwrap();
        assert_eq!(Header::read(&frame), None);
        assert_eq!(durable_before(&frame, header.journal), Some(Lsn(8)));
        assert_eq!(durable_before(&frame, JournalId(1)), None);
    }

    #[test]
    fn only_segments_have_numbers() {
        assert_eq!(number_of(&file_name(1)), Some(1));
        assert_eq!(number_of(&file_name(123_456_789)), Some(123_456_789));
        for other in ["1.log", "00000001.log.bak", "next", "-0000001.log", ".log"] {
            assert_eq!(number_of(other), None, "{other}");
        }
    }
}
