//! The wing session.

mod incoming;
mod outgoing;
mod reclamation;
mod records;
mod sessions;
mod state;
mod subscribed;
mod will;

pub(crate) use outgoing::{Acknowledged, Inflight, Outgoing, Stage};
pub(crate) use reclamation::Reclamation;
pub(crate) use records::record_session;
pub(crate) use sessions::Sessions;
pub(crate) use state::Session;
use subscribed::Shared;
pub(crate) use will::HeldWill;
