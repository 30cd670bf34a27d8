//! Messages for the members of groups (section 4.8.2): who gets one, and what becomes of those
//! of a member that goes away.
//!
//! A member that loses its connection keeps what no other connected member has room for; one
//! whose session ends leaves all to the others, connected or not. What was sent to it with
//! `QoS` 2 is nobody else's `[MQTT-4.8.2-4]` `[MQTT-4.8.2-5]`, and what it refused is done with
//! `[MQTT-4.8.2-6]`.

use std::collections::BTreeSet;
use std::sync::Arc;

use mqtt::{Instant, PacketId, QoS, TopicForm};

use crate::admission::{MemoryBudget, WorkBudget};
use crate::delivery::{Connections, Routed, takes_at_most_once, takes_surely};
use crate::machine::Broker;
use crate::routing::{Among, Choice, Room, Standing, Subscriber};
use crate::session::{Outgoing, Sessions};
use crate::types::{
    Delivery, GroupId, Holder, Limits, Origin, Queued, SessionId, SessionNumber, Weight,
};

/// Groups in which nobody has room.
type FullGroups = BTreeSet<GroupId>;

impl Broker {
    /// Hands a message to one member of a group.
    pub(crate) fn deliver_to_one(&mut self, now: Instant, group: GroupId, routed: &mut Routed) {
        match self.choose(group, Among::All, routed) {
            Choice::Takes(subscriber) | Choice::Full(subscriber) | Choice::TooLarge(subscriber) => {
                let delivery = delivery(routed, &subscriber);
                let origin = Origin::Shared(group);
                self.deliver(now, subscriber.session, routed, delivery, origin);
            }
            Choice::Nobody => {}
        }
    }

    /// The session has lost its connection, and goes on: what other members of its groups can
    /// take now is theirs.
    pub(crate) fn hand_over(&mut self, now: Instant, id: SessionId) {
        let session = self.sessions.get_mut(id);
        let memberships = session.map_or(0, |session| session.memberships.len());
        // Where all go, nobody is to be given anything.
        if memberships > 0 && !self.is_shut_down() {
            self.hand_over_from(id, true, |broker, queued, group, full| {
                broker.pass_on(now, queued, group, Among::Connected, full)
            });
        }
    }

    /// The session has left a group: what was not sent is for those who stay, if any do. What
    /// was goes on `[MQTT-3.10.4-3]`.
    pub(crate) fn hand_over_group(&mut self, now: Instant, id: SessionId, left: GroupId) {
        self.hand_over_from(id, false, |broker, queued, group, full| {
            group == left && broker.pass_on(now, queued, group, Among::All, full)
        });
    }

    fn hand_over_from(
        &mut self,
        id: SessionId,
        sent_too: bool,
        mut place: impl FnMut(&mut Self, &Queued, GroupId, &mut FullGroups) -> bool,
    ) {
        // Out of its place meanwhile: the message goes to other sessions only.
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let number = session.number;
        let outgoing = session.outgoing.take_if(|it| it.has_shared());
        let Some(mut outgoing) = outgoing else {
            return;
        };
        self.work.spend(outgoing.messages() * WorkBudget::OFFER);
        let mut full = FullGroups::default();
        let before = outgoing.weight();
        outgoing.hand_over(sent_too, |queued, group, packet_id| {
            !full.contains(&group)
                && self.moving(queued.holder(number), packet_id, queued, |broker| {
                    place(broker, queued, group, &mut full)
                })
        });
        self.uncount_stored(before, &outgoing);
        if let Some(session) = self.sessions.get_mut(id) {
            session.outgoing = Some(outgoing);
        }
    }

    /// What is left by a session that is over, and has left its groups.
    pub(crate) fn inherit(
        &mut self,
        now: Instant,
        number: Option<SessionNumber>,
        outgoing: &mut Outgoing,
    ) {
        if !outgoing.has_shared() {
            return;
        }
        self.work.spend(outgoing.messages() * WorkBudget::OFFER);
        let mut full = FullGroups::default();
        let before = outgoing.weight();
        outgoing.hand_over(true, |queued, group, packet_id| {
            !full.contains(&group)
                && self.moving(queued.holder(number), packet_id, queued, |broker| {
                    broker.pass_on(now, queued, group, Among::All, &mut full)
                })
        });
        self.uncount_stored(before, outgoing);
        // What nobody has room for is lost.
        for queued in outgoing.held() {
            self.ledger.forget(Holder::Group, queued);
        }
    }

