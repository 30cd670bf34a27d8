//! Who gets a message, and how.

use mqtt::packet::SubscriptionIdentifier;
use mqtt::{QoS, Subscription};

use crate::types::SessionId;

/// One session's subscription to one filter.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) session: SessionId,
    pub(crate) identifier: Option<SubscriptionIdentifier>,
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// Whether this is a gap in a list of subscribers, where one was.
    pub(crate) is_gone: bool,
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
            is_gone: false,
        }
    }
}
