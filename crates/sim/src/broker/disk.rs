//! A disk that keeps what it was told to keep, and of the rest what chance decides.

use std::collections::VecDeque;

use ::broker::{Lsn, journal};
use bytes::{Bytes, BytesMut};

use crate::Random;

/// The broker's journal, and what is on its way there.
#[derive(Debug, Default)]
pub struct Disk {
    /// What is durable: records with their numbers.
    file: VecDeque<(Lsn, Bytes)>,
    /// What was written and is not durable, in lots, each with its last record.
    pending: VecDeque<(Lsn, Bytes)>,
}

impl Disk {
    /// Writes whole frames up to the record `last`.
    pub fn write(&mut self, last: Lsn, frames: Bytes) {
        self.pending.push_back((last, frames));
    }

    /// Some of the lots that were written are durable, in their order and at least one; up to
    /// which record, if there was anything.
    ///
    /// # Panics
    /// When that cannot be read back.
    pub fn sync(&mut self, random: &mut Random) -> Option<Lsn> {
        let lots = self.pending.len();
        let some = (lots > 0).then(|| 1 + random.index(lots))?;
        let (last, _) = *self.pending.get(some - 1)?;
        for (_, frames) in self.pending.drain(..some) {
            let (records, is_clean) = read(frames);
            assert!(is_clean, "what the broker wrote cannot be read");
            self.file.extend(records);
        }
        assert_eq!(self.durable(), Some(last));
        Some(last)
    }

    /// The last record that is durable.
    pub fn durable(&self) -> Option<Lsn> {
        self.file.back().map(|(lsn, _)| *lsn)
    }

    /// What is before `from` is not needed: cuts it off, but for some that are in the same
    /// part of the file.
    pub fn cut(&mut self, from: Lsn, random: &mut Random) {
        let before = self.file.iter().take_while(|(lsn, _)| *lsn < from).count();
        let kept = random.index(before.min(20) + 1);
        self.file.drain(..before - kept);
    }

    /// The power fails: of what is not durable any number of bytes is there, perhaps with
    /// rubbish behind it. `allowed` says up to which record that may be, for what was found.
    pub fn crash(&mut self, random: &mut Random, allowed: impl FnOnce(Lsn) -> Lsn) {
        let mut pending = BytesMut::new();
        for (_, frames) in core::mem::take(&mut self.pending) {
            pending.extend_from_slice(&frames);
        }
        match random.below(4) {
            0 => pending.clear(),
            1 => {}
            _ => pending.truncate(random.index(pending.len() + 1)),
        }
        if random.chance(500) {
            let rubbish = 1 + random.index(64);
            let is_zero = random.chance(300);
            for _ in 0..rubbish {
                let byte = random.next_u64().to_le_bytes()[0];
                pending.extend_from_slice(&[if is_zero { 0 } else { byte }]);
            }
        }
        self.file.extend(read(pending.freeze()).0);
        if let Some(last) = self.durable() {
            let allowed = allowed(last);
            while self.durable().is_some_and(|last| last > allowed) {
                self.file.pop_back();
            }
        }
    }

    /// What is there.
    pub fn records(&self) -> impl Iterator<Item = &(Lsn, Bytes)> {
        self.file.iter()
    }
}

/// All records up to the first place that cannot be read, and whether that is the end.
fn read(mut bytes: Bytes) -> (Vec<(Lsn, Bytes)>, bool) {
    let mut records = Vec::new();
    loop {
        match journal::next_frame(&mut bytes) {
            Ok(Some(frame)) => records.push((frame.lsn, frame.body)),
            Ok(None) => return (records, bytes.is_empty()),
            Err(_) => return (records, false),
        }
    }
}
