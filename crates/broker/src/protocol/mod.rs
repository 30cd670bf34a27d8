//! Protocol: what packets ask for and what answers say, as far as that depends on the packets
//! alone.
//!
//! **Invariant.** Functions here look at a packet, limits and grants, and change nothing. The
//! [machine](crate::machine) does what the packet asks for.
//!
//! Begin with `connect.rs`, `publish.rs` and `subscribe.rs`, one for each packet. `latest.rs` is about
//! a user property of SUBSCRIBE. `last_word.rs` makes the last packet before a close. `prefix_sniffing.rs` recognises clients that speak
//! another protocol.

mod connect;
mod last_word;
mod latest;
mod prefix_sniffing;
mod publish;
mod subscribe;

pub(crate) use connect::{Granted, client_id_asked, refused, session_expiry_asked};
pub(crate) use last_word::{farewell, refusal};
pub(crate) use latest::{as_latest, check_latest, latest_asked};
pub(crate) use prefix_sniffing::looks_like;
pub(crate) use publish::{check_name, is_as_indicated};
pub(crate) use subscribe::{
    as_bridge, asks_for_retained, check_filter, check_subscribe, granted, inner_filter,
    subscription_cost,
};
