//! Delivery: from a message to the bytes of each connection that gets it.
//!
//! - [`Routed`]: a message while it is delivered, encoded once for each form;
//! - [`Egress`]: delivers to all subscribers ([`fan_out`]), to one session now ([`egress`]),
//!   into its queue ([`queue`]), from its queue ([`backlog`]), or as the newest of its topic
//!   ([`coalesce`]);
//! - [`LatestValues`]: the newest values that wait for a connection;
//! - [`send`]: the steps from a message to the bytes in an outbox;
//! - [`Members`]: what each member of a group could do with a message;
//! - [`Connections`]: the table of all connections, each with its [`Outbox`].
//!
//! **Invariant.** Nothing here closes a connection or publishes a message. The caller gets a
//! value and acts on it.
//!
//! Begin with `send.rs` and `egress.rs`, then `outbox.rs`.

mod agreement;
mod alias;
mod backlog;
mod coalesce;
mod connection;
mod connections;
mod dismissals;
mod egress;
mod egress_budget;
mod fan_out;
mod latest;
mod members;
mod outbox;
mod pause;
mod queue;
mod readiness;
mod routed;
mod send;

use alias::{ClientAliases, Naming, ServerAliases};
use pause::Pause;

pub(crate) use agreement::Agreement;
pub(crate) use connection::{Authenticating, ClientId, Connection, Phase};
pub(crate) use connections::Connections;
pub(crate) use dismissals::Dismissals;
pub(crate) use egress::{Egress, Means, Outcome};
pub(crate) use egress_budget::AwaitingBudget;
pub(crate) use latest::LatestValues;
pub(crate) use members::{MemberMeans, Members};
pub(crate) use outbox::{Outbox, Passage, SpareBuffers};
pub(crate) use readiness::is_ready;
pub(crate) use routed::Routed;
pub(crate) use send::Receiver;
