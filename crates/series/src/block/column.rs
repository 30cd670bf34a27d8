//! A column of a block.
//!
//! ```text
//! presence   0: every row has a value; 1: runs of rows without and with a value, in turns
//! kinds      a code if all values are of one kind, or 3 and runs of kinds
//! numbers    see `numbers.rs`
//! integers   a stream of integers, see `stream.rs`
//! states     see `states.rs`
//! ```

use std::ops::Range;

use super::numbers::{self, Numbers};
use super::states::{self, States};
use super::stream::{self, Paged};
use crate::bytes::{Reader, put, put_len};
use crate::damage::Damage;
use crate::value::Value;

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
        numbers::encode(&numbers, &mut bytes);
    }
    if !integers.is_empty() {
        stream::encode_integers(&integers, &mut bytes);
    }
    if !states.is_empty() {
        states::encode(&states, &mut bytes);
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

/// Reads a column.
#[derive(Debug)]
pub(super) struct ColumnReader<'a> {
    bytes: &'a [u8],
    rows: usize,
    present: Vec<Run>,
    kinds: Vec<(Kind, usize)>,
    numbers: Option<Numbers>,
    integers: Option<Paged>,
    states: Option<States>,
}

/// Rows with values that follow each other.
#[derive(Copy, Clone, Debug)]
struct Run {
    start: usize,
    end: usize,
    /// How many values are before it.
    before: usize,
}

impl<'a> ColumnReader<'a> {
    pub(super) fn parse(bytes: &'a [u8], rows: usize) -> Result<Self, Damage> {
        let mut reader = Reader(bytes);
        let present = read_presence(&mut reader, rows)?;
        let count = present
            .last()
            .map_or(0, |run| run.before + run.end - run.start);
        let kinds = read_kinds(&mut reader, count)?;
        let of = |kind| {
            let of_kind = kinds.iter().filter(|(it, _)| *it == kind);
            of_kind.map(|(_, count)| count).sum::<usize>()
        };
        let at = |rest: Reader<'_>| bytes.len() - rest.0.len();
        let numbers = match of(Kind::Number) {
            0 => None,
            count => Some(Numbers::parse(&mut reader, count, at)?),
        };
        let integers = match of(Kind::Integer) {
            0 => None,
            count => Some(Paged::read(&mut reader, count, at)?),
        };
        let states = match of(Kind::State) {
            0 => None,
            count => Some(States::parse(&mut reader, count)?),
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
        let behind = self.present.partition_point(|run| run.start < row);
        let run = behind.checked_sub(1).and_then(|at| self.present.get(at));
        run.map_or(0, |run| run.before + run.end.min(row) - run.start)
    }

    /// The rows of `rows` that have values.
    fn places(&self, rows: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let first = self.present.partition_point(|run| run.end <= rows.start);
        let (start, end) = (rows.start, rows.end);
        let runs = self.present[first..].iter();
        runs.take_while(move |run| run.start < end)
            .map(move |run| run.start.max(start)..run.end.min(end))
    }

    /// The values of these rows.
    pub(super) fn read<'s>(
        &'s self,
        rows: Range<usize>,
        mut sink: impl FnMut(usize, Value<'s>),
    ) -> Result<(), Damage> {
        let values = self.rank(rows.start)..self.rank(rows.end);
        if values.is_empty() {
            return Ok(());
        }
        if let ([(Kind::Number, _)], Some(numbers)) = (&self.kinds[..], &self.numbers) {
            let mut found = Vec::new();
            numbers.read(self.bytes, values, &mut found)?;
            let mut found = found.into_iter();
            for run in self.places(&rows) {
                for (row, number) in run.zip(&mut found) {
                    sink(row, Value::Number(number));
                }
            }
            return Ok(());
        }
        let mut places = self.places(&rows).flatten();
        let mut begin = 0;
        let mut seen = [0; 3];
        for (kind, count) in &self.kinds {
            let wanted = begin.max(values.start)..(begin + count).min(values.end);
            let seen = &mut seen[usize::from(kind.code())];
            if !wanted.is_empty() {
                let in_stream = *seen + wanted.start - begin..*seen + wanted.end - begin;
                self.give(*kind, in_stream, &mut |value| {
                    if let Some(row) = places.next() {
                        sink(row, value);
                    }
                })?;
            }
            *seen += count;
            begin += count;
            if begin >= values.end {
                break;
            }
        }
        Ok(())
    }

    fn give<'s>(
        &'s self,
        kind: Kind,
        values: Range<usize>,
        give: &mut dyn FnMut(Value<'s>),
    ) -> Result<(), Damage> {
        match kind {
            Kind::Number => {
                let stream = self.numbers.as_ref().ok_or(Damage::Content)?;
                let mut numbers = Vec::new();
                stream.read(self.bytes, values, &mut numbers)?;
                numbers.into_iter().map(Value::Number).for_each(give);
            }
            Kind::Integer => {
                let stream = self.integers.as_ref().ok_or(Damage::Content)?;
                let mut integers = Vec::new();
                stream.integers(self.bytes, values, &mut integers)?;
                integers.into_iter().map(Value::Integer).for_each(give);
            }
            Kind::State => {
                let states = self.states.as_ref().ok_or(Damage::Content)?;
                states.read(values, give);
            }
        }
        Ok(())
    }
}

fn read_presence(reader: &mut Reader<'_>, rows: usize) -> Result<Vec<Run>, Damage> {
    match reader.byte()? {
        0 if rows == 0 => Ok(Vec::new()),
        0 => Ok(vec![Run {
            start: 0,
            end: rows,
            before: 0,
        }]),
        1 => {
            let count = reader.len(rows + 2)?;
            let mut present = Vec::new();
            let (mut at, mut before) = (0, 0);
            for run in 0..count {
                let len = reader.len(rows - at)?;
                if run % 2 == 1 && len > 0 {
                    present.push(Run {
                        start: at,
                        end: at + len,
                        before,
                    });
                    before += len;
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
