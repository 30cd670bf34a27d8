//! The point in time that the shell gives to every sans-IO state machine.

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on a monotonic clock, in microseconds since an epoch that the caller chooses.
///
/// The shell says what time it is: `performance.now()` in a browser, a simulated clock in a test.
/// Arithmetic saturates, so a hostile interval cannot overflow it.
///
/// An `Option<Instant>` takes no more memory than an `Instant`: a broker holds several for each
/// client.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(
    /// One more than the microseconds since the epoch.
    NonZeroU64,
);

impl Instant {
    /// The epoch itself.
    pub const ZERO: Self = Self(NonZeroU64::MIN);
    /// A point in time that never comes.
    pub const FAR_FUTURE: Self = Self(NonZeroU64::MAX);

    /// The point `micros` microseconds after the epoch. `u64::MAX` and `u64::MAX - 1` are
    /// [`FAR_FUTURE`](Self::FAR_FUTURE).
    pub const fn from_micros(micros: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(micros))
    }

    /// The point `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self::from_micros(millis.saturating_mul(1_000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0.get() - 1
    }

    /// The time that has passed since `earlier`; zero if `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.as_micros();
        write!(f, "{}.{:06}s", micros / 1_000_000, micros % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_time_hold_what_is_beyond_them() {
        assert_eq!(Instant::ZERO.as_micros(), 0);
        assert_eq!(Instant::default(), Instant::ZERO);
        assert_eq!(Instant::from_micros(u64::MAX), Instant::FAR_FUTURE);
        assert_eq!(Instant::from_micros(u64::MAX - 1), Instant::FAR_FUTURE);
        assert!(Instant::from_micros(u64::MAX - 2) < Instant::FAR_FUTURE);
        assert_eq!(Instant::from_millis(7) + Duration::MAX, Instant::FAR_FUTURE);
        assert_eq!(Instant::ZERO - Instant::from_micros(1), Duration::ZERO);
        assert_eq!(Instant::from_millis(2).as_micros(), 2_000);
    }

    #[test]
    fn an_instant_that_may_be_absent_takes_no_more_room() {
        assert_eq!(size_of::<Option<Instant>>(), size_of::<Instant>());
    }
}
