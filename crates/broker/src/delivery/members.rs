//! Finds out what a member of a group can do with a message, before
//! [`Egress::deliver`](crate::delivery::Egress::deliver) does it.

use mqtt::{Instant, QoS, TopicForm};

use crate::admission::MemoryBudget;
use crate::delivery::readiness::{is_ready, takes_at_most_once};
use crate::delivery::send::SendAttempt;
use crate::delivery::{Connections, Receiver, Routed};
use crate::routing::Capability;
use crate::session::{Outgoing, Sessions};
use crate::types::{Delivery, Limits, Queued, Subscriber};

/// All sessions and connections that may belong to members.
#[derive(Debug)]
pub(crate) struct Members<'a> {
    pub(crate) sessions: &'a Sessions,
    pub(crate) connections: &'a mut Connections,
    pub(crate) shared: MemberMeans<'a>,
}

/// The limits and the memory that all members share.
#[derive(Debug)]
pub(crate) struct MemberMeans<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) memory: &'a MemoryBudget,
}

impl Members<'_> {
    /// What a member can do with a message.
    pub(crate) fn room(
        &mut self,
        now: Instant,
        routed: &mut Routed,
        member: &Subscriber,
    ) -> Capability {
        let Some(session) = self.sessions.get(member.session) else {
            return Capability::None;
        };
        if member.is_restricted() && !session.grants().may_receive(routed.topic()) {
            return Capability::NotThis;
        }
        let delivery = routed.delivery_to(member);
        let outgoing = session.outgoing();
        let may_wait = self
            .shared
            .may_wait(outgoing, Queued::cost_of(routed.cost(), &delivery));
        let slot = session.slot();
        let receiver = slot.and_then(|slot| self.connections.receiver(slot));
        let is_leaving = |it: &Receiver<'_>| it.agreement.is_being_dismissed();
        let is_leaving = receiver.as_ref().is_some_and(is_leaving);
        // The client is about to be closed, and its session ends with it.
        if is_leaving && session.expiry_interval() == 0 {
            return Capability::None;
        }
        if let Some(receiver) = receiver.filter(|_| !is_leaving) {
            // Another member may be able to take the message (section 3.1.2.11.4).
            if is_too_large(routed, &delivery, &receiver) {
                return Capability::NotThis;
            }
            let is_ready = match delivery.qos {
                QoS::AtMostOnce if outgoing.is_some_and(Outgoing::holds_at_most_once) => may_wait,
                QoS::AtMostOnce => self
                    .shared
                    .takes_at_most_once(now, routed, &delivery, &receiver),
                QoS::AtLeastOnce | QoS::ExactlyOnce => {
                    is_ready(self.shared.limits, self.shared.memory, outgoing, &receiver)
                        && self.shared.memory.has_egress_room(
                            self.shared.limits,
                            receiver.outbox.held(),
                            routed.cost(),
                        )
                }
            };
            // Retained messages from its look-ups may have to go first, so the message may have
            // to wait.
            if is_ready && (may_wait || session.lookups().is_none()) {
                return Capability::Now;
            }
        }
        if may_wait && delivery.qos != QoS::AtMostOnce {
            Capability::Later(outgoing.map_or(0, Outgoing::messages))
        } else {
            Capability::None
        }
    }
}

impl MemberMeans<'_> {
    /// Whether a session's queue has room for a message of this cost.
    fn may_wait(&self, outgoing: Option<&Outgoing>, cost: usize) -> bool {
        let held = outgoing.map_or(0, Outgoing::bytes);
        let others = self.memory.queued_bytes() - self.memory.freeable_bytes() - held as u64;
        outgoing.is_none_or(|it| it.queued_live() < self.limits.queue_messages)
            && MemoryBudget::has_queue_room(self.limits, held + cost, cost, others)
    }

    fn takes_at_most_once(
        &self,
        now: Instant,
        routed: &mut Routed,
        delivery: &Delivery,
        receiver: &Receiver<'_>,
    ) -> bool {
        let attempt = SendAttempt::at_most_once(delivery);
        attempt
            .encode(now, routed, receiver)
            .is_some_and(|it| takes_at_most_once(self.limits, self.memory, receiver, it.len()))
    }
}

/// Whether the packet is too large for the client, however the topic is named.
fn is_too_large(routed: &mut Routed, delivery: &Delivery, receiver: &Receiver<'_>) -> bool {
    let most = receiver.agreement.maximum_packet_size;
    if most == u32::MAX {
        return false;
    }
    let template = routed.template(receiver.agreement.version, delivery, TopicForm::Name);
    template.is_ok_and(|it| it.encoded_len() > most as usize)
}
