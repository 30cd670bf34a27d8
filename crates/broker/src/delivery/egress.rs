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

use crate::admission::MemoryBudget;
use crate::delivery::Outbox;
use crate::types::{Limits, Slot};

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
    pub(crate) fn pop(&mut self, limits: &Limits, memory: &MemoryBudget) -> Option<Slot> {
        let &(bytes, slot) = self.by_need.first()?;
        if !memory.has_egress_room(limits, 0, bytes) {
            return None;
        }
        self.forget(slot);
        Some(slot)
    }
}
