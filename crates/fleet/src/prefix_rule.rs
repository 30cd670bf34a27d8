//! Which topic prefixes belong to the four-topic convention, as the shell configures it.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Which topic prefixes belong to the four-topic convention.
#[derive(Clone, Eq, PartialEq, Debug)]
pub enum PrefixRule {
    /// Any prefix of any depth. A prefix counts as the convention's own while there is a device
    /// that has sent a registration, a command's answer or typed data under it, or got a command
    /// there; `beaconry` always does. At most 64 prefixes are learnt; further ones are counted as
    /// [`Limit::Prefixes`](crate::Limit::Prefixes). Under such a prefix, what cannot be read is a fault of its device
    /// instead of another kind of topic.
    Any,
    /// Only these prefixes (without a trailing slash); everything else is a plain topic.
    Only(Vec<Box<str>>),
}
