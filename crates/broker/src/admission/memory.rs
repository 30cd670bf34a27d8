//! Bounds over all clients: who takes more than a fair share pays.
//!
//! What is shared by all (bytes in queues, bytes not written yet) is divided as switches divide
//! their buffers: nobody may hold more than what is still free. So whoever holds much stops
//! first, and who holds little has room until the very end: with n that take all they can get,
//! each ends at 1/(n+1) of the whole, and as much stays free for the others.

use crate::types::{Limits, Metrics};

impl Limits {
    /// What every connection may have waiting to be written, however much others have: an
    /// answer to a SUBSCRIBE with a thousand filters and some messages.
    pub(crate) const LEAST_OUT_BUFFER: usize = 16 * 1024;

    /// Bytes that may wait to be written to one connection just now.
    pub(crate) fn out_buffer(&self, metrics: &Metrics) -> usize {
        let free = self.free_out_buffers(metrics);
        let free = usize::try_from(free).unwrap_or(usize::MAX);
        self.out_buffer_bytes.min(free.max(Self::LEAST_OUT_BUFFER))
    }

    /// What is free of [`all_out_buffers_bytes`](Self::all_out_buffers_bytes).
    pub(crate) fn free_out_buffers(&self, metrics: &Metrics) -> u64 {
        (self.all_out_buffers_bytes as u64).saturating_sub(metrics.unwritten_bytes)
    }

    /// Whether a session's queue may grow by `cost` to so many bytes, where those of all others
    /// take `others`.
    pub(crate) fn has_queue_room(&self, bytes: usize, cost: usize, others: u64) -> bool {
        bytes <= self.queue_bytes && self.lacking_queue_room(bytes, cost, others) == 0
    }

    /// How many bytes the others take too many for that.
    pub(crate) fn lacking_queue_room(&self, bytes: usize, cost: usize, others: u64) -> u64 {
        let taken = others + (bytes - cost) as u64;
        (taken + bytes as u64).saturating_sub(self.all_queues_bytes as u64)
    }
}

impl Limits {
    /// Whether a connection of which `held` bytes are not written yet may get so many more,
    /// as far as the others are concerned.
    pub(crate) fn all_have_room(&self, metrics: &Metrics, held: usize, bytes: usize) -> bool {
        let wanted = held + bytes;
        wanted <= Self::LEAST_OUT_BUFFER
            || wanted as u64 <= self.free_out_buffers(metrics)
            || metrics.unwritten_bytes == 0
    }

    /// Whether there is memory for a copy of so many bytes, with what can be freed. One that
    /// everybody may have needs no look at all that is counted.
    pub(crate) fn has_memory_for_copy(
        &self,
        metrics: &Metrics,
        freeable: u64,
        bytes: usize,
    ) -> bool {
        bytes <= Self::LEAST_OUT_BUFFER || self.lacking_memory(metrics, bytes) <= freeable
    }

    /// How many bytes too many there are for so many more.
    pub(crate) fn lacking_memory(&self, metrics: &Metrics, bytes: usize) -> u64 {
        let wanted = metrics.memory_bytes() + bytes as u64;
        wanted.saturating_sub(self.memory_bytes as u64)
    }
}

impl Metrics {
    /// What a session takes that has nothing, near enough, in bytes.
    const SESSION: u64 = 400;
    /// What a connection takes that has nothing.
    const CONNECTION: u64 = 800;

    /// What the packet identifier of an incoming message takes: in a list that grows, and in
    /// another of what was there before the connection.
    const INCOMING: u64 = 6;

    /// Gauge: bytes of memory that all lists take together, as if nothing were shared.
    pub const fn memory_bytes(&self) -> u64 {
        self.retained_bytes
            + self.queued_bytes
            + self.subscription_bytes
            + self.retained_lookup_bytes
            + self.will_bytes
            + self.unwritten_bytes
            + self.partial_bytes
            + self.journal_bytes
            + self.alias_bytes
            + self.incoming_messages * Self::INCOMING
            + self.sessions * Self::SESSION
            + self.connections * Self::CONNECTION
    }
}
