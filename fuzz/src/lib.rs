//! What the fuzz targets do with their input, apart from libFuzzer. So a test can replay the kept
//! inputs, and a debugger can run a finding.
//!
//! Each module has one function `run(data)`, which panics when something is wrong. CONTRIBUTING.md
//! says how to run the targets.

pub mod broker;
pub mod client;
pub mod journal;
pub mod messages;
mod onlooker;
pub mod packets;
mod script;
pub mod segments;
pub mod series;
pub mod topics;
pub mod websocket;

pub use script::{Pen, Script};
use segments::harm;
