//! The wing delivery.

mod alias;
mod connection;
mod dismissals;
mod egress;
mod outbox;
mod partial;
mod pause;
mod room;
mod routed;
mod stalled;

pub(crate) use alias::{ClientAliases, Naming, ServerAliases};
pub(crate) use connection::{Authenticating, ClientId, Connection, Connections, Link, Phase};
pub(crate) use dismissals::Dismissals;
pub(crate) use egress::AwaitingRoom;
pub(crate) use outbox::{Outbox, Passage, SpareBuffers};
pub(crate) use pause::Pause;
pub(crate) use room::{fits, holder, lacks_window, takes_at_most_once, takes_surely};
pub(crate) use routed::Routed;
pub(crate) use stalled::Stalled;
