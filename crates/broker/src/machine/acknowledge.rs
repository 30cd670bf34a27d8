//! Answers that wait until what they promise is durable.
//!
//! Each goes behind what waits already for the same connection, so that acknowledgements keep
//! their order `[MQTT-4.6.0-2]` `[MQTT-4.6.0-3]` `[MQTT-4.6.0-4]`. What waits where stands in
//! [`Outbox`](crate::outbox::Outbox), for what in [`Ledger`](crate::ledger::Ledger).

use mqtt::Packet;

use crate::delivery::Passage;
use crate::machine::{Broker, Output};
use crate::types::{Lsn, Slot};

impl Broker {
    /// Sends an answer behind all that waits; if `gate` says for which record, it waits too.
    pub(crate) fn acknowledge(&mut self, slot: Slot, packet: &Packet, gate: Option<Lsn>) {
        self.send_behind(slot, packet, gate, Passage::Open);
    }

    /// The same for CONNACK, before which nothing goes `[MQTT-3.2.0-1]`.
    pub(crate) fn welcome(&mut self, slot: Slot, packet: &Packet, gate: Option<Lsn>) {
        self.send_behind(slot, packet, gate, Passage::Closed);
    }

    /// All records up to `lsn` are durable: what waited for them goes out.
    pub(crate) fn persisted(&mut self, lsn: Lsn) {
        self.ledger.persisted(lsn);
        while let Some((slot, conn)) = self.ledger.next_ready() {
            let durable = self.ledger.durable();
            let Some((link, outbox, present)) = self.connections.linked(slot) else {
                continue;
            };
            if present != conn {
                continue;
            }
            link.release_pub_acks(outbox.release(durable, &mut self.wire.spare));
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
