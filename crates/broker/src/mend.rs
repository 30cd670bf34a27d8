//! What is in memory only because the store had no room: written when it has again.
//!
//! While the store is [full](crate::StoreState::Full) the reserve that it has must last for the
//! small records that end things. So nothing of size is recorded then that a client can cause:
//! what can be refused is, a retained message of `QoS` 0 and a client's will stay in memory, and
//! a will that is due goes out with `QoS` 0.

use mqtt::Instant;

use crate::broker::Broker;
use crate::input::StoreState;
use crate::session::SessionId;
use crate::tree::NodeId;

/// How far the search for what is in no record is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mending {
    #[default]
    Nothing,
    Wills {
        next: SessionId,
    },
    Retained {
        next: NodeId,
    },
}

impl Broker {
    /// How many bytes are written at once: the next when those are durable.
    const MENDED_AT_ONCE: usize = 256 * 1024;

    /// The store has room again, or none any more.
    pub(crate) fn store(&mut self, now: Instant, state: StoreState) {
        self.ledger.store = state;
        if state == StoreState::Ready && self.ledger.owes {
            let next = SessionId::FIRST;
            self.ledger.mending = Mending::Wills { next };
        }
        self.mend(now);
    }

    /// Writes more of what is in memory only, if there is room.
    pub(crate) fn mend(&mut self, now: Instant) {
        // What comes behind the first look through is for the next.
        if let Mending::Wills {
            next: SessionId::FIRST,
        } = self.ledger.mending
        {
            self.ledger.owes = false;
        }
        let enough = self.ledger.backlog().saturating_add(Self::MENDED_AT_ONCE);
        while self.ledger.mending != Mending::Nothing && self.ledger.backlog() < enough {
            if self.ledger.is_full() {
                // From the beginning, next time.
                self.ledger.owes = true;
                self.ledger.mending = Mending::Nothing;
            }
            self.ledger.mending = match self.ledger.mending {
                Mending::Nothing => Mending::Nothing,
                Mending::Wills { next } => match self.sessions.next_from(next) {
                    Some(id) => {
                        if self.sessions.get(id).is_some_and(|it| it.owes_will) {
                            self.copy_session(now, id);
                        }
                        Mending::Wills { next: id.next() }
                    }
                    None => Mending::Retained { next: NodeId::ROOT },
                },
                Mending::Retained { next } => match self.retained.next_from(next) {
                    Some((node, message)) => {
                        if message.stored().is_none() {
                            self.copy_retained(node);
                        }
                        let next = node.following();
                        Mending::Retained { next }
                    }
                    None => Mending::Nothing,
                },
            };
        }
    }
}
