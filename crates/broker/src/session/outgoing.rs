//! The messages for one session: the window of those that are sent and not acknowledged, and the
//! queue of those that wait.

use std::collections::VecDeque;

use mqtt::{Instant, PacketId, QoS};

use crate::session::window::{Acknowledged, Inflight, Stage, Window};
use crate::types::{GroupId, MessageId, Origin, Queued, Weight};

/// The window and the queue of one session.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    window: Window,
    queue: VecDeque<Numbered>,
    /// How many messages have ever entered the queue.
    queued: u64,
    /// How many in the queue have `QoS` 0. They are retained messages for a new subscription
    /// that the connection could not take at once, and messages that came after those.
    queued_at_most_once: usize,
    /// How many in the queue are [`Origin::Retained`].
    queued_retained: usize,
    /// Whether the window or the queue has ever held a message of a group.
    has_shared: bool,
    /// Bytes of the queue.
    queue_bytes: usize,
    /// Whether the queue waited for acknowledgements when it was last looked at. So we need not
    /// look at it again for each further message.
    awaits_window: bool,
    /// Whether records name these messages. They do if the session outlives its connection, or if
    /// it has held messages that the journal keeps for a group.
    is_stored: bool,
}

/// An entry of the queue.
#[derive(Debug)]
struct Numbered {
    queued: Queued,
    /// How many messages had entered the queue before it.
    number: u64,
}

impl Outgoing {
    /// An empty queue and window. The first packet identifier is the one after `last_packet_id`.
    /// `is_stored`: records name its messages.
    pub(crate) fn following(last_packet_id: u16, is_stored: bool) -> Self {
        Self {
            window: Window::following(last_packet_id),
            is_stored,
            ..Self::default()
        }
    }

    /// The last packet identifier that was used.
    pub(crate) fn last_packet_id(&self) -> u16 {
        self.window.last_packet_id()
    }

    /// Bytes of window and queue.
    pub(crate) fn bytes(&self) -> usize {
        self.window.bytes() + self.queue_bytes
    }

    /// Bytes of the window.
    pub(crate) fn window_bytes(&self) -> usize {
        self.window.bytes()
    }

    /// Messages in window and queue.
    pub(crate) fn messages(&self) -> usize {
        self.window.len() + self.queue.len()
    }

    /// Messages in the queue that count towards its limit.
    pub(crate) fn queued_live(&self) -> usize {
        self.queue.len() - self.queued_retained
    }

    /// Whether a `QoS` 0 message must wait behind others in the queue.
    pub(crate) fn holds_at_most_once(&self) -> bool {
        self.queued_at_most_once > 0
    }

