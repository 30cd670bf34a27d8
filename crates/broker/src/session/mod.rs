//! Session: what the broker knows of a client, whether it is connected or not (section 4.1).
//!
//! **Invariant.** A session changes what it holds only together with the [memory
//! budget](crate::admission). Its messages stay in the order in which they came.
//!
//! A session *lasts* if it outlives its connection (its expiry interval is not 0). Otherwise it is
//! transient. Only a lasting session has a number and is in records.
//!
//! Begin with `state.rs` (the session and its parts), then `outgoing.rs` (the queue) and
//! `window.rs` (messages that were sent and are not acknowledged). `sessions.rs` is the table of
//! all sessions. `reclamation.rs` frees the queues of ended sessions step by step.

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
use subscribed::Memberships;
pub(crate) use will::HeldWill;
pub(crate) use window::{Acknowledged, Inflight, Stage};
