//! Rollups: what is left of the values of a minute, an hour or a day.
//!
//! A rollup block is a block whose rows are buckets. Column *c* of the group becomes the columns
//! 16 *c* to 16 *c* + 8: count, smallest, largest, sum, first, last, when the first and the last were measured
//! (milliseconds behind the beginning of the bucket), and the time in each state. Of a bucket with one value only
//! that value and its time are stored.
//!
//! **Invariant.** A rollup is partial: it stands for the rows of one block. Rollups of the same bucket merge
//! exactly ([`Rollup::merge`]). So rows that come late need no correction: they bring a rollup of their own.
//! That holds for numbers. A state lasts from its row to the next one of the same block, so when rows of one time
//! lie in two blocks, their states may count twice until the rollup is made anew from the merged rows.

mod states;

use std::collections::BTreeMap;

use crate::Millis;
use crate::block::Block;
use crate::damage::Damage;
use crate::open::Open;
use crate::rows::Rows;
use crate::value::{OwnedValue, Value};

pub use self::states::{OTHER_STATES, StateTimes};

/// The columns that one column of the group becomes.
const STRIDE: u16 = 16;
const COUNT: u16 = 0;
const MIN: u16 = 1;
const MAX: u16 = 2;
const SUM: u16 = 3;
const FIRST: u16 = 4;
const LAST: u16 = 5;
const FIRST_AT: u16 = 6;
const LAST_AT: u16 = 7;
const STATES: u16 = 8;
/// Further columns have no rollups.
const MAX_COLUMNS: u16 = u16::MAX / STRIDE;

/// How long a bucket is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day, in UTC.
    Day,
}

impl Level {
    /// All levels, the shortest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// The length of a bucket in milliseconds.
    pub const fn millis(self) -> Millis {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    const fn bucket(self, time: Millis) -> Millis {
        time.saturating_sub(time.rem_euclid(self.millis()))
    }
}

/// The numbers of a column in one bucket. True and false count as 1 and 0.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Rollup {
    /// When the bucket begins.
    pub start: Millis,
    /// How many values there are.
    pub count: u64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Their sum.
    pub sum: f64,
    /// The first.
    pub first: f64,
    /// When it was measured.
    pub first_at: Millis,
    /// The last.
    pub last: f64,
    /// When it was measured.
    pub last_at: Millis,
}

impl Rollup {
    /// The rollup of one value.
    pub const fn of(start: Millis, time: Millis, value: f64) -> Self {
        Self {
            start,
            count: 1,
            min: value,
            max: value,
            sum: value,
            first: value,
            first_at: time,
            last: value,
            last_at: time,
        }
    }

    /// Adds a value.
    pub(crate) const fn add(&mut self, time: Millis, value: f64) {
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.sum += value;
        if time < self.first_at {
            (self.first, self.first_at) = (value, time);
        }
        if time >= self.last_at {
            (self.last, self.last_at) = (value, time);
        }
    }

    /// Adds another rollup. It may be of the same bucket, or of another one within a longer span.
    pub fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        if other.first_at < self.first_at {
            (self.first, self.first_at) = (other.first, other.first_at);
        }
        if other.last_at >= self.last_at {
            (self.last, self.last_at) = (other.last, other.last_at);
        }
    }
}

/// The rollups of a group's rows at a level, as a block. `until`: the last states last until then; without it,
/// until the last row. Of a bucket with more than 64 states, those that lasted shortest are one, [`OTHER_STATES`].
///
/// # Errors
///
/// The rows are damaged.
pub fn rollup(rows: &dyn Rows, level: Level, until: Option<Millis>) -> Result<Vec<u8>, Damage> {
    let mut open = Open::new();
    for column in rows.columns() {
        if column >= MAX_COLUMNS {
            continue;
        }
        let mut bucket: Option<Rollup> = None;
        let mut states = StateTimes::new(level.millis());
        rows.read(column, Millis::MIN, Millis::MAX, &mut |time, value| {
            states.push(time, value);
            let Some(number) = value.as_number() else {
                return;
            };
            if let Some(bucket) = &mut bucket
                && time.saturating_sub(bucket.start) < level.millis()
            {
                bucket.add(time, number);
            } else if let Some(done) = bucket.replace(Rollup::of(level.bucket(time), time, number))
            {
                put(&mut open, column, &done);
            }
        })?;
        if let Some(done) = bucket {
            put(&mut open, column, &done);
        }
        if let Some(until) = until {
            states.end(until);
        }
        states.write(&mut |start, text| {
            let column = column * STRIDE + STATES;
            open.push(start, start, &[(column, Value::Text(text))]);
        });
    }
    Ok(join_buckets(&open)?.seal())
}

