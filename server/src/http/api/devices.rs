//! `/api/v1/devices`: what the server knows of the devices.

use std::sync::Arc;

use ::api::fleet as wire;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use fleet::DeviceKey;

use super::{ApiError, CORS, CorsHeaders, history, query};
use crate::devices::{Detail, Handle, Listed, NoAnswer, Question};
use crate::http::Site;
use crate::http::connection::Client;
use crate::http::stream::{self, Pieces};

/// With a device comes the cursor where the changes after it begin.
pub(super) const CURSOR: HeaderName = HeaderName::from_static("beaconry-cursor");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// How many devices the model describes at once. It reads the broker's messages in between.
const SLICE: usize = 128;

/// `GET /api/v1/devices`
///
/// A page of another site may read what it asks for by id, as a widget does. What there is, it cannot
/// find out.
pub(super) async fn list(
    State(site): State<Arc<Site>>,
    Extension(client): Extension<Client>,
    RawQuery(text): RawQuery,
) -> Result<(Option<CorsHeaders>, Response), ApiError> {
    let query = query::of_devices(text.as_deref())?;
    let cors = (!query.ids.is_empty()).then_some(CORS);
    let devices = site.devices()?.clone();
    let detail = query.detail();
    let listed = devices
        .ask(|answer| Question::List(Box::new(query), answer))
        .await?;
    let (pieces, body) = stream::body(client.taken);
    tokio::spawn(async move {
        if write(&devices, &listed, detail, &pieces).await.is_err() {
            pieces.break_off().await;
        }
    });
    let response = ([(header::CONTENT_TYPE, JSON)], body).into_response();
    Ok((cors, response))
}

/// Writes the answer in slices. While one is compressed and sent, the model describes the next.
async fn write(
    devices: &Handle,
    listed: &Listed,
    detail: Detail,
    pieces: &Pieces,
) -> Result<(), NoAnswer> {
    let describe = |keys: &[DeviceKey]| {
        let (devices, keys) = (devices.clone(), keys.to_vec());
        tokio::spawn(async move {
            let ask = |answer| Question::Describe(keys, detail, answer);
            devices.ask(ask).await
        })
    };
    let (head, tail) = around(&listed.answer);
    if !pieces.write(head).await {
        return Ok(());
    }
    let mut slices = listed.keys.chunks(SLICE);
    let mut asked = slices.next().map(describe);
    let mut is_first = true;
    while let Some(described) = asked {
        let mut json = described.await.map_err(|_| NoAnswer::Ended)??;
        asked = slices.next().map(describe);
        if json.is_empty() {
            continue;
        }
        if !is_first {
            json.insert(0, b',');
        }
        is_first = false;
        if !pieces.write(Bytes::from(json)).await {
            return Ok(());
        }
    }
    pieces.write(tail).await;
    Ok(())
}

/// The JSON before and behind the devices.
fn around(answer: &wire::Devices) -> (Bytes, Bytes) {
    const EMPTY: &str = "\"devices\":[";
    let json = serde_json::to_string(answer).unwrap_or_default();
    // The members before the list hold no such text: quotes within texts are escaped.
    let at = json.find(EMPTY).map_or(0, |at| at + EMPTY.len());
    let whole = Bytes::from(json);
    (whole.slice(..at), whole.slice(at..))
}

/// `GET /api/v1/devices/{id}`
pub(super) async fn one(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    Extension(client): Extension<Client>,
    uri: Uri,
) -> (CorsHeaders, Result<Response, ApiError>) {
    let answer = async {
        let query = uri.query().filter(|query| !query.is_empty());
        if query.is_some_and(|query| query.starts_with("at=")) {
            return history::one_at(&site, id, query).await;
        }
        let devices = site.devices()?;
        let cursor = devices.log().cursor();
        let found = devices.ask(|answer| Question::One(id, answer)).await?;
        // The path of a device may end like that of a part of one. The device is meant then.
        let path = uri.path().rsplit_once("/devices/").map(|(_, path)| path);
        if let (None, Some((id, part))) = (&found, path.and_then(history::part_of)) {
            return history::of_device(&site, id, part, query, client).await;
        }
        let mut response = json(found.ok_or(ApiError::NoSuchDevice)?);
        if let Ok(cursor) = HeaderValue::try_from(cursor) {
            response.headers_mut().insert(CURSOR, cursor);
        }
        Ok(response)
    };
    (CORS, answer.await)
}

/// `PATCH /api/v1/devices/{id}`
pub(super) async fn patch(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let wire::DevicePatch { hidden } =
        serde_json::from_slice(&body).map_err(|error| ApiError::BadBody(error.to_string()))?;
    let devices = site.devices()?;
    let found = devices
        .ask(|answer| Question::Hide(id, hidden, answer))
        .await?;
    found.map(json).ok_or(ApiError::NoSuchDevice)
}

/// `DELETE /api/v1/devices/{id}`
pub(super) async fn forget(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let devices = site.devices()?;
    let found = devices.ask(|answer| Question::Forget(id, answer)).await?;
    if found {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::NoSuchDevice)
    }
}

pub(super) fn json(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, JSON)], Body::from(bytes)).into_response()
}
