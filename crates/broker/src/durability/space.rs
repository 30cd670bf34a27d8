//! Room in the store that the broker reserves before it accepts anything new.
//!
//! **Invariant.** The broker refuses new things early enough to leave room for two others: the
//! records that clients cause by taking and acknowledging what waits for them, and a checkpoint,
//! after which old records can be removed. So a full store can always become less full.
//!
//! The broker estimates both from counters that it has at any time, rather too high than too
//! low. The shell says how much room there is ([`Input::StoreRoom`](crate::Input::StoreRoom)).
//! The broker compares before it accepts anything, so that not even a burst can use up the
//! reserve.

use mqtt::Publish;

use crate::admission::MemoryBudget;
use crate::durability::Ledger;
use crate::types::{Metrics, cost};

/// The most bytes of records for a client that is sent a message and acknowledges it. With `QoS` 2
/// there are three records (sent, received, done), each in a group of its own.
const TAKING: u64 = 176;
/// Bytes of a message's name in the checkpoint of a session.
const NAMED: u64 = 24;
/// Bytes of a recipient in the record of a new message.
const RECIPIENT: u64 = 16;
/// Bytes of a message's record without the message itself.
const RECORD: u64 = 64;
/// Bytes of the record that releases an incoming `QoS` 2 message, and of its entry in a
/// checkpoint.
const RELEASING: u64 = 64;
/// The part of a will's cost in memory that takes no bytes in a record. The rest of the overhead
/// covers what a record says of the will's session.
const MEMORY_ONLY: u64 = 128;
/// Bytes that a retained message adds to a checkpoint that already holds the message for a session.
const KEPT: u64 = 32;
/// Bytes of the first and last record of a checkpoint.
const ENDS: u64 = 128;
/// A checkpoint may grow by this part of its size (an eighth) while it is written, and other
/// records may take as much.
const MARGIN: u64 = 8;

/// Bytes that something new takes in the store: in its own record and in a checkpoint.
#[derive(Copy, Clone, Debug)]
pub(crate) struct StoreCost(u64);

impl StoreCost {
    /// The cost of a message, without its recipients.
    pub(crate) fn of(publish: &Publish) -> Self {
        Self::of_bytes(cost(publish))
    }

    /// Adds the cost of `recipients` whose sessions outlive their connections.
    pub(crate) const fn for_recipients(self, recipients: usize) -> Self {
        const EACH: u64 = TAKING + NAMED + NAMED / MARGIN + RECIPIENT;
        Self(self.0 + recipients as u64 * EACH)
    }

    /// The cost of something that takes `bytes` of memory.
    pub(crate) const fn of_bytes(bytes: usize) -> Self {
        Self(2 * (bytes as u64 + RECORD))
    }
}

/// Bytes of a checkpoint without the messages, estimated rather too high.
fn checkpoint_bytes_without_messages(memory: &MemoryBudget) -> u64 {
    let wills = memory.will_bytes() - memory.wills() * MEMORY_ONLY;
    memory.stored_session_bytes()
        + wills
        + memory.stored_deliveries() * NAMED
        + memory.retained_messages() * KEPT
        + memory.incoming_messages() * RELEASING
        + ENDS
}

/// Bytes of records that clients cause by taking and acknowledging everything that waits, in steps
/// as small as they like. Estimated rather too high.
fn taking_bytes(memory: &MemoryBudget) -> u64 {
    memory.stored_deliveries() * TAKING + memory.incoming_messages() * RELEASING
}

impl Ledger {
    /// Bytes of a whole checkpoint, estimated rather too high.
    fn copy_bytes(&self, memory: &MemoryBudget) -> u64 {
        checkpoint_bytes_without_messages(memory) + self.message_bytes().bytes()
    }

    /// Bytes that are free for new things, beyond the reserve.
    pub(crate) fn spare_room(&self, memory: &MemoryBudget) -> u64 {
        let copy = self.copy_bytes(memory);
        let needed =
            copy.saturating_sub(self.checkpoint().bytes()) + copy / MARGIN + taking_bytes(memory);
        let unsettled = self.unsettled_bytes() as u64;
        self.room().saturating_sub(unsettled).saturating_sub(needed)
    }

    /// Whether the store has too little room for something new of this cost.
    pub(crate) fn lacks_room(&self, memory: &MemoryBudget, StoreCost(bytes): StoreCost) -> bool {
        self.is_full() || (self.is_kept() && self.spare_room(memory) < bytes)
    }

    /// Writes the gauges of the journal into `metrics`.
    pub(crate) fn report(&self, memory: &MemoryBudget, metrics: &mut Metrics) {
        metrics.records = self.last().0;
        metrics.journal_stuck = u64::from(self.is_stuck());
        metrics.stored_message_bytes = self.message_bytes().bytes();
        metrics.copy_bytes = self.copy_bytes(memory);
        metrics.taking_bytes = taking_bytes(memory);
    }
}
