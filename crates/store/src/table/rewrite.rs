//! Writes a table anew, without what is out of date.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use tracing::warn;

use super::form::{Encoded, Encoder, HEAD, Reader};
use super::index::Index;
use crate::disk::File;

/// A new file, until it takes the place of the old one.
pub(super) struct Rewriting<'a> {
    file: File,
    len: u64,
    index: Index,
    encoder: &'a mut Encoder,
    group: usize,
}

impl<'a> Rewriting<'a> {
    /// Begins a file that does not exist. Groups have about `group` bytes.
    pub(super) fn begin(path: &Path, encoder: &'a mut Encoder, group: usize) -> io::Result<Self> {
        let mut rewriting = Self {
            file: File::create_new(path)?,
            len: 0,
            index: Index::default(),
            encoder,
            group,
        };
        rewriting.write(HEAD)?;
        Ok(rewriting)
    }

    /// Copies what `index` says is alive in the old file, except what `encoded` replaces. Groups of
    /// which everything is alive are copied as they are.
    pub(super) fn copy_live(
        &mut self,
        mut old: Reader<'_>,
        index: &Index,
        encoded: &Encoded<'_>,
    ) -> io::Result<()> {
        let replaced: HashSet<&[u8]> = encoded.entries().map(|it| it.key).collect();
        // Values of groups that are copied in part.
        let mut kept: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut kept_bytes = 0;
        for (at, held) in index.groups_without(encoded) {
            let Some(group) = old.group_at(at)? else {
                warn!("values are lost: the table cannot be read any more at byte {at}");
                continue;
            };
            if held.is_all_live() {
                self.index.find(&group, self.len);
                self.write(group.bytes())?;
                continue;
            }
            for (key, value) in group.entries() {
                if let Some(value) = value
                    && index.is_live(key, at)
                    && !replaced.contains(key)
                {
                    kept_bytes += key.len() + value.len();
                    kept.push((key.to_vec(), value.to_vec()));
                }
            }
            if kept_bytes >= self.group {
                self.write_kept(&mut kept)?;
                kept_bytes = 0;
            }
        }
        self.write_kept(&mut kept)
    }

    fn write_kept(&mut self, kept: &mut Vec<(Vec<u8>, Vec<u8>)>) -> io::Result<()> {
        let mut encoded = Encoded::default();
        for (key, value) in kept.iter() {
            self.encoder
                .put(key, Some(value), self.group, &mut encoded)?;
        }
        self.encoder.finish(&mut encoded)?;
        self.add(&encoded)?;
        kept.clear();
        Ok(())
    }

    /// Adds the last groups, and waits for the disk. Returns the file, its length, and what is in it.
    pub(super) fn finish(mut self, encoded: &Encoded<'_>) -> io::Result<(File, u64, Index)> {
        self.add(encoded)?;
        self.file.sync_all()?;
        Ok((self.file, self.len, self.index))
    }

    fn add(&mut self, encoded: &Encoded<'_>) -> io::Result<()> {
        self.index.add(encoded, self.len);
        self.write(encoded.bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.len)?;
        self.len += bytes.len() as u64;
        Ok(())
    }
}
