//! Deferred reclamation: frees the queues of ended sessions message by message.
//!
//! **Invariant.** Memory that is not freed yet counts as held, in the gauges and against the limits.
//! But nothing is refused because of it: if a queue or the memory is full, enough is freed at once.
//! No client notices any of this: an ended session is gone for everybody, whether its queue is freed
//! or not.

use std::collections::VecDeque;

use crate::admission::{MemoryBudget, WorkBudget};
use crate::session::Outgoing;
use crate::types::Weight;

/// The queues of ended sessions.
#[derive(Debug)]
pub(crate) struct Reclamation {
    queues: VecDeque<Box<Outgoing>>,
    /// A queue with no more messages than this is freed at once.
    small_queue: usize,
}

impl Reclamation {
    pub(crate) fn new(small_queue: usize) -> Self {
        Self {
            queues: VecDeque::new(),
            small_queue,
        }
    }

    /// Takes the queue of an ended session. A short one is freed at once.
    pub(crate) fn take(
        &mut self,
        mut outgoing: Box<Outgoing>,
        work: &mut WorkBudget,
        memory: &mut MemoryBudget,
    ) {
        if outgoing.messages() > self.small_queue {
            memory.change_freeable(0, outgoing.bytes());
            self.queues.push_back(outgoing);
        } else {
            let before = outgoing.weight();
            let mut steps = usize::MAX;
            outgoing.free(&mut steps);
            work.spend(usize::MAX - steps);
            memory.requeue(before, Weight::default());
        }
    }

    /// Frees `bytes`, or everything, even beyond the work budget.
    pub(crate) fn make_room(
        &mut self,
        bytes: u64,
        work: &mut WorkBudget,
        memory: &mut MemoryBudget,
    ) {
        /// A number of steps that frees several messages.
        const STEPS: usize = 64;
        let enough = memory.queued_bytes().saturating_sub(bytes);
        while memory.queued_bytes() > enough && !self.is_empty() {
            let mut steps = STEPS;
            self.free_first(&mut steps, memory);
            work.spend(STEPS - steps);
        }
    }

    /// Frees as much as the work budget allows.
    pub(crate) fn continue_freeing(&mut self, work: &mut WorkBudget, memory: &mut MemoryBudget) {
        let mut steps = work.left();
        while steps > 0 && !self.is_empty() {
            self.free_first(&mut steps, memory);
        }
        work.spend(work.left() - steps);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// How many messages wait to be freed, and their bytes.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        let queues = self.queues.iter();
        let held = queues.map(|it| (it.messages(), it.bytes()));
        held.fold((0, 0), |all, it| (all.0 + it.0, all.1 + it.1))
    }

    fn free_first(&mut self, steps: &mut usize, memory: &mut MemoryBudget) {
        let Some(outgoing) = self.queues.front_mut() else {
            return;
        };
        let before = outgoing.weight();
        outgoing.free(steps);
        let after = outgoing.weight();
        memory.requeue(before, after);
        memory.change_freeable(before.bytes, after.bytes);
        if after.messages == 0 {
            self.queues.pop_front();
        }
    }
}
