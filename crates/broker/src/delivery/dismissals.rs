//! Connections whose clients are dismissed, because they have reached a limit.
//!
//! The broker may notice that while it hands out a message, when it may not close a connection. So
//! it notes the connection here and reads nothing more from it. It closes the connection when the
//! work budget has steps for that.

use crate::types::{CloseCause, Conn, Slot, shrink};

/// Connections that are to be closed, and why.
#[derive(Debug, Default)]
pub(crate) struct Dismissals(Vec<(Slot, Conn, CloseCause)>);

impl Dismissals {
    /// Notes a connection, once: see [`Link::begin_dismissal`](crate::delivery::Link).
    pub(crate) fn push(&mut self, slot: Slot, conn: Conn, cause: CloseCause) {
        self.0.push((slot, conn, cause));
    }

    /// The next to be closed. The last comes first: as a rule they stand in the order of their
    /// sessions, and the last entry of an ordered list is the cheapest to take out.
    pub(crate) fn pop(&mut self) -> Option<(Slot, Conn, CloseCause)> {
        let last = self.0.pop()?;
        shrink::shrink_list(&mut self.0);
        Some(last)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
