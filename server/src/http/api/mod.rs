//! The API: `/api/v1`.
//!
//! A handler is a function that takes what it needs by extractors and returns
//! `Result<Json<T>, ApiError>`. `T` is a type of `crates/api`, so that the page reads exactly what
//! the server writes. Every error leaves as a [`Problem`](::api::Problem), also those of layers and
//! extractors.
//!
//! **Invariant.** No request can block the server: each is limited by [`PATIENCE`] and [`MAX_BODY`].

mod error;
mod server;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::map_response;
use axum::routing::get;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use self::error::{ApiError, as_problem};
use super::Site;

/// How long a handler may take, including the reading of the request's body.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest body of a request, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Everything below `/api/v1`.
pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new()
        .route("/server", get(server::server))
        .fallback(async || ApiError::NoSuchRoute)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            PATIENCE,
        ))
        .layer(map_response(as_problem))
}
