//! The page's monotonic clock. It goes on while the machine sleeps.

use core::cell::Cell;

use mqtt::Instant;
use web_sys::Performance;

/// Gives [`Instant`]s.
///
/// `performance.now()` never goes back, but in several browsers and systems it stands still while
/// the machine sleeps. A connection that died hours ago would then look fresh. `Date.now()` goes
/// on, but people and time servers set it. So this clock reads `performance.now()`. If `Date.now()`
/// has run ahead of that by more than [`Clock::JUMP_MS`], the machine has slept, and the clock adds
/// the difference. If somebody set the clock forward instead, that costs one PINGREQ.
pub struct Clock {
    performance: Option<Performance>,
    hands: Cell<Hands>,
    /// The wall clock at the epoch of the instants, in milliseconds.
    epoch: f64,
}

impl Clock {
    /// How far, in milliseconds, the wall clock must run ahead between two readings to
    /// count as a sleep.
    pub const JUMP_MS: f64 = 3_000.0;

    /// Begins at the page's own epoch.
    pub fn new() -> Self {
        let performance = crate::window().and_then(|window| window.performance());
        let (steady, wall) = read(performance.as_ref());
        Self {
            performance,
            hands: Cell::new(Hands {
                steady,
                wall,
                slept: 0.0,
            }),
            epoch: wall - steady,
        }
    }

    /// The time now.
    pub fn now(&self) -> Instant {
        self.tick().0
    }

    /// The time now, and for how many milliseconds the machine slept since the last call.
    pub(crate) fn tick(&self) -> (Instant, f64) {
        let (steady, wall) = read(self.performance.as_ref());
        let (hands, slept) = self.hands.get().advance(steady, wall);
        self.hands.set(hands);
        (hands.instant(), slept)
    }

    /// The wall-clock time of `at`, in milliseconds since the Unix epoch. It never goes back, even
    /// if somebody sets the machine's clock back.
    pub fn wall_ms(&self, at: Instant) -> f64 {
        // Exact up to 2^53 microseconds, 285 years.
        #[allow(clippy::cast_precision_loss)]
        let since_epoch = at.as_micros() as f64 / 1_000.0;
        self.epoch + since_epoch
    }
}

fn read(performance: Option<&Performance>) -> (f64, f64) {
    let wall = js_sys::Date::now();
    (performance.map_or(wall, Performance::now), wall)
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// The last readings of both clocks, in milliseconds.
#[derive(Copy, Clone, Debug, Default)]
struct Hands {
    steady: f64,
    wall: f64,
    slept: f64,
}

impl Hands {
    /// The hands after new readings of both clocks, and how long the machine slept in between.
    fn advance(self, steady: f64, wall: f64) -> (Self, f64) {
        let ahead = (wall - self.wall) - (steady - self.steady);
        let slept = if ahead > Clock::JUMP_MS { ahead } else { 0.0 };
        let hands = Self {
            // Without `performance` this is the wall clock, which may go back.
            steady: steady.max(self.steady),
            wall,
            slept: self.slept + slept,
        };
        (hands, slept)
    }

    fn instant(self) -> Instant {
        let micros = (self.steady + self.slept) * 1_000.0;
        // Negative and not-a-number become zero; 2^53 microseconds are 285 years.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Instant::from_micros(micros as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Hands = Hands {
        steady: 500.0,
        wall: 1_795_233_600_000.0,
        slept: 0.0,
    };

    #[test]
    fn both_clocks_together_are_no_sleep() {
        let (hands, slept) = START.advance(1_500.0, START.wall + 1_002.0);
        assert_eq!(slept.to_bits(), 0.0f64.to_bits());
        assert_eq!(hands.instant(), Instant::from_millis(1_500));
    }

    #[test]
    fn a_clock_that_stood_still_catches_up() {
        let (hands, slept) = START.advance(600.0, START.wall + 3_600_100.0);
        assert!((slept - 3_600_000.0).abs() < 1.0);
        assert_eq!(hands.instant(), Instant::from_millis(3_600_600));
        let (hands, slept) = hands.advance(700.0, START.wall + 3_600_200.0);
        assert!(slept.abs() < 1.0);
        assert_eq!(hands.instant(), Instant::from_millis(3_600_700));
    }

    #[test]
    fn a_wall_clock_set_back_changes_nothing() {
        let (hands, slept) = START.advance(1_500.0, START.wall - 86_400_000.0);
        assert!(slept.abs() < 1.0);
        assert_eq!(hands.instant(), Instant::from_millis(1_500));
        // Without `performance` the wall clock is all there is: time then stands still.
        let (hands, _) = START.advance(100.0, START.wall - 400.0);
        assert_eq!(hands.instant(), Instant::from_millis(500));
    }
}
