//! When a device is awake.

use std::time::Duration;

/// A device's rhythm.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// From one waking, or one reading, to the next.
    pub(crate) every: Duration,
    /// How long it stays awake. `None`: it never sleeps.
    pub(crate) awake: Option<Duration>,
}

impl Schedule {
    /// What the founding documents' device does.
    pub(crate) const USUAL: Self = Self {
        every: Duration::from_secs(15),
        awake: Some(Duration::from_secs(5)),
    };

    /// When the next period begins, counted from the first waking. A device that was awake for too long,
    /// because the broker was away, keeps its rhythm and leaves periods out.
    pub(crate) fn next_period(&self, since_first: Duration) -> Duration {
        let every = self.every.as_nanos().max(1);
        let periods = since_first.as_nanos() / every + 1;
        let nanos = u64::try_from(periods.saturating_mul(every)).unwrap_or(u64::MAX);
        Duration::from_nanos(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_keeps_its_rhythm_whatever_happens() {
        let seconds = |it: f64| Duration::from_secs_f64(it);
        for (since, next) in [
            (0.0, 15.0),
            (5.2, 15.0),
            (14.999, 15.0),
            (15.0, 30.0),
            (61.0, 75.0),
        ] {
            assert_eq!(
                Schedule::USUAL.next_period(seconds(since)),
                seconds(next),
                "{since}"
            );
        }
        // Ten years.
        let long = Duration::from_hours(24 * 365 * 10);
        let next = Schedule::USUAL.next_period(long);
        assert!(next > long && next <= long + Duration::from_secs(15));
    }
}
