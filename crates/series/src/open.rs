//! Rows that still come.

use std::borrow::Cow;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::Millis;
use crate::block::{self, Cells};
use crate::damage::Damage;
use crate::rows::{Row, Rows};
use crate::value::{OwnedValue, Value};

/// The rows of one group that are not sealed yet.
///
/// Numbers take eight bytes each, and states as long as they last. Times are shared by all columns.
#[derive(Clone, Debug, Default)]
pub struct Open {
    times: Vec<Millis>,
    /// How much later each row arrived. Empty: no row did.
    delays: Vec<Millis>,
    columns: Vec<Column>,
    is_unsorted: bool,
}

#[derive(Clone, Debug)]
struct Column {
    id: u16,
    /// The row of its first value.
    start: u32,
    data: Data,
}

/// The values from the column's first row on.
#[derive(Clone, Debug)]
enum Data {
    /// Numbers. Not a number: there is none in this row.
    Numbers(Vec<f64>),
    /// Texts and truth values.
    States(Box<States>),
    /// A mixture.
    Cells(Vec<Option<OwnedValue>>),
}

#[derive(Clone, Debug, Default)]
struct States {
    /// Rows that follow each other and have the same state.
    runs: Vec<Run>,
    known: Vec<OwnedValue>,
    /// Places in `known` of texts, by the text.
    by_text: HashTable<u32>,
}

#[derive(Copy, Clone, Debug)]
struct Run {
    start: u32,
    len: u32,
    state: u32,
}

/// The hash of a text. The seed is fixed: the crate is the same in each run.
fn hash(text: &str) -> u64 {
    FixedState::with_seed(0).hash_one(text)
}

impl States {
    /// `row` is behind all rows before.
    fn push(&mut self, row: u32, value: Value<'_>) {
        let state = self.known(value);
        if let Some(run) = self.runs.last_mut()
            && run.state == state
            && run.start + run.len == row
        {
            run.len += 1;
            return;
        }
        self.runs.push(Run {
            start: row,
            len: 1,
            state,
        });
    }

    /// The place of a state in `known`. A new one gets one.
    fn known(&mut self, value: Value<'_>) -> u32 {
        let same = |at: &u32| self.known[*at as usize].borrow().is_same(value);
        let last = self.runs.last().map(|run| run.state);
        if let Some(last) = last.filter(same) {
            return last;
        }
        let new = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        if let Value::Text(text) = value {
            let hash = hash(text);
            if let Some(known) = self.by_text.find(hash, same) {
                return *known;
            }
            let known = &self.known;
            self.by_text.insert_unique(hash, new, |at| {
                if let OwnedValue::Text(text) = &known[*at as usize] {
                    self::hash(text)
                } else {
                    0
                }
            });
        } else if let Some(known) = (0..new).find(same) {
            return known;
        }
        self.known.push(value.owned());
        new
    }

    fn at(&self, row: u32) -> Option<&OwnedValue> {
        let behind = self.runs.partition_point(|run| run.start <= row);
        let run = self.runs.get(behind.checked_sub(1)?)?;
        (row < run.start + run.len).then(|| &self.known[run.state as usize])
    }
}

impl Column {
    fn new(id: u16, row: u32, value: Value<'_>) -> Self {
        let data = match value {
            Value::Number(_) => Data::Numbers(Vec::new()),
            Value::Bool(_) | Value::Text(_) => Data::States(Box::default()),
            Value::Integer(_) => Data::Cells(Vec::new()),
        };
        Self {
            id,
            start: row,
            data,
        }
    }

    fn push(&mut self, row: u32, value: Value<'_>) {
        let place = row.saturating_sub(self.start);
        match (&mut self.data, value) {
            (Data::Numbers(numbers), Value::Number(number)) => {
                numbers.resize(place as usize, f64::NAN);
                numbers.push(number);
            }
            (Data::States(states), Value::Bool(_) | Value::Text(_)) => states.push(place, value),
            (Data::Cells(cells), _) => {
                cells.resize(place as usize, None);
                cells.push(Some(value.owned()));
            }
            (Data::Numbers(_) | Data::States(_), _) => {
                self.data = Data::Cells(self.cells(place));
                self.push(row, value);
            }
        }
    }

    /// Its first `len` cells, in a form that can hold any value.
    fn cells(&self, len: u32) -> Vec<Option<OwnedValue>> {
        let rows = self.start..self.start + len;
        rows.map(|row| self.at(row).map(Value::owned)).collect()
    }

