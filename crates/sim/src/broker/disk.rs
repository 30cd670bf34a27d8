//! A disk that keeps what it has reported as durable. Chance decides about the rest.

use std::collections::VecDeque;

use ::broker::{Lsn, journal};
use bytes::{Bytes, BytesMut};

use crate::Random;

/// The broker's journal, and the writes that are on their way to it.
#[derive(Debug, Default)]
pub struct Disk {
    /// The durable records with their numbers.
    file: VecDeque<(Lsn, Bytes)>,
    /// Writes that are not durable yet, each with the number of its last record.
    pending: VecDeque<(Lsn, Bytes)>,
}

impl Disk {
    /// Writes whole frames up to the record `last`.
    pub fn write(&mut self, last: Lsn, frames: Bytes) {
        self.pending.push_back((last, frames));
    }

    /// Makes some of the pending writes durable: at least one, in their order. Returns the last
    /// durable record, if there was anything to write.
    ///
    /// # Panics
    /// Panics when the frames cannot be read back.
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

    /// Drops the records before `from`, which nobody needs. Some of them may stay, because they are
    /// in the same part of the file.
    pub fn cut(&mut self, from: Lsn, random: &mut Random) {
        let before = self.file.iter().take_while(|(lsn, _)| *lsn < from).count();
        let kept = random.index(before.min(20) + 1);
        self.file.drain(..before - kept);
    }

    /// Simulates a power failure. Any number of bytes of what is not durable stays, perhaps with
    /// rubbish behind it. Given the last record that was found, `allowed` returns the last one that
    /// may stay.
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

    /// The records on the disk.
    pub fn records(&self) -> impl Iterator<Item = &(Lsn, Bytes)> {
        self.file.iter()
    }
}

/// Reads all records up to the first place that cannot be read. Returns the records, and whether
/// that place is the end of `bytes`.
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
