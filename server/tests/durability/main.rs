//! What was acknowledged survives, whatever happens to the process, the disk or the files.

// Nothing here ships, so what cannot happen may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod client;
mod disks;
mod drained;
mod faults;
mod full;
mod groups;
mod history;
mod kills;
mod publisher;
mod server;
mod stage;
mod subscriber;
mod wills;
