//! What `--salvage` does with a damaged folder: it keeps what was stored before the damage.
//!
//! What is behind the damage depends on what is missing. So even good files there cannot be used, unless
//! they contain a complete checkpoint.

use std::convert::Infallible;
use std::fmt;
use std::fs;

use broker::journal::FORMAT_VERSION;
use broker::{BrokerOptions, Lsn};
use bytes::Bytes;
use bytesize::ByteSize;
use tracing::warn;

use crate::error::StoreError;
use crate::folder::Folder;
use crate::newest;
use crate::read;
use crate::recover::{Recovered, Stop, cut, missing, replay};
use crate::segment::HEADER_LEN;

/// What stands behind a place in the journal.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    files: usize,
    bytes: u64,
}

impl Behind {
    /// Counts all of these files except for the first `offset` bytes and the zeros at the end.
    /// Files that cannot be read do not count.
    pub(super) fn of(folder: &Folder, numbers: &[u64], offset: u64) -> Self {
        let bytes = numbers.iter().enumerate().map(|(index, &number)| {
            let path = folder.segment_path(number);
            if index + 1 < numbers.len() {
                return fs::metadata(path).map_or(0, |metadata| metadata.len());
            }
            let bytes = fs::read(path).unwrap_or_default();
            let last = bytes.iter().rposition(|&byte| byte != 0);
            last.map_or(0, |last| last as u64 + 1)
        });
        Self {
            files: numbers.len(),
            bytes: bytes.sum::<u64>().saturating_sub(offset),
        }
    }
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.files == 1 { "" } else { "s" };
        write!(f, "{} in {} file{s}", ByteSize(self.bytes), self.files)
    }
}

/// Keeps as much as can be used: everything behind the damage, if there is a complete checkpoint, or
/// else everything before it. Moves the other files aside.
pub(super) fn salvage(
    folder: &Folder,
    options: &BrokerOptions,
    now: mqtt::Instant,
) -> Result<Recovered, StoreError> {
    let recovered = keep_what_can_be_used(folder, options, now)?;
    // The note is written last, so that the folder does not start without --salvage after a crash
    // before this.
    let last = recovered.segments.back();
    newest::write(folder.path(), last.map_or(0, |last| last.number))?;
    Ok(recovered)
}

fn keep_what_can_be_used(
    folder: &Folder,
    options: &BrokerOptions,
    now: mqtt::Instant,
) -> Result<Recovered, StoreError> {
    let numbers = folder.segments()?;
    if let Some(error) = missing(folder, &numbers)? {
        warn!("{error}");
    }
    let mut first = 0;
    let mut damage: Option<Stop> = None;
    loop {
        let stop = match replay(folder, &numbers[first..], None, options, now) {
            Ok(recovered) => {
                if let Some(damage) = damage {
                    warn!("{}", damage.error);
                    warn!(
                        "there is a complete copy of everything behind the damage, so nothing is given up"
                    );
                }
                move_aside(folder, &numbers[..first])?;
                return Ok(recovered);
            }
            // The file may be good: the cause may be the disk, permissions or the version of beaconry.
            Err(Stop {
                error: error @ (StoreError::Io { .. } | StoreError::Version { .. }),
                ..
            }) => return Err(error),
            Err(stop) => stop,
        };
        let index = first + stop.index;
        damage.get_or_insert(stop);
        first = index + 1;
        if first >= numbers.len() {
            break;
        }
    }
    match damage {
        Some(damage) => keep_what_is_before(folder, &numbers, damage, options, now),
        None => replay(folder, &numbers, None, options, now).map_err(|stop| stop.error),
    }
}

/// Keeps what is before the damage, because nothing behind it is complete.
fn keep_what_is_before(
    folder: &Folder,
    numbers: &[u64],
    damage: Stop,
    options: &BrokerOptions,
    now: mqtt::Instant,
) -> Result<Recovered, StoreError> {
    let Stop {
        index,
        offset,
        error,
    } = damage;
    warn!("{error}");
    // Nothing can be kept of a file that is wrong from its beginning. Even its name may be wrong.
    let offset = Some(offset).filter(|offset| *offset > HEADER_LEN as u64);
    let before = &numbers[..index + usize::from(offset.is_some())];
    let kept = replay(folder, before, offset, options, now);
    let recovered = kept.map_err(|stop| {
        // The damage is in the checkpoint that the journal begins with.
        if let StoreError::NotWhole { path, error } = stop.error {
            StoreError::NothingToSalvage { path, error }
        } else {
            error
        }
    })?;
    let behind = Behind::of(folder, &numbers[index..], offset.unwrap_or(0));
    let last_behind = last_record(folder, &numbers[index..]);
    move_aside(folder, &numbers[index + 1..])?;
    if let Some(offset) = offset {
        let number = numbers[index];
        let copy = folder.copy_aside(number)?;
        cut(&folder.segment_path(number), offset)?;
        warn!(
            "cut {number:08}.log off at byte {offset}; a copy of the whole file is now {}",
            copy.display()
        );
    } else {
        move_aside(folder, &numbers[index..=index])?;
    }
    let last = recovered.last.0;
    let records = match last_behind {
        Some(Lsn(behind)) if behind > last => {
            format!(" (records {} to {behind} at least)", last + 1)
        }
        _ => String::new(),
    };
    let kept = match last {
        0 => "kept nothing, because nothing was stored before the damage".to_owned(),
        _ => format!("kept what was stored before the damage, up to record {last}"),
    };
    warn!(
        "{kept}, and gave up everything behind it, {behind}{records}. What was stored there is missing, and what was removed or delivered there is back. The files are in {}. If you have a backup of the folder, use that instead",
        folder.damaged_path().display()
    );
    Ok(recovered)
}

/// Moves files aside, good ones too: they depend on what is missing.
fn move_aside(folder: &Folder, numbers: &[u64]) -> Result<(), StoreError> {
    for &number in numbers {
        let to = folder.move_aside(number)?;
        warn!("moved {number:08}.log to {}", to.display());
    }
    Ok(())
}

/// The number of the last record that can be read in any of these files.
fn last_record(folder: &Folder, numbers: &[u64]) -> Option<Lsn> {
    numbers.iter().rev().find_map(|&number| {
        let mut bytes = Bytes::from(fs::read(folder.segment_path(number)).ok()?);
        let header = read::header(&mut bytes).ok()??;
        if header.version != FORMAT_VERSION || header.journal != folder.journal() {
            return None;
        }
        let none = |_, _, _| Ok::<(), Infallible>(());
        let Ok(end) = read::records(bytes, HEADER_LEN as u64, &header, none);
        Some(Lsn(end.next.0.saturating_sub(1)))
    })
}
