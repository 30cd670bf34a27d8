//! SUBSCRIBE and UNSUBSCRIBE (sections 3.8 to 3.11).

use mqtt::packet::SubscriptionIdentifier;
use mqtt::{
    Instant, Packet, QoS, ReasonCode, SubAck, Subscribe, Subscription, TopicFilter, UnsubAck,
    Unsubscribe,
};

use crate::durability::{Record, StoreCost, Subscribed};
use crate::machine::Broker;
use crate::protocol::{
    as_bridge, as_latest, asks_for_retained, check_filter, check_latest, check_subscribe, granted,
    inner_filter, latest_asked, subscription_cost as cost,
};
use crate::routing::Standing;
use crate::session::Session;
use crate::types::{
    CloseCause, GroupId, Interval, Limit, Lsn, Refusal, SessionId, Slot, Subscriber,
};

/// The results of the subscriptions of one SUBSCRIBE.
#[derive(Default)]
struct Made<'a> {
    reason_codes: Vec<ReasonCode>,
    /// Why the first refused subscription was refused.
    reason: Option<&'static str>,
    /// The subscriptions to record.
    granted: Vec<Subscribed>,
    /// The subscriptions that ask for retained messages, and whether they are new.
    asking: Vec<(&'a Subscription, bool)>,
}

/// What a SUBSCRIBE asks for, for all of its subscriptions.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Asked {
    identifier: Option<SubscriptionIdentifier>,
    /// If set, for the newest message of each topic, at most this often.
    latest: Option<Interval>,
}

impl Asked {
    /// One of the subscriptions.
    pub(crate) fn subscriber(self, id: SessionId, subscription: &Subscription) -> Subscriber {
        Subscriber::new(id, subscription, self.identifier).latest(self.latest)
    }
}

/// The limits that a new subscription must keep to.
#[derive(Copy, Clone, Debug)]
enum Bound {
    /// The limits of the client and of all clients.
    Limits,
    /// No limits: an earlier run of the broker has granted the subscription.
    None,
}

impl Broker {
    pub(crate) fn subscribe(
        &mut self,
        now: Instant,
        slot: Slot,
        subscribe: &Subscribe,
    ) -> Result<(), CloseCause> {
        let Some((agreement, _, _)) = self.connections.established(slot) else {
            return Ok(());
        };
        let (id, is_bridge) = (agreement.session(), agreement.dialect().is_bridge);
        check_subscribe(subscribe)?;
        let latest = latest_asked(&subscribe.user_properties);
        let may_ask = latest.map(|_| ());
        let asked = Asked {
            identifier: subscribe.subscription_identifier,
            latest: latest.unwrap_or_default(),
        };
        let changed;
        let subscriptions = if is_bridge {
            changed = as_bridge(&subscribe.subscriptions);
            &changed
        } else if asked.latest.is_some() {
            changed = as_latest(&subscribe.subscriptions);
            &changed
        } else {
            &subscribe.subscriptions
        };
        let filters = subscriptions.iter();
        let costs: usize = filters.map(|it| cost(&it.topic_filter)).sum();
        self.expire_while(now, |it| {
            !it.memory.has_subscription_room(&it.options.limits, costs)
        });
        let packet_id = self.check_packet_id(slot, subscribe.packet_id);
        let mut made = Made::default();
        for subscription in subscriptions {
            let added = packet_id
                .and(may_ask)
                .and_then(|()| self.add(id, subscription, asked));
            self.note_added(id, subscription, asked, added, &mut made);
        }
        let properties = made.reason.map(|what| self.reason_properties(slot, what));
        let suback = SubAck {
            packet_id: subscribe.packet_id,
            reason_codes: made.reason_codes,
            properties: properties.unwrap_or_default(),
        };
        let gate = self.record_subscribed(id, made.granted);
        self.acknowledge(slot, &Packet::SubAck(suback), gate);
        // Equal filters are handled like separate SUBSCRIBEs [MQTT-3.8.4-5], but their number is
        // bounded.
        let most = self.limits().subscriptions_per_client;
        for (number, (subscription, is_new)) in made.asking.into_iter().enumerate() {
            if number < most {
                self.begin_lookup(now, id, subscription, asked, is_new);
            } else {
                self.refuse_lookup(id, subscription);
            }
        }
        Ok(())
    }

