//! The points of a chart: first, smallest, largest and last value of each pixel (M4: Jugel et al., "M4: A
//! Visualization-Oriented Time Series Data Aggregation", VLDB 2014). A line through them looks as one
//! through all values.

use crate::Millis;
use crate::rollup::{Level, Rollup};

/// What is drawn at one pixel.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Pixel {
    /// Where the pixel's span begins.
    pub time: Millis,
    /// The first value.
    pub first: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The last.
    pub last: f64,
    /// How many there are.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
}

/// So many spans of a pixel are tried.
const TRIES: Millis = 64;

/// Gathers the values of a range by pixel. They may come in any order.
#[derive(Debug)]
pub struct M4 {
    start: Millis,
    end: Millis,
    resolution: Millis,
    pixels: Vec<Option<Rollup>>,
    /// The pixel of the last value, and where its span begins: the next value is most often of the same one.
    current: (usize, Millis),
}

/// The coarsest rollups that are exact for a chart: a pixel is a whole number of their buckets, as [`M4::new`]
/// makes it. `None`: the values themselves.
pub fn level_for(from: Millis, to: Millis, width: usize) -> Option<Level> {
    let width = Millis::try_from(width.max(1)).unwrap_or(Millis::MAX);
    let resolution = to.saturating_sub(from) / width;
    let mut levels = Level::ALL.into_iter().rev();
    levels.find(|level| level.millis() <= resolution)
}

impl M4 {
    /// For `from <= time < to` in at most `width` pixels. A pixel's span is a whole number of the level's
    /// buckets, and begins with one. So the first pixel may begin before `from`.
    pub fn new(from: Millis, to: Millis, width: usize, level: Option<Level>) -> Self {
        let width = Millis::try_from(width.clamp(1, 1 << 20)).unwrap_or(1);
        let step = level.map_or(1, Level::millis);
        let span = to.saturating_sub(from).max(1);
        let mut resolution = next_multiple(span.div_euclid(width).max(1), step);
        let aligned = |resolution: Millis| from.saturating_sub(from.rem_euclid(resolution));
        let last = |resolution: Millis| to.saturating_sub(aligned(resolution)) / resolution;
        // The first pixel may begin before `from`, so there may be one too many. Often a little more is enough.
        // With one pixel less, it always is.
        let enough = next_multiple(span / (width - 1).max(1), step).saturating_add(step);
        let tries = resolution.saturating_add(step.saturating_mul(TRIES));
        while last(resolution) >= width && resolution < enough {
            resolution = if resolution < tries {
                resolution.saturating_add(step)
            } else {
                enough
            };
        }
        Self::aligned(from, to, resolution)
    }

    /// For `from <= time < to`, in spans of `resolution` that begin with its multiples.
    pub fn aligned(from: Millis, to: Millis, resolution: Millis) -> Self {
        let resolution = resolution.max(1);
        let start = from.saturating_sub(from.rem_euclid(resolution));
        let count = (to.saturating_sub(start).max(0) / resolution).saturating_add(1);
        Self {
            start,
            end: to,
            resolution,
            pixels: vec![None; usize::try_from(count).unwrap_or(1).min(1 << 21)],
            current: (0, start),
        }
    }

    /// The milliseconds of a pixel.
    pub const fn resolution(&self) -> Millis {
        self.resolution
    }

    /// A value.
    pub fn sample(&mut self, time: Millis, value: f64) {
        match self.pixel(time) {
            Some(Some(pixel)) => pixel.add(time, value),
            Some(pixel) => *pixel = Some(Rollup::of(time, time, value)),
            None => {}
        }
    }

    /// A rollup of the level that was given.
    pub fn rollup(&mut self, rollup: &Rollup) {
        match self.pixel(rollup.start) {
            Some(Some(pixel)) => pixel.merge(rollup),
            Some(pixel) => *pixel = Some(*rollup),
            None => {}
        }
    }

    fn pixel(&mut self, time: Millis) -> Option<&mut Option<Rollup>> {
        if time < self.start || time >= self.end {
            return None;
        }
        let (mut pixel, begin) = self.current;
        let behind = time.saturating_sub(begin);
        if behind < 0 || behind >= self.resolution {
            let place = time.saturating_sub(self.start) / self.resolution;
            pixel = usize::try_from(place).ok()?;
            self.current = (pixel, self.start.saturating_add(place * self.resolution));
        }
        self.pixels.get_mut(pixel)
    }

    /// The pixels that have values.
    pub fn finish(self) -> Vec<Pixel> {
        let (start, resolution) = (self.start, self.resolution);
        let times = (0..).map(|at: Millis| start.saturating_add(at.saturating_mul(resolution)));
        let pixels = times.zip(self.pixels).filter_map(|(time, pixel)| {
            let pixel = pixel?;
            Some(Pixel {
                time,
                first: pixel.first,
                min: pixel.min,
                max: pixel.max,
                last: pixel.last,
                count: pixel.count,
                sum: pixel.sum,
            })
        });
        pixels.collect()
    }
}

/// The next multiple of `step`, or the number itself if it is one.
const fn next_multiple(number: Millis, step: Millis) -> Millis {
    match number.rem_euclid(step) {
        0 => number,
        over => number.saturating_add(step - over),
    }
}
