//! The devices, as the server knows them: one [`fleet::Fleet`], fed by the broker's tap.
//!
//! A thread owns it. It reads the tap's batches, judges silence, answers the questions of the API,
//! and writes what changes into the [change log](changes). [`model`] is the part without threads,
//! channels and clocks.
//!
//! **Invariants.** The broker never waits for this thread: while it is behind, the tap's buffer fills,
//! and at its limit the tap loses messages and counts them. A question waits for one batch and for the
//! questions before it. If the model panics, the log says so; MQTT goes on, and the API answers that
//! the model has ended.

mod changes;
mod keeper;
mod model;
mod panics;
mod question;
mod thread;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

pub(crate) use self::changes::{ChangeLog, Cursor, Next};
use self::keeper::Kept;
pub(crate) use self::model::{Named, Recorded, RecordedEvent, What, stamp};
pub(crate) use self::question::{Detail, Hidden, Listed, Place, Query, Question, presence_of};
pub(crate) use self::thread::{Settings, spawn};
use crate::clock::Clock;

/// How many questions may wait. Whoever asks more waits to ask.
const QUESTIONS: usize = 64;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Talks to the model from other threads.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    questions: mpsc::Sender<Question>,
    shared: Arc<Shared>,
}

/// What the model's thread and those who ask it share.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    log: ChangeLog,
    counted: Mutex<Counted>,
    /// How many more may follow the changes.
    streams: Arc<Semaphore>,
    max_streams: usize,
    streams_refused: AtomicU64,
    resyncs: AtomicU64,
    kept: Arc<Kept>,
    /// The model has panicked.
    has_failed: AtomicBool,
    /// Becomes true when the model has ended.
    has_ended: watch::Sender<bool>,
}

/// What the model has counted, for `/metrics`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) online: u64,
    pub(crate) sleeping: u64,
    pub(crate) stale: u64,
    pub(crate) offline: u64,
    pub(crate) unknown: u64,
    pub(crate) hidden: u64,
    pub(crate) bytes: u64,
    pub(crate) messages: u64,
    pub(crate) faults: u64,
    pub(crate) strangers: u64,
    pub(crate) ignored_devices: u64,
    pub(crate) ignored_bytes: u64,
    pub(crate) changes: u64,
    pub(crate) change_events: u64,
    pub(crate) change_log_bytes: u64,
    pub(crate) resyncs: u64,
    pub(crate) streams: u64,
    pub(crate) streams_refused: u64,
    pub(crate) table_bytes: u64,
    pub(crate) saved: u64,
    pub(crate) table_errors: u64,
    pub(crate) has_failed: bool,
}

/// Why there is no answer.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The model has ended: the server ends, or there is a fault in it.
    Ended,
    /// It takes too long.
    Late,
}

impl Handle {
    /// Asks the model. `ask` makes the question from the place for the answer.
    pub(crate) async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<T>) -> Question,
    ) -> Result<T, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.questions.send(ask(answer)).await.ok()?;
            answered.await.ok()
        };
        tokio::select! {
            biased;
            () = self.ended() => Err(NoAnswer::Ended),
            answer = asked => answer.ok_or(NoAnswer::Ended),
            () = tokio::time::sleep(PATIENCE) => Err(NoAnswer::Late),
        }
    }

    /// Waits until the model has ended, because the server ends or because of a fault.
    pub(crate) async fn ended(&self) {
        let mut has_ended = self.shared.has_ended.subscribe();
        // The sender lives as long as this handle.
        let _ = has_ended.wait_for(|has_ended| *has_ended).await;
    }

    pub(crate) fn log(&self) -> &ChangeLog {
        &self.shared.log
    }

    /// The time now, as the model dates what it tells.
    pub(crate) fn now(&self) -> api::fleet::Time {
        model::time(model::stamp(self.shared.clock.now()))
    }

    /// Lets one more follow the changes, until the permit is dropped. `None`: too many do.
    pub(crate) fn may_follow(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.shared.streams).try_acquire_owned().ok();
        if permit.is_none() {
            self.shared.streams_refused.fetch_add(1, Ordering::Relaxed);
        }
        permit
    }

    /// Counts one who follows the changes and has lost some.
    pub(crate) fn count_resync(&self) {
        self.shared.resyncs.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted.
    pub(crate) fn counted(&self) -> Counted {
        let shared = &self.shared;
        let counted = *shared
            .counted
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let log = shared.log.counts();
        let free = shared.streams.available_permits();
        Counted {
            changes: log.changes,
            change_events: log.events,
            change_log_bytes: log.bytes as u64,
            resyncs: shared.resyncs.load(Ordering::Relaxed),
            streams: (shared.max_streams - free) as u64,
            streams_refused: shared.streams_refused.load(Ordering::Relaxed),
            table_bytes: shared.kept.bytes.load(Ordering::Relaxed),
            saved: shared.kept.rounds.load(Ordering::Relaxed),
            table_errors: counted.table_errors + shared.kept.errors.load(Ordering::Relaxed),
            has_failed: shared.has_failed.load(Ordering::Acquire),
            ..counted
        }
    }
}

impl Shared {
    /// The model has ended.
    fn end(&self) {
        self.log.close();
        self.has_ended.send_replace(true);
    }
}
