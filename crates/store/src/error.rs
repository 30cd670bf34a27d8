//! Why a store cannot be opened, or not go on: always the file, and what can be done.

use std::io;
use std::path::{Path, PathBuf};

use broker::RecordError;
use bytesize::ByteSize;

use crate::platform;
use crate::salvage::Behind;
use crate::segment::JournalId;
use crate::sizes::Sizes;

/// What is wrong with a store. Each message names the file or folder, and says what to do.
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
        "{path} has no file VERSION, and is not empty ({found} is in it): it is no folder of beaconry's. Give an empty one, or one that does not exist yet, with --data DIR",
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
        "{path} is of format {found}, and this is beaconry {this}, which reads format {reads} only: use {needs}, or another folder with --data DIR",
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
        "{path} is not a VERSION file as beaconry writes it ({what}): restore the folder from a backup, or give another one with --data DIR{anew}",
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
        "all files of {} are missing, and beaconry has stored something there. Restore the folder from a backup, or give another one with --data DIR, or begin anew in this one with `beaconry serve --salvage`",
        .0.display()
    )]
    Missing(PathBuf),
    /// The last file of the journal is gone.
    #[error(
        "{} is missing: what was stored last was in it. Restore it, or the whole folder from a backup, or give another one with --data DIR, or go on with what is left with `beaconry serve --salvage`",
        .0.display()
    )]
    NewestMissing(PathBuf),
    /// A file of the journal is not as it was written.
    #[error("{0}")]
    Damaged(Box<Damage>),
    /// Records refer to others that are not there.
    #[error(
        "the journal in {} is not whole ({error}): older files are missing. Restore the folder from a backup, or give another one with --data DIR",
        path.display()
    )]
    NotWhole {
        /// The folder.
        path: PathBuf,
        /// The first record that could not be applied.
        error: RecordError,
    },
    /// Salvage was asked for, and what stands before the damage is no use.
    #[error(
        "nothing of {} can be salvaged: what was stored before the damage is not whole either ({error}). Restore the folder from a backup, or give another one with --data DIR",
        path.display()
    )]
    NothingToSalvage {
        /// The folder.
        path: PathBuf,
        /// The first record that could not be applied.
        error: RecordError,
    },
    /// The disk is full, and more waits to be written than memory is given for.
    #[error(
        "{path} is full, and records of {waiting} wait to be written to it, more than may: ending, so that nothing is lost unseen. Nobody was told that what waits is stored. Make room and start again",
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
        "{path} was full to the end: records of {waiting} that waited for room are not stored. Nobody was told that they are. Make room before the next start",
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
        "--max-store-size allows {most}, and what is stored in {path} needs {least}KiB at least: to be copied, and for what clients who take what waits for them have yet to write. Give it as much, or leave the limit out",
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
    /// The broker's records are not numbered one after the other: a mistake in Beaconry.
    #[error(
        "the broker gave record {found} where {expected} was to come; this is a mistake in beaconry"
    )]
    Order {
        /// The number that had to come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
}

impl StoreError {
    /// Of a folder that nothing was in.
    pub(super) fn no_room(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        Self::NoRoom { path, error }
    }
}

/// A file of the journal that is not as it was written.
#[derive(Debug, thiserror::Error)]
#[error(
    "{file} is damaged at byte {offset} (record {record}): {what}. All that follows ({behind}) was stored and cannot be used, for it builds on what is missing. Restore the folder from a backup, or give another one with --data DIR. Without a backup, `beaconry serve --salvage` keeps what was stored before the damage and gives up all that follows, unless a whole copy of everything is in it (what it gives up it moves into {aside})",
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

/// For [`Result::map_err`]: what was being done, to which file.
pub(super) fn io_error(
    doing: &'static str,
    path: impl AsRef<Path>,
) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.as_ref().to_owned();
    move |error| StoreError::Io { doing, path, error }
}

/// Whether what failed can go well when someone has made room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Whether what failed may go well a little later, by itself: too many files are open.
pub(super) fn is_passing(error: &io::Error) -> bool {
    platform::is_out_of_files(error)
}

fn anew(journal: Option<&JournalId>) -> &'static str {
    match journal {
        Some(_) => {
            ", or let `beaconry serve --salvage` write it anew: the journal beside it says what it was"
        }
        None => "",
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; let beaconry's user write there, or give another folder with --data DIR"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "; give a folder that can be written to with --data DIR, or keep everything in memory with --in-memory"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            "; a part of the path is not what it should be, give another folder with --data DIR"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "; make room there, or give a folder on another disk with --data DIR"
        }
        // Of a folder: where files are not made by whoever likes, as in /proc.
        io::ErrorKind::NotFound => {
            "; it cannot be made there, or what it is in was taken away: give another folder with --data DIR"
        }
        // Everything else says what it is; io::ErrorKind has many, and gets more.
        _ => "",
    }
}
