//! An entry of a subscriber list: who gets a message, and how.

use mqtt::packet::SubscriptionIdentifier;
use mqtt::{QoS, Subscription};

use crate::types::{Interval, Reach, SessionId};

/// One session's subscription to one filter.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) session: SessionId,
    pub(crate) identifier: Option<SubscriptionIdentifier>,
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// If set, the session gets the newest message of each topic, at most this often.
    pub(crate) latest: Option<Interval>,
    pub(crate) entry: Entry,
}

/// What an entry of a subscriber list means.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The session gets everything that the filter matches.
    All,
    /// The session may be sent only a part of what the filter matches. The broker asks its
    /// grants for each message.
    Part,
    /// A gap that an ended subscription left.
    Gap,
}

impl Subscriber {
    pub(crate) fn new(
        session: SessionId,
        subscription: &Subscription,
        identifier: Option<SubscriptionIdentifier>,
    ) -> Self {
        Self {
            session,
            identifier,
            qos: subscription.qos,
            no_local: subscription.no_local,
            retain_as_published: subscription.retain_as_published,
            latest: None,
            entry: Entry::All,
        }
    }

    /// The same for the newest message of each topic, if there is an interval.
    pub(crate) fn latest(self, latest: Option<Interval>) -> Self {
        Self { latest, ..self }
    }

    /// Restricts the subscription to what the client may be sent.
    pub(crate) fn within(self, reach: Reach) -> Self {
        let entry = match reach {
            Reach::All => Entry::All,
            Reach::Part | Reach::Nothing => Entry::Part,
        };
        Self { entry, ..self }
    }

    /// Whether the broker must ask the session's grants for each message.
    pub(crate) fn is_restricted(&self) -> bool {
        self.entry == Entry::Part
    }

    /// Whether the entry is a gap.
    pub(crate) fn is_gap(&self) -> bool {
        self.entry == Entry::Gap
    }
}
