//! The broker among many clients, held against a reference model.
//!
//! [`World`] puts a broker and `mqtt::Client`s on a seeded network that delays, tears, cuts
//! and falls silent. [`Model`] is fed what the broker is fed, and says in the plainest way
//! (lists, scans) what every client has to be sent. Each message that a client hears must be
//! one that the model expects, in its order; in the end, on a network that has healed,
//! nothing expected may be missing. Of a message for a shared subscription the model knows
//! only that one member has to hear it, and that no other may while that one has it.
//!
//! Where the broker keeps records, a [`Disk`] makes them durable after a while, and the power
//! may fail at any time: the broker begins anew with what the disk has, and the model with
//! what it was when the last record of that was written.

mod disk;
mod expected;
mod groups;
mod members;
mod model;
mod past;
mod rewind;
mod sharing;
mod split;
mod world;

pub use disk::Disk;
pub use expected::{Expectations, Expected};
pub use model::Model;
pub use world::{Crashes, Report, Setting, World};
