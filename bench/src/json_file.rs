//! The file with every single result.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::report::Report;

/// The file is open from the start, so that a wrong path fails at once and not after an hour.
pub(crate) struct JsonFile {
    file: File,
    path: PathBuf,
}

impl JsonFile {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }

    /// Writes all results so far over the earlier content. If the path is not a regular file (a
    /// pipe), it gets everything at the end.
    pub(crate) fn keep(&mut self, report: &Report) -> Result<()> {
        if self.file.metadata()?.is_file() {
            self.write(report)?;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self, report: &Report) -> Result<()> {
        self.write(report)
    }

    fn write(&mut self, report: &Report) -> Result<()> {
        let json = serde_json::to_vec_pretty(&report.json())?;
        let mut replace = || {
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
                self.file.rewind()?;
            }
            self.file.write_all(&json)
        };
        replace().with_context(|| format!("cannot write {}", self.path.display()))
    }
}
