//! From the records of a journal back to a broker.

use core::fmt;

use bytes::Bytes;
use mqtt::Instant;

use crate::broker::Broker;
use crate::ledger::Ledger;
use crate::message::Message;
use crate::options::BrokerOptions;
use crate::output::Lsn;
use crate::record::{Malformed, Record};

/// Makes a broker of the records that survived, one after the other.
///
/// ```
/// use broker::{BrokerOptions, Recovery};
/// use mqtt::Instant;
///
/// // Of an empty journal comes a new broker.
/// let broker = Recovery::new(BrokerOptions::default()).finish(Instant::ZERO).unwrap();
/// assert_eq!(broker.metrics().sessions, 0);
/// ```
#[derive(Debug)]
pub struct Recovery {
    broker: Broker,
    last: Option<Lsn>,
}

/// Why a journal cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// At which record; 0: at none, but at the end.
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
}

impl Recovery {
    /// Nothing replayed yet.
    pub fn new(mut options: BrokerOptions) -> Self {
        options.durable = true;
        Self {
            broker: Broker::new(Instant::ZERO, options),
            last: None,
        }
    }

    /// Replays the record with the number `lsn`: the first may have any, each other one
    /// follows the one before.
    ///
    /// # Errors
    /// The record is not the next, or is none. The journal is damaged, or was written by
    /// another program; there is no going on.
    pub fn replay(&mut self, lsn: Lsn, record: Bytes) -> Result<(), RecordError> {
        let error = |kind| RecordError { lsn, kind };
        if let Some(Lsn(last)) = self.last
            && lsn.0 != last.wrapping_add(1)
        {
            let expected = Lsn(last.wrapping_add(1));
            return Err(error(RecordErrorKind::Gap { expected }));
        }
        let record = Record::decode(record).map_err(|malformed| match malformed {
            Malformed::Kind(kind) => error(RecordErrorKind::UnknownKind(kind)),
            Malformed::At { offset, what } => error(RecordErrorKind::Malformed { offset, what }),
        })?;
        self.last = Some(lsn);
        match record {
            Record::Accepted(message) => self.retain(*message),
            Record::Released { .. } => {}
        }
        Ok(())
    }

    /// The broker, as if every client had lost its connection just now.
    ///
    /// # Errors
    /// The records do not give a whole state.
    pub fn finish(self, _now: Instant) -> Result<Broker, RecordError> {
        let last = self.last_lsn();
        let mut broker = self.broker;
        broker.ledger = Ledger::following(last);
        broker.retained.count(&mut broker.metrics);
        Ok(broker)
    }

    /// The last record replayed; 0: none.
    pub fn last_lsn(&self) -> Lsn {
        self.last.unwrap_or_default()
    }

    /// How many sessions there are so far.
    pub fn sessions(&self) -> usize {
        self.broker.sessions.len()
    }

    fn retain(&mut self, message: Message) {
        let broker = &mut self.broker;
        if !message.publish.retain {
            return;
        }
        if message.publish.payload.is_empty() {
            broker.retained.remove(message.topic(), &mut broker.timers);
        } else {
            broker.retained.set(message.into(), &mut broker.timers);
        }
    }
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
                "it is of kind {kind}, which this program does not know; a newer one may have written it"
            ),
            RecordErrorKind::Malformed { offset, what } => {
                write!(f, "no {what} at byte {offset}")
            }
        }
    }
}

impl core::error::Error for RecordError {}
