//! `GET /api/v1/messages` and `GET /api/v1/devices/{id}/messages`: messages as they came.

use std::sync::Arc;

use ::api::fleet::Time;
use ::api::history::{Message, Messages};
use ::messages::{Kept, Order, Page, Query, Reader};
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use data_encoding::BASE64;
use mqtt::TopicFilter;
use tracing::{debug, error};

use super::super::ApiError;
use super::super::query::Parameters;
use super::{time, wait_for};
use crate::devices::Question;
use crate::http::Site;
use crate::http::connection::Client;
use crate::http::stream::{self, Pieces};

const LIMIT: usize = 100;
const MAX_LIMIT: usize = 1000;
/// Messages that are read at once when all of them are wanted.
const AT_ONCE: usize = 10_000;
const NDJSON: HeaderValue = HeaderValue::from_static("application/x-ndjson");
const FILTER: &str = "a topic filter such as home/+/temperature or home/#, not a shared one";
const NEXT: &str = "the member \"next\" of the answer to the same question";

/// What is asked for.
#[derive(Debug)]
struct Asked {
    query: Query,
    /// All messages, or the first so many, a line for each. `None`: one page.
    stream: Option<usize>,
}

/// `GET /api/v1/messages`
pub(super) async fn all(
    State(site): State<Arc<Site>>,
    Extension(client): Extension<Client>,
    RawQuery(text): RawQuery,
) -> Result<Response, ApiError> {
    let asked = read(text.as_deref(), site.now())?;
    answer(&site, asked, client).await
}

/// `GET /api/v1/devices/{id}/messages`: what it publishes, its commands and its answers.
pub(super) async fn of_device(
    site: &Site,
    id: &str,
    text: Option<&str>,
    client: Client,
) -> Result<Response, ApiError> {
    let mut asked = read(text, site.now())?;
    let ask = |answer| Question::Topics(id.to_owned(), answer);
    let topics = site.devices()?.ask(ask).await?;
    let topics = topics.ok_or(ApiError::NoSuchDevice)?;
    if !asked.query.filters.is_empty() {
        return Err(ApiError::UnknownParameter {
            name: "topic".to_owned(),
            known: "all parameters of /messages but this one: the device has its own".to_owned(),
        });
    }
    asked.query.filters = topics;
    answer(site, asked, client).await
}

fn read(text: Option<&str>, now: i64) -> Result<Asked, ApiError> {
    let mut given = Parameters::read(
        text,
        &[
            "topic", "q", "from", "to", "order", "limit", "before", "after", "format",
        ],
    )?;
    let filters = given.all("topic");
    let is_filter = |text: &String| {
        TopicFilter::try_from(&**text)
            .is_ok_and(|it| it.shared().is_none() && !it.is_malformed_share())
    };
    if !filters.iter().all(is_filter) {
        return Err(ApiError::BadParameter {
            name: "topic",
            expected: FILTER,
        });
    }
    let mut time = |name| given.parsed(name, time::TIMES, |text| time::parse(text, now));
    let (from, to) = (time("from")?, time("to")?);
    let is_stream = given.parsed("format", "json or ndjson", |text| match text {
        "json" => Some(false),
        "ndjson" => Some(true),
        _ => None,
    })?;
    let is_stream = is_stream.unwrap_or(false);
    let order = given.parsed("order", "newest or oldest", |text| match text {
        "newest" => Some(Order::Newest),
        "oldest" => Some(Order::Oldest),
        _ => None,
    })?;
    let most = if is_stream { usize::MAX } else { MAX_LIMIT };
    let limit = given.parsed("limit", "a whole number from 1 to 1000", |text| {
        let limit = text.parse().ok();
        limit.filter(|limit| (1..=most).contains(limit))
    })?;
    let number = |text: &str| text.parse::<u64>().ok();
    let before = given.parsed("before", NEXT, number)?;
    let after = given.parsed("after", NEXT, number)?;
    let order = match (order, before, after, is_stream) {
        (None | Some(Order::Newest), Some(_), None, _)
        | (None, None, None, false)
        | (Some(Order::Newest), None, None, _) => Order::Newest,
        (None | Some(Order::Oldest), None, Some(_), _)
        | (Some(Order::Oldest), None, None, _)
        | (None, None, None, true) => Order::Oldest,
        (_, Some(_), _, _) | (_, _, Some(_), _) => {
            return Err(ApiError::BadParameter {
                name: "order",
                expected: "newest with the parameter before, or oldest with the parameter after",
            });
        }
    };
    Ok(Asked {
        query: Query {
            from: from.unwrap_or(i64::MIN),
            to: to.unwrap_or(i64::MAX),
            filters,
            text: given.one("q")?,
            order,
            start: before.or(after),
            limit: limit.unwrap_or(LIMIT),
            ..Query::default()
        },
        stream: is_stream.then_some(limit.unwrap_or(usize::MAX)),
    })
}

async fn answer(site: &Site, mut asked: Asked, client: Client) -> Result<Response, ApiError> {
    let messages = site.history()?.messages().ok_or(ApiError::NoMessages)?;
    let reader = messages.reader().clone();
    asked.query.visible = messages.visible();
    let Some(most) = asked.stream else {
        let json = wait_for(move || {
            let page = look(&reader, &asked.query)?;
            Ok(serde_json::to_vec(&as_answer(page)).unwrap_or_default())
        });
        return json.await.map(super::super::devices::json);
    };
    let (pieces, body) = stream::body(client.taken);
    tokio::spawn(async move {
        if write_all(&reader, asked.query, most, &pieces)
            .await
            .is_err()
        {
            pieces.break_off().await;
        }
    });
    Ok(([(header::CONTENT_TYPE, NDJSON)], body).into_response())
}

