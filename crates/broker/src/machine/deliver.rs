//! Passes messages to the wing of delivery, and tells the shell what to write.

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt::Instant;

use crate::delivery::{Egress, Means, Outcome, Routed};
use crate::machine::{Broker, Output};
use crate::types::{Delivery, Interval, Message, Origin, SessionId, Slot};

impl Broker {
    /// Delivers a message to a session. Returns whether the session took it, now or into its
    /// queue.
    pub(crate) fn deliver(
        &mut self,
        now: Instant,
        id: SessionId,
        routed: &mut Routed,
        delivery: Delivery,
        origin: Origin,
    ) -> bool {
        let (mut egress, outputs) = self.egress();
        let outcome = egress.deliver_in_turn(now, id, routed, delivery, origin);
        if let Outcome::Written(conn) = outcome {
            outputs.extend(conn.map(Output::Write));
        }
        outcome.is_taken()
    }

    /// Delivers a retained message to a session that looked it up.
    pub(crate) fn deliver_retained(
        &mut self,
        now: Instant,
        id: SessionId,
        message: Arc<Message>,
        delivery: Delivery,
    ) {
        let (mut egress, outputs) = self.egress();
        if let Outcome::Written(conn) = egress.deliver_retained(now, id, message, delivery) {
            outputs.extend(conn.map(Output::Write));
        }
    }

    /// Sends what waits for a session, as far as its client and its connection allow.
    pub(crate) fn pump(&mut self, now: Instant, id: SessionId) {
        let (mut egress, outputs) = self.egress();
        let conn = egress.pump(now, id);
        outputs.extend(conn.map(Output::Write));
        self.pump_latest(now, id);
    }

    /// Sends the newest values that are due to a session, as far as its connection can take them.
    pub(crate) fn pump_latest(&mut self, now: Instant, id: SessionId) {
        // As a rule, nobody has asked for newest values.
        if self.memory.latest_bytes() == 0 {
            return;
        }
        let (mut egress, outputs) = self.egress();
        let conn = egress.pump_latest(now, id);
        outputs.extend(conn.map(Output::Write));
    }

    /// Gives a retained message that a session looked up to the newest values of its connection.
    pub(crate) fn keep_retained(
        &mut self,
        now: Instant,
        id: SessionId,
        message: Arc<Message>,
        delivery: Delivery,
        interval: Interval,
    ) {
        let (mut egress, _) = self.egress();
        egress.keep_retained(now, id, message, delivery, interval);
    }

    /// The rest of a connection's newest values is over.
    pub(crate) fn latest_due(&mut self, now: Instant, slot: Slot) {
        if let Some((agreement, _, _)) = self.connections.established(slot) {
            let session = agreement.session();
            if let Some(latest) = agreement.latest_mut() {
                latest.timer_fired();
            }
            self.pump_latest(now, session);
        }
    }

    /// Continues with one connection that waited for the egress budget and now fits into it.
    /// Returns whether there was one.
    pub(crate) fn resume_one(&mut self, now: Instant) -> bool {
        let Some(slot) = self.awaiting_budget.pop(&self.options.limits, &self.memory) else {
            return false;
        };
        if let Some((agreement, _, _)) = self.connections.established(slot) {
            let session = agreement.session();
            self.pump(now, session);
            self.continue_lookups(now, session);
            self.unblock(session);
        }
        true
    }

    /// The wing of delivery with the broker's state, and the queue for its outputs.
    pub(crate) fn egress(&mut self) -> (Egress<'_>, &mut VecDeque<Output>) {
        let egress = Egress {
            sessions: &mut self.sessions,
            connections: &mut self.connections,
            retained: &self.retained,
            means: Means {
                limits: &self.options.limits,
                groups: self.subscriptions.groups(),
                ledger: &mut self.ledger,
                metrics: &mut self.metrics,
                memory: &mut self.memory,
                work: &mut self.work,
                reclamation: &mut self.reclamation,
                limit_log: &mut self.limit_log,
                dismissals: &mut self.dismissals,
                spare: &mut self.wire.spare,
                awaiting_budget: &mut self.awaiting_budget,
                timers: &mut self.timers,
            },
        };
        (egress, &mut self.wire.outputs)
    }
}
