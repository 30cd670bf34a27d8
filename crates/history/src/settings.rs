//! Where the archive is, and how much it keeps.

use std::path::PathBuf;

use series::Millis;

const DAY: Millis = 86_400_000;

/// The settings of an archive.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder. Nobody else may use it: the store's own folder is locked, so put it into that.
    pub folder: PathBuf,
    /// How long rows are kept as they came. Default 30 days.
    pub raw: Millis,
    /// How long rollups and events are kept. Default ten years.
    pub rollups: Millis,
    /// The most bytes of all files. Default 8 GiB.
    pub bytes: u64,
    /// The most bytes of the journal. When it has more, what is oldest in it is sealed. Default 192 MiB, and
    /// never more than a sixteenth of `bytes`.
    pub journal: u64,
    /// The most bytes of memory for rows that are not sealed yet. Default 256 MiB.
    pub memory: usize,
    /// The most metrics in all. Further ones are not recorded, and counted. Default 1,000,000.
    pub series: u64,
    /// The most bytes of memory for the names and units of all devices and metrics. Further ones are not recorded,
    /// and counted. Names that are recorded stay, so a start may find more. Default 256 MiB.
    pub names: u64,
}

impl Settings {
    /// The defaults, in this folder.
    pub const fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            raw: 30 * DAY,
            rollups: 3653 * DAY,
            bytes: 8 << 30,
            journal: 192 << 20,
            memory: 256 << 20,
            series: 1_000_000,
            names: 256 << 20,
        }
    }

    pub(crate) fn journal_bytes(&self) -> u64 {
        self.journal.min(self.bytes / 16).max(1 << 20)
    }
}
