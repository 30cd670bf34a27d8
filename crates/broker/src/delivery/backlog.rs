//! Sends what waits for a session, as far as its client and its connection allow.

use core::ops::ControlFlow;

use mqtt::{Instant, Packet, PacketId, PubRel, QoS, ReasonCode, Utf8String};

use crate::delivery::readiness::lacks_window;
use crate::delivery::send::SendAttempt;
use crate::delivery::{Egress, Means, Passage, Receiver};
use crate::durability::Record;
use crate::routing::Lookups;
use crate::session::{Outgoing, Stage};
use crate::types::{Conn, Holder, Lsn, Queued, SessionId, SessionNumber};

/// A session's window and queue, and the connection that they are sent to.
#[derive(Debug)]
struct Backlog<'a, 'b> {
    client_id: &'a Utf8String,
    number: Option<SessionNumber>,
    lookups: Option<&'a Lookups>,
    outgoing: &'a mut Outgoing,
    receiver: Receiver<'a>,
    means: &'a mut Means<'b>,
}

impl Egress<'_> {
    /// Sends what waits for a session, as far as its window, its quota and the connection's
    /// buffer allow. Messages that were sent on an earlier connection go first, in the same
    /// order `[MQTT-4.4.0-1]`, then new ones. Returns the connection if the shell must be told
    /// that there are bytes for it.
    pub(crate) fn pump(&mut self, now: Instant, id: SessionId) -> Option<Conn> {
        let session = self.sessions.get_mut(id)?;
        let (slot, number) = (session.slot(), session.number());
        let (client_id, lookups, outgoing) = session.sending_parts()?;
        let receiver = self.connections.receiver(slot?)?;
        let before = outgoing.weight();
        outgoing.set_awaits_window(false);
        let mut backlog = Backlog {
            client_id,
            number,
            lookups,
            outgoing,
            receiver,
            means: &mut self.means,
        };
        while backlog.has_buffer() && backlog.send_next(now).is_continue() {}
        let Backlog {
            outgoing,
            mut receiver,
            means,
            ..
        } = backlog;
        means.memory.requeue(before, outgoing.weight());
        if lacks_window(means.limits, outgoing, &receiver) {
            receiver.outbox.hurry();
        }
        receiver.announce(means.memory)
    }
}

impl Backlog<'_, '_> {
    /// Whether the connection's buffer is less than half full.
    fn has_buffer(&self) -> bool {
        let most = self.means.memory.out_buffer(self.means.limits);
        self.receiver.outbox.len_of_lasting() < most / 2
    }

    /// Sends the next message, or drops it if it cannot be sent. Breaks if it must wait.
    fn send_next(&mut self, now: Instant) -> ControlFlow<()> {
        if self.outgoing.has_resent() {
            self.send_queued(now)
        } else {
            self.send_again(now)
        }
    }

    /// Sends the next message that was sent on an earlier connection.
    fn send_again(&mut self, now: Instant) -> ControlFlow<()> {
        let Some(inflight) = self.outgoing.unsent() else {
            return ControlFlow::Break(());
        };
        let packet_id = inflight.packet_id();
        // The message's record was written when the message was first sent. That may have been a
        // moment ago, so the record may not be durable yet.
        let record = self.number.and_then(|_| self.means.ledger.gate());
        let queued = match inflight.stage() {
            Stage::Unacknowledged(queued) | Stage::Unreceived(queued) => queued,
            Stage::Released => {
                self.release_again(packet_id, record);
                return ControlFlow::Continue(());
            }
        };
        if self.receiver.agreement.quota == 0 {
            self.outgoing.set_awaits_window(true);
            return ControlFlow::Break(());
        }
        if !self
            .means
            .claim_budget(&self.receiver, queued.message.cost())
        {
            return ControlFlow::Break(());
        }
        let attempt = SendAttempt {
            delivery: &queued.delivery,
            packet_id: Some(packet_id),
            is_duplicate: true,
            awaits_record: record.is_some(),
        };
        let encoded = attempt.encode(now, &*queued.message, &self.receiver);
        if let Some(encoded) = encoded {
            self.means.write(encoded, &mut self.receiver, record);
            self.outgoing.resent(true);
            self.means.metrics.retransmissions += 1;
            return ControlFlow::Continue(());
        }
        if let Some(session) = self.number {
            self.means
                .ledger
                .record(&Record::Done { session, packet_id });
        } else if let Some(holder) = queued.holder(None) {
            self.means.ledger.forget(holder, queued);
        }
        self.outgoing.skip_unsent();
        self.means.drop_too_large(self.client_id);
        ControlFlow::Continue(())
    }

