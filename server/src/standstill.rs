//! Time limits of a server that stood still.
//!
//! A laptop is suspended, a virtual machine is paused, a process is stopped (SIGSTOP). Clients do
//! not know: what they send waits in the buffers of the server's sockets. When the server runs
//! again, every time limit that ran out meanwhile is due at once, and the runtime fires its timers
//! before it knows which sockets have something to read. So clients would be closed for a silence
//! that they did not keep.
//!
//! **Invariant.** Before a time limit ends anybody for silence, the server reads what waits in its
//! sockets. This holds whether the time limit is late or not. So nothing has to guess whether the
//! server stood still.
//!
//! Two kinds of time limit are plain ones, because they end nobody for silence. One bounds the last
//! bytes of a connection to MQTT that is closed already. The others bound the end of the server.
//!
//! The rule rests on how tokio's runtime for one thread works. [`yield_now`] lets the caller wait
//! until the runtime has asked the system for events, and puts it behind the tasks that these
//! events woke. One such round brings at most [`EVENTS`] events. The system hands them out in the
//! order in which they came, so a number of rounds that depends on the number of sockets brings all
//! that waited when the first one began.
//!
//! **Bounded.** Clients that never stop sending cannot put a time limit off: the number of rounds
//! is fixed at the start, and no round begins after [`LONGEST`].

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use crate::gate::ConnectionGate;

/// How many events tokio takes from the system in a round, unless it is told otherwise.
const EVENTS: usize = 1024;
/// After this long the server carries out time limits, whatever still waits to be read.
pub(crate) const LONGEST: Duration = Duration::from_secs(1);

/// Reads what waits in `sockets` sockets: lets the tasks run that have something to read, for a
/// bounded time.
///
/// `turns` counts the turns of these tasks. After a round without any, nothing waits.
pub(crate) async fn read_what_waits(sockets: usize, turns: impl Fn() -> u64) {
    let end = Instant::now() + LONGEST;
    for round in 0..rounds(sockets) {
        let before = turns();
        yield_now().await;
        // A signal can make the system return without events, so one quiet round says nothing.
        let is_quiet = round > 0 && turns() == before;
        if is_quiet || Instant::now() >= end {
            return;
        }
    }
}

/// Enough for one event of each socket, one round that a signal cut short, and the few sockets
/// that are none of a client's.
const fn rounds(sockets: usize) -> usize {
    2 + sockets.div_ceil(EVENTS)
}

/// A timer for hyper that lets the server read what waits in its sockets before a time limit is
/// over. hyper reads before it looks at its time limit.
#[derive(Clone, Debug)]
pub(crate) struct ReadFirst {
    gate: Arc<ConnectionGate>,
}

impl ReadFirst {
    /// For the connections that `gate` counts.
    pub(crate) fn new(gate: Arc<ConnectionGate>) -> Self {
        Self { gate }
    }

    async fn wait(gate: Arc<ConnectionGate>, deadline: Instant) {
        sleep_until(deadline).await;
        let end = Instant::now() + LONGEST;
        for _ in 0..rounds(gate.counts().open) {
            yield_now().await;
            if Instant::now() >= end {
                return;
            }
        }
    }
}

impl Timer for ReadFirst {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(std::time::Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        let waiting = Self::wait(Arc::clone(&self.gate), Instant::from_std(deadline));
        Box::pin(Waiting(Box::pin(waiting)))
    }
}

/// A time limit, in the form that hyper asks its timer for.
struct Waiting(Pin<Box<dyn Future<Output = ()> + Send + Sync>>);

impl Sleep for Waiting {}

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    async fn rounds_taken(sockets: usize, turns_a_round: u64) -> u64 {
        let asked = Cell::new(0);
        let turns = Cell::new(0);
        read_what_waits(sockets, || {
            asked.set(asked.get() + 1);
            turns.set(turns.get() + turns_a_round);
            turns.get()
        })
        .await;
        asked.get()
    }

    #[tokio::test]
    async fn a_quiet_server_needs_two_rounds_and_a_busy_one_a_fixed_number() {
        // The first round asks once, each later one twice.
        assert_eq!(rounds_taken(100_000, 0).await, 1 + 2);
        let most = rounds(5_000) as u64;
        assert_eq!(most, 7);
        assert_eq!(rounds_taken(5_000, 1).await, 2 * most - 1);
    }

    #[tokio::test]
    async fn no_round_begins_after_a_limited_time() {
        let asked = Cell::new(0_u64);
        read_what_waits(usize::MAX / 2, || {
            asked.set(asked.get() + 1);
            std::thread::sleep(LONGEST);
            asked.get()
        })
        .await;
        assert_eq!(asked.get(), 1);
    }
}
