//! The thread that keeps the last day of messages.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use ::messages::{Batch, Counted, Messages, Millis, Options, Reader, Visible};
use broker::Grants;
use store::StoreError;
use tokio::sync::watch;
use tracing::{error, info};

use super::State;
use crate::clock::Clock;
use crate::devices::stamp;

/// Everything is durable after this long. What is younger is lost if the server is killed.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// How often old messages are removed.
const EXPIRE_EVERY: Duration = Duration::from_secs(10);

/// What the thread needs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) clock: Clock,
    /// What anybody may receive.
    pub(crate) grants: Grants,
    pub(crate) options: Options,
    /// The most bytes that wait for the thread.
    pub(crate) backlog: usize,
}

/// Takes messages, from the model. It never waits.
#[derive(Debug)]
pub(crate) struct Feed {
    batches: mpsc::Sender<Batch>,
    shared: Arc<Shared>,
    payload_limit: usize,
    backlog: usize,
}

/// The messages, for those who ask.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    reader: Reader,
    grants: Grants,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes that wait for the thread.
    waiting: AtomicUsize,
    /// Messages that were lost because too many bytes waited.
    overrun: AtomicU64,
    counted: Mutex<Counted>,
    /// Times that the disk refused.
    errors: AtomicU64,
    is_refused: AtomicBool,
    /// It refuses because it is full.
    is_full: AtomicBool,
    /// Becomes true when the thread has ended.
    has_ended: watch::Sender<bool>,
}

/// What was counted, for `/metrics`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MessageCounts {
    pub(crate) appended: u64,
    pub(crate) cut: u64,
    /// Not kept: the thread was behind, or the disk refused.
    pub(crate) lost: u64,
    pub(crate) dropped_by_age: u64,
    pub(crate) dropped_by_size: u64,
    pub(crate) kept: u64,
    pub(crate) bytes: u64,
    pub(crate) waiting: u64,
    pub(crate) damaged: u64,
    pub(crate) errors: u64,
    /// Nothing is kept, because the disk refuses.
    pub(crate) is_stopped: bool,
}

/// Opens the messages and starts the thread. It ends when the feed does.
///
/// # Errors
///
/// The folder cannot be opened, or the system has no thread.
pub(crate) fn spawn(settings: Settings) -> io::Result<(Feed, Handle)> {
    let Settings {
        clock,
        grants,
        options,
        backlog,
    } = settings;
    let payload_limit = options.payload_limit;
    let (messages, _found) = Messages::open(options).map_err(io::Error::other)?;
    let shared = Arc::new(Shared::default());
    let (batches, to_keep) = mpsc::channel();
    let handle = Handle {
        reader: messages.reader(),
        grants,
        shared: Arc::clone(&shared),
    };
    let feed = Feed {
        batches,
        shared: Arc::clone(&shared),
        payload_limit,
        backlog,
    };
    std::thread::Builder::new()
        .name("messages".to_owned())
        .spawn(move || {
            Keeping {
                now: || stamp(clock.now()).0,
                messages,
                shared: &shared,
                commit_at: Instant::now() + COMMIT_EVERY,
                expire_at: Instant::now(),
            }
            .run(&to_keep);
            shared.has_ended.send_replace(true);
        })?;
    Ok((feed, handle))
}

impl Feed {
    /// An empty batch for messages that are to be kept.
    pub(crate) fn batch(&self) -> Batch {
        Batch::new(self.payload_limit)
    }

    /// Hands messages over. If too much waits, they are lost and counted.
    pub(crate) fn send(&self, batch: Batch) {
        let (bytes, count) = (batch.bytes(), batch.len() as u64);
        let waiting = self.shared.waiting.fetch_add(bytes, Ordering::Relaxed);
        let is_sent =
            waiting.saturating_add(bytes) <= self.backlog && self.batches.send(batch).is_ok();
        if !is_sent {
            self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.overrun.fetch_add(count, Ordering::Relaxed);
        }
    }
}

impl Handle {
    /// Looks for messages. It reads files: ask from a thread that may wait.
    pub(crate) const fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Which topics anybody may see now. It may have been others when a message was kept.
    pub(crate) fn visible(&self) -> Visible {
        let grants = self.grants.clone();
        Visible::new(move |topic| grants.may_receive(topic))
    }

    /// How the thread does.
    pub(crate) fn state(&self) -> State {
        if !self.shared.is_refused.load(Ordering::Relaxed) {
            State::Recording
        } else if self.shared.is_full.load(Ordering::Relaxed) {
            State::DiskFull
        } else {
            State::Failed
        }
    }

    /// Waits until everything is on the disk, at the end of the server.
    pub(crate) async fn ended(&self) {
        let mut has_ended = self.shared.has_ended.subscribe();
        // The sender lives as long as this handle.
        let _ = has_ended.wait_for(|has_ended| *has_ended).await;
    }

