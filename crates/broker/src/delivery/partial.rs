//! What a connection holds of an unfinished packet.

use crate::delivery::Connection;
use crate::types::Metrics;

impl Connection {
    /// Brings the gauge up to date.
    pub(crate) fn count_partial(&mut self, metrics: &mut Metrics) {
        let put_by = self.pause.as_ref().map_or(0, |pause| pause.bytes);
        let buffered = self.decoder.buffered() + put_by;
        if buffered != self.partial {
            metrics.partial_bytes = metrics.partial_bytes + buffered as u64 - self.partial as u64;
            self.partial = buffered;
        }
    }
}
