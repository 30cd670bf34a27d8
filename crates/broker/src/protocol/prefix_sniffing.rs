//! What comes in place of CONNECT and is no MQTT at all. That a reserved flag is set helps nobody
//! who has taken the wrong port: the log says what it looks like.

use crate::types::LOOKS_LIKE_HTTP;

/// How requests begin: the methods of RFC 9110 and 5789, and the preface of HTTP/2.
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

/// What the first bytes of a connection look like, if they look like something else. None of it
/// can begin a CONNECT.
pub(crate) fn looks_like(bytes: &[u8]) -> Option<&'static str> {
    // A record with a handshake message, of any version (RFC 8446, section 5.1).
    if bytes.starts_with(&[0x16, 0x03]) {
        return Some("this looks like TLS; this port speaks plain MQTT");
    }
    let is_http = METHODS.iter().any(|method| bytes.starts_with(method));
    is_http.then_some(LOOKS_LIKE_HTTP)
}
