//! Who may connect, and what clients may do.
//!
//! The broker asks about each client ([`Output::Authenticate`](broker::Output::Authenticate)). An
//! authenticator answers at once, or returns slow work, such as hashing a password. Slow work runs
//! on other threads, a limited number at a time. Its client waits; the others do not. A client that
//! waits longer than `--connect-timeout` is closed, as if it had sent no CONNECT.

use std::fmt;
use std::sync::Arc;

use broker::{Credentials, Decision, Principal};
use mqtt::ReasonCode;
use tokio::sync::Semaphore;
use tokio::task;
use tracing::error;

/// How many slow decisions are made at once: enough to use the processors that the shard leaves
/// free. Further ones wait as long as their clients do, so there are never more of them than
/// connections.
const SLOW_AT_ONCE: usize = 4;

/// Finds out who a client is.
pub(crate) trait Authenticate: fmt::Debug + Send + Sync {
    /// Whether the broker has to ask at all. If not, it accepts every client, with the grants of its
    /// options.
    fn asks(&self) -> bool;

    /// Decides about a client, or returns the work that decides. It runs on the shard's thread, so it
    /// must neither block nor take long.
    fn ask(&self, credentials: Credentials) -> Answer;
}

/// What an authenticator says.
pub(crate) enum Answer {
    /// The decision.
    Now(Decision),
    /// Work that makes the decision. It may block.
    // So far no authenticator needs it.
    #[cfg_attr(not(test), expect(dead_code))]
    Later(Box<dyn FnOnce() -> Decision + Send>),
}

/// Accepts every client. What they may do stands in the options of the broker, which gives the same
/// grants to all of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Everyone;

impl Authenticate for Everyone {
    fn asks(&self) -> bool {
        false
    }

    fn ask(&self, _credentials: Credentials) -> Answer {
        Answer::Now(Decision::Accept(Principal::default()))
    }
}

/// Asks the authenticator, and makes slow decisions on other threads.
#[derive(Clone, Debug)]
pub(super) struct Deciding {
    authenticator: Arc<dyn Authenticate>,
    slots: Arc<Semaphore>,
}

impl Deciding {
    pub(super) fn new(authenticator: Arc<dyn Authenticate>) -> Self {
        Self {
            authenticator,
            slots: Arc::new(Semaphore::new(SLOW_AT_ONCE)),
        }
    }

    pub(super) fn ask(&self, credentials: Credentials) -> Answer {
        self.authenticator.ask(credentials)
    }

