//! Puts a message that cannot be sent at once into its session's queue, if there is room.

use mqtt::{Instant, QoS, ReasonCode, Utf8String};

use crate::admission::MemoryBudget;
use crate::delivery::readiness::{holder, lacks_window};
use crate::delivery::{Egress, Means, Outcome, Routed};
use crate::session::Outgoing;
use crate::types::{
    CloseCause, Delivery, Holder, Limit, Origin, QueueFull, Queued, SessionId, SessionNumber, Slot,
    TOO_SLOW,
};

/// The result of looking for a place in a queue.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum QueuePlace {
    Free,
    /// There is no place, the message has `QoS` 0, and no older one could make room.
    Dropped,
    /// There is no place, and the message has `QoS` 1 or 2.
    Full,
}

/// A message that needs a place in a queue.
#[derive(Copy, Clone, Debug)]
struct Newcomer {
    qos: QoS,
    origin: Origin,
    /// Bytes that it takes in the queue.
    cost: usize,
    /// Whether the message would fit into an empty queue. Otherwise no other message is removed for
    /// it.
    could_fit: bool,
    /// Bytes in the queues of all other sessions.
    others: u64,
}

impl Egress<'_> {
    /// Queues a message if there is room. Otherwise applies
    /// [`Limits::queue_full`](crate::Limits::queue_full).
    pub(crate) fn enqueue(
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
        let means = &mut self.means;
        let (slot, number) = (session.slot(), session.number());
        let (client_id, outgoing) = session.named_outgoing_or_new();
        if outgoing.is_caught_up() {
            let receiver = slot.and_then(|slot| self.connections.receiver(slot));
            let awaits = receiver.is_some_and(|it| lacks_window(means.limits, outgoing, &it));
            outgoing.set_awaits_window(awaits);
        }
        let before = outgoing.weight();
        let cost = Queued::cost_of(routed.cost(), &delivery);
        let newcomer = means.newcomer(outgoing, &delivery, origin, cost);
        let place = means.find_place(now, client_id, number, outgoing, newcomer);
        if place == QueuePlace::Free {
            let mut queued = Queued {
                message: routed.keep(now),
                delivery,
                origin,
                is_held: false,
            };
            means.record_queued(number, &mut queued);
            let is_sure = queued.delivery.qos != QoS::AtMostOnce;
            let awaits_window = is_sure && slot.is_some() && outgoing.awaits_window();
            means.metrics.window_waits += u64::from(awaits_window);
            outgoing.push(queued);
        }
        means.memory.requeue(before, outgoing.weight());
        match place {
            QueuePlace::Free => return Outcome::Queued,
            QueuePlace::Full if origin != Origin::Retained => self.dismiss_if_queue_full(slot),
            QueuePlace::Full | QueuePlace::Dropped => {}
        }
        Outcome::Dropped
    }

    /// Dismisses a client whose queue is full, if the limits say so.
    fn dismiss_if_queue_full(&mut self, slot: Option<Slot>) {
        if self.means.limits.queue_full != QueueFull::Disconnect {
            return;
        }
        let Some(slot) = slot else { return };
        if let Some((agreement, _, conn)) = self.connections.established(slot)
            && agreement.begin_dismissal()
        {
            self.means.metrics.closed_queue_full += 1;
            let cause = CloseCause::Limit {
                reason_code: ReasonCode::QuotaExceeded,
                what: TOO_SLOW,
            };
            self.means.dismissals.push(slot, conn, cause);
        }
    }
}

impl Means<'_> {
    /// What a message needs in this queue. If the bytes of ended sessions leave too little room for
    /// it, frees some of them.
    fn newcomer(
        &mut self,
        outgoing: &Outgoing,
        delivery: &Delivery,
        origin: Origin,
        cost: usize,
    ) -> Newcomer {
        let limits = self.limits;
        let own = outgoing.bytes();
        let mut others = self.memory.queued_bytes() - own as u64;
        let bytes = own + cost;
        if bytes <= limits.queue_bytes {
            let excess = MemoryBudget::queue_excess(limits, bytes, cost, others);
            self.reclamation.make_room(excess, self.work, self.memory);
            others = self.memory.queued_bytes() - own as u64;
        }
        let alone = outgoing.window_bytes() + cost;
        Newcomer {
            qos: delivery.qos,
            origin,
            cost,
            could_fit: limits.queue_messages > 0
                && MemoryBudget::has_queue_room(limits, alone, cost, others),
            others,
        }
    }

    /// Finds a place for a message. Drops expired messages, and those that the newcomer may
    /// replace.
    fn find_place(
        &mut self,
        now: Instant,
        client_id: &Utf8String,
        number: Option<SessionNumber>,
        outgoing: &mut Outgoing,
        newcomer: Newcomer,
    ) -> QueuePlace {
        let limits = self.limits;
        let is_retained = newcomer.origin == Origin::Retained;
        // A client can ask for retained messages again, so they replace nothing.
        let may_replace =
            limits.queue_full == QueueFull::DropOldest && newcomer.could_fit && !is_retained;
        loop {
            // Retained messages come all at once, so there is no limit to their number, only to
            // their bytes.
            let are_few = is_retained || outgoing.queued_live() < limits.queue_messages;
            let bytes = outgoing.bytes() + newcomer.cost;
            if are_few
                && MemoryBudget::has_queue_room(limits, bytes, newcomer.cost, newcomer.others)
            {
                return QueuePlace::Free;
            }
            let front = outgoing.front();
            if front.is_some_and(|it| it.message.is_expired(now)) {
                self.metrics.dropped_expired += 1;
                outgoing.pop();
                continue;
            }
            if newcomer.qos == QoS::AtMostOnce {
                self.metrics.dropped_slow += 1;
                self.limit_log.note(Limit::SlowReader, Some(client_id));
                if newcomer.could_fit && outgoing.pop_at_most_once().is_some() {
                    continue;
                }
                return QueuePlace::Dropped;
            }
            self.metrics.dropped_queue_full += 1;
            self.limit_log.note(Limit::Queue, Some(client_id));
            if !may_replace {
                return QueuePlace::Full;
            }
            let lost = if are_few {
                outgoing.pop()
            } else {
                outgoing.pop_live()
            };
            let Some(lost) = lost else {
                return QueuePlace::Full;
            };
            if let Some(holder) = lost.holder(number) {
                self.ledger.forget(holder, &lost);
            }
        }
    }

    /// Records that a message waits in the queue of the session with this `number`.
    fn record_queued(&mut self, number: Option<SessionNumber>, queued: &mut Queued) {
        let (delivery, origin) = (&queued.delivery, queued.origin);
        if delivery.qos == QoS::AtMostOnce {
            return;
        }
        if let Some(holder) = holder(number, origin, self.ledger, self.groups) {
            queued.is_held = holder == Holder::Group;
            self.ledger
                .recipient(holder, &queued.message, delivery, origin, None);
        }
    }
}
