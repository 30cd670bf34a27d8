//! One metric over a range of time, for a chart.

use series::{Level, M4, Millis, OwnedValue, Pixel, RollupBlock, level_for};

use crate::catalog::{MetricRef, stored_name};
use crate::error::{Damaged, Error};
use crate::name::{Kind, day_of_time};
use crate::view::View;

use super::rows::read_files;
use super::with_retries;

/// What is asked.
#[derive(Clone, Debug)]
pub struct SeriesQuery<'a> {
    /// The device's id.
    pub device: &'a str,
    /// The metric's name, as the device says it.
    pub metric: &'a str,
    /// Where the range begins.
    pub from: Millis,
    /// Where it ends.
    pub to: Millis,
    /// At most so many points, where that is possible: how many pixels the chart has.
    pub width: usize,
    /// Points of windows of this length, that begin with its multiples, whatever the width.
    pub every: Option<Millis>,
}

impl<'a> SeriesQuery<'a> {
    /// Asks for nothing yet: set the range.
    pub const fn new(device: &'a str, metric: &'a str) -> Self {
        Self {
            device,
            metric,
            from: 0,
            to: 0,
            width: 1000,
            every: None,
        }
    }
}

/// What is left of a window.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The names say it.
pub enum Aggregate {
    Mean,
    Min,
    Max,
    Sum,
    Count,
    First,
    Last,
}

impl Aggregate {
    /// The aggregate of a pixel.
    #[allow(clippy::cast_precision_loss)] // Nobody counts to 2^53 here.
    pub fn of(self, pixel: &Pixel) -> f64 {
        match self {
            Self::Mean => pixel.sum / pixel.count as f64,
            Self::Min => pixel.min,
            Self::Max => pixel.max,
            Self::Sum => pixel.sum,
            Self::Count => pixel.count as f64,
            Self::First => pixel.first,
            Self::Last => pixel.last,
        }
    }
}

/// A point of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Point {
    /// A value as it came.
    Value(Millis, OwnedValue),
    /// What a pixel's span holds.
    Pixel(Pixel),
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesAnswer {
    /// The unit, where it is known.
    pub unit: Option<String>,
    /// Whether the points are values as they came.
    pub is_raw: bool,
    /// The span of a point in milliseconds. 0: a point is one value.
    pub resolution: Millis,
    /// The points, in the order of their times.
    pub points: Vec<Point>,
    /// Blocks that are damaged. Their values are missing.
    pub damaged: Vec<Damaged>,
}

/// Texts of a chart: of more than this many, some are left out.
const MAX_TEXTS: usize = 100_000;