/// Adds a bucket of a column. What follows from the rest is left out: of a single value everything does.
// A count or a part of a day is below 2^53.
#[allow(clippy::cast_precision_loss)]
fn put(open: &mut Open, column: u16, rollup: &Rollup) {
    let of_one = [
        (FIRST, rollup.first),
        (FIRST_AT, (rollup.first_at - rollup.start) as f64),
    ];
    let of_many = [
        (COUNT, rollup.count as f64),
        (MIN, rollup.min),
        (MAX, rollup.max),
        (SUM, tidy_sum(rollup)),
        (LAST, rollup.last),
        (LAST_AT, (rollup.last_at - rollup.start) as f64),
    ];
    let many = of_many.iter().filter(|_| rollup.count > 1);
    let values = of_one.iter().chain(many);
    let values = values.map(|(of, value)| (column * STRIDE + of, Value::Number(*value)));
    open.push(rollup.start, rollup.start, &values.collect::<Vec<_>>());
}

/// A sum of decimals is a decimal, but the floats that add up to it leave noise in the last digits. Without the
/// noise it is shorter, and nearer to the truth.
fn tidy_sum(rollup: &Rollup) -> f64 {
    let digits = [1.0, 10.0, 100.0, 1000.0, 10_000.0];
    for power in digits {
        let is_decimal = |value: f64| {
            let scaled = (value * power).round();
            scaled.abs() < 1e15 && (scaled / power).to_bits() == value.to_bits()
        };
        if is_decimal(rollup.min) && is_decimal(rollup.max) && is_decimal(rollup.first) {
            let tidy = (rollup.sum * power).round() / power;
            let noise = (tidy - rollup.sum).abs();
            return if noise <= rollup.sum.abs() * 1e-12 {
                tidy
            } else {
                rollup.sum
            };
        }
    }
    rollup.sum
}

/// One row for each bucket, of one for each bucket and column.
fn join_buckets(open: &Open) -> Result<Open, Damage> {
    let mut joined = Open::new();
    let mut start = None;
    let mut values: Vec<(u16, OwnedValue)> = Vec::new();
    let mut flush = |start: Option<Millis>, values: &mut Vec<(u16, OwnedValue)>| {
        if let Some(start) = start {
            values.sort_by_key(|(column, _)| *column);
            let borrowed = values
                .iter()
                .map(|(column, value)| (*column, value.borrow()));
            joined.push(start, start, &borrowed.collect::<Vec<_>>());
            values.clear();
        }
    };
    open.read_rows(Millis::MIN, Millis::MAX, &mut |row| {
        if start != Some(row.time) {
            flush(start.replace(row.time), &mut values);
        }
        let owned = row
            .values
            .iter()
            .map(|(column, value)| (*column, value.owned()));
        values.extend(owned);
    })?;
    flush(start, &mut values);
    Ok(joined)
}

/// One rollup block of several of the same level. Rollups of the same bucket are merged.
///
/// # Errors
///
/// One of them is damaged.
pub fn merge_rollups<B: AsRef<[u8]>>(blocks: &[RollupBlock<B>]) -> Result<Vec<u8>, Damage> {
    let mut columns: Vec<u16> = blocks.iter().flat_map(RollupBlock::columns).collect();
    columns.sort_unstable();
    columns.dedup();
    let mut open = Open::new();
    for column in columns {
        let mut buckets: BTreeMap<Millis, Rollup> = BTreeMap::default();
        // The buckets are those of the blocks, whatever their length.
        let mut states = StateTimes::new(1);
        for block in blocks {
            block.read(column, Millis::MIN, Millis::MAX, &mut |one| {
                let bucket = buckets.entry(one.start);
                bucket
                    .and_modify(|bucket| bucket.merge(one))
                    .or_insert(*one);
            })?;
            block.read_states(column, Millis::MIN, Millis::MAX, &mut |start, state, ms| {
                states.add(start, state, ms);
            })?;
        }
        for bucket in buckets.values() {
            put(&mut open, column, bucket);
        }
        states.write(&mut |start, text| {
            let column = column * STRIDE + STATES;
            open.push(start, start, &[(column, Value::Text(text))]);
        });
    }
    Ok(join_buckets(&open)?.seal())
}

