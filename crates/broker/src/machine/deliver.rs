//! From a message to one session's connection, now or when there is room.

use mqtt::{Instant, Packet, PubRel, QoS, ReasonCode, TemplatePatch};

use crate::admission::MemoryBudget;
use crate::delivery::{
    Passage, Routed, fits, holder, lacks_window, takes_at_most_once, takes_surely,
};
use crate::durability::Record;
use crate::machine::{Broker, Output};
use crate::session::Stage;
use crate::types::{
    CloseCause, Delivery, Holder, Limit, Origin, QueueFull, Queued, SessionId, TOO_SLOW,
};

impl Broker {
    /// Says whether there was room, now or in the queue.
    pub(crate) fn deliver(
        &mut self,
        now: Instant,
        id: SessionId,
        routed: &mut Routed,
        delivery: Delivery,
        origin: Origin,
    ) -> bool {
        if origin != Origin::Retained && self.waits_for_retained(id, routed, delivery.qos) {
            return self.enqueue(now, id, routed, delivery, origin);
        }
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
    ) -> bool {
        let Some(session) = self.sessions.get_mut(id) else {
            return false;
        };
        let link = session.slot.and_then(|slot| self.connections.linked(slot));
        let Some((link, outbox, conn)) = link else {
            self.metrics.dropped_absent += 1;
            return false;
        };
        let outgoing = session.outgoing.as_ref();
        let is_live = origin != Origin::Retained;
        if is_live && outgoing.is_some_and(|outgoing| outgoing.holds_at_most_once()) {
            return self.enqueue(now, id, routed, delivery, origin);
        }
        let naming = routed.naming(link, &delivery, outbox.leads(QoS::AtMostOnce));
        let patch = TemplatePatch {
            message_expiry_interval: routed.remaining_expiry(now),
            topic_alias: naming.alias(),
            ..TemplatePatch::default()
        };
        let template = routed.template(link.version, &delivery, naming.form()).ok();
        let fitting = template.filter(|it| fits(it.encoded_len(), link.maximum_packet_size));
        let Some(template) = fitting else {
            self.metrics.dropped_too_large += 1;
            self.limit_log
                .note(Limit::ClientPacketSize, Some(&session.client_id));
            return true;
        };
        let (limits, memory) = (&self.options.limits, &mut self.memory);
        let metrics = &mut self.metrics;
        let len = template.encoded_len();
        // What is retained was looked for because there is room.
        if is_live && !takes_at_most_once(limits, memory, outbox, len) {
            let limit = if memory.has_memory_for_copy(limits, len) {
                metrics.dropped_slow += 1;
                let waiting = outbox.len();
                let takes_any = link.maximum_packet_size == u32::MAX;
                if waiting > 0 && takes_any && session.lookups.is_none() {
                    let room = limits.out_buffer_bytes.saturating_sub(waiting);
                    self.stalled.insert(id, room);
                }
                Limit::SlowReader
            } else {
                metrics.dropped_memory += 1;
                Limit::Memory
            };
            self.limit_log.note(limit, Some(&session.client_id));
            return false;
        }
        if is_live && len > MemoryBudget::LEAST_OUT_BUFFER {
            let more = memory.excess_bytes(limits, len);
            self.reclamation.make_room(more, &mut self.work, memory);
        }
        let buffer = outbox.buffer(&mut self.wire.spare);
        template.write(&patch, buffer);
        link.written(routed.topic(), naming, &mut self.metrics, &mut self.memory);
        if outbox.announce(&mut self.memory) {
            self.wire.outputs.push_back(Output::Write(conn));
        }
        true
    }

