//! Messages for the members of groups (section 4.8.2): who gets one, and what becomes of those
//! of a member that goes away.
//!
//! A member that loses its connection keeps what no other connected member has room for; one
//! whose session ends leaves all to the others, connected or not. What was sent to it with
//! `QoS` 2 is nobody else's `[MQTT-4.8.2-4]` `[MQTT-4.8.2-5]`, and what it refused is done with
//! `[MQTT-4.8.2-6]`.

use std::collections::BTreeSet;
use std::sync::Arc;

use mqtt::{Instant, PacketId};

use crate::admission::WorkBudget;
use crate::delivery::{Members, Routed, Shared, is_ready};
use crate::machine::Broker;
use crate::routing::{Among, Choice, Standing};
use crate::session::Outgoing;
use crate::types::{GroupId, Holder, Origin, Queued, SessionId, SessionNumber, Weight};

/// Groups in which nobody has room.
type FullGroups = BTreeSet<GroupId>;

impl Broker {
    /// Hands a message to one member of a group.
    pub(crate) fn deliver_to_one(&mut self, now: Instant, group: GroupId, routed: &mut Routed) {
        match self.choose(now, group, Among::All, routed) {
            Choice::Takes(subscriber) | Choice::Full(subscriber) | Choice::NotThis(subscriber) => {
                if !self.egress().0.may_be_sent(&[subscriber], routed.topic()) {
                    return;
                }
                let delivery = routed.delivery_to(&subscriber);
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
        let memberships = session.map_or(0, |session| session.memberships().len());
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
        let number = session.number();
        let outgoing = session.take_outgoing_if(Outgoing::has_shared);
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
            session.put_outgoing(outgoing);
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
        let (groups, ledger) = (self.subscriptions.groups_mut(), &mut self.ledger);
        for membership in session.memberships() {
            groups.set_lasting(*membership, id, false);
        }
        if let (Some(number), Some(outgoing)) = (session.number(), session.present_outgoing_mut()) {
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
        match self.choose(now, group, among, &mut routed) {
            // It is in no record yet, and there is no room for it.
            Choice::Takes(subscriber) if self.lacks_store_for(subscriber.session) => false,
            Choice::Takes(subscriber) => {
                self.memory.requeue(queued.weight(), Weight::default());
                let delivery = routed.delivery_to(&subscriber);
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
            Choice::NotThis(_) => false,
        }
    }

    /// Whether a session outlives its connection, so that what it gets has to be stored, and
    /// the store has no room for what is not there.
    fn lacks_store_for(&self, id: SessionId) -> bool {
        let session = self.sessions.get(id);
        self.ledger.is_full()
            && !self.ledger.is_moving()
            && session.is_some_and(|session| session.number().is_some())
    }

    /// Takes the session out of all its groups.
    pub(crate) fn leave_groups(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            self.work
                .spend(session.memberships().len() * WorkBudget::SUBSCRIPTION);
            for membership in session.leave_all() {
                self.subscriptions.leave(membership);
                self.metrics.subscriptions -= 1;
            }
        }
    }

    /// Who in a group the message is for.
    fn choose(
        &mut self,
        now: Instant,
        group: GroupId,
        among: Among,
        routed: &mut Routed,
    ) -> Choice {
        let mut members = Members {
            sessions: &self.sessions,
            connections: &mut self.connections,
            shared: Shared {
                limits: &self.options.limits,
                memory: &self.memory,
            },
        };
        let mut blocked = core::mem::take(&mut self.blocked);
        let groups = self.subscriptions.groups_mut();
        let choice = groups.choose(group, among, &mut blocked, |subscriber| {
            members.room(now, routed, subscriber)
        });
        for (id, membership) in blocked.drain(..) {
            if let Some(session) = self.sessions.get_mut(id) {
                session.block(membership);
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
        if session.blocked().is_empty() {
            return;
        }
        let outgoing = session.outgoing();
        let receiver = session
            .slot()
            .and_then(|slot| self.connections.receiver(slot));
        let memory = &self.memory;
        let is_ready = receiver.is_some_and(|it| is_ready(limits, memory, outgoing, &it));
        if is_ready {
            for membership in session.unblock() {
                let groups = self.subscriptions.groups_mut();
                groups.stand(membership, id, Standing::Ready);
            }
        }
    }

    /// The session has a connection from now on, or none.
    pub(crate) fn stand(&mut self, id: SessionId, standing: Standing) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.unblock();
            for membership in session.memberships() {
                self.subscriptions
                    .groups_mut()
                    .stand(*membership, id, standing);
            }
        }
    }
}
