//! What a chart shows: which readings, from when to when, and what they are in words.

use fleet::{DeviceKey, MetricKey};
use leptos::prelude::*;

use super::align::Aligned;
use super::past::Past;
use super::plot::moment;
use super::scale::Span;
use crate::state::{AppState, ChartWindow, format};

/// What the chart shows.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) state: AppState,
    pub(super) past: Option<Past>,
    pub(super) device: DeviceKey,
    pub(super) metrics: Vec<MetricKey>,
    pub(super) names: Vec<String>,
    pub(super) unit: Option<String>,
    pub(super) title: String,
    pub(super) on_off: bool,
}

/// The values below the chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Readout {
    /// The time under the cursor, or of the latest reading.
    pub(super) time: String,
    pub(super) names: Vec<String>,
    pub(super) values: Vec<String>,
    /// The whole chart in words.
    pub(super) summary: String,
}

impl Source {
    /// The readings to show, and from when to when.
    pub(super) fn read(&self) -> (Aligned, f64, f64) {
        let window: ChartWindow = self.state.window.get_untracked();
        // Exact for the next 285,000 years.
        #[allow(clippy::cast_precision_loss)]
        let now = self.state.wall_ms().0 as f64;
        let view = self.past.and_then(|past| past.view().get_untracked());
        let from = view.map(|(from, _)| from);
        let from = from.unwrap_or_else(|| window.millis().map_or(0.0, |millis| now - millis));
        let until = view.map_or(f64::INFINITY, |(_, to)| to);
        let mut copies = Vec::with_capacity(self.metrics.len());
        for metric in &self.metrics {
            // What the server remembers comes first, and what came since behind it.
            let told = self.past.and_then(|past| {
                past.with_line(*metric, |line, to| {
                    let part = part(&line.times, &line.values, from, until);
                    (part.0.to_vec(), part.1.to_vec(), to)
                })
            });
            let (mut times, mut values, told_to) =
                told.unwrap_or((Vec::new(), Vec::new(), f64::MIN));
            self.state.with_series(self.device, *metric, |series| {
                let (live, readings) = series.since(from);
                let begin = live.partition_point(|at| *at <= told_to);
                let (live, readings) = part(&live[begin..], &readings[begin..], from, until);
                times.extend_from_slice(live);
                values.extend_from_slice(readings);
            });
            copies.push((times, values));
        }
        let slices: Vec<(&[f64], &[f64])> = copies
            .iter()
            .map(|(times, values)| (times.as_slice(), values.as_slice()))
            .collect();
        let data = Aligned::new(&slices);
        let (from, to) = view.unwrap_or_else(|| ends(window, now, &data.times));
        (data, from, to)
    }

    /// The values that the axis shows.
    pub(super) fn span(&self, data: &Aligned) -> Span {
        if self.on_off {
            return Span::of_lanes(data.values.len());
        }
        let readings = (0..data.values.len()).flat_map(|line| data.readings(line));
        Span::of_axis(readings, self.unit.as_deref())
    }

    pub(super) fn read_out(&self, data: &Aligned, row: Option<usize>) -> Readout {
        let Some(last) = data.times.len().checked_sub(1) else {
            return Readout {
                summary: format!("{}: no readings yet", self.title),
                names: self.names.clone(),
                ..Readout::default()
            };
        };
        let row = row.unwrap_or(last).min(last);
        let values = (0..self.metrics.len()).map(|metric| {
            let reading = data.reading_at(metric, row);
            reading.map_or_else(|| "–".to_owned(), |value| self.text(value))
        });
        Readout {
            time: moment(data.times[row]),
            values: values.collect(),
            names: self.names.clone(),
            summary: self.summary(data, last),
        }
    }

    /// `Temperature: temp 23.6 °C, between 20.1 °C and 25 °C`
    fn summary(&self, data: &Aligned, last: usize) -> String {
        let named = named(self.names.len());
        let mut lines: Vec<String> = self
            .names
            .iter()
            .enumerate()
            .take(named)
            .filter_map(|(metric, name)| {
                let latest = self.text(data.reading_at(metric, last)?);
                let (low, high) = data.extremes(metric)?;
                let (low, high) = (self.text(low), self.text(high));
                Some(if low == high {
                    format!("{name} {latest}")
                } else {
                    format!("{name} {latest}, between {low} and {high}")
                })
            })
            .collect();
        if named < self.names.len() {
            lines.push(format!("and {} more", self.names.len() - named));
        }
        format!("{}: {}", self.title, lines.join("; "))
    }

    fn text(&self, value: f64) -> String {
        if self.on_off {
            return if value >= 0.5 { "on" } else { "off" }.to_owned();
        }
        let number = format::number(value);
        match &self.unit {
            Some(unit) => format!("{number} {unit}"),
            None => number,
        }
    }
}

impl Readout {
    pub(super) fn value(&self, index: usize) -> String {
        self.values.get(index).cloned().unwrap_or_default()
    }

    /// `temp 23.6 °C, humidity 40 % at 09:05:30`
    pub(super) fn spoken(&self) -> String {
        let values: Vec<String> = self
            .names
            .iter()
            .zip(&self.values)
            .take(named(self.names.len()))
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        format!("{} at {}", values.join(", "), self.time)
    }
}

/// How many lines are named, below the chart and aloud. Nobody reads a hundred, which an array has.
pub(super) fn named(lines: usize) -> usize {
    const MOST: usize = 12;
    const FIRST: usize = 6;
    if lines > MOST { FIRST } else { lines }
}

/// The readings from the one before `from` to the one behind `until`, so that lines enter from the edges.
fn part<'a>(times: &'a [f64], values: &'a [f64], from: f64, until: f64) -> (&'a [f64], &'a [f64]) {
    let begin = times.partition_point(|at| *at < from).saturating_sub(1);
    let end = (times.partition_point(|at| *at <= until) + 1)
        .min(times.len())
        .max(begin);
    (&times[begin..end], &values[begin..end])
}

/// When the chart begins and ends: exactly the window that was chosen, up to now, or a reading that a
/// device's clock put behind it. All readings have at least ten seconds, because two of them must not
/// fill the whole width.
fn ends(window: ChartWindow, now: f64, times: &[f64]) -> (f64, f64) {
    let to = times.last().map_or(now, |last| last.max(now));
    let from = match window.millis() {
        Some(millis) => to - millis,
        None => times.first().copied().unwrap_or(now).min(to - 10_000.0),
    };
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Choice as _;

    #[test]
    #[allow(clippy::float_cmp)] // Whole numbers.
    fn the_axis_shows_the_window_that_was_chosen() {
        let now = 1_000_000.0;
        for window in ChartWindow::ALL {
            let (from, to) = ends(*window, now, &[now - 2_000.0, now - 1_000.0]);
            let length = window.millis().unwrap_or(10_000.0);
            assert_eq!((from, to), (now - length, now));
        }
        let all = ends(ChartWindow::All, now, &[1_000.0, now]);
        assert_eq!(all, (1_000.0, now));
        let ahead = ends(ChartWindow::Minute, now, &[now + 5_000.0]);
        assert_eq!(ahead, (now - 55_000.0, now + 5_000.0));
    }

    #[test]
    fn a_long_array_is_not_named_line_by_line() {
        assert_eq!((named(1), named(12), named(13), named(120)), (1, 12, 6, 6));
    }
}
