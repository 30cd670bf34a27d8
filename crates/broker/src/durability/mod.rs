//! Durability: what the broker writes into its journal, and what of it is durable.
//!
//! **Invariant.** An answer that promises something is sent only after the record of the promise is
//! durable. [`Ledger`] numbers the records and knows which are durable. The outbox of each
//! connection holds the bytes back.
//!
//! **Invariant.** The broker refuses new messages before the store is too full for the records
//! that existing ones will still cause (`space.rs`).
//!
//! Begin with `record/mod.rs` (everything that can be recorded), then `ledger.rs` (the broker's
//! end of the journal) and `journal.rs` (the form of frames). `checkpoint.rs` is the progress of a
//! checkpoint, `write_back.rs` catches up on records that a full store could not take.

mod checkpoint;
mod error;
pub mod journal;
mod ledger;
mod record;
mod space;
mod write_back;

pub(crate) use checkpoint::{CheckpointProgress, CheckpointStage};
pub use error::{RecordError, RecordErrorKind};
pub(crate) use journal::MAX_BODY;
pub(crate) use journal::write_frame_within;
pub(crate) use ledger::Ledger;
pub(crate) use record::{
    Absence, Accepted, AcceptedHead, FromSession, InQueue, InWindow, Malformed, Recipient, Record,
    Retention, SessionState, Stored, Subscribed, Terms, TransientWill, put_accepted, put_message,
    put_recipient, put_retained,
};
pub(crate) use space::StoreCost;
pub(crate) use write_back::{WriteBack, WriteBackStage};
