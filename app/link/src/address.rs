//! Which broker to talk to, and whether a browser can.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::fmt;

/// Where the page came from, as far as it matters for where its broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageAddress {
    /// Whether it was loaded over TLS: then its sockets must use TLS too.
    pub secure: bool,
    /// Host and port: `192.168.1.5:8080`.
    pub host: String,
}

/// A URL that a WebSocket can be opened to from this page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl(String);

/// Why an address is none that a WebSocket can be opened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// `mqtt://`, `tcp://` and the like.
    Scheme {
        /// What stands before `://`.
        scheme: String,
    },
    /// Nothing between `://` and the path.
    NoHost,
    /// A user name or password in it, where everyone sees them.
    Credentials,
    /// The page came over TLS, the broker's address does not use it, and browsers refuse that.
    MixedContent {
        /// The address.
        url: String,
    },
}

impl UrlError {
    /// What is wrong and what to do, without the machinery of `Display`, which would be a
    /// twentieth of a widget.
    pub fn message(&self) -> String {
        match self {
            Self::Scheme { scheme } => [
                "“",
                scheme,
                "://” is not for browsers: they speak MQTT over WebSockets only. Give an address that begins with ws:// or wss://",
            ]
            .concat(),
            Self::NoHost => "the broker's address names no host".to_owned(),
            Self::Credentials => "leave user name and password out of the broker's address: they are asked for when the broker wants them".to_owned(),
            Self::MixedContent { url } => [
                "this page came over https, so browsers do not let it connect to ",
                url,
                ": use a wss:// address, or open the page over http",
            ]
            .concat(),
        }
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl core::error::Error for UrlError {}

impl PageAddress {
    /// The address of the page that this runs in; outside a page, `localhost`.
    pub fn current() -> Self {
        let location = crate::window().map(|window| window.location());
        let part = |part: fn(&web_sys::Location) -> Result<String, wasm_bindgen::JsValue>| {
            location.as_ref().and_then(|location| part(location).ok())
        };
        Self {
            secure: part(web_sys::Location::protocol).as_deref() == Some("https:"),
            host: part(web_sys::Location::host).unwrap_or_else(|| "localhost".to_owned()),
        }
    }

    /// The broker in `wanted`, or `/mqtt` at the page's own origin. An address without
    /// `ws://` or `wss://` gets the one that goes with the page.
    pub fn broker_url(&self, wanted: Option<&str>) -> Result<BrokerUrl, UrlError> {
        let wanted = wanted
            .map(str::trim_ascii)
            .filter(|wanted| !wanted.is_empty());
        let scheme = if self.secure { "wss" } else { "ws" };
        let url = match wanted {
            None => [scheme, "://", &self.host, "/mqtt"].concat(),
            Some(wanted) if split_scheme(wanted).is_some() => wanted.to_owned(),
            Some(wanted) => [scheme, "://", wanted].concat(),
        };
        let (scheme, rest) = split_scheme(&url).ok_or(UrlError::NoHost)?;
        let plain = scheme.eq_ignore_ascii_case("ws");
        if !plain && !scheme.eq_ignore_ascii_case("wss") {
            return Err(UrlError::Scheme {
                scheme: scheme.to_owned(),
            });
        }
        let authority = until(rest, b"/?#");
        if until(authority, b"@") != authority {
            return Err(UrlError::Credentials);
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err(UrlError::NoHost);
        }
        if self.secure && plain && !is_loopback(authority) {
            return Err(UrlError::MixedContent { url });
        }
        // A fragment is a syntax error to `new WebSocket`, and says nothing to a broker.
        Ok(BrokerUrl(until(&url, b"#").to_owned()))
    }
}

/// What stands before `://`, if that is a scheme, and what behind it.
fn split_scheme(url: &str) -> Option<(&str, &str)> {
    let scheme = until(url, b":/?#");
    let rest = url.get(scheme.len()..)?.strip_prefix("://")?;
    Some((scheme, rest))
}

/// The start of `text`, up to one of `stops`, which are ASCII. The library's own patterns would
/// be larger than all of this file.
fn until<'a>(text: &'a str, stops: &[u8]) -> &'a str {
    let end = text.bytes().position(|byte| stops.contains(&byte));
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Loopback addresses are trusted without TLS, even by pages that came over it.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => until(rest, b"]"),
        None => until(authority, b":"),
    };
    host == "::1"
        || host.eq_ignore_ascii_case("localhost")
        || host.to_ascii_lowercase().ends_with(".localhost")
        || (host.starts_with("127.") && host.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

impl BrokerUrl {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it uses TLS.
    pub fn is_secure(&self) -> bool {
        self.0
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("wss:"))
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        let rest = split_scheme(&self.0).map_or("", |(_, rest)| rest);
        until(rest, b"/?")
    }

    /// The port, if one is named.
    pub fn port(&self) -> Option<u16> {
        let (_, port) = self.authority().rsplit_once(':')?;
        port.parse().ok()
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString as _;

    fn page(secure: bool) -> PageAddress {
        PageAddress {
            secure,
            host: "fleet.example:8443".to_owned(),
        }
    }

    fn url(secure: bool, wanted: &str) -> Result<String, UrlError> {
        page(secure)
            .broker_url(Some(wanted))
            .map(|url| url.to_string())
    }

    #[test]
    fn the_page_s_own_broker_is_the_default() {
        for wanted in [None, Some(""), Some("  ")] {
            let url = page(false).broker_url(wanted).unwrap();
            assert_eq!(url.as_str(), "ws://fleet.example:8443/mqtt");
        }
        let url = page(true).broker_url(None).unwrap();
        assert_eq!(url.as_str(), "wss://fleet.example:8443/mqtt");
    }

    #[test]
    fn another_broker_may_be_named_with_or_without_its_scheme() {
        let named = "wss://b.example:9001/ws?x=1";
        assert_eq!(url(false, named).as_deref(), Ok(named));
        assert_eq!(url(true, " b/ws#x ").as_deref(), Ok("wss://b/ws"));
        assert_eq!(url(false, "[::1]:9001").as_deref(), Ok("ws://[::1]:9001"));
    }

    #[test]
    fn what_no_browser_can_open_is_refused_with_a_reason() {
        assert!(matches!(
            url(false, "mqtt://b:1883"),
            Err(UrlError::Scheme { scheme }) if scheme == "mqtt"
        ));
        assert_eq!(url(false, "ws:///mqtt"), Err(UrlError::NoHost));
        assert_eq!(url(false, "ws://:80/mqtt"), Err(UrlError::NoHost));
        assert_eq!(
            url(false, "wss://me:secret@b/mqtt"),
            Err(UrlError::Credentials)
        );
        assert_eq!(
            url(false, "ws://b/@mqtt").as_deref(),
            Ok("ws://b/@mqtt"),
            "an @ in the path is no user name"
        );
    }

    #[test]
    fn mixed_content_is_recognised_before_it_is_tried() {
        assert!(matches!(
            url(true, "ws://b.example/mqtt"),
            Err(UrlError::MixedContent { .. })
        ));
        for local in ["localhost:9001", "127.0.0.1", "[::1]:9001", "a.localhost"] {
            assert!(url(true, &format!("ws://{local}/mqtt")).is_ok(), "{local}");
        }
        for other in ["localhost.example", "127.evil.example", "[::2]"] {
            assert!(url(true, &format!("ws://{other}/mqtt")).is_err(), "{other}");
        }
    }

    #[test]
    fn the_parts_of_a_url() {
        let url = page(true).broker_url(Some("WSS://b:9001/x:1")).unwrap();
        assert!(url.is_secure());
        assert_eq!((url.authority(), url.port()), ("b:9001", Some(9001)));
        let url = page(false).broker_url(Some("[::1]/x")).unwrap();
        assert!(!url.is_secure());
        assert_eq!((url.authority(), url.port()), ("[::1]", None));
    }
}
