//! For tests and measurements: temporary folders, the server as a process, and its answers over
//! HTTP.
//!
//! **Invariant.** Nothing outlives the test. Dropping a value ends its process or removes its
//! folder, and nothing waits for longer than [`PATIENCE`].
//!
//! ```
//! let folder = testbed::Folder::new();
//! std::fs::write(folder.path().join("file"), "text").unwrap();
//! let path = folder.path().to_owned();
//! drop(folder);
//! assert!(!path.exists());
//! ```

// Nothing here ships, so what cannot happen may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod folder;
mod http;
mod platform;
mod server;

pub use folder::Folder;
pub use http::{Answer, metric, request, request_body, request_with};
pub use platform::Signal;
pub use server::{PATIENCE, Server, program};