    /// Makes a slow decision when its turn has come. The caller drops the future when the client has
    /// gone: work that has not begun is dropped with it.
    pub(super) async fn decide(&self, work: Box<dyn FnOnce() -> Decision + Send>) -> Decision {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let decided = task::spawn_blocking(move || {
            // Work that has begun keeps its slot to its end, even if nobody waits for it any more.
            let _slot = slot;
            work()
        });
        decided.await.unwrap_or_else(|error| {
            error!("cannot authenticate a client, so it is refused: {error}");
            Decision::Refuse(ReasonCode::ServerUnavailable)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use broker::{Broker, BrokerOptions};
    use bytes::BytesMut;
    use mqtt::{Connect, Decoder, Packet, ProtocolVersion};

    use super::*;
    use crate::clock::Clock;
    use crate::gate::ConnectionGate;
    use crate::shard::{self, Framing, NewConnection, ShardLimits};

    #[tokio::test]
    async fn a_limited_number_of_slow_decisions_is_made_at_once() {
        let deciding = Deciding::new(Arc::new(Everyone));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let barrier = Arc::new(std::sync::Barrier::new(SLOW_AT_ONCE));
        let work = || -> Box<dyn FnOnce() -> Decision + Send> {
            let (now, most, barrier) = (now.clone(), most.clone(), barrier.clone());
            Box::new(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // Waits until as many run at once as may.
                barrier.wait();
                now.fetch_sub(1, Ordering::SeqCst);
                Decision::Accept(Principal::default())
            })
        };
        let mut tasks = task::JoinSet::new();
        for _ in 0..3 * SLOW_AT_ONCE {
            let (deciding, work) = (deciding.clone(), work());
            tasks.spawn(async move { deciding.decide(work).await });
        }
        while let Some(decided) = tasks.join_next().await {
            assert!(matches!(decided.unwrap(), Decision::Accept(_)));
        }
        assert_eq!(most.load(Ordering::SeqCst), SLOW_AT_ONCE);
    }

    #[tokio::test]
    async fn work_that_panics_refuses_its_client() {
        let deciding = Deciding::new(Arc::new(Everyone));
        let decided = deciding.decide(Box::new(|| panic!("as a test wants it")));
        let refused = Decision::Refuse(ReasonCode::ServerUnavailable);
        assert_eq!(decided.await, refused);
    }

    /// Lets everybody in, but the client `slow` only when the test says so.
    #[derive(Debug)]
    struct Slowly(std::sync::Mutex<Option<mpsc::Receiver<()>>>);

    impl Authenticate for Slowly {
        fn asks(&self) -> bool {
            true
        }

        fn ask(&self, credentials: Credentials) -> Answer {
            let accept = Decision::Accept(Principal::default());
            if credentials.client_id.as_str() != "slow" {
                return Answer::Now(accept);
            }
            let released = self.0.lock().unwrap().take().unwrap();
            Answer::Later(Box::new(move || {
                released.recv().unwrap();
                accept
            }))
        }
    }

    /// Decides about nobody as long as a test holds the lock.
    #[derive(Debug)]
    struct Stuck(Arc<std::sync::Mutex<()>>);

    impl Authenticate for Stuck {
        fn asks(&self) -> bool {
            true
        }

        fn ask(&self, _: Credentials) -> Answer {
            let lock = Arc::clone(&self.0);
            Answer::Later(Box::new(move || {
                drop(lock.lock().unwrap());
                Decision::Accept(Principal::default())
            }))
        }
    }

    fn shard_with(authenticator: impl Authenticate + 'static) -> shard::Handle {
        let clock = Clock::new();
        let options = BrokerOptions {
            authenticate: true,
            ..BrokerOptions::default()
        };
        let broker = Broker::new(clock.now(), options);
        let authenticator = Arc::new(authenticator);
        let limits = ShardLimits {
            packet_size: 1024 * 1024,
            page_frames: 0,
        };
        let (shard, _ended, _) = shard::spawn(clock, broker, authenticator, None, limits).unwrap();
        shard
    }

    fn connect(shard: &shard::Handle, id: &'static str) -> TcpStream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        let (stream, peer) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let permit = ConnectionGate::new(10, 10).acquire(peer.ip()).unwrap();
        let new = NewConnection {
            stream,
            peer,
            permit: Arc::new(permit),
            framing: Framing::Plain,
        };
        let shard = shard.clone();
        let opening = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(shard.open(new));
        });
        opening.join().unwrap();
        let mut out = BytesMut::new();
        let connect = Packet::Connect(Connect::new(ProtocolVersion::V5, id));
        mqtt::encode(&connect, ProtocolVersion::V5, &mut out).unwrap();
        client.write_all(&out).unwrap();
        client
    }

    fn next(client: &mut TcpStream, decoder: &mut Decoder) -> Packet {
        let mut buffer = [0; 1_024];
        loop {
            let len = client.read(&mut buffer).unwrap();
            assert!(len > 0, "the server closed the connection");
            let mut bytes = bytes::Bytes::copy_from_slice(&buffer[..len]);
            if let Some(packet) = decoder.decode(&mut bytes).unwrap() {
                return packet;
            }
        }
    }

    #[test]
    fn a_client_waits_for_a_slow_decision_and_others_do_not() {
        let (release, released) = mpsc::channel();
        let slowly = Slowly(std::sync::Mutex::new(Some(released)));
        let shard = shard_with(slowly);
        let mut slow = connect(&shard, "slow");
        let mut fast = connect(&shard, "fast");
        let v5 = || Decoder::client(ProtocolVersion::V5);
        let mut of_fast = v5();
        assert!(matches!(next(&mut fast, &mut of_fast), Packet::ConnAck(_)));
        fast.write_all(&[0xC0, 0]).unwrap();
        assert!(matches!(next(&mut fast, &mut of_fast), Packet::PingResp));
        // The slow client has received nothing meanwhile.
        slow.set_nonblocking(true).unwrap();
        let nothing = slow.read(&mut [0; 1]).unwrap_err();
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
        slow.set_nonblocking(false).unwrap();
        release.send(()).unwrap();
        assert!(matches!(next(&mut slow, &mut v5()), Packet::ConnAck(_)));
    }

    #[test]
    fn nothing_waits_for_a_client_that_has_gone() {
        let lock = Arc::new(std::sync::Mutex::new(()));
        let held = lock.lock().unwrap();
        let shard = shard_with(Stuck(Arc::clone(&lock)));
        // This test and the authenticator have the lock too.
        let is_asked = |decisions: usize| {
            let until = std::time::Instant::now() + Duration::from_secs(10);
            while Arc::strong_count(&lock) != 2 + decisions && std::time::Instant::now() < until {
                std::thread::sleep(Duration::from_millis(5));
            }
            Arc::strong_count(&lock) == 2 + decisions
        };
        let mut clients = Vec::new();
        for number in 0..=SLOW_AT_ONCE {
            clients.push(connect(&shard, "c"));
            assert!(is_asked(number + 1));
        }
        clients.pop();
        assert!(is_asked(SLOW_AT_ONCE), "the last decision still waits");
        drop(held);
    }
}
