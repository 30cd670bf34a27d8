//! What has been recorded, what of it is durable, and what the shell has not taken yet.

use std::collections::VecDeque;

use bytes::BytesMut;

use crate::journal::write_frame;
use crate::output::Lsn;

/// The broker's end of the journal.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Whether records are kept at all.
    is_kept: bool,
    /// Frames that the shell has not taken.
    frames: BytesMut,
    /// The last record.
    last: Lsn,
    /// Where each lot ended that the shell has taken and not made durable.
    taken: VecDeque<Lsn>,
    /// The last record of those lots that are durable.
    durable: Lsn,
    /// Whether the shell knows that there are frames to take.
    is_announced: bool,
}

impl Ledger {
    /// Empty; with `is_kept` false it stays so.
    pub(crate) fn new(is_kept: bool) -> Self {
        Self {
            is_kept,
            ..Self::default()
        }
    }

    /// Goes on after `last`, which is durable.
    pub(crate) fn following(last: Lsn) -> Self {
        Self {
            is_kept: true,
            last,
            durable: last,
            ..Self::default()
        }
    }

    /// Whether records are kept at all.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// The last record.
    pub(crate) fn last(&self) -> Lsn {
        self.last
    }

    /// The last record that is known to be durable.
    pub(crate) fn durable(&self) -> Lsn {
        self.durable
    }

    /// Whether all records are durable, so that nothing has to wait.
    pub(crate) fn is_settled(&self) -> bool {
        self.durable >= self.last
    }

    /// Bytes that wait to be taken.
    pub(crate) fn backlog(&self) -> usize {
        self.frames.len()
    }

    /// Appends a record that `body` writes.
    pub(crate) fn record(&mut self, body: impl FnOnce(&mut BytesMut)) -> Lsn {
        self.last = Lsn(self.last.0 + 1);
        write_frame(&mut self.frames, self.last, body);
        self.last
    }

    /// The number up to which there is something new to take, if the shell does not know.
    pub(crate) fn announce(&mut self) -> Option<Lsn> {
        let news = !self.frames.is_empty() && !self.is_announced;
        self.is_announced |= news;
        news.then_some(self.last)
    }

    /// Gives all frames that wait.
    pub(crate) fn take(&mut self, out: &mut BytesMut) {
        if self.frames.is_empty() {
            return;
        }
        if out.is_empty() {
            core::mem::swap(out, &mut self.frames);
        } else {
            out.extend_from_slice(&self.frames);
        }
        self.frames.clear();
        self.is_announced = false;
        self.taken.push_back(self.last);
    }

    /// All records up to `lsn` are durable. What was taken at once is durable at once.
    pub(crate) fn persisted(&mut self, lsn: Lsn) {
        while let Some(end) = self.taken.front().filter(|end| **end <= lsn) {
            self.durable = *end;
            self.taken.pop_front();
        }
    }
}
