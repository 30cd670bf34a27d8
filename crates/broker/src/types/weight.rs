//! How much waits for a session.

use crate::types::Queued;

/// The size of a session's queue and window. The [memory budget](crate::admission) adds these up
/// over all sessions.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weight {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// How many of the messages are in journal records.
    pub(crate) stored: usize,
}

impl Queued {
    /// The weight of this message alone, while it moves from one session to another. It then does
    /// not count as in a record.
    pub(crate) fn weight(&self) -> Weight {
        Weight {
            messages: 1,
            bytes: self.cost(),
            stored: 0,
        }
    }
}
