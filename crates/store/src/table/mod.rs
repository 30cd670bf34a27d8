//! A small durable table: values by key, for what is a copy of something in memory.
//!
//! The journal keeps a promise for each message. This table keeps none but one: what
//! [`write`](Table::write) has returned for is there at the next start. It is made for much that
//! changes often and may be some seconds old: each write appends the changed values, compressed, and
//! waits for the disk once.
//!
//! ```text
//! FOLDER/table          the values: groups, appended one after another
//! FOLDER/table.new      a new table, until it is complete
//! FOLDER/table.damaged  a copy of a table that was damaged
//! ```
//!
//! **Invariant.** After a crash, or a loss of power, each key has the value of the last write that has
//! returned, or one that was being written. A file is replaced as a whole or not at all.
//!
//! **Invariant.** The file is at most twice as large as what is alive in it, and a little. When it
//! would be larger, the table is written anew without what is out of date. In memory the table has
//! the keys, not the values.
//!
//! **Damage.** What can be read is kept. Of the keys whose last value was in the damaged part, an
//! earlier value may come back, or one that was removed. The log says so, and [`Opening`] too.
//!
//! ```
//! # let folder = testbed::Folder::new();
//! use store::table::Table;
//!
//! let mut table = Table::open(&folder.path().join("devices")).unwrap();
//! table.write(&[(b"pump-1", Some(b"online")), (b"pump-2", None)]).unwrap();
//! drop(table);
//!
//! let table = Table::open(&folder.path().join("devices")).unwrap();
//! table.read(|key, value| assert_eq!((key, value), (&b"pump-1"[..], &b"online"[..]))).unwrap();
//! assert_eq!(table.len(), 1);
//! ```

mod form;
mod index;
mod rewrite;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use tracing::warn;

use self::form::{Encoded, Encoder, HEAD, Reader, fits};
use self::index::Index;
use self::rewrite::Rewriting;
use crate::disk::{self, File};
use crate::error::{StoreError, io_error, is_full};
use crate::folder::{create_folder, sync_folder};

pub use self::form::MAX_ENTRY;

/// A key, and its new value. `None` removes the key.
pub type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// Values by key, in a folder of its own.
#[derive(Debug)]
pub struct Table {
    folder: PathBuf,
    /// `None` until something is written, or if the file could not be opened again.
    file: Option<File>,
    /// Bytes of the file up to which everything is durable.
    durable: u64,
    index: Index,
    encoder: Encoder,
    /// Bytes of a group before it is compressed. Tests use few.
    group: usize,
    /// The file may end in something else than what is durable, or is damaged. So it is only read, and
    /// the next write begins a new one.
    is_suspect: bool,
    opening: Opening,
}

/// What was found when a table was opened.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Bytes of a write that a crash has interrupted. They were cut off.
    pub torn_bytes: u64,
    /// Bytes that cannot be read although they were stored. `table.damaged` has them.
    pub damaged_bytes: u64,
}

impl Table {
    /// A file that is not larger than this is never too large.
    const SLACK: u64 = 64 * 1024;
    /// Bytes of a group before it is compressed. More would compress better and take more memory.
    const GROUP: usize = 256 * 1024;