    /// What was handed over is counted for who has it now.
    fn uncount_stored(&mut self, before: Weight, outgoing: &Outgoing) {
        let gone = before.stored - outgoing.weight().stored;
        self.memory.uncount_stored(gone);
    }

    /// The session will not outlive its connection any more: for what it has of groups with
    /// members that do, the journal has the group from now on.
    pub(crate) fn leave_to_groups(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let (groups, ledger) = (&mut self.subscriptions.groups, &mut self.ledger);
        for membership in &*session.memberships {
            groups.set_lasting(*membership, id, false);
        }
        if let (Some(number), Some(outgoing)) = (session.number, &mut session.outgoing) {
            outgoing.hold(|queued, group, packet_id| {
                let is_held = groups.lasts(group);
                if is_held {
                    ledger.begin_move(Holder::Session(number), packet_id);
                    let (message, delivery) = (&queued.message, &queued.delivery);
                    ledger.recipient(Holder::Group, message, delivery, queued.origin, None);
                }
                is_held
            });
        }
    }

    /// An earlier run of the broker had given a message to a member of the group that did not
    /// last: it is for another one.
    pub(crate) fn restore_held(&mut self, now: Instant, group: GroupId, queued: &Queued) {
        self.memory.requeue(Weight::default(), queued.weight());
        let is_placed = self.moving(Some(Holder::Group), None, queued, |broker| {
            broker.pass_on(now, queued, group, Among::All, &mut FullGroups::default())
        });
        if !is_placed {
            self.memory.requeue(queued.weight(), Weight::default());
            self.ledger.forget(Holder::Group, queued);
        }
    }

    /// Sees to it that the records say of a message that `place` may give to another session
    /// that `holder` has it no longer.
    fn moving(
        &mut self,
        holder: Option<Holder>,
        packet_id: Option<PacketId>,
        queued: &Queued,
        place: impl FnOnce(&mut Self) -> bool,
    ) -> bool {
        if let Some(holder) = holder {
            self.ledger.begin_move(holder, packet_id);
        }
        let is_moved = place(self);
        self.ledger.end_move(queued, is_moved);
        is_moved
    }

    /// Gives what waited for one member of a group to another that has room for it. Says
    /// whether there was one; a group without room for one message is `full`, and need not be
    /// asked for the next.
    fn pass_on(
        &mut self,
        now: Instant,
        queued: &Queued,
        group: GroupId,
        among: Among,
        full: &mut FullGroups,
    ) -> bool {
        if queued.message.is_expired(now) {
            return false;
        }
        let mut routed = Routed::from(Arc::clone(&queued.message));
        match self.choose(group, among, &mut routed) {
            // It is in no record yet, and there is no room for it.
            Choice::Takes(subscriber) if self.lacks_store_for(subscriber.session) => false,
            Choice::Takes(subscriber) => {
                self.memory.requeue(queued.weight(), Weight::default());
                let delivery = delivery(&routed, &subscriber);
                let origin = Origin::Shared(group);
                let id = subscriber.session;
                let is_taken = self.deliver(now, id, &mut routed, delivery, origin);
                if is_taken {
                    self.metrics.passed_on += 1;
                } else {
                    self.memory.requeue(Weight::default(), queued.weight());
                }
                is_taken
            }
            Choice::Full(_) | Choice::Nobody => {
                full.insert(group);
                false
            }
            Choice::TooLarge(_) => false,
        }
    }

    /// Whether a session outlives its connection, so that what it gets has to be stored, and
    /// the store has no room for what is not there.
    fn lacks_store_for(&self, id: SessionId) -> bool {
        let session = self.sessions.get(id);
        self.ledger.is_full()
            && !self.ledger.is_moving()
            && session.is_some_and(|session| session.number.is_some())
    }

