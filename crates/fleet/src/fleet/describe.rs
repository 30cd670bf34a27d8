//! Devices as the server's API describes them.
//!
//! What is described here, another fleet can adopt: see [`Fleet::adopt`].

use super::Fleet;
use crate::command::{Command, CommandState};
use crate::conventions;
use crate::device::{Device, DeviceKey};
use crate::fault::{Fault, FaultKind};
use crate::metric::{Metric, Unit, Value};
use crate::presence::{Presence, PresenceKind, PresenceSpan};
use crate::time::Timestamp;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use api::Time;
use api::fleet as api;

impl Fleet {
    /// Everything about a device but its commands: see [`Fleet::describe_commands`].
    ///
    /// The history may have as many entries as the option `max_presence_history`. An answer with many
    /// devices can do without it.
    pub fn describe(&self, key: DeviceKey) -> Option<api::Device> {
        let device = self.device(key)?;
        let (woke, slept) = device.rhythm.cycle();
        let interval_ms = device.interval_ms();
        let longest = Some(device.intervals.longest()).filter(|longest| *longest > 0);
        let id = device.full_id();
        Some(api::Device {
            prefix_len: id.len() - device.id.len(),
            id,
            name: device.id.to_string(),
            convention: device.convention.name().into(),
            presence: describe_span(&device.presence),
            history: device.history().map(describe_span).collect(),
            rhythm: api::Rhythm {
                interval_ms,
                cycle_ms: device.cycle_ms(),
                woke: woke.map(time),
                slept: slept && woke.is_some(),
                longest_ms: longest.filter(|_| interval_ms.is_none()),
            },
            position: device.position.map(|position| api::Position {
                lat: position.lat,
                lng: position.lng,
                time: time(position.at),
            }),
            topics: device.topic_filters(),
            client: self.client_of(key).map(String::from),
            first_seen: time(device.first_seen),
            last_seen: device.last_seen.map(time),
            messages: device.messages,
            metrics: describe_metrics(device),
            faults: device.faults.iter().map(describe_fault).collect(),
            known_commands: device
                .known_commands()
                .map(|known| api::KnownCommand {
                    name: known.name.into(),
                    destructive: known.destructive,
                    arguments: known.arguments.to_vec(),
                })
                .collect(),
            commands: Vec::new(),
            hidden: device.hidden,
            registered: device.registered,
            sends_values: device.sends_values,
            watched_from: (device.last_seen < Some(device.watched_from)
                && device.watched_from.0 > i64::MIN)
                .then_some(time(device.watched_from)),
        })
    }

    /// The commands to a device, newest first.
    pub fn describe_commands(&self, key: DeviceKey) -> Vec<api::Command> {
        let device = self.device(key).into_iter();
        device
            .flat_map(Device::commands)
            .map(describe_command)
            .collect()
    }

    /// One command to a device.
    pub fn describe_command(&self, key: DeviceKey, uuid: &str) -> Option<api::Command> {
        self.device(key)?.command(uuid).map(describe_command)
    }

    /// Whether a device is there.
    pub fn describe_presence(&self, key: DeviceKey) -> Option<api::Presence> {
        self.device(key)
            .map(|device| describe_span(&device.presence))
    }

    /// Its presences before, oldest first, ending with the one now.
    pub fn describe_history(&self, key: DeviceKey) -> Vec<api::Presence> {
        let device = self.device(key).into_iter();
        device
            .flat_map(Device::history)
            .map(describe_span)
            .collect()
    }

    /// One of a device's faults.
    pub fn describe_fault(&self, key: DeviceKey, kind: FaultKind) -> Option<api::Fault> {
        let mut faults = self.device(key)?.faults.iter();
        faults.find(|fault| fault.kind == kind).map(describe_fault)
    }

    /// How many devices are in each presence. Hidden devices do not count.
    pub const fn describe_counts(&self) -> api::Counts {
        let counts = &self.counts;
        api::Counts {
            online: counts.online(),
            sleeping: counts.sleeping(),
            stale: counts.stale(),
            offline: counts.offline(),
            unknown: counts.unknown(),
        }
    }
}

impl Device {
    /// The topic filters that together cover what it publishes about itself.
    pub fn topic_filters(&self) -> Vec<String> {
        if self.mixed {
            return conventions::topic_filters(&self.prefix, &self.id);
        }
        conventions::filters_of(self.convention, &self.name())
    }

