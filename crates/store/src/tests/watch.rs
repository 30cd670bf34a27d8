//! A simulated disk that can lose power: it records what is done to the files below a folder, in order,
//! and computes what is left afterwards.
//!
//! The real files are what a process sees, and the next process after a kill. What a loss of power
//! leaves is computed from the list of events: everything that was synced, and any part of the rest.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker::Lsn;

/// How many bytes the disk writes completely or not at all. Real disks write far more, so this tears
/// everything that can be torn.
const SECTOR: u64 = 16;

/// An act on a file or a path, before it is done.
#[derive(Copy, Clone, Debug)]
pub(in super::super) enum Act<'a> {
    Write(u64, &'a [u8]),
    SetLen(u64),
    Rename(&'a Path),
    Remove,
    CreateFolder,
}

/// What was done. Files have numbers, because their names change.
#[derive(Clone, Debug)]
pub(in super::super) enum Event {
    Created(PathBuf, usize),
    Wrote(usize, u64, Vec<u8>),
    SetLen(usize, u64),
    Synced(usize),
    /// What was written and not synced is lost, but looks as if it were there. Linux does this with pages
    /// that it cannot write.
    SyncFailed(usize),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
    CreatedFolder(PathBuf),
    SyncedFolder(PathBuf),
    /// The store has reported that records up to this one are durable.
    Announced(Lsn),
}

/// Decides for each event, by its number, whether it succeeds.
type Fate = Box<dyn FnMut(usize, &Event) -> io::Result<()> + Send>;

/// A folder that is watched until this is dropped.
pub(in super::super) struct Watch(Arc<Watched>);

struct Watched {
    root: PathBuf,
    state: Mutex<State>,
}

struct State {
    events: Vec<Event>,
    files: usize,
    names: BTreeMap<PathBuf, usize>,
    fate: Fate,
}

static ALL: Mutex<Vec<Arc<Watched>>> = Mutex::new(Vec::new());

fn all() -> MutexGuard<'static, Vec<Arc<Watched>>> {
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watching(path: &Path) -> Option<Arc<Watched>> {
    let all = all();
    all.iter().find(|it| path.starts_with(&it.root)).cloned()
}

impl Watch {
    /// Begins to watch. What already exists below `root` is on the disk.
    pub(in super::super) fn new(root: &Path) -> Self {
        let watched = Watched {
            root: root.to_owned(),
            state: Mutex::new(State {
                events: Vec::new(),
                files: 0,
                names: BTreeMap::new(),
                fate: Box::new(|_, _| Ok(())),
            }),
        };
        watched.find(root);
        let watched = Arc::new(watched);
        all().push(Arc::clone(&watched));
        Self(watched)
    }

    /// From now on `fate` decides what happens. Nothing else happens while it is asked.
    pub(in super::super) fn set_fate(
        &self,
        fate: impl FnMut(usize, &Event) -> io::Result<()> + Send + 'static,
    ) {
        self.0.state().fate = Box::new(fate);
    }

    pub(in super::super) fn announce(&self, lsn: Lsn) {
        self.0.state().events.push(Event::Announced(lsn));
    }

    pub(in super::super) fn events(&self) -> Vec<Event> {
        self.0.state().events.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        all().retain(|it| !Arc::ptr_eq(it, &self.0));
    }
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                let event = Event::CreatedFolder(path.clone());
                self.state().events.push(event);
                self.find(&path);
            } else {
                let bytes = fs::read(&path).unwrap();
                let file = self.name(&path);
                let mut state = self.state();
                state.events.push(Event::Wrote(file, 0, bytes));
                state.events.push(Event::Synced(file));
            }
        }
        let event = Event::SyncedFolder(folder.to_owned());
        self.state().events.push(event);
    }

    /// The number of a file. A file without a name gets a new number.
    fn name(&self, path: &Path) -> usize {
        let mut state = self.state();
        if let Some(&file) = state.names.get(path) {
            return file;
        }
        let file = state.files;
        state.files += 1;
        state.names.insert(path.to_owned(), file);
        state.events.push(Event::Created(path.to_owned(), file));
        file
    }

    fn happens(&self, event: Event) -> io::Result<()> {
        let mut state = self.state();
        let number = state.events.len();
        let fate = (state.fate)(number, &event);
        match (&fate, event) {
            (Ok(()), event) => {
                match &event {
                    Event::Renamed(from, to) => {
                        let file = state.names.remove(from).unwrap();
                        state.names.insert(to.clone(), file);
                    }
                    Event::Removed(path) => drop(state.names.remove(path)),
                    _ => {}
                }
                state.events.push(event);
            }
            (Err(error), Event::Synced(file)) if error.raw_os_error().is_some() => {
                state.events.push(Event::SyncFailed(file));
            }
            (Err(_), _) => {}
        }
        fate
    }
}

