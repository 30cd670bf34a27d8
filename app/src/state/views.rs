//! What the screen shows of a device: owned, comparable copies.

use fleet::{
    Command, Convention, Device, DeviceKey, FaultKind, MetricGroup, MetricKey, Position, Presence,
    PresenceSpan, Timestamp, Value,
};

use super::command_view::CommandView;
use super::{format, names, sort};

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
    /// Its most important readings, at most [`CardView::VALUES`], and not more than fit side by
    /// side: numbers with a unit, temperature and humidity first, then states (on, open), then other
    /// numbers, then what was set rather than measured, then texts.
    pub values: Vec<ValueView>,
    /// How many more metrics it has.
    pub more_values: usize,
    /// Which metric the trend line shows: the most important number.
    pub trend: Option<TrendView>,
    /// How many kinds of faults it has.
    pub faults: usize,
    /// Whether somebody has hidden it.
    pub hidden: bool,
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
    /// How many of its messages the broker has left out for this page since it was opened.
    pub left_out: u64,
    /// The usual gap between its messages, in milliseconds.
    pub interval_ms: Option<i64>,
    /// The length of its cycle of waking and sleeping, in milliseconds.
    pub cycle_ms: Option<i64>,
    /// All its readings, in the order they were first seen.
    pub values: Vec<ValueView>,
    /// Which of them belong on one chart.
    pub charts: Vec<ChartView>,
    /// Where it is.
    pub position: Option<Position>,
    /// What was seen of its presence, newest first; the first holds now.
    pub history: Vec<PresenceSpan>,
    /// What is or was wrong with it.
    pub faults: Vec<FaultView>,
    /// Whether it takes commands.
    pub takes_commands: bool,
    /// Buttons: the commands that it is known to understand.
    pub known_commands: Vec<CommandView>,
}

/// What a trend line shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrendView {
    /// Which metric.
    pub key: MetricKey,
    /// Its name, safe to show.
    pub name: String,
    /// Its unit's symbol.
    pub unit: Option<String>,
}

/// Metrics that belong on one chart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChartView {
    /// What they have in common, safe to show.
    pub title: String,
    /// Their unit's symbol, when they have one.
    pub unit: Option<String>,
    /// Whether they are all true or false.
    pub on_off: bool,
    /// The metrics, each with its name, safe to show.
    pub lines: Vec<(MetricKey, String)>,
}

/// A reading.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueView {
    /// Which.
    pub key: MetricKey,
    /// The metric's name for people, safe to show.
    pub name: String,
    /// The name as the device writes it, safe to show.
    pub id: String,
    /// Its unit's symbol.
    pub unit: Option<String>,
    /// The value in short, safe to show.
    pub text: String,
    /// The value with all its digits, safe to show.
    pub exact: String,
    /// The value as it is drawn.
    pub number: Option<f64>,
    /// When it was measured.
    pub at: Timestamp,
    /// Whether it came out of the broker's store. It may then be old.
    pub retained: bool,
    /// Samples a second, lately.
    pub rate_hz: Option<f64>,
    /// How important it is: the most important values have the lowest.
    pub rank: u8,
}

/// A fault.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultView {
    /// What is wrong.
    pub kind: FaultKind,
    /// What is wrong and where, for people, safe to show.
    pub text: String,
    /// When it was last seen.
    pub last_at: Timestamp,
    /// How often it was seen.
    pub count: u64,
    /// The beginning of a payload with this fault, safe to show.
    pub excerpt: String,
}

/// How long a text value may be on the screen, in characters.
const TEXT_CHARS: usize = 200;
/// How long a unit may be.
const UNIT_CHARS: usize = 12;
/// How long a text value may be on a card.
const CARD_TEXT_CHARS: usize = 16;

impl CardView {
    /// How many readings a card shows.
    pub const VALUES: usize = 3;

    /// How many characters of a normal digit's width a card's values have beside each other, on the
    /// narrowest card.
    const ROOM: f64 = 21.0;

    /// What the list shows of this device.
    pub fn new(key: DeviceKey, device: &Device) -> Self {
        Self::of(key, device, &names(device))
    }

