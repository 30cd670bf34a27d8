//! One connection to the HTTP port, from its beginning to its end.
//!
//! **Invariant.** An idle connection ends by itself. The head of a request must come within the connect
//! timeout, and a connection that is [`OLD`] ends after its answer.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::http::Request;
use hyper::body::Incoming;
use hyper::rt::Timer;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info};

use super::Http;
use super::stream::Taken;
use crate::gate::Permit;
use crate::listener::Accepted;
use crate::standstill::ReadFirst;

/// After this long a connection finishes its answer and ends. Browsers open another one.
const OLD: Duration = Duration::from_mins(2);
/// How long that last answer may take. A client that has not taken it by then is not reading. Of an
/// answer that goes on, such as the stream of changes, it must take something in this time.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// The longest head of a request, in bytes. It limits the memory of an unfinished request.
const MAX_HEAD: usize = 16 * 1024;

/// Who is at the other end of the connection. Every request carries it in its extensions.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) peer: SocketAddr,
    /// Shared, because a WebSocket keeps it when its socket moves to the shard.
    pub(super) permit: Arc<Permit>,
    /// What the connection has taken of the answers that tasks write.
    pub(super) taken: Taken,
}

impl Http {
    pub(super) async fn connection(
        self: Arc<Self>,
        accepted: Accepted,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let Accepted {
            stream,
            peer,
            permit,
        } = accepted;
        let client = Client {
            peer,
            permit: Arc::new(permit),
            taken: Taken::default(),
        };
        let taken = Arc::clone(&client.taken);
        let routes = TowerToHyperService::new(self.routes.clone());
        let asks = Arc::new(AtomicBool::new(false));
        let has_asked = Arc::clone(&asks);
        let service = service_fn(move |mut request: Request<Incoming>| {
            asks.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(client.clone());
            routes.call(request)
        });
        let timer = ReadFirst::new(Arc::clone(&self.gate));
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(timer.clone())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(MAX_HEAD)
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);

        let finished = tokio::select! {
            finished = connection.as_mut() => Some(finished),
            () = timer.sleep(OLD) => None,
            _ = shutdown.wait_for(|shutdown| *shutdown) => None,
        };
        let finished = if let Some(finished) = finished {
            finished
        } else {
            connection.as_mut().graceful_shutdown();
            loop {
                let before = taken.load(Ordering::Relaxed);
                tokio::select! {
                    biased;
                    finished = connection.as_mut() => break finished,
                    () = timer.sleep(LAST_ANSWER_TIMEOUT) => {}
                }
                if taken.load(Ordering::Relaxed) == before {
                    break Ok(());
                }
            }
        };
        if let Err(error) = finished {
            // Only at `debug`, because browsers give up and scanners send nonsense all the time.
            debug!(%peer, "http: {error}");
            // An idle connection that had an answer before ends with the same error.
            if error.is_timeout() && !has_asked.load(Ordering::Relaxed) {
                self.count_head_timeout(peer);
            }
        }
    }

    /// Counts a connection that was closed because the head of its request did not come in time.
    /// Browsers open connections in advance, so this is no warning.
    fn count_head_timeout(&self, peer: SocketAddr) {
        self.gate.count_head_timeout();
        let throttle = self.head_timeouts.lock();
        let mut throttle = throttle.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = throttle.count(Instant::now()) {
            info!(
                "http: closed {count} connection(s), the last from {peer}: no whole request head came in time (--connect-timeout)"
            );
        }
    }
}
