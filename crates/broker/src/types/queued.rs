//! A message in a session's queue, and where it came from.

use std::sync::Arc;

use mqtt::PacketId;

use crate::types::{Delivery, GroupId, Message, SessionNumber};

/// The most bytes that an entry of the window takes. The compiler checks that `session::Inflight`
/// is no larger.
pub(crate) const INFLIGHT: usize = 80;

/// A message that waits to be sent to one session.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) message: Arc<Message>,
    pub(crate) delivery: Delivery,
    pub(crate) origin: Origin,
    /// Whether the journal keeps the message for the group of a shared subscription. It does if
    /// this session ends with its connection, but another member of the group has a session that
    /// outlives its connection.
    pub(crate) is_held: bool,
}

/// Why a session gets a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The message was just published.
    Live,
    /// The message was just published, and this group chose the session for it.
    Shared(GroupId),
    /// A new subscription asked for retained messages `[MQTT-3.3.1-9]`. They come all at once
    /// and do not count towards [`Limits::queue_messages`](crate::Limits::queue_messages).
    Retained,
}

impl Queued {
    /// Who holds the message in the journal, if it is in the queue of the session with this number.
    pub(crate) fn holder(&self, number: Option<SessionNumber>) -> Option<Holder> {
        let group = self.is_held.then_some(Holder::Group);
        number.map(Holder::Session).or(group)
    }

    /// Bytes of memory that the message takes, counted as if no session shared it.
    pub(crate) fn cost(&self) -> usize {
        Self::cost_of(self.message.cost(), &self.delivery)
    }

    /// How many [work steps](crate::admission) freeing it takes. If others share the message,
    /// its bytes stay.
    pub(crate) fn freeing(&self) -> usize {
        /// Steps for several allocations that are no longer in the processor's cache.
        const WHOLE: usize = 16;
        const PAGE: usize = 4_096;
        match Arc::strong_count(&self.message) {
            1 => WHOLE + self.message.cost() / PAGE,
            _ => 1,
        }
    }

    /// [`cost`](Self::cost), given the cost of the message alone.
    pub(crate) fn cost_of(message: usize, delivery: &Delivery) -> usize {
        message + INFLIGHT + delivery.identifiers.held()
    }
}

/// Who holds a message, according to the journal.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Session(SessionNumber),
    /// A member of the group that the message's origin names. This member's session ends with its
    /// connection, so after a crash the group gives the message to another member. A group has a
    /// message only once.
    Group,
}

/// Where a message came from, as records need to know it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A client, with nothing to record about it.
    Client,
    /// A `QoS` 2 PUBLISH of this session. Its packet identifier is in use from now on.
    Incoming(SessionNumber, PacketId),
    /// The will of this session, which goes on without it.
    Will(SessionNumber),
    /// The will of this session, which is over.
    LastWill(SessionNumber),
    /// The will of a session that ended with its connection. A record holds the will.
    TransientWill(SessionNumber),
    /// The will of a session that ended with its connection. No record holds the will.
    OtherWill,
}
