//! What the store must have room for, whatever else it refuses.
//!
//! **Invariant.** What is refused leaves room for two things: the records of clients that come
//! for what waits for them, take it and acknowledge it; and a copy of everything, behind which the
//! old records can go. So a store that is full is full only for as long as what is in it matters.
//!
//! Both are counted, rather too high, with what is known at any time. The shell says how much room
//! there is ([`Input::StoreRoom`](crate::Input::StoreRoom)); what is about to be accepted is held
//! against what is left of it, before it is, so that not even a burst can use up what is kept.

use mqtt::Publish;

use crate::admission::MemoryBudget;
use crate::durability::Ledger;
use crate::types::{Metrics, cost};

/// What a client writes that is sent a message and acknowledges it, at most: with `QoS` 2 that it
/// was sent, was received and is done with, each as small as a frame can be, and each in a group
/// of its own.
const TAKING: u64 = 176;
/// What a message that waits takes in the copy of its session, which names it.
const NAMED: u64 = 24;
/// What a recipient takes in the record of a new message.
const RECIPIENT: u64 = 16;
/// What the record of a message takes besides the message.
const RECORD: u64 = 64;
/// What an incoming message of `QoS` 2 writes that is released, and in a copy.
const RELEASING: u64 = 64;
/// Of what holding a will costs, what is in memory only. The rest of that is for its session.
const MEMORY_ONLY: u64 = 128;
/// What a retained message takes in a copy that holds it already, for a session.
const KEPT: u64 = 32;
/// The beginning and the end of a copy.
const ENDS: u64 = 128;
/// A copy of everything may become so much larger while it is written, and what is written beside
/// it so much too: a part of it.
const MARGIN: u64 = 8;

/// Bytes that something new takes: in its record and in a copy.
#[derive(Copy, Clone, Debug)]
pub(crate) struct StoreCost(u64);

impl StoreCost {
    /// A message, without its recipients.
    pub(crate) fn of(publish: &Publish) -> Self {
        Self::of_bytes(cost(publish))
    }

    /// The same for so many recipients whose sessions last.
    pub(crate) const fn for_recipients(self, recipients: usize) -> Self {
        const EACH: u64 = TAKING + NAMED + NAMED / MARGIN + RECIPIENT;
        Self(self.0 + recipients as u64 * EACH)
    }

    /// Something that costs so much in memory.
    pub(crate) const fn of_bytes(bytes: usize) -> Self {
        Self(2 * (bytes as u64 + RECORD))
    }
}

/// What a copy of everything takes besides the messages, in bytes: rather more.
fn copy_bytes_without_messages(memory: &MemoryBudget) -> u64 {
    let wills = memory.will_bytes() - memory.wills() * MEMORY_ONLY;
    memory.stored_session_bytes()
        + wills
        + memory.stored_deliveries() * NAMED
        + memory.retained_messages() * KEPT
        + memory.incoming_messages() * RELEASING
        + ENDS
}

/// What clients write who take and acknowledge everything that waits, in bytes, however little
/// of it at a time: rather more.
fn taking_bytes(memory: &MemoryBudget) -> u64 {
    memory.stored_deliveries() * TAKING + memory.incoming_messages() * RELEASING
}

impl Ledger {
    /// What a copy of everything that is to be stored takes, in bytes: rather more.
    fn copy_bytes(&self, memory: &MemoryBudget) -> u64 {
        copy_bytes_without_messages(memory) + self.tally().bytes()
    }

    /// Bytes of records that may come besides what has to.
    pub(crate) fn spare_room(&self, memory: &MemoryBudget) -> u64 {
        let copy = self.copy_bytes(memory);
        let needed =
            copy.saturating_sub(self.pass().bytes()) + copy / MARGIN + taking_bytes(memory);
        let unsettled = self.unsettled_bytes() as u64;
        self.room().saturating_sub(unsettled).saturating_sub(needed)
    }

    /// Whether something new has to be refused that would have to be recorded.
    pub(crate) fn lacks_room(&self, memory: &MemoryBudget, StoreCost(bytes): StoreCost) -> bool {
        self.is_full() || (self.is_kept() && self.spare_room(memory) < bytes)
    }

    /// Writes the gauges of what is recorded, and of what has to be.
    pub(crate) fn report(&self, memory: &MemoryBudget, metrics: &mut Metrics) {
        metrics.records = self.last().0;
        metrics.journal_stuck = u64::from(self.is_stuck());
        metrics.stored_message_bytes = self.tally().bytes();
        metrics.copy_bytes = self.copy_bytes(memory);
        metrics.taking_bytes = taking_bytes(memory);
    }
}
