//! Everything at one time.

use std::collections::HashMap;
use std::sync::Arc;

use series::{Block, Level, Millis, OwnedValue, RollupBlock, Rows as _};

use crate::error::Error;
use crate::file::{Entry, File};
use crate::name::{DAY, Kind, day_of_time, start_of};
use crate::view::View;

use super::with_retries;

/// Everything as it was at one time.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// For each device: its id, and for each column, by its stored name, the last value at or before the time.
    pub devices: Vec<(String, Vec<MomentValue>)>,
    /// Whether the values are exact. Otherwise each is the last of its minute.
    pub is_exact: bool,
    /// Blocks that were damaged.
    pub damaged: u64,
}

/// A value at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct MomentValue {
    /// The column's name as it is stored.
    pub name: String,
    /// Its unit.
    pub unit: Option<String>,
    /// When the value was measured.
    pub time: Millis,
    /// The value.
    pub value: OwnedValue,
}

/// How far back a value is looked for. The recorder writes everything that lasts once a day.
const LOOK_BACK: Millis = 31 * DAY;

/// The last value of each column of a group.
type Cells = HashMap<(u32, u16), (Millis, OwnedValue)>;

impl View {
    /// Everything at `time`: the last value of every column of every device at or before it.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn moment(&self, time: Millis) -> Result<Moment, Error> {
        self.moment_of(time, None)
    }

    /// The same for one device. `None`: nothing was recorded of it.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn moment_of_device(&self, device: &str, time: Millis) -> Result<Option<Moment>, Error> {
        let groups = {
            let hot = self.shared.hot();
            let Some((_, device)) = hot.catalog.device(device) else {
                return Ok(None);
            };
            device.groups.clone()
        };
        self.moment_of(time, Some(&groups)).map(Some)
    }

    fn moment_of(&self, time: Millis, groups: Option<&[u32]>) -> Result<Moment, Error> {
        with_retries(|| {
            let mut search = self.begin(time, groups);
            let is_exact = self.kept().raw_since.is_none_or(|since| since <= time);
            search.look_back(&[Kind::Raw, Kind::Events], LOOK_BACK)?;
            if !is_exact {
                search.look_back_in_minutes()?;
            }
            Ok(self.tell(search, is_exact))
        })
    }

    fn begin(&self, time: Millis, groups: Option<&[u32]>) -> Search<'_> {
        let hot = self.shared.hot();
        let mut wanted = HashMap::new();
        let mut found = Cells::new();
        let all: Vec<u32> =
            groups.map_or_else(|| (0..hot.catalog.groups()).collect(), <[u32]>::to_vec);
        for group in all {
            let Some(of) = hot.catalog.group(group) else {
                continue;
            };
            let columns = u16::try_from(of.columns.len()).unwrap_or(u16::MAX);
            wanted.insert(group, columns);
            for rows in hot.rows_of(group) {
                for column in 0..columns {
                    // Open rows are never damaged.
                    let it = rows.at(column, time).ok().flatten();
                    if let Some(it) = it {
                        take(&mut found, group, column, it);
                    }
                }
            }
        }
        Search {
            time,
            wanted,
            found,
            view: self,
            files: self.shared.files(),
            damaged: 0,
        }
    }

    fn tell(&self, search: Search<'_>, is_exact: bool) -> Moment {
        let hot = self.shared.hot();
        let mut by_device: HashMap<&str, Vec<MomentValue>> = HashMap::new();
        for ((group, column), (time, value)) in search.found {
            let of = hot.catalog.group(group).zip(hot.catalog.device_of(group));
            let Some((of, device)) = of else {
                continue;
            };
            let Some(column) = of.columns.get(usize::from(column)) else {
                continue;
            };
            by_device.entry(&device.id).or_default().push(MomentValue {
                name: column.name.to_string(),
                unit: column.unit.as_deref().map(str::to_owned),
                time,
                value,
            });
        }
        let devices = by_device.into_iter().map(|(id, mut values)| {
            values.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            (id.to_owned(), values)
        });
        let mut devices: Vec<_> = devices.collect();
        devices.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Moment {
            devices,
            is_exact,
            damaged: search.damaged,
        }
    }
}

struct Search<'a> {
    view: &'a View,
    time: Millis,
    /// The groups that are asked for, and how many columns each has.
    wanted: HashMap<u32, u16>,
    found: Cells,
    files: Arc<Vec<Arc<File>>>,
    damaged: u64,
}

fn take(found: &mut Cells, group: u32, column: u16, it: (Millis, OwnedValue)) {
    let known = found.entry((group, column));
    known
        .and_modify(|known| {
            if known.0 <= it.0 {
                *known = it.clone();
            }
        })
        .or_insert(it);
}

