//! What `GET /api/v1/changes` tells.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Command, Counts, Device, Fault, Presence, Time};

/// Several changes that happened after each other: the data of one server-sent event. The event's id
/// is the cursor behind them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// The server's time now.
    pub now: Time,
    /// How many devices are in each state now.
    pub counts: Counts,
    /// The changes, oldest first.
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Change {
    /// A device is new, or has changed in more than its values: metrics, units, known commands, its
    /// convention, its client, or whether it is hidden.
    Device {
        /// The device now.
        device: Box<Device>,
    },
    /// A device's presence has changed.
    Presence {
        /// Its `id`.
        id: String,
        /// Its presence now.
        presence: Presence,
        /// When it last sent something itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_seen: Option<Time>,
    },
    /// Something is wrong with a device.
    Fault {
        /// Its `id`.
        id: String,
        /// What is wrong.
        fault: Fault,
    },
    /// A command is new, or has got further.
    Command {
        /// The device's `id`.
        id: String,
        /// The command now.
        command: Command,
    },
    /// A device was forgotten.
    Gone {
        /// Its `id`.
        id: String,
    },
    /// The server does not have all changes after the cursor any more: ask for the devices again.
    Resync,
}
