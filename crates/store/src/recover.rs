//! Reads all segments in order, cuts off a torn tail, and makes a broker of the records.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use broker::journal::FORMAT_VERSION;
use broker::{Broker, BrokerOptions, Lsn, Recovery};
use bytes::Bytes;
use tracing::{info, warn};

use crate::disk::File;
use crate::error::{Damage, StoreError, io_error};
use crate::folder::Folder;
use crate::journal::Segment;
use crate::newest;
use crate::read::{self, Rest};
use crate::salvage::Behind;
use crate::segment::{HEADER_LEN, Header};

/// How often a long start logs its progress.
const PROGRESS: Duration = Duration::from_secs(2);

/// What was read from the files.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) broker: Broker,
    pub(super) segments: VecDeque<Segment>,
    pub(super) last: Lsn,
    pub(super) torn_bytes: u64,
}

/// Where reading had to stop.
#[derive(Debug)]
pub(super) struct Stop {
    /// The index of the file.
    pub(super) index: usize,
    pub(super) offset: u64,
    pub(super) error: StoreError,
}

/// Reads everything that is stored. It changes no file except by cutting off a torn tail.
pub(super) fn recover(
    folder: &Folder,
    options: &BrokerOptions,
    now: mqtt::Instant,
) -> Result<Recovered, StoreError> {
    let numbers = folder.segments()?;
    if let Some(error) = missing(folder, &numbers)? {
        return Err(error);
    }
    replay(folder, &numbers, None, options, now).map_err(|stop| stop.error)
}

/// Checks that no later segments are missing. The existing ones do not show that.
pub(super) fn missing(folder: &Folder, numbers: &[u64]) -> Result<Option<StoreError>, StoreError> {
    let newest = newest::read(folder.path())?;
    Ok(match (numbers.last(), newest) {
        (None, None | Some(0)) if !folder.was_used() => None,
        (None, _) => Some(StoreError::Missing(folder.segments_path())),
        (Some(last), Some(newest)) if *last < newest => {
            Some(StoreError::NewestMissing(folder.segment_path(newest)))
        }
        (Some(_), _) => None,
    })
}

/// Reads the segments with these numbers, the last one up to `until`.
pub(super) fn replay(
    folder: &Folder,
    numbers: &[u64],
    until: Option<u64>,
    options: &BrokerOptions,
    now: mqtt::Instant,
) -> Result<Recovered, Stop> {
    let mut progress = Progress::new(numbers.len());
    let mut recovery = Recovery::new(options.clone());
    let mut segments = VecDeque::new();
    let mut next: Option<Lsn> = None;
    let mut torn = None;
    for (index, &number) in numbers.iter().enumerate() {
        let is_last = index + 1 == numbers.len();
        let place = Place {
            folder,
            numbers,
            index,
            path: folder.segment_path(number),
        };
        let (header, bytes) = place.read(until.filter(|_| is_last), next)?;
        let end = read::records(bytes, HEADER_LEN as u64, &header, |offset, lsn, record| {
            let replayed = recovery.replay(lsn, record);
            replayed.map_err(|error| place.damaged(offset, lsn, error.to_string()))?;
            progress.tell(index, lsn);
            Ok(())
        })?;
        match end.rest {
            Rest::Empty => {}
            Rest::Damaged { what } => return Err(place.damaged(end.offset, end.next, what)),
            // A segment begins only when the one before it is durable.
            Rest::Torn { what, .. } if !is_last => {
                return Err(place.damaged(end.offset, end.next, what));
            }
            Rest::Torn { bytes, what } => torn = Some((place.clone(), end.offset, bytes, what)),
        }
        if numbers.len() == 1 && end.next == header.first && header.first > Lsn(1) {
            let what = "the files before it are missing".to_owned();
            return Err(place.damaged(0, header.first, what));
        }
        next = Some(end.next);
        segments.push_back(Segment {
            number,
            first: header.first,
            bytes: end.offset,
            group: end.group,
        });
    }
    let last = recovery.last_lsn();
    let broker = recovery.finish(now).map_err(|error| Stop {
        index: 0,
        offset: 0,
        error: StoreError::NotWhole {
            path: folder.segments_path(),
            error,
        },
    })?;
    // The torn tail is cut off only now, when the rest is known to be good, because salvage must
    // move bad files aside unchanged.
    let torn_bytes = match torn {
        Some((place, offset, bytes, what)) => {
            place.cut_off(offset, bytes, &what)?;
            bytes
        }
        None => 0,
    };
    progress.done(&broker, last);
    // Segments without records still say which record comes first.
    let last = next.map_or(last, |next| Lsn(next.0 - 1));
    Ok(Recovered {
        broker,
        segments,
        last,
        torn_bytes,
    })
}