/// A block of rollups.
#[derive(Debug)]
pub struct RollupBlock<B> {
    block: Block<B>,
}

impl<B: AsRef<[u8]>> RollupBlock<B> {
    /// Reads what is in a block, and its checksum.
    ///
    /// # Errors
    ///
    /// The bytes are not what was written.
    pub fn parse(bytes: B) -> Result<Self, Damage> {
        Block::parse(bytes).map(|block| Self { block })
    }

    /// How many buckets there are.
    pub fn buckets(&self) -> usize {
        self.block.rows()
    }

    /// The beginnings of the first and of the last bucket.
    pub fn span(&self) -> Option<(Millis, Millis)> {
        self.block.span()
    }

    /// The columns of the group that have rollups.
    pub fn columns(&self) -> Vec<u16> {
        let mut columns: Vec<u16> = self.block.columns();
        for column in &mut columns {
            *column /= STRIDE;
        }
        columns.dedup();
        columns
    }

    /// The buckets of a column that begin in `from..to`.
    ///
    /// # Errors
    ///
    /// The block is damaged.
    pub fn read(
        &self,
        column: u16,
        from: Millis,
        to: Millis,
        sink: &mut dyn FnMut(&Rollup),
    ) -> Result<(), Damage> {
        if column >= MAX_COLUMNS {
            return Ok(());
        }
        let (rows, times) = self.block.between(from, to)?;
        let of = |of| self.block.numbers(column * STRIDE + of, rows.clone());
        let (firsts, firsts_at, counts) = (of(FIRST)?, of(FIRST_AT)?, of(COUNT)?);
        let (mins, maxs, sums) = (of(MIN)?, of(MAX)?, of(SUM)?);
        let (lasts, lasts_at) = (of(LAST)?, of(LAST_AT)?);
        for (at, start) in times.into_iter().enumerate() {
            if firsts[at].is_nan() {
                continue;
            }
            // They are whole numbers below 2^53, as `put` writes them. What is not becomes the nearest one.
            #[allow(clippy::cast_possible_truncation)]
            let time = |offset: f64| start.saturating_add(offset as i64);
            let mut rollup = Rollup::of(start, time(firsts_at[at]), firsts[at]);
            let mut is_whole = !firsts_at[at].is_nan();
            if !counts[at].is_nan() {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let count = counts[at] as u64;
                rollup.count = count;
                (rollup.min, rollup.max, rollup.sum) = (mins[at], maxs[at], sums[at]);
                (rollup.last, rollup.last_at) = (lasts[at], time(lasts_at[at]));
                let others = [mins[at], maxs[at], sums[at], lasts[at], lasts_at[at]];
                is_whole &= !others.iter().any(|number| number.is_nan());
            }
            if !is_whole {
                return Err(Damage::Content);
            }
            sink(&rollup);
        }
        Ok(())
    }

    /// How many milliseconds each state of a column lasted, in the buckets that begin in `from..to`. A
    /// state is a text, or `true` or `false`.
    ///
    /// # Errors
    ///
    /// The block is damaged.
    pub fn read_states(
        &self,
        column: u16,
        from: Millis,
        to: Millis,
        sink: &mut dyn FnMut(Millis, &str, Millis),
    ) -> Result<(), Damage> {
        if column >= MAX_COLUMNS {
            return Ok(());
        }
        let mut result = Ok(());
        self.block
            .read(column * STRIDE + STATES, from, to, &mut |start, value| {
                if let Value::Text(text) = value {
                    let read = states::read(text, &mut |state, ms| sink(start, state, ms));
                    if let Err(damage) = read {
                        result = Err(damage);
                    }
                }
            })?;
        result
    }
}
