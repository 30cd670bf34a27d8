//! A temporary folder.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// An empty folder of its own among the system's temporary ones, removed when dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new one, for a test.
    ///
    /// # Panics
    ///
    /// If the system gives none.
    #[must_use]
    #[allow(clippy::new_without_default)] // each is another one
    pub fn new() -> Self {
        Self::create().expect("a temporary folder")
    }

    /// A new one, or why there is none.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn create() -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("beaconry-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Left by a process that had the same number, long ago.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a server is to store things in it: not made yet.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
