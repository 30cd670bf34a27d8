//! Bounds over all clients: a client that takes more than a fair share pays for it.
//!
//! All clients share some buffers (bytes in queues, bytes that wait to be written). The budget
//! divides them as network switches divide theirs: no client may hold more than what is still
//! free. So a client that holds much is stopped first, and a client that holds little has room
//! until the very end. If n clients take all they can get, each ends at 1/(n+1) of the whole,
//! and as much stays free for the others.

use crate::types::{Limits, Metrics, Weight};

/// What the broker holds, and whether it may hold more.
///
/// The budget decides. [`Metrics`] only shows what is counted here ([`report`](Self::report)).
#[derive(Debug, Default)]
pub(crate) struct MemoryBudget {
    /// Windows and queues of all sessions, ended ones included.
    queued: Weight,
    /// Bytes in queues of ended sessions, which can be freed at any time.
    freeable_bytes: u64,
    /// Bytes that wait to be written to connections, or are being written.
    unwritten_bytes: u64,
    /// Bytes of unfinished packets.
    partial_bytes: u64,
    alias_bytes: u64,
    /// Newest values that wait for connections.
    latest_bytes: u64,
    subscription_bytes: u64,
    lookups: u64,
    lookup_bytes: u64,
    wills: u64,
    will_bytes: u64,
    retained_messages: u64,
    retained_bytes: u64,
    /// `QoS` 2 messages from clients that have not sent PUBREL yet.
    incoming_messages: u64,
    sessions: u64,
    connections: u64,
    /// Bytes of records that are not durable yet.
    journal_bytes: u64,
    /// Bytes that the sessions take in a checkpoint, without their queues.
    stored_session_bytes: u64,
}

/// What the broker may still take.
impl MemoryBudget {
    /// Bytes that every connection may always have waiting, however much others have: enough for
    /// the answer to a SUBSCRIBE with a thousand filters, and for some messages.
    pub(crate) const LEAST_OUT_BUFFER: usize = 16 * 1024;

    /// Bytes that an empty session takes, approximately.
    const SESSION: u64 = 400;
    /// Bytes that an idle connection takes, approximately.
    const CONNECTION: u64 = 800;
    /// Bytes that the packet identifier of an incoming message takes: an entry in a list that
    /// grows, and another in the list of identifiers from before the connection.
    const INCOMING: u64 = 6;