/// Writes page after page, a line for each message, until there are no more or `left` are written.
async fn write_all(
    reader: &Reader,
    mut query: Query,
    mut left: usize,
    pieces: &Pieces,
) -> Result<(), ApiError> {
    loop {
        query.limit = left.min(AT_ONCE);
        let (reader, asked) = (reader.clone(), query.clone());
        let (lines, count, next) = wait_for(move || {
            let page = look(&reader, &asked)?;
            let (mut lines, count) = (Vec::new(), page.messages.len());
            for message in page.messages {
                // Writing JSON into a buffer cannot fail: our types have text for every key.
                let _ = serde_json::to_writer(&mut lines, &as_message(message));
                lines.push(b'\n');
            }
            Ok((lines, count, page.next))
        })
        .await?;
        if !lines.is_empty() && !pieces.write(Bytes::from(lines)).await {
            return Ok(());
        }
        left -= count;
        match next {
            Some(next) if left > 0 => query.start = Some(next),
            Some(_) | None => return Ok(()),
        }
    }
}

fn look(reader: &Reader, query: &Query) -> Result<Page, ApiError> {
    let page = reader.read(query).map_err(|error| {
        error!("messages: {error}");
        ApiError::HistoryFailed
    })?;
    for damage in &page.damaged {
        debug!("{damage}");
    }
    Ok(page)
}

fn as_answer(page: Page) -> Messages {
    Messages {
        messages: page.messages.into_iter().map(as_message).collect(),
        next: page.next.map(|number| number.to_string()),
        looked_back_to: page.looked_to.map(Time),
    }
}

fn as_message(kept: Kept) -> Message {
    let is_cut = (kept.payload.len() as u64) < kept.bytes;
    let (payload, base64) = match text_of(kept.payload, is_cut) {
        Ok(text) => (Some(text), None),
        Err(bytes) => (None, Some(BASE64.encode(&bytes))),
    };
    Message {
        time: Time(kept.time),
        topic: kept.topic,
        payload,
        base64,
        bytes: kept.bytes,
        qos: kept.qos,
        retain: kept.retain,
        client: kept.client,
    }
}

/// The payload as text. Where it was cut, a character may be in pieces.
fn text_of(payload: Vec<u8>, is_cut: bool) -> Result<String, Vec<u8>> {
    String::from_utf8(payload).or_else(|error| {
        let end = error.utf8_error().valid_up_to();
        let is_end = error.utf8_error().error_len().is_none();
        let mut payload = error.into_bytes();
        if !is_cut || !is_end {
            return Err(payload);
        }
        payload.truncate(end);
        String::from_utf8(payload).map_err(std::string::FromUtf8Error::into_bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Asked {
        read(Some(text), 1_000_000).unwrap()
    }

    #[test]
    fn questions_are_read() {
        let Asked { query, stream } = asked("");
        assert_eq!(stream, None);
        assert_eq!(
            (query.order, query.limit, query.start),
            (Order::Newest, LIMIT, None)
        );
        let Asked { query, .. } =
            asked("topic=a%2F%23&topic=%2B%2Fb&q=On&from=now-10s&to=now&limit=7&before=99");
        assert_eq!(query.filters, ["a/#", "+/b"]);
        assert_eq!(query.text.as_deref(), Some("On"));
        assert_eq!((query.from, query.to), (990_000, 1_000_000));
        assert_eq!(
            (query.order, query.limit, query.start),
            (Order::Newest, 7, Some(99))
        );
        let Asked { query, stream } = asked("format=ndjson");
        assert_eq!(stream, Some(usize::MAX));
        assert_eq!(asked("format=ndjson&limit=5000").stream, Some(5_000));
        assert_eq!(query.order, Order::Oldest);
        for text in ["after=5", "order=oldest&after=5", "format=ndjson&after=5"] {
            let query = asked(text).query;
            assert_eq!(
                (query.order, query.start),
                (Order::Oldest, Some(5)),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_expected() {
        for (text, part) in [
            ("topic=a%2F%23%2Fb", "topic filter"),
            ("topic=%24share%2Fg%2Fa", "not a shared one"),
            ("limit=0", "from 1 to 1000"),
            ("limit=1001", "from 1 to 1000"),
            ("order=new", "newest or oldest"),
            ("before=x", "next"),
            ("after=1&before=2", "before"),
            ("order=oldest&before=2", "newest with"),
            ("order=newest&after=2", "newest with"),
            ("format=csv", "ndjson"),
            ("from=yesterday", "now-90m"),
            ("filter=a", "topic, q"),
        ] {
            let error = read(Some(text), 0).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn payloads_are_text_or_base64() {
        let of = |payload: &[u8], bytes: u64| {
            let message = as_message(Kept {
                number: 1,
                time: 2,
                topic: "a".to_owned(),
                payload: payload.to_vec(),
                bytes,
                qos: 1,
                retain: true,
                client: None,
            });
            (message.payload, message.base64)
        };
        let text = |text: &str| (Some(text.to_owned()), None);
        assert_eq!(of(b"", 0), text(""));
        assert_eq!(of("tür".as_bytes(), 4), text("tür"));
        // The ü was cut.
        assert_eq!(of(b"t\xC3", 4), text("t"));
        assert_eq!(of(b"t\xC3", 2), (None, Some("dMM=".to_owned())));
        assert_eq!(of(b"\xFF", 9), (None, Some("/w==".to_owned())));
    }
}
