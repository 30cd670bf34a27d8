//! Admission: what the broker lets in, how much it may hold, and how much deferrable work it
//! does at once.
//!
//! **Invariant.** Every limit over all clients is decided here, by [`MemoryBudget`]. The other
//! wings report each change of what they hold. [`Metrics`](crate::Metrics) only shows what is
//! counted here.
//!
//! Begin with `memory.rs` (bounds over all clients) and `work.rs` (the budget for deferrable
//! work). `rate.rs` bounds how fast a client publishes, `deny_rules.rs` has the simplest access
//! rules, and `limit_log.rs` is the rate-limited log of limits that were reached.

mod deny_rules;
mod limit_log;
mod memory;
mod rate;
mod work;

pub use deny_rules::DenyRules;
pub(crate) use limit_log::LimitLog;
pub use limit_log::LimitReached;
pub(crate) use memory::MemoryBudget;
pub(crate) use rate::allowed_messages;
pub use work::Steps;
pub(crate) use work::WorkBudget;
