//! `/healthz` and `/livez`: whether the server can do all of its work, and whether it runs at all.
//!
//! Two questions, because two answers follow from them. Where the store is full, someone should
//! make room, and a load balancer with another server had better ask that one: 503. But starting
//! anew makes no room, and it is the clients who come and take what waits for them that do: who
//! would restart it for that, or keep everybody away, asks `/livez`.

use hyper::StatusCode;

use crate::shard::Snapshot;

/// What is answered at `/healthz`. `None`: the broker has not said in time what it counts.
pub(super) fn healthz(shard: Option<&Snapshot>) -> (StatusCode, &'static str) {
    answer(shard.map_or(Some(SILENT), fault))
}

/// The same at `/livez`.
pub(super) fn livez(shard: Option<&Snapshot>) -> (StatusCode, &'static str) {
    answer(shard.is_none().then_some(SILENT))
}

pub(super) const SILENT: &str = "the broker does not answer\n";

fn answer(fault: Option<&'static str>) -> (StatusCode, &'static str) {
    match fault {
        None => (StatusCode::OK, "ok\n"),
        Some(what) => (StatusCode::SERVICE_UNAVAILABLE, what),
    }
}

/// The worst first.
fn fault(shard: &Snapshot) -> Option<&'static str> {
    let store = shard.store.as_ref()?;
    if store.has_ended {
        return Some("the store has failed: nothing more is stored\n");
    }
    if shard.broker.journal_stuck > 0 {
        return Some(
            "the store has failed: a record is too long for the journal, nothing more is stored\n",
        );
    }
    store
        .is_full
        .then_some("the store is full: what would have to be stored is refused, all else goes on\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Stats;

    fn with(stats: Stats) -> Snapshot {
        Snapshot {
            store: Some(stats),
            ..Snapshot::default()
        }
    }

    #[track_caller]
    fn assert_answers(shard: Option<&Snapshot>, health: &str, life: &str) {
        for ((status, body), expected) in [(healthz(shard), health), (livez(shard), life)] {
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
