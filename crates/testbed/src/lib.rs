//! For tests and measurements: folders that go away by themselves, a server as a process, and
//! what it says over HTTP.
//!
//! **Invariant.** Nothing outlives the test: what is started here ends, and what is made here is
//! removed, when its value is dropped; and nothing is waited for longer than [`PATIENCE`].
//!
//! ```
//! let folder = testbed::Folder::new();
//! std::fs::write(folder.path().join("file"), "text").unwrap();
//! let path = folder.path().to_owned();
//! drop(folder);
//! assert!(!path.exists());
//! ```

// Nothing here ships: what cannot happen may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod folder;
mod http;
mod server;

pub use folder::Folder;
pub use http::{Answer, metric, request, request_with};
pub use server::{PATIENCE, Server, program};
