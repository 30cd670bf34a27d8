//! One metric over a range of time, for a chart.

use series::{Level, M4, Millis, OwnedValue, Pixel, RollupBlock, Rows as _, StateTimes, level_for};

use crate::catalog::{MetricRef, stored_name};
use crate::error::{Damaged, Error};
use crate::name::{Kind, day_of_time, start_of};
use crate::view::View;

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
    /// The time now: what lasts has lasted until then. Without it, until the last row.
    pub now: Option<Millis>,
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
            now: None,
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
    /// How long each state lasted in each span: of texts, and of true and false. None if the points are values as
    /// they came.
    pub states: Vec<StateSpan>,
    /// Blocks that are damaged. Their values are missing.
    pub damaged: Vec<Damaged>,
}

/// How long each state lasted in a span: the span's beginning, and each state with its milliseconds, in the order
/// of their names.
pub type StateSpan = (Millis, Vec<(Box<str>, Millis)>);

/// More bytes of texts than this become times in states, however few there are.
const MAX_TEXTS: usize = 1 << 20;

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
        let raw_since = self.raw_since(metric);
        let level = self.level(query, raw_since);
        let may_fit = query.every.is_none() && raw_since <= query.from;
        let mut answer = with_retries(|| match level {
            None => self.of_rows(metric, query),
            Some(_) if may_fit && self.has_few_rows(metric, query)? => self.of_rows(metric, query),
            Some(level) => self.of_rollups(metric, query, level),
        })?;
        answer.unit = unit;
        Ok(Some(answer))
    }

    /// Since when values are kept as they came: since the oldest file of them, or since the metric's oldest open row.
    fn raw_since(&self, metric: MetricRef) -> Millis {
        let hot = self.shared.hot();
        let open = hot
            .rows_of(metric.group)
            .filter_map(|open| Some(open.span()?.0));
        let open = open.min();
        let files = self.shared.files();
        // They are in the order of their days.
        let oldest = files.iter().find(|file| file.name().kind == Kind::Raw);
        let oldest = oldest.map(|file| start_of(file.name().day));
        oldest.into_iter().chain(open).min().unwrap_or(Millis::MAX)
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

    /// Whether there are no more rows than the chart has pixels.
    fn has_few_rows(&self, metric: MetricRef, query: &SeriesQuery<'_>) -> Result<bool, Error> {
        let picture = self.picture(metric, query.from, query.to);
        let mut rows = picture.open.len();
        for file in picture.raw_files(query.from, query.to) {
            if rows > query.width {
                break;
            }
            self.go_on()?;
            let handle = file.open()?;
            let entries = file.find(&handle, None, metric.group, query.from, query.to)?;
            rows += entries
                .iter()
                .map(|entry| entry.rows as usize)
                .sum::<usize>();
        }
        Ok(rows <= query.width)
    }

    fn of_rows(&self, metric: MetricRef, query: &SeriesQuery<'_>) -> Result<SeriesAnswer, Error> {
        let (from, to) = (query.from, query.to);
        let picture = self.picture(metric, from, to);
        let mut damaged = Vec::new();
        let mut gathered = Gathered::new(query);
        let mut take = |time: Millis, value: series::Value<'_>| gathered.take(time, value);
        self.read_files(&picture, metric, from, to, &mut damaged, &mut take)?;
        for (time, value) in &picture.open {
            take(*time, value.borrow());
        }
        Ok(gathered.finish(damaged))
    }

    fn of_rollups(
        &self,
        metric: MetricRef,
        query: &SeriesQuery<'_>,
        level: Level,
    ) -> Result<SeriesAnswer, Error> {
        let mut spans = Spans::new(match query.every {
            // A window that is shorter than what is left becomes longer.
            Some(every) => M4::aligned(query.from, query.to, every.max(level.millis())),
            None => M4::new(query.from, query.to, query.width, Some(level)),
        });
        let resolution = spans.chart.resolution();
        let from = query.from - query.from.rem_euclid(resolution);
        let picture = self.picture(metric, from, query.to);
        let (first, last) = (day_of_time(from), day_of_time(query.to.saturating_sub(1)));
        let of_kind = picture.files.iter().filter(|file| {
            file.name().kind == Kind::of_level(level) && (first..=last).contains(&file.name().day)
        });
        let mut damaged = Vec::new();
        for file in of_kind {
            self.go_on()?;
            let handle = file.open()?;
            for entry in file.find(&handle, Some(level), metric.group, from, query.to)? {
                let block = RollupBlock::parse(file.block(&handle, &entry)?);
                let read = block.and_then(|block| {
                    let column = metric.column;
                    block.read(column, from, query.to, &mut |it| spans.chart.rollup(it))?;
                    block.read_states(column, from, query.to, &mut |start, state, ms| {
                        spans.states.add(start, state, ms);
                    })
                });
                if let Err(why) = read {
                    damaged.push(file.damaged(&entry, &why));
                }
            }
        }
        let mut open = picture.open;
        open.sort_by_key(|(time, _)| *time);
        for (time, value) in &open {
            spans.take(*time, value.borrow());
        }
        Ok(spans.finish(query, damaged))
    }
}

