//! The pages.
//!
//! - [`fleet`]: all devices; `/`
//! - [`welcome`]: the same without a device.
//! - [`device`]: one device; `/device/{its percent-encoded id}`
//! - [`not_found`]: everything else.

pub mod device;
pub mod fleet;
pub mod not_found;
pub mod welcome;
