//! `GET /api/v1/devices/{id}/metrics/{metric}` and `GET /api/v1/series`: metrics over a range of time.

use std::sync::Arc;

use ::history::{Aggregate, Point as Found, SeriesAnswer, SeriesQuery, View};
use ::series::OwnedValue;
use api::fleet::{Scalar, Time};
use api::history::{ManySeries, Point, Series};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use percent_encoding::percent_decode_str;

use super::super::ApiError;
use super::super::query::Parameters;
use super::{answer, time};
use crate::http::Site;

/// Points of a chart, if nobody says how many pixels it has.
const WIDTH: usize = 1000;
/// The most points of one series in an answer.
const MAX_WIDTH: usize = 20_000;
/// The same for windows.
const MAX_POINTS: i64 = 20_000;
/// The most series in an answer.
const MAX_SERIES: usize = 100;
/// The most points of all series in an answer.
const MAX_TOGETHER: usize = 200_000;
const HOUR: i64 = 3_600_000;

/// How the points are to be.
#[derive(Copy, Clone)]
struct How {
    from: i64,
    to: i64,
    width: usize,
    every: Option<i64>,
    aggregate: Option<Aggregate>,
    now: i64,
}

impl How {
    /// The most points of a series.
    fn points(&self) -> usize {
        match self.every {
            Some(every) => usize::try_from((self.to - self.from) / every).unwrap_or(usize::MAX),
            None => self.width,
        }
    }
}

pub(super) async fn one(
    site: &Site,
    device: String,
    metric: String,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let history = site.history()?;
    let mut given = Parameters::read(query, &["from", "to", "width", "every", "aggregate"])?;
    let how = how(&mut given, site.now())?;
    answer(history, move |view| {
        series(view, &device, &metric, how)?.ok_or(ApiError::NoSuchSeries)
    })
    .await
}

pub(super) async fn many(
    State(site): State<Arc<Site>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    const OF: &str =
        "an id and a metric, each percent-encoded, with a slash between: plant%2Fpump-1/flow";
    let history = site.history()?;
    let known = &["of", "from", "to", "width", "every", "aggregate"];
    let mut given = Parameters::read(query.as_deref(), known)?;
    let how = how(&mut given, site.now())?;
    // Decoded once they are `id%2Fwith%2Fslashes/metric` still, if they were encoded twice; an address that was
    // encoded once has plain slashes, and the last one separates.
    let pairs: Option<Vec<(String, String)>> = given.all("of").iter().map(|it| pair(it)).collect();
    let pairs = pairs.filter(|pairs| (1..=MAX_SERIES).contains(&pairs.len()));
    let pairs = pairs.ok_or(ApiError::BadParameter {
        name: "of",
        expected: OF,
    })?;
    if pairs.len() * how.points() > MAX_TOGETHER {
        return Err(ApiError::BadParameter {
            name: if how.every.is_some() {
                "every"
            } else {
                "width"
            },
            expected: "such that all series together have at most 200000 points: ask for fewer points, or for fewer series at once",
        });
    }
    answer(history, move |view| {
        let series = pairs.into_iter().map(|(device, metric)| {
            let found = series(view, &device, &metric, how)?;
            Ok(found.unwrap_or(Series {
                device,
                metric,
                unit: None,
                resolution_ms: 0,
                raw: true,
                points: Vec::new(),
                states: Vec::new(),
                damaged: Vec::new(),
            }))
        });
        Ok(ManySeries {
            from: Time(how.from),
            to: Time(how.to),
            series: series.collect::<Result<_, ApiError>>()?,
        })
    })
    .await
}

fn pair(text: &str) -> Option<(String, String)> {
    let (device, metric) = text.rsplit_once('/')?;
    let decoded = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8().ok()?;
        Some(decoded.into_owned())
    };
    Some((decoded(device)?, decoded(metric)?)).filter(|(device, _)| !device.is_empty())
}

fn how(given: &mut Parameters, now: i64) -> Result<How, ApiError> {
    let (from, to) = time::range(given, now, HOUR)?;
    let width = given.parsed("width", "a whole number from 1 to 20000", |text| {
        text.parse()
            .ok()
            .filter(|width| (1..=MAX_WIDTH).contains(width))
    })?;
    let every = given.parsed("every", "a length such as 10s, 5m or 1h", time::length_of)?;
    let aggregate = given.parsed(
        "aggregate",
        "mean, min, max, sum, count, first or last",
        aggregate_of,
    )?;
    if every.is_some_and(|every| (to - from) / every > MAX_POINTS) {
        return Err(ApiError::BadParameter {
            name: "every",
            expected: "longer, or the range shorter: an answer has at most 20000 points",
        });
    }
    if aggregate.is_some() && every.is_none() {
        return Err(ApiError::BadParameter {
            name: "aggregate",
            expected: "together with every",
        });
    }
    Ok(How {
        from,
        to,
        width: width.unwrap_or(WIDTH),
        every,
        aggregate,
        now,
    })
}

fn aggregate_of(word: &str) -> Option<Aggregate> {
    match word {
        "mean" | "avg" => Some(Aggregate::Mean),
        "min" => Some(Aggregate::Min),
        "max" => Some(Aggregate::Max),
        "sum" => Some(Aggregate::Sum),
        "count" => Some(Aggregate::Count),
        "first" => Some(Aggregate::First),
        "last" => Some(Aggregate::Last),
        _ => None,
    }
}

fn series(view: &View, device: &str, metric: &str, how: How) -> Result<Option<Series>, ApiError> {
    let query = SeriesQuery {
        from: how.from,
        to: how.to,
        width: how.width,
        every: how.every,
        now: Some(how.now),
        ..SeriesQuery::new(device, metric)
    };
    let Some(found) = view.series(&query)? else {
        return Ok(None);
    };
    let SeriesAnswer {
        unit,
        is_raw,
        resolution,
        points,
        states,
        damaged,
    } = found;
    Ok(Some(Series {
        device: device.to_owned(),
        metric: metric.to_owned(),
        unit,
        resolution_ms: resolution,
        raw: is_raw,
        points: points
            .into_iter()
            .map(|it| point(it, how.aggregate))
            .collect(),
        states: states.into_iter().map(state_span).collect(),
        damaged: damaged.into_iter().map(|it| it.span).collect(),
    }))
}

fn state_span((start, states): ::history::StateSpan) -> api::history::StateSpan {
    let states = states.into_iter().map(|(name, ms)| (name.into(), ms));
    (start, states.collect())
}

fn point(found: Found, aggregate: Option<Aggregate>) -> Point {
    match (found, aggregate) {
        (Found::Value(time, value), _) => Point::Value(time, scalar(&value)),
        (Found::Pixel(pixel), Some(aggregate)) => {
            Point::Value(pixel.time, Scalar::Number(aggregate.of(&pixel)))
        }
        (Found::Pixel(pixel), None) => Point::Span {
            time: pixel.time,
            first: pixel.first,
            min: pixel.min,
            max: pixel.max,
            last: pixel.last,
            count: pixel.count,
        },
    }
}

/// The value in JSON. The digits of a long whole number are in the answer for a device (`exact`).
#[allow(clippy::cast_precision_loss)] // JSON has no other numbers.
pub(super) fn scalar(value: &OwnedValue) -> Scalar {
    match value {
        OwnedValue::Number(number) => Scalar::Number(*number),
        OwnedValue::Integer(integer) => Scalar::Number(*integer as f64),
        OwnedValue::Bool(value) => Scalar::Bool(*value),
        OwnedValue::Text(text) => Scalar::Text(text.to_string()),
    }
}
