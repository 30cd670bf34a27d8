//! Retained look-ups: the searches of a session for retained messages that are not over.

use std::collections::VecDeque;

use mqtt::packet::SubscriptionIdentifier;
use mqtt::{Instant, QoS, Utf8String};

use crate::durability::Subscribed;
use crate::routing::{ByFilter, Search};
use crate::types::{Interval, SessionId, Timer, Timers};

/// The look-ups of one session, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    waiting: ByFilter<Lookup>,
    bytes: usize,
    /// Whether the session waits for its turn in [`LookupRotation`].
    is_resting: bool,
    /// Whether the session's queue holds a message that must not be sent before these look-ups
    /// are over.
    go_first: bool,
}

/// A search, and how to send the messages that it finds.
#[derive(Debug)]
pub(crate) struct Lookup {
    search: Search,
    qos: QoS,
    no_local: bool,
    identifier: Option<SubscriptionIdentifier>,
    /// If set, the messages go through the newest values of the connection.
    latest: Option<Interval>,
    /// Whether the journal holds the look-up, if it holds the session. After a crash such a
    /// look-up begins anew: a message may be sent twice, but none is left out.
    is_recorded: bool,
    /// How many messages had entered the session's queue before the look-up began. Those are
    /// sent first.
    behind: u64,
}

/// The sessions that have looked at as many topics as one turn allows, and wait for their next
/// turn.
#[derive(Debug, Default)]
pub(crate) struct LookupRotation {
    sessions: VecDeque<SessionId>,
    /// When [`Timer::Lookups`] is due.
    at: Option<Instant>,
}

impl Lookups {
    /// The look-ups that the journal holds.
    pub(crate) fn recorded(&self) -> impl Iterator<Item = Subscribed> {
        let waiting = self.waiting.iter();
        waiting.filter(|it| it.is_recorded).map(Lookup::record)
    }

    /// Whether the session's queue must wait for the look-ups. `next` is how many messages had
    /// entered the queue before its next one.
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

    /// Bytes of memory, approximately.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The look-up that began first.
    pub(crate) fn first_mut(&mut self) -> Option<&mut Lookup> {
        self.waiting.first_mut()
    }

    /// Adds a look-up. Returns the one for the same filter that it replaces.
    pub(crate) fn push(&mut self, filter: &str, lookup: Lookup) -> Option<Lookup> {
        self.bytes += lookup.cost();
        let replaced = self.waiting.push(filter, lookup);
        self.bytes -= replaced.as_ref().map_or(0, Lookup::cost);
        replaced
    }

    /// Removes the first look-up.
    pub(crate) fn pop_first(&mut self) {
        let cost = self.waiting.first().map_or(0, Lookup::cost);
        self.waiting.pop_first();
        self.bytes -= cost;
    }

    /// Removes the look-up for this filter.
    pub(crate) fn remove(&mut self, filter: &str) -> Option<Lookup> {
        let removed = self.waiting.remove(filter)?;
        self.bytes -= removed.cost();
        Some(removed)
    }

    /// Removes the look-ups that are over, and returns them.
    pub(crate) fn extract(&mut self, is_over: impl Fn(&Lookup) -> bool) -> Vec<Lookup> {
        let extracted = self.waiting.extract(is_over);
        self.bytes -= extracted.iter().map(Lookup::cost).sum::<usize>();
        extracted
    }

    /// The look-ups may find messages that are older than those in the session's queue, so they
    /// go first.
    pub(crate) fn put_first(&mut self) {
        self.go_first = true;
    }

    /// Whether the session's queue may have to wait for the look-ups.
    pub(crate) fn may_go_first(&self) -> bool {
        self.go_first
    }

    /// Puts the look-ups before the session's queue if one of them may yet find the retained
    /// message of `topic` with this [number](crate::routing::Retained::number). Returns whether
    /// it did: a live message to `topic` must then wait.
    pub(crate) fn put_first_if_matching(&mut self, topic: &str, number: u64) -> bool {
        let must_wait = self.may_find(topic, number);
        self.go_first |= must_wait;
        must_wait
    }

    /// Whether one of the look-ups may yet find the retained message of `topic` with this number.
    pub(crate) fn may_find(&self, topic: &str, number: u64) -> bool {
        let is_before = |lookup: &Lookup| lookup.search.is_of(number);
        self.waiting.any_matching(topic, is_before)
    }

    /// Pauses the look-ups until the session's next turn. Returns whether they were running.
    pub(crate) fn rest(&mut self) -> bool {
        !core::mem::replace(&mut self.is_resting, true)
    }

    /// Continues the look-ups. Returns whether they were paused.
    pub(crate) fn wake(&mut self) -> bool {
        core::mem::take(&mut self.is_resting)
    }
}

impl Lookup {
    /// A look-up for the subscription `asked`. The first `behind` messages of the session's
    /// queue go before it.
    pub(crate) fn new(search: Search, asked: &Subscribed, is_recorded: bool, behind: u64) -> Self {
        Self {
            search,
            qos: asked.qos,
            no_local: asked.no_local,
            identifier: asked.identifier,
            latest: asked.latest,
            is_recorded,
            behind,
        }
    }

    /// Bytes of memory, approximately, the search included.
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

    /// The highest `QoS` for its messages.
    pub(crate) fn qos(&self) -> QoS {
        self.qos
    }

    /// Whether the client's own messages are left out `[MQTT-3.8.3-3]`.
    pub(crate) fn no_local(&self) -> bool {
        self.no_local
    }

    pub(crate) fn identifier(&self) -> Option<SubscriptionIdentifier> {
        self.identifier
    }

    /// If set, its messages go through the newest values of the connection.
    pub(crate) fn latest(&self) -> Option<Interval> {
        self.latest
    }

    /// Whether the journal holds the look-up, if it holds the session.
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
            latest: self.latest,
            asks: true,
        }
    }
}

impl LookupRotation {
    /// Puts the session behind the others. The first of them has its turn at `at`.
    pub(crate) fn push(&mut self, session: SessionId, at: Instant, timers: &mut Timers) {
        self.sessions.push_back(session);
        self.arm(at, timers);
    }

    /// Notes that the timer has fired, so that it can be set again.
    pub(crate) fn timer_fired(&mut self) {
        self.at = None;
    }

    /// Takes the session whose turn is next.
    pub(crate) fn pop(&mut self) -> Option<SessionId> {
        self.sessions.pop_front()
    }

    /// Sets the next turn to `at`, if a session waits for one.
    pub(crate) fn arm_next(&mut self, at: Instant, timers: &mut Timers) {
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