    fn of(key: DeviceKey, device: &Device, names: &[String]) -> Self {
        let metrics: Vec<(usize, &fleet::Metric)> = device.metrics().iter().enumerate().collect();
        let metrics = sort::by_rank(&metrics, |(_, metric)| rank(metric));
        let trend = metrics.iter().find_map(|(index, metric)| {
            metric.value().as_number()?;
            Some(TrendView {
                key: metric_key(*index)?,
                name: names.get(*index)?.clone(),
                unit: unit(metric),
            })
        });
        let (span, since_exact) = shown_presence(device);
        let values = fitting(&metrics, names);
        Self {
            key,
            name: device.display_id(),
            prefix: fleet::display::shorten(device.prefix(), 40),
            full_id: device.full_id(),
            presence: span,
            since_exact,
            last_seen: device.last_seen(),
            more_values: device.metrics().len() - values.len(),
            values,
            trend,
            faults: device.faults().len(),
            hidden: device.is_hidden(),
        }
    }
}

/// The first values that fit beside each other on a card.
fn fitting(metrics: &[(usize, &fleet::Metric)], names: &[String]) -> Vec<ValueView> {
    let mut room = CardView::ROOM;
    let mut values = Vec::new();
    for (index, metric) in metrics {
        if values.len() == CardView::VALUES {
            break;
        }
        let Some(mut value) = ValueView::new(*index, metric, names) else {
            continue;
        };
        if value.number.is_none() {
            value.text = fleet::display::shorten(&value.text, CARD_TEXT_CHARS);
        }
        room -= width(&value);
        // The first value is there in any case, and a long one gives way to a short one.
        if room < 0.0 && !values.is_empty() {
            room += width(&value);
            continue;
        }
        values.push(value);
    }
    values
}

/// The width of a value with its unit, in digits. A unit is smaller.
fn width(value: &ValueView) -> f64 {
    let count = |text: &str| f64::from(u16::try_from(text.chars().count()).unwrap_or(u16::MAX));
    let unit = value
        .unit
        .as_deref()
        .map_or(0.0, |unit| 0.3 + count(unit) * 0.7);
    format::width(&value.text) + unit + 1.0
}

/// The presence, and whether its beginning is known. The model lets a presence reach back over an
/// outage of our own connection; the history beside it has the outage, so the page counts from its
/// end.
fn shown_presence(device: &Device) -> (Presence, bool) {
    let now = *device.presence();
    let Some(last) = device.history().next_back() else {
        return (now, device.is_since_exact());
    };
    let since = last.presence.since();
    if since <= now.since() || last.presence.kind() != now.kind() {
        return (now, device.is_since_exact());
    }
    let counted = match now {
        Presence::Online { .. } => Presence::Online { since },
        Presence::Offline { reason, .. } => Presence::Offline { since, reason },
        Presence::Sleeping { wakes_about, .. } => Presence::Sleeping { since, wakes_about },
        Presence::Stale { last_seen, .. } => Presence::Stale { since, last_seen },
        Presence::Unknown { .. } => now,
    };
    (counted, last.exact)
}

fn names(device: &Device) -> Vec<String> {
    let metrics = device.metrics().iter();
    names::of_metrics(metrics.map(|metric| (metric.name(), metric.unit())))
}

fn charts(device: &Device, names: &[String]) -> Vec<ChartView> {
    let line = |key: MetricKey| Some((key, names.get(usize::from(key.0))?.clone()));
    let chart = |group: MetricGroup| ChartView {
        title: names::of_metric(&group.title, group.unit.as_deref()),
        unit: group
            .unit
            .map(|unit| fleet::display::shorten(&unit, UNIT_CHARS)),
        on_off: group.on_off,
        lines: group.metrics.into_iter().filter_map(line).collect(),
    };
    let groups = device.groups().into_iter().map(chart);
    // Lanes are lower than charts, and have a row of their own below them.
    let (lanes, mut charts): (Vec<_>, Vec<_>) = groups.partition(|chart| chart.on_off);
    charts.extend(lanes);
    charts
}

fn unit(metric: &fleet::Metric) -> Option<String> {
    metric
        .unit()
        .map(|unit| fleet::display::shorten(unit, UNIT_CHARS))
}

