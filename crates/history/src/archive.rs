//! Takes rows: the journal, and what is open.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::path::PathBuf;
use std::sync::Arc;

use foldhash::fast::RandomState;
use series::{Millis, Open, Rows as _, Value};
use store::log::Log;
use store::table::Table;

use crate::catalog::{CLIENT, Catalog, MetricRef};
use crate::error::Error;
use crate::journal::RowsRecord;
use crate::merging::Merging;
use crate::settings::Settings;
use crate::view::{Shared, View};

/// A group is sealed when it has so many rows.
pub(crate) const FULL: usize = 8192;
/// A block has at most so many rows, so that one value in it is found quickly.
pub(crate) const MOST: usize = 16_384;
/// A record of the journal has about so many bytes.
const RECORD: usize = 32 << 10;

/// The memory of what happened. It has one writer; a [`View`] answers questions.
#[derive(Debug)]
pub struct Archive {
    pub(crate) settings: Settings,
    pub(crate) shared: Arc<Shared>,
    pub(crate) log: Log,
    pub(crate) table: Table,
    /// Groups whose names are not in the table yet.
    pub(crate) new_groups: BTreeSet<u32>,
    pub(crate) record: RowsRecord,
    /// For each group: the segment of the journal in which its oldest open row is. 0: it has no open row.
    pub(crate) first_in: Vec<u64>,
    /// A hash of the publisher that each group's last row names. 0: nobody.
    clients: Vec<u64>,
    hasher: RandomState,
    /// Groups that are full.
    pub(crate) full: Vec<u32>,
    /// When the first of them was.
    pub(crate) full_since: Option<Millis>,
    /// The number of the newest file that the journal calls complete.
    pub(crate) newest_file: u64,
    pub(crate) merging: Option<Merging>,
    /// Files that are not complete and could not be removed.
    pub(crate) leftovers: Vec<PathBuf>,
    /// Days before this one are sealed.
    pub(crate) sealed_days: i32,
    /// When retention was looked at last.
    pub(crate) tidied: Millis,
    pub(crate) counted: Counted,
    /// The disk is full: rows are not taken until a commit succeeds.
    is_full: bool,
}

/// What the archive has counted. Gauges are as of now.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Rows that were recorded.
    pub rows: u64,
    /// Values in them.
    pub values: u64,
    /// Values that were left out because there are too many metrics, or too long names.
    pub refused: u64,
    /// Rows that were left out because they are older than what is kept, or from beyond all time.
    pub too_old: u64,
    /// Rows that were left out because the disk is full.
    pub lost: u64,
    /// Blocks that were sealed.
    pub blocks: u64,
    /// Bytes of files that were dropped because of their age.
    pub dropped_by_age: u64,
    /// Bytes of files that were dropped because there was too much.
    pub dropped_by_size: u64,
    /// Gauge: bytes of all files.
    pub bytes: u64,
    /// Gauge: bytes of memory for rows that are not sealed.
    pub memory: u64,
    /// Gauge: metrics.
    pub series: u64,
    /// Gauge: bytes of memory for names.
    pub names: u64,
    /// Gauge: the disk is full.
    pub is_full: bool,
}

impl Archive {
    /// Everything but what `opening.rs` finds.
    pub(crate) fn new(settings: Settings, shared: Arc<Shared>, log: Log, table: Table) -> Self {
        Self {
            settings,
            shared,
            log,
            table,
            new_groups: BTreeSet::new(),
            record: RowsRecord::default(),
            first_in: Vec::new(),
            clients: Vec::new(),
            hasher: RandomState::default(),
            full: Vec::new(),
            full_since: None,
            newest_file: 0,
            merging: None,
            leftovers: Vec::new(),
            sealed_days: i32::MIN,
            tidied: Millis::MIN,
            counted: Counted::default(),
            is_full: false,
        }
    }

    /// Answers questions, from any thread.
    pub fn view(&self) -> View {
        View::new(Arc::clone(&self.shared))
    }

