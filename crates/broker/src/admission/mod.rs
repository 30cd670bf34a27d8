//! The wing admission.

mod limit_log;
mod memory;

pub(crate) use limit_log::LimitLog;
pub use limit_log::LimitReached;
