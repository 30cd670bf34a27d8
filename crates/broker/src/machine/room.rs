//! Room for what all connections together have not written yet.
//!
//! A message is larger than what everybody may have waiting, or is not: one that is not always
//! finds room. A larger one goes out if it fits into what is free of
//! [`Limits::all_out_buffers_bytes`]; of `QoS` 0 it is dropped otherwise, of `QoS` 1 and 2 it
//! stays in its queue. Where the connection itself has something to write, its queue goes on
//! when that is written. Where it has nothing, nobody would come back to it: it is noted here
//! how much it needs, and it goes on when others have made so much room, whoever needs least
//! first. One that would never fit goes out when nothing else waits.

use mqtt::Instant;

use crate::machine::Broker;

impl Broker {
    /// Goes on with one connection for which there is room now, if there is one.
    pub(crate) fn fill_room(&mut self, now: Instant) -> bool {
        let Some(slot) = self.room.pop(&self.options.limits, &self.memory) else {
            return false;
        };
        if let Some((link, _, _)) = self.connections.linked(slot) {
            let session = link.session;
            self.pump(now, session);
            self.look_on(now, session);
            self.unblock(session);
        }
        true
    }
}
