//! The folder of the store: its lock, its format, its permissions.
//!
//! ```text
//! DIR/VERSION               text: the format, and which beaconry it needs
//! DIR/lock                  locked while a beaconry uses the folder
//! DIR/clock                 text: the server's clock beside the system's date
//! DIR/newest                text: which segment was begun last
//! DIR/journal/00000001.log  segments, numbered without gaps
//! DIR/journal/next          the next segment, created in advance
//! DIR/damaged/              what `--salvage` has moved aside
//! DIR/devices/              a table, which the server keeps by itself
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use broker::journal::FORMAT_VERSION;
use tracing::warn;

use crate::disk;
use crate::error::{StoreError, io_error, is_full};
use crate::platform;
use crate::read;
use crate::segment::{self, HEADER_LEN, JournalId};

/// The first beaconry that reads what this one writes.
const NEEDS: &str = "beaconry 0.1.0 or newer";

/// A folder that only this process uses, until this value is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    journal: JournalId,
    /// Locked. The system unlocks it when the process ends, however it ends.
    _lock: File,
}

impl Folder {
    /// Opens the folder, or creates it.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_or(path, Err)
    }

    /// Opens the folder too, but if VERSION is missing or damaged, writes it anew from what the
    /// journal says.
    pub(super) fn salvage(path: &Path) -> Result<Self, StoreError> {
        Self::open_or(path, |error| {
            let (StoreError::VersionMissing { path, journal }
            | StoreError::VersionFile {
                path,
                journal: Some(journal),
                ..
            }) = &error
            else {
                return Err(error);
            };
            warn!("{error}");
            write_version(path.parent().unwrap_or(path), *journal)
        })
    }

    fn open_or(
        path: &Path,
        repair: impl FnOnce(StoreError) -> Result<JournalId, StoreError>,
    ) -> Result<Self, StoreError> {
        // The absolute path, so that messages are clear wherever they are read.
        let path = std::path::absolute(path).map_err(io_error("find", path))?;
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_dir()) {
            return Err(StoreError::NotAFolder(path));
        }
        create_folder(&path)?;
        // Also syncs the folders above, which may be new too. A folder that we may not read is not one
        // in which we have created something.
        for above in path.ancestors().skip(1) {
            let _ = sync_folder(above);
        }
        let is_ours = path.join("VERSION").exists() || journal_of(&path)?.is_some();
        if !is_ours {
            refuse_foreign(&path)?;
        }
        let lock = lock(&path)?;
        let journal = match read_version(&path) {
            Ok(Some(journal)) => journal,
            Ok(None) => begin(&path)?,
            Err(error) => repair(error)?,
        };
        let segments = path.join("journal");
        create_folder(&segments)?;
        sync_folder(&path)?;
        check_writable(&segments.join("next"))?;
        Ok(Self {
            path,
            journal,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn journal(&self) -> JournalId {
        self.journal
    }

    pub(super) fn segments_path(&self) -> PathBuf {
        self.path.join("journal")
    }

    pub(super) fn segment_path(&self, number: u64) -> PathBuf {
        self.segments_path().join(segment::file_name(number))
    }

    pub(super) fn next_path(&self) -> PathBuf {
        self.segments_path().join("next")
    }

    pub(super) fn damaged_path(&self) -> PathBuf {
        self.path.join("damaged")
    }

    /// The numbers of all segments, in order. Ignores other files.
    pub(super) fn segments(&self) -> Result<Vec<u64>, StoreError> {
        let path = self.segments_path();
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&path).map_err(io_error("read the folder", &path))? {
            let entry = entry.map_err(io_error("read the folder", &path))?;
            numbers.extend(entry.file_name().to_str().and_then(segment::number_of));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Whether a server has used this folder: only then does the clock exist.
    pub(super) fn was_used(&self) -> bool {
        self.path.join("clock").exists()
    }

    /// Makes the names of the segments durable.
    pub(super) fn sync_segments(&self) -> Result<(), StoreError> {
        sync_folder(&self.segments_path())
    }

    /// Moves a segment to the folder of damaged files.
    pub(super) fn move_aside(&self, number: u64) -> Result<PathBuf, StoreError> {
        let from = self.segment_path(number);
        let to = self.aside(number)?;
        disk::rename(&from, &to).map_err(io_error("move aside", &from))?;
        sync_folder(&self.damaged_path())?;
        self.sync_segments()?;
        Ok(to)
    }

    /// Copies a segment to the folder of damaged files.
    pub(super) fn copy_aside(&self, number: u64) -> Result<PathBuf, StoreError> {
        let from = self.segment_path(number);
        let to = self.aside(number)?;
        fs::copy(&from, &to).map_err(io_error("copy aside", &from))?;
        let copied = File::open(&to).and_then(|file| file.sync_all());
        copied.map_err(io_error("write", &to))?;
        sync_folder(&self.damaged_path())?;
        Ok(to)
    }

    /// A free name in the folder of damaged files.
    fn aside(&self, number: u64) -> Result<PathBuf, StoreError> {
        let folder = self.damaged_path();
        create_folder(&folder)?;
        sync_folder(&self.path)?;
        let name = segment::file_name(number);
        let mut path = folder.join(&name);
        let mut attempt = 1;
        while path.exists() {
            path = folder.join(format!("{name}.{attempt}"));
            attempt += 1;
        }
        Ok(path)
    }
}

/// Creates a folder, and those above it that do not exist.
pub(super) fn create_folder(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        create_folder(parent)?;
    }
    match disk::create_folder(path) {
        // Another process created it first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.map_err(io_error("make the folder", path)),
    }
}

/// Refuses a folder with other files: someone may have named the wrong folder.
fn refuse_foreign(path: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(path).map_err(io_error("read the folder", path))? {
        let entry = entry.map_err(io_error("read the folder", path))?;
        let name = entry.file_name();
        // The first two remain from a first start that was interrupted. The third is in every empty file
        // system.
        if name != "lock" && name != "VERSION.new" && name != "lost+found" {
            return Err(StoreError::Foreign {
                path: path.to_owned(),
                found: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(())
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = platform::make_private_when_created(&mut options)
        .open(&path)
        .map_err(io_error("write to", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
    }
}

/// Checks that files can be created here, with one that nobody needs. Later, with clients connected, it
/// would be too late to find out.
fn check_writable(path: &Path) -> Result<(), StoreError> {
    let made = disk::File::open_or_create(path).and_then(|_| disk::remove_file(path));
    match made {
        // This may pass, so it is no reason not to start.
        Err(error) if is_full(&error) => Ok(()),
        made => made.map_err(io_error("make", path)),
    }
}

/// The number of the journal, from the first file that has it.
fn journal_of(folder: &Path) -> Result<Option<JournalId>, StoreError> {
    let path = folder.join("journal");
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read the folder", &path)(error)),
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut numbers: Vec<u64> = names.filter_map(|name| segment::number_of(&name)).collect();
    numbers.sort_unstable();
    let headers = numbers.into_iter().map(|number| {
        let mut begin = Vec::new();
        let file = File::open(path.join(segment::file_name(number))).ok()?;
        file.take(HEADER_LEN as u64).read_to_end(&mut begin).ok()?;
        read::header(&mut begin.into()).ok().flatten()
    });
    // In another format the journal's number may be elsewhere.
    let mut ours = headers.flatten().filter(|it| it.version == FORMAT_VERSION);
    Ok(ours.next().map(|header| header.journal))
}

/// Reads the file VERSION. `None`: there is none yet.
fn read_version(folder: &Path) -> Result<Option<JournalId>, StoreError> {
    /// A VERSION file that we wrote has fewer than a hundred bytes.
    const LONGEST: u64 = 4096;
    let path = folder.join("VERSION");
    let mut text = String::new();
    let read = match File::open(&path) {
        Ok(file) => file.take(LONGEST).read_to_string(&mut text),
        Err(error) => Err(error),
    };
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match journal_of(folder)? {
                Some(journal) => Err(StoreError::VersionMissing { path, journal }),
                None => Ok(None),
            };
        }
        // It is not text.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
        Err(error) => return Err(io_error("read", &path)(error)),
    }
    let value = |key: &str| {
        text.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value.trim())
    };
    let wrong = |what| match journal_of(folder) {
        Ok(journal) => StoreError::VersionFile {
            path: path.clone(),
            what,
            journal,
        },
        Err(error) => error,
    };
    let format = value("format").and_then(|format| format.parse().ok());
    let found = format.ok_or_else(|| wrong("no line `format: NUMBER`"))?;
    if found != FORMAT_VERSION {
        return Err(StoreError::Version {
            path,
            found,
            needs: value("needs").unwrap_or("a newer beaconry").to_owned(),
        });
    }
    let journal = value("journal").and_then(|id| u64::from_str_radix(id, 16).ok());
    let journal = journal.ok_or_else(|| wrong("no line `journal: NUMBER`"))?;
    Ok(Some(JournalId(journal)))
}

/// Writes the file VERSION of a new folder.
fn begin(folder: &Path) -> Result<JournalId, StoreError> {
    let journal = JournalId(RandomState::new().hash_one("journal"));
    match write_version(folder, journal) {
        Err(StoreError::Io { error, .. }) if is_full(&error) => {
            Err(StoreError::no_room(folder, error))
        }
        written => written,
    }
}

/// Writes the file VERSION. After a crash it is complete, or does not exist.
fn write_version(folder: &Path, journal: JournalId) -> Result<JournalId, StoreError> {
    let path = folder.join("VERSION.new");
    let text = format!(
        "What beaconry stores: sessions, messages on their way, retained messages.\n\
         format: {FORMAT_VERSION}\n\
         needs: {NEEDS}\n\
         journal: {:016x}\n",
        journal.0
    );
    let write = || {
        let file = disk::File::open_or_create(&path)?;
        file.set_len(0)?;
        file.write_all_at(text.as_bytes(), 0)?;
        file.sync_all()?;
        disk::rename(&path, &folder.join("VERSION"))
    };
    write().map_err(io_error("write", &path))?;
    sync_folder(folder)?;
    Ok(journal)
}

pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    disk::sync_folder(path).map_err(io_error("sync the folder", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_folder_is_made_for_its_owner_only_and_found_again() {
        let parent = testbed::Folder::new();
        let path = parent.path().join("a/b");
        let journal = Folder::open(&path).unwrap().journal();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(Folder::open(&path).unwrap().journal(), journal);
    }

    #[test]
    fn a_folder_in_use_is_refused_until_it_is_free() {
        let parent = testbed::Folder::new();
        let first = Folder::open(parent.path()).unwrap();
        let error = Folder::open(parent.path()).unwrap_err();
        assert!(matches!(error, StoreError::InUse(_)), "{error}");
        assert!(error.to_string().contains(parent.path().to_str().unwrap()));
        drop(first);
        Folder::open(parent.path()).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_with_what_it_needs() {
        let parent = testbed::Folder::new();
        drop(Folder::open(parent.path()).unwrap());
        let version = parent.path().join("VERSION");
        fs::write(&version, "What\nformat: 9\nneeds: beaconry 7.1 or newer\n").unwrap();
        let error = Folder::open(parent.path()).unwrap_err().to_string();
        for part in [
            version.to_str().unwrap(),
            "format 9",
            "beaconry 7.1 or newer",
            "--data",
        ] {
            assert!(error.contains(part), "{error}");
        }
        fs::write(&version, "rubbish").unwrap();
        let error = Folder::open(parent.path()).unwrap_err();
        assert!(matches!(error, StoreError::VersionFile { .. }), "{error}");
    }

    /// A segment in the format of this beaconry.
    fn put_segment(folder: &Path, journal: JournalId) {
        let mut header = bytes::BytesMut::new();
        segment::Header {
            version: FORMAT_VERSION,
            journal,
            first: broker::Lsn(1),
        }
        .write(&mut header);
        fs::write(folder.join("journal/00000003.log"), header).unwrap();
    }

    #[test]
    fn a_lost_version_is_told_and_salvage_writes_it_anew() {
        let parent = testbed::Folder::new();
        let journal = Folder::open(parent.path()).unwrap().journal();
        put_segment(parent.path(), journal);
        let version = parent.path().join("VERSION");
        for rubbish in [None, Some(&b""[..]), Some(b"\xff"), Some(b"format: 1\n")] {
            match rubbish {
                Some(rubbish) => fs::write(&version, rubbish).unwrap(),
                None => fs::remove_file(&version).unwrap(),
            }
            let error = Folder::open(parent.path()).unwrap_err().to_string();
            for part in [version.to_str().unwrap(), "--salvage", "backup", "--data"] {
                assert!(error.contains(part), "{error}");
            }
            assert_eq!(fs::read(&version).ok().as_deref(), rubbish);
            assert_eq!(Folder::salvage(parent.path()).unwrap().journal(), journal);
            assert_eq!(Folder::open(parent.path()).unwrap().journal(), journal);
        }
    }

    #[test]
    fn salvage_takes_no_folder_that_is_not_ours() {
        let parent = testbed::Folder::new();
        fs::create_dir(parent.path().join("journal")).unwrap();
        fs::write(parent.path().join("journal/00000001.log"), "dear diary").unwrap();
        let error = Folder::salvage(parent.path()).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
        // Salvage also refuses the folder of a newer beaconry, and a folder whose VERSION nothing
        // can replace.
        let parent = testbed::Folder::new();
        let version = parent.path().join("VERSION");
        for (text, is_newer) in [("format: 9\n", true), ("rubbish", false)] {
            fs::write(&version, text).unwrap();
            let error = Folder::salvage(parent.path()).unwrap_err();
            match error {
                StoreError::Version { .. } if is_newer => {}
                StoreError::VersionFile { .. } if !is_newer => {
                    assert!(!error.to_string().contains("--salvage"), "{error}");
                }
                other => panic!("{other}"),
            }
        }
    }

    #[test]
    fn where_no_file_can_be_made_is_told_before_clients_come() {
        let parent = testbed::Folder::new();
        drop(Folder::open(parent.path()).unwrap());
        let next = parent.path().join("journal/next");
        fs::create_dir(&next).unwrap();
        let error = Folder::open(parent.path()).unwrap_err().to_string();
        assert!(error.contains(next.to_str().unwrap()), "{error}");
        // Root may write to any folder with permissions. Folders in /proc have none, so not even
        // root may write there.
        #[cfg(target_os = "linux")]
        {
            let error = check_writable(Path::new("/proc/self/next")).unwrap_err();
            assert!(error.to_string().contains("/proc/self/next"), "{error}");
        }
    }

    #[test]
    fn the_files_of_others_are_left_alone() {
        let parent = testbed::Folder::new();
        fs::write(parent.path().join("thesis.txt"), "mine").unwrap();
        let error = Folder::open(parent.path()).unwrap_err().to_string();
        assert!(error.contains("thesis.txt"), "{error}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_no_folder() {
        let parent = testbed::Folder::new();
        let path = parent.path().join("file");
        fs::write(&path, "").unwrap();
        let error = Folder::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::NotAFolder(_)), "{error}");
        let error = Folder::open(&path.join("below")).unwrap_err().to_string();
        assert!(
            error.contains("below") && error.contains("--data"),
            "{error}"
        );
    }
}
