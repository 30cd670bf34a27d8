//! One device, and a page of devices.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use super::Time;

/// The answer of `GET /api/v1/devices`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Devices {
    /// The server's time now.
    pub now: Time,
    /// Where the changes after this answer begin: the parameter `after` of `GET /api/v1/changes`.
    pub cursor: String,
    /// How many devices the server knows in each state, whatever was asked for. Hidden devices do
    /// not count.
    pub counts: Counts,
    /// How many devices fit the question. This answer may have only some of them.
    pub total: usize,
    /// The devices.
    pub devices: Vec<Device>,
    /// If there are more: the parameter `after` of the question that continues here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How many devices are in each state.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // A field is named as its state.
pub struct Counts {
    pub online: usize,
    pub sleeping: usize,
    pub stale: usize,
    pub offline: usize,
    pub unknown: usize,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Prefix and id joined by `/`, as in the page's address.
    pub id: String,
    /// How many bytes of `id` are the prefix, with its slash. 0: there is no prefix.
    #[serde(default)]
    pub prefix_len: usize,
    /// The name for people. As long as nothing gives it another one, it is the id without its prefix.
    pub name: String,
    /// How it speaks: the name of a convention.
    pub convention: String,
    /// Whether it is there.
    pub presence: Presence,
    /// Its presences before, oldest first, ending with the one now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Presence>,
    /// What was learnt of when it sends.
    #[serde(default, skip_serializing_if = "Rhythm::is_unknown")]
    pub rhythm: Rhythm,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The topic filters that together cover what it publishes about itself.
    pub topics: Vec<String>,
    /// The client identifier of the one client that publishes for it. Nothing, if there are several,
    /// or if too little was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// When the first message about it came.
    pub first_seen: Time,
    /// When it last sent something itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Time>,
    /// How many messages came from it.
    #[serde(default)]
    pub messages: u64,
    /// Its latest values.
    pub metrics: Vec<Metric>,
    /// What is or was wrong with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// The commands that it announced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_commands: Vec<KnownCommand>,
    /// Commands to it and their answers, newest first. Only the answer for a single device has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<Command>,
    /// Whether somebody has hidden it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub hidden: bool,
    /// What only a restart needs: whether the device, its will or its broker has reported its presence,
    /// and whether its silence means something because it sends values.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub registered: bool,
    /// See `registered`.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub sends_values: bool,
    /// Its silence before this does not count, because its client has come back since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched_from: Option<Time>,
}

/// Whether a device is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// One of the five states.
    pub state: PresenceState,
    /// Why, as one of the words in docs/api.md: `said-so`, `keep-alive`, `server-restarted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub since: Time,
    /// Whether it began at `since`. Otherwise it may have begun earlier.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub exact: bool,
    /// A sleeping device: when it is expected back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wakes_about: Option<Time>,
}

const fn yes() -> bool {
    true
}

// serde asks with a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_yes(value: &bool) -> bool {
    *value
}

/// The five states of presence.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // docs/api.md and `fleet::Presence` say what each means.
pub enum PresenceState {
    Online,
    Sleeping,
    Stale,
    Offline,
    Unknown,
}

/// When a device sends, as far as it was learnt. Times are in milliseconds.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rhythm {
    /// The median time between its messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_ms: Option<i64>,
    /// The time from one waking to the next, of a device that sleeps in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle_ms: Option<i64>,
    /// When it last woke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub woke: Option<Time>,
    /// Whether it has fallen asleep since it woke.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub slept: bool,
    /// The longest time between its messages, as long as too few came for `interval_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_ms: Option<i64>,
}

impl Rhythm {
    /// Nothing was learnt.
    pub const fn is_unknown(&self) -> bool {
        self.interval_ms.is_none()
            && self.cycle_ms.is_none()
            && self.woke.is_none()
            && self.longest_ms.is_none()
    }
}

/// Where a device is.
#[derive(Copy, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Degrees north, -90 to 90.
    pub lat: f64,
    /// Degrees east, -180 to 180.
    pub lng: f64,
    /// When it was there.
    pub time: Time,
}

