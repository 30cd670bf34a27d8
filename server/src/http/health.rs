//! `/healthz`, `/livez` and `/metrics`: for programs that watch the server.
//!
//! `/healthz` says whether the server can do all of its work, `/livez` whether it runs at all. When
//! the store is full, `/healthz` answers 503: someone should make room, and a load balancer should
//! prefer another server. But a restart makes no room, while clients that receive their queued
//! messages do. So a supervisor that restarts the server, or keeps clients away, must ask `/livez`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::{Site, respond};
use crate::devices::Handle;
use crate::gateway::Reader;
use crate::history;
use crate::metrics;
use crate::shard::Snapshot;

pub(super) async fn healthz(State(site): State<Arc<Site>>) -> Response {
    let history = site.inside.history.as_ref().map(history::Handle::state);
    let (status, text) = health(site.shard.snapshot().await.as_ref(), history);
    respond::text(status, text)
}

pub(super) async fn livez(State(site): State<Arc<Site>>) -> Response {
    let (status, text) = life(site.shard.snapshot().await.as_ref());
    respond::text(status, text)
}

pub(super) async fn metrics(State(site): State<Arc<Site>>) -> Response {
    let Some(of_shard) = site.shard.snapshot().await else {
        return respond::text(StatusCode::SERVICE_UNAVAILABLE, SILENT);
    };
    let inside = &site.inside;
    let page = metrics::page(
        site.about.started,
        &of_shard,
        &site.gate.counts(),
        inside.devices.as_ref().map(Handle::counted).as_ref(),
        inside.gateway.as_ref().map(Reader::counts).as_ref(),
        inside
            .history
            .as_ref()
            .map(history::Handle::counted)
            .as_ref(),
    );
    let headers = [(header::CONTENT_TYPE, metrics::CONTENT_TYPE)];
    (headers, page).into_response()
}

const SILENT: &str = "the broker does not answer\n";

/// The answer of `/healthz`. `None`: the broker did not answer in time.
fn health(shard: Option<&Snapshot>, history: Option<history::State>) -> (StatusCode, &'static str) {
    let fault = shard.map_or(Some(SILENT), fault);
    answer(fault.or_else(|| history.and_then(fault_of_history)))
}

/// What is wrong with the recorder.
const fn fault_of_history(state: history::State) -> Option<&'static str> {
    match state {
        history::State::Recording => None,
        history::State::DiskFull => {
            Some("the disk is full: nothing of what happens is remembered; make room on the disk\n")
        }
        history::State::Failed => Some(
            "the history cannot be written: nothing of what happens is remembered; see the server's log\n",
        ),
    }
}

fn life(shard: Option<&Snapshot>) -> (StatusCode, &'static str) {
    answer(shard.is_none().then_some(SILENT))
}

fn answer(fault: Option<&'static str>) -> (StatusCode, &'static str) {
    match fault {
        None => (StatusCode::OK, "ok\n"),
        Some(what) => (StatusCode::SERVICE_UNAVAILABLE, what),
    }
}

/// What is wrong with the store, most serious first.
fn fault(shard: &Snapshot) -> Option<&'static str> {
    let store = shard.store.as_ref()?;
    if store.has_ended {
        return Some(
            "the store has failed: the server stores nothing more; see its log, and restart it\n",
        );
    }
    if shard.broker.journal_stuck > 0 {
        return Some(
            "the store has failed: a record is too long for the journal, and the server stores nothing more until it is restarted\n",
        );
    }
    store.is_full.then_some(
        "the store is full: the server refuses what it would have to store, and does everything else; make room on the disk\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::Stats;

    fn with(stats: Stats) -> Snapshot {
        Snapshot {
            store: Some(stats),
            ..Snapshot::default()
        }
    }

    #[track_caller]
    fn assert_answers(shard: Option<&Snapshot>, health: &str, life: &str) {
        for ((status, body), expected) in [
            (super::health(shard, None), health),
            (super::life(shard), life),
        ] {
            assert!(body.starts_with(expected), "{body}");
            assert!(body.ends_with('\n'), "{body}");
            assert_eq!(status == StatusCode::OK, expected == "ok\n");
            assert!(status == StatusCode::OK || status == StatusCode::SERVICE_UNAVAILABLE);
        }
    }

    #[test]
    fn a_server_that_can_do_everything_is_well() {
        assert_answers(Some(&with(Stats::default())), "ok\n", "ok\n");
        // Without a store there is nothing to be full.
        assert_answers(Some(&Snapshot::default()), "ok\n", "ok\n");
    }

    #[test]
    fn one_that_cannot_remember_runs_and_is_not_well() {
        let well = with(Stats::default());
        let (status, text) = super::health(Some(&well), Some(history::State::Recording));
        assert_eq!((status, text), (StatusCode::OK, "ok\n"));
        for (state, what) in [
            (history::State::DiskFull, "the disk is full"),
            (history::State::Failed, "the history cannot be written"),
        ] {
            let (status, text) = super::health(Some(&well), Some(state));
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(text.starts_with(what), "{text}");
        }
    }

    #[test]
    fn one_that_cannot_store_runs_and_is_not_well() {
        let is_full = Stats {
            is_full: true,
            ..Stats::default()
        };
        assert_answers(Some(&with(is_full.clone())), "the store is full", "ok\n");
        let has_ended = Stats {
            has_ended: true,
            ..is_full
        };
        assert_answers(Some(&with(has_ended)), "the store has failed", "ok\n");
        let mut is_stuck = with(Stats::default());
        is_stuck.broker.journal_stuck = 1;
        assert_answers(Some(&is_stuck), "the store has failed", "ok\n");
    }

    #[test]
    fn one_that_does_not_answer_does_not_run() {
        assert_answers(None, "the broker does", "the broker does");
    }
}
