//! Finds the segments of a log, and where the last one ends.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::damage::{Damage, add_damage};
use super::form::{self, GROUP, HEAD, Head, LogId, RECORD};
use super::frames::{Frame, Frames};
use super::reader::Committed;
use crate::error::{StoreError, io_error};
use crate::segment::{file_name, number_of};

/// The files of a log.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) segments: BTreeMap<u64, Committed>,
    /// The log's number. `None`: there are no files.
    pub(super) id: Option<LogId>,
    pub(super) damaged: Vec<Damage>,
}

/// Where the last segment ends.
#[derive(Debug)]
pub(super) struct Tail {
    /// Bytes of the file that are whole, or named as damaged.
    pub(super) durable: u64,
    /// The file is too short for its last group. So that one was interrupted.
    pub(super) is_cut: bool,
    /// The number of the next group, if a group or the head says it.
    pub(super) next_group: Option<u64>,
    /// Damage before `durable`.
    pub(super) damaged: Vec<Damage>,
}

/// Finds the segments in a folder, and reads their heads.
pub(super) fn find(folder: &Path) -> Result<Files, StoreError> {
    let failed = || io_error("read the folder", folder);
    let mut found = Files::default();
    let mut without = Vec::new();
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        numbers.extend(entry.file_name().to_str().and_then(number_of));
    }
    numbers.sort_unstable();
    for pair in numbers.windows(2) {
        for missing in (pair[0] + 1..pair[1]).take(Damage::MOST) {
            let path = folder.join(file_name(missing));
            add_damage(&mut found.damaged, &path, 0, 0, "the file is missing");
        }
    }
    for number in numbers {
        let path = folder.join(file_name(number));
        let (id, bytes) = read_head(&path).map_err(io_error("read", &path))?;
        found.id = found.id.or(id);
        match id {
            Some(id) => drop(found.segments.insert(number, Committed { id, bytes })),
            None => without.push((number, bytes)),
        }
    }
    // Such a segment may still have groups of this log.
    for (number, bytes) in without {
        let id = *found.id.get_or_insert_with(LogId::random);
        found.segments.insert(number, Committed { id, bytes });
    }
    Ok(found)
}

/// The log's number that stands in a segment, and the bytes of the file.
fn read_head(path: &Path) -> io::Result<(Option<LogId>, u64)> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut begin = Vec::new();
    let read = file.take((HEAD + GROUP) as u64).read_to_end(&mut begin);
    if read.is_err() {
        // The disk may be damaged there and nowhere else.
        return Ok((None, bytes));
    }
    let head = Head::read(&begin)?;
    let id = head.map(|it| it.id);
    Ok((id.or_else(|| form::id_from_first_group(&begin)), bytes))
}

/// Finds where the last segment ends, and what is damaged before that.
pub(super) fn tail(path: &Path, segment: Committed) -> io::Result<Tail> {
    let file = File::open(path)?;
    let mut begin = Vec::new();
    (&file).take(HEAD as u64).read_to_end(&mut begin)?;
    let head = Head::read(&begin)?;
    let mut tail = Tail {
        durable: head.map_or(0, |_| HEAD as u64),
        is_cut: false,
        next_group: head.map(|it| it.group),
        damaged: Vec::new(),
    };
    if head.is_none() {
        let bytes = segment.bytes.min(HEAD as u64);
        add_damage(&mut tail.damaged, path, 0, bytes, Damage::CHECKSUM);
    }
    // Damage behind the last group's head says that this group was not committed, as far as anyone knows.
    let mut committed = tail.damaged.len();
    // The last group: where it begins, where it should end, and how far its records are whole.
    let mut last = None;
    let mut frames = Frames::new(&file, segment.id, segment.bytes, HEAD as u64);
    while let Some(frame) = frames.next()? {
        match frame {
            Frame::Group { at, number, end } => {
                if let Some(missing) = tail.next_group.filter(|&it| it != number)
                    && tail.damaged.len() == committed
                {
                    let why = format!("group {missing} should be there, and it is group {number}");
                    add_damage(&mut tail.damaged, path, at, 0, why);
                }
                committed = tail.damaged.len();
                tail.next_group = Some(number.wrapping_add(1));
                last = Some((at, number, end, at + GROUP as u64));
            }
            Frame::Record { at, body } => {
                if let Some((.., whole)) = &mut last
                    && *whole == at
                {
                    *whole += (RECORD + body.len()) as u64;
                }
            }
            Frame::Damage { at, bytes } => {
                add_damage(&mut tail.damaged, path, at, bytes, Damage::CHECKSUM);
            }
        }
    }
    tail.damaged.truncate(committed);
    if let Some((at, number, end, whole)) = last {
        let is_whole = whole >= end;
        tail.durable = if is_whole { end } else { at };
        let rest = segment.bytes.saturating_sub(tail.durable);
        tail.is_cut = end > segment.bytes || (is_whole && rest < GROUP as u64);
        tail.next_group = Some(if is_whole {
            number.wrapping_add(1)
        } else {
            number
        });
    }
    Ok(tail)
}
