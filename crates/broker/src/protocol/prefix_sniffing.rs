//! Prefix sniffing: recognises other protocols by their first bytes.
//!
//! A client on the wrong port learns nothing from "a reserved flag is set". So the log says what
//! its bytes look like.

use crate::types::LOOKS_LIKE_HTTP;

/// How HTTP requests begin: the methods of RFC 9110 and 5789, and the preface of HTTP/2.
const METHODS: &[&[u8]] = &[
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PATCH ",
    b"PRI * ",
];

/// What the first bytes of a connection look like, unless they may be MQTT. No CONNECT begins
/// with any of these.
pub(crate) fn looks_like(bytes: &[u8]) -> Option<&'static str> {
    // A TLS record with a handshake message, of any version (RFC 8446, section 5.1).
    if bytes.starts_with(&[0x16, 0x03]) {
        return Some("this looks like TLS; this port speaks plain MQTT");
    }
    let is_http = METHODS.iter().any(|method| bytes.starts_with(method));
    is_http.then_some(LOOKS_LIKE_HTTP)
}
