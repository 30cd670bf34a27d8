//! What the writer and those who ask share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use series::{Millis, Open, Rows as _};

use crate::archive::EMPTY;
use crate::catalog::{Catalog, MetricRef, metric_name};
use crate::error::Error;
use crate::file::File;
use crate::name::{Kind, start_of};

/// What the writer changes and questions look at.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    hot: Mutex<Hot>,
    files: RwLock<Arc<Vec<Arc<File>>>>,
}

/// Names, and rows that are not in files yet.
#[derive(Debug, Default)]
pub(crate) struct Hot {
    pub(crate) catalog: Catalog,
    opens: Vec<Open>,
    /// Rows that are being written to a file.
    pub(crate) sealing: HashMap<u32, Arc<Open>>,
    /// Bytes of the open rows.
    pub(crate) memory: usize,
}

impl Hot {
    /// The open rows of a group.
    pub(crate) fn open(&mut self, group: u32) -> &mut Open {
        let place = group as usize;
        if self.opens.len() <= place {
            self.opens.resize(place + 1, EMPTY);
        }
        &mut self.opens[place]
    }

    /// The open rows of a group, if it has any, those that are being written first.
    pub(crate) fn rows_of(&self, group: u32) -> impl Iterator<Item = &Open> {
        let sealing = self.sealing.get(&group).map(|open| &**open);
        let open = self
            .opens
            .get(group as usize)
            .filter(|open| open.rows() > 0);
        sealing.into_iter().chain(open)
    }

    /// In which files the rows of a group are.
    pub(crate) fn kind_of(&self, group: u32) -> Kind {
        match self.catalog.group(group) {
            Some(group) if group.is_events => Kind::Events,
            Some(_) | None => Kind::Raw,
        }
    }

    pub(crate) fn open_groups(&self) -> impl Iterator<Item = (u32, &Open)> {
        let opens = (0u32..).zip(&self.opens);
        opens.filter(|(_, open)| open.rows() > 0)
    }

    /// Takes the open rows of a group away from it.
    pub(crate) fn take(&mut self, group: u32) -> Open {
        let open = std::mem::replace(self.open(group), EMPTY);
        self.memory = self.memory.saturating_sub(open.memory());
        open
    }

    /// Puts rows to a group that has none.
    pub(crate) fn put(&mut self, group: u32, rows: Open) {
        self.memory += rows.memory();
        *self.open(group) = rows;
    }
}

impl Shared {
    pub(crate) fn hot(&self) -> MutexGuard<'_, Hot> {
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files, in the order of their names.
    pub(crate) fn files(&self) -> Arc<Vec<Arc<File>>> {
        Arc::clone(&self.files.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the files.
    pub(crate) fn set_files(&self, mut files: Vec<Arc<File>>) {
        files.sort_unstable_by_key(|file| file.name());
        *self.files.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(files);
    }
}

/// Answers questions about what was recorded, from any thread.
#[derive(Clone, Debug)]
pub struct View {
    pub(crate) shared: Arc<Shared>,
    /// Becomes true when nobody waits for the answers any more. `None`: somebody always does.
    is_over: Option<Arc<AtomicBool>>,
}

/// How far back the memory goes.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The oldest day of which rows are kept as they came, or the oldest open row.
    pub raw_since: Option<Millis>,
    /// The oldest day of which rollups are kept.
    pub rollups_since: Option<Millis>,
    /// Metrics.
    pub series: u64,
    /// Files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl View {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            is_over: None,
        }
    }

    /// The same view, whose questions end with [`Error::GivenUp`] soon after `is_over` has become true.
    #[must_use]
    pub fn until(&self, is_over: Arc<AtomicBool>) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            is_over: Some(is_over),
        }
    }

    /// Between two files: whether anybody waits for the answer.
    pub(crate) fn go_on(&self) -> Result<(), Error> {
        let is_over = self.is_over.as_ref();
        if is_over.is_some_and(|it| it.load(Ordering::Relaxed)) {
            return Err(Error::GivenUp);
        }
        Ok(())
    }

    /// The ids of all devices of which anything was recorded.
    pub fn devices(&self) -> Vec<String> {
        let hot = self.shared.hot();
        hot.catalog
            .devices()
            .map(|device| device.id.to_string())
            .collect()
    }

    /// The metrics of a device, with their units. `None`: nothing was recorded of it.
    pub fn metrics(&self, device: &str) -> Option<Vec<(String, Option<String>)>> {
        let hot = self.shared.hot();
        let (_, device) = hot.catalog.device(device)?;
        let groups = device
            .groups
            .iter()
            .filter_map(|group| hot.catalog.group(*group));
        let columns = groups.flat_map(|group| &group.columns);
        let metrics = columns.filter_map(|column| {
            let name = metric_name(&column.name)?;
            Some((name.to_owned(), column.unit.as_deref().map(str::to_owned)))
        });
        Some(metrics.collect())
    }

    /// Where a column of a device is, and its unit. The name is as it is stored.
    pub(crate) fn find(&self, device: &str, stored: &str) -> Option<(MetricRef, Option<String>)> {
        let hot = self.shared.hot();
        let (number, _) = hot.catalog.device(device)?;
        let metric = hot.catalog.find(number, stored)?;
        let unit = hot.catalog.column(metric)?.unit.as_deref();
        Some((metric, unit.map(str::to_owned)))
    }

    /// How far back the memory goes.
    pub fn kept(&self) -> Kept {
        let files = self.shared.files();
        let first = |kinds: &[Kind]| {
            let of_kind = files
                .iter()
                .filter(|file| kinds.contains(&file.name().kind));
            of_kind.map(|file| start_of(file.name().day)).min()
        };
        let hot = self.shared.hot();
        let open = hot
            .open_groups()
            .filter_map(|(_, open)| Some(open.span()?.0))
            .min();
        let raw = first(&[Kind::Raw]);
        let rollups = first(&[Kind::Minutes, Kind::Hours, Kind::Events]);
        Kept {
            raw_since: raw.into_iter().chain(open).min(),
            rollups_since: rollups.into_iter().chain(open).min(),
            series: hot.catalog.series(),
            files: files.len(),
            bytes: files.iter().map(|file| file.bytes()).sum(),
        }
    }
}
