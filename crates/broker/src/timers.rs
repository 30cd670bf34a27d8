//! When something is due.
//!
//! Ordered sets, from which an entry is taken exactly when its owner no longer needs it:
//! no stale entries pile up, whatever clients do. A connection has one entry. It is not
//! moved by each packet: when it is due, the connection looks when it last heard something
//! (so 100,000 connections with 60 s keep alive cost about 1,100 moves a second, at
//! O(log n)).
//!
//! Some things can be late: there are two sets, so that nothing else is late for them.

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
    patient: BTreeSet<(Instant, Timer)>,
}

impl Timer {
    /// Whether it can wait where many are due at once: something ends, and who asks for it is
    /// told that it has ended.
    const fn is_patient(self) -> bool {
        match self {
            Self::Connection(_) | Self::SessionExpiry(_) | Self::Retained(_) => true,
            Self::Resume(_) | Self::Will(_) | Self::Lookups => false,
        }
    }
}

impl Timers {
    /// When the first is due, where nothing that can wait is before `patience`.
    pub(crate) fn next(&self, patience: Instant) -> Option<Instant> {
        let prompt = self.prompt.first().map(|(at, _)| *at);
        let patient = self.patient.first().map(|(at, _)| patience.max(*at));
        prompt.into_iter().chain(patient).min()
    }

    /// Changes when `timer` is due, where `at` is its owner's note of it.
    pub(crate) fn set(&mut self, timer: Timer, at: &mut Option<Instant>, new: Option<Instant>) {
        if *at == new {
            return;
        }
        let entries = if timer.is_patient() {
            &mut self.patient
        } else {
            &mut self.prompt
        };
        if let Some(old) = *at {
            entries.remove(&(old, timer));
        }
        if let Some(new) = new {
            entries.insert((new, timer));
        }
        *at = new;
    }

    /// Takes the first that is due out, or with `is_patient` the first of those that cannot
    /// wait. Its owner's note of it is out of date from then on.
    pub(crate) fn pop_due(&mut self, now: Instant, is_patient: bool) -> Option<Timer> {
        let prompt = self.prompt.first();
        let patient = self.patient.first().filter(|_| !is_patient);
        let entries = match (prompt, patient) {
            (Some(prompt), Some(patient)) if patient < prompt => &mut self.patient,
            (None, Some(_)) => &mut self.patient,
            (_, _) => &mut self.prompt,
        };
        if entries.first()?.0 > now {
            return None;
        }
        entries.pop_first().map(|(_, timer)| timer)
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