impl Search<'_> {
    /// Looks day by day, from the latest one, until every column has its value.
    fn look_back(&mut self, kinds: &[Kind], how_far: Millis) -> Result<(), Error> {
        let oldest = day_of_time(self.time.saturating_sub(how_far));
        let mut day = day_of_time(self.time);
        let files = Arc::clone(&self.files);
        // Whoever has open rows may have later ones in files, if rows came late.
        let mut missing: HashMap<u32, u16> = self.wanted.clone();
        while day >= oldest && !missing.is_empty() {
            let of_day = files.iter().filter(|file| file.name().day == day);
            let of_day: Vec<&Arc<File>> = of_day
                .filter(|file| kinds.contains(&file.name().kind))
                .collect();
            self.look_at_day(&of_day, &missing)?;
            missing.retain(|group, columns| {
                (0..*columns).any(|column| !self.found.contains_key(&(*group, column)))
            });
            let before = files
                .iter()
                .filter(|file| kinds.contains(&file.name().kind));
            let before = before
                .map(|file| file.name().day)
                .filter(|it| *it < day)
                .max();
            let Some(before) = before else {
                break;
            };
            day = before;
        }
        Ok(())
    }

    fn look_at_day(
        &mut self,
        files: &[&Arc<File>],
        missing: &HashMap<u32, u16>,
    ) -> Result<(), Error> {
        // The latest blocks first: most often one is enough.
        let mut blocks: HashMap<u32, Vec<(Entry, usize)>> = HashMap::new();
        let mut handles = Vec::new();
        for (at, file) in files.iter().enumerate() {
            self.view.go_on()?;
            let handle = file.open()?;
            let start = start_of(file.name().day);
            for entry in file.all(&handle, None)? {
                if start + Millis::from(entry.first) <= self.time
                    && missing.contains_key(&entry.group)
                {
                    blocks.entry(entry.group).or_default().push((entry, at));
                }
            }
            handles.push(handle);
        }
        for (group, mut entries) in blocks {
            self.view.go_on()?;
            let columns = missing.get(&group).copied().unwrap_or(0);
            entries.sort_unstable_by_key(|(entry, _)| std::cmp::Reverse(entry.last));
            for (entry, at) in entries {
                let last = start_of(files[at].name().day) + Millis::from(entry.last);
                let wanted: Vec<u16> = (0..columns)
                    .filter(|column| {
                        let known = self.found.get(&(group, *column));
                        known.is_none_or(|known| known.0 < last.min(self.time))
                    })
                    .collect();
                if wanted.is_empty() {
                    continue;
                }
                let Ok(block) = Block::parse(files[at].block(&handles[at], &entry)?) else {
                    self.damaged += 1;
                    continue;
                };
                let Ok(values) = block.at_all(&wanted, self.time) else {
                    self.damaged += 1;
                    continue;
                };
                for (column, it) in wanted.into_iter().zip(values) {
                    if let Some(it) = it {
                        take(&mut self.found, group, column, it);
                    }
                }
            }
        }
        Ok(())
    }

    /// Where the rows are gone: the last value of the minute, and of the minutes before.
    fn look_back_in_minutes(&mut self) -> Result<(), Error> {
        let files = Arc::clone(&self.files);
        let oldest = day_of_time(self.time.saturating_sub(LOOK_BACK));
        let latest = day_of_time(self.time);
        let of_kind = files.iter().rev().filter(|file| {
            file.name().kind == Kind::Minutes && (oldest..=latest).contains(&file.name().day)
        });
        let mut day = latest;
        let mut missing: HashMap<u32, u16> = self.wanted.clone();
        for file in of_kind {
            if file.name().day != day {
                day = file.name().day;
                missing.retain(|group, columns| {
                    (0..*columns).any(|column| !self.found.contains_key(&(*group, column)))
                });
            }
            if missing.is_empty() {
                break;
            }
            self.view.go_on()?;
            let handle = file.open()?;
            for entry in file.all(&handle, Some(Level::Minute))? {
                let Some(columns) = missing.get(&entry.group).copied() else {
                    continue;
                };
                let Ok(block) = RollupBlock::parse(file.block(&handle, &entry)?) else {
                    self.damaged += 1;
                    continue;
                };
                for column in (0..columns).filter(|column| block.columns().contains(column)) {
                    let mut last = None;
                    let to = self.time + 1;
                    let read = block.read(column, to - DAY, to, &mut |it| last = Some(*it));
                    if let (Ok(()), Some(it)) = (read, last) {
                        let value = (it.last_at, OwnedValue::Number(it.last));
                        take(&mut self.found, entry.group, column, value);
                    }
                }
            }
        }
        Ok(())
    }
}
