//! Delivers a message to one session: at once if the client can be sent it, otherwise into its
//! queue.
//!
//! **Invariant.** Nothing here closes a connection or publishes a message. A client that must go is
//! added to the dismissals. The result says whether the shell must be told that bytes wait.

use core::borrow::Borrow;
use std::sync::Arc;

use mqtt::{Instant, PacketId, PublishTemplate, QoS, Utf8String};

use crate::admission::{LimitLog, MemoryBudget, WorkBudget};
use crate::delivery::readiness::{holder, lacks_window, takes_at_most_once, takes_surely};
use crate::delivery::send::{Encoded, SendAttempt};
use crate::delivery::{AwaitingBudget, Connections, Dismissals, Receiver, Routed, SpareBuffers};
use crate::durability::Ledger;
use crate::routing::{Groups, Retained};
use crate::session::{Outgoing, Reclamation, Sessions};
use crate::types::{
    Conn, Delivery, Holder, Limit, Limits, Lsn, Message, Metrics, Origin, Queued, SessionId,
    SessionNumber, Timers,
};

/// What delivery needs to reach all sessions.
#[derive(Debug)]
pub(crate) struct Egress<'a> {
    pub(crate) sessions: &'a mut Sessions,
    pub(crate) connections: &'a mut Connections,
    pub(crate) retained: &'a Retained,
    pub(crate) means: Means<'a>,
}

/// What all sessions and connections share: limits, memory, buffers, records.
#[derive(Debug)]
pub(crate) struct Means<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) groups: &'a Groups,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) metrics: &'a mut Metrics,
    pub(crate) memory: &'a mut MemoryBudget,
    pub(crate) work: &'a mut WorkBudget,
    pub(crate) reclamation: &'a mut Reclamation,
    pub(crate) limit_log: &'a mut LimitLog,
    pub(crate) dismissals: &'a mut Dismissals,
    pub(crate) spare: &'a mut SpareBuffers,
    pub(crate) awaiting_budget: &'a mut AwaitingBudget,
    pub(crate) timers: &'a mut Timers,
}

/// What became of a message for one session.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Outcome {
    /// It is in the outbox. The shell must be told of this connection, if there is one.
    Written(Option<Conn>),
    /// It waits in the session's queue.
    Queued,
    /// It is larger than the client takes, and is dropped `[MQTT-3.1.2-25]`.
    TooLarge,
    /// There was no room for it, or no client to send it to.
    Dropped,
}

impl Outcome {
    /// Whether the session has dealt with the message, so that no other member of a group need
    /// get it.
    pub(crate) fn is_taken(self) -> bool {
        match self {
            Self::Written(_) | Self::Queued | Self::TooLarge => true,
            Self::Dropped => false,
        }
    }
}

