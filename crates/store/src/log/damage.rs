//! Names what is damaged.

use std::fmt;
use std::path::{Path, PathBuf};

/// Bytes that were stored and cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// The byte at which the damage begins.
    pub offset: u64,
    /// How many bytes are skipped. 0: something is missing here.
    pub bytes: u64,
    /// What is wrong.
    pub why: String,
}

impl Damage {
    /// How many places are named one by one.
    pub(super) const MOST: usize = 100;
    pub(super) const CHECKSUM: &str = "the checksum does not match";
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            offset,
            bytes,
            why,
        } = self;
        let path = path.display();
        write!(
            f,
            "{path} is damaged at byte {offset} ({why}): {bytes} bytes are skipped"
        )
    }
}

/// Names what is damaged. When too many places are, the last one grows.
pub(super) fn add_damage(
    damaged: &mut Vec<Damage>,
    path: &Path,
    offset: u64,
    bytes: u64,
    why: impl fmt::Display,
) {
    if damaged.len() >= Damage::MOST
        && let Some(last) = damaged.last_mut()
    {
        last.bytes += bytes;
        "several places".clone_into(&mut last.why);
        return;
    }
    damaged.push(Damage {
        path: path.to_owned(),
        offset,
        bytes,
        why: why.to_string(),
    });
}
