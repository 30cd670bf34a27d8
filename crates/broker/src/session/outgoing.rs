//! What a session is to be sent: the window of messages that are sent and not acknowledged,
//! and the queue of those that wait.

use std::collections::VecDeque;

use mqtt::{Instant, PacketId, QoS};

use crate::types::{GroupId, INFLIGHT, MessageId, Origin, Queued, Weight};

/// The window and the queue of one session.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// In the order in which they were first sent `[MQTT-4.4.0-1]`.
    window: VecDeque<Inflight>,
    /// How many at the front of the window have been sent on this connection. The others are
    /// from an earlier one, and are sent again before anything new.
    sent: usize,
    queue: VecDeque<Numbered>,
    /// How many have ever been put into the queue.
    queued: u64,
    /// How many in the queue are of `QoS` 0: retained messages that a new subscription asked
    /// for and that are more than the connection took at once, and what came after them.
    queued_at_most_once: usize,
    /// How many in the queue are [`Origin::Retained`].
    queued_retained: usize,
    /// Whether anything in window and queue has ever been of a group.
    has_shared: bool,
    /// Bytes of window and queue.
    bytes: usize,
    /// Bytes of the queue.
    queue_bytes: usize,
    last_packet_id: u16,
    /// Whether the queue waits for acknowledgements, as far as was seen last: it is not looked
    /// at again for each message behind the first.
    awaits_window: bool,
    /// How many messages have been sent, modulo 2^32.
    count: u32,
    /// Whether records say something about what is here: the session lasts, or had something
    /// that the journal has for a group.
    is_stored: bool,
}

/// What is in the queue.
#[derive(Debug)]
struct Numbered {
    queued: Queued,
    /// How many had been put into the queue before.
    number: u64,
}

/// A message that has been sent and not acknowledged.
#[derive(Debug)]
pub(crate) struct Inflight {
    packet_id: PacketId,
    stage: Stage,
    /// Which of all messages sent this is.
    number: u32,
    /// Whether it counts against this connection's quota `[MQTT-4.9.0-2]`.
    is_charged: bool,
}

const _: () = assert!(core::mem::size_of::<Inflight>() == INFLIGHT);

/// How far the exchange of packets about a message is.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// PUBLISH sent with `QoS` 1: PUBACK is awaited.
    Unacknowledged(Queued),
    /// PUBLISH sent with `QoS` 2: PUBREC is awaited.
    Unreceived(Queued),
    /// PUBREL sent: PUBCOMP is awaited. The message is forgotten `[MQTT-4.3.3-6]`.
    Released,
}

/// What an acknowledgement from the client did.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// The exchange is over; whether the quota grows `[MQTT-4.9.0-2]`.
    Done { is_charged: bool },
    /// PUBREL is to be sent now; whether the client said so for the first time.
    Release { is_news: bool },
    /// PUBREL will be sent when its turn comes in what is sent again.
    ReleaseLater { is_news: bool },
    /// No message has this identifier, and nothing comes of it.
    Nothing,
    /// No message has this identifier, and the client waits for a PUBREL.
    NotFound,
    /// The message with this identifier is not of the `QoS` that is acknowledged so.
    WrongPacket,
}

impl Inflight {
    pub(crate) fn packet_id(&self) -> PacketId {
        self.packet_id
    }

    pub(crate) fn stage(&self) -> &Stage {
        &self.stage
    }
}

impl Stage {
    fn is_shared(&self) -> bool {
        match self {
            Self::Unacknowledged(queued) | Self::Unreceived(queued) => {
                matches!(queued.origin, Origin::Shared(_))
            }
            Self::Released => false,
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Unacknowledged(queued) | Self::Unreceived(queued) => queued.cost(),
            Self::Released => 0,
        }
    }
}

impl Outgoing {
    /// Empty; the first packet identifier given is the one after `last_packet_id`. `is_stored`:
    /// records say what becomes of it.
    pub(crate) fn following(last_packet_id: u16, is_stored: bool) -> Self {
        Self {
            last_packet_id,
            is_stored,
            ..Self::default()
        }
    }

    /// The packet identifier that was given last.
    pub(crate) fn last_packet_id(&self) -> u16 {
        self.last_packet_id
    }

