//! Why a journal cannot be replayed.

use core::fmt;

use crate::types::Lsn;

/// Why a journal cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// At which record.
    pub lsn: Lsn,
    /// What is wrong.
    pub kind: RecordErrorKind,
}

/// What is wrong with a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordErrorKind {
    /// Records are missing: this one was to come.
    Gap {
        /// The next in order.
        expected: Lsn,
    },
    /// A kind of record that this program does not know.
    UnknownKind(u8),
    /// The record is not as its kind says.
    Malformed {
        /// Bytes into the record.
        offset: usize,
        /// What was to be there.
        what: &'static str,
    },
    /// The journal does not begin with record 1, and there is no whole copy in it that would
    /// make up for what is missing.
    NoWholeCopy,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lsn(lsn) = self.lsn;
        write!(f, "record {lsn}: ")?;
        match &self.kind {
            RecordErrorKind::Gap { expected } => {
                write!(f, "record {} was to come, and is missing", expected.0)
            }
            RecordErrorKind::UnknownKind(kind) => write!(
                f,
                "its kind is {kind}, which this program does not know; \
                 a newer one may have written it"
            ),
            RecordErrorKind::Malformed { offset, what } => {
                write!(f, "no {what} at byte {offset}")
            }
            RecordErrorKind::NoWholeCopy => f.write_str(
                "the journal ends here, and neither begins with record 1 \
                 nor has a whole copy of what was before",
            ),
        }
    }
}

impl core::error::Error for RecordError {}
