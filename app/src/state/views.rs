//! What the screen shows of a device: owned, comparable copies.

use fleet::{
    Command, Convention, Device, DeviceKey, FaultKind, MetricGroup, MetricKey, Position, Presence,
    PresenceSpan, Timestamp, Value,
};

use super::format;

/// A device in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct CardView {
    /// Which.
    pub key: DeviceKey,
    /// Its id, safe to show.
    pub name: String,
    /// What stands before its id in its topics, safe to show. It may be empty.
    pub prefix: String,
    /// What [`AppState::find`](super::AppState::find) takes: for the link to its page, where
    /// it must be percent-encoded.
    pub full_id: String,
    /// Whether it is there.
    pub presence: Presence,
    /// Whether the presence's `since` is when it began.
    pub since_exact: bool,
    /// When it last sent something.
    pub last_seen: Option<Timestamp>,
    /// Its most important readings, at most [`CardView::VALUES`]: numbers with a unit,
    /// temperature and humidity first, then other numbers, then what was set rather than
    /// measured, then truth values.
    pub values: Vec<ValueView>,
    /// How many more metrics it has.
    pub more_values: usize,
    /// Which metric the trend line shows: the most important.
    pub trend: Option<MetricKey>,
    /// How many kinds of faults it has.
    pub faults: usize,
}

/// A device on its own page.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceView {
    /// What the list shows of it too.
    pub card: CardView,
    /// The convention that it follows.
    pub convention: Convention,
    /// When the first message about it came.
    pub first_seen: Timestamp,
    /// How many messages of it came.
    pub message_count: u64,
    /// The usual gap between its messages, in milliseconds.
    pub interval_ms: Option<i64>,
    /// The length of its cycle of waking and sleeping, in milliseconds.
    pub cycle_ms: Option<i64>,
    /// All its readings, in the order they were first seen.
    pub values: Vec<ValueView>,
    /// Which of them belong on one chart.
    pub groups: Vec<MetricGroup>,
    /// Where it is.
    pub position: Option<Position>,
    /// What was seen of its presence, newest first; the first holds now.
    pub history: Vec<PresenceSpan>,
    /// What is or was wrong with it.
    pub faults: Vec<FaultView>,
    /// Whether it takes commands.
    pub takes_commands: bool,
    /// Buttons: the commands that it is known to understand.
    pub known_commands: Vec<String>,
}

/// A reading.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueView {
    /// Which.
    pub key: MetricKey,
    /// The metric's name, safe to show.
    pub name: String,
    /// Its unit's symbol.
    pub unit: Option<String>,
    /// The value, safe to show.
    pub text: String,
    /// The value as it is drawn.
    pub number: Option<f64>,
    /// When it was measured.
    pub at: Timestamp,
    /// Whether it came out of the broker's store. It may then be old.
    pub retained: bool,
    /// Samples a second, lately.
    pub rate_hz: Option<f64>,
}

/// A fault.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultView {
    /// What is wrong.
    pub kind: FaultKind,
    /// When it was last seen.
    pub last_at: Timestamp,
    /// How often it was seen.
    pub count: u64,
    /// The beginning of a payload with this fault, safe to show.
    pub excerpt: String,
}

/// How long a text value may be on the screen, in characters.
const TEXT_CHARS: usize = 200;

impl CardView {
    /// How many readings a card shows.
    pub const VALUES: usize = 3;

    /// What the list shows of this device.
    pub fn new(key: DeviceKey, device: &Device) -> Self {
        let metrics = device.metrics().iter().enumerate();
        let mut metrics: Vec<(usize, &fleet::Metric)> = metrics
            .filter(|(_, metric)| metric.value().as_number().is_some())
            .collect();
        metrics.sort_by_key(|(_, metric)| rank(metric));
        let trend = metrics.first().map(|(index, _)| *index);
        let values: Vec<ValueView> = metrics
            .into_iter()
            .take(Self::VALUES)
            .filter_map(|(index, metric)| ValueView::new(index, metric))
            .collect();
        Self {
            key,
            name: device.display_id(),
            prefix: fleet::display::shorten(device.prefix(), 40),
            full_id: device.full_id(),
            presence: *device.presence(),
            since_exact: device.is_since_exact(),
            last_seen: device.last_seen(),
            more_values: device.metrics().len() - values.len(),
            values,
            trend: trend.and_then(metric_key),
            faults: device.faults().len(),
        }
    }
}

