//! The files of the journal: their names, their first frame, and the frame before each group.
//!
//! A segment is a file of [frames](broker::journal). The first one is a header; then come
//! groups, each a frame of its own and the records that were made durable with one call.
//! Behind the last one there are zeros, up to the size that was reserved for the file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use broker::Lsn;
use broker::journal::{self, Frame, GROUP, GROUP_KIND};
use bytes::{Buf, BufMut, BytesMut};

/// The kind of a header's frame: no record has it.
const HEADER_KIND: u8 = 0xFF;
const MAGIC: &[u8; 16] = b"beaconry journal";

/// Bytes of a header's frame.
pub(super) const HEADER_LEN: usize = 16 + 1 + MAGIC.len() + 4 + 8 + 8;
/// Bytes of a group's frame.
pub(super) const GROUP_LEN: usize = 16 + 1 + 8 + 8;

/// What the first frame of a segment says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) journal: JournalId,
    /// The number of the first record.
    pub(super) first: Lsn,
}

/// A journal's own random number. Nobody outside knows it, so nobody can send a message that,
/// in a torn tail, would pass for a group's frame.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalId(pub(super) u64);

impl Header {
    pub(super) fn write(&self, out: &mut BytesMut) {
        journal::write_frame(out, GROUP, |body| {
            body.put_u8(HEADER_KIND);
            body.put_slice(MAGIC);
            body.put_u32_le(self.version);
            body.put_u64_le(self.journal.0);
            body.put_u64_le(self.first.0);
        });
    }

    /// A newer version may say more, behind what is known here.
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

/// Appends the frame that says: when this was written, all records up to `durable` were durable.
pub(super) fn write_group(out: &mut BytesMut, journal: JournalId, durable: Lsn) {
    journal::write_frame(out, GROUP, |body| {
        body.put_u8(GROUP_KIND);
        body.put_u64_le(durable.0);
        body.put_u64_le(journal.0);
    });
}

/// What a group's frame of this journal says was durable before it.
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

/// Makes a file of `len` zeros that are really there: writing to them needs no more room.
pub(super) fn create(path: &Path, len: u64) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let made = allocate(&file, 0, len).and_then(|()| file.sync_all());
    match made {
        Ok(()) => Ok(file),
        Err(error) => {
            // What was reserved so far may be just what others need.
            let _ = std::fs::remove_file(path);
            Err(error)
        }
    }
}

/// Makes room from `from` to `to`, which is the file's end from now on. There must be no data yet.
pub(super) fn allocate(file: &File, from: u64, to: u64) -> io::Result<()> {
    if from >= to {
        return file.set_len(to);
    }
    match reserve(file, from, to) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => fill(file, from, to),
        reserved => reserved,
    }
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn reserve(file: &File, from: u64, to: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    loop {
        match fallocate(file, FallocateFlags::empty(), from, to - from) {
            Err(rustix::io::Errno::INTR) => {}
            reserved => return Ok(reserved?),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn reserve(_file: &File, _from: u64, _to: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn fill(file: &File, mut from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    while from < to {
        let len = usize::try_from(to - from)
            .unwrap_or(usize::MAX)
            .min(ZEROS.len());
        file.write_all_at(&ZEROS[..len], from)?;
        from += len as u64;
    }
    Ok(())
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

    #[test]
    fn a_filled_file_is_as_long_as_an_allocated_one() {
        let folder = testbed::Folder::new();
        for (name, way) in [
            ("a", allocate as fn(&File, u64, u64) -> io::Result<()>),
            ("b", fill),
        ] {
            let file = File::create_new(folder.path().join(name)).unwrap();
            file.write_all_at(b"xyz", 0).unwrap();
            way(&file, 3, 200_000).unwrap();
            let bytes = std::fs::read(folder.path().join(name)).unwrap();
            assert_eq!((bytes.len(), &bytes[..3]), (200_000, &b"xyz"[..]));
            assert!(bytes[3..].iter().all(|&byte| byte == 0));
        }
    }
}
