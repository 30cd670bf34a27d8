//! An answer waits until the record of what it promises is durable.
//!
//! An answer goes behind whatever already waits for the same connection, so that acknowledgements
//! keep their order `[MQTT-4.6.0-2]` `[MQTT-4.6.0-3]` `[MQTT-4.6.0-4]`.
//! [`Outbox`](crate::delivery::Outbox) holds the bytes that wait, and
//! [`Ledger`](crate::durability::Ledger) knows which record they wait for.

use mqtt::Packet;

use crate::delivery::Passage;
use crate::machine::{Broker, Output};
use crate::types::{Lsn, Slot};

impl Broker {
    /// Sends an answer behind everything that waits. With a `gate`, it waits for that record.
    pub(crate) fn acknowledge(&mut self, slot: Slot, packet: &Packet, gate: Option<Lsn>) {
        self.send_behind(slot, packet, gate, Passage::Open);
    }

    /// Sends CONNACK in the same way. Nothing may overtake it `[MQTT-3.2.0-1]`.
    pub(crate) fn send_connack(&mut self, slot: Slot, packet: &Packet, gate: Option<Lsn>) {
        self.send_behind(slot, packet, gate, Passage::Closed);
    }

    /// Notes that all records up to `lsn` are durable, and sends what waited for them.
    pub(crate) fn persisted(&mut self, lsn: Lsn) {
        self.ledger.persisted(lsn);
        while let Some((slot, conn)) = self.ledger.next_ready() {
            let durable = self.ledger.durable();
            let Some((agreement, outbox, present)) = self.connections.established(slot) else {
                continue;
            };
            if present != conn {
                continue;
            }
            agreement.release_pub_acks(outbox.release(durable, &mut self.wire.spare));
            if outbox.announce(&mut self.memory) {
                self.wire.outputs.push_back(Output::Write(conn));
            }
        }
        if let Some(from) = self.ledger.checkpointed() {
            self.metrics.checkpoints += 1;
            self.wire.outputs.push_back(Output::Checkpointed(from));
        }
    }
}
