//! Writing: groups into segments, the next segment ahead of need, old segments away.
//!
//! **Invariant.** A group is begun only when everything before it is durable, and a segment only
//! when the one before it is: that is what tells a torn tail from damage (`read.rs`).
//!
//! **Room.** The current segment's bytes are reserved when it is made. When half of it is used
//! the next one is made; if that cannot be, the rest of the current one is the reserve, out of
//! which small records are still written, and the copy that makes room. Where there is a limit to
//! all segments, another whole one is kept for them: taking what waits in full queues may write
//! half as much as filling them did.

use std::collections::VecDeque;
use std::io;

use broker::Lsn;
use broker::journal::FORMAT_VERSION;
use bytes::BytesMut;
use rustix::fs::statvfs;

use super::disk::{self, File};
use super::error::{StoreError, io_error, is_full};
use super::folder::Folder;
use super::newest;
use super::segment::{self, GROUP_LEN, HEADER_LEN, Header};

/// How large things may be.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Sizes {
    /// Bytes of a segment.
    pub(crate) segment: u64,
    /// Bytes of all segments together. `u64::MAX`: what the disk has.
    pub(crate) most: u64,
    /// Bytes that may wait for a full disk to have room.
    pub(crate) waiting: usize,
}

#[derive(Debug)]
pub(super) struct Journal {
    folder: Folder,
    sizes: Sizes,
    closed: VecDeque<Segment>,
    current: Current,
    /// Made ahead of need, and not used yet.
    next: Option<Next>,
    /// All records up to this one are durable.
    durable: Lsn,
    /// The frame of the next group stands in the file already.
    is_sealed: bool,
}

/// A segment that is full, or was left.
#[derive(Copy, Clone, Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) first: Lsn,
    pub(super) bytes: u64,
    /// Where the last group begins that may not be durable.
    pub(super) group: u64,
}

#[derive(Debug)]
struct Current {
    number: u64,
    first: Lsn,
    file: File,
    /// Where the next group goes.
    end: u64,
    /// The file's size.
    reserved: u64,
}

#[derive(Debug)]
struct Next {
    file: File,
    reserved: u64,
}

/// Why a group is not durable.
#[derive(Debug)]
pub(super) enum WriteError {
    /// It is again as if nothing had been tried, and can be tried again.
    Full(io::Error),
    /// Nobody knows what is in the file now.
    Broken(StoreError),
}

impl Journal {
    /// Goes on behind what was read: `segments` in order, the last one good up to `end`.
    pub(super) fn resume(
        folder: Folder,
        sizes: Sizes,
        mut segments: VecDeque<Segment>,
        durable: Lsn,
    ) -> Result<Self, StoreError> {
        remove_next(&folder)?;
        // A process that was killed may have named a segment, and not yet waited for the disk.
        folder.sync_segments()?;
        let last = segments.back().copied();
        let current = match last {
            Some(last) if last.bytes < sizes.segment / 2 => {
                segments.pop_back();
                reopen(&folder, sizes, last)?
            }
            _ => match (make(&folder, sizes.segment), last) {
                (Ok(next), _) => {
                    if let Some(last) = last {
                        sync_segment(&folder, last)?;
                    }
                    let number = last.map_or(1, |last| last.number + 1);
                    begin(&folder, next, number, Lsn(durable.0 + 1))?
                }
                // A full disk is no reason not to start: what needs no store goes on.
                (Err(error), Some(last)) if is_full(&error) => {
                    segments.pop_back();
                    reopen(&folder, sizes, last)?
                }
                (Err(error), _) => {
                    return Err(io_error("write to the folder", folder.segments_path())(
                        error,
                    ));
                }
            },
        };
        Ok(Self {
            folder,
            sizes,
            closed: segments,
            current,
            next: None,
            durable,
            is_sealed: false,
        })
    }

    pub(super) const fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(super) const fn durable(&self) -> Lsn {
        self.durable
    }

    /// Bytes that are used.
    pub(super) fn bytes(&self) -> u64 {
        self.closed.iter().map(|segment| segment.bytes).sum::<u64>() + self.current.end
    }

    pub(super) fn segments(&self) -> usize {
        self.closed.len() + 1
    }

    pub(super) const fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Bytes of all segments that are not worth a copy of everything.
    pub(super) const fn long_enough(&self) -> u64 {
        self.sizes.segment
    }

    /// Bytes that may wait while there is no room even for them.
    pub(super) const fn most_waiting(&self) -> usize {
        self.sizes.waiting
    }

    /// Bytes that there could be in more segments.
    pub(super) fn free(&self) -> u64 {
        let next = self.next.as_ref().map_or(0, |next| next.reserved);
        let disk = statvfs(self.folder.path())
            .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        next + disk.min(self.sizes.most.saturating_sub(self.reserved() + next))
    }

    /// Bytes that the segments take on the disk.
    fn reserved(&self) -> u64 {
        self.closed.iter().map(|segment| segment.bytes).sum::<u64>() + self.current.reserved
    }

