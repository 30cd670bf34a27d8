//! Writes groups into segments, creates the next segment in advance, and removes old ones.
//!
//! **Invariant.** A group begins only when everything before it is durable, and so does a segment. This
//! is how the reader tells a torn tail from damage (`read.rs`).
//!
//! **Space.** A segment's bytes are reserved when it is created. When half of it is used, the next one
//! is created, if there is space for it. The shard decides how much space must stay free: see
//! `shard/storing.rs`.

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

/// A segment that would be shorter than this part of the usual size is not created in advance.
const SHORTEST: u64 = 16;

#[derive(Debug)]
pub(super) struct Journal {
    folder: Folder,
    sizes: Sizes,
    /// The limit that the settings name. [`Sizes::most`] may be more until a checkpoint is complete.
    limit: u64,
    closed: VecDeque<Segment>,
    current: Current,
    /// Created in advance, and not used yet.
    next: Option<Next>,
    /// The system refused the last request for space, whatever free space it reports.
    is_refused: bool,
    /// All records up to this one are durable.
    durable: Lsn,
    /// The frame of the next group is already in the file.
    is_sealed: bool,
}

/// A segment that is full, or was left.
#[derive(Copy, Clone, Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) first: Lsn,
    pub(super) bytes: u64,
    /// Where the last group begins, which may not be durable.
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
    /// Nothing has changed, so it can be tried again.
    Full(io::Error),
    /// The content of the file is unknown now.
    Broken(StoreError),
}

impl Journal {
    /// Continues behind what was read. `segments` are in order, and the last one is good up to
    /// `end`.
    pub(super) fn resume(
        folder: Folder,
        mut sizes: Sizes,
        mut segments: VecDeque<Segment>,
        durable: Lsn,
    ) -> Result<Self, StoreError> {
        remove_next(&folder)?;
        // A process that was killed may have created a segment without having waited for the disk.
        folder.sync_segments()?;
        let used = segments.iter().map(|segment| segment.bytes).sum();
        let first = Lsn(durable.0 + 1);
        let current = match segments.back().copied() {
            None => {
                let begun = begin_first(&folder, sizes, first)?;
                // With longer segments the reserve would be larger than the whole store.
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
                // A full disk is no reason not to start: what needs no store works.
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
            limit: sizes.most,
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

    /// With fewer bytes in all segments, a checkpoint is not worth it.
    pub(super) const fn long_enough(&self) -> u64 {
        self.sizes.segment
    }

    /// Bytes that are kept free as a reserve.
    pub(super) const fn kept(&self) -> u64 {
        self.sizes.kept()
    }

    /// The most bytes that may wait in memory while there is no space.
    pub(super) const fn most_waiting(&self) -> usize {
        self.sizes.waiting
    }

    /// Bytes that more segments could have.
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

    /// Writes the next group's frame in advance, as a seal: it shows that the last group was durable, so
    /// that damage to it does not pass for a torn tail. This does not wait for the disk. Only a loss of
    /// power can lose the seal, and the next group writes it again.
    ///
    /// There is no seal if the segment has no space left for it, or if the rest of the segment was given
    /// back for the next group. Then damage passes for a torn tail until another group follows or the
    /// store is closed.
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
        // Some file systems copy on write, and need more space than was reserved.
        written.map_err(|error| self.failed("write to", error))?;
        self.is_sealed = true;
        Ok(())
    }

    /// What an error at the current segment means.
    fn failed(&self, doing: &'static str, error: io::Error) -> WriteError {
        if is_full(&error) {
            WriteError::Full(error)
        } else {
            let path = self.folder.segment_path(self.current.number);
            WriteError::Broken(io_error(doing, path)(error))
        }
    }

    /// Creates the next segment if it will be needed soon and there is space for it.
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
            // There is still time: the next group tries again.
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(io_error("make", self.folder.next_path())(error)),
        }
    }

