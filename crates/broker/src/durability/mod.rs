//! The wing durability.

mod error;
pub mod journal;
mod ledger;
mod pass;
mod record;
mod space;
mod write_back;

pub use error::{RecordError, RecordErrorKind};
pub(crate) use journal::MAX_BODY;
pub(crate) use journal::write_frame_within;
pub(crate) use ledger::Ledger;
pub(crate) use pass::{Copying, Pass};
pub(crate) use record::{
    Absence, Accepted, AcceptedHead, Bequest, FromSession, InQueue, InWindow, Malformed, Recipient,
    Record, Retention, SessionState, Stored, Subscribed, Terms, put_accepted, put_message,
    put_recipient, put_retained,
};
pub(crate) use space::StoreCost;
pub(crate) use write_back::{Searching, WriteBack};
