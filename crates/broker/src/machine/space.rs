//! Whether the store has room for something new.

use mqtt::Publish;

use crate::durability::StoreCost;
use crate::machine::Broker;
use crate::types::Lsn;

impl Broker {
    /// Bytes of records that there may be besides what has to have room: what clients write who
    /// take what waits for them, and a copy of everything. Where there are none, nothing new is
    /// accepted that would have to be stored.
    pub fn spare_room(&self) -> u64 {
        self.ledger.spare_room(&self.memory)
    }

    /// The store has so much room, and has removed what was before `from`.
    pub(crate) fn store_room(&mut self, bytes: u64, from: Lsn) {
        self.ledger.set_room(bytes);
        self.ledger.pass_mut().originals_removed(from);
    }

    /// Whether it has to be looked who gets the message: if it were everybody who lasts, there
    /// would be no room.
    pub(crate) fn may_lack_room_for(&self, publish: &Publish) -> bool {
        let everybody = self.sessions.len();
        self.lacks_room(StoreCost::of(publish), everybody)
    }

    /// Whether there is no room for something that is for so many sessions that last.
    pub(crate) fn lacks_room(&self, cost: StoreCost, recipients: usize) -> bool {
        let cost = cost.for_recipients(recipients);
        self.ledger.lacks_room(&self.memory, cost)
    }
}
