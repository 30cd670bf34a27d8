//! Runs deferrable work early when a client needs the place or the memory that it frees.

use mqtt::Instant;

use crate::machine::Broker;

impl Broker {
    /// Closes a connection that is due to be closed, so that another can have its place. Returns
    /// whether there was one.
    pub(crate) fn make_room_for_connection(&mut self, now: Instant) -> bool {
        /// How many timers to try. The clients of some may have been heard since the timers were
        /// set.
        const LOOKED_AT: usize = 64;
        while let Some((slot, conn, cause)) = self.dismissals.pop() {
            if self.connections.slot(conn) == Some(slot) {
                self.close(now, slot, cause);
                return true;
            }
        }
        for _ in 0..LOOKED_AT {
            let Some(slot) = self.timers.pop_due_connection(self.heard_until) else {
                return false;
            };
            if self.connection_due(now, slot) {
                return true;
            }
        }
        false
    }

    /// Ends expired sessions while something is `lacking`, but only a few: the next caller
    /// continues.
    pub(crate) fn expire_while(&mut self, now: Instant, lacking: impl Fn(&Self) -> bool) {
        const ENDED: usize = 64;
        for _ in 0..ENDED {
            if !lacking(self) {
                return;
            }
            let Some(id) = self.timers.pop_due_session(self.heard_until) else {
                return;
            };
            self.session_expired(now, id);
        }
    }

    /// Frees more of the queues of ended sessions, within the work budget.
    pub(crate) fn continue_reclamation(&mut self) {
        self.reclamation
            .continue_freeing(&mut self.work, &mut self.memory);
    }
}
