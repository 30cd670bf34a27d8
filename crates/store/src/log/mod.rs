//! An append-only log: records in numbered files, which are removed when nobody needs them.
//!
//! The journal of the broker keeps a promise for each message. This log is for what the server
//! remembers by itself: it is written in groups, one a second or so, and what a crash may cost is the
//! group that was not committed yet.
//!
//! ```text
//! FOLDER/00000001.log   segments: groups of records, appended one after another
//! ```
//!
//! **Invariant.** What [`commit`](Log::commit) has returned for is there at the next start, after a
//! crash or a loss of power. A group that was being written is there as a whole, or not at all.
//!
//! **Invariant.** A disk that is full or fails costs nothing that is committed. The group stays in
//! memory, and the next commit tries again, until [`drop_buffered`](Log::drop_buffered) gives it up.
//!
//! **Damage** is never an error. Each record has a checksum of its own. What is damaged is named, with
//! the file, the place and the number of bytes, and reading goes on behind it. Only the last segment is
//! searched when a log is opened; reading finds damage in the others.
//!
//! **Memory.** The log holds the group that is not committed. The caller bounds it:
//! [`buffered`](Log::buffered) says how large it is.
//!
//! ```
//! use std::ops::ControlFlow;
//! use store::log::{Log, Position, Settings};
//!
//! # let folder = testbed::Folder::new();
//! let settings = Settings {
//!     folder: folder.path().join("messages"),
//!     segment_bytes: 16 << 20,
//! };
//! let (mut log, found) = Log::open(settings).unwrap();
//! assert!(found.damaged.is_empty());
//! let position = log.append(b"one");
//! log.append(b"two");
//! log.commit().unwrap();
//!
//! let reader = log.reader();
//! let mut records = Vec::new();
//! reader.read(Position::default(), |_, record| {
//!     records.push(record.to_vec());
//!     ControlFlow::Continue(())
//! }).unwrap();
//! assert_eq!(records, [b"one", b"two"]);
//! assert_eq!(reader.record(position).unwrap().unwrap(), b"one");
//! ```

mod current;
mod damage;
mod form;
mod frames;
mod reader;
mod recover;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::{info, warn};

use self::current::Current;
use self::damage::add_damage;
use self::form::{GROUP, GroupHead, HEAD, Head, LogId};
use self::reader::{Committed, Shared};
use crate::disk::{self, File};
use crate::error::{StoreError, io_error};
use crate::folder::{create_folder, sync_folder};

pub use self::damage::Damage;
pub use self::reader::{Read, Reader};

/// Where a log is, and how large its files become.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder. Nobody else may use it: the store's own folder is locked, so put it into that.
    pub folder: PathBuf,
    /// A segment that has so many bytes gets no more groups.
    pub segment_bytes: u64,
}

/// The place of a record. Later records have greater ones.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the file.
    pub segment: u64,
    /// The byte of the file at which the record begins.
    pub offset: u64,
}

/// A file of a log.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u64,
    /// Bytes that are committed.
    pub bytes: u64,
}

/// What was found when a log was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Bytes of a commit that a crash has interrupted. They were cut off.
    pub torn_bytes: u64,
    /// Damage in the last segment, and files that are missing. It stays, and is skipped.
    pub damaged: Vec<Damage>,
}

/// What [`Log::drop_buffered`] has given up.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Records that were appended and not committed.
    pub records: u64,
    /// Bytes of these records.
    pub bytes: u64,
}

/// An open log, for its only writer.
#[derive(Debug)]
pub struct Log {
    settings: Settings,
    id: LogId,
    shared: Arc<Shared>,
    current: Current,
    next_group: u64,
    /// The group that is not committed, with space for its head. Empty: no record waits.
    buffer: Vec<u8>,
    /// Where the group will begin.
    begin: Position,
    records: u64,
}

impl Log {
    /// How much memory stays reserved for the next group.
    const RESERVED: usize = 1 << 20;