    /// The number of a device, for [`Archive::metrics`]. It gets one if it has none. If there is no room for its
    /// name, the number is nobody's: its metrics are refused.
    pub fn device(&mut self, id: &str) -> u32 {
        let mut hot = self.shared.hot();
        let known = hot.catalog.device(id).map(|(number, _)| number);
        known.unwrap_or_else(|| {
            let bytes = hot.catalog.bytes() + Catalog::bytes_of_device(id);
            if bytes <= self.settings.names {
                hot.catalog.intern(id)
            } else {
                NOBODY
            }
        })
    }

    /// Where the metrics of a device are recorded. Those that are new form a group. A name that begins with `@`
    /// is one of our own: give [`stored_name`](crate::stored_name) of what a device says. The reference of a
    /// metric that is refused, because there are too many, takes no values.
    pub fn metrics(&mut self, device: u32, names: &[&str]) -> Vec<MetricRef> {
        /// Refers to nothing.
        const NONE: MetricRef = MetricRef {
            group: u32::MAX,
            column: 0,
        };
        if device == NOBODY {
            return vec![NONE; names.len()];
        }
        let mut hot = self.shared.hot();
        let found: Vec<_> = names
            .iter()
            .map(|name| hot.catalog.find(device, name))
            .collect();
        let room = self.settings.series.saturating_sub(hot.catalog.series());
        let of_group = Catalog::bytes_of_group() + Catalog::bytes_of_column(CLIENT);
        let mut bytes = hot.catalog.bytes() + of_group;
        let mut new: Vec<&str> = Vec::new();
        for (name, found) in names.iter().zip(&found) {
            let more = Catalog::bytes_of_column(name);
            if found.is_none()
                && (new.len() as u64) < room
                && bytes + more <= self.settings.names
                && !new.contains(name)
            {
                bytes += more;
                new.push(name);
            }
        }
        if !new.is_empty() {
            let columns = new.chunks(usize::from(u16::MAX / 16) - 1);
            for names in columns {
                let mut names = names.to_vec();
                // Events tell of themselves who caused them.
                if names
                    .iter()
                    .any(|name| !name.starts_with('@') || name.starts_with("@@"))
                {
                    names.push(CLIENT);
                }
                let group = hot.catalog.add_group(device, &names);
                self.new_groups.insert(group);
            }
        }
        let metrics = names.iter().zip(found).map(|(name, found)| {
            let found = found.or_else(|| hot.catalog.find(device, name));
            found.unwrap_or(NONE)
        });
        metrics.collect()
    }

    /// Where a column of a device is recorded, if it is.
    pub fn find(&self, device: u32, stored: &str) -> Option<MetricRef> {
        self.shared.hot().catalog.find(device, stored)
    }

    /// Names a metric's unit.
    pub fn set_unit(&mut self, metric: MetricRef, unit: Option<&str>) {
        let most = self.settings.names;
        if self.shared.hot().catalog.set_unit(metric, unit, most) {
            self.new_groups.insert(metric.group);
        }
    }

