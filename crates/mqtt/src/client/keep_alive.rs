//! Detects whether the other side is still there (section 3.1.2.10).

use core::time::Duration;

use super::state::{DisconnectCause, Timer};
use crate::time::Instant;

/// Measures silence on one connection.
///
/// Only the time that has passed counts, not how often or how punctually the shell asks. Browsers
/// slow down the timers of hidden pages, and laptops sleep.
#[derive(Debug)]
pub(super) struct KeepAlive {
    /// Zero: the client sends no PINGREQ by itself.
    interval: Duration,
    last_sent: Instant,
    last_received: Instant,
    ping: Ping,
}

#[derive(Copy, Clone, Debug)]
enum Ping {
    /// No PINGREQ is under way.
    Idle,
    /// The next transmission must contain a PINGREQ.
    Due {
        /// How long its answer may take.
        timeout: Duration,
    },
    /// A PINGREQ was written. Anything that comes back counts as the answer.
    Awaiting {
        deadline: Instant,
        timeout: Duration,
        /// The client has moved the deadline once, because it had noticed the first one so late
        /// that the missing answer proved nothing.
        asked_again: bool,
    },
}

impl KeepAlive {
    pub(super) const fn new(now: Instant, keep_alive: u16) -> Self {
        Self {
            interval: Duration::from_secs(keep_alive as u64),
            last_sent: now,
            last_received: now,
            ping: Ping::Idle,
        }
    }

    /// Compares the deadlines with `now`: returns why the connection is dead, if it is.
    pub(super) fn check(
        &mut self,
        now: Instant,
        ping_timeout: Duration,
    ) -> Result<(), DisconnectCause> {
        let silence = now - self.last_sent;
        if !self.interval.is_zero() && silence > self.given_up_after() {
            return Err(DisconnectCause::Slept);
        }
        match self.ping {
            Ping::Idle => {
                if self.next_ping().is_some_and(|at| now >= at) {
                    self.ask(ping_timeout);
                }
            }
            Ping::Awaiting {
                deadline,
                timeout,
                asked_again,
            } if now >= deadline => {
                // The shell noticed the deadline so late that the answer may have arrived without
                // being read.
                let late = now - deadline > timeout;
                if !late || asked_again {
                    return Err(DisconnectCause::PingTimeout);
                }
                self.ping = Ping::Awaiting {
                    deadline: now + timeout,
                    timeout,
                    asked_again: true,
                };
            }
            Ping::Due { .. } | Ping::Awaiting { .. } => {}
        }
        Ok(())
    }

    /// Asks at once, unless an answer is due sooner anyway.
    pub(super) fn probe(&mut self, now: Instant, timeout: Duration) {
        match self.ping {
            Ping::Awaiting { deadline, .. } if deadline <= now + timeout => {}
            Ping::Idle | Ping::Due { .. } | Ping::Awaiting { .. } => self.ask(timeout),
        }
    }

    fn ask(&mut self, timeout: Duration) {
        self.ping = Ping::Due { timeout };
    }

    /// Whether a PINGREQ must be written now `[MQTT-3.1.2-20]`. If so, it counts as written from
    /// here on.
    pub(super) fn take_ping(&mut self, now: Instant) -> bool {
        let Ping::Due { timeout } = self.ping else {
            return false;
        };
        self.ping = Ping::Awaiting {
            deadline: now + timeout,
            timeout,
            asked_again: false,
        };
        true
    }

    /// Notes that the client handed something to the transport.
    pub(super) const fn sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    /// Notes that something has come.
    pub(super) const fn received(&mut self, now: Instant) {
        self.last_received = now;
        self.ping = Ping::Idle;
    }

    /// When to check again.
    pub(super) fn next(&self) -> Option<(Instant, Timer)> {
        match self.ping {
            Ping::Idle => self.next_ping().map(|at| (at, Timer::KeepAlive)),
            Ping::Due { .. } if self.interval.is_zero() => None,
            Ping::Due { .. } => {
                let given_up = self.last_sent + self.given_up_after();
                Some((given_up + Duration::from_micros(1), Timer::KeepAlive))
            }
            Ping::Awaiting { deadline, .. } => Some((deadline, Timer::PingResponse)),
        }
    }

