//! A data folder for a program that is no server.

use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::StoreError;
use crate::folder::Folder;

/// A data folder that no other beaconry uses, until this value is dropped.
#[derive(Debug)]
pub struct Claim {
    _folder: Folder,
}

impl Claim {
    /// Claims a data folder, as a server does at its start. A folder that does not exist is made.
    ///
    /// # Errors
    ///
    /// Another beaconry uses it, it is no data folder, or the system refuses.
    pub fn of(folder: &Path) -> Result<Self, StoreError> {
        Folder::open(folder).map(|folder| Self { _folder: folder })
    }
}

/// Whether a beaconry uses a data folder now. Nothing is changed.
pub fn is_in_use(folder: &Path) -> bool {
    // A shared lock, so that two that ask see nothing of each other.
    let locked = File::open(folder.join("lock")).map(|file| file.try_lock_shared());
    matches!(locked, Ok(Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_keeps_others_out_and_can_be_seen() {
        let parent = testbed::Folder::new();
        let path = parent.path().join("data");
        assert!(!is_in_use(&path));
        let claim = Claim::of(&path).unwrap();
        assert!(is_in_use(&path));
        let error = Claim::of(&path).unwrap_err();
        assert!(matches!(error, StoreError::InUse(_)), "{error}");
        drop(claim);
        assert!(!is_in_use(&path));
    }
}
