//! The table of all connections.

use core::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use mqtt::Instant;
use slab::Slab;

use crate::delivery::{Agreement, Connection, Outbox, Phase, Receiver};
use crate::types::{Conn, SessionId, ShrinkPolicy, Slot, shrink};

/// All connections.
#[derive(Debug)]
pub(crate) struct Connections {
    slab: Slab<Connection>,
    shrink: ShrinkPolicy,
    by_conn: HashTable<Slot>,
    hasher: FixedState,
}

impl Connections {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            slab: Slab::new(),
            shrink: ShrinkPolicy::default(),
            by_conn: HashTable::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn slot(&self, conn: Conn) -> Option<Slot> {
        self.by_conn
            .find(self.hasher.hash_one(conn), |slot| {
                self.slab[slot.key()].conn == conn
            })
            .copied()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Connection> {
        self.slab.get(slot.key())
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Connection> {
        self.slab.get_mut(slot.key())
    }

    /// The connection in `slot`, if its client is connected.
    pub(crate) fn established(
        &mut self,
        slot: Slot,
    ) -> Option<(&mut Agreement, &mut Outbox, Conn)> {
        let connection = self.slab.get_mut(slot.key())?;
        match &mut connection.phase {
            Phase::Connected(agreement) => {
                Some((agreement, &mut connection.outbox, connection.conn))
            }
            Phase::AwaitingConnect(_) | Phase::Authenticating(_) | Phase::Closing => None,
        }
    }

    /// The connection in `slot` as a receiver of messages, if its client is connected.
    pub(crate) fn receiver(&mut self, slot: Slot) -> Option<Receiver<'_>> {
        let (agreement, outbox, conn) = self.established(slot)?;
        Some(Receiver {
            agreement,
            outbox,
            slot,
            conn,
        })
    }

    /// The connection whose bytes of an unfinished packet, multiplied by its time of silence, are
    /// most. Also returns its session.
    ///
    /// This looks at all connections. That costs less than it cost to receive all these bytes.
    pub(crate) fn worst_partial(&self, now: Instant) -> Option<(Slot, Option<SessionId>)> {
        let weight = |connection: &Connection| {
            let age = now.saturating_since(connection.last_heard).as_millis() + 1;
            connection.partial as u128 * age
        };
        let (key, worst) = self
            .slab
            .iter()
            .max_by_key(|(_, connection)| weight(connection))?;
        let session = match &worst.phase {
            Phase::Connected(agreement) => Some(agreement.session()),
            Phase::AwaitingConnect(_) | Phase::Authenticating(_) | Phase::Closing => None,
        };
        Some((Slot::from_key(key), session))
    }

    /// Whether there may be a connection in this slot or a later one.
    pub(crate) fn has_place(&self, slot: Slot) -> bool {
        slot.key() < self.slab.capacity()
    }

    /// All slots in use, in order.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        self.slab
            .iter()
            .map(|(key, _)| Slot::from_key(key))
            .collect()
    }

    pub(crate) fn insert(&mut self, connection: Connection) -> Slot {
        let conn = connection.conn;
        let slot = Slot::from_key(self.slab.insert(connection));
        self.shrink.record_insert(&self.slab);
        let (slab, hasher) = (&self.slab, &self.hasher);
        let hash = hasher.hash_one(conn);
        self.by_conn
            .insert_unique(hash, slot, |other| hasher.hash_one(slab[other.key()].conn));
        slot
    }

    /// The capacity of the tables.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.slab.capacity() + self.by_conn.capacity()
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Connection> {
        let connection = self.slab.try_remove(slot.key())?;
        let hash = self.hasher.hash_one(connection.conn);
        if let Ok(entry) = self.by_conn.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        if self.shrink.shrink_if_due(&mut self.slab) {
            let (slab, hasher) = (&self.slab, &self.hasher);
            shrink::shrink_table(&mut self.by_conn, |other| {
                hasher.hash_one(slab[other.key()].conn)
            });
        }
        Some(connection)
    }
}
