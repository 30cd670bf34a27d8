//! `GET /api/v1/devices/{id}/commands`: commands with each step that they took.

use ::history::{COMMAND, View};
use ::series::OwnedValue;
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
        let mut commands = stories(view, &device, from, to)?;
        if let Some(before) = before {
            commands.retain(|story| story.command.created.0 < before);
        }
        let more = commands.len() > limit;
        commands.truncate(limit);
        let last = commands
            .last()
            .map(|story| story.command.created.0.to_string());
        Ok(CommandHistory {
            device,
            commands,
            next: last.filter(|_| more),
        })
    })
    .await
}

/// The commands that were given in a range, each as it was at its end, newest first.
pub(super) fn stories(
    view: &View,
    device: &str,
    from: i64,
    to: i64,
) -> Result<Vec<CommandStory>, ApiError> {
    let Some((rows, _)) = view.read(device, COMMAND, from, to)? else {
        return Ok(Vec::new());
    };
    let mut commands: Vec<Command> = Vec::new();
    for (_, value) in rows {
        let OwnedValue::Text(text) = value else {
            continue;
        };
        let Ok(command) = serde_json::from_str::<Command>(&text) else {
            continue;
        };
        match commands.iter_mut().find(|known| known.uuid == command.uuid) {
            Some(known) => *known = command,
            None => commands.push(command),
        }
    }
    commands.sort_by_key(|command| std::cmp::Reverse(command.created));
    let stories = commands.into_iter().map(|command| CommandStory {
        steps: steps(view, device, &command),
        sent_by: None,
        command,
    });
    Ok(stories.collect())
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