    /// Adds a row: when it was measured, when it arrived, its values, and who published it.
    pub fn append(
        &mut self,
        time: Millis,
        arrived: Millis,
        values: &[(MetricRef, Value<'_>)],
        client: Option<&str>,
    ) {
        if self.is_full {
            self.counted.lost += 1;
            return;
        }
        let oldest = arrived.saturating_sub(self.settings.raw);
        if time < oldest.max(0) || time > arrived.saturating_add(MAX_AHEAD) {
            self.counted.too_old += 1;
            return;
        }
        let mut rest = values;
        while let Some((first, _)) = rest.first() {
            let same = rest
                .iter()
                .take_while(|(metric, _)| metric.group == first.group);
            let (of_group, others) = rest.split_at(same.count());
            rest = others;
            self.append_to(first.group, time, arrived, of_group, client);
        }
    }

    fn append_to(
        &mut self,
        group: u32,
        time: Millis,
        arrived: Millis,
        values: &[(MetricRef, Value<'_>)],
        client: Option<&str>,
    ) {
        let shared = Arc::clone(&self.shared);
        let mut hot = shared.hot();
        let Some(of) = hot.catalog.group(group) else {
            if self.counted.refused == 0 {
                tracing::warn!("history: too many metrics or names, further ones are not recorded");
            }
            self.counted.refused += values.len() as u64;
            return;
        };
        // It is the last one, where there is one.
        let of_client = of.columns.last().filter(|last| *last.name == *CLIENT);
        let of_client = of_client.and_then(|_| u16::try_from(of.columns.len() - 1).ok());
        let place = group as usize;
        if self.clients.len() <= place {
            self.clients.resize(place + 1, 0);
        }
        if self.first_in.len() <= place {
            self.first_in.resize(place + 1, 0);
        }
        let mut cells: Vec<(u16, Value<'_>)> = Vec::with_capacity(values.len() + 1);
        cells.extend(values.iter().map(|(metric, value)| (metric.column, *value)));
        // The publisher is recorded when it changes, and once in each block.
        let publisher = client.map_or(0, |client| self.hasher.hash_one(client).max(1));
        let open = hot.open(group);
        if let Some(client) = client
            && (open.rows() == 0 || self.clients[place] != publisher)
            && let Some(column) = of_client
        {
            cells.push((column, Value::Text(client)));
        }
        let before = open.memory();
        open.push(time, arrived, &cells);
        let (rows, memory) = (open.rows(), open.memory());
        hot.memory = (hot.memory + memory).saturating_sub(before);
        drop(hot);
        self.clients[place] = publisher;
        if self.first_in[place] == 0 {
            self.first_in[place] = self.segment();
        }
        if rows == FULL {
            self.full.push(group);
            self.full_since.get_or_insert(arrived);
        }
        self.record.push(group, time, arrived, &cells);
        if self.record.len() >= RECORD {
            let log = &mut self.log;
            self.record.take(|record| {
                log.append(record);
            });
        }
        self.counted.rows += 1;
        self.counted.values += values.len() as u64;
    }

    /// The next row of a group names its publisher again.
    pub(crate) fn forget_client(&mut self, group: u32) {
        if let Some(client) = self.clients.get_mut(group as usize) {
            *client = 0;
        }
    }

    /// The segment of the journal to which rows go.
    pub(crate) fn segment(&self) -> u64 {
        self.log.segments().last().map_or(1, |last| last.number)
    }

    /// Bytes that wait for [`Archive::commit`].
    pub fn waiting(&self) -> usize {
        self.record.len() + self.log.buffered()
    }

    /// Makes everything that was appended durable. Blocks until the disk has it.
    ///
    /// # Errors
    ///
    /// The disk is full or fails. Nothing is lost yet, but rows are not taken any more until a commit succeeds.
    pub fn commit(&mut self) -> Result<(), Error> {
        let committed = self.commit_all();
        self.is_full = committed.is_err();
        committed
    }

    fn commit_all(&mut self) -> Result<(), Error> {
        if !self.new_groups.is_empty() {
            let hot = self.shared.hot();
            let written = self.new_groups.iter().filter_map(|group| {
                let bytes = hot.catalog.write(*group)?;
                Some((group.to_be_bytes(), bytes))
            });
            let written: Vec<_> = written.collect();
            drop(hot);
            let changes = written
                .iter()
                .map(|(key, value)| (&key[..], Some(&value[..])));
            self.table.write(&changes.collect::<Vec<_>>())?;
            self.new_groups.clear();
        }
        let log = &mut self.log;
        self.record.take(|record| {
            log.append(record);
        });
        self.log.commit()?;
        Ok(())
    }

    /// What was counted.
    pub fn counted(&self) -> Counted {
        let hot = self.shared.hot();
        Counted {
            bytes: self.bytes(),
            memory: hot.memory as u64,
            series: hot.catalog.series(),
            names: hot.catalog.bytes(),
            is_full: self.is_full,
            ..self.counted
        }
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        let files: u64 = self.shared.files().iter().map(|file| file.bytes()).sum();
        let journal: u64 = self.log.segments().iter().map(|it| it.bytes).sum();
        files + journal + self.table.file_bytes()
    }
}

/// The number of a device whose name is refused.
const NOBODY: u32 = u32::MAX;

/// Times further ahead are a mistake: the fleet believes no clock that is ahead by more than a minute.
const MAX_AHEAD: Millis = 86_400_000;

/// No open rows.
pub(crate) const EMPTY: Open = Open::new();
