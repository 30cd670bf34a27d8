//! A column of a block.
//!
//! ```text
//! presence   0: every row has a value; 1: runs of rows without and with a value, in turns
//! kinds      a code if all values are of one kind, or 3 and runs of kinds
//! numbers    decimals: 0 to 22, how many digits stand behind the point, then a stream of integers;
//!            floats: 255, then a stream of floats
//! integers   a stream of integers
//! states     a list of states, and runs of them; compressed by LZ4 if that is smaller
//! ```
//!
//! A number is stored as an integer if the integer divided by a power of ten gives it again, bit for
//! bit: a sensor's 21.53 as 2153. If a few numbers of a column are no such decimals, all are stored as
//! floats: pco is good at these, too.

use std::ops::Range;

use super::stream::{self, Paged};
use crate::bytes::{Reader, put, put_len};
use crate::damage::Damage;
use crate::value::{OwnedValue, Value};

/// Powers of ten up to this one are exact.
const MAX_DIGITS: usize = 22;
const POWERS: [f64; MAX_DIGITS + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
/// A whole number below this is exact as a float.
const EXACT: f64 = 9_007_199_254_740_992.0;
const FLOATS: u8 = 255;
/// States that are not compressed. Texts that are repeated so often are small anyway.
const SMALL: usize = 64;
/// The most bytes of the states of a column.
const MAX_STATES: usize = 1 << 28;

/// The cells of a column, by row.
#[derive(Debug)]
pub(crate) enum Cells<'a> {
    /// Numbers from a row on. Not a number: there is none.
    Numbers { start: usize, numbers: &'a [f64] },
    /// Anything.
    Any(Vec<Option<Value<'a>>>),
}

/// What a value is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Integer,
    State,
}

impl Kind {
    const fn of(value: Value<'_>) -> Self {
        match value {
            Value::Number(_) => Self::Number,
            Value::Integer(_) => Self::Integer,
            Value::Bool(_) | Value::Text(_) => Self::State,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Number => 0,
            Self::Integer => 1,
            Self::State => 2,
        }
    }

    const fn read(code: u64) -> Result<Self, Damage> {
        match code {
            0 => Ok(Self::Number),
            1 => Ok(Self::Integer),
            2 => Ok(Self::State),
            _ => Err(Damage::Content),
        }
    }
}

const MIXED: u8 = 3;

impl Cells<'_> {
    fn at(&self, row: usize) -> Option<Value<'_>> {
        match self {
            Self::Numbers { start, numbers } => {
                let number = *numbers.get(row.checked_sub(*start)?)?;
                (!number.is_nan()).then_some(Value::Number(number))
            }
            Self::Any(cells) => *cells.get(row)?,
        }
    }
}

pub(super) fn encode(cells: &Cells<'_>, rows: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_presence(cells, rows, &mut bytes);
    let (mut numbers, mut integers, mut states) = (Vec::new(), Vec::new(), Vec::new());
    let mut kinds: Vec<(Kind, u64)> = Vec::new();
    if let Cells::Numbers { numbers: all, .. } = cells {
        numbers.extend(all.iter().copied().filter(|number| !number.is_nan()));
        kinds.push((Kind::Number, numbers.len() as u64));
    } else {
        for value in (0..rows).filter_map(|row| cells.at(row)) {
            let kind = Kind::of(value);
            match kinds.last_mut() {
                Some((last, count)) if *last == kind => *count += 1,
                Some(_) | None => kinds.push((kind, 1)),
            }
            match value {
                Value::Number(number) => numbers.push(number),
                Value::Integer(integer) => integers.push(integer),
                Value::Bool(_) | Value::Text(_) => states.push(value),
            }
        }
    }
    match kinds[..] {
        [] => bytes.push(Kind::Number.code()),
        [(kind, _)] => bytes.push(kind.code()),
        [..] => {
            bytes.push(MIXED);
            put_len(&mut bytes, kinds.len());
            for (kind, count) in kinds {
                bytes.push(kind.code());
                put(&mut bytes, count);
            }
        }
    }
    if !numbers.is_empty() {
        encode_numbers(&numbers, &mut bytes);
    }
    if !integers.is_empty() {
        stream::encode_integers(&integers, &mut bytes);
    }
    if !states.is_empty() {
        encode_states(&states, &mut bytes);
    }
    bytes
}

