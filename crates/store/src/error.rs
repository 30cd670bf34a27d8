//! Errors of the store. Each names the file or folder, and says what to do.

use std::io;
use std::path::{Path, PathBuf};

use broker::RecordError;
use bytesize::ByteSize;

use crate::platform;
use crate::salvage::Behind;
use crate::segment::JournalId;
use crate::sizes::Sizes;

/// Why the store cannot be opened or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused a call.
    #[error("cannot {doing} {path}: {error}{hint}", path = path.display(), hint = hint(error))]
    Io {
        /// What was tried: a verb, and "of" or "for" where it needs one.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The disk has no room for a new store.
    #[error(
        "{path} has no room for a new store, which needs {least} ({error}): make room there, or give a folder on another disk with --data DIR, or keep everything in memory with --in-memory",
        path = path.display(), least = ByteSize(Sizes::LEAST)
    )]
    NoRoom {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// There is a file where the folder should be.
    #[error(
        "{} is a file, and --data needs a folder: give another one, for example --data {}.d",
        .0.display(), .0.display()
    )]
    NotAFolder(PathBuf),
    /// Another process has locked the folder.
    #[error(
        "{} is in use by another beaconry: end that one, or give this one a folder of its own with --data DIR",
        .0.display()
    )]
    InUse(PathBuf),
    /// The folder has content, but no store.
    #[error(
        "{path} has no file VERSION, and is not empty ({found} is in it): this is not a data folder of beaconry. Give an empty one, or one that does not exist yet, with --data DIR",
        path = path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// One of the files that are in it.
        found: String,
    },
    /// Another version of Beaconry has written the folder, in a format of its own.
    #[error(
        "{path} has format {found}, and beaconry {this} reads only format {reads}: use {needs}, or give another folder with --data DIR",
        path = path.display(), this = env!("CARGO_PKG_VERSION"), reads = broker::journal::FORMAT_VERSION
    )]
    Version {
        /// The folder.
        path: PathBuf,
        /// The format that the folder has.
        found: u32,
        /// Which version of Beaconry reads it.
        needs: String,
    },
    /// The file `VERSION` cannot be read.
    #[error(
        "{path} is not a VERSION file that beaconry wrote ({what}): restore the folder from a backup, or give another one with --data DIR{anew}",
        path = path.display(), anew = anew(journal.as_ref())
    )]
    VersionFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
        /// The number that the journal beside it has.
        journal: Option<JournalId>,
    },
    /// The file `VERSION` is missing, and the journal is there.
    #[error(
        "{path} is missing, and there is a journal beside it. Restore it from a backup, or give another folder with --data DIR{anew}",
        path = path.display(), anew = anew(Some(journal))
    )]
    VersionMissing {
        /// The file.
        path: PathBuf,
        /// The number that the journal has.
        journal: JournalId,
    },
    /// The folder was used, and its journal is gone.
    #[error(
        "all files of {} are missing, and beaconry has stored something there. Restore the folder from a backup, or give another one with --data DIR, or start anew in this one with `beaconry serve --salvage`",
        .0.display()
    )]
    Missing(PathBuf),
    /// The last file of the journal is gone.
    #[error(
        "{} is missing, which held what was stored last. Restore it, or the whole folder from a backup, or give another one with --data DIR, or go on with what is left with `beaconry serve --salvage`",
        .0.display()
    )]
    NewestMissing(PathBuf),
    /// A file of the journal is damaged.
    #[error("{0}")]
    Damaged(Box<Damage>),
    /// Records refer to others that are missing.
    #[error(
        "the journal in {} is incomplete ({error}): older files are missing. Restore the folder from a backup, or give another one with --data DIR",
        path.display()
    )]
    NotWhole {
        /// The folder.
        path: PathBuf,
        /// The first record that could not be applied.
        error: RecordError,
    },
    /// Salvage was asked for, but what stands before the damage cannot be used.
    #[error(
        "nothing of {} can be salvaged: what was stored before the damage is incomplete too ({error}). Restore the folder from a backup, or give another one with --data DIR",
        path.display()
    )]
    NothingToSalvage {
        /// The folder.
        path: PathBuf,
        /// The first record that could not be applied.
        error: RecordError,
    },
    /// The disk is full, and more records wait than may be held in memory.
    #[error(
        "{path} is full, and {waiting} of records wait to be written to it, which is more than the limit. The server ends. No client received an acknowledgement for these records. Make room on the disk and start again",
        path = path.display(), waiting = ByteSize(*waiting as u64)
    )]
    Overfull {
        /// The folder.
        path: PathBuf,
        /// Bytes that wait.
        waiting: usize,
    },
    /// The server ended while the disk was full.
    #[error(
        "{path} stayed full until the server ended: {waiting} of records are not stored. No client received an acknowledgement for them. Make room on the disk before the next start",
        path = path.display(), waiting = ByteSize(*waiting as u64)
    )]
    EndedFull {
        /// The folder.
        path: PathBuf,
        /// Bytes that are not stored.
        waiting: usize,
    },
    /// More is stored than the limit allows.
    #[error(
        "--max-store-size allows {most}, but what is stored in {path} needs {least}KiB or more: it must be copied, and clients that receive their queued messages cause more records. Give the limit that much, or leave it out",
        path = path.display(), most = ByteSize(*most), least = least.div_ceil(1024)
    )]
    TooSmall {
        /// The folder.
        path: PathBuf,
        /// Bytes that the limit allows.
        most: u64,
        /// Bytes that the limit must allow.
        least: u64,
    },
    /// The broker's records are not numbered one after the other: a bug in Beaconry.
    #[error(
        "the broker gave record {found} instead of record {expected}, which is a bug in beaconry: please report it"
    )]
    Order {
        /// The number that had to come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
}