    /// Opens the table in `folder`, or an empty one. Nobody else may use the folder: the store's own
    /// folder is locked, so put it into that.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or a newer version of Beaconry has written it. Damage is no error.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_with(folder, Self::GROUP)
    }

    fn open_with(folder: &Path, group: usize) -> Result<Self, StoreError> {
        create_folder(folder)?;
        if let Some(above) = folder.parent() {
            sync_folder(above)?;
        }
        let mut table = Self::empty(folder, group);
        let path = table.path();
        let len = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(table),
            Err(error) => return Err(io_error("read", &path)(error)),
        };
        let file = File::open(&path).map_err(io_error("open", &path))?;
        table.find_all(&file, len)?;
        table.repair(&file)?;
        // What a killed process has written may only be in the memory of the system.
        file.sync_data().map_err(io_error("write", &path))?;
        table.file = Some(file);
        Ok(table)
    }

    /// The table in `folder` as it is now, to be read. Nothing is changed, and a server may be running.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open). Damage is no error.
    pub fn of_files(folder: &Path) -> Result<Self, StoreError> {
        let mut table = Self::empty(folder, Self::GROUP);
        let path = table.path();
        let opened = File::open_to_read(&path).and_then(|file| Ok((file.len()?, file)));
        match opened {
            Ok((len, file)) => {
                table.find_all(&file, len)?;
                table.file = Some(file);
                Ok(table)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(table),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    fn empty(folder: &Path, group: usize) -> Self {
        Self {
            folder: folder.to_owned(),
            file: None,
            durable: 0,
            index: Index::default(),
            encoder: Encoder::default(),
            group,
            is_suspect: false,
            opening: Opening::default(),
        }
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.durable
    }

    /// What was found when the table was opened.
    pub fn opening(&self) -> Opening {
        self.opening
    }

    /// Gives each key with its value, in no order. Needs memory for one group of values at a time.
    ///
    /// # Errors
    ///
    /// The file cannot be read any more.
    pub fn read(&self, mut entry: impl FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        if self.is_empty() {
            return Ok(());
        }
        let (path, opened);
        path = self.path();
        let file = if let Some(file) = &self.file {
            file
        } else {
            opened = File::open(&path).map_err(io_error("open", &path))?;
            &opened
        };
        let mut reader = Reader::new(file, self.durable);
        for (at, _) in self.index.groups() {
            let group = reader.group_at(at).map_err(io_error("read", &path))?;
            let Some(group) = group else {
                warn!("{} has become unreadable at byte {at}", path.display());
                continue;
            };
            for (key, value) in group.entries() {
                if let Some(value) = value.filter(|_| self.index.is_live(key, at)) {
                    entry(key, value);
                }
            }
        }
        Ok(())
    }

    /// Makes changes durable. If a key occurs several times, its last change counts. Blocks until the
    /// disk has everything.
    ///
    /// The changes are not one whole: after a crash some keys may have their new values and others
    /// not.
    ///
    /// # Errors
    ///
    /// The disk is full, cannot be written, or a key and its value together are larger than
    /// [`MAX_ENTRY`]. What was durable still is. The table can be used further: the next write with
    /// these changes repairs everything.
    pub fn write(&mut self, changes: &[Change<'_>]) -> Result<(), StoreError> {
        let encoded = self
            .encode(changes)
            .map_err(io_error("write to", self.path()))?;
        if encoded.is_empty() {
            return Ok(());
        }
        let len = self.durable + encoded.len();
        let is_too_large = len > 2 * self.index.live_after(&encoded) + Self::SLACK;
        if self.file.is_none() || self.is_suspect {
            return self.rewrite(&encoded);
        }
        if is_too_large {
            match self.rewrite(&encoded) {
                // There may be room for the changes alone.
                Err(StoreError::Io { error, .. }) if is_full(&error) => {}
                rewritten => return rewritten,
            }
        }
        self.append(&encoded)
    }

    /// Makes groups of the last change of each key.
    fn encode<'a>(&mut self, changes: &[Change<'a>]) -> io::Result<Encoded<'a>> {
        if !changes.iter().all(|(key, value)| fits(key, *value)) {
            let what = format!("a key and its value have more than {MAX_ENTRY} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        let last: HashMap<&[u8], usize> = changes.iter().map(|it| it.0).zip(0..).collect();
        let mut encoded = Encoded::default();
        self.encoder.clear();
        for (at, (key, value)) in changes.iter().enumerate() {
            let is_last = last.get(key) == Some(&at);
            if is_last && (value.is_some() || self.index.has(key)) {
                self.encoder.put(key, *value, self.group, &mut encoded)?;
            }
        }
        self.encoder.finish(&mut encoded)?;
        Ok(encoded)
    }

    fn append(&mut self, encoded: &Encoded<'_>) -> Result<(), StoreError> {
        let path = self.path();
        let Some(file) = &self.file else {
            return Ok(());
        };
        let written = file.write_all_at(encoded.bytes(), self.durable);
        let written = written.and_then(|()| {
            // Once this has failed, nobody knows what the disk has.
            self.is_suspect = true;
            file.sync_data()?;
            self.is_suspect = false;
            Ok(())
        });
        if let Err(error) = written {
            let cut = file.set_len(self.durable);
            self.is_suspect |= cut.is_err();
            return Err(io_error("write to", &path)(error));
        }
        self.index.add(encoded, self.durable);
        self.durable += encoded.len();
        Ok(())
    }

    /// Writes the table anew: what is alive, and the changes. The new file takes the place of the old
    /// one when it is complete.
    fn rewrite(&mut self, encoded: &Encoded<'_>) -> Result<(), StoreError> {
        let (path, new) = (self.path(), self.folder.join("table.new"));
        if self.file.is_none() && !self.is_empty() {
            self.file = Some(File::open(&path).map_err(io_error("open", &path))?);
        }
        let failed = io_error("write", &new);
        let _ = disk::remove_file(&new);
        let written = Rewriting::begin(&new, &mut self.encoder, self.group)
            .and_then(|mut rewriting| {
                if let Some(file) = &self.file {
                    let reader = Reader::new(file, self.durable);
                    rewriting.copy_live(reader, &self.index, encoded)?;
                }
                rewriting.finish(encoded)
            })
            .map_err(|error| {
                // The room that it takes is needed.
                let _ = disk::remove_file(&new);
                failed(error)
            });
        let (file, len, index) = written?;
        // Windows replaces no file that is open.
        self.file = None;
        if let Err(error) = disk::rename(&new, &path) {
            self.is_suspect = true;
            self.file = File::open(&path).ok();
            let _ = disk::remove_file(&new);
            return Err(io_error("rename", &new)(error));
        }
        self.file = Some(file);
        self.durable = len;
        self.index = index;
        // If this fails, nobody knows which of the two files has the name after a loss of power. The
        // next write tries again.
        self.is_suspect = true;
        sync_folder(&self.folder)?;
        self.is_suspect = false;
        Ok(())
    }

    /// Finds everything in the file, which has `len` bytes.
    fn find_all(&mut self, file: &File, len: u64) -> Result<(), StoreError> {
        let path = self.path();
        let failed = || io_error("read", &path);
        let mut reader = Reader::new(file, len);
        let mut at = (HEAD.len() as u64).min(len);
        self.durable = at;
        if !reader.has_head().map_err(failed())? {
            self.opening.damaged_bytes = at;
            // An empty file has no damage, but what is appended to it would have no head.
            self.is_suspect = true;
        }
        while at < len {
            if let Some(group) = reader.group_at(at).map_err(failed())? {
                self.index.find(&group, at);
                at += group.len();
                self.durable = at;
                continue;
            }
            let Some(next) = reader.next_group(at).map_err(failed())? else {
                break;
            };
            self.opening.damaged_bytes += next - at;
            at = next;
        }
        self.is_suspect |= self.opening.damaged_bytes > 0;
        self.opening.torn_bytes = len - self.durable;
        Ok(())
    }

    /// Keeps a copy of a damaged file, and cuts off the rest of a write that was interrupted.
    fn repair(&self, file: &File) -> Result<(), StoreError> {
        if self.opening.damaged_bytes > 0 {
            self.keep_damaged();
        }
        if self.opening.torn_bytes > 0 {
            let cut = file.set_len(self.durable);
            cut.map_err(io_error("shorten", self.path()))?;
        }
        Ok(())
    }

    /// Copies the damaged file, because the next write replaces it.
    fn keep_damaged(&self) {
        let (path, aside) = (self.path(), self.folder.join("table.damaged"));
        let kept = match fs::copy(&path, &aside) {
            Ok(_) => format!("{} is a copy of the file", aside.display()),
            Err(error) => format!("it cannot be copied to {}: {error}", aside.display()),
        };
        warn!(
            "{} is damaged: {} of it cannot be read, and are left out; {kept}",
            path.display(),
            ByteSize(self.opening.damaged_bytes)
        );
    }

    fn path(&self) -> PathBuf {
        self.folder.join("table")
    }
}
