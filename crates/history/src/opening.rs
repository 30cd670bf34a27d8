//! The start: what earlier runs have left.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use series::{Millis, Open, Rows as _, Value};
use store::log::{self, Log, Position};
use store::table::Table;
use tracing::{info, warn};

use crate::archive::{Archive, FULL};
use crate::error::Error;
use crate::file::{File, NEW, PART};
use crate::journal::{self, Replay};
use crate::name::Name;
use crate::settings::Settings;
use crate::view::Shared;

/// An open archive, and what was found.
#[derive(Debug)]
pub struct Opened {
    /// The archive.
    pub archive: Archive,
    /// Rows that the journal had.
    pub replayed: u64,
    /// Bytes of a write that a crash has interrupted.
    pub torn_bytes: u64,
    /// What is damaged in the journal, one line for each place.
    pub damaged: Vec<String>,
}

impl Archive {
    /// Opens the archive in a folder, or an empty one. Reads names and journal; the blocks are read when somebody
    /// asks for them.
    ///
    /// # Errors
    ///
    /// A file or folder cannot be read or created. Damage is no error.
    pub fn open(settings: Settings, now: Millis) -> Result<Opened, Error> {
        let folder = settings.folder.clone();
        store::files::create_folder(&folder)?;
        let blocks = folder.join("blocks");
        store::files::create_folder(&blocks)?;
        let shared = Arc::new(Shared::default());
        let table = Table::open(&folder.join("catalog"))?;
        read_names(&table, &shared)?;
        let (log, found) = Log::open(log::Settings {
            folder: folder.join("journal"),
            segment_bytes: (settings.journal_bytes() / 8).max(256 << 10),
        })?;
        let mut replaying = Replaying {
            shared: &shared,
            segment: 0,
            first_in: BTreeMap::new(),
            rows: 0,
            newest_file: 0,
        };
        let mut nonsense = 0u64;
        let read = log.reader().read(Position::default(), |position, record| {
            replaying.segment = position.segment;
            if journal::replay(record, &mut replaying).is_none() {
                nonsense += 1;
            }
            ControlFlow::Continue(())
        })?;
        let Replaying {
            first_in,
            rows,
            newest_file,
            ..
        } = replaying;
        let mut damaged: Vec<String> = read.damaged.iter().map(ToString::to_string).collect();
        if nonsense > 0 {
            damaged.push(format!("{nonsense} records of the journal make no sense"));
        }
        for what in &damaged {
            warn!("history: {what}");
        }
        let (files, newest) = find_files(&blocks, newest_file)?;
        shared.set_files(files);
        let mut archive = Self::new(settings, shared, log, table);
        archive.newest_file = newest.max(newest_file);
        archive.resume(first_in, now);
        info!(
            "history: {} metrics in {} files, and {rows} rows in the journal",
            archive.counted().series,
            archive.shared.files().len()
        );
        Ok(Opened {
            archive,
            replayed: rows,
            torn_bytes: found.torn_bytes,
            damaged,
        })
    }

    fn resume(&mut self, first_in: BTreeMap<u32, u64>, now: Millis) {
        let hot = self.shared.hot();
        self.full = hot
            .open_groups()
            .filter(|(_, open)| open.rows() >= FULL)
            .map(|(group, _)| group)
            .collect();
        self.full_since = (!self.full.is_empty()).then_some(now);
        let groups = hot.catalog.groups() as usize;
        drop(hot);
        self.first_in.resize(groups, 0);
        for (group, segment) in first_in {
            if let Some(first_in) = self.first_in.get_mut(group as usize) {
                *first_in = segment;
            }
        }
    }
}

fn read_names(table: &Table, shared: &Shared) -> Result<(), Error> {
    let mut hot = shared.hot();
    let mut nonsense = 0u64;
    // In order, so that devices and groups keep theirs.
    let mut entries = BTreeMap::new();
    table.read(|key, value| {
        let group = <[u8; 4]>::try_from(key).map(u32::from_be_bytes);
        match group {
            Ok(group) if group < MAX_GROUPS => drop(entries.insert(group, value.to_vec())),
            Ok(_) | Err(_) => nonsense += 1,
        }
    })?;
    for (group, value) in entries {
        if !hot.catalog.read(group, &value) {
            nonsense += 1;
        }
    }
    if nonsense > 0 {
        warn!("history: {nonsense} entries of the catalog make no sense");
    }
    Ok(())
}

