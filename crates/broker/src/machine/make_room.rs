//! What waits for its turn to end makes room for who needs it at once.

use mqtt::Instant;

use crate::machine::Broker;

impl Broker {
    /// Closes a connection that waits for it, if there is one: another is to have its place.
    pub(crate) fn make_room_for_connection(&mut self, now: Instant) -> bool {
        /// Others may have been heard of meanwhile.
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

    /// Ends sessions that have expired and wait for it as long as something is `lacking`, but
    /// not many: who asks next goes on with it.
    pub(crate) fn expire_while(&mut self, now: Instant, lacking: impl Fn(&Self) -> bool) {
        const ENDED: usize = 64;
        for _ in 0..ENDED {
            if !lacking(self) {
                return;
            }
            let Some(id) = self.timers.pop_due_session(now) else {
                return;
            };
            self.session_expired(now, id);
        }
    }

    /// Frees some of what is left of sessions that are over.
    pub(crate) fn go_on_reclaiming(&mut self) {
        self.reclamation.go_on(&mut self.work, &mut self.memory);
    }
}