    /// When to send a PINGREQ: after three quarters of the keep alive in which the client has sent
    /// nothing, or has received nothing. The last quarter covers the network's delay and late
    /// timers.
    fn next_ping(&self) -> Option<Instant> {
        if self.interval.is_zero() {
            return None;
        }
        Some(self.last_sent.min(self.last_received) + self.interval * 3 / 4)
    }

    /// After this time the server gives up the connection `[MQTT-3.1.2-22]`.
    fn given_up_after(&self) -> Duration {
        self.interval * 3 / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1_000)
    }

    #[test]
    fn mqtt_3_1_2_20_asks_within_the_keep_alive() {
        let mut keep_alive = KeepAlive::new(at(0), 60);
        assert_eq!(keep_alive.next(), Some((at(45), Timer::KeepAlive)));
        keep_alive.check(at(44), TIMEOUT).unwrap();
        assert!(!keep_alive.take_ping(at(44)));
        keep_alive.check(at(45), TIMEOUT).unwrap();
        assert!(keep_alive.take_ping(at(45)));
        keep_alive.sent(at(45));
        assert_eq!(keep_alive.next(), Some((at(55), Timer::PingResponse)));
        keep_alive.received(at(46));
        assert_eq!(keep_alive.next(), Some((at(90), Timer::KeepAlive)));
    }

    #[test]
    fn a_client_that_sends_all_the_time_still_pings_when_nothing_comes_back() {
        let mut keep_alive = KeepAlive::new(at(0), 60);
        keep_alive.sent(at(44));
        keep_alive.check(at(45), TIMEOUT).unwrap();
        assert!(keep_alive.take_ping(at(45)));
    }

    #[test]
    fn no_answer_in_time_is_the_end() {
        let mut keep_alive = KeepAlive::new(at(0), 60);
        keep_alive.check(at(45), TIMEOUT).unwrap();
        keep_alive.take_ping(at(45));
        keep_alive.sent(at(45));
        keep_alive.check(at(54), TIMEOUT).unwrap();
        assert_eq!(
            keep_alive.check(at(55), TIMEOUT),
            Err(DisconnectCause::PingTimeout)
        );
    }

    #[test]
    fn a_deadline_that_is_noticed_late_is_asked_again_once() {
        let mut keep_alive = KeepAlive::new(at(0), 60);
        keep_alive.check(at(45), TIMEOUT).unwrap();
        keep_alive.take_ping(at(45));
        keep_alive.sent(at(45));
        keep_alive.check(at(80), TIMEOUT).unwrap();
        assert_eq!(keep_alive.next(), Some((at(90), Timer::PingResponse)));
        assert_eq!(
            keep_alive.check(at(90), TIMEOUT),
            Err(DisconnectCause::PingTimeout)
        );
    }

    #[test]
    fn mqtt_3_1_2_22_after_a_sleep_the_connection_counts_as_dead() {
        let mut keep_alive = KeepAlive::new(at(0), 60);
        keep_alive.check(at(90), TIMEOUT).unwrap();
        assert_eq!(
            keep_alive.check(at(91), TIMEOUT),
            Err(DisconnectCause::Slept)
        );
    }

    #[test]
    fn section_3_1_2_10_zero_switches_it_off_but_a_probe_still_asks() {
        let mut keep_alive = KeepAlive::new(at(0), 0);
        keep_alive.check(at(1_000_000), TIMEOUT).unwrap();
        assert_eq!(keep_alive.next(), None);
        keep_alive.probe(at(1_000_000), Duration::from_secs(3));
        assert!(keep_alive.take_ping(at(1_000_000)));
        assert_eq!(
            keep_alive.check(at(1_000_003), TIMEOUT),
            Err(DisconnectCause::PingTimeout)
        );
    }
}
