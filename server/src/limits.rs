//! How many connections there may be, and how many there were.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counts open connections of all listeners together against one limit.
///
/// The counters are statistics: nothing else is ordered by them, so `Relaxed` will do.
#[derive(Debug)]
pub(crate) struct Limits {
    max: usize,
    open: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
    accept_errors: AtomicU64,
}

/// The right to be one of the open connections; given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Limits>);

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) max: usize,
    pub(crate) open: usize,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) accept_errors: u64,
}

impl Limits {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            accept_errors: AtomicU64::new(0),
        })
    }

    /// A place for one more connection, or `None` when all are taken; both are counted.
    pub(crate) fn acquire(self: &Arc<Self>) -> Option<Permit> {
        let taken = self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                (open < self.max).then_some(open + 1)
            });
        if taken.is_ok() {
            self.accepted.fetch_add(1, Ordering::Relaxed);
            Some(Permit(Arc::clone(self)))
        } else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            None
        }
    }

    pub(crate) fn count_accept_error(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            max: self.max,
            open: self.open.load(Ordering::Relaxed),
            accepted: self.accepted.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            accept_errors: self.accept_errors.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets this process open as many files as the system allows it, and says how many connections
/// that leaves room for.
///
/// Shells commonly start programs with a soft limit of 1,024, where the hard one is far higher.
pub(crate) fn raise_open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// Listeners, the runtimes' own, standard streams, and some to spare.
    const OTHERS: u64 = 64;

    let before = getrlimit(Resource::Nofile);
    // Where it is refused, the limit stays what it was: read it again rather than guess.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: before.maximum,
            maximum: before.maximum,
        },
    );
    getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |files| {
            usize::try_from(files.saturating_sub(OTHERS).max(1)).unwrap_or(usize::MAX)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_permit_makes_room() {
        let limits = Limits::new(2);
        let first = limits.acquire().unwrap();
        let _second = limits.acquire().unwrap();
        assert!(limits.acquire().is_none());
        drop(first);
        let _third = limits.acquire().unwrap();
        let expected = Counts {
            max: 2,
            open: 2,
            accepted: 3,
            refused: 1,
            accept_errors: 0,
        };
        assert_eq!(limits.counts(), expected);
    }
}
