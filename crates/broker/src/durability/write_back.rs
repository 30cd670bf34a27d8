//! Write-back: state that is in memory only because the store was full is recorded when there is
//! room again.
//!
//! While the store is [full](crate::StoreState::Full), its reserve must last for the small
//! records that end something. So the broker records nothing large that a client can cause. It
//! refuses what can be refused, keeps retained `QoS` 0 messages and wills in memory, and
//! publishes a will that is due with `QoS` 0.

use crate::types::{Lsn, NodeId, SessionId};

/// Whether anything waits to be written back, and how far the search for it has come.
#[derive(Debug, Default)]
pub(crate) struct WriteBack {
    /// Whether anything is only in memory because the store had no room for its record.
    is_needed: bool,
    stage: WriteBackStage,
    /// The record that must be durable before more is written back.
    awaited: Lsn,
}

/// Where the search continues.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum WriteBackStage {
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
    /// Bytes that are written back at once. The next follow when these are durable.
    pub(crate) const AT_ONCE: usize = 256 * 1024;

    /// Notes that something is only in memory, so that a search is needed.
    pub(crate) fn request(&mut self) {
        self.is_needed = true;
    }

    /// There is room again: starts the search if anything is only in memory.
    pub(crate) fn begin(&mut self) {
        if self.is_needed {
            let next = SessionId::FIRST;
            self.stage = WriteBackStage::Wills { next };
        }
    }

    /// There is no room any more: stops the search. It starts again when there is room.
    pub(crate) fn stop(&mut self) {
        if self.is_searching() {
            self.is_needed = true;
            self.stage = WriteBackStage::Nothing;
        }
    }

    pub(crate) fn is_searching(&self) -> bool {
        self.stage != WriteBackStage::Nothing
    }

    /// Whether the search can continue, now that all records up to `durable` are durable.
    pub(crate) fn may_continue(&self, durable: Lsn) -> bool {
        self.is_searching() && self.awaited <= durable
    }

    /// Where the search continues. Whatever is left in memory after a search has begun is for
    /// the next search.
    pub(crate) fn begin_stage(&mut self) -> WriteBackStage {
        let first = SessionId::FIRST;
        if self.stage == (WriteBackStage::Wills { next: first }) {
            self.is_needed = false;
        }
        self.stage
    }

    /// Sets where the search continues.
    pub(crate) fn set_stage(&mut self, stage: WriteBackStage) {
        self.stage = stage;
    }

    /// Makes the write-back wait until the record `lsn`, the last one written back, is durable.
    pub(crate) fn wait_for(&mut self, lsn: Lsn) {
        self.awaited = lsn;
    }
}
