//! The broker among many clients, compared with a reference model.
//!
//! [`World`] puts a broker and `mqtt::Client`s on a seeded network that delays, tears, cuts and
//! falls silent. [`Model`] gets the same input as the broker. It works out in the plainest way
//! (lists, scans) what the broker has to send to every client. Each message that a client hears
//! must be one that the model expects, in its order. At the end, when the network has healed, no
//! expected message may be missing. About a message for a shared subscription the model only knows
//! that one member has to hear it, and that no other member may while that one has it.
//!
//! If the broker keeps records, a [`Disk`] makes them durable after a while, and the power may fail
//! at any time. The broker then restarts with what the disk has, and the model goes back to its
//! state when the last of those records was written.

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
