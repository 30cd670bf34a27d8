//! From an HTTP request to a WebSocket on the shard.
//!
//! Axum's own `ws` feature would keep the socket in hyper and bring a second version of tungstenite.
//! Here the shard gets the plain socket.

use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts, State};
use axum::http::header::ORIGIN;
use axum::http::request::Parts;
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tracing::{debug, warn};

use super::Site;
use super::connection::Client;
use super::handshake::{self, Accepted, Refusal};
use crate::shard::{self, Framing, NewConnection};

/// A valid request for MQTT over WebSocket.
pub(super) struct Upgrade {
    accepted: Accepted,
    socket: OnUpgrade,
    client: Client,
    /// Whether a page asks: browsers name its origin.
    is_page: bool,
}

/// Answers `/mqtt`, `/mqtt/` and `/ws`: MQTT over WebSocket only.
pub(super) async fn mqtt(State(site): State<Arc<Site>>, upgrade: Upgrade) -> Response {
    upgrade.accept(&site.shard)
}

impl Upgrade {
    /// Answers the handshake. The shard gets the socket as soon as the answer is written.
    pub(super) fn accept(self, shard: &shard::Handle) -> Response {
        let handing_over = hand_over(self.socket, shard.clone(), self.client, self.is_page);
        tokio::spawn(handing_over);
        self.accepted.response()
    }
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let client = parts.extensions.get::<Client>().cloned();
        let refused = |refusal: Refusal| {
            let peer = client.as_ref().map(|client| client.peer);
            debug!(?peer, "websocket: refused a handshake: {refusal:?}");
            refusal
        };
        let accepted = handshake::check(&parts.method, parts.version, &parts.headers);
        let accepted = accepted.map_err(refused)?;
        // hyper adds the first to the request, and `http::connection` adds the second.
        match (parts.extensions.remove::<OnUpgrade>(), client) {
            (Some(socket), Some(client)) => Ok(Self {
                accepted,
                socket,
                client,
                is_page: parts.headers.contains_key(ORIGIN),
            }),
            _ => Err(Refusal::NO_SOCKET),
        }
    }
}

/// `None`: the request asks for no WebSocket.
impl<S: Sync> OptionalFromRequestParts<S> for Upgrade {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Refusal> {
        if handshake::is_asked_for(&parts.headers) {
            <Self as FromRequestParts<S>>::from_request_parts(parts, state)
                .await
                .map(Some)
        } else {
            Ok(None)
        }
    }
}

/// Takes the socket from hyper, with the bytes that hyper has read behind the handshake, and gives it
/// to the shard.
async fn hand_over(socket: OnUpgrade, shard: shard::Handle, client: Client, is_page: bool) {
    let Client {
        peer,
        permit,
        taken: _,
    } = client;
    let upgraded = match socket.await {
        Ok(upgraded) => upgraded,
        Err(error) => return debug!(%peer, "websocket: the handshake was not finished: {error}"),
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        return warn!(%peer, "websocket: closed: the upgraded connection is not a plain socket, which is a bug in beaconry");
    };
    match parts.io.into_inner().into_std() {
        Ok(stream) => {
            let framing = Framing::WebSocket {
                already_read: parts.read_buf,
                is_page,
            };
            shard
                .open(NewConnection {
                    stream,
                    peer,
                    permit,
                    framing,
                })
                .await;
        }
        Err(error) => {
            warn!(%peer, "websocket: closed: cannot give the socket to the broker: {error}");
        }
    }
}