    /// Bytes of memory that the broker holds, counted as if nothing were shared.
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
            + self.latest_bytes
            + self.incoming_messages * Self::INCOMING
            + self.sessions * Self::SESSION
            + self.connections * Self::CONNECTION
    }

    /// How many bytes the broker would hold beyond [`Limits::memory_bytes`] if it took `more`.
    pub(crate) fn excess_bytes(&self, limits: &Limits, more: usize) -> u64 {
        (self.total_bytes() + more as u64).saturating_sub(limits.memory_bytes as u64)
    }

    /// Whether there is memory for `bytes` of encoded output, after everything freeable is freed.
    /// Small amounts are always allowed, so the total need not be added up for them.
    pub(crate) fn has_memory_for_copy(&self, limits: &Limits, bytes: usize) -> bool {
        bytes <= Self::LEAST_OUT_BUFFER || self.excess_bytes(limits, bytes) <= self.freeable_bytes
    }

    /// The most bytes that may now wait to be written to one connection.
    pub(crate) fn out_buffer(&self, limits: &Limits) -> usize {
        let free = usize::try_from(self.free_out_buffers(limits)).unwrap_or(usize::MAX);
        limits
            .out_buffer_bytes
            .min(free.max(Self::LEAST_OUT_BUFFER))
    }

    /// Whether the shared egress budget lets a connection with `held` unwritten bytes take
    /// `bytes` more.
    pub(crate) fn has_egress_room(&self, limits: &Limits, held: usize, bytes: usize) -> bool {
        let wanted = held + bytes;
        wanted <= Self::LEAST_OUT_BUFFER
            || wanted as u64 <= self.free_out_buffers(limits)
            || self.unwritten_bytes == 0
    }

    fn free_out_buffers(&self, limits: &Limits) -> u64 {
        (limits.all_out_buffers_bytes as u64).saturating_sub(self.unwritten_bytes)
    }

    /// The most bytes that a connection's newest values may take before `more` bytes are added to
    /// them. They take `own` bytes now.
    pub(crate) fn latest_room(&self, limits: &Limits, own: usize, more: usize) -> usize {
        let others = self.latest_bytes - own as u64;
        let free = (limits.all_latest_bytes as u64).saturating_sub(others) / 2;
        let fair = usize::try_from(free).unwrap_or(usize::MAX);
        let most = limits.latest_bytes.min(fair);
        if self.excess_bytes(limits, more) <= self.freeable_bytes {
            most
        } else {
            most.min(own)
        }
    }

    /// Whether unfinished packets take more than they may.
    pub(crate) fn has_too_many_partial_bytes(&self, limits: &Limits) -> bool {
        self.partial_bytes > limits.all_partial_bytes as u64
    }

    /// Whether the subscriptions of all clients may take `cost` bytes more.
    pub(crate) fn has_subscription_room(&self, limits: &Limits, cost: usize) -> bool {
        self.subscription_bytes + cost as u64 <= limits.all_subscriptions_bytes as u64
    }

    /// Whether the retained look-ups of all clients may take `cost` bytes more.
    pub(crate) fn has_lookup_room(&self, limits: &Limits, cost: usize) -> bool {
        self.lookup_bytes + cost as u64 <= limits.all_subscriptions_bytes as u64
    }

    /// Whether the wills of all clients may take `cost` bytes more.
    pub(crate) fn has_will_room(&self, limits: &Limits, cost: usize) -> bool {
        self.will_bytes + cost as u64 <= limits.all_wills_bytes as u64
    }

    /// Whether a session's queue may grow by `cost` bytes to `bytes`, while all other queues
    /// hold `others`.
    pub(crate) fn has_queue_room(limits: &Limits, bytes: usize, cost: usize, others: u64) -> bool {
        bytes <= limits.queue_bytes && Self::queue_excess(limits, bytes, cost, others) == 0
    }

    /// How many bytes must be freed before a queue may grow by `cost` bytes to `bytes`, while
    /// all other queues hold `others`.
    pub(crate) fn queue_excess(limits: &Limits, bytes: usize, cost: usize, others: u64) -> u64 {
        let taken = others + (bytes - cost) as u64;
        (taken + bytes as u64).saturating_sub(limits.all_queues_bytes as u64)
    }
}

/// What the broker holds, as other wings report it.
impl MemoryBudget {
    /// Replaces the weight of one session's queue.
    pub(crate) fn requeue(&mut self, before: Weight, after: Weight) {
        let change = |gauge: &mut usize, before: usize, after: usize| {
            *gauge = *gauge + after - before;
        };
        change(&mut self.queued.messages, before.messages, after.messages);
        change(&mut self.queued.bytes, before.bytes, after.bytes);
        change(&mut self.queued.stored, before.stored, after.stored);
    }

    /// Subtracts `messages` messages in records from the count: they now belong to somebody else.
    pub(crate) fn uncount_stored(&mut self, messages: usize) {
        self.queued.stored -= messages;
    }

    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued.bytes as u64
    }

    pub(crate) fn queued_messages(&self) -> u64 {
        self.queued.messages as u64
    }

    /// Queued messages that are in records.
    pub(crate) fn stored_deliveries(&self) -> u64 {
        self.queued.stored as u64
    }

    /// The part of [`queued_bytes`](Self::queued_bytes) that can be freed at any time.
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

    pub(crate) fn change_latest(&mut self, before: usize, after: usize) {
        change(&mut self.latest_bytes, before, after);
    }

    pub(crate) fn latest_bytes(&self) -> u64 {
        self.latest_bytes
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

    /// Writes the gauges into `metrics`.
    pub(crate) fn report(&self, metrics: &mut Metrics) {
        metrics.memory_bytes = self.total_bytes();
        metrics.queued_messages = self.queued_messages();
        metrics.queued_bytes = self.queued_bytes();
        metrics.stored_deliveries = self.stored_deliveries();
        metrics.unwritten_bytes = self.unwritten_bytes;
        metrics.partial_bytes = self.partial_bytes;
        metrics.alias_bytes = self.alias_bytes;
        metrics.latest_bytes = self.latest_bytes;
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
