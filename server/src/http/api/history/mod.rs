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
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Asks on a thread that may wait, and writes the answer there. If nobody waits for it any more, it ends at the next
/// file.
async fn answer<T: Serialize>(
    history: &Handle,
    ask: impl FnOnce(&View) -> Result<T, ApiError> + Send + 'static,
) -> Result<axum::response::Response, ApiError> {
    let waits = Waits::default();
    let view = history.view().until(Arc::clone(&waits.is_over));
    let json = wait_for(move || {
        let answer = ask(&view)?;
        Ok(serde_json::to_vec(&answer).unwrap_or_default())
    });
    json.await.map(super::devices::json)
}

/// Whoever waits for an answer. The request's patience may end before the answer comes, and the client may leave.
#[derive(Default)]
struct Waits {
    is_over: Arc<AtomicBool>,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Does what may wait for the disk on a thread that may.
async fn wait_for<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    work_with(&PERMITS, work).await
}

async fn work_with<T: Send + 'static>(
    permits: &'static Semaphore,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    // It is never closed.
    let permit = permits.acquire().await;
    // The work goes on when nobody waits for it any more, so it has the permit.
    let done = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    done.await.unwrap_or(Err(ApiError::HistoryFailed))
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_question_that_nobody_waits_for_still_counts() {
        static ONE: Semaphore = Semaphore::const_new(1);
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let slow = work_with(&ONE, move || {
            let _ = may_go_on.recv();
            Ok(())
        });
        let patience = Duration::from_millis(1);
        assert!(tokio::time::timeout(patience, slow).await.is_err());
        assert_eq!(ONE.available_permits(), 0);
        go_on.send(()).unwrap();
        assert_eq!(work_with(&ONE, || Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_question_notices_that_nobody_waits() {
        let waits = Waits::default();
        let is_over = Arc::clone(&waits.is_over);
        let never = async move {
            let _waits = waits;
            std::future::pending::<()>().await;
        };
        let patience = Duration::from_millis(1);
        assert!(tokio::time::timeout(patience, never).await.is_err());
        assert!(is_over.load(Ordering::Relaxed));
    }
}
