//! The thread that writes. It takes the records that the shard has given meanwhile, makes them durable
//! with one call, and reports it.
//!
//! The shard never waits for the disk. It appends records to a buffer that both threads share. The
//! writing thread takes the whole buffer and leaves an empty one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use broker::{Lsn, journal};
use bytes::BytesMut;
use bytesize::ByteSize;
use tokio::sync::{Notify, oneshot};
use tracing::warn;

use crate::Stats;
use crate::error::StoreError;
use crate::journal::{Journal, WriteError};
use crate::segment::{GROUP_LEN, HEADER_LEN};

/// How long the thread gathers records after the first.
const GATHER: Duration = Duration::from_millis(1);
/// A group of this many bytes is not made to wait for more: some hundreds of records.
const ENOUGH: usize = 16 * 1024;
/// After this long without work, the last group gets its seal if it has none yet.
const QUIET: Duration = Duration::from_millis(50);
/// How often a write to a full disk is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The shard is told when the free space has changed by this much.
const WORTH_TELLING: u64 = 4 * 1024;
/// A buffer that is larger than this is not kept.
const LARGEST_KEPT: usize = 4 << 20;

/// The store, as the shard uses it.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    long_enough: u64,
    kept: u64,
    folder: PathBuf,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Wakes the thread: there is work.
    work: Condvar,
    durable: AtomicU64,
    /// Bytes that can still be written behind what is durable.
    room: AtomicU64,
    /// The records before this one have been removed.
    trimmed: AtomicU64,
    /// Whether the store is full; the shard decides that.
    is_full: AtomicBool,
    stats: Mutex<Stats>,
    /// Wakes the shard: `durable` or `room` has changed, old records were removed, or there is still
    /// no space.
    news: Notify,
}

/// Records that the shard has given.
#[derive(Debug)]
struct Queue {
    /// Space for the frame of a group, then records.
    records: BytesMut,
    /// When the first record came.
    since: Option<Instant>,
    trim: Option<Lsn>,
    /// The next group must begin a new segment.
    leaves: bool,
    is_closing: bool,
}

