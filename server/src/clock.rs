//! The one place where the shell's time becomes the pure crates' time.

use std::time::{Duration, SystemTime};

use tokio::time::Instant as Monotonic;

/// A monotonic clock that counts from the Unix epoch, so that what was stored means the same after
/// a restart. It asks the system for the date once: it never jumps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Monotonic,
    /// What it showed then.
    start: mqtt::Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let date = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            epoch: Monotonic::now(),
            // A system that thinks it is before 1970 knows no date at all.
            start: mqtt::Instant::ZERO + date.unwrap_or_default(),
        }
    }

    /// The present, for the pure crates.
    pub(crate) fn now(&self) -> mqtt::Instant {
        self.start + self.epoch.elapsed()
    }

    /// When the runtime's timer must fire for `instant`.
    ///
    /// A point that is never reached becomes one of years ahead, which is as good.
    pub(crate) fn deadline(&self, instant: mqtt::Instant) -> Monotonic {
        const YEARS: Duration = Duration::from_hours(24 * 365 * 10);
        self.epoch + instant.saturating_since(self.start).min(YEARS)
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
        assert!(clock.deadline(mqtt::Instant::ZERO) <= Monotonic::now());
    }

    #[test]
    fn it_shows_the_date() {
        let date = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let shown = Duration::from_micros(Clock::new().now().as_micros());
        assert!(
            shown.abs_diff(date) < Duration::from_mins(1),
            "{shown:?} {date:?}"
        );
    }
}
