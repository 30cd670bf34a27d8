//! The files of an archive, read from outside: beside a running server, or without one. Nothing is changed.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | what the files hold at one moment |
//! | `export.rs` | gives every value, a day at a time |
//! | `rows.rs` | rows of a block, some at a time |
//! | `stats.rs` | counts what is kept |
//! | `verify.rs` | reads everything, and names what is damaged |
//!
//! **Invariant.** The journal is read before the list of files. What a server seals in between is then there twice,
//! and whoever gives rows gives equal ones once. The other way round they would be missing.

mod export;
mod rows;
mod stats;
mod verify;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use series::{Millis, Open, Rows as _, Value};
use store::log::{Damage, Position, Reader};
use store::table::Table;

pub use self::export::{Exported, Selection, Value1 as ExportedValue};
pub(crate) use self::rows::RowStream;
pub use self::stats::{DeviceStats, KindStats, Stats};
pub use self::verify::{Lost, Trouble, Verified};

use crate::catalog::Catalog;
use crate::error::Error;
use crate::file::{File, NEW};
use crate::journal::{self, Replay};
use crate::name::Name;

/// What the files of an archive hold at one moment.
#[derive(Debug)]
pub struct Snapshot {
    folder: PathBuf,
    catalog: Catalog,
    names: Names,
    journal: Journal,
    files: Vec<Arc<File>>,
}

/// The file of the names.
#[derive(Copy, Clone, Debug, Default)]
struct Names {
    bytes: u64,
    /// Bytes that cannot be read.
    damaged_bytes: u64,
    /// Entries that make no sense.
    nonsense: u64,
}

/// What the journal holds.
#[derive(Debug, Default)]
struct Journal {
    files: u64,
    bytes: u64,
    /// Bytes of a commit that was interrupted, or is being written.
    torn_bytes: u64,
    damaged: Vec<Damage>,
    /// The rows that are in no file yet, by group.
    open: BTreeMap<u32, Open>,
    /// The number of the newest file that is complete.
    complete: u64,
}

/// How often the journal is read again when a server has removed a part of it meanwhile.
const TRIES: usize = 8;

impl Snapshot {
    /// Reads the names and the journal of the archive in a folder. `None`: there is none.
    ///
    /// # Errors
    ///
    /// A file or folder cannot be read, or a newer version of Beaconry has written it. Damage is no error.
    pub fn open(folder: &Path) -> Result<Option<Self>, Error> {
        if !folder.join("blocks").is_dir() {
            return Ok(None);
        }
        let journal = Journal::read(&folder.join("journal"))?;
        let files = find_files(&folder.join("blocks"), journal.complete)?;
        // Names are durable before rows that need them. So they are read last.
        let (catalog, names) = read_names(&folder.join("catalog"))?;
        Ok(Some(Self {
            folder: folder.to_owned(),
            catalog,
            names,
            journal,
            files,
        }))
    }

    /// The ids of all devices of which anything was recorded.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.catalog.devices().map(|device| &*device.id)
    }

    fn blocks(&self) -> PathBuf {
        self.folder.join("blocks")
    }
}

impl Journal {
    fn read(folder: &Path) -> Result<Self, Error> {
        if !folder.is_dir() {
            return Ok(Self::default());
        }
        let mut read = Self::read_once(folder)?;
        for _ in 1..TRIES {
            let (mut journal, first) = read;
            // What was removed meanwhile stands behind the end that was read.
            let (now, _) = Reader::of_files(folder)?;
            if now.segments().first().map(|it| it.number) == first {
                return Ok(journal);
            }
            read = Self::read_once(folder)?;
            journal.damaged.clear();
        }
        Ok(read.0)
    }

    fn read_once(folder: &Path) -> Result<(Self, Option<u64>), Error> {
        let (reader, torn_bytes) = Reader::of_files(folder)?;
        let segments = reader.segments();
        let mut journal = Self {
            files: segments.len() as u64,
            bytes: segments.iter().map(|it| it.bytes).sum(),
            torn_bytes,
            ..Self::default()
        };
        let mut nonsense = Vec::new();
        let read = reader.read(Position::default(), |at, record| {
            if journal::replay(record, &mut journal).is_none() {
                nonsense.push(Damage {
                    path: folder.join(format!("{:08}.log", at.segment)),
                    offset: at.offset,
                    bytes: record.len() as u64,
                    why: "the record makes no sense".to_owned(),
                });
            }
            ControlFlow::Continue(())
        })?;
        journal.damaged = read.damaged;
        journal.damaged.append(&mut nonsense);
        Ok((journal, segments.first().map(|it| it.number)))
    }

    fn rows(&self) -> u64 {
        self.open.values().map(|open| open.rows() as u64).sum()
    }
}

impl Replay for Journal {
    fn row(&mut self, group: u32, time: Millis, arrived: Millis, values: &[(u16, Value<'_>)]) {
        let open = self.open.entry(group).or_default();
        open.push(time, arrived, values);
    }

    fn snapshot(&mut self, group: u32, rows: Open) {
        self.open.insert(group, rows);
    }

    fn sealed(&mut self, group: u32) {
        self.open.remove(&group);
    }

    fn complete(&mut self, newest_file: u64) {
        self.complete = self.complete.max(newest_file);
    }
}

/// The files of the folder that hold something, in the order of their names.
fn find_files(folder: &Path, complete: u64) -> Result<Vec<Arc<File>>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let is_new = path.extension() == Some(OsStr::new(NEW));
        let named = path.with_extension("seg");
        let text = if is_new { &named } else { &path }.file_name();
        let Some(name) = text.and_then(OsStr::to_str).and_then(Name::parse) else {
            continue;
        };
        if is_new && name.number > complete {
            continue;
        }
        match fs::metadata(&path) {
            Ok(metadata) => files.push(Arc::new(File::new(path, name, metadata.len()))),
            // A server has merged it away, or given it its name, which is found if it is listed again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return find_files(folder, complete);
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        }
    }
    files.sort_unstable_by_key(|file| file.name());
    drop_replaced(&mut files);
    Ok(files)
}

/// A merged file has everything of the older ones of its day and kind, which may be there still.
fn drop_replaced(files: &mut Vec<Arc<File>>) {
    let mut merged = BTreeMap::new();
    for name in files.iter().map(|file| file.name()) {
        if name.is_merged {
            let newest = merged.entry((name.day, name.kind)).or_insert(name.number);
            *newest = name.number.max(*newest);
        }
    }
    files.retain(|file| {
        let name = file.name();
        merged
            .get(&(name.day, name.kind))
            .is_none_or(|newest| name.number >= *newest)
    });
}

fn read_names(folder: &Path) -> Result<(Catalog, Names), Error> {
    let table = Table::of_files(folder)?;
    let mut names = Names {
        bytes: table.file_bytes(),
        damaged_bytes: table.opening().damaged_bytes,
        nonsense: 0,
    };
    let mut entries = BTreeMap::new();
    table.read(|key, value| {
        match <[u8; 4]>::try_from(key).map(u32::from_be_bytes) {
            Ok(group) if group < MAX_GROUPS => drop(entries.insert(group, value.to_vec())),
            Ok(_) | Err(_) => names.nonsense += 1,
        }
    })?;
    let mut catalog = Catalog::default();
    for (group, value) in entries {
        names.nonsense += u64::from(!catalog.read(group, &value));
    }
    Ok((catalog, names))
}

/// A group of a higher number is a mistake.
const MAX_GROUPS: u32 = 1 << 28;
