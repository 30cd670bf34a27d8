//! What the server remembers of the metrics on a device's page, and which part of it the charts show.
//!
//! [`Past`] asks for all metrics of the page at once. What comes live follows behind it. A chart draws what is
//! there at once, and again when a finer answer has come.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::rc::Rc;

use api::history::{HistoryInfo, HistoryState, ManySeries, Point};
use fleet::MetricKey;
use leptos::prelude::*;
use link::http::{HttpFailure, Method, Request, percent_encode};

use crate::state::{AppState, Mode};

/// How long an address may be. Servers and proxies refuse longer ones.
const LONGEST: usize = 6_000;
/// A chart of more points than pixels shows nothing more.
const WIDTH: usize = 800;
/// What is shown is asked for again when so many parts of it have passed.
const PARTS: f64 = 200.0;
/// Though not more often than this, in milliseconds.
const OFTEN: f64 = 10_000.0;
/// The shortest part that can be zoomed to, in milliseconds.
const SHORTEST: f64 = 1_000.0;
/// The longest: ten years.
const LONGEST_VIEW: f64 = 10.0 * 366.0 * 86_400_000.0;

/// Where the page's readings come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Memory {
    /// Nobody has answered yet.
    Asking,
    /// The broker remembers nothing: readings are kept while the page is open.
    None,
    /// The server remembers.
    Server {
        /// Since when, in milliseconds since 1970.
        since: Option<f64>,
        /// Nothing is recorded now, because the disk is full or refuses.
        is_stopped: bool,
    },
    /// The server could not be asked.
    Failed(HttpFailure),
}

/// The values of a metric that the server has told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Line {
    pub(super) times: Vec<f64>,
    pub(super) values: Vec<f64>,
}

/// The past of one device. `Copy`, and provided as a context by the device's charts.
#[derive(Copy, Clone)]
pub struct Past {
    state: AppState,
    inner: StoredValue<Rc<Inner>, LocalStorage>,
    memory: RwSignal<Memory>,
    /// What is shown, in milliseconds since 1970, if it is not the latest window.
    view: RwSignal<Option<(f64, f64)>>,
    /// Grows when there is something new to draw.
    version: RwSignal<u32>,
    is_asking: RwSignal<bool>,
    damaged: RwSignal<usize>,
}

struct Inner {
    device: String,
    metrics: RefCell<Vec<(MetricKey, String)>>,
    lines: RefCell<HashMap<u16, Line>>,
    /// What the lines cover.
    covered: Cell<Option<(f64, f64)>>,
    /// What was shown before, for the way back.
    before: RefCell<Vec<Option<(f64, f64)>>>,
    requests: RefCell<Vec<Request>>,
    /// Counts the questions, so that a late answer to an earlier one is left out.
    number: Cell<u32>,
    asked_at: Cell<f64>,
}

impl Past {
    /// The past of the device of this full id, of which nothing is known yet.
    pub fn provide(device: String) -> Self {
        let inner = Inner {
            device,
            metrics: RefCell::default(),
            lines: RefCell::default(),
            covered: Cell::default(),
            before: RefCell::default(),
            requests: RefCell::default(),
            number: Cell::default(),
            asked_at: Cell::new(f64::MIN),
        };
        let past = Self {
            state: AppState::expect(),
            inner: StoredValue::new_local(Rc::new(inner)),
            memory: RwSignal::new(Memory::Asking),
            view: RwSignal::new(None),
            version: RwSignal::new(0),
            is_asking: RwSignal::new(false),
            damaged: RwSignal::new(0),
        };
        provide_context(past);
        past.ask_whether_there_is_any();
        past.keep_asking();
        past
    }

    /// The past of the page's device, if it has one.
    pub fn find() -> Option<Self> {
        use_context()
    }

    /// Where the readings come from.
    pub fn memory(self) -> ReadSignal<Memory> {
        self.memory.read_only()
    }

    /// Whether an answer is awaited.
    pub fn is_asking(self) -> ReadSignal<bool> {
        self.is_asking.read_only()
    }

    /// How many parts of what is shown were stored and cannot be read any more.
    pub fn damaged(self) -> ReadSignal<usize> {
        self.damaged.read_only()
    }

