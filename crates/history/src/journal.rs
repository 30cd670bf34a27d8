//! What stands in the journal: rows that are not sealed yet.
//!
//! A record is one of these:
//!
//! ```text
//! 0  rows       each: group, time (difference to the row before), delay, count, and for each value its
//!               column and a tag: 0 number (8 bytes), 1 integer, 2 false, 3 true, 4 text
//! 1  snapshot   group, and its open rows as a sealed block: they replace what stands before
//! 2  sealed     the number of the newest file that is complete, and the groups that have no open rows any more
//! ```

use series::{Block, Millis, Open, Rows as _, Value};

const ROWS: u8 = 0;
const SNAPSHOT: u8 = 1;
const SEALED: u8 = 2;

/// Gathers rows for one record.
#[derive(Debug, Default)]
pub(crate) struct RowsRecord {
    bytes: Vec<u8>,
    before: Millis,
}

impl RowsRecord {
    pub(crate) fn push(
        &mut self,
        group: u32,
        time: Millis,
        arrived: Millis,
        values: &[(u16, Value<'_>)],
    ) {
        if self.bytes.is_empty() {
            self.bytes.push(ROWS);
            self.before = 0;
        }
        let bytes = &mut self.bytes;
        put(bytes, u64::from(group));
        put_signed(bytes, time.wrapping_sub(self.before));
        self.before = time;
        put_signed(bytes, arrived.wrapping_sub(time));
        put(bytes, values.len() as u64);
        for (column, value) in values {
            put(bytes, u64::from(*column));
            match value {
                Value::Number(number) => {
                    bytes.push(0);
                    bytes.extend(number.to_le_bytes());
                }
                Value::Integer(integer) => {
                    bytes.push(1);
                    put_signed(bytes, *integer);
                }
                Value::Bool(value) => bytes.push(2 + u8::from(*value)),
                Value::Text(text) => {
                    bytes.push(4);
                    put(bytes, text.len() as u64);
                    bytes.extend(text.as_bytes());
                }
            }
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Gives the record, if there is any row, and begins another one.
    pub(crate) fn take(&mut self, record: impl FnOnce(&[u8])) {
        if !self.bytes.is_empty() {
            record(&self.bytes);
            self.bytes.clear();
        }
    }
}

pub(crate) fn snapshot(group: u32, open: &Open) -> Vec<u8> {
    let mut bytes = vec![SNAPSHOT];
    put(&mut bytes, u64::from(group));
    bytes.extend(open.seal());
    bytes
}

pub(crate) fn sealed(newest_file: u64, groups: &[u32]) -> Vec<u8> {
    let mut bytes = vec![SEALED];
    put(&mut bytes, newest_file);
    for group in groups {
        put(&mut bytes, u64::from(*group));
    }
    bytes
}

/// Takes what a record says.
pub(crate) trait Replay {
    fn row(&mut self, group: u32, time: Millis, arrived: Millis, values: &[(u16, Value<'_>)]);
    fn snapshot(&mut self, group: u32, rows: Open);
    fn sealed(&mut self, group: u32);
    fn complete(&mut self, newest_file: u64);
}

/// Replays a record. `None`: it makes no sense; what stands before the nonsense was replayed.
pub(crate) fn replay(record: &[u8], into: &mut impl Replay) -> Option<()> {
    let (kind, rest) = record.split_first()?;
    let mut reader = Reader(rest);
    match *kind {
        ROWS => replay_rows(&mut reader, into),
        SNAPSHOT => {
            let group = u32::try_from(reader.number()?).ok()?;
            let block = Block::parse(reader.0).ok()?;
            let mut open = Open::new();
            let read = block.read_rows(Millis::MIN, Millis::MAX, &mut |row| {
                open.push(row.time, row.arrived, row.values);
            });
            read.ok()?;
            into.snapshot(group, open);
            Some(())
        }
        SEALED => {
            into.complete(reader.number()?);
            while !reader.0.is_empty() {
                into.sealed(u32::try_from(reader.number()?).ok()?);
            }
            Some(())
        }
        _ => None,
    }
}

fn replay_rows(reader: &mut Reader<'_>, into: &mut impl Replay) -> Option<()> {
    let mut before = 0i64;
    let mut values = Vec::new();
    while !reader.0.is_empty() {
        let group = u32::try_from(reader.number()?).ok()?;
        let time = before.wrapping_add(reader.signed()?);
        before = time;
        let arrived = time.wrapping_add(reader.signed()?);
        let count = reader.number()?;
        values.clear();
        for _ in 0..count {
            let column = u16::try_from(reader.number()?).ok()?;
            let value = match reader.byte()? {
                0 => {
                    let bytes: [u8; 8] = reader.take(8)?.try_into().ok()?;
                    Value::Number(f64::from_le_bytes(bytes))
                }
                1 => Value::Integer(reader.signed()?),
                2 => Value::Bool(false),
                3 => Value::Bool(true),
                4 => {
                    let len = usize::try_from(reader.number()?).ok()?;
                    Value::Text(std::str::from_utf8(reader.take(len)?).ok()?)
                }
                _ => return None,
            };
            values.push((column, value));
        }
        into.row(group, time, arrived, &values);
    }
    Some(())
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

fn put_signed(bytes: &mut Vec<u8>, value: i64) {
    put(bytes, ((value << 1) ^ (value >> 63)).cast_unsigned());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}
