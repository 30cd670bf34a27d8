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
//! So `home/kitchen` with JSON, `home/kitchen/temperature` with a number and
//! `home/kitchen/status` with `online` are one device, `home/kitchen`.

use super::{Name, Said, Speech, What, presence_word};
use crate::options::FleetOptions;
use crate::payload::{Form, Payload};
use crate::presence::OfflineReason;
use crate::text::split_last_level;
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

    /// Filters for everything below the id. The prefix of a plain device is part of its id.
    fn filters(name: &Name<'_>, filters: &mut Vec<String>) {
        filters.push(["presence/", &*name.id].concat());
        filters.push([&*name.id, "/#"].concat());
    }
}

fn read<'a>(topic: &'a str, payload: &Payload<'a>) -> (Name<'a>, What<'a>) {
    let trimmed = topic.trim_matches('/');
    let topic = if trimmed.is_empty() { topic } else { trimmed };
    let claim = |prefix, id, what| (Name::new(prefix, id), what);
    if payload.form == Form::Empty {
        return claim("", topic, What::Nothing);
    }
    let (stem, last) = split_last_level(topic).unwrap_or(("", topic));

    if let Some(id) = topic.strip_prefix("presence/") {
        return claim("", id, presence_or_values(payload, "presence"));
    }
    if let Some((place, quantity, unit)) = sensor_topic(topic) {
        return match units::symbol(unit) {
            Some(symbol) => {
                let what = What::Values {
                    stem: quantity.into(),
                    unit: Some(symbol),
                };
                claim("", place, what)
            }
            None => claim(
                place,
                unit,
                What::Values {
                    stem: quantity.into(),
                    unit: None,
                },
            ),
        };
    }
    if !stem.is_empty() && is_one_of(last, PRESENCE_LEVELS) {
        return claim("", stem, presence_or_values(payload, last));
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
    } else if is_one_of(last, MESSAGE_LEVELS) {
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
];

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
    if !topic.starts_with("sensors/") && !topic.starts_with("sensor/") {
        return None;
    }
    let (rest, unit) = split_last_level(topic)?;
    let (place, quantity) = split_last_level(rest)?;
    let (_, name) = place.split_once('/')?;
    let whole = !name.is_empty() && !name.bytes().any(|byte| byte == b'/') && !quantity.is_empty();
    whole.then_some((place, quantity, unit))
}

/// A presence if the payload says one, and otherwise values called `name`.
fn presence_or_values<'a>(payload: &Payload<'a>, name: &'a str) -> What<'a> {
    if payload.is_json() {
        return What::PresenceObject {
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