/// Values as they came, until there are more than the chart has pixels.
struct Gathered<'a> {
    query: &'a SeriesQuery<'a>,
    values: Vec<(Millis, OwnedValue)>,
    /// Bytes of the texts in them.
    texts: usize,
    spans: Option<Spans>,
}

impl<'a> Gathered<'a> {
    fn new(query: &'a SeriesQuery<'a>) -> Self {
        let of_windows = |every| Spans::new(M4::aligned(query.from, query.to, every));
        Self {
            query,
            values: Vec::new(),
            texts: 0,
            spans: query.every.map(of_windows),
        }
    }

    fn take(&mut self, time: Millis, value: series::Value<'_>) {
        if let Some(spans) = &mut self.spans {
            spans.take(time, value);
            return;
        }
        if let series::Value::Text(text) = value {
            self.texts += text.len();
        }
        self.values.push((time, value.owned()));
        if self.values.len() > self.query.width || self.texts > MAX_TEXTS {
            let query = self.query;
            let mut spans = Spans::new(M4::new(query.from, query.to, query.width, None));
            self.values.sort_by_key(|(time, _)| *time);
            for (time, value) in self.values.drain(..) {
                spans.take(time, value.borrow());
            }
            self.spans = Some(spans);
        }
    }

    fn finish(mut self, damaged: Vec<Damaged>) -> SeriesAnswer {
        if let Some(spans) = self.spans {
            return spans.finish(self.query, damaged);
        }
        self.values.sort_by_key(|(time, _)| *time);
        let points = self.values.into_iter();
        SeriesAnswer {
            unit: None,
            is_raw: true,
            resolution: 0,
            points: points
                .map(|(time, value)| Point::Value(time, value))
                .collect(),
            states: Vec::new(),
            damaged,
        }
    }
}

/// What is left of the values of each span.
struct Spans {
    chart: M4,
    states: StateTimes,
    /// The time of the last value. Blocks that overlap give some that are older: their states are left out, so that
    /// no time counts twice.
    last: Millis,
}

impl Spans {
    fn new(chart: M4) -> Self {
        Self {
            states: StateTimes::new(chart.resolution()),
            chart,
            last: Millis::MIN,
        }
    }

    fn take(&mut self, time: Millis, value: series::Value<'_>) {
        if let Some(number) = value.as_number() {
            self.chart.sample(time, number);
        }
        if time >= self.last {
            self.last = time;
            self.states.push(time, value);
        }
    }

    fn finish(mut self, query: &SeriesQuery<'_>, damaged: Vec<Damaged>) -> SeriesAnswer {
        if let Some(now) = query.now {
            self.states.end(now.min(query.to));
        }
        SeriesAnswer {
            unit: None,
            is_raw: false,
            resolution: self.chart.resolution(),
            points: self.chart.finish().into_iter().map(Point::Pixel).collect(),
            states: self.states.finish().collect(),
            damaged,
        }
    }
}
