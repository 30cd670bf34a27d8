//! Bounds over all clients: who takes more than a fair share pays.
//!
//! What is shared by all (bytes in queues, bytes not written yet) is divided as switches divide
//! their buffers: nobody may hold more than what is still free. So whoever holds much stops
//! first, and who holds little has room until the very end: with n that take all they can get,
//! each ends at 1/(n+1) of the whole, and as much stays free for the others.

use crate::types::{Limits, Metrics, Weight};

/// What the broker holds, and whether it may hold more.
///
/// It decides; [`Metrics`] only shows what is here ([`report`](Self::report)).
#[derive(Debug, Default)]
pub(crate) struct MemoryBudget {
    /// Windows and queues of all sessions, those that are over included.
    queued: Weight,
    /// Bytes of queues whose sessions are over. They can be freed at any time.
    freeable_bytes: u64,
    /// Bytes that wait to be written to connections, or are being written.
    unwritten_bytes: u64,
    /// Bytes of packets that have not come to their end.
    partial_bytes: u64,
    alias_bytes: u64,
    subscription_bytes: u64,
    lookups: u64,
    lookup_bytes: u64,
    wills: u64,
    will_bytes: u64,
    retained_messages: u64,
    retained_bytes: u64,
    /// `QoS` 2 messages from clients whose PUBREL has not come.
    incoming_messages: u64,
    sessions: u64,
    connections: u64,
    /// Bytes of records that are not durable yet.
    journal_bytes: u64,
    /// Bytes that the sessions take in a copy of everything, without what waits for them.
    stored_session_bytes: u64,
}

/// The decisions.
impl MemoryBudget {
    /// What every connection may have waiting to be written, however much others have: an
    /// answer to a SUBSCRIBE with a thousand filters and some messages.
    pub(crate) const LEAST_OUT_BUFFER: usize = 16 * 1024;

    /// What a session takes that has nothing, near enough, in bytes.
    const SESSION: u64 = 400;
    /// What a connection takes that has nothing.
    const CONNECTION: u64 = 800;
    /// What the packet identifier of an incoming message takes: in a list that grows, and in
    /// another of what was there before the connection.
    const INCOMING: u64 = 6;

    /// Bytes of memory that all lists take together, as if nothing were shared.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.retained_bytes
            + self.queued_bytes()
            + self.subscription_bytes
            + self.lookup_bytes
            + self.will_bytes
            + self.unwritten_bytes
            + self.partial_bytes
            + self.journal_bytes
            + self.alias_bytes
            + self.incoming_messages * Self::INCOMING
            + self.sessions * Self::SESSION
            + self.connections * Self::CONNECTION
    }

    /// Bytes that are used beyond [`Limits::memory_bytes`] once `more` are.
    pub(crate) fn excess_bytes(&self, limits: &Limits, more: usize) -> u64 {
        (self.total_bytes() + more as u64).saturating_sub(limits.memory_bytes as u64)
    }

    /// Whether there is memory for a copy of so many bytes, with what can be freed. A copy that
    /// every connection may have needs no look at the sum.
    pub(crate) fn has_memory_for_copy(&self, limits: &Limits, bytes: usize) -> bool {
        bytes <= Self::LEAST_OUT_BUFFER || self.excess_bytes(limits, bytes) <= self.freeable_bytes
    }

    /// Bytes that may wait to be written to one connection just now.
    pub(crate) fn out_buffer(&self, limits: &Limits) -> usize {
        let free = usize::try_from(self.free_out_buffers(limits)).unwrap_or(usize::MAX);
        limits
            .out_buffer_bytes
            .min(free.max(Self::LEAST_OUT_BUFFER))
    }

    /// Whether a connection of which `held` bytes are not written yet may get so many more,
    /// as far as the others are concerned.
    pub(crate) fn has_egress_room(&self, limits: &Limits, held: usize, bytes: usize) -> bool {
        let wanted = held + bytes;
        wanted <= Self::LEAST_OUT_BUFFER
            || wanted as u64 <= self.free_out_buffers(limits)
            || self.unwritten_bytes == 0
    }

    fn free_out_buffers(&self, limits: &Limits) -> u64 {
        (limits.all_out_buffers_bytes as u64).saturating_sub(self.unwritten_bytes)
    }

    /// Whether the connections hold more of unfinished packets than they may.
    pub(crate) fn has_too_many_partial_bytes(&self, limits: &Limits) -> bool {
        self.partial_bytes > limits.all_partial_bytes as u64
    }

    /// Whether the subscriptions of all clients may take so many bytes more.
    pub(crate) fn has_subscription_room(&self, limits: &Limits, cost: usize) -> bool {
        self.subscription_bytes + cost as u64 <= limits.all_subscriptions_bytes as u64
    }

    /// Whether the look-ups of all clients may take so many bytes more.
    pub(crate) fn has_lookup_room(&self, limits: &Limits, cost: usize) -> bool {
        self.lookup_bytes + cost as u64 <= limits.all_subscriptions_bytes as u64
    }

    /// Whether the wills of all clients may take so many bytes more.
    pub(crate) fn has_will_room(&self, limits: &Limits, cost: usize) -> bool {
        self.will_bytes + cost as u64 <= limits.all_wills_bytes as u64
    }

    /// Whether a session's queue may grow by `cost` to so many bytes, where those of all others
    /// take `others`.
    pub(crate) fn has_queue_room(limits: &Limits, bytes: usize, cost: usize, others: u64) -> bool {
        bytes <= limits.queue_bytes && Self::queue_excess(limits, bytes, cost, others) == 0
    }

    /// Bytes that would have to be freed first for a queue to grow by `cost` to `bytes`.
    pub(crate) fn queue_excess(limits: &Limits, bytes: usize, cost: usize, others: u64) -> u64 {
        let taken = others + (bytes - cost) as u64;
        (taken + bytes as u64).saturating_sub(limits.all_queues_bytes as u64)
    }
}

