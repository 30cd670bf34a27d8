//! Writes the table with its values in Prometheus' text format, version 0.0.4.
//!
//! That is the format that `curl` and a browser show as text. Prometheus and everything that reads
//! its pages accept it.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::table::{BROKER, CONNECTIONS, DEVICES, GATEWAY, HISTORY, MESSAGES, SHARD, STORE};
use super::value::Value;
use super::{Kind, Metric, PREFIX};
use crate::devices::Counted;
use crate::gate::ConnectionCounts;
use crate::gateway::GatewayCounts;
use crate::history::HistoryCounts;
use crate::shard::Snapshot;

/// The media type of [`page`].
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The whole page. `started` is the date when the server was started, since 1970.
pub(crate) fn page(
    started: Duration,
    shard: &Snapshot,
    connections: &ConnectionCounts,
    devices: Option<&Counted>,
    gateway: Option<&GatewayCounts>,
    history: Option<&HistoryCounts>,
) -> String {
    let mut registry = Registry::default();
    // Every program gives it this name, so that one rule asks all of them how long they have run.
    registry.register(
        "process_start_time_seconds",
        "When the server started, since 1970 (UTC)",
        ConstGauge::new(started.as_secs_f64()),
    );
    let own = registry.sub_registry_with_prefix(PREFIX);
    own.register(
        "build",
        "Always 1. The label is the version of the server",
        Info::new([("version", env!("CARGO_PKG_VERSION"))]),
    );
    own.register_collector(Box::new(Samples(samples(
        shard,
        connections,
        devices,
        gateway,
        history,
    ))));
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = prometheus_text::encode(&mut text, &registry);
    text
}

/// Every row of the table with its value, in the order of the page. Without a store the rows of the
/// store are left out, and so are those of the devices without their model
/// and of the gateway and the history without one.
pub(crate) fn samples(
    shard: &Snapshot,
    connections: &ConnectionCounts,
    devices: Option<&Counted>,
    gateway: Option<&GatewayCounts>,
    history: Option<&HistoryCounts>,
) -> Vec<(Metric, Value)> {
    let Snapshot {
        broker,
        websocket_faults,
        postponed_frames,
        store,
    } = shard;
    let mut samples = Vec::new();
    samples.extend(CONNECTIONS.read(connections));
    samples.push((SHARD.websocket_faults, Value::from(*websocket_faults)));
    samples.push((SHARD.postponed_frames, Value::from(*postponed_frames)));
    samples.extend(BROKER.read(broker));
    samples.extend(store.iter().flat_map(|store| STORE.read(store)));
    samples.extend(devices.iter().flat_map(|it| DEVICES.read(it)));
    samples.extend(gateway.iter().flat_map(|it| GATEWAY.read(it)));
    samples.extend(history.iter().flat_map(|it| HISTORY.read(it)));
    samples.extend(history.iter().flat_map(|it| MESSAGES.read(&it.messages)));
    samples
}

/// The samples of one moment. Those of a family follow each other.
#[derive(Debug)]
struct Samples(Vec<(Metric, Value)>);

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.0.chunk_by(|(a, _), (b, _)| a.family == b.family) {
            let Some((first, _)) = family.first() else {
                continue;
            };
            let first = first.family;
            let (name, kind) = match first.kind {
                // The encoder writes the suffix itself.
                Kind::Counter => (first.name.trim_end_matches("_total"), MetricType::Counter),
                Kind::Gauge => (first.name, MetricType::Gauge),
            };
            let mut encoder = encoder.encode_descriptor(name, first.help, None, kind)?;
            for (metric, value) in family {
                let labels = metric.label.as_slice();
                value.encode(first.kind, encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
