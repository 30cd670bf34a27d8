//! A temporary folder.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// An empty temporary folder of its own, which is removed when it is dropped.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Creates a folder for a test.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses.
    #[must_use]
    #[allow(clippy::new_without_default)] // each is another one
    pub fn new() -> Self {
        Self::create().expect("a temporary folder")
    }

    /// Creates a folder.
    ///
    /// # Errors
    ///
    /// Returns the system's error.
    pub fn create() -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("beaconry-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // A process with the same number left it long ago.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it for a server's data. It does not exist yet.
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
