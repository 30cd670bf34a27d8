//! `GET /api/v1/devices/{id}/presence`: when a device was there.

use std::ops::ControlFlow;

use ::history::{PRESENCE, View};
use ::series::Value;
use api::fleet::{Presence, PresenceState, Time};
use api::history::{PresenceDay, PresenceHistory, PresenceSummary};
use axum::response::Response;

use super::super::ApiError;
use super::super::query::Parameters;
use super::{answer, time};
use crate::http::Site;

const DAY: i64 = 86_400_000;
/// What lasts is written once a day, so it is found within two.
const LOOK_BACK: i64 = 2 * DAY;
const MAX_DAYS: i64 = 3660;

pub(super) async fn presence(
    site: &Site,
    device: String,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let history = site.history()?;
    let now = site.now();
    let mut given = Parameters::read(query, &["from", "to", "days", "offset"])?;
    let days = given.parsed("days", "a whole number from 1 to 3660", |text| {
        text.parse()
            .ok()
            .filter(|days| (1..=MAX_DAYS).contains(days))
    })?;
    let offset = given.parsed(
        "offset",
        "the minutes by which the days begin before those of UTC, from -840 to 840",
        |text| text.parse().ok().filter(|offset: &i64| offset.abs() <= 840),
    )?;
    let offset = offset.unwrap_or(0) * 60_000;
    let (from, to) = match days {
        None => time::range(&mut given, now, DAY)?,
        Some(days) => {
            let today = (now + offset) - (now + offset).rem_euclid(DAY) - offset;
            (today - (days - 1) * DAY, now)
        }
    };
    answer(history, move |view| {
        let changes = changes(view, &device, from, to)?;
        let summary = sum_up(&changes, from, to.min(now));
        let days = days.map_or_else(Vec::new, |count| {
            (0..count)
                .map(|day| {
                    let start = from + day * DAY;
                    of_day(&changes, start, (start + DAY).min(now))
                })
                .collect()
        });
        Ok(PresenceHistory {
            device,
            changes: changes.into_iter().map(|(_, presence)| presence).collect(),
            summary,
            days,
        })
    })
    .await
}

/// The presences of a range, each with the time from which it is known. The first may have begun before.
pub(super) fn changes(
    view: &View,
    device: &str,
    from: i64,
    to: i64,
) -> Result<Vec<(i64, Presence)>, ApiError> {
    let before = view.at(device, PRESENCE, from, from.saturating_sub(LOOK_BACK))?;
    let mut changes: Vec<(i64, Presence)> = Vec::new();
    if let Some((time, value)) = before {
        note(&mut changes, time, value.borrow());
    }
    let found = view.read_each(device, PRESENCE, from, to, |time, value| {
        note(&mut changes, time, value);
        if changes.len() > View::MOST_VALUES {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    found.ok_or(ApiError::NoSuchSeries)?;
    if changes.len() > View::MOST_VALUES {
        return Err(ApiError::TooMany);
    }
    Ok(changes)
}

fn note(changes: &mut Vec<(i64, Presence)>, time: i64, value: Value<'_>) {
    let Value::Text(text) = value else {
        return;
    };
    let Ok(presence) = serde_json::from_str::<Presence>(text) else {
        return;
    };
    // What lasts is written once a day, too.
    let is_new = changes.last().is_none_or(|(_, last)| {
        (last.since, last.state, &last.reason) != (presence.since, presence.state, &presence.reason)
    });
    if is_new {
        changes.push((time, presence));
    }
}

/// Gives each part of `from..to` in which one presence lasted.
fn spans(
    changes: &[(i64, Presence)],
    from: i64,
    to: i64,
) -> impl Iterator<Item = (&Presence, i64, i64)> {
    let ends = changes.iter().skip(1).map(|(time, _)| *time);
    let ends = ends.chain(std::iter::once(i64::MAX));
    changes
        .iter()
        .zip(ends)
        .filter_map(move |((time, presence), end)| {
            let (begin, end) = ((*time).max(from), end.min(to));
            (begin < end).then_some((presence, begin, end))
        })
}

fn is_drop(before: Option<PresenceState>, now: PresenceState) -> bool {
    now == PresenceState::Offline
        && before.is_some_and(|it| !matches!(it, PresenceState::Offline | PresenceState::Unknown))
}

fn sum_up(changes: &[(i64, Presence)], from: i64, to: i64) -> PresenceSummary {
    let mut summary = PresenceSummary::default();
    let mut before = None;
    for (presence, begin, end) in spans(changes, from, to) {
        summary.times.add(presence.state, end - begin);
        if begin > from && is_drop(before, presence.state) {
            summary.drops += 1;
        }
        if presence.state == PresenceState::Offline {
            summary.longest_outage_ms = summary.longest_outage_ms.max(end - begin);
        }
        before = Some(presence.state);
    }
    summary
}

fn of_day(changes: &[(i64, Presence)], start: i64, end: i64) -> PresenceDay {
    let summary = sum_up(changes, start, end);
    let mut reasons: Vec<(String, i64)> = Vec::new();
    for (presence, begin, end) in spans(changes, start, end) {
        let Some(reason) = &presence.reason else {
            continue;
        };
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, ms)) => *ms += end - begin,
            None => reasons.push((reason.clone(), end - begin)),
        }
    }
    reasons.sort_by_key(|(_, ms)| std::cmp::Reverse(*ms));
    PresenceDay {
        start: Time(start),
        times: summary.times,
        drops: summary.drops,
        reasons: reasons.into_iter().map(|(reason, _)| reason).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(time: i64, state: PresenceState, reason: Option<&str>) -> (i64, Presence) {
        let presence = Presence {
            state,
            reason: reason.map(str::to_owned),
            since: Time(time),
            exact: true,
            wakes_about: None,
        };
        (time, presence)
    }

    #[test]
    fn a_range_is_summed_up() {
        let changes = [
            presence(-500, PresenceState::Online, None),
            presence(100, PresenceState::Offline, Some("keep-alive")),
            presence(150, PresenceState::Online, None),
            presence(400, PresenceState::Stale, None),
            presence(500, PresenceState::Offline, Some("lost")),
            presence(800, PresenceState::Unknown, Some("server-restarted")),
            presence(900, PresenceState::Offline, Some("lost")),
        ];
        let summary = sum_up(&changes, 0, 1000);
        assert_eq!(summary.times.online, 350);
        assert_eq!((summary.times.offline, summary.times.stale), (450, 100));
        assert_eq!(summary.times.unknown, 100);
        assert_eq!((summary.drops, summary.longest_outage_ms), (2, 300));
        let day = of_day(&changes, 50, 700);
        assert_eq!(day.reasons, ["lost", "keep-alive"]);
        assert_eq!(sum_up(&[], 0, 1000), PresenceSummary::default());
    }
}
