//! How often a subscription to the newest values is sent something.

use core::num::NonZeroU16;
use core::time::Duration;

/// The user property of SUBSCRIBE that asks for no more than the newest value of each topic. Its
/// value is the least time between two sendings, in milliseconds from 10 to 60,000.
pub const LATEST_PROPERTY: &str = "beaconry-latest";

/// The user property of a PUBLISH that stands for earlier messages to the same topic. Its value is
/// how many messages this one has replaced.
pub const SKIPPED_PROPERTY: &str = "beaconry-skipped";

/// The least time between two sendings of newest values to one connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interval(NonZeroU16);

impl Interval {
    const LEAST: u16 = 10;
    const MOST: u16 = 60_000;

    /// `None` if the time is too short or too long.
    pub(crate) fn from_millis(millis: u64) -> Option<Self> {
        let millis = u16::try_from(millis).ok()?;
        let is_allowed = (Self::LEAST..=Self::MOST).contains(&millis);
        NonZeroU16::new(millis).filter(|_| is_allowed).map(Self)
    }

    pub(crate) fn millis(self) -> u16 {
        self.0.get()
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_millis(self.millis().into())
    }
}