impl Egress<'_> {
    /// Delivers a message that was just published, or handed over, to a session.
    #[inline]
    pub(crate) fn deliver(
        &mut self,
        now: Instant,
        id: SessionId,
        routed: &mut Routed,
        delivery: Delivery,
        origin: Origin,
    ) -> Outcome {
        match delivery.qos {
            QoS::AtMostOnce => self.deliver_at_most_once(now, id, routed, delivery, origin),
            QoS::AtLeastOnce | QoS::ExactlyOnce => {
                self.deliver_surely(now, id, routed, delivery, origin)
            }
        }
    }

    fn deliver_at_most_once(
        &mut self,
        now: Instant,
        id: SessionId,
        routed: &mut Routed,
        delivery: Delivery,
        origin: Origin,
    ) -> Outcome {
        let Some(session) = self.sessions.get_mut(id) else {
            return Outcome::Dropped;
        };
        let slot = session.slot();
        let Some(mut receiver) = slot.and_then(|slot| self.connections.receiver(slot)) else {
            self.means.metrics.dropped_absent += 1;
            return Outcome::Dropped;
        };
        let outgoing = session.outgoing();
        if outgoing.is_some_and(Outgoing::holds_at_most_once) {
            return self.enqueue(now, id, routed, delivery, origin);
        }
        let attempt = SendAttempt::at_most_once(&delivery);
        let means = &mut self.means;
        let Some(encoded) = attempt.encode(now, routed, &receiver) else {
            means.drop_too_large(session.client_id());
            return Outcome::TooLarge;
        };
        let len = encoded.len();
        if !means.takes_at_most_once(&receiver, len) {
            means.leave_out_for(session.client_id(), &mut receiver, len);
        }
        if !means.takes_at_most_once(&receiver, len) {
            means.drop_at_most_once(session.client_id(), len);
            return Outcome::Dropped;
        }
        means.free_memory_for(len);
        means.write(encoded, &mut receiver, None);
        Outcome::Written(receiver.announce(means.memory))
    }

    /// Delivers a retained message to a session that looked it up. The caller made sure that
    /// there is room for it.
    pub(crate) fn deliver_retained(
        &mut self,
        now: Instant,
        id: SessionId,
        message: Arc<Message>,
        delivery: Delivery,
    ) -> Outcome {
        if delivery.qos != QoS::AtMostOnce {
            let mut routed = Routed::from(message);
            return self.deliver_surely(now, id, &mut routed, delivery, Origin::Retained);
        }
        let Some(session) = self.sessions.get(id) else {
            return Outcome::Dropped;
        };
        let slot = session.slot();
        let Some(mut receiver) = slot.and_then(|slot| self.connections.receiver(slot)) else {
            self.means.metrics.dropped_absent += 1;
            return Outcome::Dropped;
        };
        let means = &mut self.means;
        let attempt = SendAttempt::at_most_once(&delivery);
        let Some(encoded) = attempt.encode(now, &*message, &receiver) else {
            means.drop_too_large(session.client_id());
            return Outcome::TooLarge;
        };
        means.write(encoded, &mut receiver, None);
        Outcome::Written(receiver.announce(means.memory))
    }

    fn deliver_surely(
        &mut self,
        now: Instant,
        id: SessionId,
        routed: &mut Routed,
        delivery: Delivery,
        origin: Origin,
    ) -> Outcome {
        let Some(session) = self.sessions.get_mut(id) else {
            return Outcome::Dropped;
        };
        let (slot, number) = (session.slot(), session.number());
        let (client_id, outgoing) = session.named_outgoing_or_new();
        let is_next = match origin {
            Origin::Live | Origin::Shared(_) => outgoing.is_caught_up(),
            Origin::Retained => outgoing.has_resent(),
        };
        // If earlier messages wait, this message waits too, whatever room the connection has.
        let slot = slot.filter(|_| is_next);
        let receiver = slot.and_then(|slot| self.connections.receiver(slot));
        let means = &mut self.means;
        let ready = receiver.filter(|it| {
            takes_surely(means.limits, means.memory, Some(outgoing), it)
                && means.claim_budget(it, routed.cost())
        });
        let Some(mut receiver) = ready else {
            return self.enqueue(now, id, routed, delivery, origin);
        };
        let packet_id = outgoing.free_packet_id();
        let is_once = delivery.qos == QoS::ExactlyOnce;
        let certain = means.certain_record(is_once, origin);
        let is_recorded = number.is_some() || means.ledger.is_moving() || certain.is_some();
        let attempt = SendAttempt {
            delivery: &delivery,
            packet_id: Some(packet_id),
            is_duplicate: false,
            awaits_record: is_once && is_recorded,
        };
        let message = routed.keep(now);
        let Some(encoded) = attempt.encode(now, routed, &receiver) else {
            means.drop_too_large(client_id);
            return Outcome::TooLarge;
        };
        let mut queued = Queued {
            message,
            delivery,
            origin,
            is_held: false,
        };
        let record = means.record_sent(number, packet_id, &mut queued, certain);
        means.write(encoded, &mut receiver, record);
        let before = outgoing.weight();
        outgoing.sent(packet_id, queued);
        means.memory.requeue(before, outgoing.weight());
        if lacks_window(means.limits, outgoing, &receiver) {
            receiver.outbox.hurry();
        }
        Outcome::Written(receiver.announce(means.memory))
    }
}

