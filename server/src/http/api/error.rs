//! Errors of the API, as problems of RFC 9457.

use api::Problem;
use axum::body::to_bytes;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};

use crate::devices::NoAnswer;

const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Why a request to the API failed. The text says what to do, where something can be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("the API has no such path")]
    NoSuchRoute,
    #[error("this path does not answer that method; the header Allow lists those that it answers")]
    MethodNotAllowed,
    #[error("the broker did not answer in time; ask again")]
    BrokerSilent,
    #[error("{name:?} is no parameter of this path; it takes {known}")]
    UnknownParameter { name: String, known: String },
    #[error("the parameter {name} may be given only once")]
    RepeatedParameter { name: &'static str },
    #[error("the parameter {name} should be {expected}")]
    BadParameter {
        name: &'static str,
        expected: &'static str,
    },
    #[error("no device has this id; GET api/v1/devices?hidden=any lists all devices")]
    NoSuchDevice,
    #[error("the body should be JSON such as {{\"hidden\":true}}: {0}")]
    BadBody(String),
    #[error(
        "the model of the devices has ended because of a fault in beaconry, while MQTT goes on: please report it with the log, and restart the server"
    )]
    ModelEnded,
    #[error("this server keeps no model of the devices: it was started with --no-devices")]
    ModelOff,
    #[error("the model of the devices did not answer in time; ask again")]
    ModelSilent,
    #[error(
        "this server remembers nothing: it was started with --no-history, --in-memory or --no-devices"
    )]
    NoHistory,
    #[error("nothing was recorded of such a device or metric")]
    NoSuchSeries,
    #[error("this server keeps no messages: it was started with --history-messages 0")]
    NoMessages,
    #[error(
        "the range has more than {} of them: ask for a shorter one, with from and to",
        ::history::View::MOST_VALUES
    )]
    TooMany,
    #[error("the history could not be read; the server's log says why")]
    HistoryFailed,
    #[error("too many programs follow the changes; ask again later, or raise --max-change-streams")]
    TooManyStreams,
}

impl ApiError {
    const fn status(&self) -> StatusCode {
        match self {
            // No later request will find one.
            Self::NoSuchRoute
            | Self::NoSuchDevice
            | Self::ModelOff
            | Self::NoHistory
            | Self::NoMessages
            | Self::NoSuchSeries => StatusCode::NOT_FOUND,
            Self::HistoryFailed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BrokerSilent | Self::ModelEnded | Self::ModelSilent | Self::TooManyStreams => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::UnknownParameter { .. }
            | Self::RepeatedParameter { .. }
            | Self::BadParameter { .. }
            | Self::TooMany
            | Self::BadBody(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<NoAnswer> for ApiError {
    fn from(why: NoAnswer) -> Self {
        match why {
            NoAnswer::Ended => Self::ModelEnded,
            NoAnswer::Late => Self::ModelSilent,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        problem(self.status(), self.to_string())
    }
}

/// Turns an error that a layer or an extractor answered with plain text into a problem.
pub(super) async fn as_problem(response: Response) -> Response {
    /// Such texts are one sentence long.
    const LONGEST: usize = 4 * 1024;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.headers().get(header::CONTENT_TYPE) == Some(&PROBLEM) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let text = to_bytes(body, LONGEST).await.unwrap_or_default();
    let mut response = problem(status, String::from_utf8_lossy(&text).into_owned());
    // Keeps headers such as Allow, but not those that describe the old body.
    for (name, value) in &parts.headers {
        if name != header::CONTENT_LENGTH {
            response
                .headers_mut()
                .entry(name)
                .or_insert_with(|| value.clone());
        }
    }
    response
}

pub(crate) fn problem(status: StatusCode, detail: String) -> Response {
    let problem = Problem {
        title: status.canonical_reason().unwrap_or_default().to_owned(),
        status: status.as_u16(),
        detail,
    };
    let headers = [
        (header::CONTENT_TYPE, PROBLEM),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (
        status,
        headers,
        serde_json::to_string(&problem).unwrap_or_default(),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(response: Response) -> (u16, Problem) {
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM);
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_refusal_in_plain_text_becomes_a_problem() {
        let headers = [(header::ALLOW, "GET"), (header::CONTENT_LENGTH, "4")];
        let refusal = (StatusCode::PAYLOAD_TOO_LARGE, headers, "too \"large\"");
        let response = as_problem(refusal.into_response()).await;
        assert_eq!(response.headers()[header::ALLOW], "GET");
        assert!(!response.headers().contains_key(header::CONTENT_LENGTH));
        let (status, problem) = read(response).await;
        assert_eq!((status, problem.status), (413, 413));
        assert_eq!(problem.title, "Payload Too Large");
        assert_eq!(problem.detail, "too \"large\"");
    }

    #[tokio::test]
    async fn an_error_of_a_handler_keeps_its_words() {
        let response = as_problem(ApiError::BrokerSilent.into_response()).await;
        let (status, problem) = read(response).await;
        assert_eq!((status, problem.status), (503, 503));
        assert_eq!(problem.detail, ApiError::BrokerSilent.to_string());
    }

    #[tokio::test]
    async fn a_success_stays_as_it_is() {
        let response = as_problem("text".into_response()).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(to_bytes(response.into_body(), 9).await.unwrap(), "text");
    }
}
