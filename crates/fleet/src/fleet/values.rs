//! How values become metrics, samples and positions.

use super::{Fleet, Message, Source, recording};
use crate::clock;
use crate::conventions::{Claim, Conventions, Role, own_name};
use crate::device::{Device, DeviceKey, Position};
use crate::display::shorten;
use crate::event::Dirty;
use crate::fault::FaultKind;
use crate::limits::{Account, Budget, Limit};
use crate::metric::{Metric, Unit, Value};
use crate::payload::number_in_text;
use crate::readings::{Readings, Scalar};
use crate::time::{OwnClock, Timestamp, millis, own_clock_from_number, own_clock_from_text};
use crate::{TIES, units};

/// What a value is for, by its name in the payload.
pub(super) fn role<'a>(
    conventions: &Conventions,
    claim: &Claim<'_>,
    stem: &str,
    name: &'a str,
) -> Role<'a> {
    let own = own_name(name, stem);
    if let "ts" | "tst" | "timestamp" | "time" | "Time" | "Timestamp" = own {
        return Role::OwnClock;
    }
    if let Some(role) = conventions.role(claim.convention, &claim.name, own) {
        return role;
    }
    // All of the names below end so. To look for the last dot is slow.
    if !matches!(own.as_bytes().last(), Some(b't' | b'e' | b'g' | b'n')) {
        return Role::Metric;
    }
    match own.rsplit('.').next() {
        Some("lat" | "latitude" | "Lat" | "Latitude") => Role::Latitude,
        Some("lng" | "lon" | "long" | "longitude" | "Lng" | "Lon" | "Longitude") => Role::Longitude,
        Some(_) | None => Role::Metric,
    }
}

/// Where the bytes of one device are counted.
pub(super) struct Memory<'a> {
    pub(super) budget: &'a mut Budget,
    pub(super) account: &'a mut Account,
}

impl Memory<'_> {
    #[must_use]
    fn charge(&mut self, bytes: usize) -> bool {
        self.budget.charge_to(self.account, bytes)
    }

    fn refund(&mut self, bytes: usize) {
        self.budget.refund_from(self.account, bytes);
    }
}

/// When a message's values were measured.
#[derive(Copy, Clone)]
struct Moment {
    at: Timestamp,
    own_clock: bool,
    retained: bool,
    /// When they came to the broker.
    arrived: Timestamp,
    /// The hash of the topic that they came by.
    topic: u32,
}

