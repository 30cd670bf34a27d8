//! The segment that is written.

use std::io;

use crate::disk::File;

/// The segment that is written.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) number: u64,
    /// `None` until the file is created.
    pub(super) file: Option<File>,
    /// Bytes that are durable.
    pub(super) durable: u64,
    /// The file may be longer, because a write has failed.
    pub(super) has_rest: bool,
}

impl Current {
    /// A segment that does not exist yet.
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            file: None,
            durable: 0,
            has_rest: false,
        }
    }

    /// Appends bytes, and waits until they are durable. If it fails, the file ends where it did before,
    /// as soon as it can be shortened.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.cut()?;
        let Some(file) = &self.file else {
            return Ok(());
        };
        self.has_rest = true;
        let written = file.write_all_at(bytes, self.durable);
        let written = written.and_then(|()| file.sync_data());
        if written.is_err() {
            // If this fails too, the next attempt begins with it.
            let _ = self.cut();
            return written;
        }
        self.has_rest = false;
        self.durable += bytes.len() as u64;
        Ok(())
    }

    /// Shortens the file to what is durable.
    pub(super) fn cut(&mut self) -> io::Result<()> {
        if let Some(file) = self.file.as_ref().filter(|_| self.has_rest) {
            file.set_len(self.durable)?;
            file.sync_all()?;
            self.has_rest = false;
        }
        Ok(())
    }
}
