//! Where a client connects, and how it gets there: TCP, TLS, WebSocket.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::stream::Stream;
use super::tls::Tls;
use super::trouble::Trouble;

/// Where a client connects. A copy costs nothing.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    /// Plain TCP to an address.
    Address(SocketAddr),
    /// Everything else.
    Remote(Arc<Remote>),
}

/// An attempt to connect.
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<Stream, Trouble>> + Send>>;

/// A server with a name, and what lies between it and the MQTT bytes.
#[derive(Debug)]
pub(crate) struct Remote {
    /// A name or an address, an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// The address of this machine to connect from.
    pub(super) from: Option<IpAddr>,
    pub(super) tls: Option<Tls>,
    /// The path of the WebSocket, such as `/mqtt`. `None`: the bytes come bare.
    pub(super) path: Option<String>,
}

/// How the bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scheme {
    pub(crate) is_secure: bool,
    pub(crate) is_web_socket: bool,
}

/// The parts of a URL such as `mqtts://user:password@host:8883/topic`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: Scheme,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// What follows the host and its `/`: the path of a WebSocket, or a topic. Not decoded.
    pub(crate) rest: Option<String>,
}

impl Endpoint {
    /// Plain TCP to `address`.
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        Self::Address(address)
    }

    /// Connects, and does the handshakes of TLS and WebSocket.
    pub(crate) fn open(&self) -> Opening {
        // Each has a future of its own: a fleet of plain connections does not pay for handshakes.
        match self {
            Self::Address(address) => {
                let address = *address;
                Box::pin(async move {
                    let stream = TcpStream::connect(address).await;
                    let stream = stream.map_err(Trouble::NotConnected)?;
                    Ok(Stream::Tcp(without_delay(stream)))
                })
            }
            Self::Remote(remote) => {
                let remote = Arc::clone(remote);
                Box::pin(async move { remote.open().await })
            }
        }
    }

    /// Whether the connection is encrypted.
    pub(super) fn is_secure(&self) -> bool {
        match self {
            Self::Address(_) => false,
            Self::Remote(remote) => remote.tls.is_some(),
        }
    }

    /// Whether WebSocket frames carry the bytes.
    pub(super) fn is_web_socket(&self) -> bool {
        match self {
            Self::Address(_) => false,
            Self::Remote(remote) => remote.path.is_some(),
        }
    }
}

/// `host:port`, or the URL of a WebSocket.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => fmt::Display::fmt(address, f),
            Self::Remote(remote) => {
                if let Some(path) = &remote.path {
                    let scheme = if remote.tls.is_some() { "wss" } else { "ws" };
                    write!(f, "{scheme}://{}{path}", remote.authority())
                } else {
                    f.write_str(&remote.authority())
                }
            }
        }
    }
}

impl Remote {
    /// `host:port`, as a URL has it.
    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    async fn open(&self) -> Result<Stream, Trouble> {
        let stream = self.connect().await?;
        match (&self.tls, &self.path) {
            (None, None) => Ok(Stream::Tcp(stream)),
            (Some(tls), None) => Ok(Stream::tls(tls.connect(&self.host, stream).await?)),
            (None, Some(path)) => {
                let request = self.request("ws", path)?;
                let (socket, _) =
                    client_async_with_config(request, stream, Some(buffers())).await?;
                Ok(Stream::web_socket(socket))
            }
            (Some(tls), Some(path)) => {
                let request = self.request("wss", path)?;
                let stream = tls.connect(&self.host, stream).await?;
                let (socket, _) =
                    client_async_with_config(request, stream, Some(buffers())).await?;
                Ok(Stream::secure_web_socket(socket))
            }
        }
    }

    /// Tries the addresses of the host one after the other.
    async fn connect(&self) -> Result<TcpStream, Trouble> {
        let found = lookup_host((self.host.as_str(), self.port)).await;
        let mut last = None;
        for address in found.map_err(Trouble::NameNotFound)? {
            match self.connect_to(address).await {
                Ok(stream) => return Ok(without_delay(stream)),
                Err(error) => last = Some(error),
            }
        }
        let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        Err(match last {
            Some(error) => Trouble::NotConnected(error),
            None => Trouble::NameNotFound(none()),
        })
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let Some(from) = self.from else {
            return TcpStream::connect(address).await;
        };
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        socket.bind(SocketAddr::new(from, 0))?;
        socket.connect(address).await
    }

    /// The request for a WebSocket that carries MQTT `[MQTT-6.0.0-3]`.
    fn request(
        &self,
        scheme: &str,
        path: &str,
    ) -> Result<tokio_tungstenite::tungstenite::handshake::client::Request, Trouble> {
        let url = format!("{scheme}://{}{path}", self.authority());
        let mut request = url.into_client_request()?;
        request
            .headers_mut()
            .insert("sec-websocket-protocol", HeaderValue::from_static("mqtt"));
        Ok(request)
    }
}

