//! Who gets a message, and how.

use mqtt::packet::SubscriptionIdentifier;
use mqtt::{QoS, Subscription};

use crate::types::{Reach, SessionId};

/// One session's subscription to one filter.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) session: SessionId,
    pub(crate) identifier: Option<SubscriptionIdentifier>,
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) entry: Entry,
}

/// What an entry in a list of subscribers is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The session gets everything that the filter matches.
    All,
    /// The session may be sent only a part of what the filter matches: its grants are asked for
    /// each message.
    Part,
    /// A gap, where a session was.
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
            entry: Entry::All,
        }
    }

    /// The same for a client that may be sent so much of what the filter matches.
    pub(crate) fn within(self, reach: Reach) -> Self {
        let entry = match reach {
            Reach::All => Entry::All,
            Reach::Part | Reach::Nothing => Entry::Part,
        };
        Self { entry, ..self }
    }

    /// Whether the session's grants are to be asked for each message.
    pub(crate) fn is_restricted(&self) -> bool {
        self.entry == Entry::Part
    }

    /// Whether nobody is here any more.
    pub(crate) fn is_gap(&self) -> bool {
        self.entry == Entry::Gap
    }
}