impl View {
    /// Answers a question. `None`: nothing was recorded of such a metric.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn series(&self, query: &SeriesQuery<'_>) -> Result<Option<SeriesAnswer>, Error> {
        let Some((metric, unit)) = self.find(query.device, &stored_name(query.metric)) else {
            return Ok(None);
        };
        let raw_since = self.kept().raw_since.unwrap_or(Millis::MAX);
        let level = self.level(query, raw_since);
        let mut answer = with_retries(|| match level {
            None => self.of_rows(metric, query),
            Some(level) => self.of_rollups(metric, query, level),
        })?;
        answer.unit = unit;
        Ok(Some(answer))
    }

    /// Where the answer comes from. `None`: rows.
    fn level(&self, query: &SeriesQuery<'_>, raw_since: Millis) -> Option<Level> {
        // Minutes reach further back than rows.
        let is_older = query.from < raw_since && self.has_rollups_before(query, raw_since);
        let at_least = is_older.then_some(Level::Minute);
        let level = match query.every {
            Some(every) => {
                let mut levels = Level::ALL.into_iter().rev();
                levels.find(|level| every % level.millis() == 0)
            }
            None => level_for(query.from, query.to, query.width),
        };
        level.max(at_least)
    }

    fn has_rollups_before(&self, query: &SeriesQuery<'_>, raw_since: Millis) -> bool {
        let files = self.shared.files();
        let (first, last) = (
            day_of_time(query.from),
            day_of_time(raw_since.min(query.to)),
        );
        let of_kind = files
            .iter()
            .filter(|file| file.name().kind == Kind::Minutes);
        of_kind
            .map(|file| file.name().day)
            .any(|day| (first..last).contains(&day))
    }

    fn of_rows(&self, metric: MetricRef, query: &SeriesQuery<'_>) -> Result<SeriesAnswer, Error> {
        let (from, to) = (query.from, query.to);
        let picture = self.picture(metric, from, to);
        let mut damaged = Vec::new();
        let mut values: Vec<(Millis, OwnedValue)> = Vec::new();
        let mut chart: Option<M4> = None;
        let (mut texts, mut text_step) = (0usize, 1usize);
        let new_chart = || match query.every {
            Some(every) => M4::aligned(from, to, every),
            None => M4::new(from, to, query.width, None),
        };
        if query.every.is_some() {
            chart = Some(new_chart());
        }
        let mut take =
            |time: Millis, value: series::Value<'_>| match (&mut chart, value.as_number()) {
                (Some(chart), Some(number)) => chart.sample(time, number),
                (Some(_), None) => {}
                (None, number) => {
                    if number.is_none() {
                        texts += 1;
                        if texts > MAX_TEXTS {
                            text_step += 1;
                            return;
                        }
                    }
                    values.push((time, value.owned()));
                    if number.is_some() && values.len() - texts.min(values.len()) > query.width {
                        let mut begun = new_chart();
                        for (time, value) in values.drain(..) {
                            if let Some(number) = value.borrow().as_number() {
                                begun.sample(time, number);
                            }
                        }
                        chart = Some(begun);
                    }
                }
            };
        read_files(&picture, metric, from, to, &mut damaged, &mut take)?;
        for (time, value) in &picture.open {
            take(*time, value.borrow());
        }
        values.sort_by_key(|(time, _)| *time);
        let resolution = chart.as_ref().map_or(0, M4::resolution);
        let is_raw = chart.is_none();
        let points = match chart {
            Some(chart) => chart.finish().into_iter().map(Point::Pixel).collect(),
            None => values
                .into_iter()
                .map(|(time, value)| Point::Value(time, value))
                .collect(),
        };
        Ok(SeriesAnswer {
            unit: None,
            is_raw,
            resolution,
            points,
            damaged,
        })
    }

    fn of_rollups(
        &self,
        metric: MetricRef,
        query: &SeriesQuery<'_>,
        level: Level,
    ) -> Result<SeriesAnswer, Error> {
        let mut chart = match query.every {
            // A window that is shorter than what is left becomes longer.
            Some(every) => M4::aligned(query.from, query.to, every.max(level.millis())),
            None => M4::new(query.from, query.to, query.width, Some(level)),
        };
        let from = query.from - query.from.rem_euclid(chart.resolution());
        let picture = self.picture(metric, from, query.to);
        let (first, last) = (day_of_time(from), day_of_time(query.to.saturating_sub(1)));
        let of_kind = picture.files.iter().filter(|file| {
            file.name().kind == Kind::of_level(level) && (first..=last).contains(&file.name().day)
        });
        let mut damaged = Vec::new();
        for file in of_kind {
            let handle = file.open()?;
            for entry in file.find(&handle, Some(level), metric.group, from, query.to)? {
                let block = RollupBlock::parse(file.block(&handle, &entry)?);
                let read = block.and_then(|block| {
                    block.read(metric.column, from, query.to, &mut |it| chart.rollup(it))
                });
                if let Err(why) = read {
                    damaged.push(file.damaged(&entry, &why));
                }
            }
        }
        for (time, value) in &picture.open {
            if let Some(number) = value.borrow().as_number() {
                chart.sample(*time, number);
            }
        }
        Ok(SeriesAnswer {
            unit: None,
            is_raw: false,
            resolution: chart.resolution(),
            points: chart.finish().into_iter().map(Point::Pixel).collect(),
            damaged,
        })
    }
}
