//! When something is due.
//!
//! Ordered sets, from which an entry is taken exactly when its owner no longer needs it:
//! no stale entries pile up, whatever clients do. A connection has one entry. It is not
//! moved by each packet: when it is due, the connection looks when it last heard something
//! (so 100,000 connections with 60 s keep alive cost about 1,100 moves a second, at
//! O(log n)).
//!
//! Some things can be late: they are in sets of their own, so that nothing else is late for them,
//! and who needs the room that they take can have them end at once.

use std::collections::BTreeSet;

use mqtt::Instant;

use crate::connection::Slot;
use crate::session::SessionId;
use crate::tree::NodeId;

/// Whose time has come.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A CONNECT that has not come, or a keep alive.
    Connection(Slot),
    /// A connection that is not read for a while.
    Resume(Slot),
    /// A will that was delayed.
    Will(SessionId),
    /// A session without a connection.
    SessionExpiry(SessionId),
    /// A retained message.
    Retained(NodeId),
    /// The next of the sessions that look for retained messages and rest.
    Lookups,
}

/// All that will be due.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    prompt: BTreeSet<(Instant, Timer)>,
    connections: BTreeSet<(Instant, Timer)>,
    sessions: BTreeSet<(Instant, Timer)>,
    retained: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// When the first is due, where nothing that can wait is before `patience`.
    pub(crate) fn next(&self, patience: Instant) -> Option<Instant> {
        let prompt = self.prompt.first().map(|(at, _)| *at);
        let patient = self.patient().into_iter().filter_map(BTreeSet::first);
        let patient = patient.map(|(at, _)| patience.max(*at));
        prompt.into_iter().chain(patient).min()
    }

    /// What can wait where many are due at once: something ends, and who asks for it is told that
    /// it has ended.
    const fn patient(&self) -> [&BTreeSet<(Instant, Timer)>; 3] {
        [&self.connections, &self.sessions, &self.retained]
    }

    /// Where `timer` belongs.
    const fn entries(&mut self, timer: Timer) -> &mut BTreeSet<(Instant, Timer)> {
        match timer {
            Timer::Resume(_) | Timer::Will(_) | Timer::Lookups => &mut self.prompt,
            Timer::Connection(_) => &mut self.connections,
            Timer::SessionExpiry(_) => &mut self.sessions,
            Timer::Retained(_) => &mut self.retained,
        }
    }

    /// Changes when `timer` is due, where `at` is its owner's note of it.
    pub(crate) fn set(&mut self, timer: Timer, at: &mut Option<Instant>, new: Option<Instant>) {
        if *at == new {
            return;
        }
        let entries = self.entries(timer);
        if let Some(old) = *at {
            entries.remove(&(old, timer));
        }
        if let Some(new) = new {
            entries.insert((new, timer));
        }
        *at = new;
    }

    /// Takes the first that is due out; where `all_wait` that can wait, the first of the others.
    /// Its owner's note of it is out of date from then on.
    pub(crate) fn pop_due(&mut self, now: Instant, all_wait: bool) -> Option<Timer> {
        let patient = self.patient().into_iter().filter(|_| !all_wait);
        let first = patient.filter_map(BTreeSet::first).min();
        let (at, timer) = *first.into_iter().chain(self.prompt.first()).min()?;
        if at > now {
            return None;
        }
        self.entries(timer).pop_first();
        Some(timer)
    }

    /// Takes the first of the sessions out that are due to expire.
    pub(crate) fn pop_due_session(&mut self, now: Instant) -> Option<SessionId> {
        match pop_if_due(now, &mut self.sessions)? {
            Timer::SessionExpiry(session) => Some(session),
            Timer::Connection(_)
            | Timer::Resume(_)
            | Timer::Will(_)
            | Timer::Retained(_)
            | Timer::Lookups => None,
        }
    }

    /// Takes the first of the retained messages out that are due to expire.
    pub(crate) fn pop_due_retained(&mut self, now: Instant) -> Option<NodeId> {
        match pop_if_due(now, &mut self.retained)? {
            Timer::Retained(node) => Some(node),
            Timer::Connection(_)
            | Timer::Resume(_)
            | Timer::Will(_)
            | Timer::SessionExpiry(_)
            | Timer::Lookups => None,
        }
    }
}

fn pop_if_due(now: Instant, entries: &mut BTreeSet<(Instant, Timer)>) -> Option<Timer> {
    entries.first().filter(|(at, _)| *at <= now)?;
    entries.pop_first().map(|(_, timer)| timer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_wait_does_not_wait_for_what_can() {
        let mut timers = Timers::default();
        let at = Instant::from_millis;
        let session = SessionId::from_number(7);
        let (mut expiry, mut will) = (None, None);
        timers.set(Timer::SessionExpiry(session), &mut expiry, Some(at(1)));
        timers.set(Timer::Will(session), &mut will, Some(at(2)));
        assert_eq!(timers.next(at(0)), Some(at(1)));
        assert_eq!(timers.next(at(5)), Some(at(2)));
        assert_eq!(timers.pop_due(at(1), true), None);
        assert_eq!(timers.pop_due(at(3), true), Some(Timer::Will(session)));
        assert_eq!(timers.next(at(5)), Some(at(5)));
        assert_eq!(timers.pop_due(at(3), true), None);
        // Otherwise each has its turn when it is due.
        will = None;
        timers.set(Timer::Will(session), &mut will, Some(at(2)));
        let due = [(); 3].map(|()| timers.pop_due(at(3), false));
        let expected = [Timer::SessionExpiry(session), Timer::Will(session)];
        assert_eq!(due, [Some(expected[0]), Some(expected[1]), None]);
    }
}