    /// Bytes that can be written without asking the system for more.
    pub(super) fn reserve(&self) -> u64 {
        self.current.reserved.saturating_sub(self.current.end)
    }

    /// Makes a group durable. The first [`GROUP_LEN`] bytes of `group` are for its frame, the
    /// others are the frames of all records up to `last`.
    pub(super) fn write(&mut self, group: &mut [u8], last: Lsn) -> Result<(), WriteError> {
        self.fit(group.len() as u64)?;
        let mut frame = BytesMut::with_capacity(GROUP_LEN);
        segment::write_group(&mut frame, self.folder.journal(), self.durable);
        group[..GROUP_LEN].copy_from_slice(&frame);
        let current = &mut self.current;
        let written = current.file.write_all_at(group, current.end);
        let synced = written.and_then(|()| current.file.sync_data());
        synced.map_err(|error| {
            if is_full(&error) {
                WriteError::Full(error)
            } else {
                let path = self.folder.segment_path(current.number);
                WriteError::Broken(io_error("write to", path)(error))
            }
        })?;
        current.end += group.len() as u64;
        self.durable = last;
        self.is_sealed = false;
        Ok(())
    }

    /// Writes the next group's frame ahead, so that damage to the last group is seen as such. It
    /// is not waited for: only a loss of power can take it away, and it is written again with the
    /// next group.
    pub(super) fn seal(&mut self) -> Result<(), WriteError> {
        if self.is_sealed || self.reserve() < GROUP_LEN as u64 {
            return Ok(());
        }
        let mut frame = BytesMut::with_capacity(GROUP_LEN);
        segment::write_group(&mut frame, self.folder.journal(), self.durable);
        let written = self.current.file.write_all_at(&frame, self.current.end);
        written.map_err(|error| {
            if is_full(&error) {
                // Some file systems copy on write, and take more room than was reserved.
                return WriteError::Full(error);
            }
            let path = self.folder.segment_path(self.current.number);
            WriteError::Broken(io_error("write to", path)(error))
        })?;
        self.is_sealed = true;
        Ok(())
    }

    /// Makes the next segment if it will be needed soon.
    pub(super) fn look_ahead(&mut self) -> io::Result<()> {
        if self.next.is_none() && self.current.end > self.current.reserved / 2 {
            let segment = self.sizes.segment;
            // What is new may not have the last one.
            self.check_limit(segment.saturating_mul(2))?;
            self.next = Some(self.make(segment)?);
        }
        Ok(())
    }

    /// Removes the segments that only have records before `from`.
    pub(super) fn trim(&mut self, from: Lsn) -> Result<(), StoreError> {
        while let Some(oldest) = self.closed.front() {
            let ends_before = self
                .closed
                .get(1)
                .map_or(self.current.first, |next| next.first);
            if ends_before > from {
                break;
            }
            let path = self.folder.segment_path(oldest.number);
            disk::remove_file(&path).map_err(io_error("remove", &path))?;
            // One after the other: a crash must not leave a gap.
            self.folder.sync_segments()?;
            self.closed.pop_front();
        }
        Ok(())
    }

    /// Leaves behind what needs no more room than it uses.
    pub(super) fn close(mut self) -> Result<(), StoreError> {
        match self.seal() {
            Ok(()) | Err(WriteError::Full(_)) => {}
            Err(WriteError::Broken(error)) => return Err(error),
        }
        let used = self.current.end + if self.is_sealed { GROUP_LEN as u64 } else { 0 };
        let path = self.folder.segment_path(self.current.number);
        let cut = self.current.file.set_len(used);
        cut.and_then(|()| self.current.file.sync_all())
            .map_err(io_error("write to", &path))?;
        remove_next(&self.folder)
    }

    /// Begins the next segment if `len` bytes have no room in this one.
    fn fit(&mut self, len: u64) -> Result<(), WriteError> {
        if len <= self.reserve() {
            return Ok(());
        }
        let needs = HEADER_LEN as u64 + len;
        let next = match self.next.take() {
            Some(next) if next.reserved >= needs => next,
            unfit => {
                if unfit.is_some() {
                    drop(unfit);
                    remove_next(&self.folder).map_err(WriteError::Broken)?;
                }
                let made = match self.make_shorter(needs) {
                    Err(error) if is_full(&error) && self.reserve() > 0 => {
                        self.give_back()?;
                        self.make_shorter(needs)
                    }
                    made => made,
                };
                made.map_err(|error| {
                    if is_full(&error) {
                        WriteError::Full(error)
                    } else {
                        let path = self.folder.next_path();
                        WriteError::Broken(io_error("make", path)(error))
                    }
                })?
            }
        };
        // Before there is a segment behind it: half a seal at the end of this one would be taken for
        // damage then. What was reserved in vain is given back.
        self.give_back()?;
        let first = Lsn(self.durable.0 + 1);
        let begun = begin(&self.folder, next, self.current.number + 1, first);
        let begun = begun.map_err(WriteError::Broken)?;
        let left = std::mem::replace(&mut self.current, begun);
        self.is_sealed = false;
        self.closed.push_back(Segment {
            number: left.number,
            first: left.first,
            bytes: left.end,
            group: left.end,
        });
        Ok(())
    }

