//! How many connections there may be, and how many there were.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::memory;
use crate::platform;

/// Counts open connections of all listeners together against the limits.
///
/// The counters are statistics: nothing else is ordered by them, so `Relaxed` will do.
#[derive(Debug)]
pub(crate) struct Limits {
    max: usize,
    max_per_address: usize,
    open: AtomicUsize,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    accepted: AtomicU64,
    refused: AtomicU64,
    refused_address: AtomicU64,
    accept_errors: AtomicU64,
    head_timeouts: AtomicU64,
}

/// The right to be one of the open connections; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    limits: Arc<Limits>,
    /// What it is counted as, if it is.
    address: Option<IpAddr>,
}

/// Why there is no place for one more connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// All places are taken.
    Everywhere,
    /// Its address has all that one may have.
    Address,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) max: usize,
    pub(crate) open: usize,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) refused_address: u64,
    pub(crate) accept_errors: u64,
    pub(crate) head_timeouts: u64,
}

impl Limits {
    /// At most `max` connections, and `max_per_address` from one address.
    pub(crate) fn new(max: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            max_per_address,
            open: AtomicUsize::new(0),
            by_address: Mutex::default(),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refused_address: AtomicU64::new(0),
            accept_errors: AtomicU64::new(0),
            head_timeouts: AtomicU64::new(0),
        })
    }

    /// A place for one more connection, or why there is none; both are counted.
    pub(crate) fn acquire(self: &Arc<Self>, from: IpAddr) -> Result<Permit, Full> {
        let taken = self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                (open < self.max).then_some(open + 1)
            });
        if taken.is_err() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(Full::Everywhere);
        }
        let mut permit = Permit {
            limits: Arc::clone(self),
            address: None,
        };
        if let Some(address) = counted_as(from) {
            let mut by_address = self.by_address();
            let open = by_address.entry(address).or_default();
            if *open >= self.max_per_address {
                self.refused_address.fetch_add(1, Ordering::Relaxed);
                return Err(Full::Address);
            }
            *open += 1;
            permit.address = Some(address);
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(permit)
    }

    pub(crate) fn count_accept_error(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was closed because no HTTP request came.
    pub(crate) fn count_head_timeout(&self) {
        self.head_timeouts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn max_per_address(&self) -> usize {
        self.max_per_address
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            max: self.max,
            open: self.open.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            refused_address: self.refused_address.load(Ordering::Relaxed),
            accept_errors: self.accept_errors.load(Ordering::Relaxed),
            head_timeouts: self.head_timeouts.load(Ordering::Relaxed),
        }
    }

    /// A panic while it was held cannot have left numbers that mean nothing.
    fn by_address(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limits.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            let mut by_address = self.limits.by_address();
            if let Some(open) = by_address.get_mut(&address) {
                *open -= 1;
                if *open == 0 {
                    by_address.remove(&address);
                    if let Some(less) = memory::less(by_address.len(), by_address.capacity()) {
                        by_address.shrink_to(less);
                    }
                }
            }
        }
    }
}

/// Whom a connection from `address` is counted to. Nobody, if it comes from this machine: those
/// are tests, simulated devices, and what a reverse proxy passes on. A network of IPv6 gives
/// each host 2^64 addresses, so its first half is what counts.
fn counted_as(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    if address.is_loopback() {
        return None;
    }
    Some(match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    })
}

