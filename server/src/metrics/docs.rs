//! docs/metrics.md is made from the table. `UPDATE_DOCS=1 cargo test -p beaconry docs` writes it.

use std::fmt::Write;

use super::{Kind, PREFIX, samples};
use crate::devices::Counted;
use crate::gate::ConnectionCounts;
use crate::gateway::GatewayCounts;
use crate::generated;
use crate::history::HistoryCounts;
use crate::shard::Snapshot;
use store::Stats;

#[test]
fn docs_metrics_is_up_to_date() {
    let shard = Snapshot {
        store: Some(Stats::default()),
        ..Snapshot::default()
    };
    let devices = Counted::default();
    let gateway = GatewayCounts::default();
    let mut text = "| metric | type | what it tells |\n|---|---|---|\n".to_owned();
    let mut before = None;
    for (metric, _) in samples(
        &shard,
        &ConnectionCounts::default(),
        Some(&devices),
        Some(&gateway),
        Some(&HistoryCounts::default()),
    ) {
        let kind = match metric.kind() {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // All samples of a family share one sentence, which is written only once.
        let help = if before == Some(metric.family) {
            "the same"
        } else {
            metric.family.help
        };
        before = Some(metric.family);
        writeln!(text, "| `{PREFIX}_{metric}` | {kind} | {help} |").unwrap();
    }
    generated::compare("docs/metrics.md", &text);
}