/// What is held.
impl MemoryBudget {
    /// What waits for a session has changed.
    pub(crate) fn requeue(&mut self, before: Weight, after: Weight) {
        let change = |gauge: &mut usize, before: usize, after: usize| {
            *gauge = *gauge + after - before;
        };
        change(&mut self.queued.messages, before.messages, after.messages);
        change(&mut self.queued.bytes, before.bytes, after.bytes);
        change(&mut self.queued.stored, before.stored, after.stored);
    }

    /// So many messages are in records for somebody else from now on.
    pub(crate) fn uncount_stored(&mut self, messages: usize) {
        self.queued.stored -= messages;
    }

    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued.bytes as u64
    }

    pub(crate) fn queued_messages(&self) -> u64 {
        self.queued.messages as u64
    }

    /// Messages in queues that records say something about.
    pub(crate) fn stored_deliveries(&self) -> u64 {
        self.queued.stored as u64
    }

    /// Bytes of [`queued_bytes`](Self::queued_bytes) that can be freed at any time.
    pub(crate) fn freeable_bytes(&self) -> u64 {
        self.freeable_bytes
    }

    pub(crate) fn change_freeable(&mut self, before: usize, after: usize) {
        change(&mut self.freeable_bytes, before, after);
    }

    pub(crate) fn change_unwritten(&mut self, before: usize, after: usize) {
        change(&mut self.unwritten_bytes, before, after);
    }

    pub(crate) fn change_partial(&mut self, before: usize, after: usize) {
        change(&mut self.partial_bytes, before, after);
    }

    pub(crate) fn change_aliases(&mut self, before: u64, after: u64) {
        self.alias_bytes = self.alias_bytes + after - before;
    }

    pub(crate) fn alias_bytes(&self) -> u64 {
        self.alias_bytes
    }

    pub(crate) fn change_subscriptions(&mut self, before: usize, after: usize) {
        change(&mut self.subscription_bytes, before, after);
    }

    pub(crate) fn change_stored_session(&mut self, before: u64, after: u64) {
        self.stored_session_bytes = self.stored_session_bytes + after - before;
    }

    pub(crate) fn stored_session_bytes(&self) -> u64 {
        self.stored_session_bytes
    }

    pub(crate) fn add_lookup(&mut self, cost: usize) {
        self.lookups += 1;
        self.lookup_bytes += cost as u64;
    }

    pub(crate) fn remove_lookup(&mut self, cost: usize) {
        self.lookups -= 1;
        self.lookup_bytes -= cost as u64;
    }

    pub(crate) fn add_will(&mut self, cost: usize) {
        self.wills += 1;
        self.will_bytes += cost as u64;
    }

    pub(crate) fn remove_will(&mut self, cost: usize) {
        self.wills -= 1;
        self.will_bytes -= cost as u64;
    }

    pub(crate) fn wills(&self) -> u64 {
        self.wills
    }

    pub(crate) fn will_bytes(&self) -> u64 {
        self.will_bytes
    }

    pub(crate) fn set_retained(&mut self, messages: usize, bytes: usize) {
        self.retained_messages = messages as u64;
        self.retained_bytes = bytes as u64;
    }

    pub(crate) fn retained_messages(&self) -> u64 {
        self.retained_messages
    }

    pub(crate) fn add_incoming(&mut self) {
        self.incoming_messages += 1;
    }

    pub(crate) fn remove_incoming(&mut self, messages: usize) {
        self.incoming_messages -= messages as u64;
    }

    pub(crate) fn incoming_messages(&self) -> u64 {
        self.incoming_messages
    }

    pub(crate) fn set_sessions(&mut self, sessions: usize) {
        self.sessions = sessions as u64;
    }

    pub(crate) fn set_connections(&mut self, connections: usize) {
        self.connections = connections as u64;
    }

    pub(crate) fn set_journal(&mut self, bytes: usize) {
        self.journal_bytes = bytes as u64;
    }

    /// Writes the gauges of what is held.
    pub(crate) fn report(&self, metrics: &mut Metrics) {
        metrics.memory_bytes = self.total_bytes();
        metrics.queued_messages = self.queued_messages();
        metrics.queued_bytes = self.queued_bytes();
        metrics.stored_deliveries = self.stored_deliveries();
        metrics.unwritten_bytes = self.unwritten_bytes;
        metrics.partial_bytes = self.partial_bytes;
        metrics.alias_bytes = self.alias_bytes;
        metrics.subscription_bytes = self.subscription_bytes;
        metrics.retained_lookups = self.lookups;
        metrics.retained_lookup_bytes = self.lookup_bytes;
        metrics.wills = self.wills;
        metrics.will_bytes = self.will_bytes;
        metrics.retained_messages = self.retained_messages;
        metrics.retained_bytes = self.retained_bytes;
        metrics.incoming_messages = self.incoming_messages;
        metrics.sessions = self.sessions;
        metrics.connections = self.connections;
        metrics.journal_bytes = self.journal_bytes;
        metrics.stored_session_bytes = self.stored_session_bytes;
    }
}

fn change(gauge: &mut u64, before: usize, after: usize) {
    *gauge = *gauge + after as u64 - before as u64;
}
