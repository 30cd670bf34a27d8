//! The `--http` port: the dashboard, MQTT over WebSocket, the API, health and metrics.
//!
//! [`routes`] says which handler answers which path. A handler is a plain function: it takes what it
//! needs from the request by extractors, and returns a type that knows its status. To add a route to
//! the API, add its function to a file in `api` and one line to `api::routes`.
//!
//! **Invariant.** An idle connection ends by itself: see [`connection`].

mod api;
#[allow(unreachable_pub)] // the build script writes `pub`
mod assets;
mod connection;
mod guard;
mod handshake;
mod health;
mod negotiate;
mod respond;
mod routes;
mod static_files;
mod stream;
mod upgrade;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use tokio::sync::watch;

use crate::devices;
use crate::gate::ConnectionGate;
use crate::gateway;
use crate::history;
use crate::listener::{Listener, Throttle};
use crate::shard;
use static_files::StaticFiles;

/// What the API says about the server.
#[derive(Debug)]
pub(crate) struct About {
    /// What no other run of a server has: see [`api::ServerInfo`].
    pub(crate) id: String,
    /// The date when the server started, since 1970.
    pub(crate) started: Duration,
    /// Where it listens for MQTT over TCP.
    pub(crate) mqtt: SocketAddr,
    /// The largest MQTT packet that a client may send, in bytes.
    pub(crate) max_packet_size: u32,
}

/// What answers for the server's own threads.
#[derive(Clone, Debug)]
pub(crate) struct Inside {
    /// `None`: there is no model of the devices.
    pub(crate) devices: Option<devices::Handle>,
    /// `None`: there is no gateway for TCP.
    pub(crate) gateway: Option<gateway::Reader>,
    /// `None`: nothing is remembered.
    pub(crate) history: Option<history::Handle>,
}

/// The state that all handlers share.
#[derive(Debug)]
struct Site {
    files: StaticFiles,
    shard: shard::Handle,
    gate: Arc<ConnectionGate>,
    about: About,
    inside: Inside,
    /// Becomes true when the server ends.
    shutdown: watch::Receiver<bool>,
}

/// The web server.
#[derive(Debug)]
pub(crate) struct Http {
    routes: Router,
    has_dashboard: bool,
    gate: Arc<ConnectionGate>,
    head_timeout: Duration,
    head_timeouts: Mutex<Throttle>,
}

impl Http {
    /// A client has `head_timeout` to send the head of a request. `shutdown` becomes true when the server
    /// ends.
    pub(crate) fn new(
        about: About,
        shard: shard::Handle,
        inside: Inside,
        gate: Arc<ConnectionGate>,
        head_timeout: Duration,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        let files = StaticFiles::new(assets::ASSETS, assets::INLINE_SCRIPT_HASHES);
        Self {
            has_dashboard: files.has_dashboard(),
            gate: Arc::clone(&gate),
            routes: routes::routes(Site {
                files,
                shard,
                gate,
                about,
                inside,
                shutdown,
            }),
            head_timeout,
            head_timeouts: Mutex::default(),
        }
    }

    /// Whether this binary contains a dashboard to open.
    pub(crate) fn has_dashboard(&self) -> bool {
        self.has_dashboard
    }

    /// Serves until `shutdown` becomes true.
    pub(crate) async fn serve(
        self: Arc<Self>,
        mut listener: Listener,
        mut shutdown: watch::Receiver<bool>,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = shutdown.wait_for(|shutdown| *shutdown) => return,
            };
            tokio::spawn(Arc::clone(&self).connection(accepted, shutdown.clone()));
        }
    }
}
