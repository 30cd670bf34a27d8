//! Retained messages for new subscriptions, found as the connection has room for them
//! `[MQTT-3.3.1-9]`.
//!
//! **Invariant.** The results of a look-up are never collected. A client that subscribes to a
//! million retained messages costs one [`Search`](crate::routing::Search), and one turn looks at
//! a bounded number of topics.

use core::time::Duration;

use mqtt::{Instant, QoS, Subscription};

use crate::admission::WorkBudget;
use crate::durability::{Record, Subscribed};
use crate::machine::Broker;
use crate::machine::subscribe::Asked;
use crate::routing::{Found, Lookup, Lookups};
use crate::session::{Outgoing, Session};
use crate::types::{Delivery, Limit, SessionId, SessionNumber};

impl Broker {
    /// How many topics one session may look at before others have their turn.
    pub(crate) const VISITS: usize = 2_048;
    /// The pause between turns. One session has a turn at a time, so all searches together take
    /// a bounded part of the time.
    const REST: Duration = Duration::from_millis(1);
    /// How full the look-ups may make a connection's buffer. Others have their turn before it is
    /// written.
    const SLICE: usize = 64 * 1024;

    /// Begins the look-up for a new subscription and sends the first messages. `is_new`: the
    /// session had no subscription to this filter before.
    pub(crate) fn begin_lookup(
        &mut self,
        now: Instant,
        id: SessionId,
        subscription: &Subscription,
        asked: Asked,
        is_new: bool,
    ) {
        let filter = &subscription.topic_filter;
        if !is_new {
            // All matching messages are sent again, so the rest of an earlier look-up would only
            // send some twice.
            self.end_lookup(now, id, filter);
        }
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        // `Broker::subscribe` says why `QoS` 0 and a full store make a difference.
        let is_recorded = subscription.qos != QoS::AtMostOnce && !self.ledger.is_full();
        let asked = asked.subscriber(id, subscription).record(filter, None);
        let search = self.retained.search(&asked.filter);
        let behind = session.outgoing().map_or(0, Outgoing::queued);
        let lookup = Lookup::new(search, &asked, is_recorded, behind);
        let cost = lookup.cost();
        let limits = &self.options.limits;
        let others = session.lookups();
        let has_room = others.map_or(0, Lookups::len) < limits.subscriptions_per_client
            && others.map_or(0, Lookups::bytes) + cost <= limits.subscription_bytes_per_client
            && self.memory.has_lookup_room(limits, cost);
        if !has_room {
            self.refuse_lookup(id, subscription);
            return;
        }
        let replaced = session.lookups_or_new().push(filter, lookup);
        self.memory.add_lookup(cost);
        self.forget_replaced(replaced);
        self.continue_lookups(now, id);
    }

    /// Refuses a look-up, because the session or all sessions together have too many.
    pub(crate) fn refuse_lookup(&mut self, id: SessionId, subscription: &Subscription) {
        self.metrics.retained_not_looked_for += 1;
        if let Some(session) = self.sessions.get(id) {
            self.limit_log
                .note(Limit::RetainedLookups, Some(session.client_id()));
            if let Some(session) = session.number()
                && subscription.qos != QoS::AtMostOnce
            {
                let filter = subscription.topic_filter.as_text().clone();
                self.ledger.record(&Record::LookupEnded { session, filter });
            }
        }
    }

    /// Restores a look-up that an earlier run of the broker began.
    pub(crate) fn restore_lookup(&mut self, id: SessionId, it: &Subscribed) {
        let lookup = Lookup::new(self.retained.search(&it.filter), it, true, 0);
        let cost = lookup.cost();
        if let Some(session) = self.sessions.get_mut(id) {
            let lookups = session.lookups_or_new();
            let replaced = lookups.push(&it.filter, lookup);
            // It may find messages that are older than those in the queue.
            lookups.put_first();
            self.memory.add_lookup(cost);
            self.forget_replaced(replaced);
        }
    }

    /// Drops a look-up that another one for the same filter has replaced.
    fn forget_replaced(&mut self, replaced: Option<Lookup>) {
        if let Some(lookup) = replaced {
            self.retained.release(lookup.search());
            self.memory.remove_lookup(lookup.cost());
        }
    }