/// An open file. It may be unwatched.
#[derive(Debug)]
pub(in super::super) struct File(Option<(Arc<Watched>, usize)>);

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watched({})", self.root.display())
    }
}

impl File {
    pub(in super::super) fn told(&self, act: Act<'_>) -> io::Result<()> {
        let Some((watched, file)) = &self.0 else {
            return Ok(());
        };
        watched.happens(match act {
            Act::Write(offset, bytes) => Event::Wrote(*file, offset, bytes.to_vec()),
            Act::SetLen(len) => Event::SetLen(*file, len),
            Act::Rename(_) | Act::Remove | Act::CreateFolder => panic!("to a file: {act:?}"),
        })
    }

    /// Whether the file is watched, so that nobody has to wait for the real disk.
    pub(in super::super) fn synced(&self) -> io::Result<bool> {
        let Some((watched, file)) = &self.0 else {
            return Ok(false);
        };
        watched.happens(Event::Synced(*file))?;
        Ok(true)
    }
}

/// Opening may create a file, which must not happen after the power has failed.
pub(in super::super) fn before_opening(path: &Path) -> io::Result<()> {
    let Some(watched) = watching(path) else {
        return Ok(());
    };
    let mut state = watched.state();
    let number = state.events.len();
    (state.fate)(number, &Event::Created(path.to_owned(), usize::MAX))
}

pub(in super::super) fn opened(path: &Path) -> File {
    File(watching(path).map(|watched| {
        let file = watched.name(path);
        (watched, file)
    }))
}

pub(in super::super) fn told(path: &Path, act: Act<'_>) -> io::Result<()> {
    let Some(watched) = watching(path) else {
        return Ok(());
    };
    // Removing a file that does not exist changes nothing.
    if matches!(act, Act::Remove) && !watched.state().names.contains_key(path) {
        return Ok(());
    }
    let path = path.to_owned();
    watched.happens(match act {
        Act::Rename(to) => Event::Renamed(path, to.to_owned()),
        Act::Remove => Event::Removed(path),
        Act::CreateFolder => Event::CreatedFolder(path),
        Act::Write(..) | Act::SetLen(_) => panic!("to a path: {act:?}"),
    })
}

/// Like [`File::synced`].
pub(in super::super) fn synced_folder(path: &Path) -> io::Result<bool> {
    let Some(watched) = watching(path) else {
        // Folders above do not matter.
        return Ok(all().iter().any(|it| it.root.starts_with(path)));
    };
    watched.happens(Event::SyncedFolder(path.to_owned()))?;
    Ok(true)
}

/// What is certainly on the disk, and what may be.
pub(in super::super) struct Disk {
    root: PathBuf,
    files: Vec<Content>,
    folders: BTreeMap<PathBuf, Names>,
    /// The last record that was reported as durable.
    pub(in super::super) announced: Lsn,
}

#[derive(Default)]
struct Content {
    synced: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Default)]
struct Names {
    synced: BTreeMap<OsString, Node>,
    since: Vec<Naming>,
}

#[derive(Clone)]
enum Node {
    File(usize),
    Folder,
}

/// One name goes and another one appears. Either both happen, or neither does.
#[derive(Clone)]
struct Naming {
    gone: Option<OsString>,
    there: Option<(OsString, Node)>,
}

impl Disk {
    /// A disk on which nothing has happened yet.
    pub(in super::super) fn new(root: &Path) -> Self {
        Self {
            folders: BTreeMap::from([(root.to_owned(), Names::default())]),
            root: root.to_owned(),
            files: Vec::new(),
            announced: Lsn(0),
        }
    }