    fn deliver_surely(
        &mut self,
        now: Instant,
        id: SessionId,
        routed: &mut Routed,
        delivery: Delivery,
        origin: Origin,
    ) -> bool {
        let limits = &self.options.limits;
        let Some(session) = self.sessions.get_mut(id) else {
            return false;
        };
        let (slot, number) = (session.slot, session.number);
        let (client_id, outgoing) = session.named_outgoing_mut();
        let is_next = match origin {
            Origin::Live | Origin::Shared(_) => outgoing.is_caught_up(),
            Origin::Retained => outgoing.has_resent(),
        };
        // Of who is behind, the connection is not even looked at.
        let link = slot.filter(|_| is_next).and_then(|slot| {
            let (link, outbox, conn) = self.connections.linked(slot)?;
            Some((link, outbox, conn, slot))
        });
        let ready = link.filter(|(link, outbox, _, _)| {
            takes_surely(limits, &self.memory, Some(outgoing), link, outbox)
        });
        let ready = ready.filter(|(_, outbox, _, slot)| {
            let cost = routed.cost();
            let has_room = self.memory.has_egress_room(limits, outbox.held(), cost);
            if !has_room {
                self.room.wait(*slot, outbox, cost);
            }
            has_room
        });
        let Some((link, outbox, conn, slot)) = ready else {
            return self.enqueue(now, id, routed, delivery, origin);
        };
        let packet_id = outgoing.free_packet_id();
        let is_once = delivery.qos == QoS::ExactlyOnce;
        // One that does not last is not to have it when a crash makes it come again, for another
        // member of its group [MQTT-4.8.2-5].
        let certain = self.ledger.certain().filter(|_| {
            let groups = &self.subscriptions.groups;
            is_once && matches!(origin, Origin::Shared(group) if groups.lasts(group))
        });
        let is_recorded = number.is_some() || self.ledger.is_moving() || certain.is_some();
        let is_gated = is_once && is_recorded;
        let leads = !is_gated && outbox.leads(delivery.qos);
        let naming = routed.naming(link, &delivery, leads);
        let patch = TemplatePatch {
            packet_id: Some(packet_id),
            dup: false,
            message_expiry_interval: routed.remaining_expiry(now),
            topic_alias: naming.alias(),
        };
        let message = routed.keep(now);
        let template = routed.template(link.version, &delivery, naming.form()).ok();
        let fitting = template.filter(|it| fits(it.encoded_len(), link.maximum_packet_size));
        let Some(template) = fitting else {
            self.metrics.dropped_too_large += 1;
            self.limit_log
                .note(Limit::ClientPacketSize, Some(client_id));
            return true;
        };
        let ledger = &mut self.ledger;
        let holder = holder(number, origin, ledger, &self.subscriptions.groups);
        // What was sent so is nobody else's [MQTT-4.8.2-5].
        let holder = holder.filter(|it| !(is_once && *it == Holder::Group));
        let recorded = match holder {
            Some(holder) => {
                let packet_id = number.map(|_| packet_id);
                Some(ledger.recipient(holder, &message, &delivery, origin, packet_id))
            }
            None => ledger.give_up(&message, origin).or(certain),
        };
        // A crash must not make the client get it again as a new one [MQTT-4.3.3-2], nor
        // another one get it too.
        let gate = recorded.filter(|_| is_once);
        let spare = &mut self.wire.spare;
        let buffer = outbox.behind(gate, Passage::Open, ledger, (slot, conn), spare);
        template.write(&patch, buffer);
        link.written(routed.topic(), naming, &mut self.metrics, &mut self.memory);
        if outbox.announce(&mut self.memory) {
            self.wire.outputs.push_back(Output::Write(conn));
        }
        link.quota -= 1;
        let before = outgoing.weight();
        let queued = Queued {
            message,
            delivery,
            origin,
            is_held: holder == Some(Holder::Group),
        };
        outgoing.sent(packet_id, queued);
        let after = outgoing.weight();
        self.memory.requeue(before, after);
        true
    }

