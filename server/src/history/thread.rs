//! The thread that records.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, mpsc};
use std::time::{Duration, Instant};

use ::history::{Archive, Error};
use ::messages::Options;
use tracing::{error, info};

use super::messages;
use super::recorder::Recorder;
use super::{ArchiveLimits, Feed, Handle, Sent, Settings, Shared};
use crate::clock::Clock;
use crate::devices::stamp;

/// Everything is durable after this long. What is younger is lost if the server is killed.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// Or when so many bytes wait.
const COMMIT_AT: usize = 1 << 20;
/// How often the archive is kept in order while rows come.
const TIDY_EVERY: Duration = Duration::from_millis(50);

/// Opens the archive and starts the thread. It ends when the feed does.
///
/// # Errors
///
/// The folder cannot be opened, or the system has no thread.
pub(crate) fn spawn(settings: Settings) -> io::Result<(Feed, Handle)> {
    let Settings {
        clock,
        data,
        archive: limits,
        chosen,
        backlog,
        messages,
        grants,
    } = settings;
    let now = stamp(clock.now()).0;
    let tenth = tenth_of_disk(&data);
    let limits = ArchiveLimits {
        bytes: limits.bytes.min(tenth),
        ..limits
    };
    let settings = ::history::Settings {
        raw: limits.raw,
        rollups: limits.rollups,
        bytes: limits.bytes,
        memory: limits.memory,
        series: limits.series,
        names: limits.names,
        ..::history::Settings::new(data.join("history"))
    };
    let messages = messages.map(|limits| {
        messages::spawn(messages::Settings {
            clock,
            grants,
            options: Options {
                keep: limits.keep,
                max_bytes: limits.bytes.min(tenth),
                payload_limit: limits.payload,
                ..Options::new(data.join("history").join("messages"))
            },
            backlog,
        })
    });
    let (messages_feed, messages) = messages.transpose()?.unzip();
    let opened = Archive::open(settings, now).map_err(io::Error::other)?;
    let shared = Arc::new(Shared::default());
    let (recorded, to_record) = mpsc::channel();
    let handle = Handle {
        view: opened.archive.view(),
        shared: Arc::clone(&shared),
        limits,
        messages,
    };
    let feed = Feed {
        recorded,
        shared: Arc::clone(&shared),
        chosen,
        backlog,
        messages: messages_feed,
        view: opened.archive.view(),
    };
    std::thread::Builder::new()
        .name("history".to_owned())
        .spawn(move || {
            let mut recording = Recording::new(clock, Recorder::new(opened.archive), &shared);
            recording.run(&to_record);
            shared.has_ended.send_replace(true);
        })?;
    Ok((feed, handle))
}

/// A tenth of what is free, where the history's own files count as free. What cannot be asked limits nothing.
fn tenth_of_disk(data: &Path) -> u64 {
    let own = fs::read_dir(data.join("history").join("blocks"));
    let own: u64 = own
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|metadata| metadata.len())
        .sum();
    let free = store::files::free_space(data).unwrap_or(u64::MAX);
    (free.saturating_add(own) / 10).max(LEAST)
}

/// With less room than this there is no point in a history.
const LEAST: u64 = 4 << 20;

struct Recording<'a> {
    clock: Clock,
    recorder: Recorder,
    shared: &'a Shared,
    commit_at: Instant,
    tidy_at: Instant,
    /// The disk refuses.
    is_refused: bool,
}

impl<'a> Recording<'a> {
    fn new(clock: Clock, recorder: Recorder, shared: &'a Shared) -> Self {
        let now = Instant::now();
        Self {
            clock,
            recorder,
            shared,
            commit_at: now + COMMIT_EVERY,
            tidy_at: now,
            is_refused: false,
        }
    }

    fn run(&mut self, to_record: &mpsc::Receiver<Sent>) {
        self.count();
        loop {
            let until = self.commit_at.min(self.tidy_at);
            let wait = until.saturating_duration_since(Instant::now());
            match to_record.recv_timeout(wait) {
                Ok(sent) => self.take(sent),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            let now = Instant::now();
            if now >= self.commit_at || self.recorder.waiting() >= COMMIT_AT {
                let committed = self.recorder.commit();
                self.note(committed.map(|()| false));
                self.commit_at = Instant::now() + COMMIT_EVERY;
                self.count();
            }
            if now >= self.tidy_at {
                self.tidy();
            }
        }
        let committed = self.recorder.commit();
        self.note(committed.map(|()| false));
        self.count();
    }

    fn take(&mut self, sent: Sent) {
        self.recorder.take(sent.recorded);
        self.shared.waiting.fetch_sub(sent.bytes, Ordering::Relaxed);
    }

    fn tidy(&mut self) {
        let now = stamp(self.clock.now()).0;
        let tidied = self.recorder.tidy(now);
        let has_more = self.note(tidied);
        let pause = if has_more { Duration::ZERO } else { TIDY_EVERY };
        let pause = if self.is_refused { COMMIT_EVERY } else { pause };
        self.tidy_at = Instant::now() + pause;
    }

    /// Says once that the disk refuses, and once that it takes again.
    fn note(&mut self, done: Result<bool, Error>) -> bool {
        match done {
            Ok(has_more) => {
                if self.is_refused {
                    info!("history: the disk takes what happens again");
                }
                self.is_refused = false;
                self.shared.has_failed.store(false, Ordering::Release);
                has_more
            }
            Err(error) => {
                self.shared.errors.fetch_add(1, Ordering::Relaxed);
                if !self.is_refused {
                    let what = if error.is_full() {
                        "make room on the disk, or give less with --history-size"
                    } else {
                        "see to the disk"
                    };
                    error!("history: nothing is recorded until this passes: {error}; {what}");
                }
                self.is_refused = true;
                let has_failed = !error.is_full();
                self.shared.has_failed.store(has_failed, Ordering::Release);
                false
            }
        }
    }

    fn count(&self) {
        let counted = self.recorder.archive().counted();
        let shared = self.shared.counted.lock();
        *shared.unwrap_or_else(PoisonError::into_inner) = counted;
    }
}
