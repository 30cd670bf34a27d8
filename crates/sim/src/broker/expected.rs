//! What one client has to hear, and what it has heard.

use bytes::Bytes;
use mqtt::{Instant, PacketId, Publish, QoS};

/// A message that a client has to be sent.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Messages are sent in this order. Retained ones have none: they come as there is room.
    pub order: Option<u64>,
    /// The filter of the subscription that asked for what is retained.
    pub asked_by: Option<String>,
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Bytes,
    /// How surely.
    pub qos: QoS,
    /// The flag.
    pub retain: bool,
    /// Of subscriptions, sorted.
    pub identifiers: Vec<u32>,
    /// After this it need not be sent.
    pub expires: Option<Instant>,
    state: State,
    /// Whether the broker does not know of it any more, and so will not send it again.
    is_lost: bool,
    /// If it is one that may be sent again: the order of that.
    repeats: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Must still be heard, unless its `QoS` is 0.
    Awaited,
    /// May be heard: the session that it was meant for has ended.
    Optional,
    /// Was heard, with this packet identifier.
    Heard(Option<PacketId>),
}

/// How far a client's expectations were at some time.
#[derive(Clone, Debug, Default)]
pub struct Mark(Vec<State>);

/// All that one client has to hear.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    list: Vec<Expected>,
    /// The highest order of what was heard with `QoS` 1 and 2.
    last: u64,
    /// Whether the broker has crashed, so that some may come again.
    is_shaken: bool,
}

impl Expected {
    /// `publish` as the client is to get it.
    pub fn new(
        order: Option<u64>,
        publish: &Publish,
        (qos, retain): (QoS, bool),
        mut identifiers: Vec<u32>,
        expires: Option<Instant>,
    ) -> Self {
        identifiers.sort_unstable();
        Self {
            order,
            asked_by: None,
            topic: publish
                .topic
                .as_ref()
                .map_or("", |it| it.as_str())
                .to_owned(),
            payload: publish.payload.clone(),
            qos,
            retain,
            identifiers,
            expires,
            state: State::Awaited,
            is_lost: false,
            repeats: None,
        }
    }

    /// The same as retained, for a subscription to `filter` that asks for that.
    #[must_use]
    pub fn asked_by(self, filter: &str) -> Self {
        Self {
            order: None,
            asked_by: Some(filter.to_owned()),
            ..self
        }
    }

    fn is(&self, publish: &Publish) -> bool {
        let identifiers = &publish.properties.subscription_identifiers;
        let mut identifiers: Vec<u32> = identifiers.iter().map(|it| it.get()).collect();
        identifiers.sort_unstable();
        publish
            .topic
            .as_ref()
            .is_some_and(|it| it.as_str() == self.topic)
            && publish.payload == self.payload
            && publish.qos == self.qos
            && publish.retain == self.retain
            && identifiers == self.identifiers
    }
}

impl Expectations {
    /// One more.
    pub fn push(&mut self, expected: Expected) {
        self.list.push(expected);
    }

    /// One more that may be heard, or not.
    pub fn push_optional(&mut self, expected: Expected) {
        self.list.push(Expected {
            state: State::Optional,
            ..expected
        });
    }

    /// What was retained on `topic` is so no longer: who has not been sent it yet gets what has
    /// taken its place instead.
    pub fn replace_retained(&mut self, topic: &str) {
        self.relax(|it| it.asked_by.is_some() && it.topic == topic);
    }

    /// The subscription to `filter` is over, or asks anew: what was not sent yet need not be,
    /// or not twice.
    pub fn stop_asking(&mut self, filter: &str) {
        self.relax(|it| it.asked_by.as_deref() == Some(filter));
    }

    fn relax(&mut self, which: impl Fn(&Expected) -> bool) {
        for expected in &mut self.list {
            if expected.state == State::Awaited && which(expected) {
                expected.state = State::Optional;
            }
        }
    }

    /// The client's session has ended: what was not heard need not be.
    pub fn end_session(&mut self) {
        for expected in &mut self.list {
            expected.state = match expected.state {
                State::Awaited | State::Optional => State::Optional,
                // Its packet identifier means something else from now on.
                State::Heard(_) => State::Heard(None),
            };
        }
    }

