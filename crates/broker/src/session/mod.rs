//! The wing session.

mod incoming;
mod outgoing;
mod reclamation;
mod records;
mod sessions;
mod state;
mod subscribed;
mod will;
mod window;

pub(crate) use outgoing::Outgoing;
pub(crate) use reclamation::Reclamation;
pub(crate) use records::record_session;
pub(crate) use sessions::Sessions;
pub(crate) use state::Session;
use subscribed::Shared;
pub(crate) use will::HeldWill;
pub(crate) use window::{Acknowledged, Inflight, Stage};