    /// Lets a message wait, if there is room; otherwise does what
    /// [`Limits::queue_full`](crate::Limits::queue_full) says. Tells whether the
    /// message waits.
    fn enqueue(
        &mut self,
        now: Instant,
        id: SessionId,
        routed: &mut Routed,
        delivery: Delivery,
        origin: Origin,
    ) -> bool {
        let limits = &self.options.limits;
        let Some(session) = self.sessions.get_mut(id) else {
            return false;
        };
        let (slot, number) = (session.slot, session.number);
        let (client_id, outgoing) = session.named_outgoing_mut();
        if outgoing.is_caught_up() {
            let link = slot.and_then(|slot| self.connections.linked(slot));
            let awaits = link.is_some_and(|(link, _, _)| lacks_window(limits, outgoing, link));
            outgoing.set_awaits_window(awaits);
        }
        let before = outgoing.weight();
        let mut others = self.memory.queued_bytes() - before.bytes as u64;
        let cost = Queued::cost_of(routed.cost(), &delivery);
        let bytes = before.bytes + cost;
        if bytes <= limits.queue_bytes {
            let more = MemoryBudget::queue_excess(limits, bytes, cost, others);
            self.reclamation
                .make_room(more, &mut self.work, &mut self.memory);
            others = self.memory.queued_bytes() - before.bytes as u64;
        }
        // A queue is not emptied for what there would be no room for even then.
        let alone = outgoing.window_bytes() + cost;
        let could_fit =
            limits.queue_messages > 0 && MemoryBudget::has_queue_room(limits, alone, cost, others);
        let mut is_full = false;
        let mut is_queued = false;
        loop {
            // Retained messages come all at once: only their bytes are limited.
            let few = origin == Origin::Retained || outgoing.queued_live() < limits.queue_messages;
            let bytes = outgoing.bytes() + cost;
            if few && MemoryBudget::has_queue_room(limits, bytes, cost, others) {
                let message = routed.keep(now);
                let holder = holder(number, origin, &self.ledger, &self.subscriptions.groups);
                let holder = holder.filter(|_| delivery.qos != QoS::AtMostOnce);
                if let Some(holder) = holder {
                    self.ledger
                        .recipient(holder, &message, &delivery, origin, None);
                }
                let is_sure = delivery.qos != QoS::AtMostOnce;
                let awaits_window = is_sure && slot.is_some() && outgoing.awaits_window();
                self.metrics.window_waits += u64::from(awaits_window);
                outgoing.push(Queued {
                    message,
                    delivery,
                    origin,
                    is_held: holder == Some(Holder::Group),
                });
                is_queued = true;
                break;
            }
            let front_expired = outgoing
                .front()
                .is_some_and(|front| front.message.is_expired(now));
            if front_expired {
                self.metrics.dropped_expired += 1;
            } else if delivery.qos == QoS::AtMostOnce {
                self.metrics.dropped_slow += 1;
                self.limit_log.note(Limit::SlowReader, Some(client_id));
                break;
            } else {
                self.metrics.dropped_queue_full += 1;
                self.limit_log.note(Limit::Queue, Some(client_id));
                is_full = true;
                // What is retained can be asked for again: it takes nothing's place.
                let makes_room = limits.queue_full == QueueFull::DropOldest
                    && could_fit
                    && origin != Origin::Retained
                    && outgoing.front().is_some();
                if !makes_room {
                    break;
                }
                let lost = if few {
                    outgoing.pop()
                } else {
                    outgoing.pop_live()
                };
                let Some(lost) = lost else { break };
                if let Some(holder) = lost.holder(number) {
                    self.ledger.forget(holder, &lost);
                }
                continue;
            }
            outgoing.pop();
        }
        let after = outgoing.weight();
        self.memory.requeue(before, after);
        let too_slow = is_full && limits.queue_full == QueueFull::Disconnect;
        if too_slow
            && origin != Origin::Retained
            && let Some(slot) = slot
            && let Some((link, _, conn)) = self.connections.linked(slot)
            && !core::mem::replace(&mut link.is_doomed, true)
        {
            self.metrics.closed_queue_full += 1;
            let cause = CloseCause::Limit {
                reason_code: ReasonCode::QuotaExceeded,
                what: TOO_SLOW,
            };
            self.dismissals.push(slot, conn, cause);
        }
        is_queued
    }

