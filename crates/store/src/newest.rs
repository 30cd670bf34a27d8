//! `DIR/newest`: a note of which file of the journal was begun last. If that file is missing, what
//! was stored last is missing too, and the files before it do not show that.
//!
//! The note has the number twice, because a number with a changed digit would name a file that never
//! existed.
//!
//! **Order.** A file is durable before the note names it, and the note names it before anything is
//! stored in it. So after a crash the note names the last file or the one before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::disk::File;
use crate::error::{StoreError, io_error, is_full};
use crate::folder::sync_folder;

/// The number of the file that was begun last, according to the note.
pub(super) fn read(folder: &Path) -> Result<Option<u64>, StoreError> {
    let path = path(folder);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let number = parse(&text);
    if number.is_none() {
        warn!(
            "ignoring {}, which beaconry cannot read: if the last file of the journal is missing, nobody notices",
            path.display()
        );
    }
    Ok(number)
}

/// Notes that this file was begun. On a full disk the note stays as it was, and the file is used
/// nevertheless.
pub(super) fn write(folder: &Path, number: u64) -> Result<(), StoreError> {
    let path = path(folder);
    // The text always has the same length and is written in place, so it needs no more space and fits
    // into one sector.
    let text = format!(
        "The file of beaconry's journal that was begun last, by its number.\n\
         newest: {number:020}\n\
         again: {number:020}\n"
    );
    let is_new = !path.exists();
    let write = || {
        let file = File::open_or_create(&path)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.set_len(text.len() as u64)?;
        file.sync_all()
    };
    match write() {
        Ok(()) if is_new => sync_folder(folder),
        Ok(()) => Ok(()),
        Err(error) if is_full(&error) => {
            warn!(
                "cannot write {}: {error}. If the last file of the journal is missing at the next start, nobody notices",
                path.display()
            );
            Ok(())
        }
        Err(error) => Err(io_error("write to", &path)(error)),
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("newest")
}

fn parse(text: &str) -> Option<u64> {
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(name, _)| *name == key).map(|(_, value)| value)
    };
    let newest = value("newest")?.trim().parse().ok()?;
    // The first versions wrote the number only once.
    let is_same = value("again").is_none_or(|again| again.trim().parse() == Ok(newest));
    is_same.then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_last_is_read_and_nothing_else_is() {
        let folder = testbed::Folder::new();
        assert_eq!(read(folder.path()).unwrap(), None);
        for number in [1, 99_999_999, 2] {
            write(folder.path(), number).unwrap();
            assert_eq!(read(folder.path()).unwrap(), Some(number));
        }
        fs::write(path(folder.path()), "newest: 0004\n").unwrap();
        assert_eq!(read(folder.path()).unwrap(), Some(4));
        let bad_ones = [
            &b""[..],
            b"newest: x",
            b"newest: -1",
            b"\xff\xfe",
            // A digit has changed.
            b"newest: 0012\nagain: 0002\n",
            b"newest: 0002\nagain: 00\x002\n",
        ];
        for bad in bad_ones {
            fs::write(path(folder.path()), bad).unwrap();
            assert_eq!(read(folder.path()).unwrap(), None, "{bad:?}");
            // The next note corrects it.
            write(folder.path(), 7).unwrap();
            assert_eq!(read(folder.path()).unwrap(), Some(7));
        }
    }

    #[test]
    fn what_cannot_be_written_is_told_with_its_name() {
        let folder = testbed::Folder::new();
        fs::create_dir(path(folder.path())).unwrap();
        let error = write(folder.path(), 1).unwrap_err().to_string();
        assert!(error.contains("newest"), "{error}");
    }
}
