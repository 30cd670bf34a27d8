//! The pages.
//!
//! - [`fleet`]: all devices; `/`
//! - [`device`]: one device; `/device/{its percent-encoded id}`
//! - [`not_found`]: everything else.

pub mod device;
pub mod fleet;
pub mod not_found;