impl DeviceView {
    /// What this device's page shows.
    pub fn new(key: DeviceKey, device: &Device) -> Self {
        let metrics = device.metrics().iter().enumerate();
        Self {
            card: CardView::new(key, device),
            convention: device.convention(),
            first_seen: device.first_seen(),
            message_count: device.message_count(),
            interval_ms: device.interval_ms(),
            cycle_ms: device.cycle_ms(),
            values: metrics
                .filter_map(|(index, metric)| ValueView::new(index, metric))
                .collect(),
            groups: device.groups(),
            position: device.position().copied(),
            history: device.history().rev().copied().collect(),
            faults: device.faults().iter().map(FaultView::new).collect(),
            takes_commands: device.takes_commands(),
            known_commands: device.known_commands().map(str::to_owned).collect(),
        }
    }

    /// The reading of this metric.
    pub fn value(&self, key: MetricKey) -> Option<&ValueView> {
        self.values.get(usize::from(key.0))
    }
}

impl ValueView {
    fn new(index: usize, metric: &fleet::Metric) -> Option<Self> {
        let text = match metric.value() {
            Value::Number(value) => format::number(*value),
            Value::Bool(value) => if *value { "on" } else { "off" }.to_owned(),
            Value::Text(text) => fleet::display::shorten(text, TEXT_CHARS),
        };
        Some(Self {
            key: metric_key(index)?,
            name: metric.display_name(),
            unit: metric.unit().map(|unit| fleet::display::shorten(unit, 12)),
            text,
            number: metric.value().as_number(),
            at: metric.at(),
            retained: metric.is_retained(),
            rate_hz: metric.rate_hz(),
        })
    }
}

impl FaultView {
    fn new(fault: &fleet::Fault) -> Self {
        Self {
            kind: fault.kind(),
            last_at: fault.last_at(),
            count: fault.count(),
            excerpt: fault.excerpt().to_owned(),
        }
    }
}

/// A device's commands, newest first.
pub fn commands(device: &Device) -> Vec<Command> {
    device.commands().cloned().collect()
}

/// The rank of a metric on a card. The most important metrics have the lowest.
fn rank(metric: &fleet::Metric) -> u8 {
    match (metric.value(), metric.unit()) {
        (Value::Number(_), _) if is_setting(metric.name()) => 4,
        (Value::Number(_), Some("°C" | "°F" | "K")) => 0,
        (Value::Number(_), Some("%")) => 1,
        (Value::Number(_), Some(_)) => 2,
        (Value::Number(_), None) => 3,
        (Value::Bool(_), _) => 5,
        (Value::Text(_), _) => 6,
    }
}

/// Whether a metric is a setting, by its name. A setting says little, and hardly changes.
fn is_setting(name: &str) -> bool {
    const WORDS: [&str; 6] = [
        "target",
        "setpoint",
        "set_point",
        "threshold",
        "interval",
        "limit",
    ];
    WORDS.iter().any(|word| {
        let mut windows = name.as_bytes().windows(word.len());
        windows.any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
    })
}

fn metric_key(index: usize) -> Option<MetricKey> {
    u16::try_from(index).ok().map(MetricKey)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::{Fleet, FleetOptions, Message};

    fn view(payload: &str) -> DeviceView {
        let mut fleet = Fleet::new(FleetOptions::default());
        let message = Message::new("beaconry/data/<b>x", payload.as_bytes());
        fleet.handle_message(Timestamp(1_795_233_600_000), message);
        let key = fleet.find("<b>x").unwrap();
        DeviceView::new(key, fleet.device(key).unwrap())
    }

    #[test]
    fn a_card_shows_the_most_important_values_and_counts_the_rest() {
        let view =
            view(r#"{"name":"n","on":true,"temp_Target":20,"a":1,"humidity_pct":40,"temp":23.64}"#);
        let card = &view.card;
        let texts: Vec<&str> = card
            .values
            .iter()
            .map(|value| value.text.as_str())
            .collect();
        assert_eq!(texts, ["23.64", "40", "1"]);
        assert_eq!(card.more_values, 3);
        let trend = card.trend.unwrap();
        assert_eq!(view.value(trend).unwrap().name, "temp");
        assert_eq!(
            (card.name.as_str(), card.full_id.as_str()),
            ("<b>x", "beaconry/<b>x")
        );
    }

    #[test]
    fn a_fault_is_seen_on_the_card_and_told_on_the_page() {
        let view = view("{nonsense");
        assert_eq!(view.card.faults, 1);
        assert_eq!(view.faults[0].kind, FaultKind::NotJson);
        assert_eq!(view.faults[0].excerpt, "{nonsense");
    }
}