    /// Continues the look-ups of a session as far as its connection has room. Call this whenever
    /// there may be more room than before.
    pub(crate) fn continue_lookups(&mut self, now: Instant, id: SessionId) {
        let mut visits = Self::VISITS;
        // When one look-up ends, queued messages may go out that another look-up waits for.
        while self.continue_lookups_once(now, id, &mut visits) {}
    }

    /// Continues the look-ups once. Returns whether the session's queue has become shorter, so that
    /// another look-up may continue.
    fn continue_lookups_once(&mut self, now: Instant, id: SessionId, visits: &mut usize) -> bool {
        let Some(session) = self.sessions.get_mut(id) else {
            return false;
        };
        let Some(mut lookups) = session.take_lookups() else {
            return false;
        };
        let client_id = session.client_id().clone();
        let number = session.number();
        let grants = self.limited_grants(id);
        while let Some(lookup) = lookups.first_mut() {
            if !self.has_room_for_retained(id, lookup) {
                self.retained.rest(lookup.search_mut());
                break;
            }
            match self.retained.next(now, lookup.search_mut(), visits) {
                Found::Message(message) => {
                    // [MQTT-3.8.3-3]
                    if lookup.no_local() && message.publisher == client_id {
                        continue;
                    }
                    let topic = message.topic();
                    if grants.as_ref().is_some_and(|it| !it.may_receive(topic)) {
                        self.metrics.dropped_rule += 1;
                        continue;
                    }
                    let budget = lookup.latest().map_or(message.cost(), |_| 0);
                    if !self.claim_budget_for(id, budget) {
                        self.retained.rest_before(lookup.search_mut());
                        break;
                    }
                    let delivery = Delivery {
                        qos: lookup.qos().min(message.publish.qos),
                        retain: true,
                        identifiers: lookup.identifier().into(),
                    };
                    match lookup.latest() {
                        Some(interval) => self.keep_retained(now, id, message, delivery, interval),
                        None => self.deliver_retained(now, id, message, delivery),
                    }
                }
                Found::Nothing => {
                    if let Some(session) = number.filter(|_| lookup.is_recorded()) {
                        let filter = lookup.filter().clone();
                        self.ledger.record(&Record::LookupEnded { session, filter });
                    }
                    self.memory.remove_lookup(lookup.cost());
                    lookups.pop_first();
                }
                Found::NotYet => {
                    self.retained.rest(lookup.search_mut());
                    if lookups.rest() {
                        self.lookup_rotation
                            .push(id, now + Self::REST, &mut self.timers);
                    }
                    break;
                }
            }
        }
        self.put_back(now, id, lookups)
    }

    /// Gives the next session its turn when [`Timer::Lookups`](crate::types::Timer::Lookups) is
    /// due.
    pub(crate) fn continue_lookups_in_turn(&mut self, now: Instant) {
        self.lookup_rotation.timer_fired();
        while let Some(id) = self.lookup_rotation.pop() {
            let session = self.sessions.get_mut(id);
            let lookups = session.and_then(Session::lookups_mut);
            if lookups.is_some_and(Lookups::wake) {
                self.continue_lookups(now, id);
                break;
            }
        }
        self.lookup_rotation
            .arm_next(now + Self::REST, &mut self.timers);
    }

