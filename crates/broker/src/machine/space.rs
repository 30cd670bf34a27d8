//! Whether the store has room for something new.

use mqtt::Publish;

use crate::durability::StoreCost;
use crate::machine::Broker;
use crate::types::Lsn;

impl Broker {
    /// Bytes of records that the store can take beyond the reserve. The reserve is for the
    /// records that clients cause by taking what waits for them, and for a checkpoint. At 0 the
    /// broker accepts nothing new that it would have to store.
    pub fn spare_room(&self) -> u64 {
        self.ledger.spare_room(&self.memory)
    }

    /// Notes that the store has room for `bytes`, and has removed the records before `from`.
    pub(crate) fn store_room(&mut self, bytes: u64, from: Lsn) {
        self.ledger.set_room(bytes);
        self.ledger.checkpoint_mut().originals_removed(from);
    }

    /// Whether the store would lack room if every lasting session got the message. If so, the
    /// caller must find out who really gets it.
    pub(crate) fn may_lack_room_for(&self, publish: &Publish) -> bool {
        let everybody = self.sessions.len();
        self.lacks_room(StoreCost::of(publish), everybody)
    }

    /// Whether the store lacks room for something that goes to `recipients` sessions that outlive
    /// their connections.
    pub(crate) fn lacks_room(&self, cost: StoreCost, recipients: usize) -> bool {
        let cost = cost.for_recipients(recipients);
        self.ledger.lacks_room(&self.memory, cost)
    }
}
