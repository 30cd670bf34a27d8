//! The wing session.

mod ending;
mod outgoing;
mod records;
mod session;
mod will;

pub(crate) use ending::Ending;
pub use ending::Steps;
pub(crate) use outgoing::{Acknowledged, Inflight, Outgoing, Stage};
pub(crate) use records::record_session;
pub(crate) use session::{Session, Sessions};
pub(crate) use will::{DueWill, HeldWill};
