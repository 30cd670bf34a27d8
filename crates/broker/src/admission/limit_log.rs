//! The rate-limited log of limits that were reached.
//!
//! The log reports each limit at most once in five seconds, and says how often it was reached since
//! the last report. The counters in [`Metrics`](crate::Metrics) count every time.

use std::collections::VecDeque;

use core::time::Duration;

use mqtt::{Instant, Utf8String};

use crate::types::Limit;

/// A report for the log: a limit was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitReached {
    /// The limit.
    pub limit: Limit,
    /// The last client that reached it. `None` if that is not known.
    pub client_id: Option<Utf8String>,
    /// How often it was reached since the last report.
    pub count: u64,
}

/// Reports that wait for the log, and what the log already knows of each limit.
#[derive(Debug, Default)]
pub(crate) struct LimitLog {
    /// The time of the input that is being handled.
    now: Instant,
    /// Each limit that was ever reached.
    states: Vec<LimitState>,
    pending: VecDeque<LimitReached>,
}

/// What the log knows of one limit.
#[derive(Debug)]
struct LimitState {
    limit: Limit,
    /// Nothing is reported before this time.
    silent_until: Instant,
    /// How often it was reached since the last report.
    count: u64,
    /// The last client that reached it.
    client_id: Option<Utf8String>,
}

impl LimitLog {
    const INTERVAL: Duration = Duration::from_secs(5);

    /// Sets the time of the next input, and reports every limit whose five seconds of silence are
    /// over.
    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = now;
        for it in &mut self.states {
            if it.count > 0 && it.silent_until <= now {
                it.silent_until = now + Self::INTERVAL;
                self.pending.push_back(it.take_report());
            }
        }
    }

    /// When the next report is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        let untold = self.states.iter().filter(|it| it.count > 0);
        untold.map(|it| it.silent_until).min()
    }

    /// Notes that `client` reached `limit`.
    pub(crate) fn note(&mut self, limit: Limit, client: Option<&Utf8String>) {
        self.note_times(limit, client, 1);
    }

    /// Notes that `limit` was reached `times` times, the last time by `client`.
    pub(crate) fn note_times(&mut self, limit: Limit, client: Option<&Utf8String>, times: u64) {
        let known = self.states.iter().position(|it| it.limit == limit);
        let at = known.unwrap_or_else(|| {
            self.states.push(LimitState {
                limit,
                silent_until: self.now,
                count: 0,
                client_id: None,
            });
            self.states.len() - 1
        });
        let it = &mut self.states[at];
        it.count += times;
        it.client_id = client.cloned();
        if it.silent_until <= self.now {
            it.silent_until = self.now + Self::INTERVAL;
            self.pending.push_back(it.take_report());
        }
    }

    /// Takes the next report.
    pub(crate) fn pop(&mut self) -> Option<LimitReached> {
        self.pending.pop_front()
    }
}

impl LimitState {
    fn take_report(&mut self) -> LimitReached {
        LimitReached {
            limit: self.limit,
            client_id: self.client_id.take().as_ref().map(Utf8String::detach),
            count: core::mem::take(&mut self.count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_reported_once_and_counted() {
        let mut limit_log = LimitLog::default();
        let client = Utf8String::try_from("a").unwrap();
        for _ in 0..100 {
            limit_log.note(Limit::Sessions, Some(&client));
            limit_log.note(Limit::Will, None);
        }
        let told: Vec<_> = core::iter::from_fn(|| limit_log.pop()).collect();
        assert_eq!(told.len(), 2);
        assert_eq!((told[0].limit, told[0].count), (Limit::Sessions, 1));
        assert_eq!(told[0].client_id.as_deref(), Some("a"));
        // The later ones are reported even if nothing else happens.
        assert_eq!(limit_log.next(), Some(Instant::from_millis(5_000)));
        limit_log.set_now(Instant::from_millis(5_000));
        assert_eq!(limit_log.pop().unwrap().count, 99);
        assert_eq!(limit_log.pop().unwrap().count, 99);
        assert_eq!((limit_log.pop(), limit_log.next()), (None, None));
    }
}