    /// Ends the look-up for a filter.
    pub(crate) fn end_lookup(&mut self, now: Instant, id: SessionId, filter: &str) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let number = session.number();
        let lookups = session.lookups_mut();
        let Some(lookup) = lookups.and_then(|it| it.remove(filter)) else {
            return;
        };
        if let Some(lookups) = session.take_lookups() {
            self.stopped(now, id, number, lookups, &[lookup]);
        }
    }

    /// Ends all look-ups of a session.
    pub(crate) fn end_lookups(&mut self, now: Instant, id: SessionId) {
        self.end_lookups_unless(now, id, |_| false);
    }

    /// A session has lost its connection: ends its look-ups with `QoS` 0.
    pub(crate) fn end_lookups_at_most_once(&mut self, now: Instant, id: SessionId) {
        self.end_lookups_unless(now, id, |lookup| lookup.qos() != QoS::AtMostOnce);
    }

    fn end_lookups_unless(&mut self, now: Instant, id: SessionId, keep: impl Fn(&Lookup) -> bool) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        let Some(mut lookups) = session.take_lookups() else {
            return;
        };
        let number = session.number();
        let stopped = lookups.extract(|lookup| !keep(lookup));
        self.stopped(now, id, number, lookups, &stopped);
    }

    /// Puts back what is left of `lookups` after those in `stopped` were removed, and continues.
    fn stopped(
        &mut self,
        now: Instant,
        id: SessionId,
        number: Option<SessionNumber>,
        lookups: Box<Lookups>,
        stopped: &[Lookup],
    ) {
        self.work.spend(stopped.len() * WorkBudget::SUBSCRIPTION);
        for lookup in stopped {
            if let Some(session) = number.filter(|_| lookup.is_recorded()) {
                let filter = lookup.filter().clone();
                self.ledger.record(&Record::LookupEnded { session, filter });
            }
            self.retained.release(lookup.search());
            self.memory.remove_lookup(lookup.cost());
        }
        if self.put_back(now, id, lookups) {
            self.continue_lookups(now, id);
        }
    }

    /// Puts the look-ups back into their session, unless all have ended, and sends queued messages
    /// that need not wait for them any more. Returns whether that allows the look-ups to continue.
    fn put_back(&mut self, now: Instant, id: SessionId, lookups: Box<Lookups>) -> bool {
        let Some(session) = self.sessions.get_mut(id) else {
            return false;
        };
        let next_queued = |session: &Session| session.outgoing().map(Outgoing::next_queued);
        let before = next_queued(session);
        let is_over = lookups.is_empty();
        let was_waited_for =
            lookups.may_go_first() && before.is_some_and(|it| !lookups.hold_back(it));
        if !is_over {
            session.put_lookups(lookups);
        }
        if was_waited_for {
            self.pump(now, id);
        } else {
            self.pump_latest(now, id);
        }
        !is_over && self.sessions.get(id).and_then(next_queued) != before
    }

    /// Claims `cost` bytes of the egress budget for a session's connection. If there is no room,
    /// returns `false`, and the connection waits for it.
    fn claim_budget_for(&mut self, id: SessionId, cost: usize) -> bool {
        let slot = self.sessions.get(id).and_then(Session::slot);
        let Some(slot) = slot else { return false };
        let Some((_, outbox, _)) = self.connections.established(slot) else {
            return false;
        };
        let limits = &self.options.limits;
        let has_room = self.memory.has_egress_room(limits, outbox.held(), cost);
        if !has_room {
            self.awaiting_budget.wait(slot, outbox, cost);
        }
        has_room
    }

    /// Whether a retained message that this look-up finds would be sent at once, after the messages
    /// of the queue that go before the look-up.
    fn has_room_for_retained(&mut self, id: SessionId, lookup: &Lookup) -> bool {
        let limits = &self.options.limits;
        let Some(session) = self.sessions.get(id) else {
            return false;
        };
        let agreement = session
            .slot()
            .and_then(|slot| self.connections.established(slot));
        let Some((agreement, outbox, _)) = agreement else {
            return false;
        };
        if lookup.latest().is_some() {
            // Live messages have the other half.
            let own = agreement.latest_bytes();
            return own < self.memory.latest_room(limits, own, 0) / 2;
        }
        if outbox.len_of_lasting() >= Self::SLICE.min(self.memory.out_buffer(limits) / 2) {
            return false;
        }
        let outgoing = session.outgoing();
        if outgoing.is_some_and(|outgoing| !outgoing.is_past(lookup.behind())) {
            return false;
        }
        match (lookup.qos(), outgoing) {
            (QoS::AtMostOnce, _) => true,
            (QoS::AtLeastOnce | QoS::ExactlyOnce, Some(outgoing)) => {
                agreement.has_quota()
                    && outgoing.has_resent()
                    && outgoing.has_window(limits.inflight_window)
            }
            (QoS::AtLeastOnce | QoS::ExactlyOnce, None) => agreement.has_quota(),
        }
    }
}
