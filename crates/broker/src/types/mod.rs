//! The ground floor: plain data that the wings hand to each other.
//!
//! Limits, counters, messages, identifiers, grants, close causes and the sets of timers live
//! here, because several wings speak of them.
//!
//! **Invariant.** This wing imports no other wing. Each type knows only its own fields.
//!
//! Begin with `limits.rs` (every bound and what happens at it), then `message.rs` (a message as
//! the broker keeps it) and `ids.rs` (the names of everything).

mod access;
mod close;
mod connect;
mod ids;
mod interval;
mod limits;
mod message;
mod metrics;
mod peer;
mod queued;
pub(crate) mod shrink;
mod store_state;
mod subscriber;
mod thin_vec;
mod timers;
mod weight;
mod will;

pub use access::{Access, Grants, Principal, Reach};
pub(crate) use close::{BadTopic, Refusal, violation};
pub use close::{CloseCause, CloseReason, LOOKS_LIKE_HTTP, TOO_SLOW};
pub(crate) use connect::{connect_cost, detach_connect};
pub use ids::{Conn, Lsn};
pub(crate) use ids::{GroupId, MessageId, NodeId, SessionId, SessionNumber, Slot};
pub(crate) use interval::Interval;
pub use interval::{LATEST_PROPERTY, SKIPPED_PROPERTY};
pub use limits::{Limit, Limits, QueueFull};
pub(crate) use message::{Delivery, Identifiers, Message, MessageBytes, Parts, cost, held, topic};
pub use metrics::Metrics;
pub use peer::{Peer, Transport};
pub(crate) use queued::{Cause, Holder, INFLIGHT, Origin, Queued};
pub(crate) use shrink::ShrinkPolicy;
pub use store_state::StoreState;
pub(crate) use subscriber::{Entry, Subscriber};
pub(crate) use thin_vec::ThinVec;
pub(crate) use timers::{Timer, Timers};
pub(crate) use weight::Weight;
pub(crate) use will::{DueWill, detach_will, to_publish, will_cost};
