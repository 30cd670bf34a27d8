//! Accepts connections within the limits, and waits when the system has no resources for more.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tracing::warn;

use crate::gate::{ConnectionGate, Full, Permit};

/// A connection that was accepted within the limit.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) permit: Permit,
}

/// A listening socket with its limits.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    /// `mqtt` or `http`, for the log.
    name: &'static str,
    gate: Arc<ConnectionGate>,
    /// After this much silence the system asks whether the peer is still there.
    tcp_keep_alive: Option<Duration>,
    refusals: Throttle,
    errors: Throttle,
    backoff: Backoff,
}

impl Listener {
    pub(crate) fn new(
        socket: TcpListener,
        name: &'static str,
        gate: Arc<ConnectionGate>,
        tcp_keep_alive: Option<Duration>,
    ) -> Self {
        Self {
            socket,
            name,
            gate,
            tcp_keep_alive,
            refusals: Throttle::default(),
            errors: Throttle::default(),
            backoff: Backoff::default(),
        }
    }

    /// Waits for the next connection. Closes those above the limits at once, and counts them.
    pub(crate) async fn accept(&mut self) -> Accepted {
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    self.backoff = Backoff::default();
                    let Some(permit) = self.admit(peer) else {
                        continue;
                    };
                    // Packets are small, so waiting to fill a segment would only cost latency. This
                    // fails only if the peer has gone, and then reading fails too.
                    let _ = stream.set_nodelay(true);
                    if let Some(idle) = self.tcp_keep_alive {
                        let _ = keep_alive(&stream, idle);
                    }
                    return Accepted {
                        stream,
                        peer,
                        permit,
                    };
                }
                Err(error) => {
                    self.gate.count_accept_error();
                    if let Some(count) = self.errors.count(Instant::now()) {
                        warn!(
                            "{}: cannot accept a connection: {error} ({count} time(s) since the last such line)",
                            self.name
                        );
                    }
                    if !concerns_one_connection(&error) {
                        tokio::time::sleep(self.backoff.next()).await;
                    }
                }
            }
        }
    }
}

impl Listener {
    /// Gives a permit to a connection, or logs why it is refused.
    fn admit(&mut self, peer: SocketAddr) -> Option<Permit> {
        let admitted = self.gate.acquire(peer.ip());
        admitted.map_err(|full| self.log_refusal(peer, full)).ok()
    }

    fn log_refusal(&mut self, peer: SocketAddr, full: Full) {
        let Some(count) = self.refusals.count(Instant::now()) else {
            return;
        };
        let name = self.name;
        match full {
            Full::Everywhere => {
                let max = self.gate.counts().max;
                warn!(
                    "{name}: refused {count} connection(s), the last from {peer}: all {max} connections are in use (--max-connections, or the limit of open files)"
                );
            }
            Full::Address => {
                let max = self.gate.max_per_address();
                warn!(
                    "{name}: refused {count} connection(s), the last from {peer}: its address has {max} connections already (--max-connections-per-address)"
                );
            }
        }
    }
}

/// Turns on TCP keep-alive: when a peer has been silent for `idle`, the system asks whether it is
/// still there. It asks four times, a quarter of `idle` apart, and then ends the connection. So a
/// connection ends when its peer has vanished, even if it has no MQTT keep alive.
fn keep_alive(stream: &TcpStream, idle: Duration) -> io::Result<()> {
    const PROBES: u32 = 4;
    let interval = (idle / PROBES).max(Duration::from_secs(1));
    let probing = TcpKeepalive::new()
        .with_time(idle)
        .with_interval(interval)
        .with_retries(PROBES);
    SockRef::from(stream).set_tcp_keepalive(&probing)
}

/// Whether an error of `accept` concerns only the connection that was to be accepted. Any other error,
/// such as too few file descriptors, would come again at once.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// A waiting time that doubles from 10 ms to 1 s.
#[derive(Debug)]
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(Duration::from_millis(10))
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(Duration::from_secs(1));
        wait
    }
}

