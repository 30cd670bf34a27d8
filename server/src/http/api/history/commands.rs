//! `GET /api/v1/devices/{id}/commands`: commands with each step that they took.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ::history::{COMMAND, View};
use ::series::Value;
use api::fleet::{Command, CommandProgress, PresenceState, Time};
use api::history::{CommandHistory, CommandStep, CommandStory};
use axum::response::Response;

use super::super::ApiError;
use super::super::query::Parameters;
use super::{answer, presence, time};
use crate::http::Site;

const DAY: i64 = 86_400_000;
const LIMIT: usize = 50;
const MAX_LIMIT: usize = 1000;

pub(super) async fn commands(
    site: &Site,
    device: String,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let history = site.history()?;
    let now = site.now();
    let mut given = Parameters::read(query, &["from", "to", "limit", "before"])?;
    let (from, to) = time::range(&mut given, now, 30 * DAY)?;
    let limit = given.parsed("limit", "a whole number from 1 to 1000", |text| {
        text.parse()
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
    })?;
    let before = given.parsed(
        "before",
        "the member \"next\" of the answer to the same question",
        |text| text.parse::<i64>().ok(),
    )?;
    let limit = limit.unwrap_or(LIMIT);
    answer(history, move |view| {
        let before = before.unwrap_or(i64::MAX);
        let mut newest = newest(view, &device, from, to, before, limit + 1)?;
        let more = newest.len() > limit;
        newest.truncate(limit);
        let last = newest.last().map(|command| command.created.0.to_string());
        let stories = newest.into_iter().map(|command| CommandStory {
            steps: steps(view, &device, &command),
            sent_by: None,
            command,
        });
        let commands = stories.collect();
        Ok(CommandHistory {
            device,
            commands,
            next: last.filter(|_| more),
        })
    })
    .await
}

/// The commands of which something was recorded in a range, each as it was at its end: the newest `most` that were
/// given before `before`, newest first.
pub(super) fn newest(
    view: &View,
    device: &str,
    from: i64,
    to: i64,
    before: i64,
    most: usize,
) -> Result<Vec<Command>, ApiError> {
    let mut newest: BTreeMap<(Time, String), Command> = BTreeMap::new();
    view.read_each(device, COMMAND, from, to, |_, value| {
        if let Value::Text(text) = value
            && let Ok(command) = serde_json::from_str::<Command>(text)
            && command.created.0 < before
        {
            // A later step of one that was left out comes in, and goes at once: it is the oldest.
            newest.insert((command.created, command.uuid.clone()), command);
            if newest.len() > most {
                newest.pop_first();
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(newest.into_values().rev().collect())
}

fn steps(view: &View, device: &str, command: &Command) -> Vec<CommandStep> {
    let step = |step: &str, time: Time| CommandStep {
        step: step.to_owned(),
        time,
    };
    let mut steps = vec![step("accepted", command.created)];
    let at = command.created.0;
    let was = presence::changes(view, device, at, at + 1).unwrap_or_default();
    let was = was.first().map(|(_, presence)| presence.state);
    // The broker keeps it until the device is back.
    if matches!(was, Some(PresenceState::Sleeping | PresenceState::Offline)) {
        steps.push(step("waiting", command.created));
    }
    match &command.progress {
        CommandProgress::Pending => {}
        CommandProgress::Answered { time, ok, .. } => {
            steps.push(step(if *ok { "answered" } else { "failed" }, *time));
        }
        CommandProgress::TimedOut { time } => steps.push(step("timed-out", *time)),
        CommandProgress::Failed { time, .. } => steps.push(step("failed", *time)),
    }
    steps
}
