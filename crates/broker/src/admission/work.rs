//! The work budget: how much deferrable work the broker does at once.
//!
//! Much work can become due at once: one publish fills ten thousand queues, a network fails and
//! ten thousand clients are silent for too long, a whole tree of retained messages expires. None
//! of it is urgent, and all of it together would keep everybody else waiting. So each
//! millisecond has a number of steps for such work. The rest goes on in the next millisecond,
//! even if nothing else happens ([`Output::Idle`](crate::Output::Idle)). One piece of work is
//! never divided: if it takes more steps than are left, the next piece waits longer.

use core::time::Duration;

use mqtt::Instant;

/// The sizes of the work budget. Only tests have a reason to change them, because a test has little
/// deferrable work.
#[doc(hidden)]
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    /// Steps in each millisecond, at least one.
    pub each: usize,
    /// A queue of at most this many messages is freed with its session, even if no steps are
    /// left.
    pub small_queue: usize,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            each: WorkBudget::STEPS,
            small_queue: 64,
        }
    }
}

/// The steps that are left for deferrable work.
#[derive(Debug)]
pub(crate) struct WorkBudget {
    /// Steps of each [`PERIOD`](Self::PERIOD).
    each: usize,
    left: usize,
    /// Steps that were taken beyond the budget. Later periods pay for them.
    overdraft: usize,
    /// When the next period begins, with `each` steps less the overdraft.
    renewed_at: Instant,
}

impl WorkBudget {
    /// Steps of each [`PERIOD`](Self::PERIOD). A step takes about 20 ns, so deferrable work
    /// takes less than a tenth of the time.
    pub(crate) const STEPS: usize = 4_096;
    pub(crate) const PERIOD: Duration = Duration::from_millis(1);
    /// The most periods that the overdraft may take to pay. Without a bound, a client that causes
    /// much undeferrable work, such as closing many connections of its own, would stop all
    /// deferrable work for ever.
    const MAX_OVERDRAFT: usize = 32;

    /// Steps for closing a connection, including the shell's work.
    pub(crate) const CLOSE: usize = 512;
    /// Steps for running a timer that is due.
    pub(crate) const TIMER: usize = 4;
    /// Steps for ending an empty session.
    pub(crate) const SESSION: usize = 32;
    /// Steps for removing a subscription or a retained look-up.
    pub(crate) const SUBSCRIPTION: usize = 8;
    /// Steps for asking the rules about a subscription or a message: about those of ten rules.
    pub(crate) const RULES: usize = 16;
    /// Steps for telling the tap's reader of one client or retained message.
    pub(crate) const TELL: usize = 8;
    /// Steps for offering a message to the other members of a group.
    pub(crate) const OFFER: usize = 4;
    /// Steps for sending a newest value when its timer is due.
    pub(crate) const LATEST: usize = 8;
    /// Bytes of a buffer that one step frees.
    pub(crate) const BYTES: usize = 1_024;

    pub(crate) fn new(steps: Steps) -> Self {
        let each = steps.each.max(1);
        Self {
            each,
            left: each,
            overdraft: 0,
            renewed_at: Instant::ZERO,
        }
    }

    /// Starts a new period if it is time.
    pub(crate) fn renew(&mut self, now: Instant) {
        if now >= self.renewed_at && now >= self.renewal() {
            self.left = self.each - self.overdraft % self.each;
            self.overdraft = 0;
            self.renewed_at = now + Self::PERIOD;
        }
    }

    /// Counts work that was done, even beyond the budget.
    pub(crate) fn spend(&mut self, steps: usize) {
        let beyond = steps.saturating_sub(self.left);
        self.left = self.left.saturating_sub(steps);
        let overdraft = self.overdraft.saturating_add(beyond);
        self.overdraft = overdraft.min(Self::MAX_OVERDRAFT * self.each);
    }

    /// The steps that are left.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Whether no steps are left for deferrable work.
    pub(crate) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// When the next period with steps begins.
    pub(crate) fn renewal(&self) -> Instant {
        let periods = u32::try_from(self.overdraft / self.each).unwrap_or(u32::MAX);
        self.renewed_at + Self::PERIOD * periods
    }

    /// The earliest time for deferrable work.
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
    fn an_overdraft_is_paid_back_and_bounded() {
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
