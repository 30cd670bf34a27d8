//! Rows of one column as they came.

use std::ops::ControlFlow;
use std::sync::Arc;

use series::{Block, Millis, OwnedValue, Rows as _, Value};

use crate::catalog::MetricRef;
use crate::error::{Damaged, Error};
use crate::file::File;
use crate::name::{Kind, day_of_time};
use crate::view::View;

use super::with_retries;

/// What is open of a column, and the files there are.
pub(super) struct Picture {
    pub(super) files: Arc<Vec<Arc<File>>>,
    pub(super) open: Vec<(Millis, OwnedValue)>,
    /// In which files the rows are.
    pub(super) kind: Kind,
}

impl Picture {
    /// The files that have rows of these times as they came.
    pub(super) fn raw_files(&self, from: Millis, to: Millis) -> impl Iterator<Item = &Arc<File>> {
        let kind = self.kind;
        let days = day_of_time(from)..=day_of_time(to.saturating_sub(1));
        let of_kind =
            move |file: &&Arc<File>| file.name().kind == kind && days.contains(&file.name().day);
        self.files.iter().filter(of_kind)
    }
}

impl View {
    pub(super) fn picture(&self, metric: MetricRef, from: Millis, to: Millis) -> Picture {
        let hot = self.shared.hot();
        let mut open = Vec::new();
        for rows in hot.rows_of(metric.group) {
            // Open rows are never damaged.
            let _ = rows.read(metric.column, from, to, &mut |time, value| {
                open.push((time, value.owned()));
            });
        }
        Picture {
            files: self.shared.files(),
            open,
            kind: hot.kind_of(metric.group),
        }
    }

    /// The values of a column with `from <= time < to`, in the order of their times. `stored` is the name as it is
    /// stored. Damaged blocks are left out, and named. Returns `None` if there is no such column.
    ///
    /// # Errors
    ///
    /// There are more than [`MOST_VALUES`](Self::MOST_VALUES), or a file cannot be read.
    #[allow(clippy::type_complexity)] // A list, and what is missing in it.
    pub fn read(
        &self,
        device: &str,
        stored: &str,
        from: Millis,
        to: Millis,
    ) -> Result<Option<(Vec<(Millis, OwnedValue)>, Vec<Damaged>)>, Error> {
        let mut values = Vec::new();
        let mut is_all = true;
        let damaged = self.read_each(device, stored, from, to, |time, value| {
            if values.len() == Self::MOST_VALUES {
                is_all = false;
                return ControlFlow::Break(());
            }
            values.push((time, value.owned()));
            ControlFlow::Continue(())
        })?;
        if !is_all {
            return Err(Error::TooMany);
        }
        Ok(damaged.map(|damaged| (values, damaged)))
    }

    /// The most values that [`View::read`] gathers.
    pub const MOST_VALUES: usize = 100_000;

    /// The last value of a column at or before `time`, and not before `since`.
    ///
    /// # Errors
    ///
    /// A file cannot be read.
    pub fn at(
        &self,
        device: &str,
        stored: &str,
        time: Millis,
        since: Millis,
    ) -> Result<Option<(Millis, OwnedValue)>, Error> {
        let Some((metric, _)) = self.find(device, stored) else {
            return Ok(None);
        };
        with_retries(|| self.last_of(metric, time, since))
    }

    fn last_of(
        &self,
        metric: MetricRef,
        time: Millis,
        since: Millis,
    ) -> Result<Option<(Millis, OwnedValue)>, Error> {
        let mut found: Option<(Millis, OwnedValue)> = None;
        let mut take = |it: Option<(Millis, OwnedValue)>| {
            if let Some(it) = it
                && found.as_ref().is_none_or(|before| before.0 <= it.0)
            {
                found = Some(it);
            }
        };
        let (files, kind);
        {
            let hot = self.shared.hot();
            for rows in hot.rows_of(metric.group) {
                take(rows.at(metric.column, time).ok().flatten());
            }
            files = self.shared.files();
            kind = hot.kind_of(metric.group);
        }
        let (first, last) = (day_of_time(since), day_of_time(time));
        let of_kind = files
            .iter()
            .filter(|file| file.name().kind == kind && (first..=last).contains(&file.name().day));
        let mut day = None;
        for file in of_kind.rev() {
            // A later day has a later value.
            if day.is_some_and(|day| day != file.name().day) && found.is_some() {
                break;
            }
            day = Some(file.name().day);
            self.go_on()?;
            let handle = file.open()?;
            let entries = file.find(&handle, None, metric.group, Millis::MIN, time + 1)?;
            for entry in entries {
                // Damage is told to whoever reads the range.
                if let Ok(block) = Block::parse(file.block(&handle, &entry)?) {
                    let it = block.at(metric.column, time).ok().flatten();
                    if let Some(it) = it
                        && found.as_ref().is_none_or(|before| before.0 <= it.0)
                    {
                        found = Some(it);
                    }
                }
            }
        }
        Ok(found.filter(|(at, _)| *at >= since))
    }

    /// The values of a column in the files.
    pub(super) fn read_files(
        &self,
        picture: &Picture,
        metric: MetricRef,
        from: Millis,
        to: Millis,
        damaged: &mut Vec<Damaged>,
        sink: &mut dyn FnMut(Millis, Value<'_>),
    ) -> Result<(), Error> {
        for file in picture.raw_files(from, to) {
            self.go_on()?;
            let handle = file.open()?;
            for entry in file.find(&handle, None, metric.group, from, to)? {
                let block = Block::parse(file.block(&handle, &entry)?);
                let read = block.and_then(|block| block.read(metric.column, from, to, sink));
                if let Err(why) = read {
                    damaged.push(file.damaged(&entry, &why));
                }
            }
        }
        Ok(())
    }
}