    /// Sends PUBREL again, behind `record`.
    fn release_again(&mut self, packet_id: PacketId, record: Option<Lsn>) {
        let Receiver { slot, conn, .. } = self.receiver;
        let release = PubRel::new(packet_id, ReasonCode::Success);
        let (ledger, spare) = (&mut *self.means.ledger, &mut *self.means.spare);
        let outbox = &mut *self.receiver.outbox;
        let buffer = outbox.behind(record, Passage::Open, ledger, (slot, conn), spare);
        // PUBREL without properties is four bytes in both versions.
        let _ = mqtt::encode(
            &Packet::PubRel(release),
            self.receiver.agreement.version,
            buffer,
        );
        outbox.hurry();
        self.outgoing.resent(false);
    }

    /// Sends the next message in the queue.
    fn send_queued(&mut self, now: Instant) -> ControlFlow<()> {
        let next = self.outgoing.next_queued();
        if self.lookups.is_some_and(|it| it.hold_back(next)) {
            return ControlFlow::Break(());
        }
        let Some(front) = self.outgoing.front() else {
            return ControlFlow::Break(());
        };
        if front.message.is_expired(now) {
            // [MQTT-3.3.2-5]
            self.means.metrics.dropped_expired += 1;
            self.outgoing.pop();
            return ControlFlow::Continue(());
        }
        let is_sure = front.delivery.qos != QoS::AtMostOnce;
        let cost = front.message.cost();
        if is_sure && lacks_window(self.means.limits, self.outgoing, &self.receiver) {
            self.outgoing.set_awaits_window(true);
            return ControlFlow::Break(());
        }
        if !self.means.claim_budget(&self.receiver, cost) {
            return ControlFlow::Break(());
        }
        let Some(mut queued) = self.outgoing.pop() else {
            return ControlFlow::Break(());
        };
        let packet_id = is_sure.then(|| self.outgoing.free_packet_id());
        let is_recorded = self.number.is_some() || queued.is_held;
        let awaits_record = is_recorded && queued.delivery.qos == QoS::ExactlyOnce;
        let attempt = SendAttempt {
            delivery: &queued.delivery,
            packet_id,
            is_duplicate: false,
            awaits_record,
        };
        let Some(encoded) = attempt.encode(now, &*queued.message, &self.receiver) else {
            // [MQTT-3.1.2-25]
            self.means.drop_too_large(self.client_id);
            if let Some(holder) = queued.holder(self.number) {
                self.means.ledger.forget(holder, &queued);
            }
            return ControlFlow::Continue(());
        };
        let record = self.record_sent(&queued, packet_id, awaits_record);
        self.means.write(encoded, &mut self.receiver, record);
        if let Some(packet_id) = packet_id {
            queued.is_held &= !awaits_record;
            self.outgoing.sent(packet_id, queued);
        }
        ControlFlow::Continue(())
    }

    /// Records that a message from the queue is sent. Returns that record.
    fn record_sent(
        &mut self,
        queued: &Queued,
        packet_id: Option<PacketId>,
        awaits_record: bool,
    ) -> Option<Lsn> {
        let (packet_id, message) = (packet_id?, queued.message.id()?);
        let ledger = &mut *self.means.ledger;
        match self.number {
            Some(session) => Some(ledger.record(&Record::Sent {
                session,
                message,
                packet_id,
            })),
            // No other member may get what was sent with QoS 2 [MQTT-4.8.2-5].
            None if awaits_record => Some(ledger.forgotten(Holder::Group, message, queued.origin)),
            None => None,
        }
    }
}
