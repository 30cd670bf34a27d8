//! What the server remembers: the answers of the history routes.
//!
//! Points are arrays, because a chart has thousands of them. Their times are in milliseconds since 1970.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::de::{Deserializer, Error as _};
use serde::ser::{SerializeSeq as _, Serializer};
use serde::{Deserialize, Serialize};

use super::fleet::{Command, Counts, Device, Presence, PresenceState, Scalar, Time};

/// The answer of `GET /api/v1/devices/{id}/metrics/{metric}`: one metric over a range of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The device's `id`.
    pub device: String,
    /// The metric's name.
    pub metric: String,
    /// The unit's symbol, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The time that one point stands for, in milliseconds. 0: each point is one value as it came.
    pub resolution_ms: i64,
    /// Whether each point is one value as it came.
    pub raw: bool,
    /// The points, in the order of their times.
    pub points: Vec<Point>,
    /// How long each state lasted in each span, of texts and of true and false, if `raw` is false.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<StateSpan>,
    /// Parts of the range for which something was stored that cannot be read any more: `[from, to]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<(i64, i64)>,
}

/// How long each state lasted in a span: when the span begins, in milliseconds since 1970, and the milliseconds of
/// each state.
pub type StateSpan = (i64, BTreeMap<String, i64>);

/// The answer of `GET /api/v1/series`: several metrics over one range of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManySeries {
    /// Where the range begins.
    pub from: Time,
    /// Where it ends. A value at this very time is not in it.
    pub to: Time,
    /// One for each that was asked for, in that order.
    pub series: Vec<Series>,
}

/// A point of a chart.
#[derive(Clone, Debug, PartialEq)]
pub enum Point {
    /// One value as it came: `[time_ms, value]`.
    Value(i64, Scalar),
    /// Several values: `[time_ms, first, min, max, last, count]`.
    Span {
        /// Where the span begins, in milliseconds since 1970.
        time: i64,
        /// The first value.
        first: f64,
        /// The smallest value.
        min: f64,
        /// The largest value.
        max: f64,
        /// The last value.
        last: f64,
        /// How many values there are.
        count: u64,
    },
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(time, value) => (time, value).serialize(serializer),
            Self::Span {
                time,
                first,
                min,
                max,
                last,
                count,
            } => {
                let mut seq = serializer.serialize_seq(Some(6))?;
                seq.serialize_element(time)?;
                for value in [first, min, max, last] {
                    seq.serialize_element(value)?;
                }
                seq.serialize_element(count)?;
                seq.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> serde::de::Visitor<'de> for Parts {
            type Value = Point;

            fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str("[time, value] or [time, first, min, max, last, count]")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Point, A::Error> {
                let short = || A::Error::custom("a point has 2 or 6 elements");
                let time = seq.next_element()?.ok_or_else(short)?;
                let first: Scalar = seq.next_element()?.ok_or_else(short)?;
                let Some(min) = seq.next_element()? else {
                    return Ok(Point::Value(time, first));
                };
                let Scalar::Number(first) = first else {
                    return Err(A::Error::custom("the first value of a span is a number"));
                };
                Ok(Point::Span {
                    time,
                    first,
                    min,
                    max: seq.next_element()?.ok_or_else(short)?,
                    last: seq.next_element()?.ok_or_else(short)?,
                    count: seq.next_element()?.ok_or_else(short)?,
                })
            }
        }

        deserializer.deserialize_seq(Parts)
    }
}

/// The answer of `GET /api/v1/devices/{id}/presence`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PresenceHistory {
    /// The device's `id`.
    pub device: String,
    /// Its presences, oldest first. The first is the one at the beginning of the range, so it may have begun
    /// before.
    pub changes: Vec<Presence>,
    /// What the range sums up to.
    pub summary: PresenceSummary,
    /// The days of the range, oldest first, if the question asks for days.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<PresenceDay>,
}

/// A range of time in sums.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresenceSummary {
    /// Milliseconds in each state.
    pub times: PresenceTimes,
    /// How often it went: from online, stale or sleeping to offline.
    pub drops: u64,
    /// The longest time offline, in milliseconds.
    pub longest_outage_ms: i64,
}

/// Milliseconds in each state. What is missing to the whole range is time of which nothing is known.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // A field is named as its state.
pub struct PresenceTimes {
    pub online: i64,
    pub sleeping: i64,
    pub stale: i64,
    pub offline: i64,
    pub unknown: i64,
}

/// A day of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PresenceDay {
    /// When the day begins.
    pub start: Time,
    /// Milliseconds in each state.
    pub times: PresenceTimes,
    /// How often it went offline.
    pub drops: u64,
    /// The reasons for which it was away, as the words in docs/api.md, the longest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// The answer of `GET /api/v1/devices/{id}/track`: where a device was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Track {
    /// The device's `id`.
    pub device: String,
    /// `[time_ms, latitude, longitude]` in degrees, oldest first.
    pub points: Vec<(i64, f64, f64)>,
}

