//! A file of sealed blocks: written once, never changed.
//!
//! ```text
//! head      16 bytes   "BCNHIST\x01", kind, 3 zeros, day
//! blocks               each: a frame of 40 bytes, then the block
//! index                entries of 32 bytes, sorted: level, group, first time; in pages of 256 entries
//! fences               for each page: level and group of its first entry, checksum of the page
//! tail      56 bytes   counts, times, checksum of fences and tail
//! ```
//!
//! All numbers are little-endian. The tail is at the end, so a reader finds everything with one read of
//! it, one of the fences, one of a page, and one of the block.
//!
//! **Invariant.** A file appears under its name as a whole. It has three endings, one after the other: `.part` while
//! it is written; `.new` when it is whole and synced; `.seg` when the journal says that it is complete. So a start
//! removes every `.part`, and `.new` never stands for half a file.
//!
//! A reader checks the checksum of everything that it uses. If the index is damaged, the frames of the blocks
//! replace it. If a block is damaged, only that block is lost.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use series::{Level, Millis};
use store::files::{create, read_exact_at};

use crate::error::{Damaged, Error};
use crate::name::{DAY, Name, start_of};

const MAGIC: [u8; 8] = *b"BCNHIST\x01";
const FRAME_MAGIC: [u8; 4] = *b"BLK\x01";
const TAIL_MAGIC: [u8; 8] = *b"BCNTAIL\x01";
const HEAD_LEN: usize = 16;
const FRAME_LEN: usize = 40;
const ENTRY_LEN: usize = 32;
const FENCE_LEN: usize = 12;
const TAIL_LEN: usize = 56;
/// Entries of a page of the index.
const PAGE: usize = 256;
/// A block that claims to be larger is damaged.
const MAX_BLOCK: u32 = 1 << 28;
/// Where a block is, and what is in it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// 0: rows. 1, 2, 3: rollups of a minute, an hour, a day.
    pub(crate) level: u8,
    /// The group.
    pub(crate) group: u32,
    /// How many rows, or buckets.
    pub(crate) rows: u32,
    /// Where the block begins in the file, behind its frame.
    pub(crate) offset: u64,
    /// Its length in bytes.
    pub(crate) len: u32,
    /// The smallest time, in milliseconds since the day's beginning.
    pub(crate) first: u32,
    /// The largest time.
    pub(crate) last: u32,
}

/// The number of a level in files.
pub(crate) const fn code_of(level: Option<Level>) -> u8 {
    match level {
        None => 0,
        Some(Level::Minute) => 1,
        Some(Level::Hour) => 2,
        Some(Level::Day) => 3,
    }
}

impl Entry {
    const fn key(&self) -> (u8, u32) {
        (self.level, self.group)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.group.to_le_bytes());
        bytes.extend([self.level, 0, 0, 0]);
        bytes.extend(self.rows.to_le_bytes());
        bytes.extend(self.len.to_le_bytes());
        bytes.extend(self.offset.to_le_bytes());
        bytes.extend(self.first.to_le_bytes());
        bytes.extend(self.last.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        Self {
            group: u32_at(bytes, 0),
            level: bytes[4],
            rows: u32_at(bytes, 8),
            len: u32_at(bytes, 12),
            offset: u64_at(bytes, 16),
            first: u32_at(bytes, 24),
            last: u32_at(bytes, 28),
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
}

/// What the tail says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Blocks of the file.
    pub(crate) entries: u64,
    /// Rows and buckets in them.
    pub(crate) rows: u64,
    /// Where the index begins: the bytes of head and blocks.
    pub(crate) index_at: u64,
    /// The smallest and the largest time.
    pub(crate) span: (Millis, Millis),
}

/// The ending of a file that is being written.
pub(crate) const PART: &str = "part";
/// The ending of a file that is whole, but that the journal may not call complete yet.
pub(crate) const NEW: &str = "new";

/// Writes a file. Until [`Finished::publish`] it has another name.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    /// The path while it is written.
    unfinished: PathBuf,
    name: Name,
    file: io::BufWriter<fs::File>,
    at: u64,
    entries: Vec<Entry>,
}

