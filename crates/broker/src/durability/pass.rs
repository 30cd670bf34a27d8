//! How far a copy of everything is: see [`Broker::checkpoint`](crate::Broker::checkpoint).

use crate::types::{Lsn, NodeId, SessionId};

/// The copy that is being written, and those that are whole.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    stage: Copying,
    /// Where the last whole copy began.
    last_from: Lsn,
    /// Copies that are whole and not durable: where they end and began. There are several if the
    /// shell begins one before the last is durable.
    ended: Vec<(Lsn, Lsn)>,
    /// Bytes of a copy that have been written, and whose originals are still there.
    bytes: u64,
}

/// What is copied next.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Copying {
    #[default]
    Nothing,
    Sessions {
        from: Lsn,
        next: SessionId,
        /// How many of the messages that wait for that session have been seen to.
        messages: usize,
    },
    Retained {
        from: Lsn,
        next: NodeId,
    },
}

impl Pass {
    /// What is copied next.
    pub(crate) fn stage(&self) -> Copying {
        self.stage
    }

    /// This is copied next.
    pub(crate) fn set_stage(&mut self, stage: Copying) {
        self.stage = stage;
    }

    /// The copy is whole: it began with the record `from`, and ends with `end`.
    pub(crate) fn end(&mut self, from: Lsn, end: Lsn) {
        self.ended.push((end, from));
        self.last_from = from;
        self.stage = Copying::Nothing;
    }

    /// What is in no record from here on may be cut off.
    pub(crate) fn oldest(&self) -> Lsn {
        match self.stage {
            Copying::Nothing => self.last_from,
            Copying::Sessions { from, .. } | Copying::Retained { from, .. } => from,
        }
    }

    /// Bytes of a copy that have been written, and whose originals are still there.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// So many bytes more of the copy have been written.
    pub(crate) fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// A new copy begins.
    pub(crate) fn clear_bytes(&mut self) {
        self.bytes = 0;
    }

    /// All records before `from` have been removed. If that were all originals of the last copy,
    /// and no other is being written, none is counted any more.
    pub(crate) fn originals_removed(&mut self, from: Lsn) {
        if self.stage == Copying::Nothing && self.last_from <= from {
            self.bytes = 0;
        }
    }

    /// Where the last copy began that has become durable with `durable`, if one has.
    pub(crate) fn checkpointed(&mut self, durable: Lsn) -> Option<Lsn> {
        let mut last = None;
        self.ended.retain(|(end, from)| {
            let is_durable = *end <= durable;
            if is_durable {
                last = Some(*from);
            }
            !is_durable
        });
        last
    }
}
