//! Simulated time, and the events that are due.

use core::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use mqtt::Instant;

/// A clock that stands still until the next event is due.
///
/// Events that are due at the same instant come in the order in which they were scheduled.
#[derive(Debug)]
pub struct Clock<E> {
    now: Instant,
    scheduled: u64,
    due: BinaryHeap<Reverse<Due<E>>>,
}

#[derive(Debug)]
struct Due<E> {
    at: Instant,
    order: u64,
    event: E,
}

impl<E> Clock<E> {
    /// Creates a clock that shows `now`.
    pub const fn new(now: Instant) -> Self {
        Self {
            now,
            scheduled: 0,
            due: BinaryHeap::new(),
        }
    }

    /// The time that it shows.
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Makes `event` due at `at`, or now if that has passed.
    pub fn schedule(&mut self, at: Instant, event: E) {
        let order = self.scheduled;
        self.scheduled += 1;
        self.due.push(Reverse(Due { at, order, event }));
    }

    /// When the next event is due.
    pub fn next_at(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse(due)| due.at.max(self.now))
    }

    /// Moves to the next event that is due, if there is one.
    pub fn pop(&mut self) -> Option<(Instant, E)> {
        let Reverse(due) = self.due.pop()?;
        self.advance(due.at);
        Some((self.now, due.event))
    }

    /// Moves forward to `now`; never back.
    pub fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }
}

impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<E> Eq for Due<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_order() {
        let mut clock = Clock::new(Instant::ZERO);
        clock.schedule(Instant::from_millis(2), 'c');
        clock.schedule(Instant::from_millis(1), 'a');
        clock.schedule(Instant::from_millis(1), 'b');
        let order: Vec<char> = core::iter::from_fn(|| clock.pop())
            .map(|(_, e)| e)
            .collect();
        assert_eq!(order, ['a', 'b', 'c']);
        assert_eq!(clock.now(), Instant::from_millis(2));
    }
}