impl Writer {
    pub(crate) fn create(folder: &Path, name: Name) -> Result<Self, Error> {
        let path = folder.join(name.to_text());
        let unfinished = path.with_extension(PART);
        let file = create(&unfinished).map_err(Error::io("create", &unfinished))?;
        let mut writer = Self {
            path,
            unfinished,
            name,
            file: io::BufWriter::with_capacity(256 << 10, file),
            at: 0,
            entries: Vec::new(),
        };
        let mut head = [0; HEAD_LEN];
        head[..8].copy_from_slice(&MAGIC);
        head[8] = name.kind.code();
        head[12..].copy_from_slice(&name.day.to_le_bytes());
        writer.write(&head)?;
        Ok(writer)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let written = self.file.write_all(bytes);
        written.map_err(Error::io("write", &self.unfinished))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Adds a block. Its times lie within the file's day.
    pub(crate) fn add(
        &mut self,
        level: Option<Level>,
        group: u32,
        rows: usize,
        span: (Millis, Millis),
        block: &[u8],
    ) -> Result<(), Error> {
        let start = start_of(self.name.day);
        let within = |time: Millis| u32::try_from((time - start).clamp(0, DAY - 1)).unwrap_or(0);
        let entry = Entry {
            level: code_of(level),
            group,
            rows: u32::try_from(rows).unwrap_or(u32::MAX),
            offset: self.at + FRAME_LEN as u64,
            len: u32::try_from(block.len()).unwrap_or(u32::MAX),
            first: within(span.0),
            last: within(span.1),
        };
        let mut frame = Vec::with_capacity(FRAME_LEN);
        frame.extend(FRAME_MAGIC);
        entry.write(&mut frame);
        frame.extend(crc32fast::hash(&frame).to_le_bytes());
        self.write(&frame)?;
        self.write(block)?;
        self.entries.push(entry);
        Ok(())
    }

    /// The name that the file will have.
    pub(crate) const fn name(&self) -> Name {
        self.name
    }

    /// Makes the whole file durable, under a name that says that it is whole. If that fails, the file is removed.
    pub(crate) fn finish(mut self) -> Result<Finished, Error> {
        let unfinished = self.unfinished.clone();
        self.write_index()
            .and_then(|()| self.sync())
            .inspect_err(|_| remove_unused(&unfinished))
    }

    fn write_index(&mut self) -> Result<(), Error> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable_by_key(|entry| (entry.key(), entry.first, entry.offset));
        let index_at = self.at;
        let start = start_of(self.name.day);
        let first = entries.iter().map(|entry| entry.first).min().unwrap_or(0);
        let last = entries.iter().map(|entry| entry.last).max().unwrap_or(0);
        let mut end = Vec::new();
        for page in entries.chunks(PAGE) {
            let mut bytes = Vec::with_capacity(PAGE * ENTRY_LEN);
            for entry in page {
                entry.write(&mut bytes);
            }
            self.write(&bytes)?;
            end.extend(page[0].group.to_le_bytes());
            end.extend([page[0].level, 0, 0, 0]);
            end.extend(crc32fast::hash(&bytes).to_le_bytes());
        }
        let rows: u64 = entries.iter().map(|entry| u64::from(entry.rows)).sum();
        end.extend((entries.len() as u64).to_le_bytes());
        end.extend(rows.to_le_bytes());
        end.extend(index_at.to_le_bytes());
        end.extend((start + Millis::from(first)).to_le_bytes());
        end.extend((start + Millis::from(last)).to_le_bytes());
        end.extend([0; 4]);
        end.extend(crc32fast::hash(&end).to_le_bytes());
        end.extend(TAIL_MAGIC);
        self.write(&end)
    }