impl DeviceView {
    /// What this device's page shows.
    pub fn new(key: DeviceKey, device: &Device) -> Self {
        let metrics = device.metrics().iter().enumerate();
        let names = names(device);
        Self {
            card: CardView::of(key, device, &names),
            convention: device.convention(),
            first_seen: device.first_seen(),
            message_count: device.message_count(),
            left_out: 0,
            interval_ms: device.interval_ms(),
            cycle_ms: device.cycle_ms(),
            values: metrics
                .filter_map(|(index, metric)| ValueView::new(index, metric, &names))
                .collect(),
            charts: charts(device, &names),
            position: device.position().copied(),
            history: device.history().rev().copied().collect(),
            faults: device.faults().iter().map(FaultView::new).collect(),
            takes_commands: device.takes_commands(),
            known_commands: device
                .known_commands()
                .map(|known| CommandView::new(&known))
                .collect(),
        }
    }

    /// The reading of this metric.
    pub fn value(&self, key: MetricKey) -> Option<&ValueView> {
        self.values.get(usize::from(key.0))
    }
}

impl ValueView {
    fn new(index: usize, metric: &fleet::Metric, names: &[String]) -> Option<Self> {
        let (text, exact) = match metric.value() {
            Value::Number(value) => {
                // What a float cannot hold, the model keeps as it was written.
                let written = metric.exact();
                let exact = written.map(|text| fleet::display::shorten(text, TEXT_CHARS));
                let exact = exact.unwrap_or_else(|| format::exact(*value));
                (format::number(*value), exact)
            }
            Value::Bool(value) => {
                let word = if *value { "on" } else { "off" };
                (word.to_owned(), word.to_owned())
            }
            Value::Text(text) => {
                let shown = fleet::display::shorten(text, TEXT_CHARS);
                (shown.clone(), shown)
            }
        };
        Some(Self {
            key: metric_key(index)?,
            name: names.get(index)?.clone(),
            id: metric.display_name(),
            unit: unit(metric),
            text,
            exact,
            number: metric.value().as_number(),
            at: metric.at(),
            retained: metric.is_retained(),
            rate_hz: metric.rate_hz(),
            rank: rank(metric),
        })
    }
}

impl FaultView {
    fn new(fault: &fleet::Fault) -> Self {
        Self {
            kind: fault.kind(),
            text: fault.text(),
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
        (Value::Number(_), _) if is_setting(metric.name()) => 5,
        (Value::Number(_), Some("°C" | "°F" | "K")) => 0,
        (Value::Number(_), Some("%")) => 1,
        (Value::Number(_), Some(_)) => 2,
        (Value::Bool(_), _) => 3,
        (Value::Text(text), _) if is_state(text) => 3,
        (Value::Number(_), None) => 4,
        (Value::Text(text), _) if text.len() <= CARD_TEXT_CHARS => 6,
        (Value::Text(_), _) => 7,
    }
}

/// Whether a text is the state of something: it changes, and one word says it all.
fn is_state(text: &str) -> bool {
    const STATES: [&str; 32] = [
        "on", "off", "open", "opened", "opening", "closed", "close", "closing", "locked",
        "unlocked", "true", "false", "yes", "no", "idle", "running", "active", "inactive",
        "standby", "home", "away", "not_home", "heat", "cool", "auto", "detected", "clear",
        "alarm", "ok", "error", "charging", "stopped",
    ];
    STATES.iter().any(|state| state.eq_ignore_ascii_case(text))
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
        assert_eq!(texts, ["23.64", "40", "on"]);
        assert_eq!(card.more_values, 3);
        let trend = card.trend.as_ref().unwrap();
        assert_eq!(view.value(trend.key).unwrap().id, "temp");
        assert_eq!(
            (trend.name.as_str(), trend.unit.as_deref()),
            ("Temp", Some("°C"))
        );
        assert_eq!(
            (card.name.as_str(), card.full_id.as_str()),
            ("<b>x", "beaconry/<b>x")
        );
    }

