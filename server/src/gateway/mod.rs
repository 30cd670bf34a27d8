//! `--tcp-gateway`: devices that write JSON over plain TCP, as the founding documents' first device does.
//!
//! [`framing`] finds the objects in the bytes and [`session`] knows what they mean, both without a socket.
//! [`connection`] reads and writes a device's socket. [`client`] is its MQTT client, over a connection to this server's own port.
//! So limits, presence and rules are those of any other client: the device signs in and out on its
//! registration topic, its will does so if the server is killed, and its commands wait for it for an hour.
//!
//! All devices share one thread, which is not the broker's.

mod client;
mod connection;
mod framing;
mod session;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, LocalSet};
use tracing::debug;

use self::connection::Connection;
pub(crate) use self::framing::Framer;
use crate::clock::Clock;
use crate::gate::ConnectionGate;
use crate::listener::{Accepted, Budget, Listener};
use crate::programs::connection::Endpoint;

/// What the gateway needs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) clock: Clock,
    /// Where this server listens for MQTT, as a program on this machine reaches it.
    pub(crate) mqtt: SocketAddr,
    /// The most bytes of an object.
    pub(crate) max_object: usize,
    /// How long a device may take to sign up.
    pub(crate) patience: Duration,
    pub(crate) tcp_keep_alive: Option<Duration>,
}

/// What the gateway has counted. Gauges are as of now.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GatewayCounts {
    pub(crate) open: u64,
    pub(crate) signed_up: u64,
    pub(crate) objects: u64,
    pub(crate) commands: u64,
    pub(crate) unfit_commands: u64,
    pub(crate) too_large: u64,
    pub(crate) refused: u64,
    pub(crate) silent: u64,
    pub(crate) not_reading: u64,
}

/// The counters, which the gateway's thread writes and `/metrics` reads.
#[derive(Debug, Default)]
struct Counters {
    open: AtomicU64,
    signed_up: AtomicU64,
    objects: AtomicU64,
    commands: AtomicU64,
    unfit_commands: AtomicU64,
    too_large: AtomicU64,
    refused: AtomicU64,
    silent: AtomicU64,
    not_reading: AtomicU64,
}

/// Ends the gateway, and reads its counters.
#[derive(Debug)]
pub(crate) struct Handle {
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
    counters: Reader,
}

/// Reads the counters.
#[derive(Clone, Debug)]
pub(crate) struct Reader(Arc<Counters>);

impl Reader {
    /// The counters now.
    pub(crate) fn counts(&self) -> GatewayCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.0;
        GatewayCounts {
            open: read(&counters.open),
            signed_up: read(&counters.signed_up),
            objects: read(&counters.objects),
            commands: read(&counters.commands),
            unfit_commands: read(&counters.unfit_commands),
            too_large: read(&counters.too_large),
            refused: read(&counters.refused),
            silent: read(&counters.silent),
            not_reading: read(&counters.not_reading),
        }
    }
}

impl Handle {
    /// For `/metrics`.
    pub(crate) fn reader(&self) -> Reader {
        self.counters.clone()
    }

    /// Lets all devices sign out, and waits for them for a limited time.
    pub(crate) async fn stop(self) {
        const PATIENCE: Duration = Duration::from_secs(4);
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(PATIENCE, self.ended).await;
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    settings: Settings,
    endpoint: Endpoint,
    counters: Arc<Counters>,
    /// For lines about what devices send.
    log: std::cell::RefCell<Budget>,
}

/// Starts the gateway's thread.
pub(crate) fn spawn(
    settings: Settings,
    socket: TcpListener,
    gate: Arc<ConnectionGate>,
) -> io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // The socket moves to the other thread's runtime.
    let socket = socket.into_std()?;
    let (stop, stopping) = watch::channel(false);
    let (tell_ended, ended) = oneshot::channel();
    let counters = Arc::<Counters>::default();
    let reader = Reader(Arc::clone(&counters));
    std::thread::Builder::new()
        .name("gateway".to_owned())
        .spawn(move || {
            let shared = Rc::new(Shared {
                endpoint: Endpoint::tcp(settings.mqtt),
                settings,
                counters,
                log: std::cell::RefCell::default(),
            });
            let running = async move {
                let socket = TcpListener::from_std(socket)?;
                let keep_alive = shared.settings.tcp_keep_alive;
                let listener = Listener::new(socket, "tcp-gateway", gate, keep_alive);
                accept_all(listener, shared, stopping).await;
                io::Result::Ok(())
            };
            if let Err(error) = LocalSet::new().block_on(&runtime, running) {
                tracing::error!("the TCP gateway has ended: {error}");
            }
            // This fails only if the process is ending already.
            let _ = tell_ended.send(());
        })?;
    Ok(Handle {
        stop,
        ended,
        counters: reader,
    })
}

async fn accept_all(
    mut listener: Listener,
    shared: Rc<Shared>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    // Each connection gets one of its own.
    let for_connections = stopping.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Accepted { stream, peer, permit } = accepted;
                debug!(%peer, "a device connects to the TCP gateway");
                let connection = Connection::new(Rc::clone(&shared), stream, peer, for_connections.clone());
                connections.spawn_local(async move {
                    connection.run().await;
                    drop(permit);
                });
            }
            Some(_) = connections.join_next() => {}
            _ = stopping.wait_for(|stopping| *stopping) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