impl Store {
    /// Starts the thread. If it fails, the second value receives the reason. Then the thread has ended,
    /// and nothing becomes durable any more.
    pub(super) fn start(
        journal: Journal,
        torn_bytes: u64,
    ) -> io::Result<(Self, oneshot::Receiver<StoreError>)> {
        let (failed, has_failed) = oneshot::channel();
        let (long_enough, kept) = (journal.long_enough(), journal.kept());
        let folder = journal.folder().path().to_owned();
        let (reserve_bytes, free_bytes) = (journal.reserve(), journal.free());
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                records: empty_buffer(),
                since: None,
                trim: None,
                leaves: false,
                is_closing: false,
            }),
            work: Condvar::new(),
            durable: AtomicU64::new(journal.durable().0),
            room: AtomicU64::new(reserve_bytes.saturating_add(free_bytes)),
            trimmed: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            stats: Mutex::new(Stats {
                torn_bytes,
                journal_bytes: journal.bytes(),
                segments: journal.segments() as u64,
                reserve_bytes,
                free_bytes,
                ..Stats::default()
            }),
            news: Notify::new(),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            journal,
            tried: Instant::now(),
            is_waiting: false,
        };
        let thread = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                if let Err(error) = writer.run() {
                    // This fails if the server is ending, and then nobody waits.
                    let _ = failed.send(error);
                }
            })?;
        let store = Self {
            shared,
            thread,
            long_enough,
            kept,
            folder,
        };
        Ok((store, has_failed))
    }

    /// Lets `give` append records to the next group.
    pub fn append(&self, give: impl FnOnce(&mut BytesMut)) {
        let mut queue = self.shared.queue();
        let before = queue.records.len();
        give(&mut queue.records);
        let after = queue.records.len();
        if after > before && queue.since.is_none() {
            queue.since = Some(Instant::now());
        }
        drop(queue);
        // The thread waits for the first record, and then until the group is large enough.
        if before <= GROUP_LEN || (before < ENOUGH && after >= ENOUGH) {
            self.shared.work.notify_one();
        }
    }

    /// Lets the thread remove all records before `from`.
    pub fn trim(&self, from: Lsn) {
        self.shared.queue().trim = Some(from);
        self.shared.work.notify_one();
    }

    /// Begins a new file: records from now on are not in the same file as those before.
    pub fn leave(&self) {
        self.shared.queue().leaves = true;
    }

    /// A journal with fewer bytes is not worth a checkpoint.
    pub const fn long_enough(&self) -> u64 {
        self.long_enough
    }

    /// Bytes that are kept free as a reserve.
    pub const fn kept(&self) -> u64 {
        self.kept
    }

    /// The last record that is durable.
    pub fn durable(&self) -> Lsn {
        Lsn(self.shared.durable.load(Ordering::Acquire))
    }

    /// Bytes that can still be written behind what is durable. Call [`durable`](Self::durable) first:
    /// this may already know of later records, but never of fewer.
    pub fn room(&self) -> u64 {
        self.shared.room.load(Ordering::Acquire)
    }

    /// The records before this one have been removed.
    pub fn trimmed(&self) -> Lsn {
        Lsn(self.shared.trimmed.load(Ordering::Acquire))
    }

    /// The folder of the store.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Says whether the store is full. While it is, the thread looks every second for free space.
    pub fn set_full(&self, is_full: bool) {
        if is_full {
            self.shared.stats().times_full += 1;
        }
        // Under the lock, so that the thread is not between its check and its wait, which may be long.
        let queue = self.shared.queue();
        self.shared.is_full.store(is_full, Ordering::Release);
        drop(queue);
        self.shared.work.notify_one();
    }

    /// Waits until [`durable`](Self::durable) or [`room`](Self::room) has changed since the last call,
    /// old records were removed, or the thread looked for space and found none.
    pub async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// What has been counted so far.
    pub fn stats(&self) -> Stats {
        let mut stats = self.shared.stats().clone();
        stats.waiting_bytes = (self.shared.queue().records.len() - GROUP_LEN) as u64;
        stats.is_full = self.shared.is_full.load(Ordering::Acquire);
        stats.has_ended = self.thread.is_finished();
        stats
    }

    /// Waits until all records are durable and the thread has ended.
    pub fn close(self) {
        self.shared.queue().is_closing = true;
        self.shared.work.notify_one();
        // A panic has already printed its message.
        let _ = self.thread.join();
    }
}

impl Shared {
    // Nothing panics while it holds the lock, and even then the queue would be consistent.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn empty_buffer() -> BytesMut {
    BytesMut::zeroed(GROUP_LEN)
}

/// The number and the body of each record of a group. The group begins with space for its own frame.
fn records(group: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = &group[GROUP_LEN..];
    std::iter::from_fn(move || {
        let (header, behind) = rest.split_first_chunk::<16>()?;
        let [a, b, c, d, _, _, _, _, lsn @ ..] = *header;
        // The length that a frame gives includes the record's number, which has eight bytes.
        let len = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let (body, after) = behind
            .split_at_checked(len.saturating_sub(8))
            .unwrap_or((behind, &[]));
        rest = after;
        Some((u64::from_le_bytes(lsn), body))
    })
}

/// Whether the group has only records that may be lost without harm.
fn is_bookkeeping(group: &[u8]) -> bool {
    records(group).all(|(_, body)| journal::is_bookkeeping(body))
}

/// The thread's own state.
struct Writer {
    shared: Arc<Shared>,
    journal: Journal,
    /// When the thread last looked for free space.
    tried: Instant,
    /// There is no space for a group, and that was logged.
    is_waiting: bool,
}

/// Work for the thread.
enum Work {
    Group {
        group: BytesMut,
        /// It must begin a new segment.
        leaves: bool,
    },
    Trim(Lsn),
    /// There was no work for a while.
    Quiet,
    Close,
}

