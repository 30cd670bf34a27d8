//! The value of a metric, and how Prometheus' encoder takes it.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Kind;

/// The value of a metric.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Whole(u64),
    /// A time. `/metrics` shows seconds, with fractions.
    Seconds(f64),
}

impl Value {
    pub(super) fn encode(self, kind: Kind, encoder: MetricEncoder<'_>) -> fmt::Result {
        match (kind, self) {
            (Kind::Counter, Self::Whole(value)) => ConstCounter::new(value).encode(encoder),
            (Kind::Counter, Self::Seconds(value)) => ConstCounter::new(value).encode(encoder),
            (Kind::Gauge, Self::Whole(value)) => ConstGauge::new(value).encode(encoder),
            (Kind::Gauge, Self::Seconds(value)) => ConstGauge::new(value).encode(encoder),
        }
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Whole(u64::try_from(value).unwrap_or(u64::MAX))
    }
}

/// 1 for `true`.
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Self::Seconds(value.as_secs_f64())
    }
}
