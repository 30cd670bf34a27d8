//! Turns readings into a line of pixels, by arithmetic alone.

use super::scale::Span;

/// One step of a pen, in pixels from the top left.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// A reading alone: the device was silent before and after it.
    Dot(f64, f64),
    /// The pen is lifted, because the device was silent in between.
    Move(f64, f64),
    /// The pen draws.
    Line(f64, f64),
}

/// A rectangle to draw into, in pixels.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// The line through readings, from the first at the left edge to the last at the right edge.
///
/// In each column of pixels at most four points are drawn (the first, the lowest, the
/// highest and the last reading), so that the cost is bounded by the width, and no peak is
/// lost.
pub(super) fn trace(times: &[f64], values: &[f64], span: Span, frame: Frame) -> Vec<Step> {
    let (Some(first), Some(last)) = (times.first(), times.last()) else {
        return Vec::new();
    };
    let length = last - first;
    let x = |time: f64| {
        let share = if length > 0.0 {
            (time - first) / length
        } else {
            1.0
        };
        frame.left + share * frame.width
    };
    let y = |value: f64| frame.top + (1.0 - span.share(value)) * frame.height;

    let mut steps = Vec::new();
    let mut start = 0;
    while start < times.len() {
        let column = x(times[start]).floor();
        let mut end = start + 1;
        while end < times.len() && x(times[end]).floor() <= column && !is_gap(times, end) {
            end += 1;
        }
        let lifted = start == 0 || is_gap(times, start);
        for index in corners(&values[start..end]) {
            let at = start + index;
            let (x, y) = (x(times[at]), y(values[at]));
            steps.push(if lifted && at == start {
                let alone = at + 1 == times.len() || is_gap(times, at + 1);
                if alone {
                    Step::Dot(x, y)
                } else {
                    Step::Move(x, y)
                }
            } else {
                Step::Line(x, y)
            });
        }
        start = end;
    }
    steps
}

/// Whether the device was silent before the reading at `index`: at least 15 s, and eight times as
/// long as the gaps around it, which are longer where readings have been thinned out.
pub(super) fn is_gap(times: &[f64], index: usize) -> bool {
    const SILENCE_MS: f64 = 15_000.0;
    const TIMES_LONGER: f64 = 8.0;
    const NEIGHBOURS: usize = 4;

    let Some(before) = index.checked_sub(1) else {
        return false;
    };
    let gap = times[index] - times[before];
    if gap < SILENCE_MS {
        return false;
    }
    let mean = |from: usize, to: usize| {
        let gaps = u32::try_from(to - from).unwrap_or(u32::MAX);
        (gaps > 0).then(|| (times[to] - times[from]) / f64::from(gaps))
    };
    let left = mean(before.saturating_sub(NEIGHBOURS), before);
    let right = mean(index, (index + NEIGHBOURS).min(times.len() - 1));
    // Without neighbours on either side nobody can tell, so this counts as no silence.
    let usual = match (left, right) {
        (Some(left), Some(right)) => left.max(right),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return false,
    };
    gap > TIMES_LONGER * usual
}

/// The indices of the first, lowest, highest and last value, in order and each once.
fn corners(values: &[f64]) -> impl Iterator<Item = usize> {
    let (mut low, mut high) = (0, 0);
    for (index, value) in values.iter().enumerate() {
        if *value < values[low] {
            low = index;
        }
        if *value > values[high] {
            high = index;
        }
    }
    let mut corners = [0, low.min(high), low.max(high), values.len() - 1].map(Some);
    for index in 1..corners.len() {
        if corners[..index].contains(&corners[index]) {
            corners[index] = None;
        }
    }
    corners.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Frame = Frame {
        left: 0.0,
        top: 0.0,
        width: 100.0,
        height: 10.0,
    };
    const SPAN: Span = Span {
        low: 1.0,
        high: 3.0,
    };

    #[test]
    fn a_line_runs_from_edge_to_edge_and_from_low_to_high() {
        let steps = trace(&[0.0, 500.0, 1_000.0], &[1.0, 3.0, 2.0], SPAN, FRAME);
        let expected = [
            Step::Move(0.0, 10.0),
            Step::Line(50.0, 0.0),
            Step::Line(100.0, 5.0),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn one_reading_is_a_dot() {
        assert_eq!(trace(&[7.0], &[2.0], SPAN, FRAME), [Step::Dot(100.0, 5.0)]);
        assert_eq!(trace(&[], &[], SPAN, FRAME), []);
        // The first one after a long silence.
        let mut times: Vec<f64> = (0..5).map(|second| f64::from(second) * 1_000.0).collect();
        times.push(120_000.0);
        let steps = trace(&times, &vec![2.0; times.len()], SPAN, FRAME);
        assert_eq!(steps.last(), Some(&Step::Dot(100.0, 5.0)));
    }

    #[test]
    fn any_number_of_readings_costs_no_more_than_the_width_and_keeps_peaks() {
        let times: Vec<f64> = (0..100_000).map(f64::from).collect();
        let mut values = vec![1.0; times.len()];
        values[54_321] = 100.0;
        let span = Span {
            low: 1.0,
            high: 100.0,
        };
        let steps = trace(&times, &values, span, FRAME);
        assert!(steps.len() <= 404, "{}", steps.len());
        let is_peak = |step: &Step| matches!(step, Step::Line(_, y) if *y < 0.001);
        assert!(steps.iter().any(is_peak));
    }

    #[test]
    fn a_silence_lifts_the_pen() {
        let mut times: Vec<f64> = (0..10).map(|second| f64::from(second) * 1_000.0).collect();
        times.extend((0..10).map(|second| 120_000.0 + f64::from(second) * 1_000.0));
        let values = vec![0.0; times.len()];
        let moves = |step: &&Step| matches!(step, Step::Move(..));
        let steps = trace(&times, &values, SPAN, FRAME);
        assert_eq!(steps.iter().filter(moves).count(), 2);
        assert!(is_gap(&times, 10) && !is_gap(&times, 9));
    }

    #[test]
    fn a_slow_device_is_not_silent() {
        let times: Vec<f64> = (0..20).map(|index| f64::from(index) * 300_000.0).collect();
        assert!((0..20).all(|index| !is_gap(&times, index)));
        assert!(!is_gap(&[0.0, 1e9], 1), "two readings tell nothing");
    }
}
