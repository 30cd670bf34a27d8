//! Applies the bounds over all clients: refuses or closes when memory is short.
//! [`MemoryBudget`](crate::admission::MemoryBudget) decides, and says how the memory is divided.

use mqtt::{
    Instant, Packet, ProtocolVersion, PubAck, PubRec, Publish, QoS, ReasonCode, Utf8String,
};

use crate::machine::Broker;
use crate::session::Session;
use crate::types::{CloseCause, Limit, Slot};

impl Broker {
    /// If the broker holds as much memory as it may, frees what can be freed. Returns whether
    /// memory is still short afterwards.
    pub(crate) fn frees_too_little_memory(&mut self) -> bool {
        let limits = &self.options.limits;
        let excess = self.memory.excess_bytes(limits, 1);
        if excess == 0 {
            return false;
        }
        self.reclamation
            .make_room(excess, &mut self.work, &mut self.memory);
        self.memory.excess_bytes(limits, 1) > 0
    }

    /// Refuses a message if there is no memory for it. `QoS` 0 is dropped. `QoS` 1 and 2 are
    /// acknowledged with "quota exceeded", except in version 3.1.1, which cannot express that:
    /// the connection is closed. A message that removes a retained one frees memory and is not
    /// refused.
    pub(crate) fn refuse_for_memory(
        &mut self,
        slot: Slot,
        publish: &Publish,
    ) -> Option<Result<(), CloseCause>> {
        if !self.frees_too_little_memory() || (publish.retain && publish.payload.is_empty()) {
            return None;
        }
        let (agreement, _, _) = self.connections.established(slot)?;
        let version = agreement.version();
        let session = self.sessions.get(agreement.session())?;
        let packet_id = publish.packet_id;
        if packet_id.is_some_and(|id| session.has_incoming(id)) {
            // The message was already accepted, and is only acknowledged again.
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
                // This answer goes after the earlier ones [MQTT-4.6.0-2] [MQTT-4.6.0-3].
                self.acknowledge(slot, &answer, None);
                Ok(())
            }
            ProtocolVersion::V3_1_1 => Err(CloseCause::Limit {
                reason_code,
                what: "no memory for another message",
            }),
        })
    }

    /// Closes a connection if there is no memory for a new alias. It would not be enough to refuse
    /// the message: the client would go on to use the alias.
    pub(crate) fn no_memory_for_alias(&mut self, slot: Slot) -> CloseCause {
        let agreement = self.connections.established(slot);
        let client = agreement.and_then(|(agreement, _, _)| self.sessions.get(agreement.session()));
        self.metrics.refused_memory += 1;
        self.limit_log
            .note(Limit::Memory, client.map(Session::client_id));
        CloseCause::Limit {
            reason_code: ReasonCode::QuotaExceeded,
            what: "no memory for another topic alias",
        }
    }

    /// Checks that there is memory for the session of a new client. Counts a refusal.
    pub(crate) fn check_memory_for(&mut self, client: &Utf8String) -> Result<(), CloseCause> {
        if !self.frees_too_little_memory() {
            return Ok(());
        }
        self.metrics.refused_memory += 1;
        self.limit_log.note(Limit::Memory, Some(client));
        Err(CloseCause::Refused {
            reason_code: ReasonCode::ServerBusy,
            what: "no memory for another session",
        })
    }

    /// Counts what the connection holds of an unfinished packet. If all connections together hold
    /// too much, closes the one whose bytes, multiplied by its time of silence, are most.
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
            what: "unfinished packets of all clients take too much memory",
        };
        self.close(now, slot, cause);
        if let Some(connection) = self.connections.get_mut(slot) {
            connection.drop_unread(&mut self.memory);
        }
    }
}
