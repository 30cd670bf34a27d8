//! What waits for a session, as it is counted.

use crate::outgoing::Outgoing;
use crate::queued::Queued;

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

impl Outgoing {
    /// What is here.
    pub(crate) fn weight(&self) -> Weight {
        let messages = self.messages();
        Weight {
            messages,
            bytes: self.bytes(),
            stored: if self.is_stored { messages } else { 0 },
        }
    }

    /// The session lasts from now on, or does no longer.
    pub(crate) fn set_stored(&mut self, lasts: bool) {
        self.is_stored = lasts || self.all().any(|it| it.is_held);
    }
}