    /// The topic filters that cover commands to it and its answers.
    pub fn command_filters(&self) -> Vec<String> {
        conventions::command_filters_of(self.convention, &self.name())
    }

    /// The topic filters that cover presence, commands and answers of all devices that speak as it does
    /// under its prefix. A subscriber to everything may ask for these with a higher quality of service.
    pub fn shared_filters(&self) -> Vec<String> {
        conventions::shared_filters_of(self.convention, &self.prefix)
    }
}

pub(super) const fn time(at: Timestamp) -> Time {
    Time(at.0)
}

fn describe_span(span: &PresenceSpan) -> api::Presence {
    let presence = &span.presence;
    let (reason, wakes_about) = match presence {
        Presence::Offline { reason, .. } => (Some(reason.word()), None),
        Presence::Unknown { reason, .. } => (Some(reason.word()), None),
        Presence::Sleeping { wakes_about, .. } => (None, *wakes_about),
        Presence::Online { .. } | Presence::Stale { .. } => (None, None),
    };
    api::Presence {
        state: match presence.kind() {
            PresenceKind::Online => api::PresenceState::Online,
            PresenceKind::Sleeping => api::PresenceState::Sleeping,
            PresenceKind::Stale => api::PresenceState::Stale,
            PresenceKind::Offline => api::PresenceState::Offline,
            PresenceKind::Unknown => api::PresenceState::Unknown,
        },
        reason: reason.map(String::from),
        since: time(presence.since()),
        exact: span.exact,
        wakes_about: wakes_about.map(time),
    }
}

/// All metrics, and the announced units of those that have not come yet.
fn describe_metrics(device: &Device) -> Vec<api::Metric> {
    let metrics = device.metrics.iter().map(describe_metric);
    let announced = device.announced_units.iter();
    let announced = announced.filter(|(of, _)| device.metric_named(of).is_none());
    let announced = announced.map(|(of, unit)| api::Metric {
        name: of.as_ref().into(),
        value: None,
        exact: None,
        unit: Some(unit.as_ref().into()),
        announced_unit: true,
        time: time(device.first_seen),
        arrived: None,
        retained: false,
        own_clock: false,
        every_ms: None,
    });
    metrics.chain(announced).collect()
}

fn describe_metric(metric: &Metric) -> api::Metric {
    // The mean gap is at most a day, and never negative.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let every_ms = (metric.gap_ms + 0.5) as u32;
    let value = match &metric.value {
        Value::Number(value) => api::Scalar::Number(*value),
        Value::Bool(value) => api::Scalar::Bool(*value),
        Value::Text(text) => api::Scalar::Text(text.as_ref().into()),
    };
    api::Metric {
        name: metric.name.as_ref().into(),
        value: metric.has_value.then_some(value),
        exact: metric.exact().map(String::from),
        unit: metric.unit().map(String::from),
        announced_unit: matches!(metric.unit, Unit::Announced(_)),
        time: time(metric.at),
        arrived: (metric.arrived != metric.at).then_some(time(metric.arrived)),
        retained: metric.retained,
        own_clock: metric.own_clock,
        every_ms: Some(every_ms).filter(|every| *every > 0),
    }
}

fn describe_fault(fault: &Fault) -> api::Fault {
    api::Fault {
        kind: fault.kind.word().into(),
        text: fault.text(),
        count: fault.count,
        time: time(fault.last_at),
        first: time(fault.first_at),
        excerpt: fault.excerpt.clone(),
    }
}

fn describe_command(command: &Command) -> api::Command {
    let progress = match &command.state {
        CommandState::Queued | CommandState::Sent | CommandState::Pending => {
            api::CommandProgress::Pending
        }
        CommandState::Answered {
            at,
            after_ms,
            ok,
            result,
        } => api::CommandProgress::Answered {
            time: time(*at),
            after_ms: *after_ms,
            ok: *ok,
            result: result.as_ref().into(),
        },
        CommandState::TimedOut { at } => api::CommandProgress::TimedOut { time: time(*at) },
        CommandState::Failed { at, why } => api::CommandProgress::Failed {
            time: time(*at),
            why: why.as_ref().into(),
        },
    };
    api::Command {
        uuid: command.uuid.as_ref().into(),
        name: command.name.as_ref().into(),
        payload: command.payload.as_ref().into(),
        created: time(command.created_at),
        sent: command.sent_at.map(time),
        progress,
    }
}
