//! The pages.
//!
//! - [`fleet`]: all devices; `/`
//! - [`welcome`]: the same without a device.
//! - [`device`]: one device; `/device/{its percent-encoded id}`
//! - [`not_found`]: everything else.

pub mod device;
pub mod fleet;
pub mod not_found;
// Signals are large in debug builds, where they know who made them. Elsewhere they are a few numbers.
#[allow(clippy::large_types_passed_by_value)]
pub mod time_bar;
pub mod welcome;
