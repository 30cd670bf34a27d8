//! What is where in the log: an entry for each stretch of blocks.
//!
//! The index of a segment is also a record of the log: the first one of the next segment. So a start reads
//! one record a segment. If it is damaged or missing, the segment itself is read.
//!
//! ```text
//! kind     u8   2
//! segment  u64  the segment that it describes
//! entries:
//!          offset u64, first u64, end u64, count u32, min i64, max i64
//! ```
//!
//! All numbers are little-endian.

use std::collections::BTreeMap;

use store::log::Position;

use crate::Millis;
use crate::block::Head;

/// The first byte of the index of a segment.
const KIND: u8 = 2;
const ENTRY: usize = 8 + 8 + 8 + 4 + 8 + 8;

/// A stretch of blocks, up to the next entry.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The first block.
    pub(crate) at: Position,
    /// The number of its first message.
    pub(crate) first: u64,
    /// The number behind the last message of the stretch.
    pub(crate) end: u64,
    /// How many messages there are.
    pub(crate) count: u32,
    pub(crate) min: Millis,
    pub(crate) max: Millis,
}

impl Entry {
    /// The entry of a single block.
    pub(crate) const fn of(at: Position, head: Head) -> Self {
        Self {
            at,
            first: head.first,
            end: head.end(),
            count: head.count,
            min: head.min,
            max: head.max,
        }
    }

    const fn touches(&self, from: Millis, to: Millis) -> bool {
        self.max >= from && self.min < to
    }
}

/// Everything that is committed.
#[derive(Debug, Default)]
pub(crate) struct Index {
    segments: BTreeMap<u64, Vec<Entry>>,
}

/// The sum of a segment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) count: u64,
    pub(crate) min: Millis,
    pub(crate) max: Millis,
}

impl Index {
    /// Bytes of a stretch. A question that needs one message of it reads all of them.
    const STRETCH: u64 = 128 << 10;

    /// Adds a block behind all others.
    pub(crate) fn add(&mut self, block: Entry) {
        let entries = self.segments.entry(block.at.segment).or_default();
        if let Some(last) = entries.last_mut()
            && block.at.offset.saturating_sub(last.at.offset) < Self::STRETCH
        {
            last.end = block.end;
            last.count = last.count.saturating_add(block.count);
            last.min = last.min.min(block.min);
            last.max = last.max.max(block.max);
            return;
        }
        entries.push(block);
    }

    /// Takes the entries of a segment from its index record. `false`: this is not the record.
    pub(crate) fn take_record(&mut self, segment: u64, record: &[u8]) -> bool {
        let entries = record.strip_prefix(&[KIND]).and_then(|it| {
            let entries = it.strip_prefix(&segment.to_le_bytes())?;
            let (entries, rest) = entries.as_chunks::<ENTRY>();
            rest.is_empty().then_some(entries)
        });
        let Some(entries) = entries else {
            return false;
        };
        let entries = entries.iter().map(|it| read_entry(segment, it)).collect();
        self.segments.insert(segment, entries);
        true
    }

    /// The index record of a segment.
    pub(crate) fn record(&self, segment: u64) -> Vec<u8> {
        let mut record = vec![KIND];
        record.extend_from_slice(&segment.to_le_bytes());
        for entry in self.segments.get(&segment).into_iter().flatten() {
            for number in [entry.at.offset, entry.first, entry.end] {
                record.extend_from_slice(&number.to_le_bytes());
            }
            record.extend_from_slice(&entry.count.to_le_bytes());
            for time in [entry.min, entry.max] {
                record.extend_from_slice(&time.to_le_bytes());
            }
        }
        record
    }

    /// What is in a segment. `None`: no message.
    pub(crate) fn sum(&self, segment: u64) -> Option<Sum> {
        let entries = self.segments.get(&segment)?;
        Some(Sum {
            count: entries.iter().map(|it| u64::from(it.count)).sum(),
            min: entries.iter().map(|it| it.min).min()?,
            max: entries.iter().map(|it| it.max).max()?,
        })
    }

    /// Forgets all segments before this one.
    pub(crate) fn remove_before(&mut self, segment: u64) {
        self.segments = self.segments.split_off(&segment);
    }

    /// How many messages there are.
    pub(crate) fn count(&self) -> u64 {
        self.entries().map(|it| u64::from(it.count)).sum()
    }

    /// The earliest time.
    pub(crate) fn since(&self) -> Option<Millis> {
        self.entries().map(|it| it.min).min()
    }

    /// The number behind the last message.
    pub(crate) fn end(&self) -> u64 {
        self.entries().map(|it| it.end).max().unwrap_or(0)
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.segments.values().flatten()
    }

    /// The last stretch with messages below a number, between two times.
    pub(crate) fn last_below(&self, number: u64, from: Millis, to: Millis) -> Option<Entry> {
        let mut entries = self.segments.values().rev().flat_map(|entries| {
            let end = entries.partition_point(|it| it.first < number);
            entries[..end].iter().rev()
        });
        entries.find(|it| it.touches(from, to)).copied()
    }

    /// The first stretch with messages from a number on, between two times.
    pub(crate) fn first_from(&self, number: u64, from: Millis, to: Millis) -> Option<Entry> {
        let mut entries = self.segments.values().flat_map(|entries| {
            let begin = entries.partition_point(|it| it.end <= number);
            &entries[begin..]
        });
        entries.find(|it| it.touches(from, to)).copied()
    }
}

fn read_entry(segment: u64, bytes: &[u8; ENTRY]) -> Entry {
    let number = |at: usize| {
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(number)
    };
    let mut count = [0; 4];
    count.copy_from_slice(&bytes[24..28]);
    Entry {
        at: Position {
            segment,
            offset: number(0),
        },
        first: number(8),
        end: number(16),
        count: u32::from_le_bytes(count),
        min: number(28).cast_signed(),
        max: number(36).cast_signed(),
    }
}