impl Writer {
    fn run(mut self) -> Result<(), StoreError> {
        let mut spare = empty_buffer();
        loop {
            match self.wait(spare.split()) {
                Work::Group { mut group, leaves } => {
                    if leaves {
                        self.leave()?;
                    }
                    self.write(&mut group)?;
                    self.look_ahead()?;
                    if group.capacity() <= LARGEST_KEPT {
                        spare = group;
                    }
                }
                Work::Trim(from) => {
                    self.trim(from)?;
                    self.look_ahead()?;
                }
                Work::Quiet => {
                    self.seal()?;
                    self.look_ahead()?;
                }
                Work::Close => return self.journal.close(),
            }
            self.count();
        }
    }

    /// Waits for work. `spare` is an empty buffer.
    fn wait(&self, mut spare: BytesMut) -> Work {
        spare.clear();
        spare.resize(GROUP_LEN, 0);
        let mut queue = self.shared.queue();
        loop {
            if let Some(from) = queue.trim.take() {
                return Work::Trim(from);
            }
            let patience = match queue.since {
                Some(since) => {
                    let waited = since.elapsed();
                    let is_due =
                        queue.is_closing || waited >= GATHER || queue.records.len() >= ENOUGH;
                    if is_due {
                        queue.since = None;
                        let leaves = std::mem::take(&mut queue.leaves);
                        let group = std::mem::replace(&mut queue.records, spare);
                        return Work::Group { group, leaves };
                    }
                    GATHER.saturating_sub(waited)
                }
                None if queue.is_closing => return Work::Close,
                None if self.is_full() => RETRY,
                None if self.journal.is_settled() => Duration::MAX,
                None => QUIET,
            };
            let is_empty = queue.since.is_none();
            let waited = if patience == Duration::MAX {
                let work = self.shared.work.wait(queue);
                queue = work.unwrap_or_else(PoisonError::into_inner);
                continue;
            } else {
                let work = self.shared.work.wait_timeout(queue, patience);
                work.unwrap_or_else(PoisonError::into_inner)
            };
            queue = waited.0;
            if is_empty && waited.1.timed_out() && queue.since.is_none() {
                return Work::Quiet;
            }
        }
    }

    /// Makes a group durable, however long that takes.
    fn write(&mut self, group: &mut [u8]) -> Result<(), StoreError> {
        let (records, last) = self.number(group)?;
        loop {
            let began = Instant::now();
            match self.journal.write(group, last) {
                Ok(()) => {
                    // Seal before reporting: once a group is reported durable, damage to it must not
                    // be mistaken for an unfinished write.
                    self.seal()?;
                    let mut stats = self.shared.stats();
                    stats.groups += 1;
                    stats.records += records;
                    stats.bytes += group.len() as u64;
                    stats.sync_time += began.elapsed();
                    drop(stats);
                    self.is_waiting = false;
                    // The free space is looked up after the report.
                    let written = (group.len() + HEADER_LEN) as u64;
                    let room = self.shared.room.load(Ordering::Acquire);
                    let room = room.saturating_sub(written);
                    self.shared.room.store(room, Ordering::Release);
                    self.shared.durable.store(last.0, Ordering::Release);
                    self.shared.news.notify_one();
                    return Ok(());
                }
                Err(WriteError::Full(error)) => {
                    self.lacks_room(group.len(), &error);
                    if !self.wait_for_room(group)? {
                        return Ok(());
                    }
                }
                Err(WriteError::Broken(error)) => return Err(error),
            }
        }
    }

    fn seal(&mut self) -> Result<(), StoreError> {
        match self.journal.seal() {
            Ok(()) | Err(WriteError::Full(_)) => Ok(()),
            Err(WriteError::Broken(error)) => Err(error),
        }
    }

    /// Begins a new segment if there is space for one. Otherwise some old records that are no
    /// longer needed stay.
    fn leave(&mut self) -> Result<(), StoreError> {
        match self.journal.leave() {
            Ok(()) | Err(WriteError::Full(_)) => Ok(()),
            Err(WriteError::Broken(error)) => Err(error),
        }
    }

