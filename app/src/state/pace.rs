//! How often what has arrived is drawn.
//!
//! Layout and paint cost more than all else that the page does with a message. Nobody reads numbers
//! that change faster than ten times a second, so what arrives waits for up to a tenth of one. What the
//! user does is drawn in the next frame.

use std::time::Duration;

use mqtt::Instant;

/// When the next frame may draw what has arrived.
#[derive(Debug, Default)]
pub(super) struct Pace {
    drawn: Option<Instant>,
    /// Whether the next frame is on its way.
    asked: bool,
}

/// What to do so that what has arrived is drawn.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing: a frame or a timer is on its way.
    Already,
    /// Ask for a frame.
    Now,
    /// Ask for a frame after this time.
    In(Duration),
}

impl Pace {
    /// The least time between two frames that draw what has arrived.
    const PAUSE: Duration = Duration::from_millis(100);

    /// Something has arrived.
    pub(super) fn ask(&mut self, now: impl FnOnce() -> Instant) -> Due {
        if self.asked {
            return Due::Already;
        }
        self.asked = true;
        let next = self.drawn.map(|drawn| drawn + Self::PAUSE);
        let wait = next.map_or(Duration::ZERO, |next| next.saturating_since(now()));
        if wait.is_zero() {
            Due::Now
        } else {
            Due::In(wait)
        }
    }

    /// A frame draws what has arrived.
    pub(super) fn draw(&mut self, now: Instant) {
        self.asked = false;
        self.drawn = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> impl FnOnce() -> Instant {
        move || Instant::from_millis(millis)
    }

    #[test]
    fn a_stream_is_drawn_ten_times_a_second_and_its_first_message_at_once() {
        let mut pace = Pace::default();
        let mut frames = Vec::new();
        let mut next = None;
        for now in 1_000..2_000 {
            match pace.ask(at(now)) {
                Due::Already => {}
                Due::Now => next = Some(now),
                Due::In(wait) => next = Some(now + u64::try_from(wait.as_millis()).unwrap()),
            }
            if next == Some(now) {
                pace.draw(Instant::from_millis(now));
                frames.push(now);
                next = None;
            }
        }
        let expected: Vec<u64> = (0..10).map(|frame| 1_000 + 100 * frame).collect();
        assert_eq!(frames, expected);
        pace.draw(Instant::from_millis(2_000));
        assert_eq!(pace.ask(at(5_000)), Due::Now, "it was quiet");
        assert_eq!(pace.ask(at(5_001)), Due::Already);
    }
}