    /// Ends the current segment where its last group does: nothing goes before the next one, for
    /// which the rest is too short.
    fn give_back(&mut self) -> Result<(), WriteError> {
        let current = &mut self.current;
        let cut = current.file.set_len(current.end);
        cut.and_then(|()| current.file.sync_all())
            .map_err(|error| {
                let path = self.folder.segment_path(current.number);
                WriteError::Broken(io_error("write to", path)(error))
            })?;
        current.reserved = current.end;
        self.is_sealed = false;
        Ok(())
    }

    fn make(&self, len: u64) -> io::Result<Next> {
        self.check_limit(len)?;
        make(&self.folder, len)
    }

    /// Makes a segment for what cannot wait: as long as they are, or as there is room, and for
    /// `needs` bytes at least.
    fn make_shorter(&self, needs: u64) -> io::Result<Next> {
        let mut len = self.sizes.segment.max(needs);
        loop {
            match self.make(len) {
                Err(error) if is_full(&error) && len > needs => len = (len / 2).max(needs),
                made => return made,
            }
        }
    }

    /// Whether so many bytes more are allowed.
    fn check_limit(&self, len: u64) -> io::Result<()> {
        if self.reserved().saturating_add(len) > self.sizes.most {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                "as much is stored as --max-store-size allows",
            ));
        }
        Ok(())
    }
}

/// A file of zeros that are really there.
fn make(folder: &Folder, len: u64) -> io::Result<Next> {
    let path = folder.next_path();
    let file = File::create_new(&path)?;
    let made = file.allocate(0, len).and_then(|()| file.sync_all());
    match made {
        Ok(()) => Ok(Next {
            file,
            reserved: len,
        }),
        Err(error) => {
            // What was reserved so far may be just what others need.
            let _ = disk::remove_file(&path);
            Err(error)
        }
    }
}

fn remove_next(folder: &Folder) -> Result<(), StoreError> {
    let path = folder.next_path();
    match disk::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove", &path)(error))
        }
        _ => Ok(()),
    }
}

/// The segment is there with its header, and noted, or not at all.
fn begin(folder: &Folder, next: Next, number: u64, first: Lsn) -> Result<Current, StoreError> {
    let Next { file, reserved } = next;
    let mut header = BytesMut::with_capacity(HEADER_LEN);
    let version = FORMAT_VERSION;
    let journal = folder.journal();
    Header {
        version,
        journal,
        first,
    }
    .write(&mut header);
    let path = folder.next_path();
    let written = file.write_all_at(&header, 0);
    written
        .and_then(|()| file.sync_all())
        .and_then(|()| disk::rename(&path, &folder.segment_path(number)))
        .map_err(io_error("write to", &path))?;
    folder.sync_segments()?;
    newest::write(folder.path(), number)?;
    Ok(Current {
        number,
        first,
        file,
        end: HEADER_LEN as u64,
        reserved,
    })
}

/// From now on what was read counts as durable.
fn sync_segment(folder: &Folder, segment: Segment) -> Result<(), StoreError> {
    let path = folder.segment_path(segment.number);
    File::open(&path)
        .and_then(|file| {
            write_again(&file, segment)?;
            file.sync_all()
        })
        .map_err(io_error("write to", &path))
}

/// The last group may be with the system only: a process that was killed had written it, and not yet
/// waited for the disk; or had, and the disk failed. That is said once, and then the system takes
/// what was written for what is on the disk, and writes it only if it is written once more.
fn write_again(file: &File, segment: Segment) -> io::Result<()> {
    let len = segment.bytes.saturating_sub(segment.group);
    let mut group = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut group, segment.group)?;
    match file.write_all_at(&group, segment.group) {
        // Some file systems copy on write.
        Err(error) if is_full(&error) => Ok(()),
        written => written,
    }
}

/// Takes the last segment into use again: whatever was behind its end is zeros now.
fn reopen(folder: &Folder, sizes: Sizes, last: Segment) -> Result<Current, StoreError> {
    let path = folder.segment_path(last.number);
    let open = || {
        let file = File::open(&path)?;
        file.set_len(last.bytes)?;
        write_again(&file, last)?;
        let reserved = match file.allocate(last.bytes, sizes.segment) {
            Ok(()) => sizes.segment,
            Err(error) if is_full(&error) => {
                file.set_len(last.bytes)?;
                last.bytes
            }
            Err(error) => return Err(error),
        };
        file.sync_all()?;
        Ok((file, reserved))
    };
    let (file, reserved) = open().map_err(io_error("write to", &path))?;
    // A crash may have come between the file and its note.
    newest::write(folder.path(), last.number)?;
    Ok(Current {
        number: last.number,
        first: last.first,
        file,
        end: last.bytes,
        reserved,
    })
}
