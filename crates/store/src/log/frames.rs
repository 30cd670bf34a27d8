//! Goes through a segment, frame by frame, and over damage.

use std::fs::File;
use std::io;

use super::form::{self, GROUP, GroupHead, HEAD, LogId, RECORD};
use crate::platform;

/// What stands at a place of a segment.
#[derive(Debug)]
pub(super) enum Frame<'a> {
    /// A group begins. Its records should end at `end`.
    Group {
        at: u64,
        number: u64,
        end: u64,
    },
    Record {
        at: u64,
        body: &'a [u8],
    },
    /// Nothing that was written as it stands there. The next frame begins behind it.
    Damage {
        at: u64,
        bytes: u64,
    },
}

/// The frames of a segment from a place on.
pub(super) struct Frames<'a> {
    file: &'a File,
    id: LogId,
    /// Bytes of the file that may be read.
    len: u64,
    at: u64,
    /// Bytes of the file, from byte `begin` on.
    window: Vec<u8>,
    begin: u64,
    /// Bytes that are read at once, or more if a record is longer.
    read_ahead: usize,
}

/// What could be read at a place.
enum Found {
    Group(GroupHead),
    /// A record whose body has so many bytes.
    Record(usize),
    /// Neither. If a record stood there, it would end here.
    Neither(u64),
}

impl<'a> Frames<'a> {
    /// Enough that few calls are needed for many small records.
    const READ_AHEAD: usize = 256 * 1024;

    /// Reads the first `len` bytes of `file`, from byte `at` on.
    pub(super) fn new(file: &'a File, id: LogId, len: u64, at: u64) -> Self {
        Self {
            file,
            id,
            len,
            at: at.max(HEAD as u64),
            window: Vec::new(),
            begin: 0,
            read_ahead: Self::READ_AHEAD,
        }
    }

    /// For who wants one frame only.
    pub(super) fn without_reading_ahead(self) -> Self {
        Self {
            read_ahead: GROUP,
            ..self
        }
    }

    /// The byte at which the next frame begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The next frame. `None`: this was the last one.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame<'_>>> {
        let at = self.at;
        if at >= self.len {
            return Ok(None);
        }
        let frame = match self.look(at)? {
            Found::Group(head) => {
                self.at = at + GROUP as u64;
                let end = self.at.saturating_add(head.len);
                let number = head.number;
                Frame::Group { at, number, end }
            }
            Found::Record(len) => {
                self.at = at + (RECORD + len) as u64;
                let record = self.bytes(at, RECORD + len)?;
                let body = &record[RECORD..];
                Frame::Record { at, body }
            }
            Found::Neither(end) => {
                self.at = self.resume(at, end)?;
                let bytes = self.at - at;
                Frame::Damage { at, bytes }
            }
        };
        Ok(Some(frame))
    }

    /// The body of the record that stands here. `None`: none does.
    pub(super) fn record(&mut self) -> io::Result<Option<&[u8]>> {
        let at = self.at;
        match self.look(at)? {
            Found::Record(len) => Ok(Some(&self.bytes(at, RECORD + len)?[RECORD..])),
            Found::Group(_) | Found::Neither(_) => Ok(None),
        }
    }

    fn look(&mut self, at: u64) -> io::Result<Found> {
        let (id, len) = (self.id, self.len);
        let head = self.bytes(at, GROUP)?;
        if let Some(group) = GroupHead::read(id, at, head) {
            return Ok(Found::Group(group));
        }
        let Some(body) = form::body_len(head) else {
            return Ok(Found::Neither(len));
        };
        let end = at + (RECORD + body) as u64;
        if end > len || !form::is_record(id, at, self.bytes(at, RECORD + body)?) {
            return Ok(Found::Neither(end.min(len)));
        }
        Ok(Found::Record(body))
    }

    /// The place of the next frame behind damage at `at`. `end` is where a record would end.
    fn resume(&mut self, at: u64, end: u64) -> io::Result<u64> {
        // Only the head of a group may be damaged, or only the body of a record.
        for next in [at + GROUP as u64, end] {
            if next < self.len && !matches!(self.look(next)?, Found::Neither(_)) {
                return Ok(next);
            }
        }
        self.next_group(at + 1)
    }

    /// The place of the first group from `at` on, or the end.
    fn next_group(&mut self, mut at: u64) -> io::Result<u64> {
        let (id, marker) = (self.id, self.id.0.to_le_bytes());
        while at < self.len {
            let window = self.bytes(at, Self::READ_AHEAD)?;
            let places = window.windows(marker.len()).enumerate();
            let mut places = places.filter(|(_, bytes)| *bytes == marker);
            let Some((place, _)) = places.next() else {
                // A marker may stand across the end of the window.
                let over = window.len().saturating_sub(marker.len() - 1);
                at += over.max(1) as u64;
                continue;
            };
            at += place as u64;
            if GroupHead::read(id, at, self.bytes(at, GROUP)?).is_some() {
                return Ok(at);
            }
            at += 1;
        }
        Ok(self.len)
    }

    /// So many bytes from `at` on, fewer at the end.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let rest = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let len = len.min(rest);
        let begins = at
            .checked_sub(self.begin)
            .and_then(|it| usize::try_from(it).ok());
        let held = begins.filter(|&it| it <= self.window.len() && len <= self.window.len() - it);
        let from = if let Some(from) = held {
            from
        } else {
            let mut window = std::mem::take(&mut self.window);
            window.clear();
            window.resize(len.max(self.read_ahead).min(rest), 0);
            platform::read_exact_at(self.file, &mut window, at)?;
            (self.window, self.begin) = (window, at);
            0
        };
        Ok(&self.window[from..from + len])
    }
}