    /// Opens the log, or an empty one. It reads the last segment.
    ///
    /// # Errors
    ///
    /// The folder cannot be read or written, or a newer version of Beaconry has written it. Damage is no
    /// error.
    pub fn open(settings: Settings) -> Result<(Self, Found), StoreError> {
        let folder = &settings.folder;
        create_folder(folder)?;
        if let Some(above) = folder.parent() {
            sync_folder(above)?;
        }
        let recover::Files {
            segments,
            id,
            damaged,
        } = recover::find(folder)?;
        let mut found = Found {
            torn_bytes: 0,
            damaged,
        };
        let last = segments.last_key_value().map(|(&number, &it)| (number, it));
        let mut log = Self {
            id: id.unwrap_or_else(LogId::random),
            shared: Shared::new(folder.clone(), segments),
            current: Current::new(1),
            next_group: 1,
            buffer: Vec::new(),
            begin: Position::default(),
            records: 0,
            settings,
        };
        if let Some((number, segment)) = last {
            log.resume(number, segment, &mut found)?;
        }
        for damage in &found.damaged {
            warn!("{damage}");
        }
        Ok((log, found))
    }

    /// Goes on in the last segment, or behind it if that is not possible.
    fn resume(
        &mut self,
        number: u64,
        segment: Committed,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let path = self.shared.path(number);
        let tail = match recover::tail(&path, segment) {
            Ok(tail) => tail,
            Err(error) => {
                add_damage(&mut found.damaged, &path, 0, segment.bytes, error);
                self.current = Current::new(number + 1);
                return Ok(());
            }
        };
        // Each segment goes on with the number of its log, which may not be that of the others.
        self.id = segment.id;
        self.next_group = match tail.next_group {
            Some(number) => number,
            None => self.next_group_before(number),
        };
        if tail.durable == 0 && segment.bytes > HEAD as u64 {
            // Its head is on the disk before anything else is written. So this is no torn tail.
            let why = Damage::CHECKSUM;
            add_damage(&mut found.damaged, &path, 0, segment.bytes, why);
            self.current = Current::new(number + 1);
            return Ok(());
        }
        let file = File::open(&path).map_err(io_error("open", &path))?;
        found.torn_bytes = segment.bytes - tail.durable;
        if found.torn_bytes > 0 {
            let (torn, at) = (found.torn_bytes, tail.durable);
            info!(
                "{} ends in {torn} bytes of a commit that was interrupted: they are cut off at byte {at}",
                path.display()
            );
            file.set_len(tail.durable)
                .map_err(io_error("shorten", &path))?;
        }
        // What a killed process has written may only be in the memory of the system.
        file.sync_data().map_err(io_error("write", &path))?;
        sync_folder(&self.settings.folder)?;
        self.current = Current {
            number,
            file: (tail.durable > 0).then_some(file),
            durable: tail.durable,
            has_rest: false,
        };
        if tail.durable > 0 {
            found.damaged.extend(tail.damaged);
        }
        self.show_committed();
        Ok(())
    }

    /// The number of the group that follows what is in the segments before this one.
    fn next_group_before(&self, segment: u64) -> u64 {
        let segments = self.shared.segments();
        let mut before = segments.range(..segment).rev();
        let next = before.find_map(|(&number, &it)| {
            let tail = recover::tail(&self.shared.path(number), it);
            tail.ok()?.next_group
        });
        next.unwrap_or(1)
    }

    /// Adds a record to the group that is not committed. Says where it will be.
    ///
    /// # Panics
    ///
    /// If the record has 4 GiB or more.
    pub fn append(&mut self, record: &[u8]) -> Position {
        if self.buffer.is_empty() {
            let is_full = self.current.durable >= self.settings.segment_bytes.max(HEAD as u64 + 1);
            self.begin = Position {
                segment: self.current.number + u64::from(is_full),
                offset: if is_full {
                    HEAD as u64
                } else {
                    self.current.durable.max(HEAD as u64)
                },
            };
            self.buffer.resize(GROUP, 0);
        }
        let position = Position {
            offset: self.begin.offset + self.buffer.len() as u64,
            ..self.begin
        };
        form::put_record(self.id, position.offset, record, &mut self.buffer);
        self.records += 1;
        position
    }