fn encode_presence(cells: &Cells<'_>, rows: usize, bytes: &mut Vec<u8>) {
    let mut runs = Vec::new();
    let mut is_there = false;
    let mut begun = 0;
    for row in 0..rows {
        if cells.at(row).is_some() != is_there {
            runs.push(row - begun);
            (is_there, begun) = (!is_there, row);
        }
    }
    runs.push(rows - begun);
    if runs == [0, rows] {
        bytes.push(0);
        return;
    }
    bytes.push(1);
    put_len(bytes, runs.len());
    for run in runs {
        put_len(bytes, run);
    }
}

fn encode_numbers(numbers: &[f64], bytes: &mut Vec<u8>) {
    if let Some((digits, integers)) = decimals(numbers) {
        bytes.push(digits);
        stream::encode_integers(&integers, bytes);
    } else {
        bytes.push(FLOATS);
        stream::encode(numbers, bytes);
    }
}

/// The numbers times a power of ten, if that is exact for all.
fn decimals(numbers: &[f64]) -> Option<(u8, Vec<i64>)> {
    let mut digits = 0;
    let mut integers: Vec<i64> = Vec::with_capacity(numbers.len());
    for (at, number) in numbers.iter().enumerate() {
        if let Some(integer) = decimal(*number, digits) {
            integers.push(integer);
            continue;
        }
        digits = (digits + 1..=MAX_DIGITS).find(|more| decimal(*number, *more).is_some())?;
        // What has fitted must fit with more digits, too.
        integers.clear();
        for number in &numbers[..=at] {
            integers.push(decimal(*number, digits)?);
        }
    }
    Some((u8::try_from(digits).ok()?, integers))
}

/// The number as so many digits behind the point, if that gives the number again, bit for bit.
#[allow(clippy::cast_possible_truncation)] // It is below 2^53.
fn decimal(number: f64, digits: usize) -> Option<i64> {
    let scaled = (number * POWERS[digits]).round();
    let is_exact = scaled.abs() < EXACT
        && (scaled / POWERS[digits]).to_bits() == number.to_bits()
        // -0.0 divided by anything is -0.0 again, but as an integer it is 0.
        && (scaled != 0.0 || number.is_sign_positive());
    is_exact.then_some(scaled as i64)
}

