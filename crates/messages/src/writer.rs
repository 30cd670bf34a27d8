//! Appends messages, commits them, and removes what is too old or too much.

use std::sync::Arc;

use store::StoreError;
use store::log::Log;
use tracing::debug;

use crate::block::ENOUGH;
use crate::index::Entry;
use crate::reader::{Hot, Reader, Shared};
use crate::{Message, Millis, Options};

/// The messages of the last day, for their only writer.
#[derive(Debug)]
pub struct Messages {
    options: Options,
    log: Log,
    shared: Arc<Shared>,
    /// Blocks that are in the log's buffer.
    uncommitted: Vec<Entry>,
    counts: Counts,
}

/// What was counted since the start.
#[derive(Copy, Clone, Debug, Default)]
struct Counts {
    appended: u64,
    cut: u64,
    lost: u64,
    dropped_by_age: u64,
    dropped_by_size: u64,
    torn_bytes: u64,
    damaged: u64,
}

/// What was counted, for metrics. Numbers of messages, unless they say otherwise.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Appended since the start.
    pub appended: u64,
    /// Of these: those whose payload was cut.
    pub cut: u64,
    /// Not kept, because the disk is full or fails, and as many wait as may.
    pub lost: u64,
    /// Removed because they were too old.
    pub dropped_by_age: u64,
    /// Removed because there were too many.
    pub dropped_by_size: u64,
    /// Gauge: messages that are committed.
    pub messages: u64,
    /// Gauge: bytes on the disk.
    pub bytes: u64,
    /// Gauge: bytes that wait to be committed.
    pub waiting_bytes: u64,
    /// Bytes of a commit that a crash had interrupted before this start.
    pub torn_bytes: u64,
    /// Places that were damaged when the log was opened.
    pub damaged: u64,
    /// The time of the oldest message.
    pub since: Option<Millis>,
}

impl Messages {
    /// More than this is not held in memory while the disk is full.
    const MOST_WAITING: usize = 8 << 20;
    /// When so much waits, it should be committed.
    const SHOULD_COMMIT: usize = 1 << 20;
    /// A file is at most this part of all, and of the time for which messages are kept.
    const PARTS: u64 = 24;
    /// A larger file would take too long to read if its index is damaged.
    const LARGEST_FILE: u64 = 16 << 20;

    pub(crate) fn new(options: Options, log: Log, shared: Arc<Shared>) -> Self {
        Self {
            options,
            log,
            shared,
            uncommitted: Vec::new(),
            counts: Counts::default(),
        }
    }

    pub(crate) fn count_found(&mut self, torn_bytes: u64, damaged: usize) {
        self.counts.torn_bytes = torn_bytes;
        self.counts.damaged = damaged as u64;
    }

    /// Adds a message. Readers see it at once; it is durable after the next commit. It does not wait for
    /// the disk.
    pub fn append(&mut self, message: &Message<'_>) {
        if self.log.buffered() >= Self::MOST_WAITING {
            self.counts.lost += 1;
            return;
        }
        let shared = Arc::clone(&self.shared);
        let mut hot = shared.hot();
        let limit = self.options.payload_limit.min(Options::LONGEST_PAYLOAD);
        let is_cut = hot.open.push(message, limit);
        self.counts.appended += 1;
        self.counts.cut += u64::from(is_cut);
        if hot.open.len() >= ENOUGH {
            self.seal(&mut hot);
        }
    }

    /// Whether so much waits that it should be committed before the second is over.
    pub fn wants_commit(&self) -> bool {
        self.log.buffered() >= Self::SHOULD_COMMIT
    }

