//! One column in the order of its times, a day and a block at a time: what is in memory does not grow with the
//! range.

use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;

use series::{Block, Damage, Millis, OwnedValue, Rows, Value};

use crate::catalog::{LATITUDE, LONGITUDE, MetricRef};
use crate::error::{Damaged, Error};
use crate::file::{Entry, File};
use crate::name::{DAY, Kind, day_of_time, start_of};
use crate::view::View;

use super::with_retries;

/// Takes what is wanted of rows: those from the first time on and before the second one.
pub(super) type Take<'a, T> =
    dyn Fn(&dyn Rows, Millis, Millis, &mut dyn FnMut(Millis, T)) -> Result<(), Damage> + 'a;

/// The files of a day. They are open, so it does not matter that they are merged away meanwhile.
pub(super) struct Day {
    pub(super) day: i32,
    pub(super) files: Vec<(Arc<File>, fs::File)>,
}

impl Day {
    pub(super) fn open(files: &[Arc<File>], kind: Kind, day: i32) -> Result<Self, Error> {
        let of_day = files
            .iter()
            .filter(|file| file.name().kind == kind && file.name().day == day);
        let opened = of_day.map(|file| Ok((Arc::clone(file), file.open()?)));
        Ok(Self {
            day,
            files: opened.collect::<Result<_, Error>>()?,
        })
    }

    /// The part of `from..to` that lies in the day.
    pub(super) fn part_of(day: i32, from: Millis, to: Millis) -> (Millis, Millis) {
        let start = start_of(day);
        (from.max(start), to.min(start + DAY))
    }

    /// Gives rows in the order of their times: those of blocks, each with the number of its file, and those that
    /// are open. Only blocks that overlap are in memory at once. Rows of the same time come in the order in which
    /// they were written.
    pub(super) fn give<T>(
        &self,
        mut blocks: Vec<(usize, Entry)>,
        open: Vec<(Millis, T)>,
        (from, to): (Millis, Millis),
        take: &Take<'_, T>,
        damaged: &mut Vec<Damaged>,
        sink: &mut dyn FnMut(Millis, T) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        blocks.sort_by_key(|(file, entry)| (entry.first, *file));
        let open = open.into_iter();
        let mut waiting: Vec<_> = open.map(|(time, it)| (time, usize::MAX, it)).collect();
        for (at, entry) in blocks {
            let begin = start_of(self.day) + Millis::from(entry.first);
            if give_before(&mut waiting, begin, sink).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let (file, handle) = &self.files[at];
            let block = Block::parse(file.block(handle, &entry)?);
            let read = block.and_then(|block| {
                take(&block, from, to, &mut |time, it| {
                    waiting.push((time, at, it));
                })
            });
            if let Err(why) = read {
                damaged.push(file.damaged(&entry, &why));
            }
        }
        Ok(give_before(&mut waiting, Millis::MAX, sink))
    }
}

/// Gives the rows before a time.
fn give_before<T>(
    waiting: &mut Vec<(Millis, usize, T)>,
    time: Millis,
    sink: &mut dyn FnMut(Millis, T) -> ControlFlow<()>,
) -> ControlFlow<()> {
    waiting.sort_by_key(|(time, file, _)| (*time, *file));
    let ready = waiting.partition_point(|(at, ..)| *at < time);
    waiting
        .drain(..ready)
        .try_for_each(|(time, _, it)| sink(time, it))
}

/// The days of which there may be rows, in order: those of files, and those of open rows.
pub(super) fn days_of(
    files: &[Arc<File>],
    kind: Kind,
    (from, to): (Millis, Millis),
    open: Option<(Millis, Millis)>,
) -> Vec<i32> {
    let (first, last) = (day_of_time(from), day_of_time(to.saturating_sub(1)));
    let of_files = files.iter().filter(|file| file.name().kind == kind);
    let of_open =
        open.map(|(begin, end)| first.max(day_of_time(begin))..=last.min(day_of_time(end)));
    let mut days: Vec<i32> = of_files
        .map(|file| file.name().day)
        .filter(|day| (first..=last).contains(day))
        .chain(of_open.into_iter().flatten())
        .collect();
    days.sort_unstable();
    days.dedup();
    days
}

