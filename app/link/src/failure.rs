//! Why a socket failed, and what people can do about it.

use alloc::string::String;
use core::fmt::{self, Write as _};

use crate::address::BrokerUrl;

/// A socket that could not be opened, or that ended by itself.
///
/// Browsers tell a page almost nothing about it, on purpose: a page must not explore its visitor's
/// network. [`TransportFailure::advice`] says what people can try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportFailure {
    /// The broker's address.
    pub url: BrokerUrl,
    /// Whether the socket had been open.
    pub was_open: bool,
    /// The WebSocket close code. 1006 means that no close frame came.
    pub code: u16,
    /// The reason, in the words of the other side or of the browser.
    pub reason: String,
}

/// No close frame came (RFC 6455, section 7.4.1).
const ABNORMAL: u16 = 1006;

impl TransportFailure {
    /// What people can try. `None`: nothing is better than to try again.
    pub fn advice(&self) -> Option<String> {
        if self.was_open {
            return None;
        }
        let mut text = String::new();
        match self.url.port() {
            Some(port @ (1883 | 8883)) => {
                let _ = write!(
                    text,
                    "Port {port} usually serves MQTT over plain TCP, which browsers cannot speak. Use the broker's WebSocket port (often 9001, 8083 or 8084)."
                );
            }
            Some(_) | None if self.url.is_secure() => {
                let _ = write!(
                    text,
                    "If the broker's certificate is self-signed, the browser refuses it here and does not say so. Open https://{} in another tab, accept the certificate there, then try again.",
                    self.url.authority()
                );
            }
            Some(_) | None => {
                let _ = write!(
                    text,
                    "Check that the broker runs and offers MQTT over WebSockets (subprotocol “mqtt”) at {}.",
                    self.url
                );
            }
        }
        Some(text)
    }
}

impl fmt::Display for TransportFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.was_open {
            write!(f, "the connection to {} broke", self.url)?;
        } else {
            write!(f, "{} cannot be reached", self.url)?;
        }
        if self.code != ABNORMAL {
            write!(f, " (code {})", self.code)?;
        }
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::PageAddress;
    use alloc::borrow::ToOwned as _;
    use alloc::string::ToString as _;

    fn failure(url: &str) -> TransportFailure {
        let page = PageAddress {
            secure: false,
            own_broker: "http://h/mqtt".to_owned(),
        };
        TransportFailure {
            url: page.broker_url(Some(url)).unwrap(),
            was_open: false,
            code: ABNORMAL,
            reason: String::new(),
        }
    }

    #[test]
    fn a_self_signed_certificate_is_named_as_a_likely_cause() {
        let failure = failure("wss://b:8084/mqtt");
        let advice = failure.advice().unwrap();
        assert!(advice.contains("self-signed") && advice.contains("https://b:8084 "));
        assert_eq!(failure.to_string(), "wss://b:8084/mqtt cannot be reached");
    }

    #[test]
    fn a_port_of_plain_mqtt_is_named_as_a_likely_cause() {
        let advice = failure("ws://b:1883").advice().unwrap();
        assert!(advice.starts_with("Port 1883"), "{advice}");
    }

    #[test]
    fn the_other_side_s_words_are_kept_and_a_broken_connection_needs_no_advice() {
        let failure = TransportFailure {
            was_open: true,
            code: 1002,
            reason: "text frame".to_owned(),
            ..failure("ws://b/mqtt")
        };
        assert_eq!(
            failure.to_string(),
            "the connection to ws://b/mqtt broke (code 1002): text frame"
        );
        assert_eq!(failure.advice(), None);
    }
}