    /// What is shown, if it is not the latest window.
    pub fn view(self) -> ReadSignal<Option<(f64, f64)>> {
        self.view.read_only()
    }

    /// Charts are drawn again when this has changed.
    pub(super) fn track(self) {
        self.version.track();
        self.view.track();
    }

    /// The metrics of the page: their keys, and their names as the device says them.
    pub fn set_metrics(self, metrics: Vec<(MetricKey, String)>) {
        let inner = self.inner.get_value();
        let is_new = *inner.metrics.borrow() != metrics;
        *inner.metrics.borrow_mut() = metrics;
        if is_new {
            self.ask();
        }
    }

    /// Shows this part, and remembers the one before.
    pub fn show(self, from: f64, to: f64) {
        let length = (to - from).clamp(SHORTEST, LONGEST_VIEW);
        let middle = f64::midpoint(from, to);
        let now = now(self.state);
        let end = (middle + length / 2.0).min(now + length / 10.0);
        self.remember();
        self.view.set(Some((end - length, end)));
        self.ask();
    }

    fn remember(self) {
        const MOST: usize = 50;
        let inner = self.inner.get_value();
        let mut before = inner.before.borrow_mut();
        if before.len() == MOST {
            before.remove(0);
        }
        before.push(self.view.get_untracked());
    }

    /// Shows what was shown before. Returns whether there was anything.
    pub fn back(self) -> bool {
        let inner = self.inner.get_value();
        let before = inner.before.borrow_mut().pop();
        let is_there = before.is_some() || self.view.get_untracked().is_some();
        self.view.set(before.flatten());
        if is_there {
            self.ask();
        }
        is_there
    }

    /// Shows the latest window again.
    pub fn live(self) {
        self.inner.get_value().before.borrow_mut().clear();
        self.view.set(None);
        self.ask();
    }

    /// Moves what is shown by a part of its length, and makes it longer or shorter around a place in it (0 to 1).
    pub fn change(self, shown: (f64, f64), by: f64, factor: f64, around: f64) {
        let (from, to) = changed(shown, by, factor, around);
        self.show(from, to);
    }

    /// The same without remembering each step.
    pub(super) fn drag_to_changed(self, shown: (f64, f64), by: f64, factor: f64, around: f64) {
        let (from, to) = changed(shown, by, factor, around);
        self.drag_to(from, to);
    }

    /// Moves what is shown without remembering each step, as a finger does.
    pub fn drag_to(self, from: f64, to: f64) {
        self.view.set(Some((from, to)));
        self.ask_at_rest();
    }

    /// A line that the server has told, and until when it reaches.
    pub(super) fn with_line<T>(
        self,
        metric: MetricKey,
        read: impl FnOnce(&Line, f64) -> T,
    ) -> Option<T> {
        let inner = self.inner.get_value();
        let lines = inner.lines.borrow();
        let (_, to) = inner.covered.get()?;
        Some(read(lines.get(&metric.0)?, to))
    }

    fn ask_whether_there_is_any(self) {
        let state = self.state;
        let inner = self.inner.get_value();
        Effect::new(move |_| {
            let memory = match state.mode().get() {
                Mode::Follows if state.remembers().get() => None,
                Mode::Deciding => Some(Memory::Asking),
                Mode::Follows | Mode::Alone => Some(Memory::None),
            };
            if let Some(memory) = memory {
                self.memory.set(memory);
                return;
            }
            let request = Request::send(Method::Get, "api/v1/history", move |answer| {
                self.memory.set(memory_of(answer));
                self.ask();
            });
            inner.requests.borrow_mut().push(request);
        });
    }

    /// Asks again now and then, as time goes on.
    fn keep_asking(self) {
        let state = self.state;
        let inner = self.inner.get_value();
        let before = Cell::new(now(state));
        Effect::new(move |_| {
            state.now().track();
            let window = state.window.get();
            let now = now(state);
            // After a sleep there is something to catch up with.
            let has_slept = now - before.replace(now) > 30_000.0;
            let length = window.millis().unwrap_or(0.0);
            let due = (length / PARTS).max(OFTEN);
            let is_due = length > 900_000.0 && now - inner.asked_at.get() > due;
            if has_slept || (is_due && self.view.get_untracked().is_none()) {
                self.ask();
            }
        });
        Effect::new(move |before: Option<()>| {
            state.window.track();
            if before.is_some() {
                self.live();
            }
        });
    }

