//! What rows can be asked, whether they are open or sealed.

use crate::Millis;
use crate::damage::Damage;
use crate::open::Open;
use crate::value::{OwnedValue, Value};

/// A row: what one message said.
#[derive(Copy, Clone, Debug)]
pub struct Row<'a> {
    /// When it was measured.
    pub time: Millis,
    /// When it arrived.
    pub arrived: Millis,
    /// Columns with values, in the order of the columns.
    pub values: &'a [(u16, Value<'a>)],
}

/// Rows in the order of their times.
pub trait Rows {
    /// How many rows there are.
    fn rows(&self) -> usize;

    /// The smallest and the largest time. `None`: there is no row.
    fn span(&self) -> Option<(Millis, Millis)>;

    /// The columns that have values, in order.
    fn columns(&self) -> Vec<u16>;

    /// The values of a column with `from <= time < to`.
    ///
    /// # Errors
    ///
    /// The block is damaged. Values before the damage have been given.
    fn read(
        &self,
        column: u16,
        from: Millis,
        to: Millis,
        sink: &mut dyn FnMut(Millis, Value<'_>),
    ) -> Result<(), Damage>;

    /// The rows with `from <= time < to`.
    ///
    /// # Errors
    ///
    /// The block is damaged. Rows before the damage have been given.
    fn read_rows(
        &self,
        from: Millis,
        to: Millis,
        sink: &mut dyn FnMut(Row<'_>),
    ) -> Result<(), Damage>;

    /// The last value of a column at or before `time`.
    ///
    /// # Errors
    ///
    /// The block is damaged.
    fn at(&self, column: u16, time: Millis) -> Result<Option<(Millis, OwnedValue)>, Damage>;

    /// The same for several columns.
    ///
    /// # Errors
    ///
    /// The block is damaged.
    fn at_all(&self, columns: &[u16], time: Millis) -> Result<Vec<Latest>, Damage> {
        columns
            .iter()
            .map(|column| self.at(*column, time))
            .collect()
    }
}

/// The last value of a column at or before a time, and its time.
pub type Latest = Option<(Millis, OwnedValue)>;

/// One block of several that may overlap. Of rows with the same time and values it has the first, in the order
/// of the blocks.
///
/// # Errors
///
/// One of them is damaged.
pub fn merge(blocks: &[&dyn Rows]) -> Result<Vec<u8>, Damage> {
    let mut all = Open::new();
    for rows in blocks {
        rows.read_rows(Millis::MIN, Millis::MAX, &mut |row| {
            all.push(row.time, row.arrived, row.values);
        })?;
    }
    all.drop_repeated();
    Ok(all.seal())
}
