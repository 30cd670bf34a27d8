//! The `--http` port: the dashboard, MQTT over WebSocket at `/mqtt`, health and metrics.
//!
//! **Invariant.** A connection that does nothing ends by itself: its request's head must come
//! within the connect timeout, and it is asked to end when it is [`OLD`].

#[allow(unreachable_pub)] // the build script writes `pub`
mod assets;
mod exposition;
mod handshake;
mod health;
mod metrics;
mod negotiate;
mod respond;
mod static_files;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use crate::limits::{Limits, Permit};
use crate::listener::{Accepted, Listener, Throttle};
use crate::shard::{self, NewConnection, Transport};
use static_files::StaticFiles;

/// After this long a connection finishes its answer and ends; browsers open another one.
const OLD: Duration = Duration::from_mins(2);
/// For what is still being sent then. Who has not taken it by now is not reading.
const LAST_CHANCE: Duration = Duration::from_mins(1);
/// A head larger than this is refused: bounds what an unfinished request can hold.
const MAX_HEAD: usize = 16 * 1024;

/// What every request is answered from.
#[derive(Debug)]
pub(crate) struct Http {
    files: StaticFiles,
    shard: shard::Handle,
    limits: Arc<Limits>,
    head_timeout: Duration,
    head_timeouts: Mutex<Throttle>,
    started: Duration,
}

impl Http {
    /// `started` is the date when the server was, since 1970.
    pub(crate) fn new(
        started: Duration,
        shard: shard::Handle,
        limits: Arc<Limits>,
        head_timeout: Duration,
    ) -> Self {
        let files = StaticFiles::new(assets::ASSETS, assets::INLINE_SCRIPT_HASHES);
        Self {
            files,
            shard,
            limits,
            head_timeout,
            head_timeouts: Mutex::default(),
            started,
        }
    }

    /// Whether there is a dashboard to open.
    pub(crate) fn has_dashboard(&self) -> bool {
        self.files.has_dashboard()
    }

    /// Serves until `ending` says so.
    pub(crate) async fn serve(
        self: Arc<Self>,
        mut listener: Listener,
        mut ending: watch::Receiver<bool>,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = ending.wait_for(|ending| *ending) => return,
            };
            tokio::spawn(Arc::clone(&self).connection(accepted, ending.clone()));
        }
    }

    async fn connection(self: Arc<Self>, accepted: Accepted, mut ending: watch::Receiver<bool>) {
        let Accepted {
            stream,
            peer,
            permit,
        } = accepted;
        // Shared, because a WebSocket takes it along to the shard.
        let permit = Arc::new(permit);
        let http = Arc::clone(&self);
        let asks = Arc::new(AtomicBool::new(false));
        let has_asked = Arc::clone(&asks);
        let service = service_fn(move |request| {
            asks.store(true, Ordering::Relaxed);
            let (http, permit) = (Arc::clone(&http), Arc::clone(&permit));
            async move { Ok::<_, Infallible>(http.answer(request, peer, permit).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_buf_size(MAX_HEAD)
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);

        let finished = tokio::select! {
            finished = connection.as_mut() => Some(finished),
            () = tokio::time::sleep(OLD) => None,
            _ = ending.wait_for(|ending| *ending) => None,
        };
        let finished = if let Some(finished) = finished {
            finished
        } else {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_CHANCE, connection).await.unwrap_or(Ok(()))
        };
        if let Err(error) = finished {
            // Browsers give up and scanners send nonsense all day: worth no more than this.
            debug!(%peer, "http: {error}");
            // One that has had its answer and is idle since ends in the same way.
            if error.is_timeout() && !has_asked.load(Ordering::Relaxed) {
                self.asked_nothing(peer);
            }
        }
    }

    /// A connection was closed because its request's head did not come in time. Browsers open
    /// some in advance, so that is no warning.
    fn asked_nothing(&self, peer: SocketAddr) {
        self.limits.count_head_timeout();
        let throttle = self.head_timeouts.lock();
        let mut throttle = throttle.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = throttle.count(Instant::now()) {
            info!(
                "http: closed {count} connection(s), the last from {peer}: no request came in time, or not the whole of its head (--connect-timeout)"
            );
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        permit: Arc<Permit>,
    ) -> Response<Full<Bytes>> {
        match request.uri().path() {
            "/mqtt" => self.websocket(request, peer, permit),
            "/healthz" if reads(request.method()) => self.health(health::healthz).await,
            "/livez" if reads(request.method()) => self.health(health::livez).await,
            "/metrics" if reads(request.method()) => self.metrics().await,
            path => self.files.serve(request.method(), path, request.headers()),
        }
    }

    fn websocket(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        permit: Arc<Permit>,
    ) -> Response<Full<Bytes>> {
        match handshake::check(request.method(), request.version(), request.headers()) {
            Ok(accepted) => {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(hand_over(upgrade, self.shard.clone(), peer, permit));
                accepted.response()
            }
            Err(refusal) => {
                debug!(%peer, "websocket: refused a handshake: {refusal:?}");
                refusal.response()
            }
        }
    }

    async fn health(
        &self,
        judge: fn(Option<&shard::Snapshot>) -> (StatusCode, &'static str),
    ) -> Response<Full<Bytes>> {
        let (status, body) = judge(self.shard.snapshot().await.as_ref());
        respond::text(status, body)
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let Some(of_shard) = self.shard.snapshot().await else {
            return respond::text(StatusCode::SERVICE_UNAVAILABLE, health::SILENT);
        };
        let mut response = respond::text(
            StatusCode::OK,
            metrics::render(self.started, &of_shard, self.limits.counts()),
        );
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
        );
        response
    }
}

/// `/metrics` of a server that has done nothing yet.
#[cfg(test)]
pub(crate) fn metrics_page() -> String {
    metrics::render(
        Duration::ZERO,
        &shard::Snapshot {
            store: Some(crate::store::Stats::default()),
            ..shard::Snapshot::default()
        },
        crate::limits::Counts::default(),
    )
}

fn reads(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Takes the socket out of HTTP's hands, with what was read of it already, and gives it to the
/// shard.
async fn hand_over(
    upgrade: hyper::upgrade::OnUpgrade,
    shard: shard::Handle,
    peer: SocketAddr,
    permit: Arc<Permit>,
) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return debug!(%peer, "websocket: the handshake was not finished: {error}"),
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        return warn!(%peer, "websocket: the upgraded connection is not the socket that was accepted");
    };
    match parts.io.into_inner().into_std() {
        Ok(stream) => {
            let transport = Transport::WebSocket {
                already_read: parts.read_buf,
            };
            shard
                .open(NewConnection {
                    stream,
                    peer,
                    permit,
                    transport,
                })
                .await;
        }
        Err(error) => warn!(%peer, "websocket: cannot hand the socket over: {error}"),
    }
}