    /// Waits until this group can be tried again. Nothing else may be written before it, so further
    /// records wait, up to a limit. Returns `false` if the store is being closed and all records
    /// that wait may be lost without harm.
    fn wait_for_room(&mut self, group: &[u8]) -> Result<bool, StoreError> {
        let len = group.len();
        let overfull = |waiting| StoreError::Overfull {
            path: self.journal.folder().path().to_owned(),
            waiting,
        };
        let most = self.journal.most_waiting();
        let queue = self.shared.queue();
        let waited = self.shared.work.wait_timeout_while(queue, RETRY, |queue| {
            !queue.is_closing && queue.trim.is_none() && queue.records.len() + len <= most
        });
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let waiting = queue.records.len() + len;
        let trim = queue.trim.take();
        if waiting > most {
            return Err(overfull(waiting));
        }
        if queue.is_closing && is_bookkeeping(group) && is_bookkeeping(&queue.records) {
            // Later records must not be written without these.
            queue.records.truncate(GROUP_LEN);
            queue.since = None;
            return Ok(false);
        }
        if queue.is_closing {
            let path = self.journal.folder().path().to_owned();
            // Two frames of groups are counted here, but the records need only one.
            let waiting = waiting - GROUP_LEN;
            return Err(StoreError::EndedFull { path, waiting });
        }
        drop(queue);
        if let Some(from) = trim {
            self.trim(from)?;
        }
        self.look_ahead()?;
        self.count();
        Ok(true)
    }

    fn trim(&mut self, from: Lsn) -> Result<(), StoreError> {
        self.journal.trim(from)?;
        self.count();
        self.shared.stats().checkpoints += 1;
        self.shared.trimmed.store(from.0, Ordering::Release);
        self.shared.news.notify_one();
        Ok(())
    }

    /// How many records a group has, and the number of the last. They must continue where the last group
    /// ended. Otherwise only the next start would find the gap.
    fn number(&self, group: &[u8]) -> Result<(u64, Lsn), StoreError> {
        let before = self.journal.durable().0;
        let mut last = before;
        for (found, _) in records(group) {
            if found != last + 1 {
                let expected = last + 1;
                return Err(StoreError::Order { expected, found });
            }
            last = found;
        }
        Ok((last - before, Lsn(last)))
    }

    fn look_ahead(&mut self) -> Result<(), StoreError> {
        if self.is_full() && self.tried.elapsed() < RETRY {
            return Ok(());
        }
        self.tried = Instant::now();
        self.journal.look_ahead()
    }

    /// Waits until there may be space for this group.
    fn lacks_room(&mut self, len: usize, error: &io::Error) {
        if !self.is_waiting {
            self.is_waiting = true;
            warn!(
                "{} has no room for the next {} of records ({error}). Clients get no acknowledgement for them until they are written. The server tries again every second: make room on the disk",
                self.journal.folder().path().display(),
                ByteSize(len as u64)
            );
        }
        // The shard may be able to free some, because less may have to be stored now.
        self.shared.news.notify_one();
    }

    fn is_full(&self) -> bool {
        self.shared.is_full.load(Ordering::Acquire)
    }

    /// Updates what the store counts. Asks the file system before it takes the lock: the answer may
    /// take long, and the shard waits for the lock.
    fn count(&self) {
        let journal = &self.journal;
        let (journal_bytes, segments) = (journal.bytes(), journal.segments() as u64);
        let (reserve_bytes, free_bytes) = (journal.reserve(), journal.free());
        let mut stats = self.shared.stats();
        stats.journal_bytes = journal_bytes;
        stats.segments = segments;
        stats.reserve_bytes = reserve_bytes;
        stats.free_bytes = free_bytes;
        drop(stats);
        let room = reserve_bytes.saturating_add(free_bytes);
        let before = self.shared.room.swap(room, Ordering::AcqRel);
        // As a rule nothing has changed, and nobody has to be told.
        if self.is_full() || before.abs_diff(room) > WORTH_TELLING {
            self.shared.news.notify_one();
        }
    }
}
