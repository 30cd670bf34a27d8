//! Finds everything again after a restart.

use std::ops::ControlFlow;

use store::StoreError;
use store::log::{self, Damage, Log, Position};
use tracing::warn;

use crate::Options;
use crate::block::Head;
use crate::index::{Entry, Index};
use crate::reader::Shared;
use crate::writer::Messages;

/// What was found when the messages were opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Bytes of a commit that a crash has interrupted. They were cut off.
    pub torn_bytes: u64,
    /// What cannot be read. It is skipped.
    pub damaged: Vec<Damage>,
}

impl Messages {
    /// Opens the messages of a folder, or none. It reads the newest file, and one record of each other
    /// file.
    ///
    /// # Errors
    ///
    /// The folder cannot be read or written, or a newer version of Beaconry has written it. Damage is no
    /// error.
    pub fn open(options: Options) -> Result<(Self, Found), StoreError> {
        let (log, found) = Log::open(log::Settings {
            folder: options.folder.clone(),
            // The messages begin files themselves, because each begins with the index of the one before.
            segment_bytes: u64::MAX,
        })?;
        let reader = log.reader();
        let mut damaged = found.damaged;
        let mut index = Index::default();
        let segments = log.segments();
        for (at, segment) in segments.iter().enumerate() {
            let next = segments.get(at + 1);
            let record = next.map(|it| reader.first_record(it.number)).transpose()?;
            let record = record.flatten();
            if record.is_some_and(|it| index.take_record(segment.number, &it)) {
                continue;
            }
            for damage in read_segment(&reader, segment.number, &mut index)? {
                if !damaged.contains(&damage) {
                    warn!("{damage}");
                    damaged.push(damage);
                }
            }
        }
        let mut messages = Self::new(options, log, Shared::new(index));
        messages.count_found(found.torn_bytes, damaged.len());
        let found = Found {
            torn_bytes: found.torn_bytes,
            damaged,
        };
        Ok((messages, found))
    }
}

/// Finds the blocks of a segment.
fn read_segment(
    reader: &log::Reader,
    segment: u64,
    index: &mut Index,
) -> Result<Vec<Damage>, StoreError> {
    let begin = Position { segment, offset: 0 };
    let read = reader.read(begin, |at, record| {
        if at.segment != segment {
            return ControlFlow::Break(());
        }
        if let Some(head) = Head::read(record) {
            index.add(Entry::of(at, head));
        }
        ControlFlow::Continue(())
    })?;
    let mut damaged = read.damaged;
    // The reader may have gone on into the next file, which has its own turn.
    damaged.retain(|it| it.path.ends_with(format!("{segment:08}.log")));
    Ok(damaged)
}
