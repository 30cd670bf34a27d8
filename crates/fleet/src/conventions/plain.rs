//! Topics of no particular convention. The topic tells which device a message belongs to:
//!
//! 1. `presence/{id}` is the presence of `{id}`, which may have several levels.
//! 2. `sensors/{place}/{quantity}/{unit}` (or `sensor/…`) is the reading `{quantity}` of the
//!    device `{unit}` under the prefix `sensors/{place}`; when the last level is a unit of
//!    measurement (`celsius`), it is the reading's unit, and `sensors/{place}` is the device.
//! 3. A last level `status`, `availability`, `available`, `online`, `connected`, `connection`,
//!    `presence` or `LWT`, with a payload that says a presence, is the presence of what stands
//!    before it.
//! 4. Named values (JSON, `a=1 b=2`) belong to the whole topic, without a last level that only
//!    says what kind of message it is (`data`, `telemetry`, `state`, `SENSOR`, …); a last level
//!    that is a quantity (`temperature`) goes before their names.
//! 5. A single value belongs to what stands before the last level and is called like that level;
//!    a topic of one level is a device with the metric `value`.
//!
//! Two things are different everywhere. A slash at the beginning makes another topic, so the device
//! `/home/kitchen` is not `home/kitchen`. And what others send to a device says nothing about it: a topic
//! with the level `cmnd` or `request`, or whose last level or the one before is `set`, `get` or
//! `command`.
//!
//! So `home/kitchen` with JSON, `home/kitchen/temperature` with a number and
//! `home/kitchen/status` with `online` are one device, `home/kitchen`.

use super::{Name, Said, Speech, What, presence_word};
use crate::TELEMETRY;
use crate::options::FleetOptions;
use crate::payload::{Form, Payload};
use crate::presence::OfflineReason;
use crate::text::{contains, split_last_level};
use crate::units;
use alloc::string::String;
use alloc::vec::Vec;

/// The convention. It learns nothing, because each message says everything by itself.
#[derive(Debug)]
pub(super) struct Plain;

impl Speech for Plain {
    const NAME: &'static str = "plain topics";

    fn new(_options: &FleetOptions) -> Self {
        Self
    }

    /// Reads every message that follows no other convention.
    fn read<'a>(&self, topic: &'a str, payload: &Payload<'a>) -> Option<(Name<'a>, What<'a>)> {
        Some(read(topic, payload))
    }

    /// Filters for everything below the id, which begins with the prefix. Only a device of
    /// `sensors/{place}/{quantity}/{unit}` has its id behind the quantity.
    fn filters(name: &Name<'_>, filters: &mut Vec<String>) {
        let (place, unit) = match split_last_level(&name.id) {
            Some(own) => own,
            None => (&*name.prefix, &*name.id),
        };
        if TELEMETRY && is_sensor_place(place) {
            filters.push([place, "/+/", unit].concat());
        }
        let presence = match name.id.as_bytes() {
            [b'/', ..] => "/presence",
            _ => "presence/",
        };
        filters.push([presence, &*name.id].concat());
        filters.push([&*name.id, "/#"].concat());
    }
}

fn read<'a>(topic: &'a str, payload: &Payload<'a>) -> (Name<'a>, What<'a>) {
    let mut trimmed = topic;
    while let Some(rest) = trimmed.strip_suffix("/") {
        trimmed = rest;
    }
    let topic = if trimmed.is_empty() { topic } else { trimmed };
    let claim = |prefix, id, what| (Name::new(prefix, id), what);
    let (stem, last) = split_last_level(topic).unwrap_or(("", topic));
    if is_for_others(topic, stem) {
        return claim("", topic, What::Nothing);
    }

    if let Some(id) = topic.strip_prefix("presence/") {
        return claim("", id, presence_or_values(payload, "presence"));
    }
    let rooted = topic.strip_prefix("/presence");
    if let Some(id) = rooted.filter(|id| id.as_bytes().first() == Some(&b'/')) {
        return claim("", id, presence_or_values(payload, "presence"));
    }
    if let Some((place, quantity, unit)) = sensor_topic(topic) {
        // A widget without telemetry has no table of units. It gets such a topic only if it follows what
        // stands before the quantity.
        let symbol = TELEMETRY.then(|| units::symbol(unit)).flatten();
        let (prefix, id) = if TELEMETRY && symbol.is_none() {
            (place, unit)
        } else {
            ("", place)
        };
        let stem = quantity.into();
        return claim(prefix, id, What::Values { stem, unit: symbol });
    }
    if !stem.is_empty() && is_presence_level(last) {
        return claim("", stem, presence_or_values(payload, last));
    }
    if !stem.is_empty() && last == "state" && says_line(payload) {
        return claim("", stem, presence_or_values(payload, ""));
    }
    if payload.is_json() && is_will_of_owntracks(payload.text) {
        let lost = Said::Offline(OfflineReason::Lost);
        return claim("", topic, What::Presence(lost));
    }
    let named = match payload.form {
        Form::Json => true,
        Form::Pairs => !payload.is_nameless_pair(),
        Form::Empty | Form::Binary | Form::Number | Form::Text => false,
    };
    let (id, name) = if stem.is_empty() {
        (topic, "")
    } else if !named || is_one_of(last, QUANTITY_LEVELS) {
        (stem, last)
    } else if is_message_level(last) {
        (stem, "")
    } else {
        (topic, "")
    };
    claim(
        "",
        id,
        What::Values {
            stem: name.into(),
            unit: None,
        },
    )
}

