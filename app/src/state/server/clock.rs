//! The server's clock, as far as its answers tell.
//!
//! A viewer's clock may be minutes off. If the page judged by it, it would accuse devices of wrong
//! clocks, and its charts would end in the future or be empty.

/// The difference between the server's clock and ours.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerClock {
    /// What must be added to our time, in milliseconds. `None` until the server has told its time.
    ahead_ms: Option<i64>,
}

impl ServerClock {
    /// An answer can be this late, in milliseconds, and still say more about its way than about the
    /// clocks.
    const LATEST_MS: i64 = 5_000;

    /// An answer said that it is `theirs`, when our own clock says `ours`.
    ///
    /// Each answer was under way for a while, so each makes the server's clock look too slow. The one
    /// that makes it look fastest was under way for the shortest time, and counts. A much slower one means
    /// that a clock was set.
    pub fn note(&mut self, theirs: i64, ours: i64) {
        let ahead = theirs.saturating_sub(ours);
        let keeps = self
            .ahead_ms
            .is_some_and(|known| ahead <= known && ahead > known - Self::LATEST_MS);
        if !keeps {
            self.ahead_ms = Some(ahead);
        }
    }

    /// The server's time when our own clock says `ours`, in milliseconds since 1970.
    pub fn at(&self, ours: i64) -> i64 {
        ours.saturating_add(self.ahead_ms.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_that_was_fastest_counts_and_a_clock_that_was_set_is_noticed() {
        let mut clock = ServerClock::default();
        assert_eq!(clock.at(1_000), 1_000, "nothing is known");
        // Ours is ten minutes behind, and the way takes 200, 40 and 900 ms.
        for way in [200, 40, 900] {
            clock.note(600_000, way);
        }
        assert_eq!(clock.at(40), 600_000);
        // Somebody sets ours right.
        clock.note(700_000, 700_100);
        assert_eq!(clock.at(700_100), 700_000);
    }
}
