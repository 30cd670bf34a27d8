//! How much of what can wait is done at once.
//!
//! Much can become due at once: one publish fills ten thousand queues, a network fails and as many
//! clients are silent for too long, a whole tree of retained messages expires. None of it is
//! urgent, and all of it together would keep everybody else waiting. So each millisecond has a
//! number of steps for such work. What is left over goes on in the next one, whether something
//! else happens or not ([`Output::Idle`](crate::Output::Idle)). One piece of work is not divided:
//! the steps that it takes beyond those that are left make the next piece wait.

use core::time::Duration;

use mqtt::Instant;

/// How much deferred work is done at once. Only tests have a reason to change it: they have
/// little such work.
#[doc(hidden)]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    /// How many steps each millisecond has; at least one.
    pub each: usize,
    /// A queue of so many messages is freed with its session, whether steps are left or not.
    pub little: usize,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            each: WorkBudget::STEPS,
            little: 64,
        }
    }
}

/// The steps that are left for deferred work.
#[derive(Debug)]
pub(crate) struct WorkBudget {
    /// Steps of each [`PERIOD`](Self::PERIOD).
    each: usize,
    left: usize,
    /// Steps that were taken beyond those that were left.
    owed: usize,
    /// When there are `each` steps again, less those owed.
    renewed_at: Instant,
}

impl WorkBudget {
    /// Steps of each [`PERIOD`](Self::PERIOD). One takes some 20 ns: deferred work costs
    /// everybody else less than a tenth of the time.
    pub(crate) const STEPS: usize = 4_096;
    pub(crate) const PERIOD: Duration = Duration::from_millis(1);
    /// The most periods that can be owed. A client that causes much work that cannot wait, such
    /// as closing many connections of its own, does not stop all deferred work for ever.
    const MOST_OWED: usize = 32;

    /// Steps for closing a connection, most of which is the shell's work.
    pub(crate) const CLOSE: usize = 512;
    /// Steps for looking at a timer that is due.
    pub(crate) const TIMER: usize = 4;
    /// Steps for ending a session that has nothing.
    pub(crate) const SESSION: usize = 32;
    /// Steps for forgetting a subscription, or a look-up.
    pub(crate) const SUBSCRIPTION: usize = 8;
    /// Steps for offering a message to the other members of a group.
    pub(crate) const OFFER: usize = 4;
    /// Bytes of a buffer that one step frees.
    pub(crate) const BYTES: usize = 1_024;

    pub(crate) fn new(steps: Steps) -> Self {
        let each = steps.each.max(1);
        Self {
            each,
            left: each,
            owed: 0,
            renewed_at: Instant::ZERO,
        }
    }

    /// Gives new steps if their time has come.
    pub(crate) fn renew(&mut self, now: Instant) {
        if now >= self.renewed_at && now >= self.renewal() {
            self.left = self.each - self.owed % self.each;
            self.owed = 0;
            self.renewed_at = now + Self::PERIOD;
        }
    }

    /// Counts work that was done, whether steps were left for it or not.
    pub(crate) fn spend(&mut self, steps: usize) {
        let beyond = steps.saturating_sub(self.left);
        self.left = self.left.saturating_sub(steps);
        let owed = self.owed.saturating_add(beyond);
        self.owed = owed.min(Self::MOST_OWED * self.each);
    }

    /// The steps that are left.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Whether no steps are left for what can wait.
    pub(crate) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// When there are new steps.
    pub(crate) fn renewal(&self) -> Instant {
        let periods = u32::try_from(self.owed / self.each).unwrap_or(u32::MAX);
        self.renewed_at + Self::PERIOD * periods
    }

    /// The earliest time at which deferred work can be done.
    pub(crate) fn not_before(&self) -> Instant {
        if self.is_spent() {
            self.renewal()
        } else {
            Instant::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_taken_beyond_the_budget_are_made_up_for_and_not_for_ever() {
        let mut work = WorkBudget::new(Steps::default());
        let start = Instant::from_millis(1_000);
        work.renew(start);
        work.spend(WorkBudget::STEPS * 3 + 100);
        assert!(work.is_spent());
        assert_eq!(work.not_before(), start + 3 * WorkBudget::PERIOD);
        work.renew(start + 2 * WorkBudget::PERIOD);
        assert!(work.is_spent());
        let now = start + 3 * WorkBudget::PERIOD;
        work.renew(now);
        work.spend(WorkBudget::STEPS - 101);
        assert!(!work.is_spent());
        work.spend(1);
        assert_eq!(work.not_before(), now + WorkBudget::PERIOD);
        for _ in 0..100 {
            work.spend(usize::MAX / 2);
        }
        assert_eq!(work.not_before(), now + 33 * WorkBudget::PERIOD);
    }
}
