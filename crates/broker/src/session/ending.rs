//! What is over, a bounded piece at a time.
//!
//! Much can end at once: a publish fills ten thousand queues, a network fails and as many
//! clients are silent for too long, a tree of retained messages expires. None of it is urgent,
//! and all of it would keep everybody else waiting. So a queue whose session is over is freed
//! message by message, and clients are dismissed, and sessions and retained messages expire,
//! only as far as there are steps left of those that a millisecond has; the rest goes on in the
//! next one, whether something else happens or not ([`Output::Idle`](crate::Output::Idle)). One
//! piece is not divided; what it takes beyond the steps that are left makes the next one wait.
//!
//! **Invariant.** What is not done yet is held, and counts as held: in the gauges, and against
//! the limits. But nobody pays for it: who would find no room in a queue, or for a connection, a
//! session, a subscription, a will or a retained message, has as much of it ended at once as makes
//! room, though not more than some dozens of sessions; and who lacks memory has queues freed. For
//! memory alone no session and no retained message expires before its turn. And nobody is told
//! otherwise: a session that is over goes on for nobody, whether its queue is freed or not, and
//! nothing more is read from a client that is to be dismissed.

use std::collections::VecDeque;

use core::time::Duration;

use mqtt::Instant;

use crate::session::Outgoing;
use crate::types::{CloseCause, Conn, Metrics, Slot, Weight, shrink};

/// How much of what is over is ended at once. Only tests have a reason to change it: they have
/// little that is over.
#[doc(hidden)]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    /// How many there are in each rest; at least one.
    pub each: usize,
    /// How many messages are freed with their session, whether there are steps or not.
    pub little: usize,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            each: Ending::STEPS,
            little: 64,
        }
    }
}

/// What is to be ended and freed, and how much of it may be done now.
#[derive(Debug)]
pub(crate) struct Ending {
    /// Connections to be closed for a limit: found while messages were handed out, where nothing
    /// may be closed.
    doomed: Vec<(Slot, Conn, CloseCause)>,
    /// What was to be sent to sessions that are over.
    remains: VecDeque<Box<Outgoing>>,
    /// Bytes of that.
    bytes: u64,
    of: Steps,
    /// How many steps are left.
    steps: usize,
    /// How many were done beyond those: others wait for as long as that would have taken.
    owed: usize,
    /// When there are all of them again, but for those owed.
    renewed_at: Instant,
}

impl Ending {
    /// How many steps there are in each [`REST`](Self::REST). One takes some 20 ns: what is
    /// ended costs everybody else less than a tenth of the time.
    pub(crate) const STEPS: usize = 4_096;
    /// How often there are new steps.
    pub(crate) const REST: Duration = Duration::from_millis(1);
    /// How many rests can be owed. Whoever ends much that cannot wait, such as many connections
    /// of its own, does not make all the rest wait for ever.
    const MOST_OWED: usize = 32;
    /// What closing a connection takes, most of it in the shell.
    pub(crate) const CLOSE: usize = 512;
    /// What it takes to look at something whose time has come.
    pub(crate) const TIMER: usize = 4;
    /// What it takes to end a session that has nothing.
    pub(crate) const SESSION: usize = 32;
    /// What it takes to forget one of its subscriptions, or what is looked for because of it.
    pub(crate) const SUBSCRIPTION: usize = 8;
    /// What it takes to offer one of its messages to others in a group.
    pub(crate) const OFFER: usize = 4;
    /// How many bytes that were to be written are freed in one step.
    pub(crate) const BYTES: usize = 1_024;

    pub(crate) fn new(of: Steps) -> Self {
        let each = of.each.max(1);
        Self {
            doomed: Vec::new(),
            remains: VecDeque::new(),
            bytes: 0,
            of: Steps { each, ..of },
            steps: each,
            owed: 0,
            renewed_at: Instant::ZERO,
        }
    }

    /// Time has passed: there may be new steps.
    pub(crate) fn renew(&mut self, now: Instant) {
        if now >= self.renewed_at && now >= self.renewal() {
            self.steps = self.of.each - self.owed % self.of.each;
            self.owed = 0;
            self.renewed_at = now + Self::REST;
        }
    }

    /// Something is done, whether there were steps for it or not.
    pub(crate) fn spend(&mut self, steps: usize) {
        let beyond = steps.saturating_sub(self.steps);
        self.steps = self.steps.saturating_sub(steps);
        self.owed = self
            .owed
            .saturating_add(beyond)
            .min(Self::MOST_OWED * self.of.each);
    }

