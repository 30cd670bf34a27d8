//! What was recorded: series, presences, commands, tracks, and the whole fleet at any time.
//!
//! **Invariant.** Answers are made on threads that may wait for the disk, at most [`AT_ONCE`] at a time: whoever asks
//! more waits for the others, and for no device.

mod commands;
mod fleet;
mod info;
mod marks;
mod messages;
mod path;
mod presence;
mod series;
mod time;
mod track;

use std::sync::Arc;

use ::history::View;
use axum::Router;
use axum::routing::get;
use serde::Serialize;
use tokio::sync::Semaphore;
use tracing::error;

pub(super) use self::fleet::one_at;
pub(super) use self::path::{Part, part_of};
use super::ApiError;
use crate::history::Handle;
use crate::http::Site;
use crate::http::connection::Client;

/// How many questions are answered at once.
const AT_ONCE: usize = 4;
/// The permits for that. There is one server in a process, but for tests.
static PERMITS: Semaphore = Semaphore::const_new(AT_ONCE);

/// The routes that are not about one device.
pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new()
        .route("/history", get(info::info))
        .route("/messages", get(messages::all))
        .route("/series", get(series::many))
        .route("/fleet", get(fleet::fleet))
        .route("/fleet/marks", get(marks::marks))
}

/// Answers a question about a part of a device.
pub(super) async fn of_device(
    site: &Site,
    id: String,
    part: Part,
    query: Option<&str>,
    client: Client,
) -> Result<axum::response::Response, ApiError> {
    match part {
        Part::Metric(metric) => series::one(site, id, metric, query).await,
        Part::Presence => presence::presence(site, id, query).await,
        Part::Track => track::track(site, id, query).await,
        Part::Commands => commands::commands(site, id, query).await,
        Part::Messages => messages::of_device(site, &id, query, client).await,
    }
}

impl Site {
    pub(super) fn history(&self) -> Result<&Handle, ApiError> {
        self.inside.history.as_ref().ok_or(ApiError::NoHistory)
    }
}

/// Asks on a thread that may wait, and writes the answer there.
async fn answer<T: Serialize>(
    history: &Handle,
    ask: impl FnOnce(&View) -> Result<T, ApiError> + Send + 'static,
) -> Result<axum::response::Response, ApiError> {
    let view = history.view().clone();
    let json = wait_for(move || {
        let answer = ask(&view)?;
        Ok(serde_json::to_vec(&answer).unwrap_or_default())
    });
    json.await.map(super::devices::json)
}

/// Does what may wait for the disk on a thread that may.
async fn wait_for<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    // It is never closed.
    let _permit = PERMITS.acquire().await;
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(ApiError::HistoryFailed))
}

/// What cannot be read is logged, and the one who asked is told.
impl From<::history::Error> for ApiError {
    fn from(error: ::history::Error) -> Self {
        use ::history::Error;
        match error {
            Error::TooMany => Self::TooMany,
            Error::GivenUp => Self::HistoryFailed,
            Error::Io { .. } | Error::Store(_) | Error::Damaged(_) => {
                error!("history: {error}");
                Self::HistoryFailed
            }
        }
    }
}
