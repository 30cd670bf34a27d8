//! `GET /api/v1/fleet/marks`: when devices came and went.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ::history::{FAULT, PRESENCE, View};
use ::series::Value;
use api::fleet::{PresenceState, Time};
use api::history::Marks;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Deserialize;

use super::super::ApiError;
use super::super::query::Parameters;
use super::{answer, time};
use crate::http::Site;

const DAY: i64 = 86_400_000;
const WIDTH: i64 = 1000;
/// Every presence of the range is read, so it is not longer than this.
const LONGEST: i64 = 92 * DAY;

pub(super) async fn marks(
    State(site): State<Arc<Site>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let history = site.history()?;
    let now = site.now();
    let mut given = Parameters::read(query.as_deref(), &["from", "to", "width"])?;
    let (from, to) = time::range(&mut given, now, DAY)?;
    if to - from > LONGEST {
        return Err(ApiError::BadParameter {
            name: "from",
            expected: "at most 92 days before the parameter to: ask for a longer range in parts",
        });
    }
    let width = given.parsed("width", "a whole number from 1 to 10000", |text| {
        text.parse()
            .ok()
            .filter(|width| (1..=10_000).contains(width))
    })?;
    let width = width.unwrap_or(WIDTH);
    let resolution = (to - from + width - 1) / width;
    answer(history, move |view| {
        Ok(Marks {
            from: Time(from),
            to: Time(to),
            resolution_ms: resolution,
            marks: marks_of(view, from, to, resolution)?,
        })
    })
    .await
}

/// What a mark needs of a presence.
#[derive(Deserialize)]
struct Known {
    state: PresenceState,
    since: Time,
}

fn marks_of(
    view: &View,
    from: i64,
    to: i64,
    resolution: i64,
) -> Result<Vec<(i64, u64, u64, u64)>, ApiError> {
    let mut marks: BTreeMap<i64, (u64, u64, u64)> = BTreeMap::new();
    let start_of = |time: i64| from + (time - from).div_euclid(resolution) * resolution;
    // The state that each device was in at the end of the day before.
    let mut states: HashMap<String, PresenceState> = HashMap::new();
    let known_of = |value: Value<'_>| match value {
        Value::Text(text) => serde_json::from_str::<Known>(text).ok(),
        Value::Number(_) | Value::Integer(_) | Value::Bool(_) => None,
    };
    view.read_everyone(PRESENCE, from, to, known_of, |device, found| {
        let mut before = states.get(device).copied();
        for (time, known) in found {
            // What lasts is written once a day: that is no change.
            if before != Some(known.state) && known.since.0 == time {
                let mark = marks.entry(start_of(time)).or_default();
                match known.state {
                    PresenceState::Online => mark.0 += 1,
                    PresenceState::Offline | PresenceState::Stale => mark.1 += 1,
                    PresenceState::Sleeping | PresenceState::Unknown => {}
                }
            }
            before = Some(known.state);
        }
        if let Some(before) = before {
            states.insert(device.to_owned(), before);
        }
    })?;
    let any = |_: Value<'_>| Some(());
    view.read_everyone(FAULT, from, to, any, |_, found| {
        for (time, ()) in found {
            marks.entry(start_of(time)).or_default().2 += 1;
        }
    })?;
    let marks = marks.into_iter().filter(|(_, counts)| *counts != (0, 0, 0));
    let marks = marks.map(|(time, (came, went, faults))| (time, came, went, faults));
    Ok(marks.collect())
}
