//! Write-back: what is in memory only because the store had no room is written when it has.
//!
//! While the store is [full](crate::StoreState::Full), its reserve must last for the small records
//! that end something. So nothing of size that a client can cause is recorded then: what can be
//! refused is refused, a retained message of `QoS` 0 and a client's will stay in memory, and a
//! will that is due is published with `QoS` 0.

use crate::types::{Lsn, NodeId, SessionId};

/// What is owed to the store, and how far the search for it is.
#[derive(Debug, Default)]
pub(crate) struct WriteBack {
    /// Whether anything is in memory only that would be in a record, had there been room.
    owes: bool,
    stage: Searching,
    /// The record that has to be durable before more is written.
    awaited: Lsn,
}

/// Where the search goes on.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Searching {
    #[default]
    Nothing,
    Wills {
        next: SessionId,
    },
    Retained {
        next: NodeId,
    },
}

impl WriteBack {
    /// Bytes that are written at once: the next when those are durable.
    pub(crate) const AT_ONCE: usize = 256 * 1024;

    /// Something is in memory only.
    pub(crate) fn owe(&mut self) {
        self.owes = true;
    }

    /// There is room again: the search begins, if anything is owed.
    pub(crate) fn begin(&mut self) {
        if self.owes {
            let next = SessionId::FIRST;
            self.stage = Searching::Wills { next };
        }
    }

    /// There is no room any more: the search begins anew when there is.
    pub(crate) fn stop(&mut self) {
        if self.is_searching() {
            self.owes = true;
            self.stage = Searching::Nothing;
        }
    }

    pub(crate) fn is_searching(&self) -> bool {
        self.stage != Searching::Nothing
    }

    /// Whether the search can go on, where all up to `durable` is.
    pub(crate) fn may_go_on(&self, durable: Lsn) -> bool {
        self.is_searching() && self.awaited <= durable
    }

    /// Where the search goes on. What is owed from its beginning on is for the next one.
    pub(crate) fn stage(&mut self) -> Searching {
        let first = SessionId::FIRST;
        if self.stage == (Searching::Wills { next: first }) {
            self.owes = false;
        }
        self.stage
    }

    /// The search goes on here.
    pub(crate) fn set_stage(&mut self, stage: Searching) {
        self.stage = stage;
    }

    /// What was written ends with this record, which has to be durable before more is.
    pub(crate) fn wait_for(&mut self, lsn: Lsn) {
        self.awaited = lsn;
    }
}
