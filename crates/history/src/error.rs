//! What can go wrong.

use std::io;
use std::path::{Path, PathBuf};

use series::Millis;
use store::StoreError;

/// Why something could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused a call.
    #[error("cannot {doing} {path}: {error}", path = path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The journal or the catalog could not be written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A block is damaged.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The answer would be too large.
    #[error("the range has more than {most} values", most = crate::View::MOST_VALUES)]
    TooMany,
    /// Nobody waits for the answer any more.
    #[error("nobody waits for the answer any more")]
    GivenUp,
}

/// A block that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}, byte {offset}: the block of group {group} is damaged: {why}", path = path.display())]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// The byte at which the block begins.
    pub offset: u64,
    /// The group.
    pub group: u32,
    /// The times of its rows, smallest and largest, as the index says.
    pub span: (Millis, Millis),
    /// What is wrong.
    pub why: String,
}

impl Error {
    /// For `map_err`: adds what was tried, and on which file.
    pub(crate) fn io(
        doing: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |error| Self::Io { doing, path, error }
    }

    /// Whether the disk is full. That may pass.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { error, .. } | Self::Store(StoreError::Io { error, .. }) => {
                store::files::is_full(error)
            }
            Self::Store(_) | Self::Damaged(_) | Self::TooMany | Self::GivenUp => false,
        }
    }
}
