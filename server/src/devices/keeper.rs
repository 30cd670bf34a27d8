//! Keeps the model on the disk: a thread that writes what the model saves into a table.
//!
//! **Invariant.** The model never waits for the disk, but at the end of the server. If the disk fails,
//! the log says so once, a metric counts, and everything is saved again when it is well.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use store::StoreError;
use store::table::{Change, Table};
use tokio::sync::{mpsc, watch};
use tracing::{error, info};

use super::model::Entry;
use super::panics;

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
    state: watch::Receiver<State>,
}

/// What the thread does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum State {
    Writes,
    /// It has written everything.
    Ended,
    /// It has panicked.
    Failed,
}

impl Keeper {
    /// Opens the table below the data folder, which this process has locked.
    pub(super) fn open_table(data: &Path) -> Result<Table, StoreError> {
        Table::open(&data.join(FOLDER))
    }

    /// Starts the thread that writes into the table.
    pub(super) fn new(table: Table, kept: Arc<Kept>) -> io::Result<Self> {
        kept.bytes.store(table.file_bytes(), Ordering::Relaxed);
        Self::start(kept, move |receiver, kept| write(table, receiver, kept))
    }

    fn start(
        kept: Arc<Kept>,
        run: impl FnOnce(mpsc::Receiver<Vec<Entry>>, &Kept) + Send + 'static,
    ) -> io::Result<Self> {
        let (entries, receiver) = mpsc::channel(1);
        let (tell, state) = watch::channel(State::Writes);
        let (writing, tell) = (Arc::clone(&kept), Arc::new(tell));
        std::thread::Builder::new()
            .name("devices-disk".to_owned())
            .spawn(move || {
                let (of_fault, kept) = (Arc::clone(&tell), Arc::clone(&writing));
                panics::stay(move || {
                    error!(
                        "the devices are not stored any more because of a fault in beaconry; please report it with this log, and restart the server"
                    );
                    kept.count_error();
                    of_fault.send_replace(State::Failed);
                });
                run(receiver, &writing);
                tell.send_replace(State::Ended);
            })?;
        Ok(Self {
            entries,
            kept,
            state,
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
        // If the thread has failed, that was said.
        tokio::select! {
            _ = self.entries.send(entries) => {}
            () = has_ended(self.state.clone()) => {}
        }
    }

    /// Waits until everything is written.
    pub(super) async fn close(self) {
        drop(self.entries);
        has_ended(self.state).await;
    }
}

async fn has_ended(mut state: watch::Receiver<State>) {
    // The thread tells how it ends before it drops the sender.
    let _ = state.wait_for(|state| *state != State::Writes).await;
}

fn write(table: Table, mut entries: mpsc::Receiver<Vec<Entry>>, kept: &Kept) {
    let mut writing = Writing::new(table, kept);
    while let Some(entries) = entries.blocking_recv() {
        if entries.is_empty() {
            writing.end_round();
        } else {
            writing.take(entries);
        }
    }
    writing.write();
}

/// So many bytes are gathered before they are written. Each write waits for the disk, so a round is
/// few writes.
const GATHERED: usize = 8 << 20;

/// Writes what it is given into the table, much at a time.
struct Writing<'a> {
    table: Table,
    kept: &'a Kept,
    gathered: Vec<Entry>,
    /// Bytes of `gathered`.
    bytes: usize,
    /// The last write succeeded.
    is_well: bool,
    /// A write of this round failed.
    round_failed: bool,
}

impl<'a> Writing<'a> {
    fn new(table: Table, kept: &'a Kept) -> Self {
        Self {
            table,
            kept,
            gathered: Vec::new(),
            bytes: 0,
            is_well: true,
            round_failed: false,
        }
    }

    fn take(&mut self, entries: Vec<Entry>) {
        self.bytes += entries.iter().map(size_of_entry).sum::<usize>();
        self.gathered.extend(entries);
        if self.bytes >= GATHERED {
            self.write();
        }
    }