/// The segment that is read, and all that are there.
#[derive(Clone)]
struct Place<'a> {
    folder: &'a Folder,
    numbers: &'a [u64],
    index: usize,
    path: PathBuf,
}

impl Place<'_> {
    fn stop(&self, offset: u64, error: StoreError) -> Stop {
        Stop {
            index: self.index,
            offset,
            error,
        }
    }

    fn damaged(&self, offset: u64, record: Lsn, what: String) -> Stop {
        let damage = Damage {
            file: self.path.clone(),
            offset,
            record: record.0,
            what,
            behind: Behind::of(self.folder, &self.numbers[self.index..], offset),
            aside: self.folder.damaged_path(),
        };
        self.stop(offset, StoreError::Damaged(Box::new(damage)))
    }

    /// Reads the segment up to byte `until`, and checks that it follows the one before it, which ends
    /// before the record `next`. `None`: there is none before it. Returns what stands behind the
    /// header too.
    fn read(&self, until: Option<u64>, next: Option<Lsn>) -> Result<(Header, Bytes), Stop> {
        let expected = next.unwrap_or(Lsn(1));
        let before = self.index.checked_sub(1).map(|it| self.numbers[it]);
        if let Some(before) = before
            && before + 1 != self.numbers[self.index]
        {
            let what = format!("{:08}.log, which comes before it, is missing", before + 1);
            return Err(self.damaged(0, expected, what));
        }
        let read = fs::read(&self.path).map_err(io_error("read", &self.path));
        let mut bytes = Bytes::from(read.map_err(|error| self.stop(0, error))?);
        if let Some(until) = until {
            bytes.truncate(usize::try_from(until).unwrap_or(usize::MAX));
        }
        let header = read::header(&mut bytes).map_err(|what| self.damaged(0, expected, what))?;
        let Some(header) = header else {
            return Err(self.damaged(0, expected, "it is empty".to_owned()));
        };
        if header.version != FORMAT_VERSION {
            let error = StoreError::Version {
                path: self.path.clone(),
                found: header.version,
                needs: "a newer beaconry".to_owned(),
            };
            return Err(self.stop(0, error));
        }
        if header.journal != self.folder.journal() {
            let what = "it belongs to another data folder of beaconry".to_owned();
            return Err(self.damaged(0, expected, what));
        }
        if let Some(next) = next.filter(|next| *next != header.first) {
            let what = format!(
                "it begins with record {}, but the file before it ends before record {}",
                header.first.0, next.0
            );
            return Err(self.damaged(0, next, what));
        }
        Ok((header, bytes))
    }

    /// Cuts off the torn tail of the segment: `bytes` bytes behind byte `offset`.
    fn cut_off(&self, offset: u64, bytes: u64, what: &str) -> Result<(), Stop> {
        cut(&self.path, offset).map_err(|error| self.stop(offset, error))?;
        warn!(
            "{}: cut off {bytes} bytes behind byte {offset}, which were being written when beaconry ended ({what}). Unless the file was changed since, no client received an acknowledgement for them",
            self.path.display(),
        );
        Ok(())
    }
}

pub(super) fn cut(path: &Path, len: u64) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|file| {
            file.set_len(len)?;
            file.sync_all()
        })
        .map_err(io_error("cut the torn end off", path))
}

/// Logs the progress of a long start.
struct Progress {
    began: Instant,
    said: Instant,
    files: usize,
}

impl Progress {
    fn new(files: usize) -> Self {
        let began = Instant::now();
        Self {
            began,
            said: began,
            files,
        }
    }

    fn tell(&mut self, file: usize, lsn: Lsn) {
        /// The clock is read once in this many records, because reading it takes longer than
        /// replaying a few.
        const OFTEN: u64 = 1024;
        if lsn.0.is_multiple_of(OFTEN) && self.said.elapsed() >= PROGRESS {
            self.said = Instant::now();
            info!(
                "reading what is stored: file {} of {}, record {}",
                file + 1,
                self.files,
                lsn.0
            );
        }
    }

    fn done(&self, broker: &Broker, last: Lsn) {
        let metrics = broker.metrics();
        if last.0 > 0 {
            info!(
                "read what is stored in {:.1?}: {} sessions, {} subscriptions, {} retained and {} queued messages",
                self.began.elapsed(),
                metrics.sessions,
                metrics.subscriptions,
                metrics.retained_messages,
                metrics.queued_messages
            );
        }
    }
}
