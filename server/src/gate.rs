//! Limits how many TCP connections may be open, in all and from one address, and counts them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::{memory, platform};

/// Counts the open connections of all listeners together, and refuses those above the limits.
///
/// The counters are statistics. Nothing else depends on their order, so `Relaxed` is enough.
#[derive(Debug)]
pub(crate) struct ConnectionGate {
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

/// The right to be one of the open connections. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Arc<ConnectionGate>,
    /// The address that the connection counts for, if any.
    address: Option<IpAddr>,
}

/// Why one more connection is refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are as many connections as are allowed.
    Everywhere,
    /// The address of the new connection has as many connections as are allowed.
    Address,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConnectionCounts {
    pub(crate) max: usize,
    pub(crate) open: usize,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) refused_address: u64,
    pub(crate) accept_errors: u64,
    pub(crate) head_timeouts: u64,
}

impl ConnectionGate {
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

    /// Gives a permit for one more connection, or says why it is refused. Counts both.
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
            gate: Arc::clone(self),
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

    /// Counts a failure of the operating system to hand over a new connection.
    pub(crate) fn count_accept_error(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was closed because no HTTP request came in time.
    pub(crate) fn count_head_timeout(&self) {
        self.head_timeouts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn max_per_address(&self) -> usize {
        self.max_per_address
    }

    pub(crate) fn counts(&self) -> ConnectionCounts {
        ConnectionCounts {
            max: self.max,
            open: self.open.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            refused_address: self.refused_address.load(Ordering::Relaxed),
            accept_errors: self.accept_errors.load(Ordering::Relaxed),
            head_timeouts: self.head_timeouts.load(Ordering::Relaxed),
        }
    }

    // A panic while the lock was held cannot have left wrong numbers.
    fn by_address(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            let mut by_address = self.gate.by_address();
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

/// The address that a connection from `address` counts for. None if it comes from this machine:
/// tests, simulated devices and reverse proxies connect from there. An IPv6 network gives each host
/// 2^64 addresses, so only the first half of the address counts.
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

/// Lets this process open as many files as the system allows. Returns how many connections are
/// possible then.
pub(crate) fn raise_open_files() -> usize {
    /// Files for listeners, runtimes, standard streams and the store, and some to spare.
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
    fn addresses_that_have_gone_take_no_memory() {
        let gate = ConnectionGate::new(100_000, 1);
        let addresses = (0..10_000).map(|number| IpAddr::V4((0x0A00_0000 + number).into()));
        let permits: Vec<_> = addresses.map(|it| gate.acquire(it).unwrap()).collect();
        assert!(gate.by_address().capacity() >= 10_000);
        drop(permits);
        assert!(gate.by_address().capacity() < 2_048);
    }

    #[test]
    fn a_dropped_permit_makes_room() {
        let gate = ConnectionGate::new(2, 1);
        let first = gate.acquire(HERE).unwrap();
        let _second = gate.acquire(HERE).unwrap();
        assert_eq!(gate.acquire(HERE).unwrap_err(), Full::Everywhere);
        drop(first);
        let _third = gate.acquire(HERE).unwrap();
        let expected = ConnectionCounts {
            max: 2,
            open: 2,
            accepted: 3,
            refused: 1,
            ..ConnectionCounts::default()
        };
        assert_eq!(gate.counts(), expected);
    }

    #[test]
    fn one_address_does_not_get_all() {
        let gate = ConnectionGate::new(10, 2);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for (same, other) in [
            (["192.0.2.1", "::ffff:192.0.2.1"], "192.0.2.2"),
            (["2001:db8::1", "2001:db8::2:3"], "2001:db8:0:1::1"),
        ] {
            let first = gate.acquire(address(same[0])).unwrap();
            let _second = gate.acquire(address(same[1])).unwrap();
            assert_eq!(gate.acquire(address(same[0])).unwrap_err(), Full::Address);
            gate.acquire(address(other)).unwrap();
            drop(first);
            gate.acquire(address(same[1])).unwrap();
        }
        assert_eq!(gate.counts().refused_address, 2);
        assert_eq!(gate.counts().open, 0);
        assert!(gate.by_address().is_empty());
    }
}