/// Packets are small, and they leave when they are written. If this fails, reading fails too.
fn without_delay(stream: TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    stream
}

/// Small buffers: what is sent is flushed at once.
fn buffers() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 * 1024)
        .write_buffer_size(0)
        // A message may hold many packets, so only the packets are limited (by the client).
        .max_message_size(None)
        .max_frame_size(None)
}

impl Url {
    /// Reads `mqtt://`, `mqtts://`, `ws://` or `wss://`, then `[user[:password]@]host[:port][/rest]`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            "a URL begins with mqtt://, mqtts://, ws:// or wss://, such as mqtt://localhost/topic"
                .to_owned()
        })?;
        let scheme = Scheme::parse(scheme)?;
        let (authority, rest) = match rest.split_once('/') {
            Some((authority, rest)) => (authority, Some(rest.to_owned())),
            None => (rest, None),
        };
        let (login, place) = match authority.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, authority),
        };
        let (user, password) = match login.map(|it| it.split_once(':').unwrap_or((it, ""))) {
            None => (None, None),
            Some((user, password)) => {
                let has_password = login.is_some_and(|it| it.contains(':'));
                let password = has_password.then(|| decoded(password)).transpose()?;
                (Some(decoded(user)?), password)
            }
        };
        let (host, port) = host_and_port(place)?;
        Ok(Self {
            scheme,
            user,
            password,
            host,
            port,
            rest,
        })
    }
}

impl Scheme {
    fn parse(text: &str) -> Result<Self, String> {
        let (is_secure, is_web_socket) = match text.to_ascii_lowercase().as_str() {
            "mqtt" => (false, false),
            "mqtts" => (true, false),
            "ws" => (false, true),
            "wss" => (true, true),
            other => {
                return Err(format!(
                    "{other}:// is not known; use mqtt://, mqtts://, ws:// or wss://"
                ));
            }
        };
        Ok(Self {
            is_secure,
            is_web_socket,
        })
    }

    /// The port that such servers usually have.
    pub(super) fn usual_port(self) -> u16 {
        match (self.is_web_socket, self.is_secure) {
            (false, false) => 1883,
            (false, true) => 8883,
            (true, false) => 8080,
            (true, true) => 443,
        }
    }
}

/// Splits `host`, `host:port`, `[::1]` or `[::1]:port`.
pub(super) fn host_and_port(place: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, after) = rest
            .split_once(']')
            .ok_or_else(|| format!("{place}: the ] is missing"))?;
        (host, after.strip_prefix(':'))
    } else if place.matches(':').count() > 1 {
        // A bare IPv6 address has no port.
        (place, None)
    } else {
        match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        }
    };
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    let port = port
        .map(|it| it.parse::<u16>().map_err(|_| format!("{it} is no port")))
        .transpose()?;
    Ok((host.to_owned(), port))
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| "user and password in a URL must be UTF-8".to_owned())?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_its_parts() {
        let url = Url::parse("mqtts://ann:p%40ss@broker.example:8884/a/b").unwrap();
        assert_eq!(
            url,
            Url {
                scheme: Scheme {
                    is_secure: true,
                    is_web_socket: false
                },
                user: Some("ann".to_owned()),
                password: Some("p@ss".to_owned()),
                host: "broker.example".to_owned(),
                port: Some(8884),
                rest: Some("a/b".to_owned()),
            }
        );
        let url = Url::parse("ws://[::1]:9001/mqtt").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", Some(9001)));
        assert_eq!(url.rest.as_deref(), Some("mqtt"));
        let url = Url::parse("MQTT://localhost").unwrap();
        assert_eq!((url.user, url.password, url.rest), (None, None, None));
        let url = Url::parse("mqtt://ann@localhost").unwrap();
        assert_eq!((url.user.as_deref(), url.password), (Some("ann"), None));
    }

    #[test]
    fn a_wrong_url_says_what_is_wrong() {
        for (url, part) in [
            ("localhost/x", "mqtt://"),
            ("http://localhost/x", "http:// is not known"),
            ("mqtt:///x", "host is missing"),
            ("mqtt://host:port/x", "port is no port"),
            ("mqtt://host:70000/x", "70000 is no port"),
            ("mqtt://[::1/x", "]"),
        ] {
            let error = Url::parse(url).unwrap_err();
            assert!(error.contains(part), "{url}: {error}");
        }
    }

    #[test]
    fn hosts_and_ports_are_told_apart() {
        let split = |text| host_and_port(text).unwrap();
        assert_eq!(split("broker"), ("broker".to_owned(), None));
        assert_eq!(split("10.0.0.1:1884"), ("10.0.0.1".to_owned(), Some(1884)));
        assert_eq!(split("fe80::1"), ("fe80::1".to_owned(), None));
        assert_eq!(split("[fe80::1]:1884"), ("fe80::1".to_owned(), Some(1884)));
    }
}
