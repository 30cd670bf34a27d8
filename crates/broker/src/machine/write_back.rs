//! What is in memory only because the store had no room: written when it has again.
//!
//! While the store is [full](crate::StoreState::Full) the reserve that it has must last for the
//! small records that end things. So nothing of size is recorded then that a client can cause:
//! what can be refused is, a retained message of `QoS` 0 and a client's will stay in memory, and
//! a will that is due goes out with `QoS` 0.

use mqtt::Instant;

use crate::admission::WorkBudget;
use crate::durability::WriteBack;
use crate::machine::Broker;
use crate::types::{NodeId, SessionId, StoreState};

impl Broker {
    /// How many bytes are written at once: the next when those are durable.
    const MENDED_AT_ONCE: usize = 256 * 1024;

    /// The store has room again, or none any more.
    pub(crate) fn store(&mut self, now: Instant, state: StoreState) {
        self.ledger.store = state;
        if state == StoreState::Ready && self.ledger.owes {
            let next = SessionId::FIRST;
            self.ledger.mending = WriteBack::Wills { next };
        }
        self.mend(now);
    }

    /// Whether there is more to be looked at, and nothing that was written has to be durable
    /// before.
    pub(crate) fn may_mend(&self) -> bool {
        self.ledger.mending != WriteBack::Nothing && self.ledger.mended <= self.ledger.durable()
    }

    /// Writes more of what is in memory only, if there is room. That can wait: where there is
    /// little to be written among much, it has as many steps as [what is
    /// over](crate::ending).
    pub(crate) fn mend(&mut self, now: Instant) {
        // What comes behind the first look through is for the next.
        if let WriteBack::Wills {
            next: SessionId::FIRST,
        } = self.ledger.mending
        {
            self.ledger.owes = false;
        }
        if self.ledger.mending != WriteBack::Nothing && self.ledger.is_full() {
            // From the beginning, next time.
            self.ledger.owes = true;
            self.ledger.mending = WriteBack::Nothing;
        }
        if !self.may_mend() {
            return;
        }
        let before = self.ledger.backlog();
        let enough = before.saturating_add(Self::MENDED_AT_ONCE);
        while self.ledger.mending != WriteBack::Nothing
            && self.ledger.backlog() < enough
            && !self.work.is_spent()
        {
            self.work.spend(1);
            self.ledger.mending = match self.ledger.mending {
                WriteBack::Wills { next } if self.sessions.has_place(next) => {
                    if self.sessions.get(next).is_some_and(|it| it.owes_will) {
                        self.copy_session(now, next);
                    }
                    WriteBack::Wills { next: next.next() }
                }
                WriteBack::Wills { .. } => WriteBack::Retained { next: NodeId::ROOT },
                WriteBack::Retained { next } if self.retained.has_place(next) => {
                    let message = self.retained.at(next);
                    if message.is_some_and(|it| it.stored().is_none()) {
                        self.copy_retained(next);
                    }
                    let next = next.following();
                    WriteBack::Retained { next }
                }
                WriteBack::Nothing | WriteBack::Retained { .. } => WriteBack::Nothing,
            };
        }
        let written = self.ledger.backlog() - before;
        self.work.spend(written / WorkBudget::BYTES);
        if written > 0 {
            self.ledger.mended = self.ledger.last();
        }
    }
}
