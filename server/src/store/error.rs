//! Why a store cannot be opened, or not go on: always the file, and what can be done.

use std::io;
use std::path::{Path, PathBuf};

use broker::RecordError;
use bytesize::ByteSize;

use super::salvage::Behind;
use super::segment::JournalId;
use super::sizes::Sizes;

/// What is wrong with a store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error("cannot {doing} {path}: {error}{hint}", path = path.display(), hint = hint(error))]
    Io {
        doing: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    #[error(
        "{path} has no room for a new store, which needs {least} ({error}): make room there, or give a folder on another disk with --data DIR, or keep everything in memory with --in-memory",
        path = path.display(), least = ByteSize(Sizes::LEAST)
    )]
    NoRoom { path: PathBuf, error: io::Error },
    #[error(
        "{} is a file, and --data needs a folder: give another one, for example --data {}.d",
        .0.display(), .0.display()
    )]
    NotAFolder(PathBuf),
    #[error(
        "{} is in use by another beaconry: end that one, or give this one a folder of its own with --data DIR",
        .0.display()
    )]
    InUse(PathBuf),
    #[error(
        "{path} has no file VERSION, and is not empty ({found} is in it): it is no folder of beaconry's. Give an empty one, or one that does not exist yet, with --data DIR",
        path = path.display()
    )]
    Foreign { path: PathBuf, found: String },
    #[error(
        "{path} is of format {found}, and this is beaconry {this}, which reads format {reads} only: use {needs}, or another folder with --data DIR",
        path = path.display(), this = env!("CARGO_PKG_VERSION"), reads = broker::journal::FORMAT_VERSION
    )]
    Version {
        path: PathBuf,
        found: u32,
        needs: String,
    },
    #[error(
        "{path} is not a VERSION file as beaconry writes it ({what}): restore the folder from a backup, or give another one with --data DIR{anew}",
        path = path.display(), anew = anew(journal.as_ref())
    )]
    VersionFile {
        path: PathBuf,
        what: &'static str,
        /// What the journal says that it is.
        journal: Option<JournalId>,
    },
    #[error(
        "{path} is missing, and there is a journal beside it. Restore it from a backup, or give another folder with --data DIR{anew}",
        path = path.display(), anew = anew(Some(journal))
    )]
    VersionMissing { path: PathBuf, journal: JournalId },
    #[error(
        "all files of {} are missing, and beaconry has stored something there. Restore the folder from a backup, or give another one with --data DIR, or begin anew in this one with `beaconry serve --salvage`",
        .0.display()
    )]
    Missing(PathBuf),
    #[error(
        "{} is missing: what was stored last was in it. Restore it, or the whole folder from a backup, or give another one with --data DIR, or go on with what is left with `beaconry serve --salvage`",
        .0.display()
    )]
    NewestMissing(PathBuf),
    #[error("{0}")]
    Damaged(Box<Damage>),
    #[error(
        "the journal in {} is not whole ({error}): older files are missing. Restore the folder from a backup, or give another one with --data DIR",
        path.display()
    )]
    NotWhole { path: PathBuf, error: RecordError },
    #[error(
        "nothing of {} can be salvaged: what was stored before the damage is not whole either ({error}). Restore the folder from a backup, or give another one with --data DIR",
        path.display()
    )]
    NothingToSalvage { path: PathBuf, error: RecordError },
    #[error(
        "{path} is full, and records of {waiting} wait to be written to it, more than may: ending, so that nothing is lost unseen. Nobody was told that what waits is stored. Make room and start again",
        path = path.display(), waiting = ByteSize(*waiting as u64)
    )]
    Overfull { path: PathBuf, waiting: usize },
    #[error(
        "{path} was full to the end: records of {waiting} that waited for room are not stored. Nobody was told that they are. Make room before the next start",
        path = path.display(), waiting = ByteSize(*waiting as u64)
    )]
    EndedFull { path: PathBuf, waiting: usize },
    #[error(
        "--max-store-size allows {most}, and what is stored in {path} needs {least}KiB at least: to be copied, and for what clients who take what waits for them have yet to write. Give it as much, or leave the limit out",
        path = path.display(), most = ByteSize(*most), least = least.div_ceil(1024)
    )]
    TooSmall {
        path: PathBuf,
        most: u64,
        least: u64,
    },
    #[error(
        "the broker gave record {found} where {expected} was to come; this is a mistake in beaconry"
    )]
    Order { expected: u64, found: u64 },
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
pub(crate) struct Damage {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
    pub(crate) record: u64,
    pub(crate) what: String,
    pub(super) behind: Behind,
    pub(crate) aside: PathBuf,
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
    use rustix::io::Errno;
    let errno = error.raw_os_error();
    errno == Some(Errno::MFILE.raw_os_error()) || errno == Some(Errno::NFILE.raw_os_error())
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
