//! Why a connection did not come about, or was lost: said with host, port, and what to try.

use std::fmt;
use std::io;

use mqtt::ReasonCode;
use mqtt::client::DisconnectCause;
use tokio_tungstenite::tungstenite;

use super::endpoint::Endpoint;

/// Why the byte stream was not opened, or ended.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// No address is known for the host's name.
    NameNotFound(io::Error),
    /// The host did not take the connection.
    NotConnected(io::Error),
    /// The handshake of TLS failed.
    Tls(io::Error),
    /// The host answered, but not with a WebSocket.
    WebSocket(Box<tungstenite::Error>),
    /// The connection ended before the server had accepted the client.
    NotAccepted(io::Error),
    /// The connection ended later.
    Lost(io::Error),
}

impl Trouble {
    /// What the person at the keyboard may try. `None`: nothing that is not plain from the error.
    fn remedy(&self, endpoint: &Endpoint) -> Option<String> {
        match self {
            Self::NameNotFound(_) => {
                Some("is the name right? -h takes a name or an address".into())
            }
            Self::NotConnected(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => {
                    Some("does a broker run there, and on that port? -h and -p name another".into())
                }
                io::ErrorKind::TimedOut
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable => {
                    Some("is the network up, and does no firewall stand between?".into())
                }
                _ => None,
            },
            Self::Tls(error) => Some(tls_remedy(error)),
            // In TLS 1.3 a server refuses a client after the handshake.
            Self::NotAccepted(error) if is_of_tls(error) => Some(tls_remedy(error)),
            Self::WebSocket(_) => {
                Some("is it a WebSocket port with that path? the usual path is /mqtt".into())
            }
            Self::NotAccepted(_) if !endpoint.is_secure() && !endpoint.is_web_socket() => {
                Some("is it the port for MQTT, without TLS?".into())
            }
            Self::NotAccepted(_) | Self::Lost(_) => None,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameNotFound(error) => write!(f, "the host is not known: {error}"),
            Self::NotConnected(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                f.write_str("connection refused")
            }
            Self::NotConnected(error) => fmt::Display::fmt(error, f),
            Self::Tls(error) => write!(f, "TLS failed: {error}"),
            Self::WebSocket(error) => write!(f, "no WebSocket: {error}"),
            Self::NotAccepted(error) | Self::Lost(error)
                if error.kind() == io::ErrorKind::UnexpectedEof =>
            {
                f.write_str("the server closed the connection")
            }
            Self::NotAccepted(error) | Self::Lost(error) => {
                write!(f, "the connection was lost: {error}")
            }
        }
    }
}

impl From<tungstenite::Error> for Trouble {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Io(error) => Self::NotAccepted(error),
            other => Self::WebSocket(Box::new(other)),
        }
    }
}

/// One line for people: where, why, and what to try. `why` is what the client reported, `trouble` what
/// the byte stream did, if it was to blame.
pub(crate) fn explain(
    endpoint: &Endpoint,
    why: &DisconnectCause,
    trouble: Option<&Trouble>,
) -> String {
    let (what, remedy) = match why {
        DisconnectCause::TransportNotOpened | DisconnectCause::TransportClosed => match trouble {
            Some(trouble) => (trouble.to_string(), trouble.remedy(endpoint)),
            None => (why.to_string(), None),
        },
        DisconnectCause::Refused(reason) => (why.to_string(), refusal_remedy(reason.reason_code)),
        DisconnectCause::ConnectTimeout => (
            why.to_string(),
            Some("is it an MQTT broker, and is the port for TLS or not?".to_owned()),
        ),
        DisconnectCause::Requested
        | DisconnectCause::Suspended
        | DisconnectCause::PingTimeout
        | DisconnectCause::Slept
        | DisconnectCause::ByServer(_)
        | DisconnectCause::Protocol(_)
        | DisconnectCause::NotEncodable(_) => (why.to_string(), None),
    };
    match remedy {
        Some(remedy) => format!("{endpoint}: {what}; {remedy}"),
        None => format!("{endpoint}: {what}"),
    }
}

/// Whether the client only tries again with an older version of MQTT. Nobody need be told.
pub(crate) fn is_fall_back(why: &DisconnectCause, retries: bool) -> bool {
    match why {
        DisconnectCause::Refused(reason) => {
            retries && reason.reason_code == ReasonCode::UnsupportedProtocolVersion
        }
        DisconnectCause::Requested
        | DisconnectCause::Suspended
        | DisconnectCause::TransportNotOpened
        | DisconnectCause::TransportClosed
        | DisconnectCause::ConnectTimeout
        | DisconnectCause::PingTimeout
        | DisconnectCause::Slept
        | DisconnectCause::ByServer(_)
        | DisconnectCause::Protocol(_)
        | DisconnectCause::NotEncodable(_) => false,
    }
}

fn refusal_remedy(reason_code: ReasonCode) -> Option<String> {
    match reason_code {
        ReasonCode::BadUserNameOrPassword | ReasonCode::NotAuthorized => {
            Some("-u and -P give a user name and a password".to_owned())
        }
        ReasonCode::ClientIdentifierNotValid => Some("-i gives another client id".to_owned()),
        ReasonCode::UnsupportedProtocolVersion => {
            Some("-V 311 and -V 5 choose the version".to_owned())
        }
        _ => None,
    }
}

fn is_of_tls(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<tokio_rustls::rustls::Error>)
}

fn tls_remedy(error: &io::Error) -> String {
    use tokio_rustls::rustls::{CertificateError, Error};
    let inner = error.get_ref().and_then(|it| it.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => {
            "-h must be the name that the certificate has; --insecure does not check it".to_owned()
        }
        Some(Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => "--cafile names the certificate of the authority that signed the server's".to_owned(),
        Some(Error::AlertReceived(_)) => {
            "perhaps the server wants a client's certificate: --cert and --key".to_owned()
        }
        Some(Error::InvalidMessage(_)) => "is the port one for TLS?".to_owned(),
        _ => "is the port one for TLS, and are the certificates right?".to_owned(),
    }
}
