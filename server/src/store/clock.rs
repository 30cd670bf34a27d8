//! `DIR/clock`: what the clock showed that dates what is stored, beside the system's date.
//!
//! Without it a date that is put right while the server runs would, at the next start, be time in
//! which sessions have expired.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mqtt::Instant;
use tracing::warn;

use crate::clock::{Clock, Note};

/// How often the system's date is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// A smaller difference is not worth writing.
const JUMP: Duration = Duration::from_secs(1);
/// How old a note may become.
const OLDEST: Duration = Duration::from_hours(1);

/// The clock for a folder: goes on from the one that was there before.
pub(crate) fn clock(folder: &Path) -> Clock {
    // None: the first start in this folder, or one that will be refused for a better reason.
    let Ok(text) = fs::read_to_string(path(folder)) else {
        return Clock::new();
    };
    if let Some(note) = parse(&text) {
        return Clock::continuing(note);
    }
    warn!(
        "{}: not as beaconry writes it, ignored: sessions may end earlier or later than they should",
        path(folder).display()
    );
    Clock::new()
}

/// Runs for ever: keeps the note in `folder`, which is open, true.
pub(crate) async fn keep(folder: PathBuf, clock: Clock) {
    let mut written: Option<Note> = None;
    let mut has_failed = false;
    loop {
        let note = clock.note();
        if written.is_none_or(|written| is_stale(&written, &note)) {
            match write(&folder, &note) {
                Ok(()) => has_failed = false,
                Err(error) if !has_failed => {
                    has_failed = true;
                    warn!(
                        "cannot write {}: {error}; should the system's date change, sessions may end earlier or later than they should after a restart",
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

/// Not waited for: should the system crash, an older note is nearly as good.
fn write(folder: &Path, note: &Note) -> std::io::Result<()> {
    let new = folder.join("clock.new");
    let text = format!(
        "What beaconry's own clock showed at the system's date, in microseconds since 1970.\n\
         shown: {}\n\
         date: {}\n",
        note.shown.as_micros(),
        note.date.as_micros()
    );
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)?;
    // It may have been left behind by one that was killed, as it made it.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    fs::rename(&new, path(folder))
}

#[cfg(test)]
mod tests {
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
    fn the_clock_of_a_folder_goes_on_from_its_note() {
        let folder = testbed::Folder::new();
        let before = Note {
            shown: NOTE.shown,
            date: Clock::new().note().date,
        };
        write(folder.path(), &before).unwrap();
        let gone = clock(folder.path()).now().saturating_since(before.shown);
        assert!(gone < Duration::from_mins(1), "{gone:?}");
        fs::write(folder.path().join("clock"), "rubbish").unwrap();
        assert!(clock(folder.path()).now() >= before.date);
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