    /// When there are new steps.
    fn renewal(&self) -> Instant {
        let rests = u32::try_from(self.owed / self.of.each).unwrap_or(u32::MAX);
        self.renewed_at + Self::REST * rests
    }

    /// Whether there are no steps left for what can wait.
    pub(crate) fn is_spent(&self) -> bool {
        self.steps == 0
    }

    /// When there is something to be done, if nothing else happens.
    pub(crate) fn next(&self) -> Option<Instant> {
        let is_done = self.doomed.is_empty() && self.remains.is_empty();
        (!is_done).then(|| self.renewal())
    }

    /// Before when nothing can be done that takes steps.
    pub(crate) fn not_before(&self) -> Instant {
        if self.is_spent() {
            self.renewal()
        } else {
            Instant::ZERO
        }
    }

    /// The connection is to be closed. Once: see [`Link::is_doomed`](crate::connection::Link).
    pub(crate) fn doom(&mut self, slot: Slot, conn: Conn, cause: CloseCause) {
        self.doomed.push((slot, conn, cause));
    }

    /// The next connection to be closed, if there are steps for that. The last comes first: as
    /// a rule they stand in the order of their sessions, and in lists of those it takes least
    /// to take out the last.
    pub(crate) fn pop_doomed(&mut self) -> Option<(Slot, Conn, CloseCause)> {
        if self.is_spent() {
            return None;
        }
        self.take_doomed()
    }

    /// The same, whether there are steps for that or not.
    pub(crate) fn take_doomed(&mut self) -> Option<(Slot, Conn, CloseCause)> {
        let last = self.doomed.pop()?;
        shrink::shrink_list(&mut self.doomed);
        Some(last)
    }

    /// A session is over that had this to be sent: it is freed, now if it is little. What is
    /// not freed stays counted.
    pub(crate) fn leave(&mut self, mut outgoing: Box<Outgoing>, metrics: &mut Metrics) {
        if outgoing.messages() > self.of.little {
            self.bytes += outgoing.bytes() as u64;
            self.remains.push_back(outgoing);
        } else {
            let before = outgoing.weight();
            let mut steps = usize::MAX;
            outgoing.free(&mut steps);
            self.spend(usize::MAX - steps);
            metrics.requeue(before, Weight::default());
        }
    }

    /// Frees so many bytes, if there are as many, whether there are steps for it or not.
    pub(crate) fn make_room(&mut self, bytes: u64, metrics: &mut Metrics) {
        /// Several messages at a time.
        const STEPS: usize = 64;
        let enough = metrics.queued_bytes.saturating_sub(bytes);
        while metrics.queued_bytes > enough && !self.remains.is_empty() {
            let mut steps = STEPS;
            self.free_first(&mut steps, metrics);
            self.spend(STEPS - steps);
        }
    }

    /// How many bytes of [`Metrics::queued_bytes`] can be freed at any time.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Messages that wait to be freed, and their bytes.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        let remains = self.remains.iter();
        let held = remains.map(|it| (it.messages(), it.bytes()));
        let held = held.fold((0, 0), |all, it| (all.0 + it.0, all.1 + it.1));
        assert_eq!(held.1 as u64, self.bytes);
        held
    }

    pub(crate) fn free(&mut self, metrics: &mut Metrics) {
        let mut steps = self.steps;
        while steps > 0 && !self.remains.is_empty() {
            self.free_first(&mut steps, metrics);
        }
        self.steps = steps;
    }

    fn free_first(&mut self, steps: &mut usize, metrics: &mut Metrics) {
        let Some(outgoing) = self.remains.front_mut() else {
            return;
        };
        let before = outgoing.weight();
        outgoing.free(steps);
        let after = outgoing.weight();
        metrics.requeue(before, after);
        self.bytes -= (before.bytes - after.bytes) as u64;
        if after.messages == 0 {
            self.remains.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_beyond_the_steps_is_made_up_for_and_not_for_ever() {
        let mut ending = Ending::new(Steps::default());
        let start = Instant::from_millis(1_000);
        ending.renew(start);
        ending.spend(Ending::STEPS * 3 + 100);
        assert!(ending.is_spent());
        assert_eq!(ending.not_before(), start + 3 * Ending::REST);
        ending.renew(start + 2 * Ending::REST);
        assert!(ending.is_spent());
        let now = start + 3 * Ending::REST;
        ending.renew(now);
        ending.spend(Ending::STEPS - 101);
        assert!(!ending.is_spent());
        ending.spend(1);
        assert_eq!(ending.not_before(), now + Ending::REST);
        for _ in 0..100 {
            ending.spend(usize::MAX / 2);
        }
        assert_eq!(ending.not_before(), now + 33 * Ending::REST);
    }
}
