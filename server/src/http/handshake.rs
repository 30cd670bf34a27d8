//! The opening handshake of a WebSocket that carries MQTT (RFC 6455, section 4.2; MQTT 5,
//! chapter 6).

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::respond;

const SUBPROTOCOL: &str = "mqtt";

/// Why a request for `/mqtt` does not become a WebSocket, in words for whoever sent it.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It does not ask for one, or not for the one that is spoken here.
    UpgradeRequired(&'static str),
    /// It asks wrongly.
    BadRequest(&'static str),
}

/// What proves to the client that its handshake was understood.
#[derive(Debug)]
pub(crate) struct Accepted(HeaderValue);

/// Checks a request for `/mqtt`.
pub(crate) fn check(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<Accepted, Refusal> {
    if method != Method::GET || version != Version::HTTP_11 || !wants_websocket(headers) {
        return Err(Refusal::UpgradeRequired(
            "This is MQTT over WebSocket: point an MQTT client at it, not a browser's address bar.\n\
             The subprotocol is \"mqtt\", and packets travel in binary messages.\n",
        ));
    }
    if headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != "13")
    {
        return Err(Refusal::UpgradeRequired(
            "Only version 13 of the WebSocket protocol is spoken here.\n",
        ));
    }
    if !has_token(headers, &header::SEC_WEBSOCKET_PROTOCOL, |token| {
        token == SUBPROTOCOL
    }) {
        return Err(Refusal::BadRequest(
            "The WebSocket's list of subprotocols must contain \"mqtt\" [MQTT-6.0.0-3]. In a browser: \
             new WebSocket(url, \"mqtt\").\n",
        ));
    }
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key.as_bytes()));
    key.and_then(|key| HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok())
        .map(Accepted)
        .ok_or(Refusal::BadRequest(
            "Sec-WebSocket-Key is missing or is not 16 bytes in base64.\n",
        ))
}

impl Accepted {
    /// The answer that switches protocols.
    pub(crate) fn response(self) -> Response<Full<Bytes>> {
        let mut response = respond::empty(StatusCode::SWITCHING_PROTOCOLS);
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.0);
        // [MQTT-6.0.0-4]
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
        response
    }
}

impl Refusal {
    pub(crate) fn response(&self) -> Response<Full<Bytes>> {
        match self {
            Self::BadRequest(text) => respond::text(StatusCode::BAD_REQUEST, *text),
            Self::UpgradeRequired(text) => {
                let mut response = respond::text(StatusCode::UPGRADE_REQUIRED, *text);
                let headers = response.headers_mut();
                headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(
                    header::SEC_WEBSOCKET_VERSION,
                    HeaderValue::from_static("13"),
                );
                response
            }
        }
    }
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, &header::CONNECTION, |token| {
        token.eq_ignore_ascii_case("upgrade")
    }) && has_token(headers, &header::UPGRADE, |token| {
        token.eq_ignore_ascii_case("websocket")
    })
}

/// Whether a comma-separated list, which may be spread over several lines, has a fitting item.
fn has_token(headers: &HeaderMap, name: &HeaderName, fits: impl Fn(&str) -> bool) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| fits(token.trim()))
}

/// 16 bytes in base64: 22 characters and two of padding.
fn is_key(key: &[u8]) -> bool {
    key.len() == 24
        && key.ends_with(b"==")
        && key[..22]
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of RFC 6455, section 1.3, asking for MQTT.
    fn request() -> HeaderMap {
        [
            (header::CONNECTION, "keep-alive, Upgrade"),
            (header::UPGRADE, "websocket"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
            (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
            (header::SEC_WEBSOCKET_PROTOCOL, "chat, mqtt"),
        ]
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .collect()
    }

    fn status(headers: &HeaderMap) -> StatusCode {
        match check(&Method::GET, Version::HTTP_11, headers) {
            Ok(accepted) => accepted.response().status(),
            Err(refusal) => refusal.response().status(),
        }
    }

    #[test]
    fn mqtt_6_0_0_4_answers_with_the_subprotocol() {
        let response = check(&Method::GET, Version::HTTP_11, &request())
            .unwrap()
            .response();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], "mqtt");
        assert_eq!(
            response.headers()[header::SEC_WEBSOCKET_ACCEPT],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn mqtt_6_0_0_3_refuses_other_subprotocols() {
        let mut none = request();
        none.remove(header::SEC_WEBSOCKET_PROTOCOL);
        assert_eq!(status(&none), StatusCode::BAD_REQUEST);
        let mut other = request();
        other.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static("mqttv3.1, MQTT"),
        );
        assert_eq!(status(&other), StatusCode::BAD_REQUEST);
        other.append(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static("mqtt"),
        );
        assert_eq!(status(&other), StatusCode::SWITCHING_PROTOCOLS);
    }

    #[test]
    fn what_is_no_handshake_is_told_so() {
        assert_eq!(status(&HeaderMap::new()), StatusCode::UPGRADE_REQUIRED);
        let mut version = request();
        version.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("8"));
        assert_eq!(status(&version), StatusCode::UPGRADE_REQUIRED);
        for key in [
            "",
            "short==",
            "dGhlIHNhbXBsZSBub25jZQ=!",
            "éGhlIHNhbXBsZSBub25jZQ==",
        ] {
            let mut bad = request();
            bad.insert(
                header::SEC_WEBSOCKET_KEY,
                HeaderValue::from_bytes(key.as_bytes()).unwrap(),
            );
            assert_eq!(status(&bad), StatusCode::BAD_REQUEST, "{key}");
        }
        assert!(check(&Method::GET, Version::HTTP_10, &request()).is_err());
    }
}