    fn sync(self) -> Result<Finished, Error> {
        let file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error);
        let file = file.map_err(Error::io("write", &self.unfinished))?;
        file.sync_all()
            .map_err(Error::io("write", &self.unfinished))?;
        let whole = self.path.with_extension(NEW);
        let renamed = fs::rename(&self.unfinished, &whole);
        renamed.map_err(Error::io("rename", &self.unfinished))?;
        Ok(Finished {
            file: File::new(whole, self.name, self.at),
            path: self.path,
        })
    }

    /// Gives up: removes what was written.
    pub(crate) fn discard(self) {
        let Self {
            unfinished, file, ..
        } = self;
        drop(file);
        remove_unused(&unfinished);
    }
}

/// Removes a file that nobody uses. If that fails, the next start removes it.
fn remove_unused(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!("cannot remove {}: {error}", path.display());
    }
}

/// A file that is whole and durable, but not under its last name yet.
#[derive(Debug)]
pub(crate) struct Finished {
    file: File,
    /// The path that it will have.
    path: PathBuf,
}

impl Finished {
    /// Gives it its name. If that fails, it is read under the name that it has, and the next start renames it: the
    /// journal calls it complete already.
    pub(crate) fn publish(mut self) -> File {
        match fs::rename(&self.file.path, &self.path) {
            Ok(()) => self.file.path = self.path,
            Err(error) => {
                tracing::warn!("cannot rename {}: {error}", self.file.path.display());
            }
        }
        self.file
    }

    /// Removes it. If that fails, its path is returned: a later start would take it for complete.
    pub(crate) fn discard(self) -> Option<PathBuf> {
        remove_leftover(&self.file.path)
            .is_err()
            .then_some(self.file.path)
    }
}

/// Removes a file that must not be there at the next start.
pub(crate) fn remove_leftover(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A file of sealed blocks.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    name: Name,
    bytes: u64,
    index: OnceLock<Index>,
}

/// What is kept in memory of a file's index, once it was used.
#[derive(Debug)]
enum Index {
    /// The pages are read when they are needed.
    Good { tail: Tail, fences: Vec<Fence> },
    /// The index was damaged, and found anew from the frames.
    Rebuilt { entries: Vec<Entry> },
}

#[derive(Copy, Clone, Debug)]
struct Fence {
    level: u8,
    group: u32,
    checksum: u32,
}

impl File {
    pub(crate) const fn new(path: PathBuf, name: Name, bytes: u64) -> Self {
        Self {
            path,
            name,
            bytes,
            index: OnceLock::new(),
        }
    }

    /// Its name.
    pub const fn name(&self) -> Name {
        self.name
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn open(&self) -> Result<fs::File, Error> {
        fs::File::open(&self.path).map_err(Error::io("open", &self.path))
    }

    /// Whether the index was damaged, and the frames replaced it.
    pub fn is_rebuilt(&self) -> bool {
        matches!(self.index.get(), Some(Index::Rebuilt { .. }))
    }

    fn index(&self, file: &fs::File) -> Result<&Index, Error> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let good = read_index(file).map_err(Error::io("read", &self.path))?;
        let index = if let Some(index) = good {
            index
        } else {
            tracing::warn!(
                "{}: the index is damaged, so it is made anew from the blocks",
                self.path.display()
            );
            let entries = find_blocks(file).map_err(Error::io("read", &self.path))?;
            Index::Rebuilt { entries }
        };
        Ok(self.index.get_or_init(|| index))
    }