impl Fleet {
    // Long, because two lists of roles stand in it: what each role gives, and which are metrics.
    pub(super) fn take_values(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        readings: &Readings,
        source: Source<'_>,
        message: &Message<'_>,
    ) {
        let Source {
            claim,
            stem,
            unit,
            said,
        } = source;
        let topic = self.topic_hash;
        for (hit, kind) in [
            (readings.too_many, FaultKind::TooManyValues),
            (readings.too_deep, FaultKind::TooDeep),
            (readings.name_too_long, FaultKind::NameTooLong),
        ] {
            if hit {
                self.fault(now, key, kind, message.payload);
            }
        }
        let device = &self.devices[key];
        let max_ahead = millis(self.options.max_clock_ahead);
        let arrived = self.received.filter(|_| TIES).unwrap_or(now).min(now);
        let mut moment = Moment {
            at: arrived,
            own_clock: false,
            retained: message.retained,
            arrived,
            topic,
        };
        let (mut lat, mut lng) = (None, None);
        let (mut clock_wrong, mut id_mismatch, mut announces) = (false, false, false);
        for (name, value) in readings.iter() {
            match (role(&self.conventions, claim, stem, name), value) {
                (Role::OwnClock, Scalar::Number(value)) => {
                    match own_clock_from_number(value, now, max_ahead) {
                        OwnClock::At(at) => (moment.at, moment.own_clock) = (at, true),
                        OwnClock::Wrong => clock_wrong = true,
                        OwnClock::Unusable => {}
                    }
                }
                (Role::OwnClock, Scalar::Text(text)) => {
                    match own_clock_from_text(text, now, max_ahead) {
                        OwnClock::At(at) => (moment.at, moment.own_clock) = (at, true),
                        OwnClock::Wrong => clock_wrong = true,
                        OwnClock::Unusable => {}
                    }
                }
                (Role::Latitude, Scalar::Number(value)) => lat = lat.or(Some(value)),
                (Role::Longitude, Scalar::Number(value)) => lng = lng.or(Some(value)),
                (Role::Latitude, Scalar::Text(text)) => {
                    lat = lat.or_else(|| number_in_text(text).map(|(value, _)| value));
                }
                (Role::Longitude, Scalar::Text(text)) => {
                    lng = lng.or_else(|| number_in_text(text).map(|(value, _)| value));
                }
                (Role::DeviceId, Scalar::Text(id)) => {
                    let own = device.id.strip_prefix('/').unwrap_or(&device.id);
                    id_mismatch = *id != *own && *id != *device.id;
                }
                (Role::Command | Role::Unit(_), Scalar::Text(_)) => announces = true,
                (
                    Role::Metric
                    | Role::OwnClock
                    | Role::Latitude
                    | Role::Longitude
                    | Role::DeviceId
                    | Role::Envelope
                    | Role::Command
                    | Role::Unit(_),
                    Scalar::Number(_) | Scalar::Bool(_) | Scalar::Text(_) | Scalar::Null,
                ) => {}
            }
        }
        if clock_wrong {
            self.fault(now, key, FaultKind::ClockWrong, message.payload);
        }
        if moment.own_clock && !moment.retained && !self.believes_clock(now, key, moment.at) {
            let late_ms = now.ms_since(moment.at);
            (moment.at, moment.own_clock) = (now, false);
            let kind = FaultKind::ClockWrong;
            self.fault_about(now, key, kind, message.payload, || clock::behind(late_ms));
        }
        if id_mismatch {
            self.fault(now, key, FaultKind::IdMismatch, message.payload);
        }
        if announces {
            self.announced(key, claim, readings, stem);
        }
        let position = lat.zip(lng);
        let is_recorded = self.is_recorded(message, moment.retained);
        if is_recorded {
            self.records.begin(key, moment.at, moment.arrived);
        }
        if let Some((lat, lng)) = position {
            self.move_to(now, key, lat, lng, moment, message);
        }
        for (index, (name, value)) in readings.iter().enumerate() {
            if said == Some(index) {
                continue;
            }
            let in_quotes = match value {
                Scalar::Text(text) => number_in_text(text),
                Scalar::Number(_) | Scalar::Bool(_) | Scalar::Null => None,
            };
            let number = matches!(value, Scalar::Number(_)) || in_quotes.is_some();
            let is_metric = match role(&self.conventions, claim, stem, name) {
                Role::Metric => true,
                // A latitude without a longitude is no position, so it is a metric.
                Role::Latitude | Role::Longitude => position.is_none() || !number,
                // A truth value is no time, so it is a metric.
                Role::OwnClock => matches!(value, Scalar::Bool(_)),
                Role::DeviceId | Role::Envelope | Role::Command | Role::Unit(_) => false,
            };
            if !is_metric {
                continue;
            }
            let mut reading = Reading {
                value,
                exact: readings.exact(index),
                unit,
            };
            if let Some((number, written)) = in_quotes.filter(|_| !units::is_identifier(name)) {
                reading.value = Scalar::Number(number);
                reading.unit = written.or(unit);
            }
            self.take_value(now, key, name, reading, moment, message);
        }
        if is_recorded {
            self.records.end(message.publisher);
        }
    }

    fn believes_clock(&mut self, now: Timestamp, key: DeviceKey, at: Timestamp) -> bool {
        let max_behind = millis(self.options.max_clock_behind);
        let device = &mut self.devices[key];
        let intervals = &device.intervals;
        device
            .clock
            .believes(now, at, max_behind, || intervals.median())
    }

    fn take_value(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        name: &str,
        reading: Reading<'_>,
        moment: Moment,
        message: &Message<'_>,
    ) {
        let Reading { value, exact, unit } = reading;
        match value {
            Scalar::Number(number) if !number.is_finite() => {
                let kind = FaultKind::NotFinite;
                self.fault_about(now, key, kind, message.payload, || shorten(name, 60));
                return;
            }
            Scalar::Null => return,
            Scalar::Number(_) | Scalar::Bool(_) | Scalar::Text(_) => {}
        }
        let device = &mut self.devices[key];
        let index = match find_metric(device, name) {
            Some(index) => index,
            None => match self.add_metric(now, key, name, message.payload) {
                Some(index) => index,
                None => return,
            },
        };
        let device = &mut self.devices[key];
        let metric = &mut device.metrics[index];
        if let Some(unit) = unit
            && matches!(metric.unit, Unit::Unknown | Unit::Assumed(_))
        {
            metric.unit = Unit::Written(unit);
        }
        let unit_changed = guess_unit(metric, value);
        let mut memory = Memory {
            budget: &mut self.budget,
            account: &mut device.account,
        };
        let order = store_value(metric, &mut memory, now, value, exact, moment);
        if unit_changed {
            self.mark(key, Dirty::SHAPE);
        }
        if self.is_recorded(message, moment.retained) {
            recording::record(
                &mut self.records,
                index,
                reading.value,
                reading.exact,
                &order,
            );
        }
        let device = &mut self.devices[key];
        let sample = match order {
            Order::Sample(sample) => sample,
            Order::Shown => {
                self.mark(key, Dirty::VALUES);
                return;
            }
            Order::Refused => {
                self.limits.note(Limit::Bytes);
                return;
            }
            Order::Repeated => {
                device.duplicates += 1;
                return;
            }
            Order::TooLate => {
                device.out_of_order += 1;
                return;
            }
        };
        self.queue_sample(key, index, sample.0, sample.1);
    }

