//! The wing session.

mod outgoing;
mod reclamation;
mod records;
mod session;
mod will;

pub(crate) use outgoing::{Acknowledged, Inflight, Outgoing, Stage};
pub(crate) use reclamation::Reclamation;
pub(crate) use records::record_session;
pub(crate) use session::{Session, Sessions};
pub(crate) use will::{DueWill, HeldWill};