    fn texts(payload: &str) -> Vec<String> {
        let values = view(payload).card.values;
        values.into_iter().map(|value| value.text).collect()
    }

    #[test]
    fn a_card_shows_states_and_texts() {
        assert_eq!(texts(r#"{"POWER":"ON"}"#), ["ON"]);
        assert_eq!(
            texts(r#"{"linkquality":87,"door":"open","firmware":"1.2.3-rc1"}"#),
            ["open", "87", "1.2.3-rc1"]
        );
        let long = texts(r#"{"note":"a sentence that goes on and on"}"#);
        assert_eq!(long, ["a senten… and on"]);
        assert_eq!(view(r#"{"POWER":"ON"}"#).card.trend, None);
    }

    #[test]
    fn a_card_shows_no_more_numbers_than_fit() {
        assert_eq!(
            texts(r#"{"a_hpa":1015.1,"b_hpa":1015.2,"c_hpa":1015.3}"#),
            ["1015.1", "1015.2"]
        );
        assert_eq!(
            texts(r#"{"a":1.2e19,"b":-1.2345e-12,"c":3123}"#),
            ["1.2e19", "-1.235e-12"]
        );
        assert_eq!(
            texts(r#"{"a":1795233600123,"b":12345678901,"c":5}"#),
            ["1\u{202f}795\u{202f}233\u{202f}600\u{202f}123", "5"]
        );
    }

    #[test]
    fn a_value_is_shown_in_short_and_kept_exactly() {
        let view = view(r#"{"meter_kwh":12345.678,"boot":1795233600}"#);
        let value = |index: usize| {
            let value = &view.values[index];
            (
                value.name.as_str(),
                value.id.as_str(),
                value.text.as_str(),
                value.exact.as_str(),
            )
        };
        assert_eq!(
            value(0),
            ("Meter", "meter_kwh", "12\u{202f}345.7", "12345.678")
        );
        assert_eq!(
            value(1),
            (
                "Boot",
                "boot",
                "1\u{202f}795\u{202f}233\u{202f}600",
                "1795233600"
            )
        );
        let id = self::view(r#"{"serial":12345678901234567890}"#);
        assert_eq!(id.values[0].exact, "12345678901234567890");
    }

    #[test]
    fn a_chart_and_its_lines_have_names_for_people() {
        let view = view(r#"{"queue_in":1,"queue_out":2,"power_w":100,"on":true,"fan_on":false}"#);
        let charts: Vec<(&str, Vec<&str>)> = view
            .charts
            .iter()
            .map(|chart| {
                let lines = chart.lines.iter().map(|(_, name)| name.as_str());
                (chart.title.as_str(), lines.collect())
            })
            .collect();
        assert_eq!(
            charts,
            [
                ("Queue", vec!["Queue in", "Queue out"]),
                ("Power", vec!["Power"]),
                ("On / off", vec!["On", "Fan on"]),
            ]
        );
    }

    #[test]
    fn the_header_counts_no_outage_as_online() {
        use fleet::ObserverState::{Connected, Disconnected};
        let mut fleet = Fleet::new(FleetOptions::default());
        let at = |seconds: i64| Timestamp(1_795_233_600_000 + seconds * 1_000);
        let data = || Message::new("beaconry/data/a", b"{\"temp\":1}");
        fleet.handle_message(at(0), Message::new("beaconry/register/a", b"SIGN_IN"));
        fleet.handle_message(at(1), data());
        fleet.handle_observer(at(10), Disconnected);
        fleet.handle_observer(at(30), Connected);
        fleet.handle_message(at(31), data());
        let key = fleet.find("a").unwrap();
        let view = DeviceView::new(key, fleet.device(key).unwrap());
        assert_eq!(view.card.presence, Presence::Online { since: at(31) });
        assert!(!view.card.since_exact);
        assert_eq!(view.history[0].presence, view.card.presence);
    }

    #[test]
    fn a_fault_is_seen_on_the_card_and_told_on_the_page() {
        let view = view("{nonsense");
        assert_eq!(view.card.faults, 1);
        assert_eq!(view.faults[0].kind, FaultKind::NotJson);
        assert_eq!(view.faults[0].excerpt, "{nonsense");
    }
}