    pub(super) fn add_metric(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        name: &str,
        payload: &[u8],
    ) -> Option<usize> {
        let device = &mut self.devices[key];
        let max = self
            .options
            .max_metrics_per_device
            .min(usize::from(u16::MAX));
        if device.metrics.len() >= max {
            self.limits.note(Limit::Metrics);
            self.fault(now, key, FaultKind::TooManyMetrics, payload);
            return None;
        }
        let cost = size_of::<Metric>() + name.len();
        if !self.budget.charge_to(&mut device.account, cost) {
            self.limits.note(Limit::Bytes);
            return None;
        }
        let mut metric = Metric::new(name, now);
        let announced = device.announced_units.iter();
        if let Some((_, unit)) = announced.into_iter().find(|(of, _)| **of == *name) {
            metric.unit = Unit::Announced(unit.clone());
        }
        device.metrics.push(metric);
        let index = device.metrics.len() - 1;
        device.next_metric = index + 1;
        self.mark(key, Dirty::SHAPE);
        Some(index)
    }

    fn move_to(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        lat: f64,
        lng: f64,
        moment: Moment,
        message: &Message<'_>,
    ) {
        if !(-90.0..=90.0).contains(&lat) || !(-180.0..=180.0).contains(&lng) {
            self.fault(now, key, FaultKind::PositionOutOfBounds, message.payload);
            return;
        }
        let device = &mut self.devices[key];
        let known = device.position;
        // The numbers are compared bit by bit, because a device that stands still sends the same
        // digits.
        let moved = known.is_none_or(|known| {
            known.lat.to_bits() != lat.to_bits() || known.lng.to_bits() != lng.to_bits()
        });
        if TIES && self.received.is_some() && known.is_some_and(|known| known.at >= moment.at) {
            // The retained message is as old as what is known, or older.
            if !moved {
                device.position_topic = moment.topic;
            }
            return;
        }
        if moment.own_clock && known.is_some_and(|known| moment.at < known.at) {
            return;
        }
        let at = known.map_or(moment.at, |known| known.at.max(moment.at));
        device.position = Some(Position { lat, lng, at });
        device.position_topic = moment.topic;
        if self.is_recorded(message, moment.retained) {
            self.records.position(lat, lng);
        }
        if moved {
            self.mark(key, Dirty::POSITION);
        }
    }
}

/// The metric's index. Most often it is the one after the last that was found.
pub(super) fn find_metric(device: &mut Device, name: &str) -> Option<usize> {
    let count = device.metrics.len();
    let likely = if device.next_metric < count {
        device.next_metric
    } else {
        0
    };
    let at_likely = device
        .metrics
        .get(likely)
        .is_some_and(|metric| *metric.name == *name);
    let index = if at_likely {
        likely
    } else {
        device
            .metrics
            .iter()
            .position(|metric| *metric.name == *name)?
    };
    device.next_metric = index + 1;
    Some(index)
}

/// A value with what is known about it.
#[derive(Copy, Clone)]
struct Reading<'a> {
    value: Scalar<'a>,
    /// The text of a number that an `f64` cannot hold.
    exact: Option<&'a str>,
    /// The unit that topic or payload name.
    unit: Option<&'static str>,
}

/// Assumes a unit that the value suggests, or gives up one that it contradicts. Returns whether it did.
fn guess_unit(metric: &mut Metric, value: Scalar<'_>) -> bool {
    let Scalar::Number(value) = value else {
        return false;
    };
    let guess = match &metric.unit {
        Unit::Assumed(unit) if !units::is_plausible(unit, value) => Unit::Unknown,
        Unit::Unknown if !metric.has_value => match units::of_value(&metric.name, value) {
            Some(unit) => Unit::Assumed(unit),
            None => return false,
        },
        Unit::Unknown | Unit::Assumed(_) | Unit::Written(_) | Unit::Announced(_) => return false,
    };
    metric.unit = guess;
    true
}

/// What happens to a value.
pub(super) enum Order {
    /// It is a point to draw: the latest value, or one of a backlog.
    Sample((Timestamp, f64)),
    /// It is shown, but not drawn.
    Shown,
    /// There is no memory for it.
    Refused,
    /// It is the value that was there already.
    Repeated,
    /// A later value was there already.
    TooLate,
}

