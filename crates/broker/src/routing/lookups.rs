//! Retained look-ups: what a session still looks for among the retained messages.

use std::collections::VecDeque;

use mqtt::packet::SubscriptionIdentifier;
use mqtt::{Instant, QoS, Utf8String};

use crate::durability::Subscribed;
use crate::routing::{ByFilter, Search};
use crate::types::{SessionId, Timer, Timers};

/// The look-ups of one session, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    waiting: ByFilter<Lookup>,
    bytes: usize,
    /// Whether the session waits in [`LookupRotation`] for its turn.
    is_resting: bool,
    /// Whether something is in the session's queue that must not be sent before them.
    go_first: bool,
}

/// A search, and how what it finds is sent.
#[derive(Debug)]
pub(crate) struct Lookup {
    search: Search,
    qos: QoS,
    no_local: bool,
    identifier: Option<SubscriptionIdentifier>,
    /// Whether the journal knows of it, if it knows the session: then it is begun anew after a
    /// crash. A message may be sent twice then; it is never left out.
    is_recorded: bool,
    /// How many messages had been put into the session's queue before: those are sent first.
    behind: u64,
}

/// The sessions that have looked at as many topics as they may in one turn, and wait for the next.
#[derive(Debug, Default)]
pub(crate) struct LookupRotation {
    sessions: VecDeque<SessionId>,
    /// When [`Timer::Lookups`] is due.
    at: Option<Instant>,
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

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes of memory, near enough.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The one that began first.
    pub(crate) fn first_mut(&mut self) -> Option<&mut Lookup> {
        self.waiting.first_mut()
    }

    /// Adds one, and gives the one for the same filter whose place it takes.
    pub(crate) fn push(&mut self, filter: &str, lookup: Lookup) -> Option<Lookup> {
        self.bytes += lookup.cost();
        let replaced = self.waiting.push(filter, lookup);
        self.bytes -= replaced.as_ref().map_or(0, Lookup::cost);
        replaced
    }

    /// Takes the first out.
    pub(crate) fn pop_first(&mut self) {
        let cost = self.waiting.first().map_or(0, Lookup::cost);
        self.waiting.pop_first();
        self.bytes -= cost;
    }

    /// Takes the one for this filter out.
    pub(crate) fn remove(&mut self, filter: &str) -> Option<Lookup> {
        let removed = self.waiting.remove(filter)?;
        self.bytes -= removed.cost();
        Some(removed)
    }

    /// Takes those out for which `is_over` says so.
    pub(crate) fn extract(&mut self, is_over: impl Fn(&Lookup) -> bool) -> Vec<Lookup> {
        let extracted = self.waiting.extract(is_over);
        self.bytes -= extracted.iter().map(Lookup::cost).sum::<usize>();
        extracted
    }

    /// What they find may be older than what waits in the session's queue: they go first.
    pub(crate) fn put_first(&mut self) {
        self.go_first = true;
    }

    /// Whether what waits in the session's queue may have to wait for them.
    pub(crate) fn may_go_first(&self) -> bool {
        self.go_first
    }

    /// Whether a message to `topic` has to wait for one of them, as that may yet find the
    /// retained message with this [number](crate::routing::Retained::number). If so they go first
    /// from now on.
    pub(crate) fn must_go_before(&mut self, topic: &str, number: u64) -> bool {
        let is_before = |lookup: &Lookup| lookup.search.is_of(number);
        let must_wait = self.waiting.any_matching(topic, is_before);
        self.go_first |= must_wait;
        must_wait
    }

    /// They rest until the session has its turn again; says whether they did not rest before.
    pub(crate) fn rest(&mut self) -> bool {
        !core::mem::replace(&mut self.is_resting, true)
    }

    /// They go on; says whether they rested.
    pub(crate) fn wake(&mut self) -> bool {
        core::mem::take(&mut self.is_resting)
    }
}

impl Lookup {
    /// What `asked` says. It goes behind so many messages of the session's queue.
    pub(crate) fn new(search: Search, asked: &Subscribed, is_recorded: bool, behind: u64) -> Self {
        Self {
            search,
            qos: asked.qos,
            no_local: asked.no_local,
            identifier: asked.identifier,
            is_recorded,
            behind,
        }
    }

    /// Bytes of memory with its search, near enough.
    pub(crate) fn cost(&self) -> usize {
        let found = ByFilter::<Self>::COST + 2 * self.search.filter().len();
        core::mem::size_of::<Self>() + self.search.cost() + found
    }

    pub(crate) fn filter(&self) -> &Utf8String {
        self.search.filter()
    }

    pub(crate) fn search(&self) -> &Search {
        &self.search
    }

    pub(crate) fn search_mut(&mut self) -> &mut Search {
        &mut self.search
    }

    /// The most that its messages are sent with.
    pub(crate) fn qos(&self) -> QoS {
        self.qos
    }

    /// Whether the client gets none of its own messages `[MQTT-3.8.3-3]`.
    pub(crate) fn no_local(&self) -> bool {
        self.no_local
    }

    pub(crate) fn identifier(&self) -> Option<SubscriptionIdentifier> {
        self.identifier
    }

    /// Whether the journal knows of it, if it knows the session.
    pub(crate) fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// How many messages of the session's queue go before it.
    pub(crate) fn behind(&self) -> u64 {
        self.behind
    }

    fn record(&self) -> Subscribed {
        Subscribed {
            filter: self.filter().clone(),
            group: None,
            identifier: self.identifier,
            qos: self.qos,
            no_local: self.no_local,
            retain_as_published: false,
            asks: true,
        }
    }
}

impl LookupRotation {
    /// The session has its turn behind the others, the first of them at `at`.
    pub(crate) fn push(&mut self, session: SessionId, at: Instant, timers: &mut Timers) {
        self.sessions.push_back(session);
        self.arm(at, timers);
    }

    /// The timer has fired: another session may have its turn.
    pub(crate) fn timer_fired(&mut self) {
        self.at = None;
    }

    /// The session whose turn is next.
    pub(crate) fn pop(&mut self) -> Option<SessionId> {
        self.sessions.pop_front()
    }

    /// The next turn is at `at`, if anybody waits for one.
    pub(crate) fn go_on(&mut self, at: Instant, timers: &mut Timers) {
        if !self.sessions.is_empty() {
            self.arm(at, timers);
        }
    }

    fn arm(&mut self, at: Instant, timers: &mut Timers) {
        if self.at.is_none() {
            timers.set(Timer::Lookups, &mut self.at, Some(at));
        }
    }
}