    /// Whether a `QoS` 1 or 2 message would be next, with nothing before it.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.queue.is_empty() && self.window.has_resent()
    }

    /// Whether there may be a message that another member of a group could get.
    pub(crate) fn has_shared(&self) -> bool {
        self.has_shared
    }

    /// How many messages have ever entered the queue.
    pub(crate) fn queued(&self) -> u64 {
        self.queued
    }

    /// How many messages had entered the queue before the one that is next.
    pub(crate) fn next_queued(&self) -> u64 {
        self.queue.front().map_or(self.queued, |it| it.number)
    }

    /// Whether the first `number` messages that ever entered the queue have left it.
    pub(crate) fn is_past(&self, number: u64) -> bool {
        self.next_queued() >= number
    }

    /// Whether nothing waits to be sent again.
    pub(crate) fn has_resent(&self) -> bool {
        self.window.has_resent()
    }

    /// Whether the window has room below `limit`.
    pub(crate) fn has_window(&self, limit: u16) -> bool {
        self.window.len() < usize::from(limit)
    }

    /// Whether the queue waits because too many messages are unacknowledged.
    pub(crate) fn awaits_window(&self) -> bool {
        self.awaits_window
    }

    pub(crate) fn set_awaits_window(&mut self, awaits_window: bool) {
        self.awaits_window = awaits_window;
    }

    /// The next message that was sent on an earlier connection and not on this one.
    pub(crate) fn unsent(&self) -> Option<&Inflight> {
        self.window.unsent()
    }

    /// Notes that [`unsent`](Self::unsent) was sent again. `is_charged`: it counts against the
    /// quota.
    pub(crate) fn resent(&mut self, is_charged: bool) {
        self.window.resent(is_charged);
    }

    /// Drops [`unsent`](Self::unsent), which cannot be sent.
    pub(crate) fn skip_unsent(&mut self) {
        self.window.skip_unsent();
    }

    /// The next message in the queue.
    pub(crate) fn front(&self) -> Option<&Queued> {
        self.queue.front().map(|it| &it.queued)
    }

    /// Removes and returns the next message in the queue.
    pub(crate) fn pop(&mut self) -> Option<Queued> {
        self.take(0)
    }

    /// Removes and returns the first message in the queue that is not [`Origin::Retained`].
    pub(crate) fn pop_live(&mut self) -> Option<Queued> {
        let mut queue = self.queue.iter();
        let at = queue.position(|it| it.queued.origin != Origin::Retained)?;
        self.take(at)
    }

    /// Removes and returns the first `QoS` 0 message, if it is near the front of the queue.
    pub(crate) fn pop_at_most_once(&mut self) -> Option<Queued> {
        const LOOKED_AT: usize = 64;
        let mut front = self.queue.iter().take(LOOKED_AT);
        let at = front.position(|it| it.queued.delivery.qos == QoS::AtMostOnce)?;
        self.take(at)
    }

    fn take(&mut self, at: usize) -> Option<Queued> {
        let queued = self.queue.remove(at)?.queued;
        self.uncount(&queued);
        Some(queued)
    }

    /// Adjusts the counters for a message that has left the queue.
    fn uncount(&mut self, queued: &Queued) {
        self.queue_bytes -= queued.cost();
        self.queued_at_most_once -= usize::from(queued.delivery.qos == QoS::AtMostOnce);
        self.queued_retained -= usize::from(queued.origin == Origin::Retained);
    }

    /// Puts a message at the end of the queue.
    pub(crate) fn push(&mut self, queued: Queued) {
        self.queue_bytes += queued.cost();
        self.queued_at_most_once += usize::from(queued.delivery.qos == QoS::AtMostOnce);
        self.queued_retained += usize::from(queued.origin == Origin::Retained);
        self.has_shared |= matches!(queued.origin, Origin::Shared(_));
        self.is_stored |= queued.is_held;
        let number = self.queued;
        self.queue.push_back(Numbered { queued, number });
        self.queued += 1;
    }

    /// A packet identifier that no message in the window has `[MQTT-2.2.1-4]`.
    pub(crate) fn free_packet_id(&self) -> PacketId {
        self.window.free_packet_id()
    }

    /// Puts a message into the window that was sent for the first time and counts against the
    /// quota. Nothing may be [`unsent`](Self::unsent).
    pub(crate) fn sent(&mut self, packet_id: PacketId, queued: Queued) {
        self.has_shared |= matches!(queued.origin, Origin::Shared(_));
        self.is_stored |= queued.is_held;
        self.window.push(packet_id, queued);
    }

    /// Handles PUBACK.
    pub(crate) fn pub_ack(&mut self, packet_id: PacketId) -> Acknowledged {
        self.window.pub_ack(packet_id)
    }

    /// Handles PUBREC. `is_error`: the client refuses the message.
    pub(crate) fn pub_rec(&mut self, packet_id: PacketId, is_error: bool) -> Acknowledged {
        self.window.pub_rec(packet_id, is_error)
    }

    /// Handles PUBCOMP.
    pub(crate) fn pub_comp(&mut self, packet_id: PacketId) -> Acknowledged {
        self.window.pub_comp(packet_id)
    }

    /// Notes that the connection is gone. The window will be sent again. Queued `QoS` 0 messages
    /// are dropped, because they are not kept for an absent client. Returns how many were dropped.
    pub(crate) fn detach(&mut self) -> usize {
        self.window.detach();
        let dropped = self.queued_at_most_once;
        if dropped > 0 {
            self.retain(|queued| queued.delivery.qos != QoS::AtMostOnce);
        }
        dropped
    }

    /// Offers `place` the messages that another member of their group may get, in order, and drops
    /// those that it takes. These are the messages that were not sent and, with `sent_too`, those
    /// with `QoS` 1 that were sent but not acknowledged, with their packet identifiers. `QoS` 2
    /// messages that were sent stay `[MQTT-4.8.2-4]`.
    pub(crate) fn hand_over(
        &mut self,
        sent_too: bool,
        mut place: impl FnMut(&Queued, GroupId, Option<PacketId>) -> bool,
    ) {
        let mut take = |queued: &Queued, packet_id| match queued.origin {
            Origin::Shared(group) => place(queued, group, packet_id),
            Origin::Live | Origin::Retained => false,
        };
        if sent_too {
            self.window
                .hand_over(|queued, packet_id| take(queued, Some(packet_id)));
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

    /// The messages that the journal holds for groups, in order.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Queued> {
        self.all().filter(|it| it.is_held)
    }

    /// All messages, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Queued> {
        let window = self.window.iter().filter_map(|it| it.stage().queued());
        window.chain(self.queue())
    }

    /// The message that the journal holds for a group under this packet identifier.
    pub(crate) fn held_in_window(&self, packet_id: PacketId) -> Option<(MessageId, Origin)> {
        self.window.held(packet_id)
    }

    /// Asks `hold` about each message that another member of its group might get (see
    /// [`hand_over`](Self::hand_over)). If it returns `true`, marks the message: the journal holds
    /// it for the group from now on.
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
        self.window
            .mark(|queued, packet_id| mark(queued, Some(packet_id)));
        for Numbered { queued, .. } in &mut self.queue {
            mark(queued, None);
        }
    }

    /// The messages in the window, in order.
    pub(crate) fn window(&self) -> impl Iterator<Item = &Inflight> {
        self.window.iter()
    }

    /// The messages in the queue, in order.
    pub(crate) fn queue(&self) -> impl Iterator<Item = &Queued> {
        self.queue.iter().map(|it| &it.queued)
    }

    /// Removes and returns the first `message` in the queue, with this origin if one is given.
    /// It is usually at the front.
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

    /// Puts a message that an earlier run of the broker sent at the end of the window.
    pub(crate) fn restore(&mut self, packet_id: PacketId, stage: Stage) {
        self.has_shared |= stage.is_shared();
        self.window.restore(packet_id, stage);
    }

    /// Restores the last packet identifier that was used.
    pub(crate) fn restore_last_packet_id(&mut self, last_packet_id: u16) {
        self.window.restore_last_packet_id(last_packet_id);
    }

    /// Removes the message with this identifier from the window. Returns whether there was one.
    pub(crate) fn restore_done(&mut self, packet_id: PacketId) -> bool {
        self.window.remove(packet_id)
    }

    /// Drops expired messages from the queue. Returns how many.
    pub(crate) fn drop_expired(&mut self, now: Instant) -> usize {
        let before = self.queue.len();
        self.retain(|queued| !queued.message.is_expired(now));
        before - self.queue.len()
    }

    /// Removes and returns the messages in the queue for which `keep` is false.
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

    /// Removes and returns the messages that wait in the window to be sent again and for which
    /// `keep` is false.
    pub(crate) fn take_unsent_unless(
        &mut self,
        keep: impl Fn(&Queued) -> bool,
    ) -> Vec<(PacketId, Queued)> {
        self.window.take_unsent_unless(keep)
    }

    /// Drops the messages in the queue for which `keep` is false.
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
        self.queue_bytes -= bytes;
        self.queued_at_most_once -= at_most_once;
        self.queued_retained -= retained;
    }

    /// Frees messages until `steps` are used up.
    pub(crate) fn free(&mut self, steps: &mut usize) {
        while *steps > 0 {
            let steps_taken = match self.take(0) {
                Some(queued) => queued.freeing(),
                None => match self.window.pop() {
                    Some(stage) => stage.queued().map_or(1, Queued::freeing),
                    None => return,
                },
            };
            *steps = steps.saturating_sub(steps_taken);
        }
    }
}

impl Outgoing {
    /// The weight of the queue and the window.
    pub(crate) fn weight(&self) -> Weight {
        let messages = self.messages();
        Weight {
            messages,
            bytes: self.bytes(),
            stored: if self.is_stored { messages } else { 0 },
        }
    }

    /// Notes whether the session outlives its connection.
    pub(crate) fn set_stored(&mut self, lasts: bool) {
        self.is_stored = lasts || self.all().any(|it| it.is_held);
    }
}