/// Stores a value if it is not older than what is there. The rule, for each metric:
///
/// - By the device's own clock, a value older than the last drawn one is of a backlog. It is drawn in
///   its place, and not shown. If it was retained, it is a repetition. One of the same time is a
///   repetition too; if it differs, it is shown but not drawn.
/// - Without that clock, values are in the order of arrival, never before the last drawn one.
/// - A retained value without that clock may be of any age. It is shown, not drawn, and only if it
///   differs from what is there.
/// - A retained value that came to the broker no later than the one that is there changes nothing.
fn store_value(
    metric: &mut Metric,
    memory: &mut Memory<'_>,
    now: Timestamp,
    value: Scalar<'_>,
    exact: Option<&str>,
    moment: Moment,
) -> Order {
    let same = metric.exact.as_deref() == exact
        && match (&metric.value, value) {
            (Value::Number(a), Scalar::Number(b)) => a.to_bits() == b.to_bits(),
            (Value::Bool(a), Scalar::Bool(b)) => *a == b,
            (Value::Text(a), Scalar::Text(b)) => **a == *b,
            (_, Scalar::Number(_) | Scalar::Bool(_) | Scalar::Text(_) | Scalar::Null) => false,
        };
    let first = !metric.has_value;
    let is_old = TIES && moment.retained && moment.arrived < now;
    if is_old && !first && !metric.retained && metric.arrived >= moment.arrived {
        if same {
            metric.topic = moment.topic;
        }
        return Order::Repeated;
    }
    metric.topic = moment.topic;
    let mut at = moment.at;
    let mut drawn = value_to_draw(value).is_some();
    if moment.own_clock {
        match metric.drawn_at {
            Some(last) if at < last => {
                return match value_to_draw(value) {
                    Some(value) if !moment.retained => Order::Sample((at, value)),
                    Some(_) | None => Order::TooLate,
                };
            }
            Some(last) if at == last && same => return Order::Repeated,
            Some(last) if at == last => drawn = false,
            Some(_) | None => {}
        }
    } else if moment.retained {
        if same && !first {
            return Order::Repeated;
        }
        drawn = false;
    } else {
        at = metric.drawn_at.map_or(at, |last| last.max(at));
    }
    if first || !same {
        if !store(metric, memory, value) {
            return Order::Refused;
        }
        store_exact(metric, memory, exact);
    }
    if !moment.retained {
        if metric.samples > 0 {
            metric.note_gap(now);
        }
        metric.samples += 1;
    }
    metric.has_value = true;
    metric.at = at;
    metric.arrived = moment.arrived;
    metric.own_clock = moment.own_clock;
    metric.retained = moment.retained;
    match value_to_draw(value) {
        Some(value) if drawn => {
            metric.drawn_at = Some(at);
            Order::Sample((at, value))
        }
        Some(_) | None => Order::Shown,
    }
}

const fn value_to_draw(value: Scalar<'_>) -> Option<f64> {
    match value {
        Scalar::Number(value) => Some(value),
        Scalar::Bool(true) => Some(1.0),
        Scalar::Bool(false) => Some(0.0),
        Scalar::Text(_) | Scalar::Null => None,
    }
}

/// Keeps the text of a number, if there is memory for it.
pub(super) fn store_exact(metric: &mut Metric, memory: &mut Memory<'_>, exact: Option<&str>) {
    if let Some(before) = metric.exact.take() {
        memory.refund(before.len());
    }
    metric.exact = exact
        .filter(|text| memory.charge(text.len()))
        .map(Into::into);
}

/// The metric has no value any more.
pub(super) fn take_away(metric: &mut Metric, memory: &mut Memory<'_>) {
    store(metric, memory, Scalar::Null);
    store_exact(metric, memory, None);
    metric.has_value = false;
    (metric.own_clock, metric.retained) = (false, false);
    (metric.samples, metric.gap_ms) = (0, 0.0);
}

pub(super) fn store(metric: &mut Metric, memory: &mut Memory<'_>, value: Scalar<'_>) -> bool {
    if let Value::Text(text) = &metric.value {
        memory.refund(text.len());
    }
    let (stored, fits) = match value {
        Scalar::Number(value) => (Value::Number(value), true),
        Scalar::Bool(value) => (Value::Bool(value), true),
        Scalar::Text(text) if memory.charge(text.len()) => (Value::Text(text.into()), true),
        Scalar::Text(_) | Scalar::Null => (Value::Text("".into()), false),
    };
    metric.value = stored;
    fits
}
