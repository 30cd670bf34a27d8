//! The progress of a checkpoint: a copy of the whole state in the journal, after which older
//! records can be removed. See [`Broker::checkpoint`](crate::Broker::checkpoint).

use crate::types::{Lsn, NodeId, SessionId};

/// The checkpoint that is being written, and those that are complete but not durable.
#[derive(Debug, Default)]
pub(crate) struct CheckpointProgress {
    stage: CheckpointStage,
    /// The first record of the last complete checkpoint.
    last_from: Lsn,
    /// The last and the first record of each checkpoint that is complete but not durable. There are
    /// several if the shell begins a checkpoint before the previous one is durable.
    ended: Vec<(Lsn, Lsn)>,
    /// Bytes of checkpoints that have been written while the records that they replace are still
    /// in the journal.
    bytes: u64,
}

/// What the checkpoint copies next.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum CheckpointStage {
    #[default]
    Nothing,
    Sessions {
        from: Lsn,
        next: SessionId,
        /// How many of that session's messages are already copied.
        messages: usize,
    },
    Retained {
        from: Lsn,
        next: NodeId,
    },
}

impl CheckpointProgress {
    /// What the checkpoint copies next.
    pub(crate) fn stage(&self) -> CheckpointStage {
        self.stage
    }

    /// Sets what the checkpoint copies next.
    pub(crate) fn set_stage(&mut self, stage: CheckpointStage) {
        self.stage = stage;
    }

    /// The checkpoint is complete. It reaches from the record `from` to the record `end`.
    pub(crate) fn end(&mut self, from: Lsn, end: Lsn) {
        self.ended.push((end, from));
        self.last_from = from;
        self.stage = CheckpointStage::Nothing;
    }

    /// A message is safe only in this record or a later one. Earlier records may be removed.
    pub(crate) fn oldest(&self) -> Lsn {
        match self.stage {
            CheckpointStage::Nothing => self.last_from,
            CheckpointStage::Sessions { from, .. } | CheckpointStage::Retained { from, .. } => from,
        }
    }

    /// Bytes of checkpoints that have been written while the records that they replace are still
    /// in the journal.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts `bytes` more of the checkpoint as written.
    pub(crate) fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Starts counting for a new checkpoint.
    pub(crate) fn clear_bytes(&mut self) {
        self.bytes = 0;
    }

    /// All records before `from` have been removed. If they include everything that the last
    /// checkpoint replaces, and no other one is being written, the count returns to 0.
    pub(crate) fn originals_removed(&mut self, from: Lsn) {
        if self.stage == CheckpointStage::Nothing && self.last_from <= from {
            self.bytes = 0;
        }
    }

    /// If a checkpoint has become durable now that all records up to `durable` are, returns the
    /// first record of the last such checkpoint.
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