    /// Makes everything durable that was appended. Blocks until the disk has it.
    ///
    /// # Errors
    ///
    /// The disk is full or cannot be written. Nothing is lost; commit again later. Messages can be
    /// appended until 8 MiB wait; further ones are counted as lost.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        // If there is no new file, there may still be room in the old one.
        let begun = self.begin_file_if_full();
        let shared = Arc::clone(&self.shared);
        let mut hot = shared.hot();
        if hot.open.count() > 0 {
            self.seal(&mut hot);
        }
        drop(hot);
        self.log.commit()?;
        self.settle();
        begun
    }

    fn begin_file_if_full(&mut self) -> Result<(), StoreError> {
        if !self.is_file_full() {
            return Ok(());
        }
        let before = self.segment();
        self.begin_file()?;
        let record = self.shared.index().record(before);
        self.log.append(&record);
        Ok(())
    }

    fn begin_file(&mut self) -> Result<(), StoreError> {
        let begun = self.log.begin_segment();
        if self.log.buffered() == 0 {
            // What waited is committed, even if the new file could not be created.
            self.settle();
        }
        begun
    }

    /// Moves what is open into the log's buffer.
    fn seal(&mut self, hot: &mut Hot) {
        let (head, block) = hot.open.seal(hot.first);
        let at = self.log.append(&block);
        hot.first = head.end();
        hot.sealed.push(Arc::new(block));
        self.uncommitted.push(Entry::of(at, head));
    }

    /// Shows readers what the log has committed.
    fn settle(&mut self) {
        let mut index = self.shared.index();
        for block in self.uncommitted.drain(..) {
            index.add(block);
        }
        drop(index);
        self.shared.hot().sealed.clear();
    }

    /// The number of the file that is written.
    fn segment(&self) -> u64 {
        self.log.segments().last().map_or(0, |it| it.number)
    }

    fn is_file_full(&self) -> bool {
        let Some(last) = self.log.segments().last().copied() else {
            return false;
        };
        let largest = (self.options.max_bytes / Self::PARTS).min(Self::LARGEST_FILE);
        let longest = self.keep_ms() / Self::PARTS.cast_signed();
        let sum = self.shared.index().sum(last.number);
        sum.is_some_and(|it| last.bytes >= largest || it.max.saturating_sub(it.min) >= longest)
    }

    fn keep_ms(&self) -> Millis {
        i64::try_from(self.options.keep.as_millis()).unwrap_or(i64::MAX)
    }

    /// Removes files that are too old or too much, and counts their messages. Call it every minute or so.
    ///
    /// # Errors
    ///
    /// A file cannot be removed, or a new one not be created. It can be tried again.
    pub fn expire(&mut self, now: Millis) -> Result<(), StoreError> {
        let oldest = now.saturating_sub(self.keep_ms());
        let last = self.segment();
        let sum = self.shared.index().sum(last);
        if sum.is_some_and(|it| it.max < oldest) {
            // Nobody has published for so long.
            self.begin_file()?;
        }
        loop {
            let segments = self.log.segments();
            let [first, second, ..] = segments[..] else {
                return Ok(());
            };
            let sum = self.shared.index().sum(first.number);
            let bytes: u64 = segments.iter().map(|it| it.bytes).sum();
            let is_old = sum.is_none_or(|it| it.max < oldest);
            if !is_old && bytes <= self.options.max_bytes {
                return Ok(());
            }
            let count = sum.map_or(0, |it| it.count);
            self.shared.index().remove_before(second.number);
            self.log.remove_before(second.number)?;
            if is_old {
                self.counts.dropped_by_age += count;
            } else {
                self.counts.dropped_by_size += count;
                debug!(
                    "the oldest {count} messages of the message log are removed: it may take {} bytes",
                    self.options.max_bytes
                );
            }
        }
    }

    /// Looks for messages, also in other threads.
    pub fn reader(&self) -> Reader {
        Reader::new(self.log.reader(), &self.shared)
    }

    /// What was counted.
    pub fn counted(&self) -> Counted {
        let index = self.shared.index();
        let (messages, since) = (index.count(), index.since());
        drop(index);
        let Counts {
            appended,
            cut,
            lost,
            dropped_by_age,
            dropped_by_size,
            torn_bytes,
            damaged,
        } = self.counts;
        Counted {
            appended,
            cut,
            lost,
            dropped_by_age,
            dropped_by_size,
            messages,
            bytes: self.log.segments().iter().map(|it| it.bytes).sum(),
            waiting_bytes: (self.log.buffered() + self.shared.hot().open.len()) as u64,
            torn_bytes,
            damaged,
            since,
        }
    }
}
