//! `GET /api/v1/fleet?at=TIME`: all devices as they were then.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use ::history::{
    DEVICE, FAULT, LATITUDE, LONGITUDE, Moment, MomentValue, PRESENCE, View, metric_name,
};
use ::series::{OwnedValue, Value};
use api::fleet::{Counts, Device, Fault, Metric, Position, Presence, PresenceState, Time};
use api::history::FleetAt;
use axum::extract::{RawQuery, State};
use axum::response::Response;

use super::super::ApiError;
use super::super::query::Parameters;
use super::series::scalar;
use super::{answer, commands, presence, time};
use crate::http::Site;

const DAY: i64 = 86_400_000;
/// A fault is shown for as long as the fleet shows it.
const FAULTS: i64 = DAY;

pub(super) async fn fleet(
    State(site): State<Arc<Site>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let history = site.history()?;
    let now = site.now();
    let mut given = Parameters::read(query.as_deref(), &["at"])?;
    let at = given.parsed("at", time::TIMES, |text| time::parse(text, now))?;
    let at = at.ok_or(ApiError::BadParameter {
        name: "at",
        expected: time::TIMES,
    })?;
    answer(history, move |view| {
        let moment = view.moment(at)?;
        let faults = faults_at(view, at)?;
        let is_exact = moment.is_exact;
        let mut devices = devices(moment, at, &faults);
        devices.retain(|device| !device.hidden);
        let mut counts = Counts::default();
        for device in &devices {
            count(&mut counts, device.presence.state);
        }
        Ok(FleetAt {
            at: Time(at),
            now: Time(now),
            exact: is_exact,
            counts,
            total: devices.len(),
            devices,
        })
    })
    .await
}

/// `GET /api/v1/devices/{id}?at=TIME`
pub(in super::super) async fn one_at(
    site: &Site,
    id: String,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let history = site.history()?;
    let now = site.now();
    let mut given = Parameters::read(query, &["at"])?;
    let at = given.parsed("at", time::TIMES, |text| time::parse(text, now))?;
    let at = at.unwrap_or(now);
    answer(history, move |view| {
        let moment = view
            .moment_of_device(&id, at)?
            .ok_or(ApiError::NoSuchDevice)?;
        let mut faults = Faults::new();
        view.read_each(&id, FAULT, at - FAULTS, at + 1, |_, value| {
            if let Some(fault) = fault_of(value) {
                note_fault(&mut faults, &id, fault);
            }
            ControlFlow::Continue(())
        })?;
        let mut found = devices(moment, at, &faults);
        let mut device = found.pop().ok_or(ApiError::NoSuchDevice)?;
        let changes = presence::changes(view, &id, at - DAY, at + 1).unwrap_or_default();
        device.history = changes.into_iter().map(|(_, presence)| presence).collect();
        device.commands = commands::newest(view, &id, at - 30 * DAY, at + 1, i64::MAX, 50)?;
        Ok(device)
    })
    .await
}

/// The faults of each device, by kind.
type Faults = HashMap<String, HashMap<String, Fault>>;

fn faults_at(view: &View, at: i64) -> Result<Faults, ApiError> {
    let mut faults = Faults::new();
    view.read_everyone(FAULT, at - FAULTS, at + 1, fault_of, |device, found| {
        for (_, fault) in found {
            note_fault(&mut faults, device, fault);
        }
    })?;
    Ok(faults)
}

fn fault_of(value: Value<'_>) -> Option<Fault> {
    match value {
        Value::Text(text) => serde_json::from_str(text).ok(),
        Value::Number(_) | Value::Integer(_) | Value::Bool(_) => None,
    }
}

fn note_fault(faults: &mut Faults, device: &str, fault: Fault) {
    let of = faults.entry(device.to_owned()).or_default();
    let known = of
        .entry(fault.kind.clone())
        .or_insert_with(|| fault.clone());
    if known.time < fault.time {
        *known = fault;
    }
}

fn devices(moment: Moment, at: i64, faults: &Faults) -> Vec<Device> {
    let all = moment.devices.into_iter().filter_map(|(id, values)| {
        let mut device = device(&values)?;
        let of = faults.get(&id).into_iter().flat_map(HashMap::values);
        device.faults = of.cloned().collect();
        device
            .faults
            .sort_by_key(|fault| std::cmp::Reverse(fault.time));
        device.last_seen = device
            .metrics
            .iter()
            .map(|it| it.time)
            .max()
            .or(device.last_seen);
        device.last_seen = device.last_seen.filter(|seen| seen.0 <= at);
        Some(device)
    });
    all.collect()
}

/// A device from the last value of each of its columns. `None`: it was not known yet, or was forgotten.
fn device(values: &[MomentValue]) -> Option<Device> {
    let text_of = |name: &str| {
        let value = values.iter().find(|it| it.name == name)?;
        match &value.value {
            OwnedValue::Text(text) => Some(&**text),
            OwnedValue::Number(_) | OwnedValue::Integer(_) | OwnedValue::Bool(_) => None,
        }
    };
    let mut device: Device = serde_json::from_str(text_of(DEVICE)?).ok()?;
    if let Some(presence) = text_of(PRESENCE) {
        device.presence = serde_json::from_str::<Presence>(presence).ok()?;
    }
    let number_of = |name: &str| {
        let value = values.iter().find(|it| it.name == name)?;
        Some((value.time, value.value.borrow().as_number()?))
    };
    device.position = number_of(LATITUDE)
        .zip(number_of(LONGITUDE))
        .map(|(lat, lng)| Position {
            lat: lat.1,
            lng: lng.1,
            time: Time(lat.0.max(lng.0)),
        });
    let described = std::mem::take(&mut device.metrics);
    for value in values {
        let Some(name) = metric_name(&value.name) else {
            continue;
        };
        let known = described.iter().find(|metric| metric.name == name);
        let exact = match &value.value {
            OwnedValue::Integer(integer) => Some(integer.to_string()),
            OwnedValue::Number(_) | OwnedValue::Bool(_) | OwnedValue::Text(_) => None,
        };
        device.metrics.push(Metric {
            name: name.to_owned(),
            value: Some(scalar(&value.value)),
            exact,
            unit: value.unit.clone(),
            announced_unit: known.is_some_and(|metric| metric.announced_unit),
            time: Time(value.time),
            arrived: None,
            retained: false,
            own_clock: known.is_some_and(|metric| metric.own_clock),
            every_ms: known.and_then(|metric| metric.every_ms),
        });
    }
    // In the order in which the device says them.
    let place = |metric: &Metric| described.iter().position(|it| it.name == metric.name);
    device
        .metrics
        .sort_by_key(|metric| place(metric).unwrap_or(usize::MAX));
    Some(device)
}

const fn count(counts: &mut Counts, state: PresenceState) {
    match state {
        PresenceState::Online => counts.online += 1,
        PresenceState::Sleeping => counts.sleeping += 1,
        PresenceState::Stale => counts.stale += 1,
        PresenceState::Offline => counts.offline += 1,
        PresenceState::Unknown => counts.unknown += 1,
    }
}