    /// Notes the result of one subscription.
    fn note_added<'a>(
        &self,
        id: SessionId,
        subscription: &'a Subscription,
        asked: Asked,
        added: Result<bool, Refusal>,
        made: &mut Made<'a>,
    ) {
        let is_new = match added {
            Ok(is_new) => is_new,
            Err(refusal) => {
                made.reason.get_or_insert(refusal.what);
                made.reason_codes.push(refusal.reason_code);
                return;
            }
        };
        made.reason_codes.push(granted(subscription.qos));
        let asks = asks_for_retained(subscription, is_new);
        if asks {
            made.asking.push((subscription, is_new));
        }
        let number = self.sessions.get(id).and_then(Session::number);
        // With a full store, only subscriptions that are already recorded are granted.
        if number.is_some() && !self.ledger.is_full() {
            let record = self.record_of(id, subscription, asked);
            let asks = asks && subscription.qos != QoS::AtMostOnce;
            made.granted.push(Subscribed { asks, ..record });
        }
    }

    /// Records the granted subscriptions of a session that outlives its connection. Returns the
    /// record that SUBACK waits for.
    fn record_subscribed(&mut self, id: SessionId, granted: Vec<Subscribed>) -> Option<Lsn> {
        let session = self.sessions.get(id).and_then(Session::number)?;
        if !granted.is_empty() {
            return Some(self.ledger.record(&Record::Subscribed {
                session,
                subscriptions: granted,
            }));
        }
        // A subscription that was granted without a new record may have an old one that is not
        // durable yet.
        let is_unrecorded = self.ledger.is_full() && !self.ledger.is_stuck();
        self.ledger.gate().filter(|_| is_unrecorded)
    }

    /// Makes a subscription. Returns whether it is new.
    fn add(
        &mut self,
        id: SessionId,
        subscription: &Subscription,
        asked: Asked,
    ) -> Result<bool, Refusal> {
        let filter = &subscription.topic_filter;
        self.check_topic_filter(id, filter)?;
        if asked.latest.is_some() {
            check_latest(subscription)?;
        }
        let reach = self.check_subscribe_rule(id, filter)?;
        let session = self.sessions.get(id);
        let needs = StoreCost::of_bytes(cost(filter));
        if self.ledger.lacks_room(&self.memory, needs)
            && let Some(session) = session.filter(|it| it.number().is_some())
        {
            if !self.ledger.is_stuck() && self.is_known(id, subscription, asked) {
                return Ok(false);
            }
            self.metrics.refused_store_full += 1;
            self.limit_log.note(Limit::Store, Some(session.client_id()));
            return Err(Refusal {
                reason_code: ReasonCode::QuotaExceeded,
                what: "the store has no room for the subscription",
            });
        }
        let subscriber = asked.subscriber(id, subscription).within(reach);
        let is_new = match filter.shared() {
            Some((name, proper)) => {
                self.join(id, (name, proper), subscriber, cost(filter), Bound::Limits)
            }
            None => self.insert(id, filter, subscriber, Bound::Limits),
        };
        let Some(is_new) = is_new else {
            self.metrics.refused_subscriptions_limit += 1;
            let client = self.sessions.get(id).map(Session::client_id);
            self.limit_log.note(Limit::Subscriptions, client);
            return Err(Refusal {
                reason_code: ReasonCode::QuotaExceeded,
                what: "too many subscriptions",
            });
        };
        if is_new {
            self.count_subscription(id, cost(filter));
        }
        Ok(is_new)
    }

    /// Whether the session already has exactly this subscription. A client that resumes its
    /// session often subscribes again.
    fn is_known(&self, id: SessionId, subscription: &Subscription, asked: Asked) -> bool {
        let filter = &subscription.topic_filter;
        let known = if let Some((name, proper)) = filter.shared() {
            let session = self.sessions.get(id);
            let group = self.subscriptions.group(name, proper);
            session.zip(group).and_then(|(session, group)| {
                self.subscriptions.shared(session.membership_in(group)?)
            })
        } else {
            let node = self.subscriptions.find(filter, id);
            node.and_then(|node| self.subscriptions.direct(node, id))
        };
        known.is_some_and(|it| it == self.record_of(id, subscription, asked))
    }

    /// The record of a subscription that was just made.
    fn record_of(&self, id: SessionId, subscription: &Subscription, asked: Asked) -> Subscribed {
        let filter = &subscription.topic_filter;
        let shared = filter.shared();
        let group = shared.and_then(|(name, filter)| self.subscriptions.group(name, filter));
        asked.subscriber(id, subscription).record(filter, group)
    }

    /// Makes or replaces a direct subscription. Returns whether it is new, or `None` if there is
    /// no room for it.
    fn insert(
        &mut self,
        id: SessionId,
        filter: &str,
        subscriber: Subscriber,
        bound: Bound,
    ) -> Option<bool> {
        let is_known = self.subscriptions.find(filter, id).is_some();
        if !is_known && !self.has_room_for(id, cost(filter), bound) {
            return None;
        }
        let inserted = self.subscriptions.insert(filter, subscriber)?;
        let session = self.sessions.get_mut(id)?;
        session.add_subscription(inserted.node());
        Some(inserted.is_new())
    }

    /// Makes or replaces a shared subscription, and returns the same. `filter` is without
    /// `$share/{name}/`.
    fn join(
        &mut self,
        id: SessionId,
        (name, filter): (&str, &str),
        subscriber: Subscriber,
        cost: usize,
        bound: Bound,
    ) -> Option<bool> {
        let group = self.subscriptions.group(name, filter);
        let session = self.sessions.get(id)?;
        let known = group.and_then(|group| session.membership_in(group));
        if let Some(membership) = known {
            self.subscriptions
                .groups_mut()
                .replace(membership, subscriber);
            return Some(false);
        }
        if !self.has_room_for(id, cost, bound) {
            return None;
        }
        let standing = Standing::Ready;
        let membership = self
            .subscriptions
            .join(name, filter, subscriber, standing)?;
        let session = self.sessions.get_mut(id)?;
        if session.number().is_some() {
            let groups = self.subscriptions.groups_mut();
            groups.set_lasting(membership, id, true);
        }
        session.join(membership);
        Some(true)
    }

    /// Restores a subscription of an earlier run of the broker, whatever the limits are now.
    pub(crate) fn restore_subscription(
        &mut self,
        id: SessionId,
        filter: &TopicFilter,
        group: Option<GroupId>,
        subscriber: Subscriber,
    ) {
        let reach = self.options.grants.reach(inner_filter(filter));
        let subscriber = subscriber.within(reach);
        let cost = cost(filter);
        let bound = Bound::None;
        let is_new = match (filter.shared(), group) {
            (Some((name, proper)), group) => {
                self.subscriptions.restore_group(group, name, proper);
                self.join(id, (name, proper), subscriber, cost, bound)
            }
            (None, _) => self.insert(id, filter, subscriber, bound),
        };
        if is_new == Some(true) {
            self.count_subscription(id, cost);
        }
    }

    /// Removes a subscription, as an earlier run of the broker did.
    pub(crate) fn restore_unsubscribed(&mut self, id: SessionId, filter: &TopicFilter) {
        let is_removed = match filter.shared() {
            Some((name, proper)) => self.leave(id, name, proper).is_some(),
            // No client is connected, so nothing is sent and the time does not matter.
            None => self.remove_direct(Instant::ZERO, id, filter).is_some(),
        };
        if is_removed {
            self.uncount_subscription(id, cost(filter));
        }
    }

    fn count_subscription(&mut self, id: SessionId, cost: usize) {
        if let Some(session) = self.sessions.get_mut(id) {
            let bytes = session.subscription_bytes() + cost;
            session.set_subscription_bytes(bytes, &mut self.memory);
            self.metrics.subscriptions += 1;
        }
    }

    fn uncount_subscription(&mut self, id: SessionId, cost: usize) {
        if let Some(session) = self.sessions.get_mut(id) {
            let bytes = session.subscription_bytes() - cost;
            session.set_subscription_bytes(bytes, &mut self.memory);
            self.metrics.subscriptions -= 1;
        }
    }

    /// Whether the session may have another subscription of `cost` bytes.
    fn has_room_for(&self, id: SessionId, cost: usize, bound: Bound) -> bool {
        let limits = &self.options.limits;
        match bound {
            Bound::None => return true,
            Bound::Limits => {}
        }
        self.sessions.get(id).is_some_and(|session| {
            session.subscribed() < limits.subscriptions_per_client
                && session.subscription_bytes() + cost <= limits.subscription_bytes_per_client
        }) && self.memory.has_subscription_room(limits, cost)
    }

    fn check_topic_filter(&mut self, id: SessionId, filter: &TopicFilter) -> Result<(), Refusal> {
        let Err(bad) = check_filter(self.limits(), filter) else {
            return Ok(());
        };
        self.metrics.refused_topic_filter += 1;
        let client = self.sessions.get(id).map(Session::client_id);
        self.limit_log.note(bad.limit, client);
        Err(Refusal {
            reason_code: ReasonCode::TopicFilterInvalid,
            what: bad.what,
        })
    }

    pub(crate) fn unsubscribe(&mut self, now: Instant, slot: Slot, unsubscribe: &Unsubscribe) {
        let Some((agreement, _, _)) = self.connections.established(slot) else {
            return;
        };
        let id = agreement.session();
        let packet_id = self.check_packet_id(slot, unsubscribe.packet_id);
        let properties = packet_id
            .err()
            .map(|it| self.reason_properties(slot, it.what));
        let number = self.sessions.get(id).and_then(Session::number);
        let mut removed = Vec::new();
        let mut reason_codes = Vec::with_capacity(unsubscribe.topic_filters.len());
        for filter in &unsubscribe.topic_filters {
            let reason_code = match packet_id {
                Ok(()) => self.remove(now, id, filter),
                Err(refusal) => refusal.reason_code,
            };
            if number.is_some() && reason_code == ReasonCode::Success {
                removed.push(filter.as_text().clone());
            }
            reason_codes.push(reason_code);
        }
        self.forget_unsubscribed(slot);
        let gate = number.filter(|_| !removed.is_empty()).map(|session| {
            self.ledger.record(&Record::Unsubscribed {
                session,
                filters: removed,
            })
        });
        // [MQTT-3.10.4-4] [MQTT-3.10.4-6]
        let unsuback = UnsubAck {
            packet_id: unsubscribe.packet_id,
            reason_codes,
            properties: properties.unwrap_or_default(),
        };
        self.acknowledge(slot, &Packet::UnsubAck(unsuback), gate);
    }

    /// Drops the newest values that wait for a connection and whose topics match none of its
    /// session's subscriptions any more.
    fn forget_unsubscribed(&mut self, slot: Slot) {
        let Some((agreement, _, _)) = self.connections.established(slot) else {
            return;
        };
        let (id, before) = (agreement.session(), agreement.latest_bytes());
        let Some(latest) = agreement.latest_mut() else {
            return;
        };
        let subscriptions = &mut self.subscriptions;
        let (mut found, mut groups) = (Vec::new(), Vec::new());
        latest.retain(|topic| {
            found.clear();
            groups.clear();
            subscriptions.matching(topic, &mut found, &mut groups);
            found.iter().any(|it| it.session == id)
        });
        let after = latest.bytes();
        self.memory.change_latest(before, after);
    }

    fn remove(&mut self, now: Instant, id: SessionId, filter: &TopicFilter) -> ReasonCode {
        let is_removed = match filter.shared() {
            Some((name, proper)) => self.leave(id, name, proper).map(|group| {
                self.hand_over_group(now, id, group);
            }),
            None => self.remove_direct(now, id, filter),
        };
        if is_removed.is_none() {
            return ReasonCode::NoSubscriptionExisted;
        }
        self.uncount_subscription(id, cost(filter));
        ReasonCode::Success
    }

    fn remove_direct(&mut self, now: Instant, id: SessionId, filter: &str) -> Option<()> {
        let node = self.subscriptions.find(filter, id)?;
        self.subscriptions.remove(node, id);
        self.end_lookup(now, id, filter);
        let session = self.sessions.get_mut(id)?;
        session.remove_subscription(node)
    }

    fn leave(&mut self, id: SessionId, name: &str, filter: &str) -> Option<GroupId> {
        let group = self.subscriptions.group(name, filter)?;
        let session = self.sessions.get_mut(id)?;
        let membership = session.leave(group)?;
        self.subscriptions.leave(membership);
        Some(group)
    }
}
