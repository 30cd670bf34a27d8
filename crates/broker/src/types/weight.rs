//! What waits for a session, as it is counted.

use crate::types::Queued;

/// How much that is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// How many of the messages records say something about.
    pub(crate) stored: usize,
}

impl Queued {
    /// It alone, on its way from one session to another.
    pub(crate) fn weight(&self) -> Weight {
        Weight {
            messages: 1,
            bytes: self.cost(),
            stored: 0,
        }
    }
}