    fn at(&self, row: u32) -> Option<Value<'_>> {
        let place = row.checked_sub(self.start)?;
        match &self.data {
            Data::Numbers(numbers) => {
                let number = *numbers.get(place as usize)?;
                (!number.is_nan()).then_some(Value::Number(number))
            }
            Data::States(states) => states.at(place).map(OwnedValue::borrow),
            Data::Cells(cells) => cells.get(place as usize)?.as_ref().map(OwnedValue::borrow),
        }
    }

    fn memory(&self) -> usize {
        let text = |value: &OwnedValue| match value {
            OwnedValue::Text(text) => text.len(),
            OwnedValue::Number(_) | OwnedValue::Integer(_) | OwnedValue::Bool(_) => 0,
        };
        size_of::<Self>()
            + match &self.data {
                Data::Numbers(numbers) => numbers.capacity() * 8,
                Data::States(states) => {
                    let texts: usize = states.known.iter().map(text).sum();
                    let known = states.known.capacity() * size_of::<OwnedValue>();
                    // A place and a byte of the table's own for each.
                    let table = states.by_text.capacity() * 5;
                    let runs = states.runs.capacity() * size_of::<Run>();
                    size_of::<States>() + texts + known + table + runs
                }
                Data::Cells(cells) => {
                    let texts: usize = cells.iter().flatten().map(text).sum();
                    cells.capacity() * size_of::<Option<OwnedValue>>() + texts
                }
            }
    }
}

impl Open {
    /// No rows.
    pub const fn new() -> Self {
        Self {
            times: Vec::new(),
            delays: Vec::new(),
            columns: Vec::new(),
            is_unsorted: false,
        }
    }

    /// Adds a row: when it was measured, when it arrived, and its values by column. The time may be
    /// before that of other rows. A number that is not finite is left out.
    pub fn push(&mut self, time: Millis, arrived: Millis, values: &[(u16, Value<'_>)]) {
        let Ok(row) = u32::try_from(self.times.len()) else {
            return;
        };
        self.is_unsorted |= self.times.last().is_some_and(|last| *last > time);
        let delay = arrived.wrapping_sub(time);
        if delay != 0 && self.delays.is_empty() {
            self.delays.resize(self.times.len(), 0);
        }
        self.times.push(time);
        if delay != 0 || !self.delays.is_empty() {
            self.delays.push(delay);
        }
        for (at, (id, value)) in values.iter().enumerate() {
            if matches!(value, Value::Number(number) if !number.is_finite()) {
                continue;
            }
            // Most often the columns come in the order in which they came before.
            let column = match self.columns.get(at) {
                Some(column) if column.id == *id => Some(at),
                Some(_) | None => self.columns.iter().position(|column| column.id == *id),
            };
            let column = column.unwrap_or_else(|| {
                self.columns.push(Column::new(*id, row, *value));
                self.columns.len() - 1
            });
            self.columns[column].push(row, *value);
        }
    }

    /// About how many bytes of memory it takes.
    pub fn memory(&self) -> usize {
        let columns: usize = self.columns.iter().map(Column::memory).sum();
        let more = self.columns.capacity() - self.columns.len();
        let times = self.times.capacity() + self.delays.capacity();
        size_of::<Self>() + times * 8 + columns + more * size_of::<Column>()
    }

    /// All rows as a block, in the order of their times. Rows of the same time stay in their order. A block
    /// holds [`MAX_ROWS`](crate::MAX_ROWS): what is beyond is left out, so seal before.
    pub fn seal(&self) -> Vec<u8> {
        let order = self.order();
        let sorted = |values: &[Millis]| order.iter().map(|row| values[*row as usize]).collect();
        let (times, delays): (Cow<'_, [Millis]>, Cow<'_, [Millis]>) = if self.is_unsorted {
            let delays = if self.delays.is_empty() {
                Vec::new()
            } else {
                sorted(&self.delays)
            };
            (Cow::Owned(sorted(&self.times)), Cow::Owned(delays))
        } else {
            (Cow::Borrowed(&self.times), Cow::Borrowed(&self.delays))
        };
        let mut columns: Vec<&Column> = self.columns.iter().collect();
        columns.sort_unstable_by_key(|column| column.id);
        let columns = columns.into_iter().map(|column| {
            let cells = match &column.data {
                Data::Numbers(numbers) if !self.is_unsorted => Cells::Numbers {
                    start: column.start as usize,
                    numbers,
                },
                Data::Numbers(_) | Data::States(_) | Data::Cells(_) => {
                    Cells::Any(order.iter().map(|row| column.at(*row)).collect())
                }
            };
            (column.id, cells)
        });
        block::encode(&times, &delays, columns)
    }

    /// The rows in the order of their times.
    fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0u32..).take(self.times.len()).collect();
        if self.is_unsorted {
            order.sort_by_key(|row| self.times[*row as usize]);
        }
        order
    }

    /// Drops each row that says the same as one before it: the same values at the same time. A device that
    /// sends a message again may do so much later.
    pub(crate) fn drop_repeated(&mut self) {
        let mut kept = self.order();
        // Most rows are alone with their time, and need no hash.
        let mut first: Option<u32> = None;
        let mut seen: HashTable<u32> = HashTable::new();
        let hash = |row: &u32| self.hash(*row);
        kept.retain(|row| {
            let time = |row: u32| self.times[row as usize];
            let Some(first) = first.filter(|first| time(*first) == time(*row)) else {
                first = Some(*row);
                seen.clear();
                return true;
            };
            if seen.is_empty() {
                seen.insert_unique(hash(&first), first, hash);
            }
            let is_same = |other: &u32| self.is_same(*row, *other);
            let is_new = seen.find(hash(row), is_same).is_none();
            if is_new {
                seen.insert_unique(hash(row), *row, hash);
            }
            is_new
        });
        if kept.len() < self.times.len() {
            *self = self.only(&kept);
        }
    }

