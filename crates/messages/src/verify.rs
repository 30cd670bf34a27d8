//! Reads everything, to see whether it can be read.

use std::ops::ControlFlow;
use std::path::Path;

use store::StoreError;
use store::log::{self, Damage, Position};

use crate::Millis;
use crate::block::{self, Rows};

/// What the files of a folder hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Messages that can be read.
    pub messages: u64,
    /// The earliest and the latest time of a message.
    pub span: Option<(Millis, Millis)>,
    /// Bytes of a commit that was interrupted, or that a running server is about to finish.
    pub torn_bytes: u64,
    /// What cannot be read.
    pub damaged: Vec<Damage>,
}

/// Reads every message of a folder, and changes nothing. A server may be writing there.
///
/// # Errors
///
/// The folder or a file cannot be read, or a newer version of Beaconry has written it. Damage is no error.
pub fn verify(folder: &Path) -> Result<Verified, StoreError> {
    let (log, torn_bytes) = log::Reader::of_files(folder)?;
    let segments = log.segments();
    let mut verified = Verified {
        files: segments.len() as u64,
        bytes: segments.iter().map(|it| it.bytes).sum(),
        torn_bytes,
        ..Verified::default()
    };
    let mut malformed = Vec::new();
    let read = log.read(Position::default(), |at, record| {
        if record.first() != Some(&block::KIND) {
            // The index of a file, which is only there to be found faster.
            return ControlFlow::Continue(());
        }
        match Rows::read(record) {
            Some(rows) => verified.add(&rows),
            None => malformed.push(Damage {
                path: folder.join(format!("{:08}.log", at.segment)),
                offset: at.offset,
                bytes: record.len() as u64,
                why: "the block is malformed".to_owned(),
            }),
        }
        ControlFlow::Continue(())
    })?;
    verified.damaged = read.damaged;
    verified.damaged.append(&mut malformed);
    Ok(verified)
}

impl Verified {
    fn add(&mut self, rows: &Rows) {
        let head = rows.head;
        self.messages += u64::from(head.count);
        let (min, max) = self.span.unwrap_or((head.min, head.max));
        self.span = Some((min.min(head.min), max.max(head.max)));
    }
}
