//! The states of a column: texts, true and false.
//!
//! ```text
//! form            0 plain, 1 compressed by LZ4, then their length when plain
//! states          their count, then each: 0 false, 1 true, 2 a text behind its length
//! runs            their count, then for each: which state, and for how many values
//! ```
//!
//! Each state is stored once. LZ4 makes descriptions in JSON, which differ in a few words, small; it is read at
//! gigabytes a second, and the message log uses it already.

use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::bytes::{Reader, put_len};
use crate::damage::Damage;
use crate::value::{OwnedValue, Value};

/// States that are not compressed. Texts that are repeated so often are small anyway.
const SMALL: usize = 64;
/// The most bytes of the states of a column.
const MAX_STATES: usize = 1 << 28;

pub(super) fn encode(states: &[Value<'_>], bytes: &mut Vec<u8>) {
    let mut known: HashMap<&str, usize, FixedState> = HashMap::default();
    let mut bools = [None, None];
    let mut list = Vec::new();
    let mut count = 0;
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for state in states {
        let place = match *state {
            Value::Text(text) => *known.entry(text).or_insert_with(|| {
                list.push(2);
                put_len(&mut list, text.len());
                list.extend(text.as_bytes());
                count += 1;
                count - 1
            }),
            Value::Bool(value) => *bools[usize::from(value)].get_or_insert_with(|| {
                list.push(u8::from(value));
                count += 1;
                count - 1
            }),
            Value::Number(_) | Value::Integer(_) => continue,
        };
        match runs.last_mut() {
            Some((last, len)) if *last == place => *len += 1,
            Some(_) | None => runs.push((place, 1)),
        }
    }
    let mut plain = Vec::new();
    put_len(&mut plain, count);
    plain.extend(list);
    put_len(&mut plain, runs.len());
    for (state, len) in runs {
        put_len(&mut plain, state);
        put_len(&mut plain, len);
    }
    let packed = (plain.len() > SMALL).then(|| lz4_flex::compress(&plain));
    if let Some(packed) = packed.filter(|packed| packed.len() + 4 < plain.len()) {
        bytes.push(1);
        put_len(bytes, plain.len());
        put_len(bytes, packed.len());
        bytes.extend(packed);
    } else {
        bytes.push(0);
        put_len(bytes, plain.len());
        bytes.extend(plain);
    }
}

/// The states of a column, to be read.
#[derive(Debug)]
pub(super) struct States {
    states: Vec<OwnedValue>,
    /// Behind which value each run ends, and its state.
    runs: Vec<(usize, usize)>,
}

impl States {
    /// Reads `count` values.
    pub(super) fn parse(reader: &mut Reader<'_>, count: usize) -> Result<Self, Damage> {
        match reader.byte()? {
            0 => Self::of(reader.sized()?, count),
            1 => {
                let len = reader.len(MAX_STATES)?;
                let packed = reader.sized()?;
                // LZ4 makes at most 255 bytes of one.
                if len / 255 > packed.len() {
                    return Err(Damage::Content);
                }
                let plain = lz4_flex::decompress(packed, len).map_err(|_| Damage::Content)?;
                Self::of(&plain, count)
            }
            _ => Err(Damage::Content),
        }
    }

    fn of(bytes: &[u8], count: usize) -> Result<Self, Damage> {
        let mut reader = Reader(bytes);
        let known = reader.len(bytes.len())?;
        let mut states = Vec::new();
        for _ in 0..known {
            states.push(match reader.byte()? {
                0 => OwnedValue::Bool(false),
                1 => OwnedValue::Bool(true),
                2 => {
                    let text = std::str::from_utf8(reader.sized()?);
                    OwnedValue::Text(text.map_err(|_| Damage::Content)?.into())
                }
                _ => return Err(Damage::Content),
            });
        }
        let len = reader.len(bytes.len())?;
        let mut runs = Vec::new();
        let mut at = 0usize;
        for _ in 0..len {
            let state = reader.len(states.len().checked_sub(1).ok_or(Damage::Content)?)?;
            at += reader.len(count - at)?;
            runs.push((at, state));
        }
        if at == count && reader.0.is_empty() {
            Ok(Self { states, runs })
        } else {
            Err(Damage::Content)
        }
    }

    /// The values of a range.
    pub(super) fn read<'s>(&'s self, range: Range<usize>, mut give: impl FnMut(Value<'s>)) {
        let first = self.runs.partition_point(|(end, _)| *end <= range.start);
        let mut at = range.start;
        for (end, state) in &self.runs[first..] {
            if at >= range.end {
                break;
            }
            let value = self.states[*state].borrow();
            while at < (*end).min(range.end) {
                give(value);
                at += 1;
            }
        }
    }
}
