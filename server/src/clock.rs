//! The one place where the shell's time becomes the pure crates' time.

use std::time::{Duration, SystemTime};

use store::clock::Note;
use tokio::time::Instant as Monotonic;

/// A monotonic clock that counts from the Unix epoch, as far as the system knows the date when it
/// starts. It never jumps, whatever becomes of the system's date: machines without a battery start
/// with a date of long ago and are put right by the network.
///
/// What is stored is dated by it, so the clock of the next run goes on from the [`Note`] that
/// this one leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Monotonic,
    /// What it showed then.
    start: mqtt::Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self::starting_at(date())
    }

    /// Goes on from an earlier clock. As much time has passed as the date has gone on; none, if
    /// it has gone back.
    pub(crate) fn continuing(earlier: Note) -> Self {
        Self::starting_at(earlier.at(date()))
    }

    /// For the clock after this one.
    pub(crate) fn note(&self) -> Note {
        Note {
            shown: self.now(),
            date: date(),
        }
    }

    fn starting_at(start: mqtt::Instant) -> Self {
        Self {
            epoch: Monotonic::now(),
            start,
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

fn date() -> mqtt::Instant {
    mqtt::Instant::ZERO + since_1970()
}

/// The system's date. One that is before 1970 is no date at all.
pub(crate) fn since_1970() -> Duration {
    let date = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    date.unwrap_or_default()
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
    fn a_clock_goes_on_where_the_one_before_it_was() {
        let far = Note {
            shown: mqtt::Instant::from_millis(1_000),
            date: Clock::new().note().date,
        };
        let gone = Clock::continuing(far).now().saturating_since(far.shown);
        assert!(gone < Duration::from_mins(1), "{gone:?}");
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
