//! The one place where the shell's time becomes the pure crates' time.

use std::time::{Duration, SystemTime};

use store::clock::Note;
use tokio::time::Instant as Monotonic;

/// A monotonic clock that counts from the Unix epoch. It begins with the system's date and never
/// jumps when that date is corrected. Machines without a battery start with an old date and get the
/// right one from the network.
///
/// It dates what is stored, so the clock of the next run continues from the [`Note`] that this one
/// leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Monotonic,
    /// What the clock showed at `epoch`.
    start: mqtt::Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self::starting_at(date())
    }

    /// Continues from an earlier clock. The time between is the difference of the dates, or none if
    /// the date has gone back.
    pub(crate) fn continuing(earlier: Note) -> Self {
        Self::starting_at(earlier.at(date()))
    }

    /// A note for the clock of the next run.
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

    /// The time now, for the pure crates.
    pub(crate) fn now(&self) -> mqtt::Instant {
        self.start + self.epoch.elapsed()
    }

    /// When the runtime's timer must fire for `instant`.
    ///
    /// A time that is never reached becomes one that is years away, which has the same effect.
    pub(crate) fn deadline(&self, instant: mqtt::Instant) -> Monotonic {
        const YEARS: Duration = Duration::from_hours(24 * 365 * 10);
        self.epoch + instant.saturating_since(self.start).min(YEARS)
    }
}

fn date() -> mqtt::Instant {
    mqtt::Instant::ZERO + since_1970()
}

/// The system's date, as the time since 1970. A date before 1970 counts as 1970.
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
    fn a_clock_continues_from_the_one_before_it() {
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
