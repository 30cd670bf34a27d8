//! The broker's address, and whether a browser can connect to it.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::fmt;

/// What follows from the page's address for the address of its broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageAddress {
    /// Whether the page was loaded over TLS: then its sockets must use TLS too.
    pub secure: bool,
    /// The broker's address if nobody names another, as `http://…` or `https://…`. It stands beside
    /// what the server sends, so that a proxy can serve both under any path.
    pub own_broker: String,
}

/// A URL that a WebSocket can be opened to from this page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl(String);

/// Why no WebSocket can be opened to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// `mqtt://`, `tcp://` and the like.
    Scheme {
        /// What stands before `://`.
        scheme: String,
    },
    /// There is nothing between `://` and the path.
    NoHost,
    /// It has a character or a port that no address has.
    NotAnAddress {
        /// What was given.
        address: String,
    },
    /// It holds a user name or password, which everyone would see there.
    Credentials,
    /// The page came over TLS and the broker's address does not use it. Browsers refuse that.
    MixedContent {
        /// The address.
        url: String,
    },
}

impl UrlError {
    /// What is wrong and what to do. `Display` with its machinery would be a twentieth of a
    /// widget.
    pub fn message(&self) -> String {
        match self {
            Self::Scheme { scheme } => [
                "“",
                scheme,
                "://” is not for browsers: they speak MQTT over WebSockets only. Give an address that begins with ws:// or wss://",
            ]
            .concat(),
            Self::NoHost => "the broker's address names no host".to_owned(),
            Self::NotAnAddress { address } => [
                "“",
                address,
                "” is not an address",
            ]
            .concat(),
            Self::Credentials => "leave user name and password out of the broker's address: the page asks for them when the broker wants them".to_owned(),
            Self::MixedContent { url } => [
                "this page came over https, so the browser does not let it connect to ",
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
    /// The address of the page that this runs in. Its broker is `mqtt` beside the page's base.
    pub fn current() -> Self {
        let document = crate::window().and_then(|window| window.document());
        let base = document.and_then(|document| document.base_uri().ok().flatten());
        let base = base.unwrap_or_default();
        let folder = until(&base, b"?#").rsplit_once('/');
        Self::beside([folder.map_or("", |(folder, _)| folder), "/mqtt"].concat())
    }

    /// The address of the page that this runs in, with another broker of its own.
    pub fn beside(own_broker: String) -> Self {
        let location = crate::window().map(|window| window.location());
        let protocol = location.and_then(|location| location.protocol().ok());
        Self {
            secure: protocol.as_deref() == Some("https:"),
            own_broker,
        }
    }

    /// The broker at `address`, or the page's own. An address without `ws://` or `wss://` gets the
    /// one that goes with the page.
    pub fn broker_url(&self, address: Option<&str>) -> Result<BrokerUrl, UrlError> {
        let address = address
            .map(str::trim_ascii)
            .filter(|address| !address.is_empty());
        let url = match address {
            // `http` becomes `ws`, and `https` `wss`. A page that is a file has no broker.
            None => {
                let rest = self.own_broker.strip_prefix("http");
                ["ws", rest.ok_or(UrlError::NoHost)?].concat()
            }
            Some(address) if split_scheme(address).is_some() => address.to_owned(),
            Some(address) => {
                let scheme = if self.secure { "wss://" } else { "ws://" };
                [scheme, address].concat()
            }
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
        if !is_address(authority) {
            return Err(UrlError::NotAnAddress { address: url });
        }
        if self.secure && plain && !is_loopback(authority) {
            return Err(UrlError::MixedContent { url });
        }
        // `new WebSocket` refuses a fragment, and no broker would see it.
        Ok(BrokerUrl(until(&url, b"#").to_owned()))
    }
}

/// Splits a URL at `://`, if it begins with a scheme.
fn split_scheme(url: &str) -> Option<(&str, &str)> {
    let scheme = until(url, b":/?#");
    let rest = url.get(scheme.len()..)?.strip_prefix("://")?;
    Some((scheme, rest))
}

/// The start of `text` up to the first of `stops`, which are ASCII. The standard library's
/// patterns would take more of a widget than the rest of this file.
fn until<'a>(text: &'a str, stops: &[u8]) -> &'a str {
    let end = text.bytes().position(|byte| stops.contains(&byte));
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Whether `new WebSocket` can read this host and port: it throws otherwise, and would throw for ever.
fn is_address(authority: &str) -> bool {
    // The colons within brackets are those of an IPv6 address.
    let host_end = authority.rfind(']').unwrap_or(0);
    let host_and_port = authority.get(host_end..).unwrap_or_default();
    let host = until(host_and_port, b":");
    let mut port = host_and_port.bytes().skip(host.len() + 1);
    port.all(|byte| byte.is_ascii_digit())
        && !authority
            .bytes()
            .any(|byte| byte <= b' ' || b"<>\\^|".contains(&byte))
}

/// Whether this host is the machine itself. Browsers trust it without TLS, even on a page that came
/// over TLS.
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
        let scheme = if secure { "https" } else { "http" };
        PageAddress {
            secure,
            own_broker: format!("{scheme}://fleet.example:8443/some/path/mqtt"),
        }
    }

    fn url(secure: bool, address: &str) -> Result<String, UrlError> {
        page(secure)
            .broker_url(Some(address))
            .map(|url| url.to_string())
    }

    #[test]
    fn the_page_s_own_broker_is_the_default() {
        for address in [None, Some(""), Some("  ")] {
            let url = page(false).broker_url(address).unwrap();
            assert_eq!(url.as_str(), "ws://fleet.example:8443/some/path/mqtt");
        }
        let url = page(true).broker_url(None).unwrap();
        assert_eq!(url.as_str(), "wss://fleet.example:8443/some/path/mqtt");
    }

    #[test]
    fn a_page_without_a_host_has_no_broker_of_its_own() {
        for own_broker in ["/mqtt", "file:///home/me/mqtt", "nullmqtt"] {
            let page = PageAddress {
                secure: false,
                own_broker: own_broker.to_owned(),
            };
            assert_eq!(page.broker_url(None), Err(UrlError::NoHost), "{own_broker}");
            assert!(page.broker_url(Some("b/mqtt")).is_ok());
        }
    }

    #[test]
    fn a_script_from_a_host_without_tls_cannot_bring_its_broker_to_a_page_with_it() {
        let page = PageAddress {
            own_broker: "http://192.168.1.5:8080/mqtt".to_owned(),
            ..page(true)
        };
        assert!(matches!(
            page.broker_url(None),
            Err(UrlError::MixedContent { .. })
        ));
    }

    #[test]
    fn another_broker_may_be_named_with_or_without_its_scheme() {
        let named = "wss://b.example:9001/ws?x=1";
        assert_eq!(url(false, named).as_deref(), Ok(named));
        assert_eq!(url(true, " b/ws#x ").as_deref(), Ok("wss://b/ws"));
        assert_eq!(url(false, "[::1]:9001").as_deref(), Ok("ws://[::1]:9001"));
    }

    #[test]
    fn an_address_that_no_browser_can_open_is_refused_with_a_reason() {
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
    fn what_is_no_address_is_not_tried_for_ever() {
        for address in ["foo bar", "a:b", "ws://a<b>", "a\nb", "[::1]:x"] {
            let refused = url(false, address);
            assert!(
                matches!(refused, Err(UrlError::NotAnAddress { .. })),
                "{address}: {refused:?}"
            );
        }
        for address in ["h", "h:", "münchen.example", "[::1]:80", "h/a b?c=d:e"] {
            assert!(url(false, address).is_ok(), "{address}");
        }
        let why = url(false, "foo bar").unwrap_err().message();
        assert!(why.starts_with("“ws://foo bar” is not an address"), "{why}");
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