    /// These rows.
    fn only(&self, rows: &[u32]) -> Self {
        let mut only = Self::new();
        let mut values = Vec::new();
        for row in rows {
            let of_row = self.columns.iter();
            values.clear();
            values.extend(of_row.filter_map(|it| Some((it.id, it.at(*row)?))));
            only.push(self.times[*row as usize], self.arrived(*row), &values);
        }
        only
    }

    /// A hash of the row's values.
    fn hash(&self, row: u32) -> u64 {
        let mut hasher = FixedState::with_seed(0).build_hasher();
        for column in &self.columns {
            match column.at(row) {
                None => {}
                Some(Value::Number(number)) => (column.id, number.to_bits()).hash(&mut hasher),
                Some(Value::Integer(integer)) => (column.id, integer).hash(&mut hasher),
                Some(Value::Bool(value)) => (column.id, value).hash(&mut hasher),
                Some(Value::Text(text)) => (column.id, text).hash(&mut hasher),
            }
        }
        hasher.finish()
    }

    /// Whether both rows have the same values.
    fn is_same(&self, a: u32, b: u32) -> bool {
        self.columns
            .iter()
            .all(|column| match (column.at(a), column.at(b)) {
                (None, None) => true,
                (Some(a), Some(b)) => a.is_same(b),
                (None, Some(_)) | (Some(_), None) => false,
            })
    }

    fn arrived(&self, row: u32) -> Millis {
        let delay = self.delays.get(row as usize).copied().unwrap_or(0);
        self.times[row as usize].wrapping_add(delay)
    }

    fn column(&self, id: u16) -> Option<&Column> {
        self.columns.iter().find(|column| column.id == id)
    }

    /// The rows of `from <= time < to`, in order.
    fn between(&self, from: Millis, to: Millis) -> Vec<u32> {
        if self.is_unsorted {
            let mut order = self.order();
            order.retain(|row| (from..to).contains(&self.times[*row as usize]));
            return order;
        }
        let begin = self.times.partition_point(|time| *time < from);
        let end = self.times.partition_point(|time| *time < to);
        (0u32..)
            .skip(begin)
            .take(end.saturating_sub(begin))
            .collect()
    }
}

impl Rows for Open {
    fn rows(&self) -> usize {
        self.times.len()
    }

    fn span(&self) -> Option<(Millis, Millis)> {
        if self.is_unsorted {
            return self
                .times
                .iter()
                .copied()
                .min()
                .zip(self.times.iter().copied().max());
        }
        self.times.first().copied().zip(self.times.last().copied())
    }

    fn columns(&self) -> Vec<u16> {
        let mut columns: Vec<u16> = self.columns.iter().map(|column| column.id).collect();
        columns.sort_unstable();
        columns
    }

    fn read(
        &self,
        column: u16,
        from: Millis,
        to: Millis,
        sink: &mut dyn FnMut(Millis, Value<'_>),
    ) -> Result<(), Damage> {
        let Some(column) = self.column(column) else {
            return Ok(());
        };
        for row in self.between(from, to) {
            if let Some(value) = column.at(row) {
                sink(self.times[row as usize], value);
            }
        }
        Ok(())
    }

    fn read_rows(
        &self,
        from: Millis,
        to: Millis,
        sink: &mut dyn FnMut(Row<'_>),
    ) -> Result<(), Damage> {
        let mut columns: Vec<&Column> = self.columns.iter().collect();
        columns.sort_unstable_by_key(|column| column.id);
        let mut values = Vec::new();
        for row in self.between(from, to) {
            values.clear();
            values.extend(columns.iter().filter_map(|it| Some((it.id, it.at(row)?))));
            sink(Row {
                time: self.times[row as usize],
                arrived: self.arrived(row),
                values: &values,
            });
        }
        Ok(())
    }

    fn at(&self, column: u16, time: Millis) -> Result<Option<(Millis, OwnedValue)>, Damage> {
        let Some(column) = self.column(column) else {
            return Ok(None);
        };
        let mut found: Option<(Millis, u32)> = None;
        if self.is_unsorted {
            for (row, at) in (0u32..).zip(&self.times) {
                let is_later = found.is_none_or(|(before, _)| before <= *at);
                if *at <= time && is_later && column.at(row).is_some() {
                    found = Some((*at, row));
                }
            }
        } else {
            let end = self.times.partition_point(|at| *at <= time);
            let row = (column.start..u32::try_from(end).unwrap_or(u32::MAX))
                .rev()
                .find(|row| column.at(*row).is_some());
            found = row.map(|row| (self.times[row as usize], row));
        }
        Ok(found.and_then(|(at, row)| Some((at, column.at(row)?.owned()))))
    }
}
