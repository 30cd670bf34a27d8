//! Rows that do not change any more, as bytes.
//!
//! ```text
//! format          1 byte: 1
//! rows            LEB128, then the first time, and the time by which each page begins later than the one before
//! times           a paged stream of integers
//! delays          0, or 1 and a paged stream of integers: by how much rows arrived later than measured
//! columns         their count, then for each: its id, the length of its bytes, and these
//! checksum        4 bytes: CRC-32 of all before
//! ```
//!
//! Numbers lie in pages of [`PAGE`] (`stream.rs`), so one value costs the reading of a page and not of the
//! block. `column.rs` says what a column looks like.
//!
//! **Invariant.** What a block takes when it is read is bounded by its bytes and by [`MAX_ROWS`], even if its
//! content is hostile and its checksum fits: rows are put together at most [`CELLS`] cells at a time.

mod column;
mod numbers;
mod states;
mod stream;

use std::ops::Range;

pub(crate) use self::column::Cells;
use self::column::ColumnReader;
use self::stream::Paged;
use crate::Millis;
use crate::bytes::{Reader, put, put_len, put_signed};
use crate::damage::Damage;
use crate::rows::{Latest, Row, Rows};
use crate::value::Value;

/// The most rows of a block.
pub const MAX_ROWS: usize = 1 << 20;
/// Rows of a page.
pub(crate) const PAGE: usize = 1024;
/// So many cells are put together at once when whole rows are read.
const CELLS: usize = 1 << 20;
const FORMAT: u8 = 1;

/// Writes a block. `times` are in order.
pub(crate) fn encode<'a>(
    times: &[Millis],
    delays: &[Millis],
    columns: impl ExactSizeIterator<Item = (u16, Cells<'a>)>,
) -> Vec<u8> {
    let rows = times.len().min(MAX_ROWS);
    let (times, delays) = (&times[..rows], &delays[..delays.len().min(rows)]);
    let mut bytes = vec![FORMAT];
    put_len(&mut bytes, rows);
    let mut before = 0i64;
    for page in times.chunks(PAGE) {
        put_signed(&mut bytes, page[0].wrapping_sub(before));
        before = page[0];
    }
    // The last time, so that nobody has to decode a page to know the span.
    let last = times.last().copied().unwrap_or(0);
    put(&mut bytes, last.wrapping_sub(before).cast_unsigned());
    stream::encode_integers(times, &mut bytes);
    if delays.iter().any(|delay| *delay != 0) {
        bytes.push(1);
        stream::encode_integers(delays, &mut bytes);
    } else {
        bytes.push(0);
    }
    put_len(&mut bytes, columns.len());
    for (id, cells) in columns {
        put(&mut bytes, u64::from(id));
        let column = column::encode(&cells, rows);
        put_len(&mut bytes, column.len());
        bytes.extend(column);
    }
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// A sealed block, in bytes that it owns or borrows.
#[derive(Debug)]
pub struct Block<B> {
    bytes: B,
    rows: usize,
    /// The first time of each page.
    firsts: Vec<Millis>,
    last: Millis,
    times: Paged,
    delays: Option<Paged>,
    columns: Vec<Place>,
}

#[derive(Copy, Clone, Debug)]
struct Place {
    id: u16,
    start: usize,
    end: usize,
}

impl<B: AsRef<[u8]>> Block<B> {
    /// Reads what is in a block, and its checksum.
    ///
    /// # Errors
    ///
    /// The bytes are not what was written.
    pub fn parse(bytes: B) -> Result<Self, Damage> {
        let all = bytes.as_ref();
        let (content, checksum) = all.split_last_chunk::<4>().ok_or(Damage::Short)?;
        if *content.first().ok_or(Damage::Short)? != FORMAT {
            return Err(Damage::Format);
        }
        if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
            return Err(Damage::Checksum);
        }
        let mut reader = Reader(&content[1..]);
        let rows = reader.len(MAX_ROWS)?;
        let mut firsts = Vec::with_capacity(rows.div_ceil(PAGE));
        let mut before = 0i64;
        for _ in 0..rows.div_ceil(PAGE) {
            before = before.wrapping_add(reader.signed()?);
            firsts.push(before);
        }
        let last = before.wrapping_add(reader.number()?.cast_signed());
        let at = |rest: Reader<'_>| content.len() - rest.0.len();
        let times = Paged::read(&mut reader, rows, at)?;
        let delays = match reader.byte()? {
            0 => None,
            1 => Some(Paged::read(&mut reader, rows, at)?),
            _ => return Err(Damage::Content),
        };
        let count = reader.len(usize::from(u16::MAX) + 1)?;
        let mut columns: Vec<Place> = Vec::new();
        for _ in 0..count {
            let id = u16::try_from(reader.number()?).map_err(|_| Damage::Content)?;
            if columns.last().is_some_and(|before| before.id >= id) {
                return Err(Damage::Content);
            }
            let len = reader.sized()?.len();
            let end = at(reader);
            columns.push(Place {
                id,
                start: end - len,
                end,
            });
        }
        if !reader.0.is_empty() {
            return Err(Damage::Content);
        }
        Ok(Self {
            bytes,
            rows,
            firsts,
            last,
            times,
            delays,
            columns,
        })
    }

    fn column(&self, id: u16) -> Result<Option<ColumnReader<'_>>, Damage> {
        let place = self.columns.binary_search_by_key(&id, |place| place.id);
        let Ok(place) = place.map(|at| self.columns[at]) else {
            return Ok(None);
        };
        let bytes = &self.bytes.as_ref()[place.start..place.end];
        ColumnReader::parse(bytes, self.rows).map(Some)
    }

    /// The pages that have times of `from..to`, as rows, and the times of these rows.
    fn times_of(&self, from: Millis, to: Millis) -> Result<(usize, Vec<Millis>), Damage> {
        if self.rows == 0 || from >= to || to <= self.firsts[0] || from > self.last {
            return Ok((0, Vec::new()));
        }
        // The page before may end with the same time.
        let begin = self
            .firsts
            .partition_point(|first| *first < from)
            .saturating_sub(1);
        let end = self.firsts.partition_point(|first| *first < to);
        let first_row = begin * PAGE;
        let rows = first_row..(end * PAGE).min(self.rows);
        let mut times = Vec::new();
        self.times.integers(self.bytes.as_ref(), rows, &mut times)?;
        Ok((first_row, times))
    }

    /// The rows of `from <= time < to`, and their times.
    pub(crate) fn between(
        &self,
        from: Millis,
        to: Millis,
    ) -> Result<(Range<usize>, Vec<Millis>), Damage> {
        let (first_row, mut times) = self.times_of(from, to)?;
        let begin = times.partition_point(|time| *time < from);
        let end = times.partition_point(|time| *time < to).max(begin);
        times.truncate(end);
        times.drain(..begin);
        Ok((first_row + begin..first_row + end, times))
    }
}

