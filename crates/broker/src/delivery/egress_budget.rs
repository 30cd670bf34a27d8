//! The egress budget: bytes that all connections together may have waiting to be written.
//!
//! A message of up to the size that every connection may have waiting always finds room. A larger
//! one is sent if it fits into what is free of
//! [`Limits::all_out_buffers_bytes`](crate::Limits::all_out_buffers_bytes). If it does not fit, a
//! `QoS` 0 message is dropped, and a `QoS` 1 or 2 message stays in its queue. A connection that
//! has something to write goes on with its queue when that is written. A connection that has
//! nothing to write would never be called again. So it is noted here with the bytes that it
//! needs, and it goes on when others have made that much room; the one that needs least goes
//! first. A message that would never fit goes out when nothing else waits.

use std::collections::{BTreeMap, BTreeSet};

use crate::admission::MemoryBudget;
use crate::delivery::Outbox;
use crate::types::{Limits, Slot};

/// Connections whose next message needs more of the egress budget than is free, and that have
/// nothing to write meanwhile.
#[derive(Debug, Default)]
pub(crate) struct AwaitingBudget {
    by_need: BTreeSet<(usize, Slot)>,
    needs: BTreeMap<Slot, usize>,
}

impl AwaitingBudget {
    /// The connection in `slot` needs so many bytes. A connection that has something to write is
    /// not noted: it goes on when that is written.
    pub(crate) fn wait(&mut self, slot: Slot, outbox: &Outbox, bytes: usize) {
        if outbox.held() == 0 {
            self.forget(slot);
            self.by_need.insert((bytes, slot));
            self.needs.insert(slot, bytes);
        }
    }

    /// The connection needs nothing any more.
    pub(crate) fn forget(&mut self, slot: Slot) {
        if let Some(bytes) = self.needs.remove(&slot) {
            self.by_need.remove(&(bytes, slot));
        }
    }

    /// Takes out a connection for which there is room now.
    pub(crate) fn pop(&mut self, limits: &Limits, memory: &MemoryBudget) -> Option<Slot> {
        let &(bytes, slot) = self.by_need.first()?;
        if !memory.has_egress_room(limits, 0, bytes) {
            return None;
        }
        self.forget(slot);
        Some(slot)
    }
}
