//! Why the broker cannot replay a journal.

use core::fmt;

use crate::types::Lsn;

/// Why the broker cannot replay a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The record at which replay stopped.
    pub lsn: Lsn,
    /// What is wrong.
    pub kind: RecordErrorKind,
}

/// What is wrong with a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordErrorKind {
    /// Records are missing.
    Gap {
        /// The record that should have come next.
        expected: Lsn,
    },
    /// This program does not know this kind of record.
    UnknownKind(u8),
    /// The record does not have the form that its kind requires.
    Malformed {
        /// The offset in the record, in bytes.
        offset: usize,
        /// What should be there.
        what: &'static str,
    },
    /// The journal does not begin with record 1, and holds no complete checkpoint to make up for
    /// what is missing.
    NoWholeCopy,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lsn(lsn) = self.lsn;
        write!(f, "record {lsn}: ")?;
        match &self.kind {
            RecordErrorKind::Gap { expected } => {
                write!(f, "record {} is missing before it", expected.0)
            }
            RecordErrorKind::UnknownKind(kind) => write!(
                f,
                "its kind is {kind}, which this program does not know; \
                 a newer one may have written it"
            ),
            RecordErrorKind::Malformed { offset, what } => {
                write!(f, "it has no {what} at byte {offset}")
            }
            RecordErrorKind::NoWholeCopy => f.write_str(
                "the journal ends here. It neither begins with record 1, \
                 nor holds a complete checkpoint of what came before",
            ),
        }
    }
}

impl core::error::Error for RecordError {}
