//! The newest value of each topic, for a connection that asked for no more than that.
//!
//! A client that subscribes with `beaconry-latest: MS` gets the newest message of each topic, at
//! most every MS milliseconds. What it cannot be sent yet waits here. A newer message to the same
//! topic replaces the one that waits.
//!
//! The values of each interval go out in rounds. A round sends what waited when it began, each
//! topic once. Then the interval rests. So two messages to the same topic are always at least the
//! interval apart, however slowly the client reads.
//!
//! **Invariant.** Each topic has at most one value here. [`bytes`](LatestValues::bytes) never
//! exceeds the limit that the last [`put`](LatestValues::put) was given, except that it need not
//! shrink when the limit does.

use core::borrow::Borrow;
use core::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mqtt::Instant;

use crate::types::{Delivery, Interval, Message, Queued, Slot, Timer, Timers};

/// The newest values that wait for one connection.
#[derive(Debug, Default)]
pub(crate) struct LatestValues {
    /// Those of one lane are adjacent, in the order in which their topics began to wait.
    values: BTreeMap<Place, Value>,
    places: BTreeMap<ByTopic, Place>,
    rounds: BTreeMap<Interval, Round>,
    /// The intervals that rest, by when their rest is over.
    resting: BTreeSet<(Instant, Interval)>,
    /// The other intervals of `rounds`.
    ready: BTreeSet<Interval>,
    /// The number of the next topic that begins to wait.
    next_number: u64,
    bytes: usize,
    /// When [`Timer::Latest`] is due.
    timer_at: Option<Instant>,
}

/// Where a value waits: its lane, and a number that grows with time.
type Place = (Lane, u64);

/// What a value waits for.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// A retained look-up that may yet find an older message.
    Held,
    /// The next round of its interval.
    Of(Interval),
}

/// A value that waits to be sent.
#[derive(Debug)]
pub(super) struct Value {
    message: Arc<Message>,
    delivery: Delivery,
    interval: Interval,
    /// How many messages it has replaced since the last one was sent.
    skipped: u32,
}

/// What an interval is about to do. An interval that has sent nothing for its own length, and has
/// nothing to send, is not kept.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Round {
    /// It sends nothing before this time.
    Resting(Instant),
    /// It sends as soon as the connection can take something.
    Ready,
    /// It sends the topics whose number is lower than this.
    Sending(u64),
}

/// Finds a message by its topic, without a copy of the topic.
#[derive(Debug)]
struct ByTopic(Arc<Message>);

/// What [`LatestValues::put`] did.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Put {
    /// Whether the message replaced another one.
    pub(super) has_replaced: bool,
    /// How many values were dropped, because there was no room for all.
    pub(super) dropped: u64,
}

impl LatestValues {
    /// Bytes that a value takes here, approximately, without its message.
    const VALUE: usize = 160;
    /// Bytes that an interval takes here, approximately.
    const ROUND: usize = 96;

    /// Whether a message to `topic` may be sent now, without waiting here.
    pub(super) fn is_free(&self, now: Instant, interval: Interval, topic: &str) -> bool {
        let is_over = match self.rounds.get(&interval) {
            None => true,
            Some(Round::Resting(until)) => *until <= now,
            Some(Round::Ready | Round::Sending(_)) => false,
        };
        is_over && self.first(Lane::Of(interval)).is_none() && !self.places.contains_key(topic)
    }

    /// Notes that a message was sent without waiting here.
    pub(super) fn sent(&mut self, now: Instant, interval: Interval) {
        self.set_round(interval, Some(Round::Resting(now + interval.duration())));
    }

