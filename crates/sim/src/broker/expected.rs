//! What one client has to receive, and what it has received.

use bytes::Bytes;
use mqtt::{Instant, PacketId, Publish, QoS};

/// A message that the broker has to send to a client.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Messages come in this order. Retained messages have no order: they come when there is room.
    pub order: Option<u64>,
    /// The filter of the subscription that asked for this retained message.
    pub asked_by: Option<String>,
    /// The message's topic.
    pub topic: String,
    /// The message's payload.
    pub payload: Bytes,
    /// The quality of service.
    pub qos: QoS,
    /// The retain flag.
    pub retain: bool,
    /// The subscription identifiers, sorted.
    pub identifiers: Vec<u32>,
    /// After this time the broker need not send it.
    pub expires: Option<Instant>,
    state: State,
    /// The broker has forgotten it, and so will not send it again.
    is_lost: bool,
    /// Set if the broker may send it again: the order of the repetition.
    repeats: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The client must still hear it, unless its `QoS` is 0.
    Awaited,
    /// The client may hear it: the session that it was meant for has ended.
    Optional,
    /// The client has heard it, with this packet identifier.
    Heard(Option<PacketId>),
}

/// The state of a client's expectations at some time.
#[derive(Clone, Debug, Default)]
pub struct Mark(Vec<State>);

/// Everything that one client has to hear.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    list: Vec<Expected>,
    /// The highest order of the `QoS` 1 and 2 messages that the client has heard.
    last: u64,
    /// The broker has crashed, so some messages may come again.
    is_shaken: bool,
}

impl Expected {
    /// `publish` as the client must receive it.
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

    /// The same as a retained message, for a subscription to `filter` that asks for it.
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
    /// Adds a message that the client has to hear.
    pub fn push(&mut self, expected: Expected) {
        self.list.push(expected);
    }

    /// Adds a message that the client may hear or not.
    pub fn push_optional(&mut self, expected: Expected) {
        self.list.push(Expected {
            state: State::Optional,
            ..expected
        });
    }

    /// The retained message on `topic` was replaced. A client that has not received it yet gets the
    /// new one instead.
    pub fn replace_retained(&mut self, topic: &str) {
        self.relax(|it| it.asked_by.is_some() && it.topic == topic);
    }

    /// The subscription to `filter` has ended, or was made again. Its unsent retained messages then
    /// need not come, or need not come twice.
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

    /// The client's session has ended. The client need not hear what it has not heard yet.
    pub fn end_session(&mut self) {
        for expected in &mut self.list {
            expected.state = match expected.state {
                State::Awaited | State::Optional => State::Optional,
                // The packet identifier means something else from now on.
                State::Heard(_) => State::Heard(None),
            };
        }
    }

    /// Notes that the client has heard `publish`. `is_late`: it came over a connection that the
    /// broker has already given up, and whose session the broker may have ended since.
    ///
    /// # Errors
    /// The client should not have heard it, or not now, or not again.
    pub fn hear(&mut self, now: Instant, publish: &Publish, is_late: bool) -> Result<(), String> {
        // A repetition has its old packet identifier. With `QoS` 2 the client must know it and must
        // not hand the message on.
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
        // Several expectations may be alike: a publisher repeats itself with `QoS` 1, or a client
        // asks twice for a retained message. Then the first one that must be heard now counts, not
        // one that the broker may have dropped because it expired or because its session ended.
        let is_overdue = |it: &Expected| it.expires.is_some_and(|at| at <= now);
        let last = self.last;
        let rank = |it: &Expected| match (&it.state, is_overdue(it)) {
            (State::Awaited, false) if publish.qos == QoS::AtMostOnce => Some(0),
            (State::Awaited, false) if it.order.is_some_and(|order| order >= last) => Some(0),
            (State::Awaited, false) if it.order.is_none() => Some(1),
            (State::Awaited, true) => Some(2),
            (State::Optional, overdue) => Some(3 + u8::from(overdue)),
            // The message came out of order.
            (State::Awaited, false) => Some(5),
            (State::Heard(_), _) => None,
        };
        // If a retained message that the client asked for looks the same, nobody can tell which one
        // this is.
        let is_told_apart = !self
            .list
            .iter()
            .any(|it| it.asked_by.is_some() && it.is(publish));
        // The same is true if an earlier one may come again, or may have been on its way when the
        // broker crashed.
        let unheard = |it: &&Expected| !matches!(it.state, State::Heard(_)) && it.is(publish);
        let unheard: Vec<_> = self.list.iter().filter(unheard).collect();
        // All wills of a client are alike. Some may have been heard while others are still
        // expected.
        let is_will = self.is_shaken && publish.payload.starts_with(b"will of");
        let is_told_apart = is_told_apart && !is_will && !unheard.iter().any(|it| it.is_lost);
        let repeats: Vec<u64> = unheard.iter().filter_map(|it| it.repeats).collect();
        // A repetition was on its way when the session ended, and comes over the connection that
        // has ended. Nothing of an earlier session comes over a new connection [MQTT-3.1.2-4].
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

    /// The present state.
    pub fn mark(&self) -> Mark {
        Mark(self.list.iter().map(|it| it.state.clone()).collect())
    }

    /// Takes back the expectations since `mark`, because the broker does not know of them any more.
    /// Messages that the client has heard stay heard.
    ///
    /// # Errors
    /// If the session `lasts`: the client has heard a `QoS` 2 message that the broker will send
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
        // A message that did not wait for a record may be on its way.
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

    /// Lets the broker repeat the latest `QoS` 1 messages, heard or on their way: it may not
    /// know that it has sent them.
    pub fn allow_repeats(&mut self) {
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

    /// The messages that the client should have heard by now and has not.
    pub fn missing(&self, now: Instant) -> Vec<&Expected> {
        let is_missing = |it: &&Expected| {
            it.state == State::Awaited
                && it.qos > QoS::AtMostOnce
                && it.expires.is_none_or(|at| at > now)
        };
        self.list.iter().filter(is_missing).collect()
    }

    /// How many messages the client has heard.
    pub fn heard(&self) -> usize {
        let is_heard = |it: &&Expected| matches!(it.state, State::Heard(_));
        self.list.iter().filter(is_heard).count()
    }
}
