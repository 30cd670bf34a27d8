//! Messages for groups of shared subscriptions (section 4.8.2): which member gets one, and who
//! gets the messages of a member that goes away.
//!
//! A member that loses its connection keeps the messages that no other connected member has room
//! for. A member whose session ends leaves all messages to the others, connected or not. A
//! message that was sent to it with `QoS` 2 goes to nobody else `[MQTT-4.8.2-4]`
//! `[MQTT-4.8.2-5]`, and neither does a message that it refused `[MQTT-4.8.2-6]`.

use std::collections::BTreeSet;
use std::sync::Arc;

use mqtt::{Instant, PacketId};

use crate::admission::WorkBudget;
use crate::delivery::{MemberMeans, Members, Routed, is_ready};
use crate::machine::Broker;
use crate::routing::{Among, Choice, Standing};
use crate::session::Outgoing;
use crate::types::{GroupId, Holder, Origin, Queued, SessionId, SessionNumber, Weight};

/// Groups in which no member has room.
type FullGroups = BTreeSet<GroupId>;

impl Broker {
    /// Delivers a message to one member of a group.
    pub(crate) fn deliver_to_one(&mut self, now: Instant, group: GroupId, routed: &mut Routed) {
        match self.choose(now, group, Among::All, routed) {
            Choice::Takes(subscriber) | Choice::Full(subscriber) | Choice::NotThis(subscriber) => {
                if !self
                    .egress()
                    .0
                    .check_receive_rule(&[subscriber], routed.topic())
                {
                    return;
                }
                let delivery = routed.delivery_to(&subscriber);
                let origin = Origin::Shared(group);
                self.deliver(now, subscriber.session, routed, delivery, origin);
            }
            Choice::Nobody => {}
        }
    }

    /// Hands over messages of a session that goes on without its connection to other members of its
    /// groups that can take them now.
    pub(crate) fn hand_over(&mut self, now: Instant, id: SessionId) {
        let session = self.sessions.get_mut(id);
        let memberships = session.map_or(0, |session| session.memberships().len());
        // At a shutdown all members go, so no message needs to be handed over.
        if memberships > 0 && !self.is_shut_down() {
            self.hand_over_from(id, true, |broker, queued, group, full| {
                broker.pass_on(now, queued, group, Among::Connected, full)
            });
        }
    }

    /// Hands over messages of a session that has left a group to the remaining members. Messages
    /// that were already sent stay with the session `[MQTT-3.10.4-3]`.
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
        // The queue is taken out of its session meanwhile, because its messages go only to other
        // sessions.
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

    /// Hands the messages of an ended session to other members of the groups that it has left.
    pub(crate) fn hand_over_all(
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
        // Messages that no member has room for are lost.
        for queued in outgoing.held() {
            self.ledger.forget(Holder::Group, queued);
        }
    }

    /// Subtracts messages that were handed over: they now count for the sessions that have them.
    fn uncount_stored(&mut self, before: Weight, outgoing: &Outgoing) {
        let gone = before.stored - outgoing.weight().stored;
        self.memory.uncount_stored(gone);
    }

    /// The session will no longer outlive its connection. Gives its messages to its groups in the
    /// journal, as far as the groups have members that survive a crash.
    pub(crate) fn leave_to_groups(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let (groups, ledger) = (self.subscriptions.groups_mut(), &mut self.ledger);
        for membership in session.memberships() {
            groups.set_lasting(*membership, id, false);
        }
        if let (Some(number), Some(outgoing)) = (session.number(), session.outgoing_mut()) {
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

    /// Gives a message to another member of its group. In an earlier run of the broker it belonged
    /// to a member whose session did not survive the crash.
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

    /// Calls `place`, which may give a message to another session. If it does, records that
    /// `holder` no longer has the message.
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

    /// Gives a message of one member of a group to another that has room for it. Returns whether
    /// there was one. If no member has room, adds the group to `full`, so that its members need not
    /// be asked about the next message.
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
            // No record holds the message yet, and the store has no room for one.
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

    /// Whether the session's messages must be stored, and the store has no room for a message
    /// that is not stored yet.
    fn lacks_store_for(&self, id: SessionId) -> bool {
        let session = self.sessions.get(id);
        self.ledger.is_full()
            && !self.ledger.is_moving()
            && session.is_some_and(|session| session.number().is_some())
    }

    /// Removes the session from all its groups.
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

    /// Chooses the member of a group that gets the message.
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
            shared: MemberMeans {
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

    /// If the session has room again, its groups no longer count it as blocked.
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
                groups.set_standing(membership, id, Standing::Ready);
            }
        }
    }

    /// Changes the session's standing in all its groups, when it has gained or lost its
    /// connection.
    pub(crate) fn set_standing(&mut self, id: SessionId, standing: Standing) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.unblock();
            for membership in session.memberships() {
                self.subscriptions
                    .groups_mut()
                    .set_standing(*membership, id, standing);
            }
        }
    }
}