/// The answer of `GET /api/v1/devices/{id}/commands`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandHistory {
    /// The device's `id`.
    pub device: String,
    /// The commands, newest first, each as it was at the end of the range.
    pub commands: Vec<CommandStory>,
    /// If there are more: the parameter `before` of the question that continues here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A command with each step that it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandStory {
    /// The command, and how far it has got.
    #[serde(flatten)]
    pub command: Command,
    /// Who sent it: a client identifier, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_by: Option<String>,
    /// Its steps, oldest first.
    pub steps: Vec<CommandStep>,
}

/// A step of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandStep {
    /// What happened: `accepted`, `waiting` (the device sleeps or is away, the broker keeps it), `delivered`,
    /// `answered`, `failed`, `timed-out`.
    pub step: String,
    /// When.
    pub time: Time,
}

/// The answer of `GET /api/v1/messages` and `GET /api/v1/devices/{id}/messages`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Messages {
    /// The messages, newest first.
    pub messages: Vec<Message>,
    /// If there may be more: the parameter `before` of the question that continues here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Where the server looked last. Between this and the newest message, these are all that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_back_to: Option<Time>,
}

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// When it came.
    pub time: Time,
    /// Its topic.
    pub topic: String,
    /// The payload, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The payload in base64, if it is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// The payload's length in bytes. The payload here is shorter if it was cut.
    pub bytes: u64,
    /// The quality of service by which it came.
    #[serde(default)]
    pub qos: u8,
    /// Whether the broker was asked to retain it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub retain: bool,
    /// The client that published it, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// The answer of `GET /api/v1/fleet?at=TIME`: all devices as they were then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FleetAt {
    /// The time that was asked for.
    pub at: Time,
    /// The server's time now.
    pub now: Time,
    /// Whether values are exact. Otherwise the raw data of that time is gone, and each value is the last of
    /// its minute.
    pub exact: bool,
    /// How many devices were in each state.
    pub counts: Counts,
    /// How many devices there were.
    pub total: usize,
    /// The devices. A device that was first seen later is not in it.
    pub devices: Vec<Device>,
}

/// The answer of `GET /api/v1/fleet/marks`: when devices came and went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    /// Where the range begins.
    pub from: Time,
    /// Where it ends.
    pub to: Time,
    /// The time that one mark stands for, in milliseconds.
    pub resolution_ms: i64,
    /// `[time_ms, came, went, faults]` for each span in which something happened.
    pub marks: Vec<(i64, u64, u64, u64)>,
}

/// The answer of `GET /api/v1/history`: what the server remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryInfo {
    /// How it does.
    pub state: HistoryState,
    /// The oldest value that is kept as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_since: Option<Time>,
    /// The oldest rollup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollups_since: Option<Time>,
    /// The oldest message in the raw log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_since: Option<Time>,
    /// How long values are kept as they came, in milliseconds.
    pub raw_ms: i64,
    /// How long rollups are kept, in milliseconds.
    pub rollups_ms: i64,
    /// Metrics that it knows.
    pub series: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// The most bytes on the disk.
    pub max_bytes: u64,
}

/// Whether the server records.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryState {
    /// It does.
    Recording,
    /// The disk is full: nothing is recorded until there is room.
    DiskFull,
    /// It has failed, as its log says.
    Failed,
}

impl PresenceTimes {
    /// The milliseconds in this state.
    pub const fn of(&self, state: PresenceState) -> i64 {
        match state {
            PresenceState::Online => self.online,
            PresenceState::Sleeping => self.sleeping,
            PresenceState::Stale => self.stale,
            PresenceState::Offline => self.offline,
            PresenceState::Unknown => self.unknown,
        }
    }

    /// Adds time to a state.
    pub const fn add(&mut self, state: PresenceState, ms: i64) {
        match state {
            PresenceState::Online => self.online += ms,
            PresenceState::Sleeping => self.sleeping += ms,
            PresenceState::Stale => self.stale += ms,
            PresenceState::Offline => self.offline += ms,
            PresenceState::Unknown => self.unknown += ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn points_are_read_as_they_were_written() {
        let json = r#"{"device":"a/b","metric":"t","unit":"°C","resolution_ms":0,"raw":true,"points":[[1,21.5],[2,true],[3,"open"],[4,1.0,0.5,2.0,1.5,60]],"states":[[0,{"open":59000,"shut":1000}]]}"#;
        let series: Series = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&series).unwrap(), json);
        assert_eq!(series.points.len(), 4);
    }

    #[test]
    fn a_point_of_another_length_is_refused() {
        for json in [
            "[]",
            "[1]",
            "[1,2,3]",
            "[1,true,0,1,2,3]",
            "[1,2,3,4,5,6,7]",
            "1",
        ] {
            let read: Result<Point, _> = serde_json::from_str(json);
            assert!(read.is_err(), "{json}");
        }
        let error = serde_json::from_str::<Point>("[1,true,0,1,2,3]").unwrap_err();
        assert!(error.to_string().contains("first value"), "{error}");
    }
}
