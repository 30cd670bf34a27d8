//! `GET /api/v1/changes`: what changes at the devices, as server-sent events.
//!
//! **Invariant.** A stream holds its place in the log, and at most one event. It ends with the server,
//! and nobody waits for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::{self, HeaderName};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, interval_at};

use super::{ApiError, CORS, CorsHeaders, query};
use crate::devices::{Cursor, Handle, Next};
use crate::http::Site;
use crate::http::connection::Client;
use crate::http::stream::{self, Pieces};

/// An event without news goes out this often, so that both ends notice a dead connection. It is no
/// comment, because a browser does not tell its page of comments.
const HEARTBEAT: Duration = Duration::from_secs(15);
const BEAT: &[u8] = b"event: beat\ndata: .\n\n";
/// How long a browser waits before it connects again.
const RETRY_MS: u32 = 2000;
/// The id of the last event that a browser has had, when it connects again.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// `GET /api/v1/changes`
pub(super) async fn changes(
    State(site): State<Arc<Site>>,
    Extension(client): Extension<Client>,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> (Option<CorsHeaders>, Result<Response, ApiError>) {
    let query = query::of_changes(text.as_deref());
    // A page of another site hears of the devices that it names, and of no other.
    let names_some = query.as_ref().is_ok_and(|(_, ids)| !ids.is_empty());
    let follow = || {
        let (after, ids) = query?;
        let ids: HashSet<String> = ids.into_iter().collect();
        let devices = site.devices()?.clone();
        // A browser that connects again repeats the address, with the cursor of the beginning.
        let last = headers.get(LAST_EVENT_ID);
        let last = last
            .and_then(|id| id.to_str().ok())
            .filter(|id| !id.is_empty());
        let from = match last.or(after.as_deref()) {
            None => devices.log().end(),
            Some(cursor) => devices.log().parse(cursor).ok_or(ApiError::BadParameter {
                name: "after",
                expected: "the cursor of an answer about the devices, or the id of an event",
            })?,
        };
        if devices.log().is_closed() {
            return Err(ApiError::ModelEnded);
        }
        let permit = devices.may_follow().ok_or(ApiError::TooManyStreams)?;
        let (pieces, body) = stream::body(client.taken);
        let shutdown = site.shutdown.clone();
        tokio::spawn(async move {
            write(&devices, from, &ids, &pieces, shutdown).await;
            drop(permit);
        });
        // A proxy should not gather what comes.
        let headers = [
            (header::CONTENT_TYPE, "text/event-stream"),
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ];
        Ok((headers, body).into_response())
    };
    (names_some.then_some(CORS), follow())
}

/// Writes events until the client has gone, or the log or the server ends.
async fn write(
    devices: &Handle,
    from: Cursor,
    ids: &HashSet<String>,
    pieces: &Pieces,
    mut shutdown: watch::Receiver<bool>,
) {
    let log = devices.log();
    let mut news = log.watch();
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    // Without data this is no event, but the browser keeps both, and connects again as they say.
    let cursor = log.text_of(from);
    let mut piece = Bytes::from(format!("retry: {RETRY_MS}\nid: {cursor}\n\n"));
    let mut at = from;
    loop {
        tokio::select! {
            is_wanted = pieces.write(piece) => if !is_wanted { return },
            _ = shutdown.wait_for(|shutdown| *shutdown) => return,
        }
        piece = loop {
            news.mark_unchanged();
            match log.next(devices.now(), at, ids) {
                Next::Event(event, behind) => {
                    at = Cursor::Behind(behind);
                    break event;
                }
                Next::Resync(event, behind) => {
                    devices.count_resync();
                    at = Cursor::Behind(behind);
                    break event;
                }
                Next::Nothing(behind) => at = Cursor::Behind(behind),
            }
            if log.is_closed() {
                return;
            }
            tokio::select! {
                _ = news.changed() => {}
                _ = heartbeat.tick() => break Bytes::from_static(BEAT),
                () = pieces.unwanted() => return,
                _ = shutdown.wait_for(|shutdown| *shutdown) => return,
            }
        };
    }
}
