//! What is let in, and how much of it may be held.

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
