//! What is said when a limit bites: at most once in five seconds for each limit, with how
//! often it did. The counters in [`Metrics`](crate::Metrics) count every time.

use std::collections::VecDeque;

use core::time::Duration;

use mqtt::{Instant, Utf8String};

use crate::limits::Limit;

/// A limit was reached: for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitReached {
    /// Which.
    pub limit: Limit,
    /// The last client that met it; `None` where that is not known.
    pub client_id: Option<Utf8String>,
    /// How often it was met since it was last told.
    pub count: u64,
}

/// What is to be said, and what was said lately.
#[derive(Debug, Default)]
pub(crate) struct Bites {
    /// The time of the input that is being handled.
    now: Instant,
    /// For each limit that was ever reached: until when nothing is said, and how often it
    /// was reached since.
    lately: Vec<(Limit, Instant, u64)>,
    to_tell: VecDeque<LimitReached>,
}

impl Bites {
    const SILENCE: Duration = Duration::from_secs(5);

    /// Another input is handled.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    /// `limit` was reached by `client`.
    pub(crate) fn note(&mut self, limit: Limit, client: Option<&Utf8String>) {
        let until = self.now + Self::SILENCE;
        let known = self.lately.iter_mut().find(|(known, ..)| *known == limit);
        let count = if let Some((_, silent_until, count)) = known {
            *count += 1;
            if self.now < *silent_until {
                return;
            }
            *silent_until = until;
            core::mem::take(count)
        } else {
            self.lately.push((limit, until, 0));
            1
        };
        self.to_tell.push_back(LimitReached {
            limit,
            client_id: client.map(Utf8String::detach),
            count,
        });
    }

    /// The next to be told.
    pub(crate) fn pop(&mut self) -> Option<LimitReached> {
        self.to_tell.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_told_once_and_counted() {
        let mut bites = Bites::default();
        let client = Utf8String::try_from("a").unwrap();
        for _ in 0..100 {
            bites.note(Limit::Sessions, Some(&client));
            bites.note(Limit::Will, None);
        }
        let told: Vec<_> = core::iter::from_fn(|| bites.pop()).collect();
        assert_eq!(told.len(), 2);
        assert_eq!((told[0].limit, told[0].count), (Limit::Sessions, 1));
        assert_eq!(told[0].client_id.as_deref(), Some("a"));
        bites.set_now(Instant::from_millis(5_000));
        bites.note(Limit::Sessions, None);
        assert_eq!(bites.pop().unwrap().count, 100);
    }
}