/// What happens at a limit of the broker's, and the flags that change it, for the log.
pub(crate) const fn describe(limit: broker::Limit) -> &'static str {
    use broker::Limit;
    match limit {
        Limit::Connections => "too many connections, refused (--max-connections)",
        Limit::SessionsEvicted => {
            "too many sessions, one that was absent for long ended for a new client (--max-sessions)"
        }
        Limit::PublishRate => "publishes too fast, not read for a while (--max-publish-rate)",
        Limit::Sessions => "too many sessions, a new client is refused (--max-sessions)",
        Limit::ConnectTimeout => "no CONNECT in time, closed (--connect-timeout)",
        Limit::EarlyBytes => "too much sent before CONNACK, refused (--max-early-bytes)",
        Limit::PacketSize => "packet too large, closed (--max-packet-size)",
        Limit::ClientPacketSize => {
            "a message larger than the Maximum Packet Size of the client itself, not sent to it"
        }
        Limit::ReceiveMaximum => "too many unacknowledged messages, closed (--receive-maximum)",
        Limit::TopicBytes => "topic name or filter too long, refused (--max-topic-length)",
        Limit::TopicLevels => "topic name or filter too deep, refused (--max-topic-levels)",
        Limit::ServerTopic => {
            "published to a topic that starts with $, refused: those are the server's own"
        }
        Limit::PublishRule => {
            "published to a topic that it may not publish to, refused (--deny-publish)"
        }
        Limit::SubscribeRule => {
            "subscribed to a filter that it may not subscribe to, refused (--deny-subscribe)"
        }
        Limit::ShareName => {
            "malformed shared subscription, refused: it should be $share/NAME/FILTER"
        }
        Limit::TopicAlias => "topic alias too high, closed (--max-topic-alias)",
        Limit::PayloadFormat => {
            "the payload says that it is UTF-8 and is not, refused (--check-payload-format)"
        }
        Limit::Subscriptions => {
            "too many subscriptions, refused (--max-subscriptions, --max-subscription-bytes, --max-all-subscriptions-bytes)"
        }
        Limit::Queue => {
            "queue full, messages are lost to the client (--max-queued-messages, --max-queued-bytes, --max-all-queues-bytes, --queue-full)"
        }
        Limit::Will => {
            "will too large, or all wills together, refused (--max-will-size, --max-all-wills-bytes)"
        }
        Limit::Partial => {
            "too much held for unfinished packets, the worst is closed (--max-all-partial-bytes)"
        }
        Limit::Memory => "memory full, new messages and new clients are refused (--max-memory)",
        Limit::SlowReader => {
            "does not read fast enough, QoS 0 messages to it are dropped (--max-out-buffer, --max-all-out-buffers)"
        }
        Limit::NotReading => "does not read its answers, closed (--max-out-buffer)",
        Limit::Retained => {
            "no room for another retained message, delivered but not kept (--max-retained-messages, --max-retained-bytes)"
        }
        Limit::RetainedLookups => {
            "retained messages asked for with too many filters at once, not sent (--max-subscriptions)"
        }
        Limit::JournalBacklog => {
            "the store is behind with writing, not read for a while (--max-journal-backlog)"
        }
        Limit::RecordSize => {
            "a record is too long for the journal: nothing that would have to be stored is acknowledged any more"
        }
        Limit::Store => {
            "the store is full, what would have to be stored is refused (--max-store-size, or the disk of --data has no room)"
        }
    }
}

/// The flags that have to do with it, for the log, where a connection was closed at a limit that is
/// not [described](describe) for that client, or for what belongs elsewhere.
pub(crate) fn flags_of(cause: &broker::CloseCause) -> &'static str {
    if let broker::CloseCause::Limit { what, .. } = cause
        && *what == broker::TOO_SLOW
    {
        return " (--max-queued-messages, --max-queued-bytes, --max-all-queues-bytes, --queue-full)";
    }
    if let broker::CloseCause::Protocol(mqtt::ProtocolError::Violation { what, .. }) = cause
        && *what == broker::LOOKS_LIKE_HTTP
    {
        return " (the dashboard and WebSockets are on the port of --http)";
    }
    ""
}

/// Lets this process open as many files as the system allows it. Answers how many connections that
/// leaves room for.
pub(crate) fn raise_open_files() -> usize {
    /// Listeners, the runtimes' own, standard streams, and some to spare.
    const OTHERS: u64 = 64;
    platform::raise_open_files().map_or(usize::MAX, |files| {
        usize::try_from(files.saturating_sub(OTHERS).max(1)).unwrap_or(usize::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn addresses_that_have_gone_take_no_room() {
        let limits = Limits::new(100_000, 1);
        let addresses = (0..10_000).map(|number| IpAddr::V4((0x0A00_0000 + number).into()));
        let permits: Vec<_> = addresses.map(|it| limits.acquire(it).unwrap()).collect();
        assert!(limits.by_address().capacity() >= 10_000);
        drop(permits);
        assert!(limits.by_address().capacity() < 2_048);
    }

    #[test]
    fn a_dropped_permit_makes_room() {
        let limits = Limits::new(2, 1);
        let first = limits.acquire(HERE).unwrap();
        let _second = limits.acquire(HERE).unwrap();
        assert_eq!(limits.acquire(HERE).unwrap_err(), Full::Everywhere);
        drop(first);
        let _third = limits.acquire(HERE).unwrap();
        let expected = Counts {
            max: 2,
            open: 2,
            accepted: 3,
            refused: 1,
            ..Counts::default()
        };
        assert_eq!(limits.counts(), expected);
    }

    #[test]
    fn one_address_does_not_get_all() {
        let limits = Limits::new(10, 2);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for (same, other) in [
            (["192.0.2.1", "::ffff:192.0.2.1"], "192.0.2.2"),
            (["2001:db8::1", "2001:db8::2:3"], "2001:db8:0:1::1"),
        ] {
            let first = limits.acquire(address(same[0])).unwrap();
            let _second = limits.acquire(address(same[1])).unwrap();
            assert_eq!(limits.acquire(address(same[0])).unwrap_err(), Full::Address);
            limits.acquire(address(other)).unwrap();
            drop(first);
            limits.acquire(address(same[1])).unwrap();
        }
        assert_eq!(limits.counts().refused_address, 2);
        assert_eq!(limits.counts().open, 0);
        assert!(limits.by_address().is_empty());
    }
}
