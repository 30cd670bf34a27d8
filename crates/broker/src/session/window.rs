//! The window of a session: the messages with `QoS` 1 and 2 that were sent and are not
//! acknowledged.
//!
//! **Invariant.** Messages stand in the order in which they were first sent `[MQTT-4.4.0-1]`. No
//! two have the same packet identifier `[MQTT-2.2.1-4]`.

use std::collections::VecDeque;

use mqtt::{PacketId, QoS};

use crate::types::{INFLIGHT, MessageId, Origin, Queued};

/// The messages of one session that were sent and are not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Window {
    messages: VecDeque<Inflight>,
    /// How many at the front have been sent on this connection. The others are from an earlier
    /// one. They are sent again before anything new.
    sent: usize,
    bytes: usize,
    last_packet_id: u16,
    /// How many messages have been sent, modulo 2^32.
    count: u32,
}

/// A message that has been sent and not acknowledged.
#[derive(Debug)]
pub(crate) struct Inflight {
    packet_id: PacketId,
    stage: Stage,
    /// The number of this message among all that were sent, modulo 2^32.
    number: u32,
    /// Whether it counts against this connection's quota `[MQTT-4.9.0-2]`.
    is_charged: bool,
}

// The size is smaller where pointers have 32 bits.
const _: () = assert!(core::mem::size_of::<Inflight>() <= INFLIGHT);

/// How far the exchange of packets about a message has come.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// PUBLISH was sent with `QoS` 1. The broker waits for PUBACK.
    Unacknowledged(Queued),
    /// PUBLISH was sent with `QoS` 2. The broker waits for PUBREC.
    Unreceived(Queued),
    /// PUBREL was sent. The broker waits for PUBCOMP, and has forgotten the message
    /// `[MQTT-4.3.3-6]`.
    Released,
}

/// What an acknowledgement from the client did.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// The exchange is over. `is_charged` says whether the quota grows `[MQTT-4.9.0-2]`.
    Done { is_charged: bool },
    /// PUBREL is to be sent now. `is_news` says whether this is the client's first PUBREC.
    Release { is_news: bool },
    /// PUBREL will be sent when the message's turn comes among those that are sent again.
    ReleaseLater { is_news: bool },
    /// No message has this identifier, and nothing has to be answered.
    Nothing,
    /// No message has this identifier, and the client waits for a PUBREL.
    NotFound,
    /// The message with this identifier has a `QoS` that is acknowledged by another packet.
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
    pub(super) fn is_shared(&self) -> bool {
        self.queued()
            .is_some_and(|queued| matches!(queued.origin, Origin::Shared(_)))
    }

    /// The message. `None` once PUBREL was sent.
    pub(super) fn queued(&self) -> Option<&Queued> {
        match self {
            Self::Unacknowledged(queued) | Self::Unreceived(queued) => Some(queued),
            Self::Released => None,
        }
    }

    fn cost(&self) -> usize {
        self.queued().map_or(0, Queued::cost)
    }
}

