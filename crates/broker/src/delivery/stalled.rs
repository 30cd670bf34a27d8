//! Sessions whose connections have no room for `QoS` 0 messages. A fan-out can skip these without
//! looking at each session: there are many, and they are not in the processor's cache.
//!
//! **Invariant.** A session in here is connected, has no retained look-ups and no `QoS` 0 message
//! waiting, and its client takes packets of any size. So the ordinary path would drop the same
//! messages for the same reason. Anything that might change this removes the session from here.

use crate::types::SessionId;

/// How large a message each session's connection has room for, at most.
#[derive(Debug, Default)]
pub(crate) struct Stalled {
    /// Indexed by session. [`ANY`](Self::ANY): not known.
    room: Vec<u32>,
    /// How many entries are known.
    count: usize,
}

impl Stalled {
    const ANY: u32 = u32::MAX;

    /// Notes that a session's connection has room for `room` bytes at most.
    pub(crate) fn insert(&mut self, session: SessionId, room: usize) {
        let Ok(room) = u32::try_from(room) else {
            return;
        };
        if self.room.len() <= session.index() {
            self.room.resize(session.index() + 1, Self::ANY);
        }
        let old = core::mem::replace(&mut self.room[session.index()], room);
        self.count += usize::from(old == Self::ANY);
        self.count -= usize::from(room == Self::ANY);
    }

    /// Notes that the session's connection may have room again.
    pub(crate) fn remove(&mut self, session: SessionId) {
        if self.count > 0
            && let Some(room) = self.room.get_mut(session.index())
        {
            let old = core::mem::replace(room, Self::ANY);
            self.count -= usize::from(old != Self::ANY);
        }
    }

    /// Removes a session that has lost its connection. Only this frees the list. Otherwise a client
    /// that has room and none by turns would cause an allocation each time.
    pub(crate) fn leave(&mut self, session: SessionId) {
        self.remove(session);
        if self.count == 0 {
            self.room = Vec::new();
        }
    }

    /// Whether there is no room for a message with this many bytes of payload.
    pub(crate) fn refuses(&self, session: SessionId, payload: usize) -> bool {
        self.count > 0
            && self
                .room
                .get(session.index())
                .is_some_and(|room| *room != Self::ANY && payload > *room as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_entry_costs_nothing() {
        let mut stalled = Stalled::default();
        let [a, b] = [3, 5].map(SessionId::from_number);
        stalled.remove(a);
        stalled.insert(a, 100);
        stalled.insert(b, 0);
        stalled.insert(b, 10);
        assert!(!stalled.refuses(a, 100) && stalled.refuses(a, 101));
        assert!(!stalled.refuses(b, 10) && stalled.refuses(b, 11));
        assert!(!stalled.refuses(SessionId::from_number(4), usize::MAX));
        assert!(!stalled.refuses(SessionId::from_number(9), usize::MAX));
        stalled.remove(b);
        stalled.remove(b);
        assert!(stalled.refuses(a, 101) && !stalled.refuses(b, 11));
        stalled.remove(a);
        assert!(!stalled.refuses(a, 101));
        // The list stays while sessions are connected, and no longer.
        let places = stalled.room.capacity();
        stalled.insert(b, 0);
        stalled.remove(b);
        assert_eq!((stalled.count, stalled.room.capacity()), (0, places));
        stalled.insert(b, 0);
        stalled.leave(a);
        assert!(stalled.refuses(b, 1));
        stalled.leave(b);
        assert_eq!((stalled.count, stalled.room.capacity()), (0, 0));
    }
}
