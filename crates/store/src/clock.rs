//! `DIR/clock`: what the server's clock showed, beside the system's date at that moment.
//!
//! The server's clock dates what is stored. It does not jump when the system's date is corrected, so
//! the two can differ by years. The note lets the next run's clock continue from this one. Without it,
//! a correction of the date would look like time that has passed, and sessions would expire.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mqtt::Instant;
use tracing::warn;

use crate::platform;

/// How often the system's date is checked.
const LOOK: Duration = Duration::from_secs(10);
/// A jump of less than this is not worth a new note.
const JUMP: Duration = Duration::from_secs(1);
/// How old a note may become.
const OLDEST: Duration = Duration::from_hours(1);

/// What a clock showed when the system's date was this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// What the clock showed.
    pub shown: Instant,
    /// The system's date, counted from the Unix epoch.
    pub date: Instant,
}

impl Note {
    /// What the clock shows at a later `date`. A date that is earlier than the note's counts as if no
    /// time had passed.
    pub fn at(&self, date: Instant) -> Instant {
        self.shown + date.saturating_since(self.date)
    }
}

/// The note that the last run left in `folder`. `None`: there is none, or it cannot be read.
pub fn read(folder: &Path) -> Option<Note> {
    // At the first start there is no such file. Other errors of the folder are reported when it
    // is opened.
    let text = fs::read_to_string(path(folder)).ok()?;
    let note = parse(&text);
    if note.is_none() {
        warn!(
            "ignoring {}, which beaconry cannot read: sessions may expire earlier or later than they should",
            path(folder).display()
        );
    }
    note
}

/// Runs for ever: writes a new note to `folder` whenever the last one is old or the date has jumped.
/// The folder must be open.
pub async fn keep(folder: PathBuf, now: impl Fn() -> Note) {
    let mut written: Option<Note> = None;
    let mut has_failed = false;
    loop {
        let note = now();
        if written.is_none_or(|written| is_stale(&written, &note)) {
            match write(&folder, &note) {
                Ok(()) => has_failed = false,
                Err(error) if !has_failed => {
                    has_failed = true;
                    warn!(
                        "cannot write {}: {error}. If the system's date changes, sessions may expire earlier or later than they should after a restart",
                        path(&folder).display()
                    );
                }
                Err(_) => {}
            }
            written = Some(note);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn is_stale(written: &Note, note: &Note) -> bool {
    let expected = written.at(note.date);
    let jump = expected
        .saturating_since(note.shown)
        .max(note.shown.saturating_since(expected));
    jump > JUMP || note.shown.saturating_since(written.shown) > OLDEST
}

fn path(folder: &Path) -> PathBuf {
    folder.join("clock")
}

fn parse(text: &str) -> Option<Note> {
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        let (_, value) = lines.find(|(name, _)| *name == key)?;
        value.trim().parse().ok().map(Instant::from_micros)
    };
    Some(Note {
        shown: value("shown")?,
        date: value("date")?,
    })
}

/// Writes a note. It does not wait for the disk: after a crash an older note is nearly as good.
fn write(folder: &Path, note: &Note) -> std::io::Result<()> {
    let new = folder.join("clock.new");
    let text = format!(
        "What beaconry's own clock showed at the system's date, in microseconds since 1970.\n\
         shown: {}\n\
         date: {}\n",
        note.shown.as_micros(),
        note.date.as_micros()
    );
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file = platform::make_private_when_created(&mut options).open(&new)?;
    // An earlier process may have left the file with other permissions.
    platform::make_private(&file)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, path(folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const NOTE: Note = Note {
        shown: Instant::from_millis(60_000),
        date: Instant::from_millis(1_790_000_000_000),
    };

    #[test]
    fn a_note_is_read_as_it_was_written_and_nothing_else_is() {
        let folder = testbed::Folder::new();
        write(folder.path(), &NOTE).unwrap();
        let text = fs::read_to_string(folder.path().join("clock")).unwrap();
        assert_eq!(parse(&text), Some(NOTE));
        for bad in ["", "shown: 1", "shown: 1\ndate: -1", "shown: x\ndate: 1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_note_is_for_its_owner_only_whatever_was_left_behind() {
        let folder = testbed::Folder::new();
        let new = folder.path().join("clock.new");
        for is_left in [false, true] {
            if is_left {
                fs::write(&new, "half").unwrap();
                fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).unwrap();
            }
            write(folder.path(), &NOTE).unwrap();
            let mode = fs::metadata(path(folder.path()))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_folder_has_the_note_that_was_left_in_it() {
        let folder = testbed::Folder::new();
        assert_eq!(read(folder.path()), None);
        write(folder.path(), &NOTE).unwrap();
        assert_eq!(read(folder.path()), Some(NOTE));
        fs::write(folder.path().join("clock"), "rubbish").unwrap();
        assert_eq!(read(folder.path()), None);
    }

    /// A machine without a battery starts in 1970, serves for a minute, and learns the date.
    #[test]
    fn a_jump_of_the_date_is_not_time_that_has_passed() {
        let seconds = |seconds: u64| Instant::from_millis(seconds * 1_000);
        let year_2026 = 1_790_000_000;
        let note = Note {
            shown: seconds(60),
            date: seconds(year_2026),
        };
        assert_eq!(note.at(seconds(year_2026 + 5)), seconds(65));
        // Started again without the network.
        assert_eq!(note.at(seconds(3)), seconds(60));
    }

    #[test]
    fn a_note_is_written_again_when_the_date_has_jumped_or_it_is_old() {
        let later = |shown, date| Note {
            shown: NOTE.shown + Duration::from_secs(shown),
            date: NOTE.date + Duration::from_secs(date),
        };
        assert!(!is_stale(&NOTE, &later(10, 10)));
        assert!(is_stale(&NOTE, &later(10, 13)));
        assert!(is_stale(&NOTE, &later(13, 10)));
        assert!(is_stale(&NOTE, &later(3_601, 3_601)));
    }
}
