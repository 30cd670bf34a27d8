//! What the server needs from the operating system beyond `std` and tokio. Only this module asks
//! which system it runs on. The store has such a module of its own.
//!
//! `unix.rs` and `windows.rs` define the same items. Where a system lacks something, the item's
//! documentation says what happens instead.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{Signals, hold_little_unsent, raise_open_files, terminal_size};
#[cfg(windows)]
pub(crate) use windows::{Signals, hold_little_unsent, raise_open_files, terminal_size};
