//! The embedded store: the journal of what must outlive the process, as files in a folder.
//!
//! The broker keeps all of its state in memory and says what changes, as
//! [frames](broker::journal). The store makes them durable in groups, gives them back at the next
//! start, and removes those that are no longer needed.
//!
//! | file | what |
//! |---|---|
//! | `clock.rs` | time that goes on from one start to the next |
//! | `disk.rs` | the calls that change files, or wait for them |
//! | `folder.rs` | the folder: lock, format, permissions |
//! | `newest.rs` | which file of the journal there must be at least |
//! | `segment.rs` | the files of the journal, as bytes |
//! | `sizes.rs` | how large the store may be |
//! | `read.rs` | reading one file: torn tail or damage |
//! | `recover.rs` | reading all files: back to a broker |
//! | `salvage.rs` | what can be kept of a damaged folder |
//! | `journal.rs` | writing groups, room, removing what is old |
//! | `thread.rs` | the thread that writes |
//!
//! **Invariant.** What the broker was told to be durable is read at the next start, or the next
//! start says which file is to blame, and changes nothing.

pub(crate) mod clock;
mod disk;
mod error;
mod folder;
mod journal;
mod newest;
mod read;
mod recover;
mod salvage;
mod segment;
mod sizes;
#[cfg(test)]
mod tests;
mod thread;

use std::path::PathBuf;
use std::time::Duration;

use broker::{Broker, BrokerOptions};
use tokio::sync::oneshot;
use tracing::info;

pub(crate) use self::error::StoreError;
pub(crate) use self::sizes::Sizes;
pub(crate) use self::thread::Store;

use self::folder::Folder;
use self::journal::Journal;
use self::recover::recover;
use self::salvage::salvage;

/// Where the store is, and how large it may be.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) folder: PathBuf,
    pub(crate) sizes: Sizes,
    /// Whether to start with what was stored before the damage, if there is some.
    pub(crate) salvage: bool,
}

/// A store with what was in it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) broker: Broker,
    pub(crate) store: Store,
    /// What the store fails of, should it.
    pub(crate) failed: oneshot::Receiver<StoreError>,
}

/// What the store counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Groups that were made durable.
    pub(crate) groups: u64,
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// Spent on writing groups and waiting for the disk.
    pub(crate) sync_time: Duration,
    /// Gauge: bytes in use in all segments.
    pub(crate) journal_bytes: u64,
    /// Gauge.
    pub(crate) segments: u64,
    /// Gauge: bytes that can be written though the disk be full.
    pub(crate) reserve_bytes: u64,
    /// Gauge: bytes that the system would give for more segments.
    pub(crate) free_bytes: u64,
    /// Times that old segments were looked for, to be removed.
    pub(crate) checkpoints: u64,
    /// Gauge: bytes that wait to be written.
    pub(crate) waiting_bytes: u64,
    /// Gauge.
    pub(crate) is_full: bool,
    pub(crate) times_full: u64,
    /// Gauge: nothing becomes durable any more.
    pub(crate) has_ended: bool,
    /// Cut off at the start.
    pub(crate) torn_bytes: u64,
}

/// Opens the folder, reads everything, and starts the thread that writes. Takes as long as reading
/// takes: seconds, where there is much.
pub(crate) fn open(
    settings: &Settings,
    options: &BrokerOptions,
    now: mqtt::Instant,
) -> Result<Opened, StoreError> {
    let (folder, recovered);
    if settings.salvage {
        folder = Folder::salvage(&settings.folder)?;
        recovered = salvage(&folder, options, now)?;
    } else {
        folder = Folder::open(&settings.folder)?;
        recovered = recover(&folder, options, now)?;
    }
    let path = folder.path().to_owned();
    info!("what must outlive the server is in {}", path.display());
    settings
        .sizes
        .check(&path, &recovered.segments, &recovered.broker.metrics())?;
    let sizes = settings.sizes.on_disk_of(&path, &folder.segments_path());
    let journal = Journal::resume(folder, sizes, recovered.segments, recovered.last)?;
    let (store, failed) = Store::start(journal, recovered.torn_bytes)
        .map_err(error::io_error("start the thread for", path))?;
    Ok(Opened {
        broker: recovered.broker,
        store,
        failed,
    })
}
