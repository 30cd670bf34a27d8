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

use crate::types::{NodeId, SessionId, Slot};

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
    // What can wait where many are due at once: something ends, and who asks for it is told that
    // it has ended.
    connections: BTreeSet<(Instant, Slot)>,
    sessions: BTreeSet<(Instant, SessionId)>,
    retained: BTreeSet<(Instant, NodeId)>,
}

impl Timers {
    /// When the first is due, where nothing that can wait is before `patience`.
    pub(crate) fn next(&self, patience: Instant) -> Option<Instant> {
        let patient = self.patient().into_iter().flatten();
        let patient = patient.map(|at| patience.max(at));
        first(&self.prompt).into_iter().chain(patient).min()
    }

    /// When the first of each kind is due that can wait.
    fn patient(&self) -> [Option<Instant>; 3] {
        let Self {
            prompt: _,
            connections,
            sessions,
            retained,
        } = self;
        [first(connections), first(sessions), first(retained)]
    }

    /// Changes when `timer` is due, where `at` is its owner's note of it.
    pub(crate) fn set(&mut self, timer: Timer, at: &mut Option<Instant>, new: Option<Instant>) {
        let old = core::mem::replace(at, new);
        if old == new {
            return;
        }
        match timer {
            Timer::Resume(_) | Timer::Will(_) | Timer::Lookups => {
                change(&mut self.prompt, timer, old, new);
            }
            Timer::Connection(slot) => change(&mut self.connections, slot, old, new),
            Timer::SessionExpiry(session) => change(&mut self.sessions, session, old, new),
            Timer::Retained(node) => change(&mut self.retained, node, old, new),
        }
    }

    /// Takes the first that is due out; where `all_wait` that can wait, the first of the others.
    /// Its owner's note of it is out of date from then on.
    pub(crate) fn pop_due(&mut self, now: Instant, all_wait: bool) -> Option<Timer> {
        let patient = self.patient().map(|at| at.filter(|_| !all_wait));
        let [connection, session, _] = patient;
        let prompt = first(&self.prompt);
        let first = [prompt].into_iter().chain(patient).flatten().min();
        // At the same time, what cannot wait comes first.
        if first == prompt {
            pop_due(now, &mut self.prompt)
        } else if first == connection {
            self.pop_due_connection(now).map(Timer::Connection)
        } else if first == session {
            self.pop_due_session(now).map(Timer::SessionExpiry)
        } else {
            self.pop_due_retained(now).map(Timer::Retained)
        }
    }

    /// Takes the first of the connections out that are to be looked after.
    pub(crate) fn pop_due_connection(&mut self, now: Instant) -> Option<Slot> {
        pop_due(now, &mut self.connections)
    }

    /// Takes the first of the sessions out that are due to expire.
    pub(crate) fn pop_due_session(&mut self, now: Instant) -> Option<SessionId> {
        pop_due(now, &mut self.sessions)
    }

    /// Takes the first of the retained messages out that are due to expire.
    pub(crate) fn pop_due_retained(&mut self, now: Instant) -> Option<NodeId> {
        pop_due(now, &mut self.retained)
    }
}

fn first<T>(entries: &BTreeSet<(Instant, T)>) -> Option<Instant>
where
    T: Ord,
{
    entries.first().map(|(at, _)| *at)
}

fn pop_due<T>(now: Instant, entries: &mut BTreeSet<(Instant, T)>) -> Option<T>
where
    T: Ord,
{
    entries.first().filter(|(at, _)| *at <= now)?;
    entries.pop_first().map(|(_, it)| it)
}

fn change<T>(
    entries: &mut BTreeSet<(Instant, T)>,
    it: T,
    old: Option<Instant>,
    new: Option<Instant>,
) where
    T: Copy + Ord,
{
    if let Some(old) = old {
        entries.remove(&(old, it));
    }
    if let Some(new) = new {
        entries.insert((new, it));
    }
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
