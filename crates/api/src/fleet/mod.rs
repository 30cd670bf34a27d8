//! The devices, as `GET /api/v1/devices` and `GET /api/v1/changes` tell them.
//!
//! The server writes these types to its clients and into its store, and reads them again after a
//! restart. The page adopts them. So a device survives a reload of the page, and a restart of the
//! server, as one and the same value.

mod change;
mod device;
mod patch;
mod time;

pub use change::{Change, Changes};
pub use device::{
    Argument, Command, CommandProgress, Counts, Device, Devices, Fault, KnownCommand, Metric,
    Position, Presence, PresenceState, Rhythm, Scalar,
};
pub use patch::DevicePatch;
pub use time::{BadTime, Time};
