//! One column of every device.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use series::{Millis, OwnedValue, Rows, Value};

use crate::error::Error;
use crate::file::Entry;
use crate::name::Kind;
use crate::view::View;

use super::in_order::{Day, days_of};
use super::with_retries;

/// A column in several groups.
struct Wanted {
    /// The groups, and for each the column and its device.
    groups: BTreeMap<u32, (u16, Arc<str>)>,
    kind: Kind,
    days: Vec<i32>,
}

/// The open rows of a day, by group.
type OpenRows = HashMap<u32, Vec<(Millis, OwnedValue)>>;

impl View {
    /// Gives the values of one column of every device with `from <= time < to`, day by day: for each device and day
    /// its id, and what `read` makes of the values, in the order of their times. What `read` makes `None` of is left
    /// out. So only one device's day is in memory at once. `stored` is the name as it is stored.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn read_everyone<T>(
        &self,
        stored: &str,
        from: Millis,
        to: Millis,
        read: impl Fn(Value<'_>) -> Option<T>,
        mut sink: impl FnMut(&str, Vec<(Millis, T)>),
    ) -> Result<(), Error> {
        let wanted = self.wanted(stored, from, to);
        for day in &wanted.days {
            let part = Day::part_of(*day, from, to);
            let (opened, mut open) = with_retries(|| self.open_day(&wanted, *day, part))?;
            let mut blocks: HashMap<u32, Vec<(usize, Entry)>> = HashMap::new();
            for (at, (file, handle)) in opened.files.iter().enumerate() {
                for entry in file.all(handle, None)? {
                    if wanted.groups.contains_key(&entry.group) {
                        blocks.entry(entry.group).or_default().push((at, entry));
                    }
                }
            }
            for (group, (column, device)) in &wanted.groups {
                let (blocks, open) = (blocks.remove(group), open.remove(group));
                if blocks.is_none() && open.is_none() {
                    continue;
                }
                self.go_on()?;
                let open = open.unwrap_or_default().into_iter();
                let open = open.filter_map(|(time, value)| Some((time, read(value.borrow())?)));
                let take = |rows: &dyn Rows, from, to, give: &mut dyn FnMut(Millis, T)| {
                    rows.read(*column, from, to, &mut |time, value| {
                        if let Some(it) = read(value) {
                            give(time, it);
                        }
                    })
                };
                let mut values = Vec::new();
                // Whoever asks for one device is told of damage.
                let mut damaged = Vec::new();
                let _ = opened.give(
                    blocks.unwrap_or_default(),
                    open.collect(),
                    part,
                    &take,
                    &mut damaged,
                    &mut |time, it| {
                        values.push((time, it));
                        ControlFlow::Continue(())
                    },
                )?;
                if !values.is_empty() {
                    sink(device, values);
                }
            }
        }
        Ok(())
    }

    fn wanted(&self, stored: &str, from: Millis, to: Millis) -> Wanted {
        let mut groups = BTreeMap::new();
        let mut kind = Kind::Raw;
        let mut open: Option<(Millis, Millis)> = None;
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
            kind = hot.kind_of(group);
            for (first, last) in hot.rows_of(group).filter_map(Rows::span) {
                let (begin, end) = open.unwrap_or((first, last));
                open = Some((begin.min(first), end.max(last)));
            }
            groups.insert(group, (column, Arc::from(&*device.id)));
        }
        let days = days_of(&self.shared.files(), kind, (from, to), open);
        Wanted { groups, kind, days }
    }

    fn open_day(
        &self,
        wanted: &Wanted,
        day: i32,
        (from, to): (Millis, Millis),
    ) -> Result<(Day, OpenRows), Error> {
        self.go_on()?;
        let mut open = OpenRows::new();
        let files = {
            let hot = self.shared.hot();
            for (group, (column, _)) in &wanted.groups {
                for rows in hot.rows_of(*group) {
                    // Open rows are never damaged.
                    let _ = rows.read(*column, from, to, &mut |time, value| {
                        open.entry(*group).or_default().push((time, value.owned()));
                    });
                }
            }
            self.shared.files()
        };
        Ok((Day::open(&files, wanted.kind, day)?, open))
    }
}