    fn ask_at_rest(self) {
        let inner = self.inner.get_value();
        let number = inner.number.get();
        set_timeout(
            move || {
                if inner.number.get() == number {
                    self.ask();
                }
            },
            std::time::Duration::from_millis(120),
        );
    }

    /// Asks for what is shown.
    fn ask(self) {
        let state = self.state;
        let inner = self.inner.get_value();
        if !matches!(self.memory.get_untracked(), Memory::Server { .. }) {
            return;
        }
        let now = now(state);
        let (from, to) = self.shown();
        // A little more than is shown, so that lines enter from the edges, and a small move finds something.
        let margin = (to - from) * 0.1;
        let (from, to) = (from - margin, (to + margin).min(now));
        if from >= to || inner.metrics.borrow().is_empty() {
            return;
        }
        inner.asked_at.set(now);
        let number = inner.number.get().wrapping_add(1);
        inner.number.set(number);
        let addresses = addresses(&inner.device, &inner.metrics.borrow(), from, to);
        let left = Rc::new(Cell::new(addresses.len()));
        let fresh = Rc::new(RefCell::new((HashMap::new(), 0usize)));
        self.is_asking.set(true);
        let requests = addresses.into_iter().map(|address| {
            let (inner, left, fresh) = (Rc::clone(&inner), Rc::clone(&left), Rc::clone(&fresh));
            Request::send(Method::Get, &address, move |answer| {
                if inner.number.get() != number {
                    return;
                }
                left.set(left.get() - 1);
                match answer
                    .ok()
                    .and_then(|body| serde_json::from_slice::<ManySeries>(&body).ok())
                {
                    Some(many) => take(many, &inner.metrics.borrow(), &mut fresh.borrow_mut()),
                    // The live readings go on, and the next question comes soon.
                    None => inner.asked_at.set(f64::MIN),
                }
                if left.get() == 0 {
                    let (lines, damaged) = fresh.take();
                    *inner.lines.borrow_mut() = lines;
                    inner.covered.set(Some((from, to)));
                    self.damaged.set(damaged);
                    self.is_asking.set(false);
                    self.version
                        .update(|version| *version = version.wrapping_add(1));
                }
            })
        });
        // Those of an earlier question are given up.
        let requests: Vec<Request> = requests.collect();
        *inner.requests.borrow_mut() = requests;
    }

    /// From when to when the charts show.
    pub(super) fn shown(self) -> (f64, f64) {
        self.view.get_untracked().unwrap_or_else(|| {
            let now = now(self.state);
            let length = self
                .state
                .window
                .get_untracked()
                .millis()
                .unwrap_or(3_600_000.0);
            (now - length, now)
        })
    }
}

fn changed(shown: (f64, f64), by: f64, factor: f64, around: f64) -> (f64, f64) {
    let length = shown.1 - shown.0;
    let fixed = shown.0 + length * around;
    let new = (length * factor).clamp(SHORTEST, LONGEST_VIEW);
    let from = fixed - new * around + length * by;
    (from, from + new)
}

// Exact for the next 285,000 years.
#[allow(clippy::cast_precision_loss)]
fn now(state: AppState) -> f64 {
    state.wall_ms().0 as f64
}

/// A date for people: `1 Dec 2026, 09:05:30`, without what is as today.
pub fn date(time: f64) -> String {
    super::plot::moment(time)
}

fn memory_of(answer: Result<Vec<u8>, HttpFailure>) -> Memory {
    let body = match answer {
        Ok(body) => body,
        Err(HttpFailure::Status(404)) => return Memory::None,
        Err(failure) => return Memory::Failed(failure),
    };
    let Ok(info) = serde_json::from_slice::<HistoryInfo>(&body) else {
        return Memory::None;
    };
    // Exact for the next 285,000 years.
    #[allow(clippy::cast_precision_loss)]
    let since = info
        .rollups_since
        .or(info.raw_since)
        .map(|time| time.0 as f64);
    Memory::Server {
        since,
        is_stopped: info.state != HistoryState::Recording,
    }
}

