//! How long to wait before the next attempt.

use core::time::Duration;

use super::options::Reconnect;

/// Exponential backoff with jitter. The jitter comes from a seed, so a simulated run is the same
/// each time.
#[derive(Debug)]
pub(super) struct Backoff {
    options: Reconnect,
    failures: u32,
    random: SplitMix64,
}

impl Backoff {
    pub(super) const fn new(options: Reconnect, seed: u64) -> Self {
        Self {
            options,
            failures: 0,
            random: SplitMix64(seed),
        }
    }

    /// How many attempts have failed since the last [`reset`](Self::reset).
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Counts a failure, and returns how long to wait: between half of a span and the whole span.
    /// The span doubles with each failure.
    pub(super) fn fail(&mut self) -> Duration {
        let doublings = self.failures.min(31);
        self.failures = self.failures.saturating_add(1);
        let span = self
            .options
            .initial
            .saturating_mul(1 << doublings)
            .min(self.options.max);
        let half = span / 2;
        half + Duration::from_micros(self.random.below(micros(half).saturating_add(1)))
    }

    /// A connection lasted for `lasted`. Begins anew if that was long enough.
    pub(super) fn settle(&mut self, lasted: Duration) {
        if lasted >= self.options.stable_after {
            self.reset();
        }
    }

    /// Makes the next failure count as a first one.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Sebastiano Vigna's `SplitMix64`: eight bytes of state. It is good enough for jitter, but not for
/// anything that must not be guessed.
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: Reconnect = Reconnect {
        initial: Duration::from_secs(1),
        max: Duration::from_secs(30),
        stable_after: Duration::from_secs(10),
    };

    #[test]
    fn waits_grow_to_the_maximum_and_keep_their_jitter() {
        let mut backoff = Backoff::new(OPTIONS, 1);
        for span in [1, 2, 4, 8, 16, 30, 30, 30] {
            let wait = backoff.fail();
            let span = Duration::from_secs(span);
            assert!(wait >= span / 2 && wait <= span, "{wait:?} of {span:?}");
        }
        for _ in 0..100 {
            assert!(backoff.fail() <= OPTIONS.max);
        }
    }

    #[test]
    fn seeds_spread_a_fleet() {
        let mut waits: alloc::vec::Vec<_> = (0..100)
            .map(|seed| Backoff::new(OPTIONS, seed).fail())
            .collect();
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 90);
    }

    #[test]
    fn only_a_stable_connection_begins_anew() {
        let mut backoff = Backoff::new(OPTIONS, 1);
        backoff.fail();
        backoff.settle(Duration::from_secs(9));
        assert_eq!(backoff.failures(), 1);
        backoff.settle(Duration::from_secs(10));
        assert_eq!(backoff.failures(), 0);
    }
}