    /// Notes that the system had no space. Our own limit needs no note, because we know how much
    /// space it leaves.
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
            // Each removal is durable before the next, so that a crash leaves no gap.
            self.folder.sync_segments()?;
            self.closed.pop_front();
            self.is_refused = false;
        }
        self.lower_limit();
        Ok(())
    }

    /// Sets the limit that holds again as soon as what is stored fits into it: see
    /// [`Sizes::until_checkpoint`].
    pub(super) fn lower_limit_when_possible(&mut self, most: u64) {
        self.limit = most;
        self.lower_limit();
    }

    fn lower_limit(&mut self) {
        let closed: u64 = self.closed.iter().map(|segment| segment.bytes).sum();
        let used = closed + self.current.end;
        // The next checkpoint is no larger than what is stored, and must fit too.
        if self.limit < self.sizes.most && used <= self.limit / 2 {
            self.sizes.most = self.limit;
        }
    }

    /// Gives back the reserved space of a segment that is no longer written to.
    pub(super) fn close(mut self) -> Result<(), StoreError> {
        // Here the seal may take more than the reserved space.
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

    /// Begins the next segment if `len` bytes do not fit into this one.
    fn fit(&mut self, len: u64) -> Result<(), WriteError> {
        if len <= self.reserve() {
            return Ok(());
        }
        self.follow(HEADER_LEN as u64 + len)
    }

    /// Begins the next segment although this one has space left, if there is space for both. Then the
    /// segments before it can be removed when they are obsolete.
    pub(super) fn leave(&mut self) -> Result<(), WriteError> {
        if self.current.end == HEADER_LEN as u64 {
            return Ok(());
        }
        if self.next.is_none() {
            // The rest of this segment is not given back before the next one exists, because other
            // programs might take the space.
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

    /// Begins the next segment, with at least this many bytes.
    fn follow(&mut self, needs: u64) -> Result<(), WriteError> {
        // The seal is removed before the next segment exists. After that, half a seal at the end of
        // this segment would count as damage. The reserved space is given back too: nothing else
        // can use it, and the next segment may need it.
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
                    // No segment follows, so the last group needs its seal again.
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

    /// Cuts the current segment off behind its last group.
    fn give_back(&mut self) -> Result<(), WriteError> {
        if self.reserve() == 0 && !self.is_sealed {
            return Ok(());
        }
        // The seal may be gone, whether this succeeds or not.
        self.is_sealed = false;
        let current = &self.current;
        let cut = current.file.set_len(current.end);
        let cut = cut.and_then(|()| current.file.sync_all());
        cut.map_err(|error| self.failed("write to", error))?;
        self.current.reserved = self.current.end;
        Ok(())
    }

    /// Creates a segment that is needed now: of the usual size or as large as there is space, and with
    /// at least `needs` bytes.
    fn make_shorter(&self, needs: u64) -> io::Result<Next> {
        let longest = self.sizes.segment.max(needs);
        make_shorter(&self.folder, self.sizes, self.reserved(), longest, needs)
    }
}

/// Creates a segment beside those that take `reserved` bytes: of `len` bytes or as large as there is
/// space, and with at least `needs` bytes.
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

/// Creates a file of zeros whose space is reserved.
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
            // Gives back what was reserved, because other files may need it.
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

/// Creates the first segment, as large as there is space.
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

/// Creates a segment with its header, and notes it. If that fails, the segment does not exist.
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
        // This happens on a file system that copies on write. The segment is created again when
        // there is space.
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

/// Makes durable what was read, and gives back the space that was reserved behind it.
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

/// Writes the last group once more. It may be only in the system's memory: a process was killed before
/// it had waited for the disk, or the disk failed. The system reports such a failure once. Then it
/// believes that the data is on the disk, and writes it only if it is written again.
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

/// Uses the last segment again: fills what is behind its end with zeros, as far as there is space.
/// All segments together have `used` bytes.
fn reopen(folder: &Folder, sizes: Sizes, used: u64, last: Segment) -> Result<Current, StoreError> {
    let path = folder.segment_path(last.number);
    let open = || {
        let file = File::open(&path)?;
        file.set_len(last.bytes)?;
        write_again(&file, last)?;
        // It may be longer than the usual size, if that was larger before or a group was large.
        let wanted = sizes.segment.saturating_sub(last.bytes);
        let mut more = wanted.min(sizes.most.saturating_sub(used));
        loop {
            match file.allocate(last.bytes, last.bytes + more) {
                Err(error) if is_full(&error) => {
                    file.set_len(last.bytes)?;
                    // Less than a page is of no use.
                    more = if more < 8192 { 0 } else { more / 2 };
                }
                made => break made?,
            }
        }
        file.sync_all()?;
        Ok((file, last.bytes + more))
    };
    let (file, reserved) = open().map_err(io_error("write to", &path))?;
    // A crash may have come between the creation of the file and its note.
    newest::write(folder.path(), last.number)?;
    Ok(Current {
        number: last.number,
        first: last.first,
        file,
        end: last.bytes,
        reserved,
    })
}