fn addresses(device: &str, metrics: &[(MetricKey, String)], from: f64, to: f64) -> Vec<String> {
    let head = format!("api/v1/series?from={from:.0}&to={to:.0}&width={WIDTH}");
    // Encoded twice: the server decodes the parameter, and then the parts of the pair.
    let device = percent_encode(&percent_encode(device));
    let mut all: Vec<String> = Vec::new();
    for (_, name) in metrics {
        let name = percent_encode(&percent_encode(name));
        let more = format!("&of={device}%2F{name}");
        match all.last_mut() {
            // Writing to a String cannot fail.
            Some(last) if last.len() + more.len() < LONGEST => drop(write!(last, "{more}")),
            Some(_) | None => all.push(format!("{head}{more}")),
        }
    }
    all
}

fn take(many: ManySeries, metrics: &[(MetricKey, String)], into: &mut (HashMap<u16, Line>, usize)) {
    for series in many.series {
        into.1 += series.damaged.len();
        let key = metrics.iter().find(|(_, name)| *name == series.metric);
        if let Some((key, _)) = key {
            into.0
                .insert(key.0, line(&series.points, series.resolution_ms));
        }
    }
}

/// The points as a line. A span becomes four points, so that its extremes are seen: as many as pixels need.
// Times are exact for the next 285,000 years.
#[allow(clippy::cast_precision_loss)]
fn line(points: &[Point], resolution: i64) -> Line {
    let mut line = Line::default();
    let mut push = |time: f64, value: f64| {
        line.times.push(time);
        line.values.push(value);
    };
    let quarter = resolution as f64 / 4.0;
    for point in points {
        match point {
            Point::Value(time, value) => {
                let value = match value {
                    api::fleet::Scalar::Number(value) => *value,
                    api::fleet::Scalar::Bool(value) => f64::from(u8::from(*value)),
                    api::fleet::Scalar::Text(_) => continue,
                };
                push(*time as f64, value);
            }
            Point::Span {
                time,
                first,
                min,
                max,
                last,
                count,
            } => {
                let time = *time as f64;
                if *count == 1 {
                    push(time, *first);
                    continue;
                }
                // A rising line goes through its lowest value first.
                let (early, late) = if first <= last {
                    (min, max)
                } else {
                    (max, min)
                };
                push(time, *first);
                push(time + quarter, *early);
                push(time + 2.0 * quarter, *late);
                push(time + 3.0 * quarter, *last);
            }
        }
    }
    line
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Whole numbers.
mod tests {
    use super::*;
    use api::fleet::Scalar;

    #[test]
    fn names_with_slashes_come_back_as_they_were() {
        let metrics = [
            (MetricKey(0), "a/b c".to_owned()),
            (MetricKey(1), "t".to_owned()),
        ];
        let all = addresses("plant/pump", &metrics, 0.0, 10.0);
        assert_eq!(
            all,
            [
                "api/v1/series?from=0&to=10&width=800&of=plant%252Fpump%2Fa%252Fb%2520c&of=plant%252Fpump%2Ft"
            ]
        );
        let many: Vec<_> = (0..500)
            .map(|at| (MetricKey(at), format!("metric-{at}")))
            .collect();
        let all = addresses("plant/pump", &many, 0.0, 10.0);
        assert!(all.len() > 1 && all.iter().all(|address| address.len() < LONGEST + 200));
    }

    #[test]
    fn a_span_shows_its_extremes() {
        let span = |first, last| Point::Span {
            time: 1000,
            first,
            min: 1.0,
            max: 9.0,
            last,
            count: 60,
        };
        let rising = line(&[span(2.0, 3.0)], 400);
        assert_eq!(rising.values, [2.0, 1.0, 9.0, 3.0]);
        assert_eq!(rising.times, [1000.0, 1100.0, 1200.0, 1300.0]);
        assert_eq!(line(&[span(3.0, 2.0)], 400).values, [3.0, 9.0, 1.0, 2.0]);
        let values = [
            Point::Value(1, Scalar::Bool(true)),
            Point::Value(2, Scalar::Text("x".to_owned())),
            Point::Value(3, Scalar::Number(2.5)),
        ];
        assert_eq!(line(&values, 0).values, [1.0, 2.5]);
    }
}
