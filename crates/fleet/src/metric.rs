//! A device's metrics: the latest value of each, and which belong on one chart.

use crate::time::Timestamp;
use crate::units;
use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// A metric of one device: an index into [`Device::metrics`](crate::Device::metrics). It stays the
/// same as long as the device is known.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Hash)]
pub struct MetricKey(pub u16);

/// The latest value of a metric.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A finite number.
    Number(f64),
    /// True or false; drawn as 1 and 0.
    Bool(bool),
    /// Any other text, cut to the option `max_text_len`.
    Text(Box<str>),
}

impl Value {
    /// The value as it is drawn: a number, or 1 and 0 for true and false.
    pub const fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            Self::Bool(value) => Some(if *value { 1.0 } else { 0.0 }),
            Self::Text(_) => None,
        }
    }
}

/// A metric's unit, and where it comes from.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) enum Unit {
    Unknown,
    /// The name suggests it: `temperature` is °C.
    Assumed(&'static str),
    /// The name ends in it, or the payload has it behind the number.
    Written(&'static str),
    /// The device announced it.
    Announced(Box<str>),
}

/// One metric of a device.
#[derive(Clone, Debug)]
pub struct Metric {
    pub(crate) name: Box<str>,
    pub(crate) unit: Unit,
    pub(crate) value: Value,
    pub(crate) exact: Option<Box<str>>,
    pub(crate) at: Timestamp,
    pub(crate) arrived: Timestamp,
    pub(crate) own_clock: bool,
    pub(crate) retained: bool,
    /// The hash of the topic by which the value came.
    pub(crate) topic: u32,
    /// `value` holds something.
    pub(crate) has_value: bool,
    /// The time of the newest sample that was drawn.
    pub(crate) drawn_at: Option<Timestamp>,
    pub(crate) samples: u64,
    /// The mean gap between samples in milliseconds, in which the latest count most; 0 if unknown.
    pub(crate) gap_ms: f32,
}

impl Metric {
    pub(crate) fn new(name: &str, now: Timestamp) -> Self {
        let unit = match units::of_name(name) {
            Some((unit, true)) => Unit::Assumed(unit),
            Some((unit, false)) => Unit::Written(unit),
            None => Unit::Unknown,
        };
        Self {
            name: name.into(),
            unit,
            value: Value::Bool(false),
            exact: None,
            at: now,
            arrived: now,
            own_clock: false,
            retained: false,
            topic: 0,
            has_value: false,
            drawn_at: None,
            samples: 0,
            gap_ms: 0.0,
        }
    }

    /// The name: members joined by dots, as the device writes them. Any text: see
    /// [`Metric::display_name`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name as it may be shown, at most 60 characters; `(no name)` for an empty one.
    pub fn display_name(&self) -> String {
        if self.name.is_empty() {
            return String::from("(no name)");
        }
        crate::display::shorten(&self.name, 60)
    }

    /// The unit's symbol, where known.
    pub fn unit(&self) -> Option<&str> {
        match &self.unit {
            Unit::Unknown => None,
            Unit::Assumed(unit) | Unit::Written(unit) => Some(unit),
            Unit::Announced(unit) => Some(unit),
        }
    }

    /// Whether the unit is only assumed, because such quantities usually have it.
    pub const fn unit_is_assumed(&self) -> bool {
        matches!(self.unit, Unit::Assumed(_))
    }

    /// Whether it has a value. It has none if the device has cleared it. Then [`Metric::value`] is an
    /// empty text.
    pub const fn has_value(&self) -> bool {
        self.has_value
    }

    /// The latest value.
    pub const fn value(&self) -> &Value {
        &self.value
    }

    /// The number as the device wrote it, if an `f64` cannot hold it exactly: a whole number of 16 digits
    /// or more, or a decimal of more than 17. At most 64 bytes.
    pub fn exact(&self) -> Option<&str> {
        self.exact.as_deref()
    }

    /// When the value was measured: by the device's own clock if it sends one that can be
    /// believed, otherwise when it arrived.
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// When the value arrived here.
    pub const fn arrived_at(&self) -> Timestamp {
        self.arrived
    }

    /// Whether [`Metric::at`] is by the device's own clock.
    pub const fn is_own_clock(&self) -> bool {
        self.own_clock
    }

    /// Whether the value was retained by the broker: it may be of any age unless
    /// [`Metric::is_own_clock`].
    pub const fn is_retained(&self) -> bool {
        self.retained
    }

    /// How many samples were accepted, without retained ones.
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Samples a second, lately; `None` before the second sample.
    pub fn rate_hz(&self) -> Option<f64> {
        (self.gap_ms > 0.0).then(|| 1000.0 / f64::from(self.gap_ms))
    }

    pub(crate) fn note_gap(&mut self, now: Timestamp) {
        // A gap of more than a day counts as one day. That is enough for a rate, and exact in a
        // float.
        let gap = now.ms_since(self.arrived).clamp(0, 86_400_000);
        let gap = i32::try_from(gap).unwrap_or(i32::MAX);
        #[allow(clippy::cast_precision_loss)]
        let gap = gap as f32;
        if self.gap_ms <= 0.0 {
            self.gap_ms = gap;
        } else {
            self.gap_ms += (gap - self.gap_ms) / 8.0;
        }
    }
}

/// Metrics that belong on one chart.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct MetricGroup {
    /// What they have in common, for people: `Temperature`, `accel`, `On / off`. Made from the
    /// device's names: any text, to be shown through [`crate::display::shorten`].
    pub title: String,
    /// Their unit, when they have one.
    pub unit: Option<Box<str>>,
    /// Whether they are all true or false: drawn as steps between 0 and 1.
    pub on_off: bool,
    /// The metrics, in the order they were first seen.
    pub metrics: Vec<MetricKey>,
}