    /// Adds the newest message of a topic. If the values would take more than `most` bytes, drops
    /// those of the same lane that have waited for longest, then others, then the new one.
    pub(super) fn put(
        &mut self,
        now: Instant,
        interval: Interval,
        (message, delivery): (Arc<Message>, Delivery),
        is_held: bool,
        most: usize,
    ) -> Put {
        let old = self.take(message.topic());
        let replaces = |(_, old): &(Place, Value)| old.skipped.saturating_add(1);
        let value = Value {
            message,
            delivery,
            interval,
            skipped: old.as_ref().map_or(0, replaces),
        };
        let mut put = Put {
            has_replaced: old.is_some(),
            dropped: 0,
        };
        let lane = if is_held {
            Lane::Held
        } else {
            Lane::Of(interval)
        };
        while self.bytes + value.cost() > most {
            put.dropped += 1;
            let others = || self.values.keys().next().copied();
            let Some(oldest) = self.first(lane).or_else(others) else {
                return put;
            };
            self.remove(oldest);
        }
        let kept = old.map(|(place, _)| place).filter(|it| it.0 == lane);
        let place = kept.unwrap_or((lane, self.next_number));
        self.next_number += 1;
        self.insert(place, value);
        if !is_held {
            self.wake_round(now, interval);
        }
        put
    }

    /// Notes a retained message that a look-up has found. If a newer message to its topic waits,
    /// that one stands for both, and need not wait for the look-up any more. Returns whether it
    /// does.
    pub(super) fn has_newer(&mut self, now: Instant, topic: &str) -> bool {
        let Some((place, mut value)) = self.take(topic) else {
            return false;
        };
        value.skipped = value.skipped.saturating_add(1);
        let lane = Lane::Of(value.interval);
        self.wake_round(now, value.interval);
        self.insert((lane, place.1), value);
        true
    }

    /// Lets go of everything that waited for look-ups: they are over.
    pub(crate) fn release(&mut self, now: Instant) {
        while let Some(place) = self.first(Lane::Held)
            && let Some(value) = self.values.remove(&place)
        {
            self.bytes -= value.cost();
            let lane = Lane::Of(value.interval);
            self.wake_round(now, value.interval);
            self.insert((lane, place.1), value);
        }
    }

