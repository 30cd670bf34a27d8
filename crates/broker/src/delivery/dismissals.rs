//! Connections whose clients are dismissed, because they have reached a limit.
//!
//! The broker may notice this while it delivers a message, when it must not close a connection.
//! So it notes the connection here and reads nothing more from it. It closes the connection when
//! the work budget allows.

use crate::types::{CloseCause, Conn, Slot, shrink};

/// Connections to be closed, and why.
#[derive(Debug, Default)]
pub(crate) struct Dismissals(Vec<(Slot, Conn, CloseCause)>);

impl Dismissals {
    /// Notes a connection. Call this only once for each: see
    /// [`Agreement::begin_dismissal`](crate::delivery::Agreement).
    pub(crate) fn push(&mut self, slot: Slot, conn: Conn, cause: CloseCause) {
        self.0.push((slot, conn, cause));
    }

    /// Takes the next connection to close. It takes the last one: connections usually stand here in
    /// the order of their sessions, and the last entry of a subscriber list is the cheapest to
    /// remove.
    pub(crate) fn pop(&mut self) -> Option<(Slot, Conn, CloseCause)> {
        let last = self.0.pop()?;
        shrink::shrink_list(&mut self.0);
        Some(last)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