    /// The client has heard `publish`; `is_late`: on a connection that is none any more for the
    /// broker, which may have ended its session since.
    ///
    /// # Errors
    /// It should not have, or not now, or not again.
    pub fn hear(&mut self, now: Instant, publish: &Publish, is_late: bool) -> Result<(), String> {
        // What is sent again has the packet identifier that it had. With `QoS` 2 the client
        // has to know it and say nothing.
        let heard = State::Heard(publish.packet_id);
        let is_again = publish.dup && publish.qos == QoS::AtLeastOnce;
        if is_again
            && self
                .list
                .iter()
                .any(|it| it.state == heard && it.is(publish))
        {
            return Ok(());
        }
        // Of several that are alike (a publisher repeats itself with `QoS` 1, a retained
        // message is asked for twice) it is the first that must be heard now, not one that may
        // have been dropped because it expired or because its session ended.
        let is_overdue = |it: &Expected| it.expires.is_some_and(|at| at <= now);
        let last = self.last;
        let rank = |it: &Expected| match (&it.state, is_overdue(it)) {
            (State::Awaited, false) if publish.qos == QoS::AtMostOnce => Some(0),
            (State::Awaited, false) if it.order.is_some_and(|order| order >= last) => Some(0),
            (State::Awaited, false) if it.order.is_none() => Some(1),
            (State::Awaited, true) => Some(2),
            (State::Optional, overdue) => Some(3 + u8::from(overdue)),
            // Out of order.
            (State::Awaited, false) => Some(5),
            (State::Heard(_), _) => None,
        };
        // Where one that was asked for is alike nobody can tell which one this is.
        let is_told_apart = !self
            .list
            .iter()
            .any(|it| it.asked_by.is_some() && it.is(publish));
        // Likewise where an earlier one may come again, or may have been on its way in a crash.
        let unheard = |it: &&Expected| !matches!(it.state, State::Heard(_)) && it.is(publish);
        let unheard: Vec<_> = self.list.iter().filter(unheard).collect();
        // A client's wills are all alike, and those of different times can be heard and waiting.
        let is_will = self.is_shaken && publish.payload.starts_with(b"will of");
        let is_told_apart = is_told_apart && !is_will && !unheard.iter().any(|it| it.is_lost);
        let repeats: Vec<u64> = unheard.iter().filter_map(|it| it.repeats).collect();
        // A repetition was on its way when the session ended, and comes on the connection that
        // ended before. On a new one nothing of an earlier session comes [MQTT-3.1.2-4].
        let was_heard = |it: &Expected| it.state == State::Heard(None) && it.is(publish);
        let is_late = is_late && is_again && self.list.iter().any(was_heard);
        let alike = self.list.iter_mut().filter(|it| it.is(publish));
        let ranked = alike.filter_map(|it| Some((rank(it)?, it)));
        let Some((_, expected)) = ranked.min_by_key(|(rank, _)| *rank) else {
            return if is_late {
                Ok(())
            } else {
                Err(format!("heard what was not expected: {publish:?}"))
            };
        };
        let is_sure = publish.qos > QoS::AtMostOnce && !is_overdue(expected);
        if is_sure
            && is_told_apart
            && expected.state == State::Awaited
            && let Some(order) = expected.order
            && repeats.iter().all(|repeated| *repeated == order)
        {
            if order < self.last {
                return Err(format!("out of order: {expected:?} after {}", self.last));
            }
            self.last = order;
        }
        expected.state = State::Heard(publish.packet_id.filter(|_| !expected.is_lost));
        Ok(())
    }

    /// How far things are.
    pub fn mark(&self) -> Mark {
        Mark(self.list.iter().map(|it| it.state.clone()).collect())
    }

    /// What has come to be expected since `mark` need not come: the broker does not know of it
    /// any more. What was heard was heard.
    ///
    /// # Errors
    /// Where the client `lasts`: it has heard something of `QoS` 2, which it will be told
    /// again.
    pub fn rewind(&mut self, mark: &Mark, lasts: bool) -> Result<(), String> {
        let Mark(states) = mark;
        let is_early = |it: &&Expected| {
            it.qos == QoS::ExactlyOnce && matches!(it.state, State::Heard(Some(_)))
        };
        let mut later = self.list.iter().skip(states.len());
        if let Some(early) = later.find(is_early).filter(|_| lasts) {
            return Err(format!("heard before it was durable: {early:?}"));
        }
        // What did not wait for a record may be on its way.
        let later = self.list.split_off(states.len().min(self.list.len()));
        let waited = |it: &Expected| lasts && it.qos == QoS::ExactlyOnce;
        let on_its_way = later.into_iter().filter(|it| !waited(it));
        for (expected, state) in self.list.iter_mut().zip(states) {
            let is_heard = matches!(expected.state, State::Heard(_));
            let was_heard = matches!(state, State::Heard(_));
            if !is_heard || was_heard {
                expected.state = state.clone();
            }
        }
        for expected in on_its_way {
            self.push_optional(Expected {
                is_lost: true,
                ..expected
            });
        }
        Ok(())
    }

    /// The broker may not know that what was sent with `QoS` 1 lately was sent, be it heard or
    /// on its way.
    pub fn may_repeat(&mut self) {
        const LATELY: usize = 40;
        self.is_shaken = true;
        let is_sure = |it: &&Expected| it.qos == QoS::AtLeastOnce;
        let is_heard = |it: &&Expected| matches!(it.state, State::Heard(_));
        let is_awaited = |it: &&Expected| it.state == State::Awaited;
        let all = self.list.iter().filter(is_sure);
        let heard = all.clone().rev().filter(is_heard).take(LATELY);
        let awaited = all.filter(is_awaited).take(LATELY);
        let both: Vec<_> = heard.chain(awaited).cloned().collect();
        for expected in both {
            self.push_optional(Expected {
                order: None,
                asked_by: None,
                repeats: expected.order.or(expected.repeats),
                ..expected
            });
        }
    }

    /// What should have been heard by now and was not.
    pub fn missing(&self, now: Instant) -> Vec<&Expected> {
        let is_missing = |it: &&Expected| {
            it.state == State::Awaited
                && it.qos > QoS::AtMostOnce
                && it.expires.is_none_or(|at| at > now)
        };
        self.list.iter().filter(is_missing).collect()
    }

    /// How many were heard.
    pub fn heard(&self) -> usize {
        let is_heard = |it: &&Expected| matches!(it.state, State::Heard(_));
        self.list.iter().filter(is_heard).count()
    }
}