const PRESENCE_LEVELS: &[&str] = &[
    "status",
    "availability",
    "available",
    "online",
    "connected",
    "connection",
    "presence",
    "lwt",
    "$state",
];

/// Whether the message is for a device, not from it.
fn is_for_others(topic: &str, stem: &str) -> bool {
    let mut left = topic.as_bytes();
    let mut index = 0;
    // By hand, because this is asked for every message.
    while !stem.is_empty() && !left.is_empty() {
        let level = left.iter().rposition(|byte| *byte == b'/');
        let (rest, level) = match level {
            Some(slash) => (&left[..slash], &left[slash + 1..]),
            None => (&left[..0], left),
        };
        match level {
            b"cmnd" | b"request" => return true,
            b"set" | b"get" | b"command" if index < 2 => return true,
            _ => {}
        }
        left = rest;
        index += 1;
    }
    false
}

/// Whether a payload on `…/state` is about the connection, and not whether a lamp is on.
fn says_line(payload: &Payload<'_>) -> bool {
    // Which word it is in the end, and where it stands, is checked when it is read.
    contains(payload.text, "nline") || contains(payload.text, "ffline")
}

/// `{"_type":"lwt",…}`, which `OwnTracks` sends as its will where it sends its positions.
fn is_will_of_owntracks(text: &str) -> bool {
    contains(text, "\"_type\"") && contains(text, "\"lwt\"")
}

/// Whether a last level of this name is where a presence is expected.
pub(super) fn is_presence_level(level: &str) -> bool {
    is_one_of(level, PRESENCE_LEVELS)
}

/// Whether a level of this name says only that it is a message.
pub(super) fn is_message_level(level: &str) -> bool {
    is_one_of(level, MESSAGE_LEVELS)
}

const MESSAGE_LEVELS: &[&str] = &[
    "data",
    "telemetry",
    "tele",
    "state",
    "states",
    "sensor",
    "sensors",
    "values",
    "value",
    "measurement",
    "measurements",
    "reading",
    "readings",
    "json",
    "up",
    "uplink",
    "event",
    "events",
    "attributes",
    "info",
    "report",
];

/// Quantities that are never the name of a thing. `power` or `light` may be a device.
const QUANTITY_LEVELS: &[&str] = &[
    "temperature",
    "temp",
    "humidity",
    "pressure",
    "voltage",
    "current",
    "frequency",
    "co2",
    "illuminance",
    "moisture",
    "speed",
    "distance",
    "weight",
];

fn is_one_of(level: &str, levels: &[&str]) -> bool {
    levels.iter().any(|known| known.eq_ignore_ascii_case(level))
}

/// `sensors/{place}`, `{quantity}` and `{unit}` of exactly four levels.
fn sensor_topic(topic: &str) -> Option<(&str, &str, &str)> {
    let own = topic.strip_prefix('/').unwrap_or(topic);
    if !own.starts_with("sensor") {
        return None;
    }
    let (rest, unit) = split_last_level(topic)?;
    let (place, quantity) = split_last_level(rest)?;
    (is_sensor_place(place) && !quantity.is_empty()).then_some((place, quantity, unit))
}

/// `sensors/{place}` or `sensor/{place}`.
fn is_sensor_place(place: &str) -> bool {
    let Some((kind, name)) = split_last_level(place) else {
        return false;
    };
    matches!(kind, "sensors" | "sensor" | "/sensors" | "/sensor") && !name.is_empty()
}

/// A presence if the payload says one, and otherwise values called `name`.
pub(super) fn presence_or_values<'a>(payload: &Payload<'a>, name: &'a str) -> What<'a> {
    if payload.is_json() {
        return What::PresenceObject {
            // A member `value` or one of the same name is the topic's own.
            otherwise: Some(name),
        };
    }
    let word = payload.text.trim_matches('"');
    let said = match word {
        "1" => Some(Said::Online),
        "0" => Some(Said::Offline(OfflineReason::SaidSo)),
        _ if word.eq_ignore_ascii_case("true") => Some(Said::Online),
        _ if word.eq_ignore_ascii_case("false") => Some(Said::Offline(OfflineReason::SaidSo)),
        _ => presence_word(word),
    };
    match said {
        Some(said) => What::Presence(said),
        None => What::Values {
            stem: name.into(),
            unit: None,
        },
    }
}
