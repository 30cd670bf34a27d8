//! The model's earlier states, one for each step whose records may be lost.

use std::collections::VecDeque;

use ::broker::Lsn;

use super::rewind::Snapshot;

/// The steps whose records may not be durable yet.
#[derive(Debug, Default)]
pub(super) struct Past(VecDeque<Step>);

#[derive(Debug)]
struct Step {
    /// The last record before the step.
    before: Lsn,
    /// The last record of the step.
    after: Lsn,
    /// The step's first record holds everything that matters to the model.
    is_one: bool,
    /// The model before the step.
    model: Snapshot,
}

impl Past {
    /// Adds a step that wrote the records after `before` up to `after`.
    pub(super) fn push(&mut self, before: Lsn, after: Lsn, is_one: bool, model: Snapshot) {
        self.0.push_back(Step {
            before,
            after,
            is_one,
            model,
        });
    }

    /// All records up to `durable` are durable: those steps are final.
    pub(super) fn forget(&mut self, durable: Lsn) {
        while self.0.front().is_some_and(|step| step.after <= durable) {
            self.0.pop_front();
        }
    }

    /// Given the last record on the disk, returns the last record after which the model has a
    /// state. If a step does several things and only some of its records are on the disk, the
    /// broker is between two of the model's states. So then all records of the step go. The
    /// broker's own tests check each state between.
    pub(super) fn allowed(&self, last: Lsn) -> Lsn {
        let torn = self
            .0
            .iter()
            .find(|it| it.before < last && last < it.after && !it.is_one);
        torn.map_or(last, |step| step.before)
    }

    /// The records up to `last` are all that is left. Returns the model at that time, or `None` if
    /// it is the present one.
    pub(super) fn rewind(&mut self, last: Lsn) -> Option<Snapshot> {
        let mut steps = core::mem::take(&mut self.0).into_iter();
        steps.find(|step| step.before >= last).map(|it| it.model)
    }
}
