//! Bounds over all clients: who takes more than a fair share pays.
//!
//! What is shared by all (bytes in queues, bytes not written yet) is divided as switches divide
//! their buffers: nobody may hold more than what is still free. So whoever holds much stops
//! first, and who holds little has room until the very end: with n that take all they can get,
//! each ends at 1/(n+1) of the whole, and as much stays free for the others.

use mqtt::{
    Instant, Packet, ProtocolVersion, PubAck, PubRec, Publish, QoS, ReasonCode, Utf8String,
};

use crate::machine::Broker;
use crate::session::Session;
use crate::types::{CloseCause, Limit, Slot};

impl Broker {
    /// Whether the lists take as much memory as they may, without what can be freed.
    pub(crate) fn is_short_of_memory(&mut self) -> bool {
        let limits = &self.options.limits;
        let excess = self.memory.excess_bytes(limits, 1);
        if excess == 0 {
            return false;
        }
        self.reclamation
            .make_room(excess, &mut self.work, &mut self.memory);
        self.memory.excess_bytes(limits, 1) > 0
    }

    /// Refuses a message if there is no memory for it: `QoS` 0 is dropped, `QoS` 1 and 2 are
    /// acknowledged with "quota exceeded", for which version 3.1.1 has no word: it is closed.
    /// A message that removes what is retained makes room, and is not refused.
    pub(crate) fn refuse_for_memory(
        &mut self,
        slot: Slot,
        publish: &Publish,
    ) -> Option<Result<(), CloseCause>> {
        if !self.is_short_of_memory() || (publish.retain && publish.payload.is_empty()) {
            return None;
        }
        let (link, _, _) = self.connections.linked(slot)?;
        let version = link.version();
        let session = self.sessions.get(link.session())?;
        let packet_id = publish.packet_id;
        if packet_id.is_some_and(|id| session.has_incoming(id)) {
            // It was accepted before, and is only acknowledged again.
            return None;
        }
        self.limit_log
            .note(Limit::Memory, Some(session.client_id()));
        let reason_code = ReasonCode::QuotaExceeded;
        let answer = match (publish.qos, packet_id) {
            (QoS::AtMostOnce, _) => {
                self.metrics.dropped_memory += 1;
                return Some(Ok(()));
            }
            (QoS::AtLeastOnce, Some(id)) => Packet::PubAck(PubAck::new(id, reason_code)),
            (QoS::ExactlyOnce, Some(id)) => Packet::PubRec(PubRec::new(id, reason_code)),
            (QoS::AtLeastOnce | QoS::ExactlyOnce, None) => return None,
        };
        self.metrics.refused_memory += 1;
        Some(match version {
            ProtocolVersion::V5 => {
                // Behind those before it [MQTT-4.6.0-2] [MQTT-4.6.0-3].
                self.acknowledge(slot, &answer, None);
                Ok(())
            }
            ProtocolVersion::V3_1_1 => Err(CloseCause::Limit {
                reason_code,
                what: "no memory for another message",
            }),
        })
    }

    /// An alias cannot be refused by itself: the client would use it.
    pub(crate) fn no_memory_for_alias(&mut self, slot: Slot) -> CloseCause {
        let link = self.connections.linked(slot);
        let client = link.and_then(|(link, _, _)| self.sessions.get(link.session()));
        self.metrics.refused_memory += 1;
        self.limit_log
            .note(Limit::Memory, client.map(Session::client_id));
        CloseCause::Limit {
            reason_code: ReasonCode::QuotaExceeded,
            what: "no memory for another topic alias",
        }
    }

    /// Whether there is memory for the session of a new client; if not, that is counted.
    pub(crate) fn check_memory_for(&mut self, client: &Utf8String) -> Result<(), CloseCause> {
        if !self.is_short_of_memory() {
            return Ok(());
        }
        self.metrics.refused_memory += 1;
        self.limit_log.note(Limit::Memory, Some(client));
        Err(CloseCause::Refused {
            reason_code: ReasonCode::ServerBusy,
            what: "no memory for another session",
        })
    }

    /// What the connection holds of an unfinished packet may have changed. If all connections
    /// together hold too much so, the one that has held most for longest is closed.
    pub(crate) fn count_partial(&mut self, now: Instant, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.count_partial(&mut self.memory);
        if !self.memory.has_too_many_partial_bytes(&self.options.limits) {
            return;
        }
        let Some((slot, client)) = self.connections.worst_partial(now) else {
            return;
        };
        let client = client.and_then(|id| self.sessions.get(id));
        self.metrics.closed_partial += 1;
        self.limit_log
            .note(Limit::Partial, client.map(Session::client_id));
        let cause = CloseCause::Limit {
            reason_code: ReasonCode::QuotaExceeded,
            what: "too much held for packets that do not come to their end",
        };
        self.close(now, slot, cause);
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.drop_unread(&mut self.memory);
        }
    }
}
