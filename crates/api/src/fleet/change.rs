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
#[serde(tag = "kind", rename_all = "lowercase", try_from = "Flat")]
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

/// A change as it is read. serde would read an enum with a tag through a value of its own, which
/// makes the code of everything within twice as large, and with it the page.
#[derive(Deserialize)]
struct Flat {
    kind: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    device: Option<Box<Device>>,
    #[serde(default)]
    presence: Option<Presence>,
    #[serde(default)]
    last_seen: Option<Time>,
    #[serde(default)]
    fault: Option<Fault>,
    #[serde(default)]
    command: Option<Command>,
}

impl TryFrom<Flat> for Change {
    type Error = &'static str;

    fn try_from(flat: Flat) -> Result<Self, Self::Error> {
        let id = flat.id.ok_or("a change without an id");
        Ok(match &*flat.kind {
            "device" => Self::Device {
                device: flat.device.ok_or("a change without its device")?,
            },
            "presence" => Self::Presence {
                id: id?,
                presence: flat.presence.ok_or("a change without its presence")?,
                last_seen: flat.last_seen,
            },
            "fault" => Self::Fault {
                id: id?,
                fault: flat.fault.ok_or("a change without its fault")?,
            },
            "command" => Self::Command {
                id: id?,
                command: flat.command.ok_or("a change without its command")?,
            },
            "gone" => Self::Gone { id: id? },
            "resync" => Self::Resync,
            _ => return Err("a change of an unknown kind"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    fn read(json: &str) -> Result<Change, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        let presence = r#"{"kind":"presence","id":"a/b","presence":{"state":"offline","reason":"lost","since":"2026-12-01T08:30:00.250Z"},"last_seen":"2026-12-01T08:29:00.000Z"}"#;
        let fault = r#"{"kind":"fault","id":"a","fault":{"kind":"not-json","text":"no","count":2,"time":"2026-12-01T08:30:00.000Z","first":"2026-12-01T08:30:00.000Z"}}"#;
        let command = r#"{"kind":"command","id":"a","command":{"uuid":"u","name":"PING","payload":"{}","created":"2026-12-01T08:30:00.000Z","progress":{"state":"answered","time":"2026-12-01T08:30:00.000Z","after_ms":7,"ok":true,"result":"\"PONG\""}}}"#;
        let device = r#"{"kind":"device","device":{"id":"a","prefix_len":0,"name":"a","convention":"plain","presence":{"state":"unknown","since":"2026-12-01T08:30:00.000Z"},"topics":["a/#"],"first_seen":"2026-12-01T08:30:00.000Z","messages":1,"metrics":[{"name":"on","value":true,"time":"2026-12-01T08:30:00.000Z"},{"name":"t","value":21.5,"time":"2026-12-01T08:30:00.000Z"},{"name":"door","value":"open","time":"2026-12-01T08:30:00.000Z"},{"name":"x","value":null,"time":"2026-12-01T08:30:00.000Z"}]}}"#;
        let gone = r#"{"kind":"gone","id":"a"}"#;
        for json in [
            presence,
            fault,
            command,
            device,
            gone,
            r#"{"kind":"resync"}"#,
        ] {
            let change = read(json).unwrap();
            assert_eq!(serde_json::to_string(&change).unwrap(), json);
        }
    }

    #[test]
    fn what_lacks_something_is_refused() {
        for (json, why) in [
            (r#"{"kind":"gone"}"#, "without an id"),
            (r#"{"kind":"presence","id":"a"}"#, "without its presence"),
            (r#"{"kind":"device"}"#, "without its device"),
            (r#"{"kind":"song","id":"a"}"#, "unknown kind"),
            (r#"{"id":"a"}"#, "kind"),
        ] {
            let error = read(json).unwrap_err();
            assert!(error.contains(why), "{json}: {error}");
        }
    }
}
