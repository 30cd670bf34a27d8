//! What other crates that keep files need: calls that depend on the operating system, in one place.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::error::StoreError;
use crate::{disk, folder, platform};

/// Creates a file that only its owner can read, or empties it.
///
/// # Errors
///
/// The system refuses.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).read(true).create(true).truncate(true);
    platform::make_private_when_created(&mut options).open(path)
}

/// Creates a folder that only its owner can read, if it does not exist.
///
/// # Errors
///
/// [`StoreError`] names the folder.
pub fn create_folder(path: &Path) -> Result<(), StoreError> {
    folder::create_folder(path)
}

/// Waits until the names of the files in a folder are on the disk.
///
/// # Errors
///
/// The system refuses.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    disk::sync_folder(path)
}

/// Reads bytes from a place of a file, without moving the file's own position.
///
/// # Errors
///
/// The file ends before, or the system refuses.
pub fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    platform::read_exact_at(file, bytes, offset)
}

/// Bytes that the disk of a folder has free for this program.
///
/// # Errors
///
/// The system refuses.
pub fn free_space(folder: &Path) -> io::Result<u64> {
    Ok(platform::space_of(folder)?.free)
}

/// Whether an error says that the disk is full. It may pass.
pub fn is_full(error: &io::Error) -> bool {
    crate::error::is_full(error)
}