/// A group of a higher number is a mistake.
const MAX_GROUPS: u32 = 1 << 28;

struct Replaying<'a> {
    shared: &'a Shared,
    segment: u64,
    first_in: BTreeMap<u32, u64>,
    rows: u64,
    newest_file: u64,
}

impl Replay for Replaying<'_> {
    fn row(&mut self, group: u32, time: Millis, arrived: Millis, values: &[(u16, Value<'_>)]) {
        let mut hot = self.shared.hot();
        if hot.catalog.group(group).is_none() {
            return;
        }
        let open = hot.open(group);
        let before = open.memory();
        open.push(time, arrived, values);
        let memory = open.memory();
        hot.memory = (hot.memory + memory).saturating_sub(before);
        self.first_in.entry(group).or_insert(self.segment);
        self.rows += 1;
    }

    fn snapshot(&mut self, group: u32, rows: Open) {
        let mut hot = self.shared.hot();
        if hot.catalog.group(group).is_none() {
            return;
        }
        self.rows = (self.rows + rows.rows() as u64).saturating_sub(hot.open(group).rows() as u64);
        hot.take(group);
        hot.put(group, rows);
        self.first_in.insert(group, self.segment);
    }

    fn sealed(&mut self, group: u32) {
        let mut hot = self.shared.hot();
        if hot.catalog.group(group).is_some() {
            let rows = hot.take(group).rows();
            self.rows = self.rows.saturating_sub(rows as u64);
        }
        self.first_in.remove(&group);
    }

    fn complete(&mut self, newest_file: u64) {
        self.newest_file = self.newest_file.max(newest_file);
    }
}

/// The files of the folder, and the highest number. A file that is complete, but has not got its name, gets it if
/// the journal says that its rows are sealed. Otherwise the journal still has the rows.
fn find_files(folder: &Path, complete: u64) -> Result<(Vec<Arc<File>>, u64), Error> {
    let mut files = Vec::new();
    let mut newest = 0;
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    for entry in entries {
        let entry = entry.map_err(Error::io("read", folder))?;
        let mut path = entry.path();
        let ending = path.extension();
        let is_part = ending == Some(OsStr::new(PART));
        let is_new = ending == Some(OsStr::new(NEW));
        let named = path.with_extension("seg");
        let text = if is_part || is_new { &named } else { &path }.file_name();
        let text = text.and_then(OsStr::to_str).unwrap_or_default();
        let Some(name) = Name::parse(text) else {
            warn!("history: {} is no file of the history", path.display());
            continue;
        };
        newest = newest.max(name.number);
        if is_part || (is_new && name.number > complete) {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            continue;
        }
        if is_new {
            fs::rename(&path, &named).map_err(Error::io("rename", &path))?;
            path = named;
        }
        let bytes = fs::metadata(&path).map_err(Error::io("read", &path))?.len();
        files.push(Arc::new(File::new(path, name, bytes)));
    }
    remove_replaced(&mut files)?;
    store::files::sync_folder(folder).map_err(Error::io("write", folder))?;
    Ok((files, newest))
}

/// Removes what a merge has replaced, if a crash came before it was removed.
fn remove_replaced(files: &mut Vec<Arc<File>>) -> Result<(), Error> {
    let mut merged = BTreeMap::new();
    for name in files
        .iter()
        .map(|file| file.name())
        .filter(|name| name.is_merged)
    {
        let newest = merged.entry((name.day, name.kind)).or_insert(name.number);
        *newest = name.number.max(*newest);
    }
    let mut kept = Vec::new();
    for file in files.drain(..) {
        let name = file.name();
        let by = merged.get(&(name.day, name.kind));
        if by.is_some_and(|newest| name.number < *newest) {
            fs::remove_file(file.path()).map_err(Error::io("remove", file.path()))?;
        } else {
            kept.push(file);
        }
    }
    *files = kept;
    Ok(())
}
