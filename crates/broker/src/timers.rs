//! When something is due.
//!
//! An ordered set, from which an entry is taken exactly when its owner no longer needs it:
//! no stale entries pile up, whatever clients do. A connection has one entry. It is not
//! moved by each packet: when it is due, the connection looks when it last heard something
//! (so 100,000 connections with 60 s keep alive cost about 1,100 moves a second, at
//! O(log n)).

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
    entries: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    /// When the first is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.entries.first().map(|(at, _)| *at)
    }

    /// Changes when `timer` is due, where `at` is its owner's note of it.
    pub(crate) fn set(&mut self, timer: Timer, at: &mut Option<Instant>, new: Option<Instant>) {
        if *at == new {
            return;
        }
        if let Some(old) = *at {
            self.entries.remove(&(old, timer));
        }
        if let Some(new) = new {
            self.entries.insert((new, timer));
        }
        *at = new;
    }

    /// Takes the first that is due out. Its owner's note of it is out of date from then on.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.entries.pop_first().map(|(_, timer)| timer)
    }
}
