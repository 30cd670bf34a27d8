//! Routing: who gets a message.
//!
//! **Invariant.** Finding the subscribers of a message visits only the filters that match its
//! topic so far, never all filters. The order in which they are found depends only on the order
//! of earlier inputs.
//!
//! **Invariant.** Every list here gives its memory back when its entries go.
//!
//! Begin with `tree.rs` (the tree of topic levels that everything here is kept in), then
//! `subscriptions.rs` (which sessions a topic matches) and `groups.rs` (shared subscriptions).
//! `retained.rs` keeps the retained messages. `search.rs` finds those that match a filter, and
//! `lookups.rs` is the queue of such searches of one session.

mod by_filter;
mod groups;
mod lookups;
mod retained;
mod search;
mod subscriber_list;
mod subscriptions;
mod tree;

pub(crate) use by_filter::ByFilter;
pub(crate) use groups::{Among, Capability, Choice, Groups, Membership, Standing};
pub(crate) use lookups::{Lookup, LookupRotation, Lookups};
pub(crate) use retained::{RetainOutcome, Retained};
pub(crate) use search::{Found, Search};
pub(crate) use subscriber_list::SubscriberList;
pub(crate) use subscriptions::Subscriptions;
pub(crate) use tree::{LevelTree, Value};