impl View {
    /// Gives the values of a column with `from <= time < to` in the order of their times, until `sink` breaks.
    /// `stored` is the name as it is stored. Damaged blocks are left out, and named. Returns `None` if there is no
    /// such column.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn read_each(
        &self,
        device: &str,
        stored: &str,
        from: Millis,
        to: Millis,
        mut sink: impl FnMut(Millis, Value<'_>) -> ControlFlow<()>,
    ) -> Result<Option<Vec<Damaged>>, Error> {
        let Some((metric, _)) = self.find(device, stored) else {
            return Ok(None);
        };
        let take = |rows: &dyn Rows, from, to, give: &mut dyn FnMut(Millis, OwnedValue)| {
            rows.read(metric.column, from, to, &mut |time, value| {
                give(time, value.owned());
            })
        };
        self.give_days(metric.group, from, to, &take, &mut |time, value| {
            sink(time, value.borrow())
        })
        .map(Some)
    }

    /// Gives the positions of a device with `from <= time < to` in the order of their times: degrees north, and
    /// degrees east. Damaged blocks are left out, and named. Returns `None` if it never had a position.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn read_positions(
        &self,
        device: &str,
        from: Millis,
        to: Millis,
        mut sink: impl FnMut(Millis, f64, f64),
    ) -> Result<Option<Vec<Damaged>>, Error> {
        let found = self
            .find(device, LATITUDE)
            .zip(self.find(device, LONGITUDE));
        // They were first said together, so they are in one group.
        let Some(((latitude, _), (longitude, _))) =
            found.filter(|((a, _), (b, _))| a.group == b.group)
        else {
            return Ok(None);
        };
        let take = |rows: &dyn Rows, from, to, give: &mut dyn FnMut(Millis, (f64, f64))| {
            rows.read_rows(from, to, &mut |row| {
                let of = |metric: MetricRef| {
                    let cell = row.values.iter().find(|(id, _)| *id == metric.column)?;
                    cell.1.as_number()
                };
                if let Some(both) = of(latitude).zip(of(longitude)) {
                    give(row.time, both);
                }
            })
        };
        self.give_days(latitude.group, from, to, &take, &mut |time, (lat, lng)| {
            sink(time, lat, lng);
            ControlFlow::Continue(())
        })
        .map(Some)
    }

    /// Gives what `take` takes of a group's rows, day by day.
    fn give_days<T>(
        &self,
        group: u32,
        from: Millis,
        to: Millis,
        take: &Take<'_, T>,
        sink: &mut dyn FnMut(Millis, T) -> ControlFlow<()>,
    ) -> Result<Vec<Damaged>, Error> {
        let (kind, days) = {
            let hot = self.shared.hot();
            let kind = hot.kind_of(group);
            let open = hot.rows_of(group).filter_map(Rows::span);
            let open = open.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
            (kind, days_of(&self.shared.files(), kind, (from, to), open))
        };
        let mut damaged = Vec::new();
        for day in days {
            let (from, to) = Day::part_of(day, from, to);
            let (opened, open) = with_retries(|| {
                self.go_on()?;
                let mut open = Vec::new();
                let files = {
                    let hot = self.shared.hot();
                    for rows in hot.rows_of(group) {
                        // Open rows are never damaged.
                        let _ = take(rows, from, to, &mut |time, it| open.push((time, it)));
                    }
                    self.shared.files()
                };
                Ok((Day::open(&files, kind, day)?, open))
            })?;
            let mut blocks = Vec::new();
            for (at, (file, handle)) in opened.files.iter().enumerate() {
                let found = file.find(handle, None, group, from, to)?;
                blocks.extend(found.into_iter().map(|entry| (at, entry)));
            }
            let given = opened.give(blocks, open, (from, to), take, &mut damaged, sink)?;
            if given.is_break() {
                break;
            }
        }
        Ok(damaged)
    }
}
