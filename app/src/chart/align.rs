//! Puts several metrics on one time axis, in the form that uPlot takes: one list of times, and a
//! list of as many values for each metric.

use super::trace::is_gap;

/// Readings of several metrics on one time axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Aligned {
    /// Milliseconds since the Unix epoch, rising.
    pub(super) times: Vec<f64>,
    /// For each metric, a cell for each of the times.
    pub(super) values: Vec<Vec<Cell>>,
}

/// What a metric has at one time.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// A reading.
    Reading(f64),
    /// Only another metric has a reading at this time: the line goes on.
    Nothing,
    /// The device was silent: the line breaks.
    Gap,
}

impl Cell {
    /// The reading, if it is one.
    pub(super) const fn reading(self) -> Option<f64> {
        match self {
            Self::Reading(value) => Some(value),
            Self::Nothing | Self::Gap => None,
        }
    }
}

impl Aligned {
    /// Puts `series` (times and values of each) on one axis.
    pub(super) fn new(series: &[(&[f64], &[f64])]) -> Self {
        let mut next = vec![0; series.len()];
        let mut aligned = Self {
            times: Vec::new(),
            values: vec![Vec::new(); series.len()],
        };
        loop {
            let due = next
                .iter()
                .zip(series)
                .filter_map(|(next, (times, _))| times.get(*next).copied());
            let Some(time) = due.min_by(f64::total_cmp) else {
                return aligned;
            };
            let is_due = |next: usize, times: &[f64]| times.get(next).is_some_and(|at| *at <= time);
            aligned.break_lines(series, &next, time);
            aligned.times.push(time);
            for (index, (times, values)) in series.iter().enumerate() {
                let cell = if is_due(next[index], times) {
                    next[index] += 1;
                    Cell::Reading(values[next[index] - 1])
                } else {
                    Cell::Nothing
                };
                aligned.values[index].push(cell);
            }
        }
    }

    /// Adds a row just before `time`, in which the lines of the metrics that were silent until then
    /// break.
    fn break_lines(&mut self, series: &[(&[f64], &[f64])], next: &[usize], time: f64) {
        let silent: Vec<bool> = series
            .iter()
            .zip(next)
            .map(|((times, _), next)| {
                times.get(*next).is_some_and(|at| *at <= time) && is_gap(times, *next)
            })
            .collect();
        if silent.contains(&true) {
            self.times.push(time - 1.0);
            for (values, silent) in self.values.iter_mut().zip(silent) {
                values.push(if silent { Cell::Gap } else { Cell::Nothing });
            }
        }
    }

    /// Whether every metric has a reading at every time.
    pub(super) fn is_complete(&self) -> bool {
        let mut cells = self.values.iter().flatten();
        cells.all(|cell| matches!(cell, Cell::Reading(_)))
    }

    /// The reading of a metric at the row `index`, or the one before it.
    pub(super) fn reading_at(&self, metric: usize, index: usize) -> Option<f64> {
        let values = self.values.get(metric)?;
        let until = values.get(..=index)?;
        until.iter().rev().find_map(|cell| cell.reading())
    }

    /// The readings of a metric.
    pub(super) fn readings(&self, metric: usize) -> impl Iterator<Item = f64> + '_ {
        let values = self.values.get(metric).into_iter().flatten();
        values.filter_map(|cell| cell.reading())
    }

    /// The rows at which a metric has a reading but no line: nothing, or a silence, on both sides.
    pub(super) fn lone(&self, metric: usize) -> Vec<u32> {
        let cells = self.values.get(metric).into_iter().flatten();
        let mut lone = Vec::new();
        // The row of a reading that has had no neighbour so far.
        let mut alone: Option<u32> = None;
        let mut joined = false;
        for (row, cell) in (0..).zip(cells) {
            match cell {
                Cell::Reading(_) => {
                    joined = alone.is_some() || joined;
                    alone = (!joined).then_some(row);
                }
                Cell::Nothing => {}
                Cell::Gap => {
                    lone.extend(alone.take());
                    joined = false;
                }
            }
        }
        lone.extend(alone);
        lone
    }

    /// The lowest and the highest reading of a metric.
    pub(super) fn extremes(&self, metric: usize) -> Option<(f64, f64)> {
        self.readings(metric)
            .fold(None, |extremes: Option<(f64, f64)>, value| {
                let (low, high) = extremes.unwrap_or((value, value));
                Some((low.min(value), high.max(value)))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Cell::{Gap, Nothing, Reading};

    #[test]
    fn metrics_of_the_same_messages_share_their_rows() {
        let times: &[f64] = &[1.0, 2.0, 3.0];
        let aligned = Aligned::new(&[(times, &[10.0, 20.0, 30.0]), (times, &[5.0, 6.0, 7.0])]);
        assert_eq!(aligned.times, times);
        assert!(aligned.is_complete());
        assert_eq!(aligned.values[1], [5.0, 6.0, 7.0].map(Reading));
        assert_eq!(aligned.extremes(0), Some((10.0, 30.0)));
    }

    #[test]
    fn metrics_of_their_own_times_keep_every_reading() {
        let aligned = Aligned::new(&[
            (&[1.0, 3.0, 5.0], &[10.0, 30.0, 50.0]),
            (&[2.0, 3.0], &[1.0, 2.0]),
            (&[], &[]),
        ]);
        assert_eq!(aligned.times, [1.0, 2.0, 3.0, 5.0]);
        assert_eq!(
            aligned.values[0],
            [Reading(10.0), Nothing, Reading(30.0), Reading(50.0)]
        );
        assert_eq!(
            aligned.values[1],
            [Nothing, Reading(1.0), Reading(2.0), Nothing]
        );
        assert!(!aligned.is_complete());
        assert_eq!(aligned.reading_at(0, 1), Some(10.0));
        assert_eq!(aligned.reading_at(1, 0), None);
        assert_eq!(aligned.reading_at(1, 3), Some(2.0));
        assert_eq!(aligned.extremes(2), None);
    }

    #[test]
    fn a_silence_breaks_the_line_of_the_silent_one() {
        let mut times: Vec<f64> = (0..6).map(|second| f64::from(second) * 1_000.0).collect();
        times.extend((0..6).map(|second| 90_000.0 + f64::from(second) * 1_000.0));
        let values = vec![1.0; times.len()];
        let aligned = Aligned::new(&[(&times, &values)]);
        assert_eq!(aligned.times.len(), 13);
        assert_eq!(aligned.values[0][6], Gap);
        assert!(aligned.times.is_sorted());
    }

    #[test]
    fn a_reading_without_a_line_is_found() {
        let lone = |cells: &[Cell]| {
            let aligned = Aligned {
                times: Vec::new(),
                values: vec![cells.to_vec()],
            };
            aligned.lone(0)
        };
        let one = Reading(1.0);
        assert_eq!(lone(&[one]), [0]);
        assert_eq!(lone(&[Nothing, one, Nothing]), [1]);
        assert!(lone(&[one, Nothing, one]).is_empty());
        assert_eq!(lone(&[one, Gap, one, one]), [0]);
        assert_eq!(lone(&[one, one, Gap, one, Gap, one, one, one]), [3]);
        assert_eq!(lone(&[one, one, Gap, one]), [3]);
        assert!(lone(&[]).is_empty());
    }

    #[test]
    fn readings_of_one_instant_are_all_kept() {
        let aligned = Aligned::new(&[(&[1.0, 1.0], &[1.0, 2.0])]);
        assert_eq!(aligned.times, [1.0, 1.0]);
        assert_eq!(aligned.values[0], [1.0, 2.0].map(Reading));
    }
}