    pub(in super::super) fn happened(&mut self, event: &Event) {
        match event {
            Event::Created(path, file) => {
                assert_eq!(*file, self.files.len());
                self.files.push(Content::default());
                self.name(path, None, Some(Node::File(*file)));
            }
            Event::Wrote(file, offset, bytes) => {
                let since = &mut self.files[*file].since;
                since.push(Change::Write(*offset, bytes.clone()));
            }
            Event::SetLen(file, len) => self.files[*file].since.push(Change::SetLen(*len)),
            Event::Synced(file) => {
                let content = &mut self.files[*file];
                for change in std::mem::take(&mut content.since) {
                    change.apply(&mut content.synced, |_| true);
                }
            }
            Event::SyncFailed(file) => {
                let since = &mut self.files[*file].since;
                since.retain(|change| matches!(change, Change::SetLen(_)));
            }
            Event::Renamed(from, to) => {
                assert_eq!(from.parent(), to.parent(), "not needed so far");
                let node = self.node(from);
                self.name(to, Some(from), Some(node));
            }
            Event::Removed(path) => self.name(path, Some(path), None),
            Event::CreatedFolder(path) => {
                self.folders.insert(path.clone(), Names::default());
                self.name(path, None, Some(Node::Folder));
            }
            Event::SyncedFolder(path) => {
                let names = self.folders.get_mut(path).unwrap();
                for naming in std::mem::take(&mut names.since) {
                    naming.apply(&mut names.synced);
                }
            }
            Event::Announced(lsn) => self.announced = *lsn,
        }
    }

    fn name(&mut self, path: &Path, gone: Option<&Path>, node: Option<Node>) {
        let folder = self.folders.get_mut(path.parent().unwrap()).unwrap();
        folder.since.push(Naming {
            gone: gone.map(own_name),
            there: node.map(|node| (own_name(path), node)),
        });
    }

    fn node(&self, path: &Path) -> Node {
        let folder = &self.folders[path.parent().unwrap()];
        let mut names = folder.synced.clone();
        for naming in &folder.since {
            naming.apply(&mut names);
        }
        names[&own_name(path)].clone()
    }

    /// The power fails: writes into the empty folder `target` everything that was synced, and what `keeps`
    /// chooses of the rest.
    pub(in super::super) fn leave(&self, target: &Path, keeps: &mut impl FnMut() -> bool) {
        self.leave_folder(&self.root, target, keeps);
    }

    fn leave_folder(&self, path: &Path, target: &Path, keeps: &mut impl FnMut() -> bool) {
        let folder = &self.folders[path];
        let mut names = folder.synced.clone();
        for naming in folder.since.iter().filter(|_| keeps()) {
            naming.apply(&mut names);
        }
        for (name, node) in names {
            let target = target.join(&name);
            match node {
                Node::Folder => {
                    fs::create_dir(&target).unwrap();
                    self.leave_folder(&path.join(&name), &target, keeps);
                }
                Node::File(file) => {
                    let content = &self.files[file];
                    let mut bytes = content.synced.clone();
                    for change in &content.since {
                        change.apply(&mut bytes, |_| keeps());
                    }
                    fs::write(target, bytes).unwrap();
                }
            }
        }
    }
}

impl Change {
    /// Applies the change sector by sector, as `keeps` chooses.
    fn apply(&self, content: &mut Vec<u8>, mut keeps: impl FnMut(u64) -> bool) {
        match self {
            Self::SetLen(len) => {
                if keeps(0) {
                    content.resize(usize::try_from(*len).unwrap(), 0);
                }
            }
            Self::Write(offset, bytes) => {
                let mut at = *offset;
                let end = at + bytes.len() as u64;
                while at < end {
                    let next = ((at / SECTOR + 1) * SECTOR).min(end);
                    if keeps(at) {
                        let [from, to] = [at, next].map(|it| usize::try_from(it).unwrap());
                        if content.len() < to {
                            content.resize(to, 0);
                        }
                        let start = usize::try_from(at - offset).unwrap();
                        content[from..to].copy_from_slice(&bytes[start..start + to - from]);
                    }
                    at = next;
                }
            }
        }
    }
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<OsString, Node>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((name, node)) = &self.there {
            names.insert(name.clone(), node.clone());
        }
    }
}

fn own_name(path: impl AsRef<Path>) -> OsString {
    path.as_ref().file_name().unwrap().to_owned()
}
