//! When something is due.
//!
//! Timers are ordered sets. The owner of a timer removes it as soon as it is not needed any more,
//! so clients cannot pile up stale entries. A connection has one timer, and packets do not move it:
//! when it is due, the broker checks when it last heard from the client. So 100,000 connections
//! with a keep alive of 60 s cost about 1,100 such checks a second, each at O(log n).
//!
//! Deferrable timers are in sets of their own. Urgent timers need not wait for them, and the
//! broker can run them early if it needs the memory that they would free.

use std::collections::BTreeSet;

use mqtt::Instant;

use crate::types::{NodeId, SessionId, Slot};

/// A timer, named after what it wakes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A connection that has not sent CONNECT, or whose keep alive may have passed.
    Connection(Slot),
    /// A paused connection, which the broker then reads again.
    Resume(Slot),
    /// The delayed will of a session.
    Will(SessionId),
    /// A session without a connection, which expires.
    SessionExpiry(SessionId),
    /// A retained message, which expires.
    Retained(NodeId),
    /// The next session in line to continue its retained look-ups.
    Lookups,
    /// A connection with newest values that may be sent.
    Latest(Slot),
}

/// All timers.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    urgent: BTreeSet<(Instant, Timer)>,
    /// Delayed wills, which are urgent too.
    wills: BTreeSet<(Instant, SessionId)>,
    // These timers are deferrable, because many may be due at once. Each of the first three only
    // ends something, and a client that asks for that thing before is told that it has ended. Newest
    // values only become newer while they wait.
    connections: BTreeSet<(Instant, Slot)>,
    sessions: BTreeSet<(Instant, SessionId)>,
    retained: BTreeSet<(Instant, NodeId)>,
    latest: BTreeSet<(Instant, Slot)>,
}

impl Timers {
    /// When the first timer is due. A deferrable one counts as due at `not_before` at the
    /// earliest.
    pub(crate) fn next(&self, not_before: Instant) -> Option<Instant> {
        let deferrable = self.deferrable().into_iter().flatten();
        let deferrable = deferrable.map(|at| not_before.max(at));
        let urgent = [first(&self.urgent), first(&self.wills)];
        urgent.into_iter().flatten().chain(deferrable).min()
    }

    /// When the first deferrable timer of each kind is due.
    fn deferrable(&self) -> [Option<Instant>; 4] {
        let Self {
            urgent: _,
            wills: _,
            connections,
            sessions,
            retained,
            latest,
        } = self;
        [
            first(connections),
            first(sessions),
            first(retained),
            first(latest),
        ]
    }

    /// Makes `timer` due at `new`, or never if that is `None`. `at` is where the timer's owner
    /// keeps the time at which it is due; it is updated too.
    pub(crate) fn set(&mut self, timer: Timer, at: &mut Option<Instant>, new: Option<Instant>) {
        let old = core::mem::replace(at, new);
        if old == new {
            return;
        }
        match timer {
            Timer::Resume(_) | Timer::Lookups => change(&mut self.urgent, timer, old, new),
            Timer::Will(session) => change(&mut self.wills, session, old, new),
            Timer::Connection(slot) => change(&mut self.connections, slot, old, new),
            Timer::SessionExpiry(session) => change(&mut self.sessions, session, old, new),
            Timer::Retained(node) => change(&mut self.retained, node, old, new),
            Timer::Latest(slot) => change(&mut self.latest, slot, old, new),
        }
    }

    /// Removes and returns the first timer that is due; with `urgent_only`, the first urgent
    /// one. Its owner must then clear the time that it keeps. Connections, sessions and wills are due
    /// only up to `heard`: later bytes of their clients may not have been read yet.
    pub(crate) fn pop_due(
        &mut self,
        now: Instant,
        heard: Instant,
        urgent_only: bool,
    ) -> Option<Timer> {
        let heard = now.min(heard);
        let mut deferrable = self.deferrable().map(|at| at.filter(|_| !urgent_only));
        for at in &mut deferrable[..2] {
            *at = at.filter(|at| *at <= heard);
        }
        let [connection, session, retained, _] = deferrable;
        let urgent = first(&self.urgent);
        let will = first(&self.wills).filter(|at| *at <= heard);
        let all = [urgent, will].into_iter().chain(deferrable);
        let first = all.flatten().min();
        // Of timers for the same time, urgent ones come first.
        if first == urgent {
            pop_due(now, &mut self.urgent)
        } else if first == will {
            pop_due(heard, &mut self.wills).map(Timer::Will)
        } else if first == connection {
            self.pop_due_connection(heard).map(Timer::Connection)
        } else if first == session {
            self.pop_due_session(heard).map(Timer::SessionExpiry)
        } else if first == retained {
            self.pop_due_retained(now).map(Timer::Retained)
        } else {
            pop_due(now, &mut self.latest).map(Timer::Latest)
        }
    }

    /// Removes and returns the first connection whose timer is due.
    pub(crate) fn pop_due_connection(&mut self, now: Instant) -> Option<Slot> {
        pop_due(now, &mut self.connections)
    }

    /// Removes and returns the first session that is due to expire.
    pub(crate) fn pop_due_session(&mut self, now: Instant) -> Option<SessionId> {
        pop_due(now, &mut self.sessions)
    }

    /// Removes and returns the first retained message that is due to expire.
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
    fn urgent_timers_do_not_wait_for_deferrable_ones() {
        let mut timers = Timers::default();
        let at = Instant::from_millis;
        let session = SessionId::from_number(7);
        let (mut expiry, mut will) = (None, None);
        timers.set(Timer::SessionExpiry(session), &mut expiry, Some(at(1)));
        timers.set(Timer::Will(session), &mut will, Some(at(2)));
        assert_eq!(timers.next(at(0)), Some(at(1)));
        assert_eq!(timers.next(at(5)), Some(at(2)));
        assert_eq!(timers.pop_due(at(1), at(1), true), None);
        assert_eq!(
            timers.pop_due(at(3), at(3), true),
            Some(Timer::Will(session))
        );
        assert_eq!(timers.next(at(5)), Some(at(5)));
        assert_eq!(timers.pop_due(at(3), at(3), true), None);
        // Without `urgent_only` each runs in the order of its time.
        will = None;
        timers.set(Timer::Will(session), &mut will, Some(at(2)));
        let due = [(); 3].map(|()| timers.pop_due(at(3), at(3), false));
        let expected = [Timer::SessionExpiry(session), Timer::Will(session)];
        assert_eq!(due, [Some(expected[0]), Some(expected[1]), None]);
    }
    #[test]
    fn what_waits_for_bytes_of_a_client_keeps_nothing_else_waiting() {
        let mut timers = Timers::default();
        let at = Instant::from_millis;
        let (slot, session) = (Slot::from_key(3), SessionId::from_number(7));
        let waiting = [
            Timer::Connection(slot),
            Timer::Will(session),
            Timer::SessionExpiry(session),
        ];
        for timer in waiting {
            timers.set(timer, &mut None, Some(at(1)));
        }
        let (node, mut expiry) = (NodeId::ROOT, None);
        timers.set(Timer::Retained(node), &mut expiry, Some(at(2)));
        let first = timers.pop_due(at(3), at(0), false);
        assert_eq!(first, Some(Timer::Retained(node)));
        assert_eq!(timers.pop_due(at(3), at(0), false), None);
        assert_eq!(timers.next(at(0)), Some(at(1)));
        let then = [(); 3].map(|()| timers.pop_due(at(3), at(1), false).unwrap());
        assert!(waiting.iter().all(|it| then.contains(it)), "{then:?}");
    }
}
