//! What a connection holds of an unfinished packet.

use crate::admission::MemoryBudget;
use crate::delivery::Connection;

impl Connection {
    /// Brings the gauge up to date.
    pub(crate) fn count_partial(&mut self, memory: &mut MemoryBudget) {
        let put_by = self.pause.as_ref().map_or(0, |pause| pause.bytes);
        let buffered = self.decoder.buffered() + put_by;
        if buffered != self.partial {
            memory.change_partial(self.partial, buffered);
            self.partial = buffered;
        }
    }
}