    /// Bytes that wait to be committed.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Makes everything that was appended durable, with one write. Blocks until the disk has it.
    ///
    /// # Errors
    ///
    /// The disk is full or cannot be written. What was committed still is, and nothing else is in the
    /// file. The group stays in memory: commit again, or give it up with
    /// [`drop_buffered`](Self::drop_buffered).
    pub fn commit(&mut self) -> Result<(), StoreError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.create(self.begin.segment)?;
        let head = GroupHead {
            number: self.next_group,
            len: (self.buffer.len() - GROUP) as u64,
        };
        self.buffer[..GROUP].copy_from_slice(&head.bytes(self.id, self.begin.offset));
        let path = self.shared.path(self.current.number);
        let written = self.current.append(&self.buffer);
        written.map_err(io_error("write to", path))?;
        self.next_group = self.next_group.wrapping_add(1);
        self.forget_buffer();
        self.show_committed();
        Ok(())
    }

    /// Gives up what was appended and not committed.
    pub fn drop_buffered(&mut self) -> Dropped {
        let dropped = Dropped {
            records: self.records,
            bytes: self.buffer.len().saturating_sub(GROUP) as u64,
        };
        self.forget_buffer();
        dropped
    }

    fn forget_buffer(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(Self::RESERVED);
        self.records = 0;
    }

    /// Commits, and begins a new segment if anything is in this one.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit). It can be tried again.
    pub fn begin_segment(&mut self) -> Result<(), StoreError> {
        self.commit()?;
        let is_used = self.current.durable > HEAD as u64;
        self.create(self.current.number + u64::from(is_used))
    }

    /// Creates a segment, unless it is the current one. Its head is durable afterwards.
    fn create(&mut self, number: u64) -> Result<(), StoreError> {
        if number == self.current.number && self.current.durable > 0 {
            return Ok(());
        }
        let before = self.shared.path(self.current.number);
        // What a failed write has left must not be in a segment that is never written again.
        self.current.cut().map_err(io_error("shorten", before))?;
        let path = self.shared.path(number);
        let head = Head {
            id: self.id,
            group: self.next_group,
        };
        let create = || {
            let file = File::open_or_create(&path)?;
            file.set_len(0)?;
            file.write_all_at(&head.bytes(), 0)?;
            file.sync_all()?;
            Ok(file)
        };
        let created = create().map_err(io_error("write", &path));
        let created = created.and_then(|file| {
            sync_folder(&self.settings.folder)?;
            Ok(file)
        });
        let file = created.inspect_err(|_| {
            // The next attempt may be for a later group.
            let _ = disk::remove_file(&path);
        })?;
        self.current = Current {
            number,
            file: Some(file),
            durable: HEAD as u64,
            has_rest: false,
        };
        self.show_committed();
        Ok(())
    }

    /// Removes all segments before `segment`, but never the one that is written. Returns their bytes.
    ///
    /// # Errors
    ///
    /// A file cannot be removed. Older ones may have been.
    pub fn remove_before(&mut self, segment: u64) -> Result<u64, StoreError> {
        let segments = self.segments().into_iter();
        let old = segments.filter(|it| it.number < segment && it.number != self.current.number);
        let mut bytes = 0;
        for SegmentInfo { number, bytes: its } in old {
            // Readers that do not find the file see that it was removed.
            let removed = self.shared.segments().remove(&number);
            let path = self.shared.path(number);
            match disk::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    self.shared
                        .segments()
                        .extend(removed.map(|it| (number, it)));
                    return Err(io_error("remove", path)(error));
                }
                Ok(()) | Err(_) => bytes += its,
            }
        }
        if bytes > 0 {
            sync_folder(&self.settings.folder)?;
        }
        Ok(bytes)
    }

    /// The segments, the oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.reader().segments()
    }

    /// Reads what is committed. Clones of it can do so in other threads.
    pub fn reader(&self) -> Reader {
        Reader::new(&self.shared)
    }

    /// Gives each committed record from `from` on: see [`Reader::read`].
    ///
    /// # Errors
    ///
    /// A file cannot be opened.
    pub fn read(
        &self,
        from: Position,
        sink: impl FnMut(Position, &[u8]) -> ControlFlow<()>,
    ) -> Result<Read, StoreError> {
        self.reader().read(from, sink)
    }

    /// Lets readers see what is durable.
    fn show_committed(&self) {
        let (number, bytes) = (self.current.number, self.current.durable);
        let mut segments = self.shared.segments();
        match bytes {
            0 => drop(segments.remove(&number)),
            _ => drop(segments.insert(number, Committed { id: self.id, bytes })),
        }
    }
}
