//! The egress budget: bytes that all connections together may have waiting to be written.
//!
//! A message always finds room if it is no larger than what every connection may have waiting. A
//! larger message is sent if it fits into what is free of
//! [`Limits::all_out_buffers_bytes`](crate::Limits::all_out_buffers_bytes). If it does not fit,
//! a `QoS` 0 message is dropped, and a `QoS` 1 or 2 message stays in its queue.
//!
//! A connection with bytes to write continues with its queue when they are written. A connection
//! with nothing to write would get no such occasion. So it waits here with the bytes that it needs,
//! and continues when others have made that much room. The one that needs least goes first. A
//! message that would never fit goes out when nothing else waits.

use std::collections::{BTreeMap, BTreeSet};

use crate::admission::MemoryBudget;
use crate::delivery::Outbox;
use crate::types::{Limits, Slot};

/// Connections without bytes to write whose next message needs more of the egress budget than is
/// free.
#[derive(Debug, Default)]
pub(crate) struct AwaitingBudget {
    by_need: BTreeSet<(usize, Slot)>,
    needs: BTreeMap<Slot, usize>,
}

impl AwaitingBudget {
    /// Notes that the connection in `slot` needs `bytes`, unless it has bytes to write: then it
    /// continues when they are written.
    pub(crate) fn wait(&mut self, slot: Slot, outbox: &Outbox, bytes: usize) {
        if outbox.held() == 0 {
            self.forget(slot);
            self.by_need.insert((bytes, slot));
            self.needs.insert(slot, bytes);
        }
    }

    /// Removes a connection that needs nothing any more.
    pub(crate) fn forget(&mut self, slot: Slot) {
        if let Some(bytes) = self.needs.remove(&slot) {
            self.by_need.remove(&(bytes, slot));
        }
    }

    /// Takes a connection for which there is room now.
    pub(crate) fn pop(&mut self, limits: &Limits, memory: &MemoryBudget) -> Option<Slot> {
        let &(bytes, slot) = self.by_need.first()?;
        if !memory.has_egress_room(limits, 0, bytes) {
            return None;
        }
        self.forget(slot);
        Some(slot)
    }
}
