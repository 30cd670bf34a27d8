//! The wing routing.

mod by_filter;
mod groups;
mod lookups;
mod retained;
mod search;
mod subscriber_list;
mod subscriptions;
mod tree;

pub(crate) use by_filter::ByFilter;
pub(crate) use groups::{Among, Choice, Groups, Membership, Room, Standing};
pub(crate) use lookups::{Lookup, LookupRotation, Lookups};
pub(crate) use retained::{Outcome, Retained};
pub(crate) use search::{Found, Search};
pub(crate) use subscriber_list::SubscriberList;
pub(crate) use subscriptions::Subscriptions;
pub(crate) use tree::{LevelTree, Value};
