//! Hands messages to the wing that delivers them, and tells the shell what has to be written.

use mqtt::Instant;

use crate::delivery::{Egress, Means, Outcome, Routed};
use crate::machine::{Broker, Output};
use crate::types::{Conn, Delivery, Origin, SessionId};

impl Broker {
    /// Hands a message to a session. Says whether the session took it, now or into its queue.
    pub(crate) fn deliver(
        &mut self,
        now: Instant,
        id: SessionId,
        routed: &mut Routed,
        delivery: Delivery,
        origin: Origin,
    ) -> bool {
        let must_wait =
            origin != Origin::Retained && self.waits_for_retained(id, routed, delivery.qos);
        let mut egress = self.egress();
        let outcome = if must_wait {
            egress.enqueue(now, id, routed, delivery, origin)
        } else {
            egress.deliver(now, id, routed, delivery, origin)
        };
        if let Outcome::Written(conn) = outcome {
            self.tell_to_write(conn);
        }
        outcome.is_taken()
    }

    /// Sends what waits for a session, as far as its client and its connection allow.
    pub(crate) fn pump(&mut self, now: Instant, id: SessionId) {
        let conn = self.egress().pump(now, id);
        self.tell_to_write(conn);
    }

    /// Goes on with one connection that waited for the egress budget and fits into it now, if
    /// there is one.
    pub(crate) fn resume_one(&mut self, now: Instant) -> bool {
        let Some(slot) = self.room.pop(&self.options.limits, &self.memory) else {
            return false;
        };
        if let Some((link, _, _)) = self.connections.linked(slot) {
            let session = link.session();
            self.pump(now, session);
            self.look_on(now, session);
            self.unblock(session);
        }
        true
    }

    fn tell_to_write(&mut self, conn: Option<Conn>) {
        if let Some(conn) = conn {
            self.wire.outputs.push_back(Output::Write(conn));
        }
    }

    fn egress(&mut self) -> Egress<'_> {
        Egress {
            sessions: &mut self.sessions,
            connections: &mut self.connections,
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
                awaiting_budget: &mut self.room,
                stalled: &mut self.stalled,
            },
        }
    }
}
