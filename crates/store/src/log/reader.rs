//! Reads what is committed, in any thread, while the log is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::damage::{Damage, add_damage};
use super::form::{GROUP, HEAD, LogId};
use super::frames::{Frame, Frames};
use super::{Position, SegmentInfo, recover};
use crate::error::{StoreError, io_error};
use crate::segment::file_name;

/// Reads what is committed. Clones read the same log.
///
/// A reader sees each commit when it has returned. What [`Log::remove_before`](super::Log::remove_before)
/// removes meanwhile is left out, or read to its end.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// What the writer and its readers know.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) folder: PathBuf,
    segments: Mutex<BTreeMap<u64, Committed>>,
}

/// A segment as far as it is committed.
#[derive(Copy, Clone, Debug)]
pub(super) struct Committed {
    pub(super) id: LogId,
    pub(super) bytes: u64,
}

/// What a [`Reader`] has read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// Where to go on: behind the last record that was given.
    pub next: Position,
    /// What was skipped.
    pub damaged: Vec<Damage>,
}

impl Shared {
    pub(super) fn new(folder: PathBuf, segments: BTreeMap<u64, Committed>) -> Arc<Self> {
        let segments = Mutex::new(segments);
        Arc::new(Self { folder, segments })
    }

    pub(super) fn segments(&self) -> MutexGuard<'_, BTreeMap<u64, Committed>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn path(&self, number: u64) -> PathBuf {
        self.folder.join(file_name(number))
    }
}

impl Reader {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let shared = Arc::clone(shared);
        Self { shared }
    }

    /// Reads the files of a log as they are now, and changes nothing. Also says how many bytes at the end
    /// belong to a commit that was interrupted, or that a running server is about to finish. The reader leaves
    /// them out.
    ///
    /// # Errors
    ///
    /// The folder or a file cannot be read, or a newer version of Beaconry has written it.
    pub fn of_files(folder: &Path) -> Result<(Self, u64), StoreError> {
        let mut segments = recover::find(folder)?.segments;
        let mut torn = 0;
        if let Some((number, last)) = segments.iter_mut().next_back() {
            let path = folder.join(file_name(*number));
            // What cannot be read is told by whoever reads on.
            let tail = recover::tail(&path, *last).ok();
            if let Some(tail) = tail.filter(|tail| tail.is_cut) {
                torn = last.bytes.saturating_sub(tail.durable);
                last.bytes = tail.durable;
            }
        }
        let shared = Shared::new(folder.to_owned(), segments);
        Ok((Self { shared }, torn))
    }

    /// The segments that hold something, the oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let segments = self.shared.segments();
        let segments = segments.iter().map(|(&number, it)| SegmentInfo {
            number,
            bytes: it.bytes,
        });
        segments.collect()
    }

    /// Gives each record from `from` on, in order, until `sink` breaks. `Position::default()` is the
    /// beginning. To read backwards, read segment by segment, the newest first, and break at the
    /// first record of another one; or note positions, and ask [`record`](Self::record).
    ///
    /// `from` must be a position that the log has given. Otherwise reading begins at the next group,
    /// and what is before that counts as damage.
    ///
    /// # Errors
    ///
    /// A file cannot be opened. Damage is no error, and neither is a file that cannot be read to its end.
    pub fn read(
        &self,
        from: Position,
        mut sink: impl FnMut(Position, &[u8]) -> ControlFlow<()>,
    ) -> Result<Read, StoreError> {
        let segments = self.shared.segments().clone();
        let mut read = Read {
            next: from,
            damaged: Vec::new(),
        };
        // The number that the next group should have.
        let mut expected = None;
        for (number, segment) in segments.range(from.segment..) {
            let offset = if *number == from.segment {
                from.offset.max(HEAD as u64)
            } else {
                HEAD as u64
            };
            read.next = Position {
                segment: *number,
                offset,
            };
            let is_over = self.read_segment(*segment, &mut read, &mut expected, &mut sink)?;
            if is_over {
                break;
            }
        }
        Ok(read)
    }

    /// Reads one segment from `read.next` on. Whether `sink` has broken.
    fn read_segment(
        &self,
        segment: Committed,
        read: &mut Read,
        expected: &mut Option<u64>,
        sink: &mut impl FnMut(Position, &[u8]) -> ControlFlow<()>,
    ) -> Result<bool, StoreError> {
        let number = read.next.segment;
        let path = self.shared.path(number);
        let Some((file, len)) = self.open(number, segment)? else {
            *expected = None;
            if self.shared.segments().contains_key(&number) {
                let why = "the file is missing";
                add_damage(&mut read.damaged, &path, 0, segment.bytes, why);
            }
            return Ok(false);
        };
        let mut frames = Frames::new(&file, segment.id, len, read.next.offset);
        loop {
            let begin = frames.at();
            let frame = match frames.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => {
                    *expected = None;
                    let bytes = len.saturating_sub(begin);
                    add_damage(&mut read.damaged, &path, begin, bytes, error);
                    break;
                }
            };
            match frame {
                Frame::Group { at, number, .. } => {
                    if let Some(missing) = expected.filter(|&it| it != number) {
                        let why =
                            format!("group {missing} should be there, and it is group {number}");
                        add_damage(&mut read.damaged, &path, at, 0, why);
                    }
                    *expected = Some(number.wrapping_add(1));
                }
                Frame::Record { at, body } => {
                    let position = Position {
                        segment: number,
                        offset: at,
                    };
                    let flow = sink(position, body);
                    read.next.offset = frames.at();
                    if flow.is_break() {
                        return Ok(true);
                    }
                }
                Frame::Damage { at, bytes } => {
                    *expected = None;
                    add_damage(&mut read.damaged, &path, at, bytes, Damage::CHECKSUM);
                }
            }
        }
        if len < segment.bytes {
            *expected = None;
            let missing = segment.bytes - len;
            add_damage(
                &mut read.damaged,
                &path,
                len,
                missing,
                "the file is too short",
            );
        }
        read.next.offset = segment.bytes;
        Ok(false)
    }

    /// The first record of a segment. `None`: there is none, or it is damaged.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn first_record(&self, segment: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let offset = (HEAD + GROUP) as u64;
        self.record(Position { segment, offset })
    }

    /// The record at a position that the log has given. `None`: it was removed, or is damaged, or none
    /// stands there.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn record(&self, position: Position) -> Result<Option<Vec<u8>>, StoreError> {
        let segment = self.shared.segments().get(&position.segment).copied();
        let Some(segment) = segment else {
            return Ok(None);
        };
        let Some((file, len)) = self.open(position.segment, segment)? else {
            return Ok(None);
        };
        let path = self.shared.path(position.segment);
        let frames = Frames::new(&file, segment.id, len, position.offset);
        let mut frames = frames.without_reading_ahead();
        if frames.at() != position.offset {
            return Ok(None);
        }
        let record = frames.record().map_err(io_error("read", path))?;
        Ok(record.map(<[u8]>::to_vec))
    }

    /// Opens a segment: the file, and how far it can be read. `None`: it is gone.
    fn open(&self, number: u64, segment: Committed) -> Result<Option<(File, u64)>, StoreError> {
        let path = self.shared.path(number);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((len, file)) => Ok(Some((file, len.min(segment.bytes)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("open", &path)(error)),
        }
    }
}