    /// Sends what waits for a session, as far as its window, its quota and the connection's
    /// buffer allow: first again what was sent on an earlier connection, in the same order
    /// `[MQTT-4.4.0-1]`, then what is new.
    pub(crate) fn pump(&mut self, now: Instant, id: SessionId) {
        let limits = &self.options.limits;
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let Some(outgoing) = session.outgoing.as_deref_mut() else {
            return;
        };
        let Some(slot) = session.slot else { return };
        let Some((link, outbox, conn)) = self.connections.linked(slot) else {
            return;
        };
        let number = session.number;
        let (ledger, spare) = (&mut self.ledger, &mut self.wire.spare);
        let before = outgoing.weight();
        outgoing.set_awaits_window(false);
        while outbox.len() < self.memory.out_buffer(limits) / 2 {
            if let Some(inflight) = outgoing.unsent() {
                // That the record of it is durable is as sure as it was sent before; but that
                // may have been a moment ago.
                let gate = number.and_then(|_| ledger.gate());
                let (Stage::Unacknowledged(queued) | Stage::Unreceived(queued)) = &inflight.stage
                else {
                    let release = PubRel::new(inflight.packet_id, ReasonCode::Success);
                    let buffer = outbox.behind(gate, Passage::Open, ledger, (slot, conn), spare);
                    // PUBREL without properties is four bytes in both versions.
                    let _ = mqtt::encode(&Packet::PubRel(release), link.version, buffer);
                    outgoing.resent(false);
                    continue;
                };
                if link.quota == 0 {
                    outgoing.set_awaits_window(true);
                    break;
                }
                let cost = queued.message.cost();
                if !self.memory.has_egress_room(limits, outbox.held(), cost) {
                    self.room.wait(slot, outbox, cost);
                    break;
                }
                let (message, delivery) = (&queued.message, &queued.delivery);
                let leads = gate.is_none() && outbox.leads(delivery.qos);
                let naming = message.naming(link, delivery, leads);
                let patch = TemplatePatch {
                    packet_id: Some(inflight.packet_id),
                    // [MQTT-3.3.1-1]
                    dup: true,
                    message_expiry_interval: message.remaining_expiry(now),
                    topic_alias: naming.alias(),
                };
                let template = message.template(link.version, delivery, naming.form()).ok();
                let fitting =
                    template.filter(|it| fits(it.encoded_len(), link.maximum_packet_size));
                if let Some(template) = fitting {
                    let gate = gate.filter(|_| queued.delivery.qos == QoS::ExactlyOnce);
                    template.write(
                        &patch,
                        outbox.behind(gate, Passage::Open, ledger, (slot, conn), spare),
                    );
                    link.written(message.topic(), naming, &mut self.metrics, &mut self.memory);
                    outgoing.resent(true);
                    link.quota -= 1;
                    self.metrics.retransmissions += 1;
                } else {
                    if let Some(session) = number {
                        let packet_id = inflight.packet_id;
                        ledger.record(&Record::Done { session, packet_id });
                    } else if let Some(holder) = queued.holder(None) {
                        ledger.forget(holder, queued);
                    }
                    outgoing.skip_unsent();
                    self.metrics.dropped_too_large += 1;
                    self.limit_log
                        .note(Limit::ClientPacketSize, Some(&session.client_id));
                }
                continue;
            }
            let next = outgoing.next_queued();
            if session
                .lookups
                .as_ref()
                .is_some_and(|it| it.hold_back(next))
            {
                break;
            }
            let Some(front) = outgoing.front() else { break };
            if front.message.is_expired(now) {
                // [MQTT-3.3.2-5]
                self.metrics.dropped_expired += 1;
                outgoing.pop();
                continue;
            }
            let is_sure = front.delivery.qos != QoS::AtMostOnce;
            if is_sure && lacks_window(limits, outgoing, link) {
                outgoing.set_awaits_window(true);
                break;
            }
            let cost = front.message.cost();
            if !self.memory.has_egress_room(limits, outbox.held(), cost) {
                self.room.wait(slot, outbox, cost);
                break;
            }
            let Some(mut queued) = outgoing.pop() else {
                break;
            };
            let (message, delivery) = (&queued.message, &queued.delivery);
            let is_recorded = number.is_some() || queued.is_held;
            let is_gated = is_recorded && delivery.qos == QoS::ExactlyOnce;
            let naming = message.naming(link, delivery, !is_gated && outbox.leads(delivery.qos));
            let template = message.template(link.version, delivery, naming.form()).ok();
            let fitting = template.filter(|it| fits(it.encoded_len(), link.maximum_packet_size));
            let Some(template) = fitting else {
                // [MQTT-3.1.2-25]
                self.metrics.dropped_too_large += 1;
                self.limit_log
                    .note(Limit::ClientPacketSize, Some(&session.client_id));
                if let Some(holder) = queued.holder(number) {
                    ledger.forget(holder, &queued);
                }
                continue;
            };
            let packet_id = is_sure.then(|| outgoing.free_packet_id());
            let patch = TemplatePatch {
                packet_id,
                dup: false,
                message_expiry_interval: message.remaining_expiry(now),
                topic_alias: naming.alias(),
            };
            let recorded = packet_id
                .zip(message.id())
                .and_then(|(packet_id, message)| {
                    let sent = number.map(|session| Record::Sent {
                        session,
                        message,
                        packet_id,
                    });
                    match sent {
                        Some(sent) => Some(ledger.record(&sent)),
                        // What was sent so is nobody else's [MQTT-4.8.2-5].
                        None if is_gated => {
                            Some(ledger.forgotten(Holder::Group, message, queued.origin))
                        }
                        None => None,
                    }
                });
            let buffer = match queued.delivery.qos {
                QoS::AtMostOnce => outbox.buffer(spare),
                QoS::AtLeastOnce => outbox.ordered(spare),
                QoS::ExactlyOnce => {
                    outbox.behind(recorded, Passage::Open, ledger, (slot, conn), spare)
                }
            };
            template.write(&patch, buffer);
            link.written(message.topic(), naming, &mut self.metrics, &mut self.memory);
            if let Some(packet_id) = packet_id {
                queued.is_held &= !is_gated;
                outgoing.sent(packet_id, queued);
                link.quota -= 1;
            }
        }
        let after = outgoing.weight();
        self.memory.requeue(before, after);
        if outbox.announce(&mut self.memory) {
            self.wire.outputs.push_back(Output::Write(conn));
        }
    }
}