    /// The next value to send now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Place> {
        self.end_rests(now);
        while let Some(&interval) = self.ready.first() {
            let before = match self.rounds.get(&interval) {
                Some(Round::Sending(before)) => *before,
                Some(Round::Ready | Round::Resting(_)) | None => self.next_number,
            };
            let first = self.first(Lane::Of(interval));
            if let Some(place) = first.filter(|place| place.1 < before) {
                self.set_round(interval, Some(Round::Sending(before)));
                return Some(place);
            }
            // The last values of the round were dropped.
            self.sent(now, interval);
        }
        None
    }

    pub(super) fn value(&self, place: Place) -> Option<&Value> {
        self.values.get(&place)
    }

    /// Removes a value that was sent.
    pub(super) fn pop_sent(&mut self, now: Instant, place: Place) {
        let interval = self.values.get(&place).map(|value| value.interval);
        self.remove(place);
        if let Some(interval) = interval
            && let Some(Round::Sending(before)) = self.rounds.get(&interval).copied()
            && self
                .first(Lane::Of(interval))
                .is_none_or(|next| next.1 >= before)
        {
            self.sent(now, interval);
        }
    }

    /// Removes a value that will not be sent.
    pub(super) fn remove(&mut self, place: Place) {
        if let Some(value) = self.values.remove(&place) {
            self.bytes -= value.cost();
            self.places.remove(value.message.topic());
        }
    }

    /// Removes the value of a topic. Returns whether there was one.
    pub(super) fn forget(&mut self, topic: &str) -> bool {
        self.take(topic).is_some()
    }

    /// Removes the values of all topics for which `is_wanted` is false.
    pub(crate) fn retain(&mut self, mut is_wanted: impl FnMut(&str) -> bool) {
        let unwanted: Vec<_> = self
            .values
            .iter()
            .filter(|(_, value)| !is_wanted(value.message.topic()))
            .map(|(place, _)| *place)
            .collect();
        for place in unwanted {
            self.remove(place);
        }
    }

    /// Ends the rests that are over by `now`.
    pub(super) fn end_rests(&mut self, now: Instant) {
        while let Some(&(until, interval)) = self.resting.first()
            && until <= now
        {
            let waits = self.first(Lane::Of(interval)).is_some();
            self.set_round(interval, waits.then_some(Round::Ready));
        }
    }

    /// Sets [`Timer::Latest`] to when the next rest is over.
    pub(super) fn set_timer(&mut self, slot: Slot, timers: &mut Timers) {
        let due = self.resting.first().map(|(until, _)| *until);
        timers.set(Timer::Latest(slot), &mut self.timer_at, due);
    }

    /// Notes that [`Timer::Latest`] was due.
    pub(crate) fn timer_fired(&mut self) {
        self.timer_at = None;
    }

    /// Removes [`Timer::Latest`], because the connection ends.
    pub(crate) fn clear_timer(&mut self, slot: Slot, timers: &mut Timers) {
        timers.set(Timer::Latest(slot), &mut self.timer_at, None);
    }

    /// Bytes of memory, approximately, counted as if no connection shared a message.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.rounds.len() * Self::ROUND
    }

    /// Whether something may be sent as soon as the connection can take it.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether it knows nothing, so that it need not be kept.
    pub(super) fn is_idle(&self) -> bool {
        self.values.is_empty() && self.rounds.is_empty()
    }

    /// Makes sure that what waits in this interval is sent once its rest is over.
    fn wake_round(&mut self, now: Instant, interval: Interval) {
        match self.rounds.get(&interval) {
            Some(Round::Resting(until)) if *until > now => {}
            Some(Round::Ready | Round::Sending(_)) => {}
            Some(Round::Resting(_)) | None => self.set_round(interval, Some(Round::Ready)),
        }
    }

    fn set_round(&mut self, interval: Interval, round: Option<Round>) {
        let old = match round {
            Some(round) => self.rounds.insert(interval, round),
            None => self.rounds.remove(&interval),
        };
        match old {
            Some(Round::Resting(until)) => self.resting.remove(&(until, interval)),
            Some(Round::Ready | Round::Sending(_)) => self.ready.remove(&interval),
            None => false,
        };
        match round {
            Some(Round::Resting(until)) => self.resting.insert((until, interval)),
            Some(Round::Ready | Round::Sending(_)) => self.ready.insert(interval),
            None => false,
        };
    }

    /// The value of this lane whose topic has waited for longest.
    fn first(&self, lane: Lane) -> Option<Place> {
        let all = (lane, 0)..=(lane, u64::MAX);
        self.values.range(all).next().map(|(place, _)| *place)
    }

    fn take(&mut self, topic: &str) -> Option<(Place, Value)> {
        let place = self.places.remove(topic)?;
        let value = self.values.remove(&place)?;
        self.bytes -= value.cost();
        Some((place, value))
    }

    fn insert(&mut self, place: Place, value: Value) {
        self.bytes += value.cost();
        let topic = ByTopic(Arc::clone(&value.message));
        self.places.insert(topic, place);
        self.values.insert(place, value);
    }
}

impl Value {
    pub(super) fn message(&self) -> &Arc<Message> {
        &self.message
    }

    pub(super) fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    pub(super) fn skipped(&self) -> u32 {
        self.skipped
    }

    fn cost(&self) -> usize {
        LatestValues::VALUE + Queued::cost_of(self.message.cost(), &self.delivery)
    }
}

impl ByTopic {
    fn topic(&self) -> &str {
        self.0.topic()
    }
}

impl Borrow<str> for ByTopic {
    fn borrow(&self) -> &str {
        self.topic()
    }
}

impl PartialEq for ByTopic {
    fn eq(&self, other: &Self) -> bool {
        self.topic() == other.topic()
    }
}

impl Eq for ByTopic {}

impl PartialOrd for ByTopic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByTopic {
    fn cmp(&self, other: &Self) -> Ordering {
        self.topic().cmp(other.topic())
    }
}
