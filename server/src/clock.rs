//! The one place where the shell's time becomes the pure crates' time.

use std::time::Duration;

use tokio::time::Instant as Monotonic;

/// A monotonic clock whose epoch is when it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Monotonic,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            epoch: Monotonic::now(),
        }
    }

    /// The present, for the pure crates.
    pub(crate) fn now(&self) -> mqtt::Instant {
        mqtt::Instant::ZERO + self.epoch.elapsed()
    }

    /// When the runtime's timer must fire for `instant`.
    ///
    /// A point that is never reached becomes one of years ahead, which is as good.
    pub(crate) fn deadline(&self, instant: mqtt::Instant) -> Monotonic {
        const YEARS: Duration = Duration::from_hours(24 * 365 * 10);
        self.epoch + instant.saturating_since(mqtt::Instant::ZERO).min(YEARS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_and_now_share_an_epoch() {
        let clock = Clock::new();
        let now = clock.now();
        let deadline = clock.deadline(now + Duration::from_secs(5));
        let left = deadline.saturating_duration_since(Monotonic::now());
        assert!(
            left <= Duration::from_secs(5) && left > Duration::from_secs(4),
            "{left:?}"
        );
        let _ = clock.deadline(mqtt::Instant::FAR_FUTURE);
    }
}
