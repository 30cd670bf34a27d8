//! All calls of the store that change a file or a folder, or wait for the disk.
//!
//! In tests a simulated disk (`tests/watch.rs`) sees each call before it is made. That disk can lose
//! power or fail. Everything that must outlive a start goes through here, except for the copies that
//! salvage makes.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;

use crate::platform;
#[cfg(test)]
use crate::tests::watch::{self, Act};

/// A file for writing, which only its owner can read.
#[derive(Debug)]
pub(super) struct File {
    file: fs::File,
    #[cfg(test)]
    watched: watch::File,
}

impl File {
    /// Opens a file that exists.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::open_as(path, OpenOptions::new().read(true))
    }

    /// Opens a file that exists, only to read it.
    pub(super) fn open_to_read(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: fs::File::open(path)?,
            #[cfg(test)]
            watched: watch::opened(path),
        })
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Opens a file, or creates it.
    pub(super) fn open_or_create(path: &Path) -> io::Result<Self> {
        Self::open_as(path, OpenOptions::new().create(true))
    }

    /// Creates a file that does not exist yet.
    pub(super) fn create_new(path: &Path) -> io::Result<Self> {
        Self::open_as(path, OpenOptions::new().read(true).create_new(true))
    }

    fn open_as(path: &Path, options: &mut OpenOptions) -> io::Result<Self> {
        #[cfg(test)]
        watch::before_opening(path)?;
        let file = platform::make_private_when_created(options.write(true)).open(path)?;
        Ok(Self {
            file,
            #[cfg(test)]
            watched: watch::opened(path),
        })
    }

    pub(super) fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        platform::read_exact_at(&self.file, bytes, offset)
    }

    pub(super) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        #[cfg(test)]
        self.watched.told(Act::Write(offset, bytes))?;
        platform::write_all_at(&self.file, bytes, offset)
    }

    pub(super) fn set_len(&self, len: u64) -> io::Result<()> {
        #[cfg(test)]
        self.watched.told(Act::SetLen(len))?;
        self.file.set_len(len)
    }

    /// Extends the file from its end `from` to `to` with zeros, whose space is reserved on the disk. So
    /// writing there needs no more space. Does nothing if `to` is not beyond the end.
    pub(super) fn allocate(&self, from: u64, to: u64) -> io::Result<()> {
        #[cfg(test)]
        self.watched.told(Act::SetLen(to.max(from)))?;
        allocate(&self.file, from, to)
    }

    /// Waits until everything that was written is on the disk.
    pub(super) fn sync_data(&self) -> io::Result<()> {
        #[cfg(test)]
        if self.watched.synced()? {
            return Ok(());
        }
        self.file.sync_data()
    }

    /// Also waits for the file's metadata, but not for its name.
    pub(super) fn sync_all(&self) -> io::Result<()> {
        #[cfg(test)]
        if self.watched.synced()? {
            return Ok(());
        }
        self.file.sync_all()
    }
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(test)]
    watch::told(from, Act::Rename(to))?;
    fs::rename(from, to)
}

pub(super) fn remove_file(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    watch::told(path, Act::Remove)?;
    fs::remove_file(path)
}

/// Creates a folder that only its owner can enter.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    watch::told(path, Act::CreateFolder)?;
    platform::folder_builder().create(path)
}

/// Waits until the names in a folder are on the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    if watch::synced_folder(path)? {
        return Ok(());
    }
    platform::sync_folder(path)
}

fn allocate(file: &fs::File, from: u64, to: u64) -> io::Result<()> {
    if from >= to {
        return Ok(());
    }
    match platform::reserve(file, from, to) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => fill(file, from, to),
        reserved => reserved,
    }
}

fn fill(file: &fs::File, mut from: u64, to: u64) -> io::Result<()> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    while from < to {
        let len = usize::try_from(to - from)
            .unwrap_or(usize::MAX)
            .min(ZEROS.len());
        platform::write_all_at(file, &ZEROS[..len], from)?;
        from += len as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_filled_file_is_as_long_as_an_allocated_one() {
        let folder = testbed::Folder::new();
        for (name, way) in [
            ("a", allocate as fn(&fs::File, u64, u64) -> io::Result<()>),
            ("b", fill),
        ] {
            let file = fs::File::create_new(folder.path().join(name)).unwrap();
            file.write_all_at(b"xyz", 0).unwrap();
            way(&file, 3, 200_000).unwrap();
            let bytes = fs::read(folder.path().join(name)).unwrap();
            assert_eq!((bytes.len(), &bytes[..3]), (200_000, &b"xyz"[..]));
            assert!(bytes[3..].iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn allocating_never_shortens_a_file() {
        let folder = testbed::Folder::new();
        let path = folder.path().join("a");
        let file = fs::File::create_new(&path).unwrap();
        file.write_all_at(&[b'x'; 5_000], 0).unwrap();
        for to in [0, 4_096, 5_000] {
            allocate(&file, 5_000, to).unwrap();
            assert_eq!(fs::read(&path).unwrap(), [b'x'; 5_000]);
        }
    }
}
