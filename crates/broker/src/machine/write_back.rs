//! Write-back: records state that is in memory only because the store was full. See
//! [`WriteBack`].

use mqtt::Instant;

use crate::admission::WorkBudget;
use crate::durability::{WriteBack, WriteBackStage};
use crate::machine::Broker;
use crate::session::Session;
use crate::types::{NodeId, StoreState};

impl Broker {
    /// Notes whether the store has room.
    pub(crate) fn store(&mut self, now: Instant, state: StoreState) {
        self.ledger.set_store(state);
        self.write_back(now);
    }

    /// Whether the write-back can continue now.
    pub(crate) fn may_write_back(&self) -> bool {
        self.ledger.write_back().may_continue(self.ledger.durable())
    }

    /// Writes back more, if there is room. This is deferrable: the search uses steps of the
    /// [`WorkBudget`], because there may be little to write among much.
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

    /// Writes back what stands at one place, and returns where to continue.
    fn write_back_one(&mut self, now: Instant) -> WriteBackStage {
        match self.ledger.write_back_mut().begin_stage() {
            WriteBackStage::Wills { next } if self.sessions.has_place(next) => {
                if self
                    .sessions
                    .get(next)
                    .is_some_and(Session::is_will_unrecorded)
                {
                    self.copy_session(now, next);
                }
                WriteBackStage::Wills { next: next.next() }
            }
            WriteBackStage::Wills { .. } => WriteBackStage::Retained { next: NodeId::ROOT },
            WriteBackStage::Retained { next } if self.retained.has_place(next) => {
                let message = self.retained.at(next);
                if message.is_some_and(|it| it.stored().is_none()) {
                    self.copy_retained(next);
                }
                let next = next.following();
                WriteBackStage::Retained { next }
            }
            WriteBackStage::Nothing | WriteBackStage::Retained { .. } => WriteBackStage::Nothing,
        }
    }
}