/// The latest value of a metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name: members joined by dots, as the device writes them.
    pub name: String,
    /// The value. `None`: the device cleared it, or announced the metric only.
    pub value: Option<Scalar>,
    /// The number as the device wrote it, where a `f64` cannot hold it exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// The unit's symbol, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Whether the device announced the unit itself.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub announced_unit: bool,
    /// When it was measured: by the device's clock, or else when it arrived.
    pub time: Time,
    /// When it arrived, if that differs from `time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrived: Option<Time>,
    /// Whether the broker had retained it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub retained: bool,
    /// Whether `time` is by the device's own clock.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub own_clock: bool,
    /// The mean time between its values in milliseconds, in which the latest count most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u32>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[allow(missing_docs)] // The variants say it.
pub enum Scalar {
    Bool(bool),
    Number(f64),
    Text(String),
}

// By hand: serde would read an enum without a tag through a value of its own, and the page would be
// larger.
impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        // Whole numbers beyond 2^53 have their digits in `Metric::exact`.
        #[allow(clippy::cast_precision_loss)]
        impl Visitor<'_> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a truth value, a number or a text")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar::Bool(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value as f64))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value as f64))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value))
            }

            fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(value.into()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Something that is or was wrong with a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which kind: a word of docs/api.md.
    pub kind: String,
    /// What is wrong, for people.
    pub text: String,
    /// How often.
    pub count: u64,
    /// When last.
    pub time: Time,
    /// When first.
    pub first: Time,
    /// The beginning of the payload.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub excerpt: String,
}

/// A command that a device understands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownCommand {
    /// Its name.
    pub name: String,
    /// Whether a person should confirm it first: it destroys or interrupts something.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub destructive: bool,
    /// What it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<Argument>,
}

/// An argument of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Argument {
    /// The member of the command's JSON object.
    pub name: String,
    /// `number`, `integer`, `boolean` or `string`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The unit's symbol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The least number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// What it is if nobody says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Scalar>,
}

/// A command that was given to a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Its uuid, which the answer carries too.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// What was sent: JSON.
    pub payload: String,
    /// When it was first seen.
    pub created: Time,
    /// When it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Time>,
    /// How far it has got.
    pub progress: CommandProgress,
}

/// How far a command has got.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase", try_from = "Flat")]
pub enum CommandProgress {
    /// The answer is awaited.
    Pending,
    /// The device has answered.
    Answered {
        /// When.
        time: Time,
        /// The round trip in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_ms: Option<i64>,
        /// Whether the device reports success.
        ok: bool,
        /// The answer as JSON. A long one is cut, and then is no JSON any more.
        result: String,
    },
    /// No answer came in time.
    #[serde(rename = "timed out")]
    TimedOut {
        /// When the waiting ended.
        time: Time,
    },
    /// It could not be sent.
    Failed {
        /// When.
        time: Time,
        /// Why, for people.
        why: String,
    },
}

/// A command's progress as it is read: see `Flat` in `change.rs`.
#[derive(Deserialize)]
struct Flat {
    state: String,
    #[serde(default)]
    time: Option<Time>,
    #[serde(default)]
    after_ms: Option<i64>,
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    result: String,
    #[serde(default)]
    why: String,
}

impl TryFrom<Flat> for CommandProgress {
    type Error = &'static str;

    fn try_from(flat: Flat) -> Result<Self, Self::Error> {
        let time = flat.time.ok_or("a command's end without its time");
        Ok(match &*flat.state {
            "pending" => Self::Pending,
            "answered" => Self::Answered {
                time: time?,
                after_ms: flat.after_ms,
                ok: flat.ok,
                result: flat.result,
            },
            "timed out" => Self::TimedOut { time: time? },
            "failed" => Self::Failed {
                time: time?,
                why: flat.why,
            },
            _ => return Err("a command in an unknown state"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_back_to_its_last_digit() {
        for number in [
            9_007_199_254_740_991.0,
            12_345.678,
            0.1 + 0.2,
            5e-324,
            1.2e19,
        ] {
            let json = serde_json::to_string(&Scalar::Number(number));
            let read = json.and_then(|json| serde_json::from_str(&json));
            assert_eq!(read.ok(), Some(Scalar::Number(number)), "{number}");
        }
    }
}
