//! One column of every device.

use std::collections::HashMap;
use std::sync::Arc;

use series::{Block, Millis, OwnedValue, Rows as _, Value};

use crate::error::Error;
use crate::file::File;
use crate::name::{Kind, day_of_time};
use crate::view::View;

use super::with_retries;

/// A column in several groups, and their devices.
type Wanted = HashMap<u32, (u16, Arc<str>)>;

impl View {
    /// Gives the values of one column of every device with `from <= time < to`: the device's id, the time, the value.
    /// The values of a device come in no order. `stored` is the name as it is stored.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn read_everyone(
        &self,
        stored: &str,
        from: Millis,
        to: Millis,
        mut sink: impl FnMut(&str, Millis, Value<'_>),
    ) -> Result<(), Error> {
        // A second try must not give anything twice.
        let found = with_retries(|| self.collect_everyone(stored, from, to))?;
        for (device, time, value) in &found {
            sink(device, *time, value.borrow());
        }
        Ok(())
    }

    #[allow(clippy::type_complexity)] // A list of three things.
    fn collect_everyone(
        &self,
        stored: &str,
        from: Millis,
        to: Millis,
    ) -> Result<Vec<(Arc<str>, Millis, OwnedValue)>, Error> {
        let mut found = Vec::new();
        let mut wanted = Wanted::new();
        let mut kind = Kind::Raw;
        let files: Arc<Vec<Arc<File>>>;
        {
            let hot = self.shared.hot();
            for group in 0..hot.catalog.groups() {
                let of = hot.catalog.group(group).zip(hot.catalog.device_of(group));
                let Some((of, device)) = of else {
                    continue;
                };
                let column = of.columns.iter().position(|it| *it.name == *stored);
                let Some(column) = column.and_then(|at| u16::try_from(at).ok()) else {
                    continue;
                };
                if of.is_events {
                    kind = Kind::Events;
                }
                let id: Arc<str> = Arc::from(&*device.id);
                for rows in hot.rows_of(group) {
                    // Open rows are never damaged.
                    let _ = rows.read(column, from, to, &mut |time, value| {
                        found.push((Arc::clone(&id), time, value.owned()));
                    });
                }
                wanted.insert(group, (column, id));
            }
            files = self.shared.files();
        }
        let (first, last) = (day_of_time(from), day_of_time(to.saturating_sub(1)));
        let of_kind = files
            .iter()
            .filter(|file| file.name().kind == kind && (first..=last).contains(&file.name().day));
        for file in of_kind {
            let handle = file.open()?;
            for entry in file.all(&handle, None)? {
                let Some((column, id)) = wanted.get(&entry.group) else {
                    continue;
                };
                let Ok(block) = Block::parse(file.block(&handle, &entry)?) else {
                    continue;
                };
                // Whoever asks for one device is told of damage.
                let _ = block.read(*column, from, to, &mut |time, value| {
                    found.push((Arc::clone(id), time, value.owned()));
                });
            }
        }
        Ok(found)
    }
}
