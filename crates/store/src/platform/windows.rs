//! Windows. The permissions of a folder apply to the files in it, and NTFS keeps names in a journal of
//! its own.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::windows::fs::FileExt;
use std::path::Path;

use super::Space;

/// Creates folders with the permissions of the folder above.
pub(crate) fn folder_builder() -> DirBuilder {
    DirBuilder::new()
}

/// Files get the permissions of their folder.
pub(crate) fn make_private_when_created(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Files get the permissions of their folder.
pub(crate) fn make_private(_file: &File) -> io::Result<()> {
    Ok(())
}

/// Fills `bytes` from byte `offset` of the file on.
pub(crate) fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.seek_read(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                bytes = &mut bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes all of `bytes` at byte `offset` of the file.
pub(crate) fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.seek_write(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The space on the disk that `folder` is on.
pub(crate) fn space_of(folder: &Path) -> io::Result<Space> {
    Ok(Space {
        free: fs4::available_space(folder)?,
        all: fs4::total_space(folder)?,
    })
}

/// Does nothing: Windows cannot open a folder as a file, and the file system's journal keeps names.
pub(crate) fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Always fails on Windows, so the store writes zeros instead.
pub(crate) fn reserve(_file: &File, _from: u64, _to: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a file could not be opened because too many are open.
pub(crate) fn is_out_of_files(error: &io::Error) -> bool {
    const ERROR_TOO_MANY_OPEN_FILES: i32 = 4;
    error.raw_os_error() == Some(ERROR_TOO_MANY_OPEN_FILES)
}
