//! The opening handshake of a WebSocket that carries MQTT (RFC 6455, section 4.2; MQTT 5,
//! chapter 6).
//!
//! The standard names one subprotocol, "mqtt". Old clients offer "mqttv3.1", which is older than the
//! standard, and simple clients offer none. All of them speak the same MQTT, so the server accepts
//! all three. It refuses a client that offers only other names.

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::respond;

/// What a client may offer, the preferred one first [MQTT-6.0.0-4].
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Why a request does not become a WebSocket, as a text for the client.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It does not ask for a WebSocket, or not in a version that the server speaks.
    UpgradeRequired(&'static str),
    /// The request is not valid.
    BadRequest(&'static str),
}

/// An accepted handshake, and what its answer says.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Proves to the client that the server read its key.
    key: HeaderValue,
    /// `None`: the client offered none.
    subprotocol: Option<&'static str>,
}

/// Whether a request asks for a WebSocket. It need not be valid.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    let lists =
        |name, wanted: &str| tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted));
    lists(&header::CONNECTION, "upgrade") && lists(&header::UPGRADE, "websocket")
}

/// Checks a request for MQTT over WebSocket.
pub(crate) fn check(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<Accepted, Refusal> {
    if method != Method::GET || version != Version::HTTP_11 || !is_asked_for(headers) {
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
            "This server speaks version 13 of the WebSocket protocol only.\n",
        ));
    }
    let subprotocol = subprotocol(headers)?;
    let key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key.as_bytes()));
    key.and_then(|key| HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok())
        .map(|key| Accepted { key, subprotocol })
        .ok_or(Refusal::BadRequest(
            "Sec-WebSocket-Key is missing or is not 16 bytes in base64.\n",
        ))
}

impl Accepted {
    /// The answer that switches protocols.
    pub(crate) fn response(self) -> Response {
        let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.key);
        if let Some(subprotocol) = self.subprotocol {
            headers.insert(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_static(subprotocol),
            );
        }
        response
    }
}

impl Refusal {
    /// The connection of this request cannot be taken over.
    pub(crate) const NO_SOCKET: Self =
        Self::UpgradeRequired("This connection cannot become a WebSocket.\n");
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::BadRequest(text) => respond::text(StatusCode::BAD_REQUEST, text),
            Self::UpgradeRequired(text) => {
                let mut response = respond::text(StatusCode::UPGRADE_REQUIRED, text);
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

/// Selects one of the subprotocols that the client offers.
fn subprotocol(headers: &HeaderMap) -> Result<Option<&'static str>, Refusal> {
    let offers =
        |name: &&str| tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).any(|token| token == *name);
    if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return Ok(None);
    }
    let selected = SUBPROTOCOLS.into_iter().find(offers);
    selected.map(Some).ok_or(Refusal::BadRequest(
        "None of the WebSocket subprotocols that you offer is MQTT. Offer \"mqtt\" [MQTT-6.0.0-3]; in a browser: \
         new WebSocket(url, \"mqtt\").\n",
    ))
}

/// The items of a comma-separated list, which may be spread over several lines.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
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

    fn answer(headers: &HeaderMap) -> Response {
        match check(&Method::GET, Version::HTTP_11, headers) {
            Ok(accepted) => accepted.response(),
            Err(refusal) => refusal.into_response(),
        }
    }

    fn status(headers: &HeaderMap) -> StatusCode {
        answer(headers).status()
    }

    /// The status for these lines of Sec-WebSocket-Protocol, and the subprotocol that is selected.
    fn selected(lines: &[&'static str]) -> (u16, Option<String>) {
        let mut request = request();
        request.remove(header::SEC_WEBSOCKET_PROTOCOL);
        for line in lines {
            request.append(
                header::SEC_WEBSOCKET_PROTOCOL,
                HeaderValue::from_static(line),
            );
        }
        let answer = answer(&request);
        let selected = answer.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
        let selected = selected.map(|name| name.to_str().unwrap().to_owned());
        (answer.status().as_u16(), selected)
    }

    #[test]
    fn the_key_is_answered() {
        let response = answer(&request());
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(
            response.headers()[header::SEC_WEBSOCKET_ACCEPT],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn mqtt_6_0_0_4_answers_with_the_subprotocol() {
        let mqtt = (101, Some("mqtt".to_owned()));
        for lines in [
            &["mqtt"][..],
            &["chat, mqtt"],
            &["mqttv3.1,mqtt"],
            &["mqttv3.1, MQTT", "mqtt"],
        ] {
            assert_eq!(selected(lines), mqtt, "{lines:?}");
        }
    }

    #[test]
    fn clients_from_before_the_standard_get_what_they_offer() {
        assert_eq!(
            selected(&["chat, mqttv3.1"]),
            (101, Some("mqttv3.1".to_owned()))
        );
        assert_eq!(selected(&[]), (101, None));
    }

    #[test]
    fn mqtt_6_0_0_3_a_client_that_offers_only_others_is_refused() {
        for lines in [&["chat"][..], &["MQTT"], &["mqtt5"], &[""], &[","]] {
            assert_eq!(selected(lines), (400, None), "{lines:?}");
        }
    }

    #[test]
    fn an_invalid_handshake_is_refused() {
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
        assert!(check(&Method::POST, Version::HTTP_11, &request()).is_err());
    }
}