    /// Takes the session out of all its groups.
    pub(crate) fn leave_groups(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.blocked.clear();
            self.work
                .spend(session.memberships.len() * WorkBudget::SUBSCRIPTION);
            for membership in session.memberships.take() {
                self.subscriptions.leave(membership);
                self.metrics.subscriptions -= 1;
            }
        }
    }

    /// Who in a group the message is for.
    fn choose(&mut self, group: GroupId, among: Among, routed: &mut Routed) -> Choice {
        let (sessions, connections) = (&self.sessions, &mut self.connections);
        let together = Together {
            limits: &self.options.limits,
            memory: &self.memory,
        };
        let mut blocked = core::mem::take(&mut self.blocked);
        let groups = &mut self.subscriptions.groups;
        let choice = groups.choose(group, among, &mut blocked, |subscriber| {
            room(sessions, connections, &together, routed, subscriber)
        });
        for (id, membership) in blocked.drain(..) {
            if let Some(session) = self.sessions.get_mut(id) {
                session.blocked.to_mut().push(membership);
            }
        }
        self.blocked = blocked;
        choice
    }

    /// The session may have room again: where it was put aside, it is no longer, if it has.
    pub(crate) fn unblock(&mut self, id: SessionId) {
        let limits = &self.options.limits;
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if session.blocked.is_empty() {
            return;
        }
        let outgoing = session.outgoing.as_deref();
        let link = session.slot.and_then(|slot| self.connections.linked(slot));
        let memory = &self.memory;
        let is_ready = link.is_some_and(|(link, outbox, _)| {
            outgoing.is_none_or(Outgoing::is_caught_up)
                && takes_surely(limits, memory, outgoing, link, outbox)
        });
        if is_ready {
            for membership in session.blocked.take() {
                let groups = &mut self.subscriptions.groups;
                groups.stand(membership, id, Standing::Ready);
            }
        }
    }

    /// The session has a connection from now on, or none.
    pub(crate) fn stand(&mut self, id: SessionId, standing: Standing) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.blocked.clear();
            for membership in &*session.memberships {
                self.subscriptions.groups.stand(*membership, id, standing);
            }
        }
    }
}

/// How a member gets a message.
fn delivery(routed: &Routed, subscriber: &Subscriber) -> Delivery {
    let publish = routed.publish();
    Delivery {
        // [MQTT-4.8.2-3]
        qos: publish.qos.min(subscriber.qos),
        retain: publish.retain && subscriber.retain_as_published,
        identifiers: subscriber.identifier.into(),
    }
}

/// What all sessions have together.
struct Together<'a> {
    limits: &'a Limits,
    memory: &'a MemoryBudget,
}

/// What a member can do with a message: what [`Broker::deliver`] then does.
fn room(
    sessions: &Sessions,
    connections: &mut Connections,
    together: &Together<'_>,
    routed: &mut Routed,
    subscriber: &Subscriber,
) -> Room {
    let &Together { limits, memory } = together;
    let Some(session) = sessions.get(subscriber.session) else {
        return Room::None;
    };
    let delivery = delivery(routed, subscriber);
    let outgoing = session.outgoing.as_deref();
    let cost = Queued::cost_of(routed.cost(), &delivery);
    let held = outgoing.map_or(0, Outgoing::bytes);
    let others = memory.queued_bytes() - memory.freeable_bytes() - held as u64;
    let may_wait = outgoing.is_none_or(|it| it.queued_live() < limits.queue_messages)
        && MemoryBudget::has_queue_room(limits, held + cost, cost, others);
    let link = session.slot.and_then(|slot| connections.linked(slot));
    let is_doomed = link.as_ref().is_some_and(|(link, _, _)| link.is_doomed);
    // Who is to be dismissed is as good as gone, and its session perhaps with it.
    if is_doomed && session.expiry_interval == 0 {
        return Room::None;
    }
    if let Some((link, outbox, _)) = link.filter(|_| !is_doomed) {
        // Another may be able to take it (section 3.1.2.11.4).
        if link.maximum_packet_size != u32::MAX {
            let template = routed.template(link.version, &delivery, TopicForm::Name);
            let most = link.maximum_packet_size as usize;
            if template.is_ok_and(|it| it.encoded_len() > most) {
                return Room::TooSmall;
            }
        }
        let is_ready = match delivery.qos {
            QoS::AtMostOnce if outgoing.is_some_and(Outgoing::holds_at_most_once) => may_wait,
            QoS::AtMostOnce => {
                let naming = routed.naming(link, &delivery, outbox.leads(QoS::AtMostOnce));
                let template = routed.template(link.version, &delivery, naming.form());
                template
                    .is_ok_and(|it| takes_at_most_once(limits, memory, outbox, it.encoded_len()))
            }
            QoS::AtLeastOnce | QoS::ExactlyOnce => {
                outgoing.is_none_or(Outgoing::is_caught_up)
                    && takes_surely(limits, memory, outgoing, link, outbox)
                    && memory.has_egress_room(limits, outbox.held(), routed.cost())
            }
        };
        // What is retained may have to go first.
        if is_ready && (may_wait || session.lookups.is_none()) {
            return Room::Now;
        }
    }
    if may_wait && delivery.qos != QoS::AtMostOnce {
        Room::Later(outgoing.map_or(0, Outgoing::messages))
    } else {
        Room::None
    }
}
