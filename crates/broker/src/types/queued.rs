//! A message that a session is to be sent.

use std::sync::Arc;

use mqtt::PacketId;

use crate::types::{Delivery, GroupId, Message, SessionNumber};

/// What an entry of a window takes, in bytes: `session::Inflight` is held to it.
pub(crate) const INFLIGHT: usize = 80;

/// A message that waits.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) message: Arc<Message>,
    pub(crate) delivery: Delivery,
    pub(crate) origin: Origin,
    /// Whether the journal has it for its group: the session does not last, and others in the
    /// group do.
    pub(crate) is_held: bool,
}

/// Why a session gets a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// It was published just now.
    Live,
    /// It was published just now, and the session was chosen from this group.
    Shared(GroupId),
    /// A subscription asked for what is retained `[MQTT-3.3.1-9]`. Such messages come all at
    /// once, and do not count against the queue's limit of messages.
    Retained,
}

impl Queued {
    /// Who has it in the journal, if it is in the queue of the session of this name.
    pub(crate) fn holder(&self, number: Option<SessionNumber>) -> Option<Holder> {
        let group = self.is_held.then_some(Holder::Group);
        number.map(Holder::Session).or(group)
    }

    /// What holding it costs, as if nothing were shared.
    pub(crate) fn cost(&self) -> usize {
        Self::cost_of(self.message.cost(), &self.delivery)
    }

    /// How many steps it takes to free it: where others have the message too, its bytes stay.
    pub(crate) fn freeing(&self) -> usize {
        /// Several pieces of memory that have not been looked at for long.
        const WHOLE: usize = 16;
        const PAGE: usize = 4_096;
        match Arc::strong_count(&self.message) {
            1 => WHOLE + self.message.cost() / PAGE,
            _ => 1,
        }
    }

    /// The same for a message that costs so much to keep.
    pub(crate) fn cost_of(message: usize, delivery: &Delivery) -> usize {
        message + INFLIGHT + delivery.identifiers.held()
    }
}

/// Who has a message, as far as that outlasts a crash.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Session(SessionNumber),
    /// A member, of the group that the message's origin names, that does not last: after a
    /// crash it is for another one. A group has a message once.
    Group,
}

/// Where a message is from, as far as that lasts.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// From a client, and nothing of that lasts.
    Client,
    /// From a client, whose packet identifier is taken from now on.
    Incoming(SessionNumber, PacketId),
    /// It is the will of a session, which goes on without.
    Will(SessionNumber),
    /// It is the will of a session, which is over.
    LastWill(SessionNumber),
    /// It is the will of a session that did not last, which is in a record.
    PassingWill(SessionNumber),
    /// The same, in no record.
    OtherWill,
}