impl Means<'_> {
    /// Writes a message behind `record`, see [`Encoded::write`].
    #[allow(clippy::inline_always)] // see `SendAttempt::encode`
    #[inline(always)]
    pub(super) fn write<T: Borrow<PublishTemplate>>(
        &mut self,
        encoded: Encoded<'_, T>,
        receiver: &mut Receiver<'_>,
        record: Option<Lsn>,
    ) {
        encoded.write(receiver, record, self);
    }

    /// Counts a message that is larger than its client takes.
    pub(super) fn drop_too_large(&mut self, client_id: &Utf8String) {
        self.metrics.dropped_too_large += 1;
        self.limit_log
            .note(Limit::ClientPacketSize, Some(client_id));
    }

    /// Whether the egress budget has room for a message of this cost. If not, the connection waits
    /// for room, see [`AwaitingBudget`].
    pub(super) fn claim_budget(&mut self, receiver: &Receiver<'_>, cost: usize) -> bool {
        let held = receiver.outbox.held();
        let has_room = self.memory.has_egress_room(self.limits, held, cost);
        if !has_room {
            self.awaiting_budget
                .wait(receiver.slot, receiver.outbox, cost);
        }
        has_room
    }

    pub(super) fn takes_at_most_once(&self, receiver: &Receiver<'_>, len: usize) -> bool {
        takes_at_most_once(self.limits, self.memory, receiver, len)
    }

    /// Frees queues of ended sessions if memory for `len` more bytes is lacking.
    pub(super) fn free_memory_for(&mut self, len: usize) {
        if len > MemoryBudget::LEAST_OUT_BUFFER {
            let excess = self.memory.excess_bytes(self.limits, len);
            self.reclamation.make_room(excess, self.work, self.memory);
        }
    }

    /// Leaves out the oldest `QoS` 0 messages that wait for a connection, so that a new one of `len`
    /// bytes has room, and some after it.
    fn leave_out_for(&mut self, client_id: &Utf8String, receiver: &mut Receiver<'_>, len: usize) {
        /// This part of the buffer is freed at once, because looking for messages costs the same
        /// however few are found.
        const PART: usize = 4;
        let bytes = len.max(receiver.outbox.len() / PART);
        let messages = u64::from(receiver.outbox.leave_out(bytes));
        if messages > 0 {
            receiver.outbox.count(self.memory);
            self.metrics.dropped_slow += messages;
            self.limit_log
                .note_times(Limit::SlowReader, Some(client_id), messages);
        }
    }

    /// Drops a `QoS` 0 message for which the connection has no room, although nothing is left that
    /// could be left out for it.
    fn drop_at_most_once(&mut self, client_id: &Utf8String, len: usize) {
        let limit = if self.memory.has_memory_for_copy(self.limits, len) {
            self.metrics.dropped_slow += 1;
            Limit::SlowReader
        } else {
            self.metrics.dropped_memory += 1;
            Limit::Memory
        };
        self.limit_log.note(limit, Some(client_id));
    }

    /// The record that a `QoS` 2 message must wait for even if the session does not outlive its
    /// connection. A crash before that record would deliver the message again, to another member
    /// of the group `[MQTT-4.8.2-5]`.
    fn certain_record(&self, is_once: bool, origin: Origin) -> Option<Lsn> {
        self.ledger.certain().filter(|_| {
            is_once && matches!(origin, Origin::Shared(group) if self.groups.lasts(group))
        })
    }

    /// Records that a message is sent at once, without the queue. Returns that record. If none is
    /// needed, returns `certain`, the record of the message itself.
    fn record_sent(
        &mut self,
        number: Option<SessionNumber>,
        packet_id: PacketId,
        queued: &mut Queued,
        certain: Option<Lsn>,
    ) -> Option<Lsn> {
        let is_once = queued.delivery.qos == QoS::ExactlyOnce;
        let holder = holder(number, queued.origin, self.ledger, self.groups);
        // No other member may get what was sent with QoS 2 [MQTT-4.8.2-5].
        let holder = holder.filter(|it| !(is_once && *it == Holder::Group));
        queued.is_held = holder == Some(Holder::Group);
        let (message, delivery, origin) = (&queued.message, &queued.delivery, queued.origin);
        match holder {
            Some(holder) => {
                let packet_id = number.map(|_| packet_id);
                let recipient = self
                    .ledger
                    .recipient(holder, message, delivery, origin, packet_id);
                Some(recipient)
            }
            None => self.ledger.give_up(message, origin).or(certain),
        }
    }
}