fn encode_states(states: &[Value<'_>], bytes: &mut Vec<u8>) {
    let mut known: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
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

/// Reads a column.
#[derive(Debug)]
pub(super) struct ColumnReader<'a> {
    bytes: &'a [u8],
    rows: usize,
    /// Rows with values.
    present: Vec<Range<usize>>,
    kinds: Vec<(Kind, usize)>,
    numbers: Option<(u8, Paged)>,
    integers: Option<Paged>,
    states: Option<States>,
}

#[derive(Debug)]
struct States {
    states: Vec<OwnedValue>,
    /// Behind which value each run ends, and its state.
    runs: Vec<(usize, usize)>,
}

impl<'a> ColumnReader<'a> {
    pub(super) fn parse(bytes: &'a [u8], rows: usize) -> Result<Self, Damage> {
        let mut reader = Reader(bytes);
        let present = read_presence(&mut reader, rows)?;
        let count: usize = present.iter().map(Range::len).sum();
        let kinds = read_kinds(&mut reader, count)?;
        let of = |kind| {
            let of_kind = kinds.iter().filter(|(it, _)| *it == kind);
            of_kind.map(|(_, count)| count).sum::<usize>()
        };
        let at = |rest: Reader<'_>| bytes.len() - rest.0.len();
        let numbers = if of(Kind::Number) > 0 {
            let digits = reader.byte()?;
            if digits != FLOATS && usize::from(digits) > MAX_DIGITS {
                return Err(Damage::Content);
            }
            let paged = Paged::read(&mut reader, of(Kind::Number), at)?;
            Some((digits, paged))
        } else {
            None
        };
        let integers = if of(Kind::Integer) > 0 {
            Some(Paged::read(&mut reader, of(Kind::Integer), at)?)
        } else {
            None
        };
        let states = if of(Kind::State) > 0 {
            Some(States::read(&mut reader, of(Kind::State))?)
        } else {
            None
        };
        Ok(Self {
            bytes,
            rows,
            present,
            kinds,
            numbers,
            integers,
            states,
        })
    }

    /// The last row before `end` that has a value.
    pub(super) fn last_before(&self, end: usize) -> Option<usize> {
        let end = end.min(self.rows);
        let behind = self.present.partition_point(|run| run.start < end);
        let run = self.present.get(behind.checked_sub(1)?)?;
        Some(run.end.min(end) - 1)
    }

    /// How many rows before `row` have values.
    fn rank(&self, row: usize) -> usize {
        let before = self.present.iter().take_while(|run| run.start < row);
        before.map(|run| run.end.min(row) - run.start).sum()
    }

    /// The values of these rows.
    pub(super) fn read(
        &self,
        rows: Range<usize>,
        sink: &mut dyn FnMut(usize, Value<'_>),
    ) -> Result<(), Damage> {
        let values = self.rank(rows.start)..self.rank(rows.end);
        if values.is_empty() {
            return Ok(());
        }
        let first = self.present.partition_point(|run| run.end <= rows.start);
        let mut places = self.present[first..]
            .iter()
            .flat_map(|run| run.start.max(rows.start)..run.end.min(rows.end));
        let mut begin = 0;
        let mut seen = [0; 3];
        for (kind, count) in &self.kinds {
            let of_run = begin..begin + count;
            let wanted = of_run.start.max(values.start)..of_run.end.min(values.end);
            let offset = seen[usize::from(kind.code())];
            if !wanted.is_empty() {
                let in_stream = offset + wanted.start - begin..offset + wanted.end - begin;
                let mut give = |value: Value<'_>| {
                    if let Some(row) = places.next() {
                        sink(row, value);
                    }
                };
                self.give(*kind, in_stream, &mut give)?;
            }
            seen[usize::from(kind.code())] += count;
            begin += count;
            if begin >= values.end {
                break;
            }
        }
        Ok(())
    }

    fn give(
        &self,
        kind: Kind,
        values: Range<usize>,
        give: &mut dyn FnMut(Value<'_>),
    ) -> Result<(), Damage> {
        match kind {
            Kind::Number => {
                let (digits, paged) = self.numbers.as_ref().ok_or(Damage::Content)?;
                if *digits == FLOATS {
                    let mut floats: Vec<f64> = Vec::new();
                    paged.numbers(self.bytes, values, &mut floats)?;
                    for float in floats {
                        give(Value::Number(float));
                    }
                } else {
                    let power = POWERS[usize::from(*digits)];
                    let mut integers = Vec::new();
                    paged.integers(self.bytes, values, &mut integers)?;
                    for integer in integers {
                        // It is below 2^53, so this is exact.
                        #[allow(clippy::cast_precision_loss)]
                        give(Value::Number(integer as f64 / power));
                    }
                }
            }
            Kind::Integer => {
                let paged = self.integers.as_ref().ok_or(Damage::Content)?;
                let mut integers = Vec::new();
                paged.integers(self.bytes, values, &mut integers)?;
                for integer in integers {
                    give(Value::Integer(integer));
                }
            }
            Kind::State => {
                let states = self.states.as_ref().ok_or(Damage::Content)?;
                let first = states.runs.partition_point(|(end, _)| *end <= values.start);
                let mut at = values.start;
                for (end, state) in &states.runs[first..] {
                    let value = states.states[*state].borrow();
                    while at < (*end).min(values.end) {
                        give(value);
                        at += 1;
                    }
                }
            }
        }
        Ok(())
    }
}

fn read_presence(reader: &mut Reader<'_>, rows: usize) -> Result<Vec<Range<usize>>, Damage> {
    match reader.byte()? {
        0 if rows == 0 => Ok(Vec::new()),
        0 => Ok(std::iter::once(0..rows).collect()),
        1 => {
            let count = reader.len(rows + 2)?;
            let mut present = Vec::new();
            let mut at = 0usize;
            for run in 0..count {
                let len = reader.len(rows - at)?;
                if run % 2 == 1 && len > 0 {
                    present.push(at..at + len);
                }
                at += len;
            }
            if at == rows {
                Ok(present)
            } else {
                Err(Damage::Content)
            }
        }
        _ => Err(Damage::Content),
    }
}

fn read_kinds(reader: &mut Reader<'_>, count: usize) -> Result<Vec<(Kind, usize)>, Damage> {
    let code = reader.byte()?;
    if code != MIXED {
        return Ok(vec![(Kind::read(u64::from(code))?, count)]);
    }
    let runs = reader.len(count)?;
    let mut kinds = Vec::new();
    let mut left = count;
    for _ in 0..runs {
        let kind = Kind::read(u64::from(reader.byte()?))?;
        let len = reader.len(left)?;
        left -= len;
        kinds.push((kind, len));
    }
    if left == 0 {
        Ok(kinds)
    } else {
        Err(Damage::Content)
    }
}

impl States {
    fn read(reader: &mut Reader<'_>, count: usize) -> Result<Self, Damage> {
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
}
