//! What the store needs from the operating system beyond `std`. Only this module asks which system it
//! runs on.
//!
//! `unix.rs` and `windows.rs` have the same functions. Where a system lacks something, the function
//! says so, and the store works without it.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{
    folder_builder, is_out_of_files, make_private, make_private_when_created, read_exact_at,
    reserve, space_of, sync_folder, write_all_at,
};
#[cfg(windows)]
pub(crate) use windows::{
    folder_builder, is_out_of_files, make_private, make_private_when_created, read_exact_at,
    reserve, space_of, sync_folder, write_all_at,
};

/// How large a disk is.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Space {
    /// Bytes that this process may still write.
    pub(crate) free: u64,
    /// All bytes, used and free.
    pub(crate) all: u64,
}
