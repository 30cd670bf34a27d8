//! Retained look-ups: what a session still looks for among the retained messages.

use std::collections::VecDeque;

use mqtt::packet::SubscriptionIdentifier;
use mqtt::{Instant, QoS};

use crate::durability::Subscribed;
use crate::routing::{ByFilter, Search};
use crate::types::SessionId;

/// What one session is still looking for.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    pub(crate) waiting: ByFilter<Lookup>,
    pub(crate) bytes: usize,
    /// Whether the session is in [`Looking`].
    pub(crate) is_tired: bool,
    /// Whether something is in the session's queue that must not be sent before them.
    pub(crate) go_first: bool,
}

/// A search, and how what it finds is sent.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) search: Search,
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) identifier: Option<SubscriptionIdentifier>,
    /// Whether the journal knows of it, if it knows the session: then it is begun anew after a
    /// crash. Rather is a message sent twice than not.
    pub(crate) is_recorded: bool,
    /// How many had been put into the session's queue before: those are sent first.
    pub(crate) behind: u64,
}

/// The sessions that have looked at as many topics as they may in one turn.
#[derive(Debug, Default)]
pub(crate) struct Looking {
    pub(crate) sessions: VecDeque<SessionId>,
    /// When [`Timer::Lookups`] is due.
    pub(crate) at: Option<Instant>,
}

impl Lookups {
    /// Those that the journal knows of.
    pub(crate) fn recorded(&self) -> impl Iterator<Item = Subscribed> {
        let waiting = self.waiting.iter();
        waiting.filter(|it| it.is_recorded).map(Lookup::record)
    }

    /// Whether the session's queue has to wait for them, where so many have been sent of it.
    pub(crate) fn hold_back(&self, next: u64) -> bool {
        let first = self.waiting.first();
        self.go_first && first.is_some_and(|lookup| lookup.behind <= next)
    }
}

impl Lookup {
    /// With its search.
    pub(crate) fn cost(&self) -> usize {
        let found = ByFilter::<Self>::COST + 2 * self.search.filter().len();
        core::mem::size_of::<Self>() + self.search.cost() + found
    }

    pub(crate) fn record(&self) -> Subscribed {
        Subscribed {
            filter: self.search.filter().clone(),
            group: None,
            identifier: self.identifier,
            qos: self.qos,
            no_local: self.no_local,
            retain_as_published: false,
            asks: true,
        }
    }
}