    /// Bytes of window and queue.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of the window.
    pub(crate) fn window_bytes(&self) -> usize {
        self.bytes - self.queue_bytes
    }

    /// Messages in window and queue.
    pub(crate) fn messages(&self) -> usize {
        self.window.len() + self.queue.len()
    }

    /// Messages in the queue that count against its limit.
    pub(crate) fn queued_live(&self) -> usize {
        self.queue.len() - self.queued_retained
    }

    /// Whether a `QoS` 0 message has to wait behind others of its kind.
    pub(crate) fn holds_at_most_once(&self) -> bool {
        self.queued_at_most_once > 0
    }

    /// Whether a `QoS` 1 or 2 message would be next, with nothing before it.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.queue.is_empty() && self.sent == self.window.len()
    }

    /// Whether something may be there that another member of a group could get.
    pub(crate) fn has_shared(&self) -> bool {
        self.has_shared
    }

    /// How many have ever been put into the queue.
    pub(crate) fn queued(&self) -> u64 {
        self.queued
    }

    /// How many were put into the queue before the next in it.
    pub(crate) fn next_queued(&self) -> u64 {
        self.queue.front().map_or(self.queued, |it| it.number)
    }

    /// Whether what was put into the queue before `number` others had been is gone.
    pub(crate) fn is_past(&self, number: u64) -> bool {
        self.next_queued() >= number
    }

    /// Whether nothing waits to be sent again.
    pub(crate) fn has_resent(&self) -> bool {
        self.sent == self.window.len()
    }

    /// Whether the window has room below `limit`.
    pub(crate) fn has_window(&self, limit: u16) -> bool {
        self.window.len() < usize::from(limit)
    }

    /// Whether what is in the queue waits because too many messages are unacknowledged.
    pub(crate) fn awaits_window(&self) -> bool {
        self.awaits_window
    }

    pub(crate) fn set_awaits_window(&mut self, awaits_window: bool) {
        self.awaits_window = awaits_window;
    }

    /// The next that was sent on an earlier connection and not on this one.
    pub(crate) fn unsent(&self) -> Option<&Inflight> {
        self.window.get(self.sent)
    }

    /// [`unsent`](Self::unsent) has been sent again; whether it counts against the quota.
    pub(crate) fn resent(&mut self, is_charged: bool) {
        if let Some(inflight) = self.window.get_mut(self.sent) {
            inflight.is_charged = is_charged;
            self.sent += 1;
        }
    }

    /// [`unsent`](Self::unsent) cannot be sent: it is forgotten.
    pub(crate) fn skip_unsent(&mut self) {
        if let Some(inflight) = self.window.remove(self.sent) {
            self.bytes -= inflight.stage.cost();
        }
    }

    /// The next in the queue.
    pub(crate) fn front(&self) -> Option<&Queued> {
        self.queue.front().map(|it| &it.queued)
    }

    /// Takes the next out of the queue.
    pub(crate) fn pop(&mut self) -> Option<Queued> {
        self.take(0)
    }

    /// Takes the first that is not [`Origin::Retained`] out of the queue.
    pub(crate) fn pop_live(&mut self) -> Option<Queued> {
        let mut queue = self.queue.iter();
        let at = queue.position(|it| it.queued.origin != Origin::Retained)?;
        self.take(at)
    }

    fn take(&mut self, at: usize) -> Option<Queued> {
        let queued = self.queue.remove(at)?.queued;
        self.uncount(&queued);
        Some(queued)
    }

    /// `queued` has left the queue.
    fn uncount(&mut self, queued: &Queued) {
        let cost = queued.cost();
        self.bytes -= cost;
        self.queue_bytes -= cost;
        self.queued_at_most_once -= usize::from(queued.delivery.qos == QoS::AtMostOnce);
        self.queued_retained -= usize::from(queued.origin == Origin::Retained);
    }

    /// Puts a message at the end of the queue.
    pub(crate) fn push(&mut self, queued: Queued) {
        let cost = queued.cost();
        self.bytes += cost;
        self.queue_bytes += cost;
        self.queued_at_most_once += usize::from(queued.delivery.qos == QoS::AtMostOnce);
        self.queued_retained += usize::from(queued.origin == Origin::Retained);
        self.has_shared |= matches!(queued.origin, Origin::Shared(_));
        self.is_stored |= queued.is_held;
        let number = self.queued;
        self.queue.push_back(Numbered { queued, number });
        self.queued += 1;
    }

    /// A packet identifier that no message in the window has `[MQTT-2.2.1-4]`.
    ///
    /// They are given in a circle. As long as fewer than all have been given since the oldest
    /// message in the window was sent, the next is free; only after that one has to look.
    pub(crate) fn free_packet_id(&self) -> PacketId {
        let oldest = self.window.front();
        let given = oldest.map_or(0, |oldest| self.count.wrapping_sub(oldest.number));
        let has_gone_round = given >= u32::from(u16::MAX);
        let mut number = self.last_packet_id;
        loop {
            number = number.wrapping_add(1);
            if let Some(packet_id) = PacketId::new(number)
                && !(has_gone_round && self.position(packet_id).is_some())
            {
                return packet_id;
            }
        }
    }

    /// `queued` has been sent for the first time, and counts against the quota. Nothing may
    /// be [`unsent`](Self::unsent).
    pub(crate) fn sent(&mut self, packet_id: PacketId, queued: Queued) {
        self.has_shared |= matches!(queued.origin, Origin::Shared(_));
        self.is_stored |= queued.is_held;
        let stage = match queued.delivery.qos {
            QoS::AtMostOnce => return,
            QoS::AtLeastOnce => Stage::Unacknowledged(queued),
            QoS::ExactlyOnce => Stage::Unreceived(queued),
        };
        self.bytes += stage.cost();
        self.last_packet_id = packet_id.get();
        self.window.push_back(Inflight {
            packet_id,
            stage,
            number: self.count,
            is_charged: true,
        });
        self.count = self.count.wrapping_add(1);
        self.sent = self.window.len();
    }

    /// PUBACK has come.
    pub(crate) fn pub_ack(&mut self, packet_id: PacketId) -> Acknowledged {
        let Some(at) = self.position(packet_id) else {
            return Acknowledged::Nothing;
        };
        match self.window[at].stage {
            Stage::Unacknowledged(_) => self.finish(at),
            Stage::Unreceived(_) | Stage::Released => Acknowledged::WrongPacket,
        }
    }

    /// PUBREC has come, and says that the client has, or will not have, the message.
    pub(crate) fn pub_rec(&mut self, packet_id: PacketId, is_error: bool) -> Acknowledged {
        let Some(at) = self.position(packet_id) else {
            return if is_error {
                Acknowledged::Nothing
            } else {
                Acknowledged::NotFound
            };
        };
        let is_sent = at < self.sent;
        let inflight = &mut self.window[at];
        let is_news = matches!(inflight.stage, Stage::Unreceived(_));
        match &inflight.stage {
            Stage::Unacknowledged(_) => return Acknowledged::WrongPacket,
            // [MQTT-4.4.0-2]
            Stage::Unreceived(_) | Stage::Released if is_error => {
                return self.finish(at);
            }
            Stage::Unreceived(queued) => {
                self.bytes -= queued.cost();
                inflight.stage = Stage::Released;
            }
            Stage::Released => {}
        }
        if is_sent {
            Acknowledged::Release { is_news }
        } else {
            Acknowledged::ReleaseLater { is_news }
        }
    }

    /// PUBCOMP has come.
    pub(crate) fn pub_comp(&mut self, packet_id: PacketId) -> Acknowledged {
        let Some(at) = self.position(packet_id) else {
            return Acknowledged::Nothing;
        };
        match self.window[at].stage {
            Stage::Released => self.finish(at),
            Stage::Unacknowledged(_) | Stage::Unreceived(_) => Acknowledged::WrongPacket,
        }
    }

    /// The connection is gone: what is in the window will be sent again, and what is worth
    /// nothing to an absent client is dropped. Says how many those were.
    pub(crate) fn detach(&mut self) -> usize {
        self.sent = 0;
        let dropped = self.queued_at_most_once;
        if dropped > 0 {
            self.retain(|queued| queued.delivery.qos != QoS::AtMostOnce);
        }
        dropped
    }

    /// Offers what may go to another member of its group to `place`, in order, and forgets
    /// what that took: what has not been sent, and if `sent_too` also what was sent with
    /// `QoS` 1 (and this packet identifier) and not acknowledged. `QoS` 2 that was sent stays `[MQTT-4.8.2-4]`.
    pub(crate) fn hand_over(
        &mut self,
        sent_too: bool,
        mut place: impl FnMut(&Queued, GroupId, Option<PacketId>) -> bool,
    ) {
        let (bytes, sent) = (&mut self.bytes, &mut self.sent);
        let mut take = |queued: &Queued, packet_id| {
            let is_taken = match queued.origin {
                Origin::Shared(group) => place(queued, group, packet_id),
                Origin::Live | Origin::Retained => false,
            };
            if is_taken {
                *bytes -= queued.cost();
            }
            is_taken
        };
        if sent_too {
            let mut at = 0;
            self.window.retain(|inflight| {
                let is_taken = match &inflight.stage {
                    Stage::Unacknowledged(queued) => take(queued, Some(inflight.packet_id)),
                    Stage::Unreceived(_) | Stage::Released => false,
                };
                *sent -= usize::from(is_taken && at < *sent);
                at += usize::from(!is_taken);
                !is_taken
            });
        }
        let queue_bytes = &mut self.queue_bytes;
        self.queue.retain(|Numbered { queued, .. }| {
            let is_kept = queued.delivery.qos == QoS::AtMostOnce || !take(queued, None);
            if !is_kept {
                *queue_bytes -= queued.cost();
            }
            is_kept
        });
    }

    /// What the journal has for groups, in order.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Queued> {
        self.all().filter(|it| it.is_held)
    }

    /// All messages, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Queued> {
        let window = self.window.iter().filter_map(|it| match &it.stage {
            Stage::Unacknowledged(queued) | Stage::Unreceived(queued) => Some(queued),
            Stage::Released => None,
        });
        window.chain(self.queue())
    }

    /// What the journal has for a group and has this packet identifier.
    pub(crate) fn held_in_window(&self, packet_id: PacketId) -> Option<(MessageId, Origin)> {
        match &self.window[self.position(packet_id)?].stage {
            Stage::Unacknowledged(queued) | Stage::Unreceived(queued) if queued.is_held => {
                Some((queued.message.id()?, queued.origin))
            }
            Stage::Unacknowledged(_) | Stage::Unreceived(_) | Stage::Released => None,
        }
    }

    /// Marks what `hold` says that the journal has for its group from now on: offered is what
    /// another member of the group might get, see [`hand_over`](Self::hand_over).
    pub(crate) fn hold(
        &mut self,
        mut hold: impl FnMut(&Queued, GroupId, Option<PacketId>) -> bool,
    ) {
        let mut mark = |queued: &mut Queued, packet_id| {
            if let Origin::Shared(group) = queued.origin
                && queued.delivery.qos != QoS::AtMostOnce
            {
                queued.is_held = hold(queued, group, packet_id);
            }
        };
        for inflight in &mut self.window {
            match &mut inflight.stage {
                Stage::Unacknowledged(queued) => mark(queued, Some(inflight.packet_id)),
                Stage::Unreceived(_) | Stage::Released => {}
            }
        }
        for Numbered { queued, .. } in &mut self.queue {
            mark(queued, None);
        }
    }

    /// What is in the window, in order.
    pub(crate) fn window(&self) -> impl Iterator<Item = &Inflight> {
        self.window.iter()
    }

    /// What waits, in order.
    pub(crate) fn queue(&self) -> impl Iterator<Item = &Queued> {
        self.queue.iter().map(|it| &it.queued)
    }

    /// Takes the first that is `message`, and of this origin if one is given, out of the
    /// queue: as a rule the first of all.
    pub(crate) fn take_message(
        &mut self,
        message: MessageId,
        origin: Option<Origin>,
    ) -> Option<Queued> {
        let is = |queued: &Queued| {
            queued.message.id() == Some(message)
                && origin.is_none_or(|origin| origin == queued.origin)
        };
        let at = self.queue().position(is)?;
        self.take(at)
    }

    /// Puts at the end of the window what an earlier run of the broker had sent.
    pub(crate) fn restore(&mut self, packet_id: PacketId, stage: Stage) {
        self.has_shared |= stage.is_shared();
        self.bytes += stage.cost();
        self.last_packet_id = packet_id.get();
        self.window.push_back(Inflight {
            packet_id,
            stage,
            // How many have been sent since is not known: as if all identifiers had been
            // given, so that each is looked for before it is given again.
            number: self.count.wrapping_sub(u16::MAX.into()),
            is_charged: false,
        });
    }

    /// The packet identifier that was given last is this one.
    pub(crate) fn restore_last_packet_id(&mut self, last_packet_id: u16) {
        self.last_packet_id = last_packet_id;
    }

    /// Takes what has this identifier out of the window.
    pub(crate) fn restore_done(&mut self, packet_id: PacketId) -> bool {
        let at = self.position(packet_id);
        at.is_some_and(|at| matches!(self.finish(at), Acknowledged::Done { .. }))
    }

    /// Drops from the queue what has expired; says how many those were.
    pub(crate) fn drop_expired(&mut self, now: Instant) -> usize {
        let before = self.queue.len();
        self.retain(|queued| !queued.message.is_expired(now));
        before - self.queue.len()
    }

    /// Takes out of the queue what `keep` does not say is to stay.
    pub(crate) fn take_unless(&mut self, keep: impl Fn(&Queued) -> bool) -> Vec<Queued> {
        let mut taken = Vec::new();
        for numbered in core::mem::take(&mut self.queue) {
            if keep(&numbered.queued) {
                self.queue.push_back(numbered);
            } else {
                self.uncount(&numbered.queued);
                taken.push(numbered.queued);
            }
        }
        taken
    }

    /// Keeps in the queue what `keep` says.
    fn retain(&mut self, keep: impl Fn(&Queued) -> bool) {
        let (mut bytes, mut at_most_once, mut retained) = (0, 0, 0);
        self.queue.retain(|Numbered { queued, .. }| {
            let is_kept = keep(queued);
            if !is_kept {
                bytes += queued.cost();
                at_most_once += usize::from(queued.delivery.qos == QoS::AtMostOnce);
                retained += usize::from(queued.origin == Origin::Retained);
            }
            is_kept
        });
        self.bytes -= bytes;
        self.queue_bytes -= bytes;
        self.queued_at_most_once -= at_most_once;
        self.queued_retained -= retained;
    }

    /// Frees some of all that is here, as far as there are steps.
    pub(crate) fn free(&mut self, steps: &mut usize) {
        while *steps > 0 {
            let queued = match self.take(0) {
                Some(queued) => Some(queued),
                None => match self.window.pop_front() {
                    None => return,
                    Some(inflight) => {
                        self.bytes -= inflight.stage.cost();
                        match inflight.stage {
                            Stage::Unacknowledged(queued) | Stage::Unreceived(queued) => {
                                Some(queued)
                            }
                            Stage::Released => None,
                        }
                    }
                },
            };
            *steps = steps.saturating_sub(queued.map_or(1, |it| it.freeing()));
        }
    }

    fn position(&self, packet_id: PacketId) -> Option<usize> {
        // As a rule the first.
        self.window.iter().position(|it| it.packet_id == packet_id)
    }

    fn finish(&mut self, at: usize) -> Acknowledged {
        let Some(inflight) = self.window.remove(at) else {
            return Acknowledged::Nothing;
        };
        self.bytes -= inflight.stage.cost();
        let was_sent = at < self.sent;
        self.sent -= usize::from(was_sent);
        Acknowledged::Done {
            is_charged: was_sent && inflight.is_charged,
        }
    }
}

impl Outgoing {
    /// What is here.
    pub(crate) fn weight(&self) -> Weight {
        let messages = self.messages();
        Weight {
            messages,
            bytes: self.bytes(),
            stored: if self.is_stored { messages } else { 0 },
        }
    }

    /// The session lasts from now on, or does no longer.
    pub(crate) fn set_stored(&mut self, lasts: bool) {
        self.is_stored = lasts || self.all().any(|it| it.is_held);
    }
}
