//! Which handler answers which path, and the layers that every request and answer passes.
//!
//! A request passes these layers, from the outside in:
//!
//! 1. [`TraceLayer`] logs a line for each answer at `debug`.
//! 2. [`respond::harden`] adds the headers that every answer carries.
//! 3. *The place for a principal:* a layer here will turn credentials into a principal and put it
//!    into the request's extensions, beside [`Client`]. Handlers will take it by an extractor. It
//!    belongs inside the others, so that they see its refusals, and outside the routes, so that
//!    it covers all of them: files, `/metrics`, the API and upgrades.
//! 4. The routes. Those of the API have more layers of their own: first [`guard`], which refuses requests
//!    of other sites' pages that may change something, and those of [`api::routes`].

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{from_fn, map_response};
use axum::response::Response;
use axum::routing::{any, get};
use tower_http::trace::{DefaultOnResponse, TraceLayer};
use tracing::{Level, Span, debug_span};

use super::connection::Client;
use super::upgrade::{self, Upgrade};
use super::{Site, api, guard, health, respond};

/// All routes of the HTTP port.
pub(super) fn routes(site: Site) -> Router {
    Router::new()
        .route("/", get(root).fallback(not_allowed))
        // Any method: a request that is no handshake is told what one looks like.
        .route("/mqtt", any(upgrade::mqtt))
        .route("/mqtt/", any(upgrade::mqtt))
        .route("/ws", any(upgrade::mqtt))
        .route("/healthz", get(health::healthz))
        .route("/livez", get(health::livez))
        .route("/metrics", get(health::metrics))
        .nest("/api/v1", api::routes().layer(from_fn(guard::guard)))
        .fallback(get(file).fallback(not_allowed))
        .method_not_allowed_fallback(not_allowed)
        .layer(map_response(respond::harden))
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_request(())
                .on_response(DefaultOnResponse::new().level(Level::DEBUG))
                .on_body_chunk(())
                .on_eos(())
                // A 503 of /healthz is an answer, not a failure of the server.
                .on_failure(()),
        )
        .with_state(Arc::new(site))
}

/// The dashboard. Some MQTT clients open their WebSocket at this path too.
async fn root(
    State(site): State<Arc<Site>>,
    upgrade: Option<Upgrade>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match upgrade {
        Some(upgrade) => upgrade.accept(&site.shard),
        None => site.files.answer(uri.path(), &headers),
    }
}

/// Every path without a route of its own.
async fn file(State(site): State<Arc<Site>>, uri: Uri, headers: HeaderMap) -> Response {
    site.files.answer(uri.path(), &headers)
}

/// The router adds the header `Allow`.
async fn not_allowed() -> Response {
    respond::text(
        StatusCode::METHOD_NOT_ALLOWED,
        "This path does not answer that method. The header Allow lists those that it answers.\n",
    )
}

/// The context of a request's log lines. It leaves out the query, which may hold secrets.
fn span(request: &Request) -> Span {
    let peer = request.extensions().get::<Client>();
    debug_span!(
        "http",
        peer = peer.map(|client| tracing::field::display(client.peer)),
        method = %request.method(),
        path = request.uri().path(),
    )
}
