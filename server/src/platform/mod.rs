//! What the server needs of the operating system beyond `std` and tokio: the only place in this crate
//! that asks which system it is. What the store needs is in the `platform` of its own crate.
//!
//! `unix.rs` and `windows.rs` have the same items. Where a system lacks something, the item's
//! documentation says what happens instead.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::{Signals, raise_open_files};
#[cfg(windows)]
pub(crate) use windows::{Signals, raise_open_files};
