//! The API: `/api/v1`.
//!
//! A handler is a function that takes what it needs by extractors and returns
//! `Result<Json<T>, ApiError>`. `T` is a type of `crates/api`, so that the page reads exactly what
//! the server writes. Every error leaves as a [`Problem`](::api::Problem), also those of layers and
//! extractors.
//!
//! **Invariant.** No request can block the server: each is limited by [`PATIENCE`] and [`MAX_BODY`].

mod changes;
mod devices;
mod error;
mod history;
mod query;
mod server;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::middleware::map_response;
use axum::routing::get;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

pub(super) use self::error::problem;
use self::error::{ApiError, as_problem};
use super::Site;
use super::respond::RESOURCE_POLICY;
use crate::devices::Handle;

/// How long a handler may take, including the reading of the request's body.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest body of a request, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// Everything below `/api/v1`.
pub(super) fn routes() -> Router<Arc<Site>> {
    Router::new()
        .route("/server", get(server::server))
        .route("/devices", get(devices::list))
        .route(
            "/devices/{*id}",
            get(devices::one)
                .patch(devices::patch)
                .delete(devices::forget),
        )
        .route("/changes", get(changes::changes))
        .merge(history::routes())
        .fallback(async || ApiError::NoSuchRoute)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(RequestBodyLimitLayer::new(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            PATIENCE,
        ))
        .layer(map_response(as_problem))
        // Fast, because the devices change with every question. Server-sent events stay as they are.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
}

/// The headers of answers that the pages of other sites may read: a widget may stand on any.
type CorsHeaders = [(HeaderName, HeaderValue); 3];
const CORS: CorsHeaders = [
    (
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    ),
    (
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("beaconry-cursor"),
    ),
    (RESOURCE_POLICY, HeaderValue::from_static("cross-origin")),
];

impl Site {
    /// The time now, in milliseconds since 1970.
    fn now(&self) -> i64 {
        // With a history there is a model, too.
        self.inside
            .devices
            .as_ref()
            .map_or(0, |devices| devices.now().0)
    }

    /// The model of the devices.
    fn devices(&self) -> Result<&Handle, ApiError> {
        self.inside.devices.as_ref().ok_or(ApiError::ModelOff)
    }
}

#[cfg(test)]
mod tests {
    use fleet::{FaultKind, OfflineReason, PresenceKind, Sort, UnknownReason};

    const DOCS: &str = include_str!("../../../../docs/api.md");

    #[test]
    fn docs_api_names_every_word_that_an_answer_may_have() {
        let presences = PresenceKind::ALL.map(PresenceKind::word);
        let offline = OfflineReason::ALL.map(OfflineReason::word);
        let unknown = UnknownReason::ALL.map(UnknownReason::word);
        let faults = FaultKind::ALL.map(FaultKind::word);
        let rows = [&presences[..], &offline, &unknown, &faults].concat();
        for word in rows {
            assert!(DOCS.contains(&format!("\n| `{word}` |")), "{word}");
        }
        for sort in Sort::ALL {
            assert!(DOCS.contains(&format!("`{}`", sort.word())), "{sort:?}");
        }
    }
}
