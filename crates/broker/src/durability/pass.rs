//! How far a copy of everything is: see [`Broker::checkpoint`](crate::Broker::checkpoint).

use crate::types::{Lsn, NodeId, SessionId};

/// How far a copy is.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    pub(crate) stage: Copying,
    /// Where the last whole copy began.
    pub(crate) last_from: Lsn,
    /// Copies that are whole and not durable: where they end and began. Several where the
    /// shell begins one before the last is durable.
    pub(crate) ended: Vec<(Lsn, Lsn)>,
}

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Copying {
    #[default]
    Nothing,
    Sessions {
        from: Lsn,
        next: SessionId,
        /// How many of the messages that wait for that one have been seen to.
        messages: usize,
    },
    Retained {
        from: Lsn,
        next: NodeId,
    },
}

impl Pass {
    /// What is in no record from here on may be cut off.
    pub(crate) fn oldest(&self) -> Lsn {
        match self.stage {
            Copying::Nothing => self.last_from,
            Copying::Sessions { from, .. } | Copying::Retained { from, .. } => from,
        }
    }

    /// Whether no copy is under way whose originals are still there, if everything before `from`
    /// has been removed.
    pub(crate) fn is_over(&self, from: Lsn) -> bool {
        self.stage == Copying::Nothing && self.last_from <= from
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
