//! The embedded store: the journal of what must outlive the process, as files in a folder.
//!
//! The broker keeps all of its state in memory and writes each change as a record, in
//! [frames](broker::journal). The store makes records durable in groups, reads them at the next start,
//! and removes those that are no longer needed.
//!
//! | file | what |
//! |---|---|
//! | `claim.rs` | a folder for a program that is no server |
//! | `clock.rs` | a clock that continues from one start to the next |
//! | `disk.rs` | the calls that change files, or wait for them |
//! | `folder.rs` | the folder: lock, format, permissions |
//! | `newest.rs` | which file of the journal must exist |
//! | `platform/` | what depends on the operating system |
//! | `segment.rs` | the files of the journal, as bytes |
//! | `sizes.rs` | how large the store may be |
//! | `read.rs` | reads one file, and tells a torn tail from damage |
//! | `recover.rs` | reads all files, and makes a broker of them |
//! | `salvage.rs` | keeps what it can of a damaged folder |
//! | `journal.rs` | writes groups, reserves space, removes old files |
//! | `thread.rs` | the thread that writes |
//! | `table/` | beside the journal: a small table of values by key |
//! | `log/` | beside the journal: an append-only log |
//!
//! **Invariant.** The next start reads everything that the store reported as durable. Otherwise it says
//! which file is damaged, and changes nothing.

mod claim;
pub mod clock;
mod disk;
mod error;
pub mod files;
mod folder;
mod journal;
pub mod log;
mod newest;
mod platform;
pub mod read;
mod recover;
mod salvage;
pub mod segment;
mod sizes;
pub mod table;
#[cfg(test)]
mod tests;
mod thread;

use std::path::PathBuf;
use std::time::Duration;

use broker::{Broker, BrokerOptions};
use tokio::sync::oneshot;
use tracing::info;

pub use self::claim::{Claim, is_in_use};
pub use self::error::{Damage, StoreError};
pub use self::sizes::Sizes;
pub use self::thread::Store;

use self::folder::Folder;
use self::journal::Journal;
use self::recover::recover;
use self::salvage::salvage;

/// Where the store is, and how large it may be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder. The store creates it if it does not exist.
    pub folder: PathBuf,
    /// How large the files and the whole store may be.
    pub sizes: Sizes,
    /// Whether to start with what was stored before the damage, if files are damaged.
    pub salvage: bool,
}

/// An open store, and what was stored in it.
#[derive(Debug)]
pub struct Opened {
    /// The broker, with everything that was stored.
    pub broker: Broker,
    /// Takes the broker's records from now on.
    pub store: Store,
    /// Receives why the store failed. Nothing comes while it works.
    pub failed: oneshot::Receiver<StoreError>,
}

/// What the store counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Groups that were made durable.
    pub groups: u64,
    /// Records in these groups.
    pub records: u64,
    /// Bytes in these groups.
    pub bytes: u64,
    /// Time spent writing groups and waiting for the disk.
    pub sync_time: Duration,
    /// Gauge: bytes in use in all segments.
    pub journal_bytes: u64,
    /// Gauge: files of the journal.
    pub segments: u64,
    /// Gauge: bytes that are reserved, so that they can be written even if the disk is full.
    pub reserve_bytes: u64,
    /// Gauge: bytes that the disk has free for more segments.
    pub free_bytes: u64,
    /// How often the store has looked for old segments to remove.
    pub checkpoints: u64,
    /// Gauge: bytes that wait to be written.
    pub waiting_bytes: u64,
    /// Gauge: the store is full, so what is new is refused.
    pub is_full: bool,
    /// How often the store became full.
    pub times_full: u64,
    /// Gauge: the store has failed, and nothing becomes durable any more.
    pub has_ended: bool,
    /// Bytes of a torn tail that the start cut off.
    pub torn_bytes: u64,
}

/// Opens the folder, reads everything, and starts the thread that writes. It blocks while it reads,
/// which may take seconds.
///
/// # Errors
///
/// [`StoreError`] names the file or folder that is the cause, and says what to do. The folder stays
/// as it was, unless `settings` asks for salvage.
pub fn open(
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
    info!("the store is in {}", path.display());
    let metrics = recovered.broker.metrics();
    let most = settings
        .sizes
        .until_checkpoint(&path, &recovered.segments, &metrics)?;
    let sizes = settings.sizes.on_disk_of(&path, &folder.segments_path());
    let sizes = Sizes { most, ..sizes };
    let mut journal = Journal::resume(folder, sizes, recovered.segments, recovered.last)?;
    journal.lower_limit_when_possible(settings.sizes.most);
    let (store, failed) = Store::start(journal, recovered.torn_bytes)
        .map_err(error::io_error("start the thread for", path))?;
    Ok(Opened {
        broker: recovered.broker,
        store,
        failed,
    })
}