/// The groups of `metrics`, in the order of their first metric. The rule: truth values form one
/// group; numbers of the same known unit form one group, however they are called (°C beside
/// °C); percentages and numbers without a unit form one group for each stem, which is the part
/// before the last dot (`accel.x`, `accel.y`) or else the first word (`queue_in`, `queueOut`).
/// Texts are in no group.
pub(crate) fn groups(metrics: &[Metric]) -> Vec<MetricGroup> {
    let mut groups: Vec<MetricGroup> = Vec::new();
    let mut stems: Vec<&str> = Vec::new();
    for (index, metric) in metrics.iter().enumerate() {
        let on_off = match metric.value {
            Value::Number(_) => false,
            Value::Bool(_) => true,
            Value::Text(_) => continue,
        };
        let Ok(index) = u16::try_from(index) else {
            break;
        };
        let key = MetricKey(index);
        let unit = metric.unit().filter(|_| !on_off);
        let stem = match unit {
            Some("%") | None if !on_off => stem(&metric.name),
            Some(_) | None => "",
        };
        let same = groups.iter().zip(&stems).position(|(group, group_stem)| {
            group.on_off == on_off && group.unit.as_deref() == unit && *group_stem == stem
        });
        if let Some(position) = same {
            groups[position].metrics.push(key);
        } else {
            groups.push(MetricGroup {
                title: title(metric, on_off, unit, stem),
                unit: unit.map(Into::into),
                on_off,
                metrics: alloc::vec![key],
            });
            stems.push(stem);
        }
    }
    groups
}

fn stem(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((parent, _)) if !parent.is_empty() => parent,
        Some(_) | None => units::words(name).next().unwrap_or(name),
    }
}

fn title(metric: &Metric, on_off: bool, unit: Option<&str>, stem: &str) -> String {
    if on_off {
        return "On / off".to_owned();
    }
    match unit {
        Some("°C" | "°F" | "K") => "Temperature".to_owned(),
        Some("W" | "kW" | "MW" | "mW") => "Power".to_owned(),
        Some("Wh" | "kWh" | "MWh") => "Energy".to_owned(),
        Some("V" | "mV") => "Voltage".to_owned(),
        Some("A" | "mA") => "Current".to_owned(),
        Some("Pa" | "hPa" | "kPa" | "bar" | "psi") => "Pressure".to_owned(),
        Some("m/s" | "km/h" | "mph") => "Speed".to_owned(),
        Some("dB" | "dBm" | "dBA") => "Level".to_owned(),
        Some("%") | None => stem.to_owned(),
        Some(_) => metric.name.as_ref().to_owned(),
    }
}