/// The part of the window that sends messages.
impl Window {
    /// An empty window. The first packet identifier that it gives is the one after
    /// `last_packet_id`.
    pub(super) fn following(last_packet_id: u16) -> Self {
        Self {
            last_packet_id,
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last packet identifier that was used.
    pub(super) fn last_packet_id(&self) -> u16 {
        self.last_packet_id
    }

    /// All messages, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Inflight> {
        self.messages.iter()
    }

    /// Whether nothing waits to be sent again.
    pub(super) fn has_resent(&self) -> bool {
        self.sent == self.messages.len()
    }

    /// The next message that was sent on an earlier connection and not on this one.
    pub(super) fn unsent(&self) -> Option<&Inflight> {
        self.messages.get(self.sent)
    }

    /// Notes that [`unsent`](Self::unsent) was sent again. `is_charged`: it counts against the
    /// quota.
    pub(super) fn resent(&mut self, is_charged: bool) {
        if let Some(inflight) = self.messages.get_mut(self.sent) {
            inflight.is_charged = is_charged;
            self.sent += 1;
        }
    }

    /// Drops [`unsent`](Self::unsent), which cannot be sent.
    pub(super) fn skip_unsent(&mut self) {
        if let Some(inflight) = self.messages.remove(self.sent) {
            self.bytes -= inflight.stage.cost();
        }
    }

    /// Removes and returns the messages that wait to be sent again and for which `keep` is false.
    /// An exchange that has come to PUBREL stays, because it has no message any more.
    pub(super) fn take_unsent_unless(
        &mut self,
        keep: impl Fn(&Queued) -> bool,
    ) -> Vec<(PacketId, Queued)> {
        let mut taken = Vec::new();
        for inflight in self.messages.split_off(self.sent) {
            match inflight.stage {
                Stage::Unacknowledged(queued) | Stage::Unreceived(queued) if !keep(&queued) => {
                    self.bytes -= queued.cost();
                    taken.push((inflight.packet_id, queued));
                }
                Stage::Unacknowledged(_) | Stage::Unreceived(_) | Stage::Released => {
                    self.messages.push_back(inflight);
                }
            }
        }
        taken
    }

    /// Notes that the connection is gone. All messages must be sent again.
    pub(super) fn detach(&mut self) {
        self.sent = 0;
    }

    /// A packet identifier that no message in the window has `[MQTT-2.2.1-4]`.
    ///
    /// Identifiers are given in a circle. As long as fewer than all have been given since the
    /// oldest message was sent, the next is free. Only after that must the window be searched.
    pub(super) fn free_packet_id(&self) -> PacketId {
        let oldest = self.messages.front();
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

    /// Adds a message that was sent for the first time and counts against the quota. Nothing may
    /// be [`unsent`](Self::unsent). A message with `QoS` 0 is not kept.
    pub(super) fn push(&mut self, packet_id: PacketId, queued: Queued) {
        let stage = match queued.delivery.qos {
            QoS::AtMostOnce => return,
            QoS::AtLeastOnce => Stage::Unacknowledged(queued),
            QoS::ExactlyOnce => Stage::Unreceived(queued),
        };
        self.bytes += stage.cost();
        self.last_packet_id = packet_id.get();
        self.messages.push_back(Inflight {
            packet_id,
            stage,
            number: self.count,
            is_charged: true,
        });
        self.count = self.count.wrapping_add(1);
        self.sent = self.messages.len();
    }

    /// Removes the first message, to free it.
    pub(super) fn pop(&mut self) -> Option<Stage> {
        let stage = self.messages.pop_front()?.stage;
        self.bytes -= stage.cost();
        Some(stage)
    }
}

/// The part of the window that handles acknowledgements.
impl Window {
    /// Handles PUBACK.
    pub(super) fn pub_ack(&mut self, packet_id: PacketId) -> Acknowledged {
        let Some(at) = self.position(packet_id) else {
            return Acknowledged::Nothing;
        };
        match self.messages[at].stage {
            Stage::Unacknowledged(_) => self.finish(at),
            Stage::Unreceived(_) | Stage::Released => Acknowledged::WrongPacket,
        }
    }

    /// Handles PUBREC. `is_error`: the client refuses the message.
    pub(super) fn pub_rec(&mut self, packet_id: PacketId, is_error: bool) -> Acknowledged {
        let Some(at) = self.position(packet_id) else {
            return if is_error {
                Acknowledged::Nothing
            } else {
                Acknowledged::NotFound
            };
        };
        let is_sent = at < self.sent;
        let inflight = &mut self.messages[at];
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

    /// Handles PUBCOMP.
    pub(super) fn pub_comp(&mut self, packet_id: PacketId) -> Acknowledged {
        let Some(at) = self.position(packet_id) else {
            return Acknowledged::Nothing;
        };
        match self.messages[at].stage {
            Stage::Released => self.finish(at),
            Stage::Unacknowledged(_) | Stage::Unreceived(_) => Acknowledged::WrongPacket,
        }
    }

    /// Removes the message with this identifier, whatever its stage. Returns whether there was
    /// one.
    pub(super) fn remove(&mut self, packet_id: PacketId) -> bool {
        let at = self.position(packet_id);
        at.is_some_and(|at| matches!(self.finish(at), Acknowledged::Done { .. }))
    }

    fn finish(&mut self, at: usize) -> Acknowledged {
        let Some(inflight) = self.messages.remove(at) else {
            return Acknowledged::Nothing;
        };
        self.bytes -= inflight.stage.cost();
        let was_sent = at < self.sent;
        self.sent -= usize::from(was_sent);
        Acknowledged::Done {
            is_charged: was_sent && inflight.is_charged,
        }
    }

    /// Where the message with this identifier is.
    ///
    /// Identifiers are given in a circle. As long as fewer than all have been given since the oldest
    /// message was sent, they grow along the window.
    fn position(&self, packet_id: PacketId) -> Option<usize> {
        let oldest = self.messages.front()?;
        // Usually this is the one.
        if oldest.packet_id == packet_id {
            return Some(0);
        }
        if self.count.wrapping_sub(oldest.number) >= u32::from(u16::MAX) {
            let mut messages = self.messages.iter();
            return messages.position(|it| it.packet_id == packet_id);
        }
        let distance = steps(oldest.packet_id, packet_id);
        let is_at = |at: &usize| {
            self.messages
                .get(*at)
                .is_some_and(|it| it.packet_id == packet_id)
        };
        // If nothing behind the oldest message has been acknowledged, it is there.
        Some(distance).filter(is_at).or_else(|| {
            let by = |it: &Inflight| steps(oldest.packet_id, it.packet_id);
            self.messages.binary_search_by_key(&distance, by).ok()
        })
    }
}

/// How many identifiers after `from` in the circle of identifiers `to` is.
fn steps(from: PacketId, to: PacketId) -> usize {
    let (from, to) = (usize::from(from.get()), usize::from(to.get()));
    match to.checked_sub(from) {
        Some(steps) => steps,
        None => to + usize::from(u16::MAX) - from,
    }
}

/// The part of the window that hands over messages to other members of a group, and restores what
/// an earlier run had sent.
impl Window {
    /// Offers each message with `QoS` 1 to `take`, in order, and drops those that it takes. A
    /// message with `QoS` 2 that was sent stays `[MQTT-4.8.2-4]`.
    pub(super) fn hand_over(&mut self, mut take: impl FnMut(&Queued, PacketId) -> bool) {
        let mut at = 0;
        let (sent, bytes) = (&mut self.sent, &mut self.bytes);
        self.messages.retain(|inflight| {
            let is_taken = match &inflight.stage {
                Stage::Unacknowledged(queued) => take(queued, inflight.packet_id),
                Stage::Unreceived(_) | Stage::Released => false,
            };
            if is_taken {
                *bytes -= inflight.stage.cost();
                *sent -= usize::from(at < *sent);
            } else {
                at += 1;
            }
            !is_taken
        });
    }

    /// Passes each message with `QoS` 1 to `mark`, in order.
    pub(super) fn mark(&mut self, mut mark: impl FnMut(&mut Queued, PacketId)) {
        for inflight in &mut self.messages {
            match &mut inflight.stage {
                Stage::Unacknowledged(queued) => mark(queued, inflight.packet_id),
                Stage::Unreceived(_) | Stage::Released => {}
            }
        }
    }

    /// The message that the journal holds for a group under this packet identifier.
    pub(super) fn held(&self, packet_id: PacketId) -> Option<(MessageId, Origin)> {
        let queued = self.messages[self.position(packet_id)?].stage.queued()?;
        let is_held = queued.is_held;
        is_held.then(|| queued.message.id().map(|id| (id, queued.origin)))?
    }

    /// Adds a message that an earlier run of the broker sent at the end.
    pub(super) fn restore(&mut self, packet_id: PacketId, stage: Stage) {
        self.bytes += stage.cost();
        self.last_packet_id = packet_id.get();
        self.messages.push_back(Inflight {
            packet_id,
            stage,
            // It is unknown how many messages have been sent since. So the window acts as if all
            // identifiers had been given, and searches before it gives one again.
            number: self.count.wrapping_sub(u16::MAX.into()),
            is_charged: false,
        });
    }

    /// Restores the last packet identifier that was used.
    pub(super) fn restore_last_packet_id(&mut self, last_packet_id: u16) {
        self.last_packet_id = last_packet_id;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt::{Instant, Publish, TopicName, Utf8String};
    use proptest::prelude::*;

    use super::*;
    use crate::types::{Delivery, Identifiers, Message};

    fn queued() -> Queued {
        let publish = Publish::new(TopicName::try_from("t").unwrap(), "x");
        let message = Message::new(Instant::ZERO, &publish, &Utf8String::default());
        Queued {
            message: Arc::new(message),
            delivery: Delivery {
                qos: QoS::AtLeastOnce,
                retain: false,
                identifiers: Identifiers::None,
            },
            origin: Origin::Live,
            is_held: false,
        }
    }

    proptest! {
        /// Whatever was acknowledged in whatever order, and however often the identifiers have
        /// gone round.
        #[test]
        fn a_message_is_found_by_its_identifier(
            start in prop_oneof![Just(0), Just(65_500), any::<u16>()],
            steps in prop::collection::vec((1_usize..60, 0_usize..60, any::<prop::sample::Index>()), 1..30),
            rounds in 0_usize..2,
            asked in any::<u16>(),
        ) {
            let mut window = Window::following(start);
            let mut model = Vec::new();
            for (sent, acknowledged, which) in steps {
                for _ in 0..sent {
                    let packet_id = window.free_packet_id();
                    prop_assert!(!model.contains(&packet_id));
                    window.push(packet_id, queued());
                    model.push(packet_id);
                }
                for _ in 0..acknowledged.min(model.len()) {
                    let packet_id = model.remove(which.index(model.len()));
                    let is_charged = true;
                    prop_assert_eq!(window.pub_ack(packet_id), Acknowledged::Done { is_charged });
                }
            }
            for _ in 0..rounds * 70_000 {
                let packet_id = window.free_packet_id();
                window.push(packet_id, queued());
                prop_assert!(window.remove(packet_id));
            }
            for (at, packet_id) in model.iter().enumerate() {
                prop_assert_eq!(window.position(*packet_id), Some(at));
            }
            if let Some(asked) = PacketId::new(asked).filter(|it| !model.contains(it)) {
                prop_assert_eq!(window.position(asked), None);
            }
        }
    }
}
