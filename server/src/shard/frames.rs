//! Frames for pages: messages to a browser leave together, at most so many times a second.
//!
//! A page draws at most once for each frame of its display, but every frame of a WebSocket costs
//! the browser a task, and a copy between its processes. So messages for a page wait for others
//! until the next frame may go, if frames have gone often lately. The first few go at once: a lone
//! message waits for nothing. Answers never wait, and take along what does.
//!
//! All pages wait for the same timer, which runs only while something waits.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use broker::Conn;
use mqtt::Instant;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How many frames may go in quick succession.
const BURST: u32 = 4;

/// How often frames go to one page.
#[derive(Debug, Default)]
pub(super) struct FramePace {
    /// When the next frame is due, if frames go evenly. It may go a [`BURST`] earlier.
    next: Cell<Instant>,
    /// Whether something waits for the timer.
    waits: Cell<bool>,
}

/// The pages for which something waits.
#[derive(Debug)]
pub(super) struct Gathering {
    /// The least time between two frames. `None`: nothing waits.
    interval: Option<Duration>,
    waiting: RefCell<Vec<Conn>>,
    begun: Notify,
    /// How often something had to wait.
    postponed: Cell<u64>,
}

impl Gathering {
    /// At most `per_second` frames a second. 0: any number.
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            interval: Duration::from_secs(1).checked_div(per_second),
            waiting: RefCell::default(),
            begun: Notify::new(),
            postponed: Cell::new(0),
        }
    }

    /// Whether a frame to this page must wait.
    pub(super) fn is_too_early(&self, now: Instant, pace: &FramePace) -> bool {
        self.interval
            .is_some_and(|interval| now + interval * BURST < pace.next.get())
    }

    /// Notes that something for this page waits.
    pub(super) fn add(&self, conn: Conn, pace: &FramePace) {
        self.postponed.set(self.postponed.get() + 1);
        if !pace.waits.replace(true) {
            self.waiting.borrow_mut().push(conn);
            self.begun.notify_one();
        }
    }

    /// Notes that a frame goes to this page.
    pub(super) fn note_frame(&self, now: Instant, pace: &FramePace) {
        let Some(interval) = self.interval else {
            return;
        };
        let latest = now + interval * BURST;
        pace.next
            .set(pace.next.get().max(now).min(latest) + interval);
    }

    /// Notes that what waits for this page goes. Returns whether anything waited for the timer.
    pub(super) fn end_wait(pace: &FramePace) -> bool {
        pace.waits.replace(false)
    }

    /// Waits until something waits, and then until it may go. Returns the pages.
    pub(super) async fn next(&self) -> Vec<Conn> {
        self.begun.notified().await;
        if let Some(interval) = self.interval {
            sleep(interval).await;
        }
        self.waiting.take()
    }

    /// How often something had to wait.
    pub(super) fn postponed(&self) -> u64 {
        self.postponed.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(gathering: &Gathering, every: Duration, count: u32) -> usize {
        let pace = FramePace::default();
        let start = Instant::from_millis(1_000_000);
        let times = (0..count).map(|number| start + every * number);
        let go = times.filter(|now| {
            let goes = !gathering.is_too_early(*now, &pace);
            if goes {
                gathering.note_frame(*now, &pace);
            }
            goes
        });
        go.count()
    }

    #[test]
    fn only_what_comes_too_often_waits() {
        let gathering = Gathering::new(60);
        // Every 20 ms: never.
        assert_eq!(frames(&gathering, Duration::from_millis(20), 500), 500);
        // Every 2 ms for a second.
        let often = frames(&gathering, Duration::from_millis(2), 500);
        assert!((60..=66).contains(&often), "{often}");
        let burst = frames(&gathering, Duration::ZERO, 100);
        assert_eq!(burst, BURST as usize + 1);
        let all = Gathering::new(0);
        assert_eq!(frames(&all, Duration::ZERO, 100), 100);
    }

    /// Answers go at once, so frames can go more often than they may. Messages do not pay for that
    /// for long.
    #[test]
    fn a_flood_of_answers_delays_messages_no_longer_than_one_frame() {
        let gathering = Gathering::new(60);
        let pace = FramePace::default();
        let now = Instant::from_millis(1_000_000);
        for _ in 0..10_000 {
            gathering.note_frame(now, &pace);
        }
        assert!(gathering.is_too_early(now, &pace));
        assert!(!gathering.is_too_early(now + Duration::from_millis(17), &pace));
    }
}