/// Limits a log line to one in five seconds, and counts the events in between.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    silent_until: Option<Instant>,
    count: u64,
}

impl Throttle {
    /// Counts an event. `Some` if it may be logged: how many events there were since the last line.
    pub(crate) fn count(&mut self, now: Instant) -> Option<u64> {
        const SILENCE: Duration = Duration::from_secs(5);
        self.count += 1;
        if self.silent_until.is_some_and(|until| now < until) {
            return None;
        }
        self.silent_until = Some(now + SILENCE);
        Some(std::mem::take(&mut self.count))
    }
}

/// Limits log lines to twenty in five seconds, and counts those left out.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    renewed_at: Option<Instant>,
    spent: u32,
    withheld: u64,
}

/// Whether a line may be logged.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spending {
    /// It may. `withheld` lines were left out before it, and not yet reported.
    Allowed { withheld: u64 },
    /// It may not.
    Withheld,
}

impl Budget {
    /// Uses up one line, if there is one left.
    pub(crate) fn take(&mut self, now: Instant) -> Spending {
        const PERIOD: Duration = Duration::from_secs(5);
        const MOST: u32 = 20;
        if self
            .renewed_at
            .is_none_or(|renewed_at| now >= renewed_at + PERIOD)
        {
            self.renewed_at = Some(now);
            self.spent = 0;
        }
        if self.spent == MOST {
            self.withheld += 1;
            return Spending::Withheld;
        }
        self.spent += 1;
        Spending::Allowed {
            withheld: std::mem::take(&mut self.withheld),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// What is logged, for a test to read.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// A test over the wire could not show this: connections from this machine do not count.
    #[tokio::test]
    async fn an_address_with_too_many_connections_is_counted_and_logged_with_the_flag() {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = ConnectionGate::new(3, 2);
        let mut listener = Listener::new(socket, "mqtt", Arc::clone(&gate), None);
        let mut admit = |address: &str| listener.admit(address.parse().unwrap());

        let _first = admit("192.0.2.1:1001").unwrap();
        let _second = admit("192.0.2.1:1002").unwrap();
        assert_eq!(log.take(), "");
        assert!(admit("192.0.2.1:1003").is_none());
        assert_eq!(gate.counts().refused_address, 1);
        let line = log.take();
        for part in [
            "mqtt: ",
            " 1 connection",
            "192.0.2.1:1003",
            "has 2 connections already",
            "(--max-connections-per-address)",
        ] {
            assert!(line.contains(part), "{part:?} in {line}");
        }

        // The same address is not logged again so soon. Other addresses can still connect.
        assert!(admit("192.0.2.1:1004").is_none());
        assert_eq!(log.take(), "");
        assert_eq!(gate.counts().refused_address, 2);
        let _third = admit("192.0.2.2:1001").unwrap();
        assert!(admit("192.0.2.3:1001").is_none());
        assert_eq!(gate.counts().refused, 1);
    }

    #[test]
    fn a_budget_is_renewed() {
        let start = Instant::now();
        let mut budget = Budget::default();
        for _ in 0..20 {
            assert_eq!(budget.take(start), Spending::Allowed { withheld: 0 });
        }
        assert_eq!(budget.take(start), Spending::Withheld);
        let later = start + Duration::from_secs(5);
        assert_eq!(budget.take(later), Spending::Allowed { withheld: 1 });
        assert_eq!(budget.take(later), Spending::Allowed { withheld: 0 });
    }

    #[test]
    fn a_flood_is_logged_once_and_counted() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        assert_eq!(throttle.count(start), Some(1));
        for _ in 0..99 {
            assert_eq!(throttle.count(start + Duration::from_secs(1)), None);
        }
        assert_eq!(throttle.count(start + Duration::from_secs(6)), Some(100));
    }

    #[test]
    fn waiting_grows_to_a_second_and_no_further() {
        let mut backoff = Backoff::default();
        let total: Duration = (0..8).map(|_| backoff.next()).sum();
        assert_eq!(backoff.next(), Duration::from_secs(1));
        assert!(total < Duration::from_secs(3));
    }
}