    /// The blocks of a group at a level that touch `from..to`, in the order of their first times.
    pub(crate) fn find(
        &self,
        file: &fs::File,
        level: Option<Level>,
        group: u32,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<Entry>, Error> {
        let start = start_of(self.name.day);
        if to <= start || from >= start + DAY {
            return Ok(Vec::new());
        }
        let key = (code_of(level), group);
        let touches = |entry: &Entry| {
            entry.key() == key
                && start + Millis::from(entry.first) < to
                && start + Millis::from(entry.last) >= from
        };
        match self.index(file)? {
            Index::Rebuilt { entries } => {
                let begin = entries.partition_point(|entry| entry.key() < key);
                let of_key = entries[begin..]
                    .iter()
                    .take_while(|entry| entry.key() == key);
                Ok(of_key.filter(|entry| touches(entry)).copied().collect())
            }
            Index::Good { tail, fences } => {
                let is_before = |fence: &Fence| (fence.level, fence.group) < key;
                let mut page = fences.partition_point(is_before).saturating_sub(1);
                let mut found = Vec::new();
                while let Some(fence) = fences.get(page) {
                    if (fence.level, fence.group) > key {
                        break;
                    }
                    let entries = self.page(file, tail, *fence, page)?;
                    found.extend(entries.iter().filter(|entry| touches(entry)));
                    if entries.last().is_none_or(|last| last.key() > key) {
                        break;
                    }
                    page += 1;
                }
                Ok(found)
            }
        }
    }

    /// All blocks at a level, in the order of their groups.
    pub(crate) fn all(&self, file: &fs::File, level: Option<Level>) -> Result<Vec<Entry>, Error> {
        let code = code_of(level);
        match self.index(file)? {
            Index::Rebuilt { entries } => {
                let of_level = entries.iter().filter(|entry| entry.level == code);
                Ok(of_level.copied().collect())
            }
            Index::Good { tail, fences } => {
                let mut found = Vec::new();
                for (page, fence) in fences.iter().enumerate() {
                    let next = fences.get(page + 1);
                    if fence.level > code || next.is_some_and(|next| next.level < code) {
                        continue;
                    }
                    let entries = self.page(file, tail, *fence, page)?;
                    found.extend(entries.iter().filter(|entry| entry.level == code));
                }
                Ok(found)
            }
        }
    }

    /// A page of the index. A damaged one is replaced by what the frames say of its groups.
    fn page(
        &self,
        file: &fs::File,
        tail: &Tail,
        fence: Fence,
        page: usize,
    ) -> Result<Vec<Entry>, Error> {
        let before = page * PAGE;
        let count = usize::try_from(tail.entries).unwrap_or(usize::MAX) - before;
        let mut bytes = vec![0; count.min(PAGE) * ENTRY_LEN];
        let at = tail.index_at + (before * ENTRY_LEN) as u64;
        let read = read_exact_at(file, &mut bytes, at);
        read.map_err(Error::io("read", &self.path))?;
        if crc32fast::hash(&bytes) == fence.checksum {
            return Ok(bytes.chunks_exact(ENTRY_LEN).map(Entry::read).collect());
        }
        tracing::warn!(
            "{}: a page of the index is damaged, so the blocks are found by their frames",
            self.path.display()
        );
        let entries = find_blocks(file).map_err(Error::io("read", &self.path))?;
        let mut entries = entries.into_iter().skip(before).collect::<Vec<_>>();
        entries.truncate(PAGE);
        Ok(entries)
    }

    /// The bytes of a block. The block itself tells whether they are damaged.
    pub(crate) fn block(&self, file: &fs::File, entry: &Entry) -> Result<Vec<u8>, Error> {
        let end = entry.offset.checked_add(u64::from(entry.len));
        if end.is_none_or(|end| end > self.bytes) {
            return Err(self.damaged(entry, &"it ends behind the file's end").into());
        }
        let mut bytes = vec![0; entry.len as usize];
        let read = read_exact_at(file, &mut bytes, entry.offset);
        read.map_err(Error::io("read", &self.path))?;
        Ok(bytes)
    }

    /// Names a damaged block.
    pub(crate) fn damaged(&self, entry: &Entry, why: &dyn fmt::Display) -> Damaged {
        let start = start_of(self.name.day);
        Damaged {
            path: self.path.clone(),
            offset: entry.offset,
            group: entry.group,
            span: (
                start + Millis::from(entry.first),
                start + Millis::from(entry.last),
            ),
            why: why.to_string(),
        }
    }
}

/// What the end of a file says. `None`: it is damaged.
fn read_index(file: &fs::File) -> io::Result<Option<Index>> {
    let len = file.metadata()?.len();
    let Some(tail_at) = len.checked_sub(TAIL_LEN as u64) else {
        return Ok(None);
    };
    let mut bytes = [0; TAIL_LEN];
    read_exact_at(file, &mut bytes, tail_at)?;
    let tail = Tail {
        entries: u64_at(&bytes, 0),
        rows: u64_at(&bytes, 8),
        index_at: u64_at(&bytes, 16),
        span: (
            u64_at(&bytes, 24).cast_signed(),
            u64_at(&bytes, 32).cast_signed(),
        ),
    };
    let pages = tail.entries.div_ceil(PAGE as u64);
    let index_len = tail.entries.checked_mul(ENTRY_LEN as u64);
    let fences_len = pages.checked_mul(FENCE_LEN as u64);
    let sum = index_len
        .zip(fences_len)
        .and_then(|(index, fences)| tail.index_at.checked_add(index)?.checked_add(fences));
    if bytes[48..] != TAIL_MAGIC || sum != Some(tail_at) {
        return Ok(None);
    }
    let fences_at = tail_at - pages * FENCE_LEN as u64;
    let mut end = vec![0; usize::try_from(len - fences_at).unwrap_or(0)];
    read_exact_at(file, &mut end, fences_at)?;
    let checked = end.len() - 12;
    if crc32fast::hash(&end[..checked]) != u32_at(&end, checked) {
        return Ok(None);
    }
    let fences = end[..end.len() - TAIL_LEN].chunks_exact(FENCE_LEN);
    let fences = fences.map(|bytes| Fence {
        group: u32_at(bytes, 0),
        level: bytes[4],
        checksum: u32_at(bytes, 8),
    });
    let fences = fences.collect();
    Ok(Some(Index::Good { tail, fences }))
}

/// Finds the blocks by their frames.
fn find_blocks(file: &fs::File) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let len = file.metadata()?.len();
    let mut at = HEAD_LEN as u64;
    let mut window = vec![0; 1 << 16];
    while at + FRAME_LEN as u64 <= len {
        let room = usize::try_from(len - at)
            .unwrap_or(usize::MAX)
            .min(window.len());
        read_exact_at(file, &mut window[..room], at)?;
        if let Some(entry) = frame_at(&window[..room], at, len) {
            at = entry.offset + u64::from(entry.len);
            entries.push(entry);
            continue;
        }
        // The frame is damaged: the next one begins somewhere behind it.
        let next = (1..room.saturating_sub(FRAME_LEN))
            .find(|skip| frame_at(&window[*skip..room], at + *skip as u64, len).is_some());
        at += next.unwrap_or_else(|| room.saturating_sub(FRAME_LEN).max(1)) as u64;
    }
    entries.sort_unstable_by_key(|entry| (entry.key(), entry.first, entry.offset));
    Ok(entries)
}

fn frame_at(bytes: &[u8], at: u64, len: u64) -> Option<Entry> {
    let frame = bytes.get(..FRAME_LEN)?;
    if frame[..4] != FRAME_MAGIC
        || crc32fast::hash(&frame[..FRAME_LEN - 4]) != u32_at(frame, FRAME_LEN - 4)
    {
        return None;
    }
    let entry = Entry::read(&frame[4..]);
    let fits = entry.offset == at + FRAME_LEN as u64
        && entry.len <= MAX_BLOCK
        && entry.offset + u64::from(entry.len) <= len;
    fits.then_some(entry)
}