    /// What was counted.
    pub(crate) fn counted(&self) -> MessageCounts {
        let shared = &self.shared;
        let log = *shared
            .counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        MessageCounts {
            appended: log.appended,
            cut: log.cut,
            lost: shared.overrun.load(Ordering::Relaxed) + log.lost,
            dropped_by_age: log.dropped_by_age,
            dropped_by_size: log.dropped_by_size,
            kept: log.messages,
            bytes: log.bytes,
            waiting: log.waiting_bytes + shared.waiting.load(Ordering::Relaxed) as u64,
            damaged: log.damaged,
            errors: shared.errors.load(Ordering::Relaxed),
            is_stopped: shared.is_refused.load(Ordering::Relaxed),
        }
    }
}

struct Keeping<'a, N> {
    now: N,
    messages: Messages,
    shared: &'a Shared,
    commit_at: Instant,
    expire_at: Instant,
}

impl<N: Fn() -> Millis> Keeping<'_, N> {
    fn run(&mut self, to_keep: &mpsc::Receiver<Batch>) {
        self.count();
        loop {
            let wait = self.commit_at.saturating_duration_since(Instant::now());
            match to_keep.recv_timeout(wait) {
                Ok(batch) => self.append(&batch),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            let is_refused = self.shared.is_refused.load(Ordering::Relaxed);
            let wants_commit = self.messages.wants_commit() && !is_refused;
            if wants_commit || Instant::now() >= self.commit_at {
                self.commit();
            }
        }
        self.commit();
    }

    fn append(&mut self, batch: &Batch) {
        for message in batch.iter() {
            self.messages.append(&message);
        }
        self.shared
            .waiting
            .fetch_sub(batch.bytes(), Ordering::Relaxed);
    }

    fn commit(&mut self) {
        let mut done = self.messages.commit();
        if Instant::now() >= self.expire_at {
            done = done.and(self.messages.expire((self.now)()));
            self.expire_at = Instant::now() + EXPIRE_EVERY;
        }
        self.note(done);
        self.count();
        self.commit_at = Instant::now() + COMMIT_EVERY;
    }

    /// Says once that the disk refuses, and once that it takes again.
    fn note(&self, done: Result<(), StoreError>) {
        match done {
            Ok(()) => {
                if self.shared.is_refused.swap(false, Ordering::Relaxed) {
                    info!("messages are kept again");
                }
            }
            Err(error) => {
                self.shared.errors.fetch_add(1, Ordering::Relaxed);
                let is_full =
                    matches!(&error, StoreError::Io { error, .. } if store::files::is_full(error));
                self.shared.is_full.store(is_full, Ordering::Relaxed);
                if !self.shared.is_refused.swap(true, Ordering::Relaxed) {
                    error!(
                        "no messages are kept until this passes: {error}; or give less with --history-messages-size"
                    );
                }
            }
        }
    }

    fn count(&self) {
        let counted = self.messages.counted();
        let shared = self.shared.counted.lock();
        *shared.unwrap_or_else(PoisonError::into_inner) = counted;
    }
}

#[cfg(test)]
mod tests {
    use ::messages::{Message, Query};

    use super::*;

    fn settings(folder: &testbed::Folder, backlog: usize) -> Settings {
        Settings {
            clock: Clock::new(),
            grants: Grants::default(),
            options: Options::new(folder.path().join("messages")),
            backlog,
        }
    }

    fn batch(feed: &Feed, clock: Clock, count: u64) -> Batch {
        let mut batch = feed.batch();
        for _ in 0..count {
            batch.push(&Message::new(stamp(clock.now()).0, "a/b", b"x"));
        }
        batch
    }

    #[tokio::test]
    async fn what_was_handed_over_is_there_at_the_next_start() {
        let folder = testbed::Folder::new();
        let settings = settings(&folder, 1 << 20);
        let (feed, handle) = spawn(settings.clone()).unwrap();
        feed.send(batch(&feed, settings.clock, 3));
        feed.send(batch(&feed, settings.clock, 4));
        drop(feed);
        handle.ended().await;
        assert_eq!(handle.counted().kept, 7);
        assert_eq!(handle.shared.waiting.load(Ordering::Relaxed), 0);
        let (_feed, handle) = spawn(settings).unwrap();
        let page = handle.reader().read(&Query::default()).unwrap();
        assert_eq!(page.messages.len(), 7);
    }

    #[tokio::test]
    async fn what_is_too_much_is_lost_and_counted() {
        let folder = testbed::Folder::new();
        let settings = settings(&folder, 100);
        let (feed, handle) = spawn(settings.clone()).unwrap();
        feed.send(batch(&feed, settings.clock, 50));
        assert_eq!(handle.counted().lost, 50);
        drop(feed);
        handle.ended().await;
        assert_eq!(handle.counted().kept, 0);
    }
}
