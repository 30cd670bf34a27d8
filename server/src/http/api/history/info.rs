//! `GET /api/v1/history`: what the server remembers.

use std::sync::Arc;

use api::fleet::Time;
use api::history::{HistoryInfo, HistoryState};
use axum::Json;
use axum::extract::State;

use super::super::ApiError;
use crate::history;
use crate::http::Site;

pub(super) async fn info(State(site): State<Arc<Site>>) -> Result<Json<HistoryInfo>, ApiError> {
    let history = site.history()?;
    let kept = history.view().kept();
    let counted = history.counted();
    let limits = history.limits();
    let messages = history.messages();
    Ok(Json(HistoryInfo {
        state: match history.state() {
            history::State::Recording => HistoryState::Recording,
            history::State::DiskFull => HistoryState::DiskFull,
            history::State::Failed => HistoryState::Failed,
        },
        raw_since: kept.raw_since.map(Time),
        rollups_since: kept.rollups_since.map(Time),
        messages_since: messages.and_then(|it| it.reader().since()).map(Time),
        raw_ms: limits.raw,
        rollups_ms: limits.rollups,
        series: kept.series,
        bytes: counted.bytes,
        max_bytes: limits.bytes,
    }))
}
