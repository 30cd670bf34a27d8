//! Rows of a block, some at a time, so that a block of any size takes little memory.

use std::collections::VecDeque;

use series::{Block, Damage, Millis, OwnedValue, Rows as _};

/// About how many rows are read at once.
const AT_ONCE: usize = 4096;

/// A row that owns its values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OwnedRow {
    pub(crate) time: Millis,
    pub(crate) arrived: Millis,
    pub(crate) values: Vec<(u16, OwnedValue)>,
}

/// Gives the rows of a block in the order of their times.
#[derive(Debug)]
pub(crate) struct RowStream {
    block: Block<Vec<u8>>,
    /// Where the next window begins. `None`: all is read.
    next: Option<Millis>,
    last: Millis,
    window: Millis,
    rows: VecDeque<OwnedRow>,
}

impl RowStream {
    pub(crate) fn new(block: Block<Vec<u8>>) -> Self {
        let span = block.span();
        let windows = Millis::try_from(block.rows() / AT_ONCE + 1).unwrap_or(Millis::MAX);
        let (first, last) = span.unwrap_or((0, 0));
        Self {
            next: span.map(|_| first),
            last,
            window: last.saturating_sub(first) / windows + 1,
            block,
            rows: VecDeque::new(),
        }
    }

    /// The rows that are in memory.
    pub(crate) fn held(&self) -> usize {
        self.rows.len()
    }

    /// The time of the next row. `None`: there is no further one.
    pub(crate) fn time(&mut self) -> Result<Option<Millis>, Damage> {
        self.fill()?;
        Ok(self.rows.front().map(|row| row.time))
    }

    /// The next row.
    pub(crate) fn next(&mut self) -> Result<Option<OwnedRow>, Damage> {
        self.fill()?;
        Ok(self.rows.pop_front())
    }

    fn fill(&mut self) -> Result<(), Damage> {
        while self.rows.is_empty()
            && let Some(from) = self.next
        {
            let to = from.saturating_add(self.window);
            self.next = (to <= self.last).then_some(to);
            let rows = &mut self.rows;
            self.block.read_rows(from, to, &mut |row| {
                let values = row.values.iter().map(|(column, it)| (*column, it.owned()));
                rows.push_back(OwnedRow {
                    time: row.time,
                    arrived: row.arrived,
                    values: values.collect(),
                });
            })?;
        }
        Ok(())
    }
}
