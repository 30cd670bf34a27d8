//! Messages for the members of groups (section 4.8.2): who gets one, and what becomes of those
//! of a member that goes away.
//!
//! A member that loses its connection keeps what no other connected member has room for; one
//! whose session ends leaves all to the others, connected or not. What was sent to it with
//! `QoS` 2 is nobody else's `[MQTT-4.8.2-4]` `[MQTT-4.8.2-5]`, and what it refused is done with
//! `[MQTT-4.8.2-6]`.

use std::sync::Arc;

use mqtt::{Instant, PacketId, QoS, TopicForm};

use crate::broker::Broker;
use crate::connection::{Connections, Link};
use crate::limits::Limits;
use crate::message::{Delivery, Routed};
use crate::outbox::Outbox;
use crate::outgoing::{Origin, Outgoing, Queued};
use crate::record::{Holder, SessionNumber};
use crate::session::{SessionId, Sessions};
use crate::shared::{Among, Choice, GroupId, Room, Standing};
use crate::subscriptions::Subscriber;

impl Broker {
    /// Hands a message to one member of a group.
    pub(crate) fn deliver_to_one(&mut self, now: Instant, group: GroupId, routed: &mut Routed) {
        match self.choose(group, Among::All, routed) {
            Choice::Takes(subscriber) | Choice::Full(subscriber) => {
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
            self.hand_over_from(id, true, |broker, queued, group| {
                broker.pass_on(now, queued, group, Among::Connected)
            });
        }
    }

    /// The session has left a group: what was not sent is for those who stay, if any do. What
    /// was goes on `[MQTT-3.10.4-3]`.
    pub(crate) fn hand_over_group(&mut self, now: Instant, id: SessionId, left: GroupId) {
        self.hand_over_from(id, false, |broker, queued, group| {
            group == left && broker.pass_on(now, queued, group, Among::All)
        });
    }

    fn hand_over_from(
        &mut self,
        id: SessionId,
        sent_too: bool,
        mut place: impl FnMut(&mut Self, &Queued, GroupId) -> bool,
    ) {
        // Out of its place meanwhile: the message goes to other sessions only.
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let number = session.number;
        let Some(mut outgoing) = session.outgoing.take() else {
            return;
        };
        outgoing.hand_over(sent_too, |queued, group, packet_id| {
            self.moving(queued.holder(number), packet_id, queued, |broker| {
                place(broker, queued, group)
            })
        });
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
        outgoing.hand_over(true, |queued, group, packet_id| {
            self.moving(queued.holder(number), packet_id, queued, |broker| {
                broker.pass_on(now, queued, group, Among::All)
            })
        });
        // What nobody has room for is lost.
        for queued in outgoing.held() {
            self.ledger.forget(Holder::Group, queued);
        }
    }

    /// The session will not outlive its connection any more: for what it has of groups with
    /// members that do, the journal has the group from now on.
    pub(crate) fn leave_to_groups(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let (groups, ledger) = (&mut self.subscriptions.groups, &mut self.ledger);
        for membership in &session.memberships {
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
        self.metrics.requeue((0, 0), (1, queued.cost()));
        let is_placed = self.moving(Some(Holder::Group), None, queued, |broker| {
            broker.pass_on(now, queued, group, Among::All)
        });
        if !is_placed {
            self.metrics.requeue((1, queued.cost()), (0, 0));
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
    /// whether there was one.
    fn pass_on(&mut self, now: Instant, queued: &Queued, group: GroupId, among: Among) -> bool {
        if queued.message.is_expired(now) {
            return false;
        }
        let mut routed = Routed::from(Arc::clone(&queued.message));
        match self.choose(group, among, &mut routed) {
            // It is in no record yet, and there is no room for it.
            Choice::Takes(subscriber) if self.lacks_store_for(subscriber.session) => false,
            Choice::Takes(subscriber) => {
                self.metrics.requeue((1, queued.cost()), (0, 0));
                self.metrics.passed_on += 1;
                let delivery = delivery(&routed, &subscriber);
                let origin = Origin::Shared(group);
                self.deliver(now, subscriber.session, &mut routed, delivery, origin);
                true
            }
            Choice::Full(_) | Choice::Nobody => false,
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
            for membership in core::mem::take(&mut session.memberships) {
                self.subscriptions.leave(membership);
                self.metrics.subscriptions -= 1;
            }
        }
    }

    /// Who in a group the message is for.
    fn choose(&mut self, group: GroupId, among: Among, routed: &mut Routed) -> Choice {
        let (sessions, connections) = (&self.sessions, &mut self.connections);
        let limits = &self.options.limits;
        let all_bytes = self.metrics.queued_bytes;
        let mut blocked = core::mem::take(&mut self.blocked);
        let groups = &mut self.subscriptions.groups;
        let choice = groups.choose(group, among, &mut blocked, |subscriber| {
            room(sessions, connections, limits, all_bytes, routed, subscriber)
        });
        for (id, membership) in blocked.drain(..) {
            if let Some(session) = self.sessions.get_mut(id) {
                session.blocked.push(membership);
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
        if link.is_some_and(|(link, outbox, _)| is_ready(limits, outgoing, link, outbox)) {
            for membership in core::mem::take(&mut session.blocked) {
                let groups = &mut self.subscriptions.groups;
                groups.stand(membership, id, Standing::Ready);
            }
        }
    }

    /// The session has a connection from now on, or none.
    pub(crate) fn stand(&mut self, id: SessionId, standing: Standing) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.blocked.clear();
            for membership in &session.memberships {
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

/// What a member can do with a message.
fn room(
    sessions: &Sessions,
    connections: &mut Connections,
    limits: &Limits,
    all_bytes: u64,
    routed: &mut Routed,
    subscriber: &Subscriber,
) -> Room {
    let Some(session) = sessions.get(subscriber.session) else {
        return Room::None;
    };
    let qos = routed.publish().qos.min(subscriber.qos);
    let outgoing = session.outgoing.as_deref();
    let link = session.slot.and_then(|slot| connections.linked(slot));
    if let Some((link, outbox, _)) = link {
        // Another may be able to take it (section 3.1.2.11.4).
        if link.maximum_packet_size != u32::MAX {
            let delivery = delivery(routed, subscriber);
            let template = routed.template(link.version, &delivery, TopicForm::Name);
            let most = link.maximum_packet_size as usize;
            if template.is_ok_and(|it| it.encoded_len() > most) {
                return Room::TooSmall;
            }
        }
        let is_ready = match qos {
            QoS::AtMostOnce => {
                outbox.len() == 0 || outbox.len() + routed.cost() <= limits.out_buffer_bytes
            }
            QoS::AtLeastOnce | QoS::ExactlyOnce => is_ready(limits, outgoing, link, outbox),
        };
        if is_ready {
            return Room::Now;
        }
    }
    if qos == QoS::AtMostOnce {
        return Room::None;
    }
    let cost = routed.cost();
    let waiting = outgoing.map_or(0, Outgoing::messages);
    let has_room = outgoing.is_none_or(|it| {
        it.queued_live() < limits.queue_messages && it.bytes() + cost <= limits.queue_bytes
    }) && all_bytes + cost as u64 <= limits.all_queues_bytes as u64;
    if has_room {
        Room::Later(waiting)
    } else {
        Room::None
    }
}

/// Whether a client can be sent a `QoS` 1 or 2 message at once, with nothing before it.
fn is_ready(limits: &Limits, outgoing: Option<&Outgoing>, link: &Link, outbox: &Outbox) -> bool {
    link.quota > 0
        && outgoing.is_none_or(|it| it.is_caught_up() && it.has_window(limits.inflight_window))
        && outbox.len() < limits.out_buffer_bytes / 2
}
