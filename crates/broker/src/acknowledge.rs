//! Acknowledgements that wait until what they promise is durable.
//!
//! Records are numbered in the order in which they arise, and become durable in that order.
//! So one queue for all connections is enough, and each client's acknowledgements keep their
//! order `[MQTT-4.6.0-2]` `[MQTT-4.6.0-3]`.

use std::collections::VecDeque;

use mqtt::Packet;

use crate::input::Conn;
use crate::output::Lsn;

/// What waits for records.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The last record that was given out.
    last: Lsn,
    /// The last record that is durable.
    durable: Lsn,
    waiting: VecDeque<(Lsn, Conn, Packet)>,
}

impl Held {
    /// The number of a new record.
    pub(crate) fn next_lsn(&mut self) -> Lsn {
        self.last = Lsn(self.last.0 + 1);
        self.last
    }

    /// Whether all records are durable, so that nothing has to wait.
    pub(crate) fn is_settled(&self) -> bool {
        self.durable >= self.last
    }

    /// `packet` waits for all records so far.
    pub(crate) fn hold(&mut self, conn: Conn, packet: Packet) {
        self.waiting.push_back((self.last, conn, packet));
    }

    /// All records up to `lsn` are durable.
    pub(crate) fn persisted(&mut self, lsn: Lsn) {
        self.durable = self.durable.max(lsn.min(self.last));
    }

    /// The next that waits no longer.
    pub(crate) fn pop(&mut self) -> Option<(Conn, Packet)> {
        let (lsn, _, _) = self.waiting.front()?;
        if *lsn > self.durable {
            return None;
        }
        let (_, conn, packet) = self.waiting.pop_front()?;
        Some((conn, packet))
    }
}