    /// The model has saved everything that has changed.
    fn end_round(&mut self) {
        self.write();
        if !std::mem::take(&mut self.round_failed) {
            self.kept.rounds.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what is gathered. If that fails, the removals wait for the next write: the model saves
    /// again what there is, but does not know any more what there was.
    fn write(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let changes: Vec<Change<'_>> = self
            .gathered
            .iter()
            .map(|(key, value)| (&key[..], value.as_deref()))
            .collect();
        let written = self.table.write(&changes);
        match &written {
            Ok(()) => self.gathered = Vec::new(),
            Err(_) => self.gathered.retain(|(_, value)| value.is_none()),
        }
        self.bytes = self.gathered.iter().map(size_of_entry).sum();
        match written {
            Ok(()) => {
                self.kept
                    .bytes
                    .store(self.table.file_bytes(), Ordering::Relaxed);
                if !self.is_well {
                    info!("the devices are stored again");
                }
                self.is_well = true;
            }
            Err(error) => {
                self.round_failed = true;
                self.kept.count_error();
                self.kept.has_failed.store(true, Ordering::Release);
                if self.is_well {
                    error!(
                        "the devices cannot be stored, and a restart would show them as they were before: {error}; beaconry tries again"
                    );
                }
                self.is_well = false;
            }
        }
    }
}

fn size_of_entry((key, value): &Entry) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use store::table::MAX_ENTRY;

    fn put(key: &str) -> Entry {
        (key.into(), Some(b"x".to_vec()))
    }

    fn remove(key: &str) -> Entry {
        (key.into(), None)
    }

    fn keys(table: &Table) -> BTreeSet<String> {
        let mut keys = BTreeSet::new();
        let read = table.read(|key, _| {
            keys.insert(String::from_utf8_lossy(key).into_owned());
        });
        read.unwrap();
        keys
    }

    fn table(folder: &testbed::Folder) -> Table {
        Keeper::open_table(folder.path()).unwrap()
    }

    #[test]
    fn a_write_that_fails_once_loses_no_removal() {
        let (folder, kept) = (testbed::Folder::new(), Kept::default());
        let mut writing = Writing::new(table(&folder), &kept);
        writing.take(vec![put("a"), put("gone"), put("back")]);
        writing.end_round();
        // The table refuses an entry of this size, and everything beside it.
        let too_large = ("large".into(), Some(vec![0; MAX_ENTRY]));
        writing.take(vec![remove("gone"), remove("back"), put("b"), too_large]);
        writing.end_round();
        assert!(kept.has_failed.load(Ordering::Acquire));
        assert_eq!(kept.rounds.load(Ordering::Relaxed), 1);
        writing.take(vec![put("b"), put("back")]);
        writing.end_round();
        assert_eq!(kept.rounds.load(Ordering::Relaxed), 2);
        let expected = ["a", "b", "back"].map(str::to_owned);
        assert_eq!(keys(&table(&folder)), BTreeSet::from(expected));
    }

    #[tokio::test]
    async fn a_round_is_one_write_and_the_end_writes_what_is_left() {
        let (folder, kept) = (testbed::Folder::new(), Arc::<Kept>::default());
        let mut writing = Writing::new(table(&folder), &kept);
        for number in 0..100 {
            writing.take(vec![put(&number.to_string())]);
            assert_eq!(writing.table.file_bytes(), 0, "nothing is written yet");
        }
        writing.end_round();
        drop(writing);
        assert_eq!(keys(&table(&folder)).len(), 100);
        let keeper = Keeper::new(table(&folder), kept).unwrap();
        assert_eq!(keeper.write(|| vec![put("last")]), Written::Some);
        keeper.close().await;
        assert_eq!(keys(&table(&folder)).len(), 101);
    }

    /// The thread waits for ever then. It ends with the test's process.
    #[tokio::test]
    async fn a_panic_keeps_nobody_waiting() {
        let kept = Arc::<Kept>::default();
        let keeper = Keeper::start(Arc::clone(&kept), |_receiver, _kept| {
            panic!("a fault of the disk's thread")
        });
        let keeper = keeper.unwrap();
        for _ in 0..3 {
            keeper.write_soon(vec![put("a")]).await;
        }
        keeper.close().await;
        assert_eq!(kept.errors.load(Ordering::Relaxed), 1);
    }
}
