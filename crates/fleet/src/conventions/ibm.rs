//! The topics of IBM's Internet of Things Platform, which outlived it. A device has a type and an id:
//!
//! | topic | payload |
//! |---|---|
//! | `iot-2/type/{type}/id/{id}/evt/{event}/fmt/{format}` | an event of the device, in any format |
//! | `iot-2/type/{type}/id/{id}/cmd/{command}/fmt/{format}` | a command to it |
//! | `iot-2/type/{type}/id/{id}/mon` | the platform's word on its connection: `Action` is `Connect` or `Disconnect` |
//!
//! The device is called `{type}/{id}`, so `presence/{type}/{id}` is its presence. An event's name goes before
//! the names of its values, except `status` and other names that say only that it is a message. Commands have no
//! answers here. A device's own short topics (`iot-2/evt/…`) name no device and are plain topics.

use super::plain::{is_message_level, is_presence_level, presence_or_values};
use super::{Name, Said, Speech, What};
use crate::TELEMETRY;
use crate::json;
use crate::options::FleetOptions;
use crate::payload::Payload;
use crate::presence::OfflineReason;
use crate::text::split_last_level;
use alloc::string::String;
use alloc::vec::Vec;

/// The convention. It learns nothing, because each topic says everything by itself.
#[derive(Debug)]
pub(super) struct Ibm;

impl Speech for Ibm {
    const NAME: &'static str = "IBM's topics";

    fn new(_options: &FleetOptions) -> Self {
        Self
    }

    /// Reads events, commands and the platform's word. A widget without telemetry follows the device's
    /// presence topic, which is a plain one.
    fn read<'a>(&self, topic: &'a str, payload: &Payload<'a>) -> Option<(Name<'a>, What<'a>)> {
        if !TELEMETRY {
            return None;
        }
        let (kind, rest) = topic.strip_prefix("iot-2/type/")?.split_once("/id/")?;
        let (id, rest) = rest.split_once('/')?;
        if !is_level(kind) || id.is_empty() {
            return None;
        }
        let mut levels = rest.splitn(5, '/');
        let mut next = || levels.next();
        let what = match (next(), next(), next(), next(), next()) {
            (Some("evt"), Some(event), Some("fmt"), Some(_), None) => of_event(event, payload),
            (Some("cmd"), Some(_), Some("fmt"), Some(_), None) => What::Nothing,
            (Some("mon"), None, ..) => What::Presence(of_connection(payload)?),
            _ => return None,
        };
        let name = Name {
            prefix: "".into(),
            id: [kind, "/", id].concat().into(),
        };
        Some((name, what))
    }

    /// Filters for the events, and for what the platform says. The id has the type in it.
    fn filters(name: &Name<'_>, filters: &mut Vec<String>) {
        let own = split_last_level(&name.id).filter(|(kind, _)| TELEMETRY && is_level(kind));
        let Some((kind, id)) = own else {
            return;
        };
        for what in ["/evt/#", "/mon"] {
            filters.push(["iot-2/type/", kind, "/id/", id, what].concat());
        }
    }
}

fn is_level(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}

fn of_event<'a>(event: &'a str, payload: &Payload<'a>) -> What<'a> {
    if !is_presence_level(event) {
        let stem = if is_message_level(event) { "" } else { event };
        return What::Values {
            stem: stem.into(),
            unit: None,
        };
    }
    let name = if payload.is_json() { "" } else { event };
    presence_or_values(payload, name)
}

/// What the platform says; `None` if it says neither.
fn of_connection(payload: &Payload<'_>) -> Option<Said> {
    let mut said = None;
    let read = json::each_member(payload.text, |member, value| {
        said = match (member, value) {
            ("Action", "\"Connect\"") => Some(Said::Online),
            ("Action", "\"Disconnect\"") => Some(Said::Offline(OfflineReason::SaidSo)),
            _ => return,
        };
    });
    read.ok().and(said)
}
