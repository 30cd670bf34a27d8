//! Writing: groups into segments, the next segment ahead of need, old segments away.
//!
//! **Invariant.** A group is begun only when everything before it is durable, and a segment only
//! when the one before it is: that is what tells a torn tail from damage (`read.rs`).
//!
//! **Room.** The current segment's bytes are reserved when it is made. When half of it is used
//! the next one is made, as long as there is room for it. How much of all that is kept for what
//! must have room is not decided here: see `shard/storing.rs`.

use std::collections::VecDeque;
use std::io;

use broker::Lsn;
use broker::journal::FORMAT_VERSION;
use bytes::BytesMut;

use crate::disk::{self, File};
use crate::error::{StoreError, io_error, is_full, is_passing};
use crate::folder::Folder;
use crate::newest;
use crate::platform;
use crate::segment::{self, GROUP_LEN, HEADER_LEN, Header};
use crate::sizes::Sizes;

/// Of a segment: one that is shorter is not made ahead of need.
const SHORTEST: u64 = 16;

#[derive(Debug)]
pub(super) struct Journal {
    folder: Folder,
    sizes: Sizes,
    closed: VecDeque<Segment>,
    current: Current,
    /// Made ahead of need, and not used yet.
    next: Option<Next>,
    /// The system had no room when it was last asked for some, whatever it says.
    is_refused: bool,
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
        mut sizes: Sizes,
        mut segments: VecDeque<Segment>,
        durable: Lsn,
    ) -> Result<Self, StoreError> {
        remove_next(&folder)?;
        // A process that was killed may have named a segment, and not yet waited for the disk.
        folder.sync_segments()?;
        let used = segments.iter().map(|segment| segment.bytes).sum();
        let first = Lsn(durable.0 + 1);
        let current = match segments.back().copied() {
            None => {
                let begun = begin_first(&folder, sizes, first)?;
                // With longer ones what is kept would be more than there is.
                sizes.segment = sizes.segment.min(begun.reserved);
                begun
            }
            Some(last) if last.bytes < sizes.segment / 2 => {
                segments.pop_back();
                reopen(&folder, sizes, used, last)?
            }
            Some(last) => match make_within(&folder, sizes, used, sizes.segment) {
                Ok(next) => {
                    sync_segment(&folder, last)?;
                    match begin(&folder, next, last.number + 1, first) {
                        Ok(begun) => begun,
                        Err(WriteError::Full(_)) => {
                            segments.pop_back();
                            reopen(&folder, sizes, used, last)?
                        }
                        Err(WriteError::Broken(error)) => return Err(error),
                    }
                }
                // A full disk is no reason not to start: what needs no store goes on.
                Err(error) if is_full(&error) => {
                    segments.pop_back();
                    reopen(&folder, sizes, used, last)?
                }
                Err(error) => {
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
            is_refused: false,
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

    /// Whether the last group has a seal, or there is no room for one.
    pub(super) fn is_settled(&self) -> bool {
        self.is_sealed || self.reserve() < GROUP_LEN as u64
    }

    /// Bytes of all segments that are not worth a copy of everything.
    pub(super) const fn long_enough(&self) -> u64 {
        self.sizes.segment
    }

    /// Bytes that are kept beside what has to have room.
    pub(super) const fn kept(&self) -> u64 {
        self.sizes.kept()
    }

    /// Bytes that may wait while there is no room even for them.
    pub(super) const fn most_waiting(&self) -> usize {
        self.sizes.waiting
    }

    /// Bytes that there could be in more segments.
    pub(super) fn free(&self) -> u64 {
        let next = self.next.as_ref().map_or(0, |next| next.reserved);
        if self.is_refused {
            return next;
        }
        let disk = platform::space_of(self.folder.path()).map_or(u64::MAX, |disk| disk.free);
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
        synced.map_err(|error| self.failed("write to", error))?;
        self.current.end += group.len() as u64;
        self.durable = last;
        self.is_sealed = false;
        Ok(())
    }

    /// Writes the next group's frame ahead, so that damage to the last group is seen as such. It
    /// is not waited for: only a loss of power can take it away, and it is written again with the
    /// next group.
    ///
    /// There is none where the segment has no room left for it, nor behind a group for whose
    /// successor the rest of the segment was given back: damage to it passes for a torn tail then,
    /// until there is another one or the store is closed.
    pub(super) fn seal(&mut self) -> Result<(), WriteError> {
        if self.is_settled() {
            return Ok(());
        }
        self.put_seal()
    }

    fn put_seal(&mut self) -> Result<(), WriteError> {
        let mut frame = BytesMut::with_capacity(GROUP_LEN);
        segment::write_group(&mut frame, self.folder.journal(), self.durable);
        let written = self.current.file.write_all_at(&frame, self.current.end);
        // Some file systems copy on write, and take more room than was reserved.
        written.map_err(|error| self.failed("write to", error))?;
        self.is_sealed = true;
        Ok(())
    }

    /// What it means that something could not be done to the current segment.
    fn failed(&self, doing: &'static str, error: io::Error) -> WriteError {
        if is_full(&error) {
            WriteError::Full(error)
        } else {
            let path = self.folder.segment_path(self.current.number);
            WriteError::Broken(io_error(doing, path)(error))
        }
    }

    /// Makes the next segment if it will be needed soon, as long as there is room for it.
    pub(super) fn look_ahead(&mut self) -> Result<(), StoreError> {
        if self.next.is_some() || self.current.end <= self.current.reserved / 2 {
            return Ok(());
        }
        match self.make_shorter(self.sizes.segment / SHORTEST) {
            Ok(next) => {
                self.next = Some(next);
                self.is_refused = false;
                Ok(())
            }
            Err(error) if is_full(&error) => {
                self.refused(&error);
                Ok(())
            }
            // There is still time: it is tried again with the next group.
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(io_error("make", self.folder.next_path())(error)),
        }
    }

    /// There was no room. Where the limit is our own it is known how much there is.
    fn refused(&mut self, error: &io::Error) {
        self.is_refused = error.raw_os_error().is_some();
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
            self.is_refused = false;
        }
        Ok(())
    }

    /// Leaves behind what needs no more room than it uses.
    pub(super) fn close(mut self) -> Result<(), StoreError> {
        // Beyond what was reserved, too.
        if !self.is_sealed {
            match self.put_seal() {
                Ok(()) | Err(WriteError::Full(_)) => {}
                Err(WriteError::Broken(error)) => return Err(error),
            }
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
        self.follow(HEADER_LEN as u64 + len)
    }

    /// Begins the next segment though there is room in this one, if there is room for both: what is
    /// before it can go when all of that is over.
    pub(super) fn leave(&mut self) -> Result<(), WriteError> {
        if self.current.end == HEADER_LEN as u64 {
            return Ok(());
        }
        if self.next.is_none() {
            // What is reserved is not given back before: others might take it.
            match self.make_shorter(self.sizes.segment / SHORTEST) {
                Ok(next) => self.next = Some(next),
                Err(error) if is_full(&error) || is_passing(&error) => return Ok(()),
                Err(error) => {
                    let path = self.folder.next_path();
                    return Err(WriteError::Broken(io_error("make", path)(error)));
                }
            }
        }
        self.follow(HEADER_LEN as u64)
    }

    /// Begins the next segment, of so many bytes at least.
    fn follow(&mut self, needs: u64) -> Result<(), WriteError> {
        // Before there is a segment behind it: half a seal at the end of this one would be taken for
        // damage then. What was reserved in vain is given back: nothing goes before this group, so
        // it is of use to nobody, and may be just what the next segment lacks.
        let has_rest = self.is_sealed || self.reserve() >= GROUP_LEN as u64;
        self.give_back()?;
        if self.next.as_ref().is_some_and(|it| it.reserved < needs) {
            self.next = None;
            remove_next(&self.folder).map_err(WriteError::Broken)?;
        }
        let next = match self.next.take() {
            Some(next) => next,
            None => match self.make_shorter(needs) {
                Ok(next) => next,
                Err(error) if is_full(&error) || is_passing(&error) => {
                    self.refused(&error);
                    // The last group is still the last one.
                    if has_rest && self.put_seal().is_ok() {
                        self.current.reserved = self.current.end + GROUP_LEN as u64;
                    }
                    return Err(WriteError::Full(error));
                }
                Err(error) => {
                    let path = self.folder.next_path();
                    return Err(WriteError::Broken(io_error("make", path)(error)));
                }
            },
        };
        self.is_refused = false;
        let first = Lsn(self.durable.0 + 1);
        let begun = begin(&self.folder, next, self.current.number + 1, first)?;
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

    /// Ends the current segment where its last group does.
    fn give_back(&mut self) -> Result<(), WriteError> {
        if self.reserve() == 0 && !self.is_sealed {
            return Ok(());
        }
        // It may be gone, whether this goes well or not.
        self.is_sealed = false;
        let current = &self.current;
        let cut = current.file.set_len(current.end);
        let cut = cut.and_then(|()| current.file.sync_all());
        cut.map_err(|error| self.failed("write to", error))?;
        self.current.reserved = self.current.end;
        Ok(())
    }

    /// Makes a segment for what cannot wait: as long as they are, or as there is room, and for
    /// `needs` bytes at least.
    fn make_shorter(&self, needs: u64) -> io::Result<Next> {
        let longest = self.sizes.segment.max(needs);
        make_shorter(&self.folder, self.sizes, self.reserved(), longest, needs)
    }
}

/// Makes a segment beside those that take `reserved` bytes: of `len` bytes, or of as many as there
/// is room for, and of `needs` bytes at least.
fn make_shorter(
    folder: &Folder,
    sizes: Sizes,
    reserved: u64,
    mut len: u64,
    needs: u64,
) -> io::Result<Next> {
    loop {
        match make_within(folder, sizes, reserved, len) {
            Err(error) if is_full(&error) && len > needs => len = (len / 2).max(needs),
            made => return made,
        }
    }
}

fn make_within(folder: &Folder, sizes: Sizes, reserved: u64, len: u64) -> io::Result<Next> {
    sizes.check_limit(reserved, len)?;
    make(folder, len)
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

/// The first segment of all, as long as there is room for it.
fn begin_first(folder: &Folder, sizes: Sizes, first: Lsn) -> Result<Current, StoreError> {
    let refused = |error: io::Error| {
        if is_full(&error) {
            StoreError::no_room(folder.path(), error)
        } else {
            io_error("write to the folder", folder.segments_path())(error)
        }
    };
    let next = make_shorter(folder, sizes, 0, sizes.segment, Sizes::SHORTEST).map_err(refused)?;
    match begin(folder, next, 1, first) {
        Ok(begun) => Ok(begun),
        Err(WriteError::Full(error)) => Err(refused(error)),
        Err(WriteError::Broken(error)) => Err(error),
    }
}

/// The segment is there with its header, and noted, or not at all.
fn begin(folder: &Folder, next: Next, number: u64, first: Lsn) -> Result<Current, WriteError> {
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
    let renamed = written
        .and_then(|()| file.sync_all())
        .and_then(|()| disk::rename(&path, &folder.segment_path(number)));
    match renamed {
        Ok(()) => {}
        // Where a file system copies on write: it is made again when there is room.
        Err(error) if is_full(&error) => {
            remove_next(folder).map_err(WriteError::Broken)?;
            return Err(WriteError::Full(error));
        }
        Err(error) => return Err(WriteError::Broken(io_error("write to", &path)(error))),
    }
    let noted = folder.sync_segments();
    noted
        .and_then(|()| newest::write(folder.path(), number))
        .map_err(WriteError::Broken)?;
    Ok(Current {
        number,
        first,
        file,
        end: HEADER_LEN as u64,
        reserved,
    })
}

/// From now on what was read counts as durable. What was reserved behind it is given back: nobody
/// will write there.
fn sync_segment(folder: &Folder, segment: Segment) -> Result<(), StoreError> {
    let path = folder.segment_path(segment.number);
    File::open(&path)
        .and_then(|file| {
            file.set_len(segment.bytes)?;
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

/// Takes the last segment into use again: whatever was behind its end is zeros now, as far as there
/// is room for them. All segments together have `used` bytes.
fn reopen(folder: &Folder, sizes: Sizes, used: u64, last: Segment) -> Result<Current, StoreError> {
    let path = folder.segment_path(last.number);
    let open = || {
        let file = File::open(&path)?;
        file.set_len(last.bytes)?;
        write_again(&file, last)?;
        // It may be longer than a segment is: the size may have been another one, or a group large.
        let wanted = sizes.segment.saturating_sub(last.bytes);
        let mut more = wanted.min(sizes.most.saturating_sub(used));
        loop {
            match file.allocate(last.bytes, last.bytes + more) {
                Err(error) if is_full(&error) => {
                    file.set_len(last.bytes)?;
                    // What is less than a page is no help.
                    more = if more < 8192 { 0 } else { more / 2 };
                }
                made => break made?,
            }
        }
        file.sync_all()?;
        Ok((file, last.bytes + more))
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
