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
    waiting: VecDeque<(Lsn, Conn, Packet)>,
}

impl Held {
    /// `packet` waits for all records up to `last`.
    pub(crate) fn hold(&mut self, last: Lsn, conn: Conn, packet: Packet) {
        self.waiting.push_back((last, conn, packet));
    }

    /// The next that waits no longer where all records up to `durable` are so.
    pub(crate) fn pop(&mut self, durable: Lsn) -> Option<(Conn, Packet)> {
        let (lsn, _, _) = self.waiting.front()?;
        if *lsn > durable {
            return None;
        }
        let (_, conn, packet) = self.waiting.pop_front()?;
        Some((conn, packet))
    }
}
