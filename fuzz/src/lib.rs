//! What the fuzz targets do with their input, apart from libFuzzer: so a test can replay the kept
//! inputs, and a finding can be looked at in a debugger.
//!
//! Each module has one function `run(data)`, which panics when something is wrong. How to run them is
//! in CONTRIBUTING.md.

pub mod broker;
pub mod client;
pub mod journal;
pub mod packets;
mod script;
pub mod segments;
pub mod topics;
pub mod websocket;

pub use script::{Pen, Script};
