//! Random numbers from a seed: the same seed makes the same fleet.

use std::f64::consts::TAU;

/// A small generator (splitmix64). Good enough for weather, not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, but not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        let bits = u32::try_from(self.next_u64() >> 32).unwrap_or(0);
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Whether something happens within `dt` seconds that happens once in `every` on average.
    pub(crate) fn happens(&mut self, dt: f64, every: f64) -> bool {
        self.unit() < 1.0 - (-dt / every).exp()
    }

    /// A normally distributed number with mean 0 and standard deviation 1 (Box and Muller).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (TAU * self.unit()).cos()
    }
}

/// A value that wanders about zero and always comes back (Ornstein and Uhlenbeck).
#[derive(Clone, Debug)]
pub(crate) struct Drift {
    value: f64,
    /// Its standard deviation in the long run.
    spread: f64,
    /// The time in seconds after which a deviation has shrunk to 1/e of itself.
    memory: f64,
}

impl Drift {
    pub(crate) fn new(spread: f64, memory: f64, random: &mut Random) -> Self {
        Self {
            value: spread * random.normal(),
            spread,
            memory,
        }
    }

    pub(crate) fn step(&mut self, dt: f64, random: &mut Random) -> f64 {
        let kept = (-dt / self.memory).exp();
        // The value is bounded, so that every reading that depends on it stays plausible.
        let moved = self.value * kept + self.spread * (1.0 - kept * kept).sqrt() * random.normal();
        self.value = moved.clamp(-3.0 * self.spread, 3.0 * self.spread);
        self.value
    }

    pub(crate) const fn value(&self) -> f64 {
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_and_repeatable() {
        let mut random = Random::new(1);
        let numbers: Vec<f64> = (0..10_000).map(|_| random.unit()).collect();
        let mean = numbers.iter().sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
        assert!(numbers.iter().all(|n| (0.0..1.0).contains(n)));
        assert_eq!(Random::new(7).next_u64(), Random::new(7).next_u64());
    }

    #[test]
    fn a_drift_wanders_and_comes_back() {
        let mut random = Random::new(2);
        let mut drift = Drift::new(2.0, 60.0, &mut random);
        let values: Vec<f64> = (0..10_000).map(|_| drift.step(30.0, &mut random)).collect();
        let mean = values.iter().sum::<f64>() / 10_000.0;
        assert!(mean.abs() < 0.3, "{mean}");
        assert!(values.iter().any(|v| *v > 2.0) && values.iter().all(|v| v.abs() <= 6.0));
    }
}
