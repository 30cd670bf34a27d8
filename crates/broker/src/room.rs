//! Room for what all connections together have not written yet.
//!
//! A message is larger than what everybody may have waiting, or is not: one that is not always
//! finds room. A larger one goes out if it fits into what is free of
//! [`Limits::all_out_buffers_bytes`]; of `QoS` 0 it is dropped otherwise, of `QoS` 1 and 2 it
//! stays in its queue. Where the connection itself has something to write, its queue goes on
//! when that is written. Where it has nothing, nobody would come back to it: it is noted here
//! how much it needs, and it goes on when others have made so much room, whoever needs least
//! first. One that would never fit goes out when nothing else waits.

use std::collections::{BTreeMap, BTreeSet};

use mqtt::Instant;

use crate::broker::Broker;
use crate::connection::Slot;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outbox::Outbox;

/// Connections whose next message needs more room than there is, and that have nothing to
/// write meanwhile.
#[derive(Debug, Default)]
pub(crate) struct AwaitingRoom {
    by_need: BTreeSet<(usize, Slot)>,
    needs: BTreeMap<Slot, usize>,
}

impl AwaitingRoom {
    /// The connection in `slot` needs so many bytes. If it has something to write it will be
    /// heard of anyway.
    pub(crate) fn wait(&mut self, slot: Slot, outbox: &Outbox, bytes: usize) {
        if outbox.held() == 0 {
            self.forget(slot);
            self.by_need.insert((bytes, slot));
            self.needs.insert(slot, bytes);
        }
    }

    /// It needs nothing any more.
    pub(crate) fn forget(&mut self, slot: Slot) {
        if let Some(bytes) = self.needs.remove(&slot) {
            self.by_need.remove(&(bytes, slot));
        }
    }

    /// Takes one out that has room now.
    fn pop(&mut self, limits: &Limits, metrics: &Metrics) -> Option<Slot> {
        let &(bytes, slot) = self.by_need.first()?;
        if !limits.all_have_room(metrics, 0, bytes) {
            return None;
        }
        self.forget(slot);
        Some(slot)
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

impl Broker {
    /// Goes on with one connection for which there is room now, if there is one.
    pub(crate) fn fill_room(&mut self, now: Instant) -> bool {
        let Some(slot) = self.room.pop(&self.options.limits, &self.metrics) else {
            return false;
        };
        if let Some((link, _, _)) = self.connections.linked(slot) {
            let session = link.session;
            self.pump(now, session);
            self.look_on(now, session);
            self.unblock(session);
        }
        true
    }
}
