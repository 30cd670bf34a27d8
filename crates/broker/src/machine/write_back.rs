//! What is in memory only because the store had no room is written when it has again: see
//! [`WriteBack`].

use mqtt::Instant;

use crate::admission::WorkBudget;
use crate::durability::{Searching, WriteBack};
use crate::machine::Broker;
use crate::session::Session;
use crate::types::{NodeId, StoreState};

impl Broker {
    /// The store has room again, or none any more.
    pub(crate) fn store(&mut self, now: Instant, state: StoreState) {
        self.ledger.set_store(state);
        self.write_back(now);
    }

    /// Whether the search for what is in memory only can go on.
    pub(crate) fn may_write_back(&self) -> bool {
        self.ledger.write_back().may_go_on(self.ledger.durable())
    }

    /// Writes more of what is in memory only, if there is room. That can wait: where little is to
    /// be written among much, it has as many steps as other deferred work
    /// ([`WorkBudget`]).
    pub(crate) fn write_back(&mut self, now: Instant) {
        if self.ledger.is_full() {
            self.ledger.write_back_mut().stop();
        }
        if !self.may_write_back() {
            return;
        }
        let before = self.ledger.backlog();
        let enough = before.saturating_add(WriteBack::AT_ONCE);
        while self.ledger.write_back().is_searching()
            && self.ledger.backlog() < enough
            && !self.work.is_spent()
        {
            self.work.spend(1);
            let next = self.write_back_one(now);
            self.ledger.write_back_mut().set_stage(next);
        }
        let written = self.ledger.backlog() - before;
        self.work.spend(written / WorkBudget::BYTES);
        if written > 0 {
            let last = self.ledger.last();
            self.ledger.write_back_mut().wait_for(last);
        }
    }

    /// Looks at one place, and says where to go on.
    fn write_back_one(&mut self, now: Instant) -> Searching {
        match self.ledger.write_back_mut().stage() {
            Searching::Wills { next } if self.sessions.has_place(next) => {
                if self.sessions.get(next).is_some_and(Session::owes_will) {
                    self.copy_session(now, next);
                }
                Searching::Wills { next: next.next() }
            }
            Searching::Wills { .. } => Searching::Retained { next: NodeId::ROOT },
            Searching::Retained { next } if self.retained.has_place(next) => {
                let message = self.retained.at(next);
                if message.is_some_and(|it| it.stored().is_none()) {
                    self.copy_retained(next);
                }
                let next = next.following();
                Searching::Retained { next }
            }
            Searching::Nothing | Searching::Retained { .. } => Searching::Nothing,
        }
    }
}
