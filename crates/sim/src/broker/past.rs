//! What the model was before each step whose records may be lost.

use std::collections::VecDeque;

use ::broker::Lsn;

use super::rewind::Snapshot;

/// The steps whose records are not known to be durable.
#[derive(Debug, Default)]
pub(super) struct Past(VecDeque<Step>);

#[derive(Debug)]
struct Step {
    /// The last record before it.
    before: Lsn,
    /// Its own last record.
    after: Lsn,
    /// Whether its first record has all that matters to the model.
    is_one: bool,
    /// The model before it.
    model: Snapshot,
}

impl Past {
    /// A step was taken, which wrote the records behind `before` up to `after`.
    pub(super) fn push(&mut self, before: Lsn, after: Lsn, is_one: bool, model: Snapshot) {
        self.0.push_back(Step {
            before,
            after,
            is_one,
            model,
        });
    }

    /// All records up to `durable` are so: those steps were taken for good.
    pub(super) fn forget(&mut self, durable: Lsn) {
        while self.0.front().is_some_and(|step| step.after <= durable) {
            self.0.pop_front();
        }
    }

    /// Of the records up to `last`, which the disk has, those that can be told apart: of a step
    /// that does several things either all or nothing is there. Where only some are, the broker
    /// is in a state between two of the model's (each such state is looked at by the broker's
    /// own tests).
    pub(super) fn allowed(&self, last: Lsn) -> Lsn {
        let torn = self
            .0
            .iter()
            .find(|it| it.before < last && last < it.after && !it.is_one);
        torn.map_or(last, |step| step.before)
    }

    /// The records up to `last` are all that is left: what the model was then. `None`: as it
    /// is now.
    pub(super) fn rewind(&mut self, last: Lsn) -> Option<Snapshot> {
        let mut steps = core::mem::take(&mut self.0).into_iter();
        steps.find(|step| step.before >= last).map(|it| it.model)
    }
}
