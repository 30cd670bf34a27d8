//! What `/metrics` shows. `table.rs` has one row for each metric; `page.rs` writes them in Prometheus'
//! text format.
//!
//! **To add a metric:** add a field to the struct that counts it (`broker::Metrics`,
//! `store::Stats`, `ConnectionCounts` in `server/src/gate.rs`, `Counted` in
//! `server/src/devices`, `GatewayCounts` in `server/src/gateway`, or `HistoryCounts` in `server/src/history`) and a row with the same name to
//! `table.rs`. A field without a row does not compile. Then run
//! `UPDATE_DOCS=1 cargo test -p beaconry docs`, which writes docs/metrics.md.

#[cfg(test)]
mod docs;
#[cfg(test)]
mod exposition;
mod page;
mod table;
mod value;

use std::fmt;

#[cfg(test)]
pub(crate) use self::page::samples;
pub(crate) use self::page::{CONTENT_TYPE, page};
pub(crate) use self::table::{
    BROKER, CONNECTIONS, DEVICES, GATEWAY, HISTORY, MESSAGES, SHARD, STORE,
};

/// All names begin with this, except `process_start_time_seconds`.
pub(crate) const PREFIX: &str = "beaconry";

/// One sample of `/metrics`: a metric, or one label of a metric that has several.
///
/// Its [`Display`](fmt::Display) is its name there, without `beaconry_`:
/// `mqtt_refused_total{limit="sessions"}`.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    family: Family,
    /// Its name and its value.
    label: Option<(&'static str, &'static str)>,
}

/// A metric family, as Prometheus calls it: one sample, or samples that differ only in a label.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    name: &'static str,
    kind: Kind,
    /// One sentence, shown at `/metrics` and in docs/metrics.md.
    help: &'static str,
}

/// How a metric changes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from 0 at the start of the server.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Metric {
    /// How it changes.
    pub const fn kind(&self) -> Kind {
        self.family.kind
    }
}

impl Family {
    /// The name ends in `_total`: Prometheus' convention for counters.
    const fn counter(name: &'static str, help: &'static str) -> Self {
        assert!(
            matches!(name.as_bytes(), [.., b'_', b't', b'o', b't', b'a', b'l']),
            "the name of a counter ends in _total"
        );
        let kind = Kind::Counter;
        Self { name, kind, help }
    }

    const fn gauge(name: &'static str, help: &'static str) -> Self {
        let kind = Kind::Gauge;
        Self { name, kind, help }
    }

    /// The sample of this family that has the label `name` with the value `value`.
    const fn labelled(self, name: &'static str, value: &'static str) -> Metric {
        Metric {
            family: self,
            label: Some((name, value)),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.family.name)?;
        match self.label {
            Some((name, value)) => write!(f, "{{{name}=\"{value}\"}}"),
            None => Ok(()),
        }
    }
}