impl<B: AsRef<[u8]>> Rows for Block<B> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn span(&self) -> Option<(Millis, Millis)> {
        self.firsts.first().map(|first| (*first, self.last))
    }

    fn columns(&self) -> Vec<u16> {
        self.columns.iter().map(|place| place.id).collect()
    }

    fn read(
        &self,
        column: u16,
        from: Millis,
        to: Millis,
        sink: &mut dyn FnMut(Millis, Value<'_>),
    ) -> Result<(), Damage> {
        let Some(column) = self.column(column)? else {
            return Ok(());
        };
        let (rows, times) = self.between(from, to)?;
        column.read(rows.clone(), |row, value| {
            sink(times[row - rows.start], value);
        })
    }

    fn read_rows(
        &self,
        from: Millis,
        to: Millis,
        sink: &mut dyn FnMut(Row<'_>),
    ) -> Result<(), Damage> {
        let (rows, times) = self.between(from, to)?;
        let mut delays = Vec::new();
        if let Some(paged) = &self.delays {
            paged.integers(self.bytes.as_ref(), rows.clone(), &mut delays)?;
        }
        let mut columns = Vec::with_capacity(self.columns.len());
        for place in &self.columns {
            columns.extend(self.column(place.id)?.map(|column| (place.id, column)));
        }
        let width = columns.len();
        let step = (CELLS / width.max(1)).clamp(1, PAGE);
        let (mut cells, mut values) = (Vec::new(), Vec::new());
        let mut begin = rows.start;
        while begin < rows.end {
            // Whole pages, so that none is read twice.
            let some = begin..((begin / step + 1) * step).min(rows.end);
            begin = some.end;
            cells.clear();
            cells.resize(some.len() * width, None);
            for (at, (_, column)) in columns.iter().enumerate() {
                column.read(some.clone(), |row, value| {
                    cells[(row - some.start) * width + at] = Some(value);
                })?;
            }
            for row in some.clone() {
                let cells = &cells[(row - some.start) * width..][..width];
                let there = columns.iter().zip(cells);
                values.clear();
                values.extend(there.filter_map(|((id, _), cell)| Some((*id, (*cell)?))));
                let time = times[row - rows.start];
                let delay = delays.get(row - rows.start).copied().unwrap_or(0);
                sink(Row {
                    time,
                    arrived: time.wrapping_add(delay),
                    values: &values,
                });
            }
        }
        Ok(())
    }

    fn at(&self, column: u16, time: Millis) -> Result<Latest, Damage> {
        Ok(self.at_all(&[column], time)?.pop().flatten())
    }

    fn at_all(&self, columns: &[u16], time: Millis) -> Result<Vec<Latest>, Damage> {
        let page = self.firsts.partition_point(|first| *first <= time);
        let Some(page) = page.checked_sub(1) else {
            return Ok(vec![None; columns.len()]);
        };
        let times = self.times_of_page(page)?;
        let end = page * PAGE + times.partition_point(|at| *at <= time);
        let found = columns.iter().map(|column| {
            let Some(column) = self.column(*column)? else {
                return Ok(None);
            };
            let Some(row) = column.last_before(end) else {
                return Ok(None);
            };
            let mut found = None;
            column.read(row..row + 1, |_, value| found = Some(value.owned()))?;
            let at = if row / PAGE == page {
                times.get(row % PAGE).copied()
            } else {
                self.times_of_page(row / PAGE)?.get(row % PAGE).copied()
            };
            Ok(at.zip(found))
        });
        found.collect()
    }
}

impl<B: AsRef<[u8]>> Block<B> {
    /// The numbers of a column in these rows. Not a number: there is none.
    pub(crate) fn numbers(&self, column: u16, rows: Range<usize>) -> Result<Vec<f64>, Damage> {
        let mut numbers = vec![f64::NAN; rows.len()];
        if let Some(column) = self.column(column)? {
            column.read(rows.clone(), |row, value| {
                numbers[row - rows.start] = value.as_number().unwrap_or(f64::NAN);
            })?;
        }
        Ok(numbers)
    }

    fn times_of_page(&self, page: usize) -> Result<Vec<Millis>, Damage> {
        let rows = page * PAGE..((page + 1) * PAGE).min(self.rows);
        let mut times = Vec::new();
        self.times.integers(self.bytes.as_ref(), rows, &mut times)?;
        Ok(times)
    }
}
