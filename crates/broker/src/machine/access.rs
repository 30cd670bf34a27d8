//! Checks the grants of a client that connects with a will, publishes or subscribes, and applies
//! changed grants. Before messages go out, `will.rs` and `lookups.rs` beside this file check the
//! grants again, and so do `fan_out.rs` and `members.rs` in the wing `delivery`.

use mqtt::{Connect, ReasonCode, TopicFilter, Utf8String};

use crate::admission::WorkBudget;
use crate::durability::Record;
use crate::machine::Broker;
use crate::protocol::inner_filter;
use crate::session::{Outgoing, Session};
use crate::types::{CloseCause, Grants, Limit, Queued, Reach, Refusal, SessionId};

impl Broker {
    /// Checks that a client may publish to the topic of its will. Counts a refusal.
    pub(crate) fn check_will_rule(
        &mut self,
        connect: &Connect,
        client: &Utf8String,
        grants: &Grants,
    ) -> Result<(), CloseCause> {
        let will = connect.will.as_ref();
        if will.is_none_or(|will| grants.may_publish(&will.topic)) {
            return Ok(());
        }
        self.metrics.refused_will_rule += 1;
        self.limit_log.note(Limit::PublishRule, Some(client));
        Err(CloseCause::Refused {
            reason_code: ReasonCode::NotAuthorized,
            what: "the client may not publish to the topic of its will",
        })
    }

    /// Checks that a client may publish to a topic. Counts a refusal.
    pub(crate) fn check_publish_rule(&mut self, id: SessionId, topic: &str) -> Result<(), Refusal> {
        let Some(session) = self.sessions.get(id) else {
            return Ok(());
        };
        if session.grants().may_publish(topic) {
            return Ok(());
        }
        self.metrics.refused_publish_rule += 1;
        let client = Some(session.client_id());
        self.limit_log.note(Limit::PublishRule, client);
        Err(Refusal {
            reason_code: ReasonCode::NotAuthorized,
            what: "the client may not publish to this topic",
        })
    }

    /// How much a client may be sent of what a filter matches. If that is nothing, refuses the
    /// filter and counts the refusal.
    pub(crate) fn check_subscribe_rule(
        &mut self,
        id: SessionId,
        filter: &TopicFilter,
    ) -> Result<Reach, Refusal> {
        let Some(session) = self.sessions.get(id) else {
            return Ok(Reach::All);
        };
        match session.grants().reach(inner_filter(filter)) {
            reach @ (Reach::All | Reach::Part) => Ok(reach),
            Reach::Nothing => {
                self.metrics.refused_subscribe_rule += 1;
                let client = Some(session.client_id());
                self.limit_log.note(Limit::SubscribeRule, client);
                Err(Refusal {
                    reason_code: ReasonCode::NotAuthorized,
                    what: "the client may not subscribe to this filter",
                })
            }
        }
    }

    /// Applies changed grants of a client that has come back: restricts its subscriptions, and
    /// drops messages that it may not receive any more, including those that wait to be sent again.
    pub(crate) fn grants_changed(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let grants = session.grants().clone();
        // This is done at once: until it is done, nothing may be sent to the client.
        let looks = session.subscriptions().len()
            + session.memberships().len()
            + session.outgoing().map_or(0, Outgoing::messages);
        self.work.spend(looks * WorkBudget::RULES);
        for node in session.subscriptions() {
            self.subscriptions.restrict(*node, id, &grants);
        }
        for membership in session.memberships() {
            self.subscriptions.restrict_member(*membership, &grants);
        }
        if grants.is_everything() {
            return;
        }
        let number = session.number();
        let Some(outgoing) = session.outgoing_mut() else {
            return;
        };
        let before = outgoing.weight();
        let may_receive = |queued: &Queued| grants.may_receive(queued.message.topic());
        let sent = outgoing.take_unsent_unless(may_receive);
        let queued = outgoing.take_unless(may_receive);
        self.memory.requeue(before, outgoing.weight());
        self.metrics.dropped_rule += (sent.len() + queued.len()) as u64;
        for (packet_id, queued) in sent {
            if let Some(session) = number {
                self.ledger.record(&Record::Done { session, packet_id });
            } else if let Some(holder) = queued.holder(None) {
                self.ledger.forget(holder, &queued);
            }
        }
        for queued in queued {
            if let Some(holder) = queued.holder(number) {
                self.ledger.forget(holder, &queued);
            }
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.drop_outgoing_if_empty();
        }
    }

    /// The grants of a session, unless they allow everything.
    pub(crate) fn limited_grants(&self, id: SessionId) -> Option<Grants> {
        let grants = self.sessions.get(id).map(Session::grants)?;
        (!grants.is_everything()).then(|| grants.clone())
    }
}