impl StoreError {
    /// The error for a new folder on a full disk.
    pub(super) fn no_room(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        Self::NoRoom { path, error }
    }
}

/// A damaged file of the journal.
#[derive(Debug, thiserror::Error)]
#[error(
    "{file} is damaged at byte {offset} (record {record}): {what}. Everything behind it ({behind}) was stored but cannot be used, because it depends on what is missing. Restore the folder from a backup, or give another one with --data DIR. Without a backup, `beaconry serve --salvage` keeps what was stored before the damage and gives up everything behind it, unless that contains a complete copy of everything (it moves what it gives up into {aside})",
    file = file.display(), aside = aside.display()
)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// The byte of the file at which the damage begins.
    pub offset: u64,
    /// The number of the record that should stand there.
    pub record: u64,
    /// What is wrong with it.
    pub what: String,
    pub(super) behind: Behind,
    /// The folder that salvage would move the rest to.
    pub aside: PathBuf,
}

/// For [`Result::map_err`]: adds what was tried, and on which file.
pub(super) fn io_error(
    doing: &'static str,
    path: impl AsRef<Path>,
) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.as_ref().to_owned();
    move |error| StoreError::Io { doing, path, error }
}

/// Whether the error means that there is no space.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Whether the error may go away by itself: too many files are open.
pub(super) fn is_passing(error: &io::Error) -> bool {
    platform::is_out_of_files(error)
}

fn anew(journal: Option<&JournalId>) -> &'static str {
    match journal {
        Some(_) => ", or let `beaconry serve --salvage` write it anew from the journal beside it",
        None => "",
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; allow beaconry's user to write there, or give another folder with --data DIR"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; give a writable folder with --data DIR, or keep everything in memory with --in-memory"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            "; a part of the path is not a folder. Give another folder with --data DIR"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "; make room there, or give a folder on another disk with --data DIR"
        }
        // For a folder: one that cannot be created where it should be, as in /proc.
        io::ErrorKind::NotFound => {
            "; it cannot be created there, or the folder above was removed. Give another folder with --data DIR"
        }
        // Other errors say enough. io::ErrorKind is not exhaustive, so this arm stays.
        _ => "",
    }
}
