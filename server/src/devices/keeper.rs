//! Keeps the model on the disk: a thread that writes what the model saves into a table.
//!
//! **Invariant.** The model never waits for the disk, but at the end of the server. If the disk fails,
//! the log says so once, a metric counts, and everything is saved again when it is well.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use store::StoreError;
use store::table::{Change, Table};
use tokio::sync::mpsc;
use tracing::{error, info};

use super::model::Entry;

/// The folder of the table in the data folder.
const FOLDER: &str = "devices";

/// What the disk has, and how it does.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Bytes of the table's file.
    pub(super) bytes: AtomicU64,
    /// Writes that failed.
    pub(super) errors: AtomicU64,
    /// Rounds of saving that are on the disk.
    pub(super) rounds: AtomicU64,
    /// A write failed since the model asked last.
    has_failed: AtomicBool,
}

impl Kept {
    /// Counts something that went wrong.
    pub(super) fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }
}

/// How far a round of saving has come.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Nothing was taken: the disk is busy.
    Nothing,
    /// There may be more.
    Some,
    /// There was nothing left.
    All,
}

/// Takes what is to be written.
#[derive(Debug)]
pub(super) struct Keeper {
    entries: mpsc::Sender<Vec<Entry>>,
    kept: Arc<Kept>,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Opens the table below the data folder, which this process has locked.
    pub(super) fn open_table(data: &Path) -> Result<Table, StoreError> {
        Table::open(&data.join(FOLDER))
    }

    /// Starts the thread that writes into the table.
    pub(super) fn new(table: Table, kept: Arc<Kept>) -> io::Result<Self> {
        kept.bytes.store(table.file_bytes(), Ordering::Relaxed);
        let (entries, receiver) = mpsc::channel(1);
        let writing = Arc::clone(&kept);
        let thread = std::thread::Builder::new()
            .name("devices-disk".to_owned())
            .spawn(move || write(table, receiver, &writing))?;
        Ok(Self {
            entries,
            kept,
            thread,
        })
    }

    /// Gives it what `entries` makes, if it takes more at once. Returns whether it does, and whether there
    /// was something.
    pub(super) fn write(&self, entries: impl FnOnce() -> Vec<Entry>) -> Written {
        match self.entries.try_reserve() {
            Ok(room) => {
                let entries = entries();
                let is_all = entries.is_empty();
                // Nothing is the mark of a round's end.
                room.send(entries);
                if is_all { Written::All } else { Written::Some }
            }
            Err(_) => Written::Nothing,
        }
    }

    /// Whether a write has failed since the last call.
    pub(super) fn take_failure(&self) -> bool {
        self.kept.has_failed.swap(false, Ordering::AcqRel)
    }

    /// Waits until it takes more.
    pub(super) async fn write_soon(&self, entries: Vec<Entry>) {
        // If the thread has ended, that was said.
        let _ = self.entries.send(entries).await;
    }

    /// Waits until everything is written.
    pub(super) fn close(self) {
        drop(self.entries);
        if self.thread.join().is_err() {
            error!("the thread that stores the devices has ended because of a fault in beaconry");
        }
    }
}

fn write(mut table: Table, mut entries: mpsc::Receiver<Vec<Entry>>, kept: &Kept) {
    let mut is_well = true;
    while let Some(entries) = entries.blocking_recv() {
        if entries.is_empty() {
            if is_well {
                kept.rounds.fetch_add(1, Ordering::Relaxed);
            }
            continue;
        }
        let changes: Vec<Change<'_>> = entries
            .iter()
            .map(|(key, value)| (&key[..], value.as_deref()))
            .collect();
        match table.write(&changes) {
            Ok(()) => {
                kept.bytes.store(table.file_bytes(), Ordering::Relaxed);
                if !is_well {
                    info!("the devices are stored again");
                }
                is_well = true;
            }
            Err(error) => {
                kept.count_error();
                kept.has_failed.store(true, Ordering::Release);
                if is_well {
                    error!(
                        "the devices cannot be stored, and a restart would show them as they were before: {error}; beaconry tries again"
                    );
                }
                is_well = false;
            }
        }
    }
}
