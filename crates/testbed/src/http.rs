//! One HTTP request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::server::PATIENCE;

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// For example 200.
    pub status: u16,
    /// The status line and all headers, in lower case.
    pub head: String,
    /// The bytes after the head.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    ///
    /// # Panics
    ///
    /// Panics if it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Sends a request, for example `GET /path`, and waits for the whole answer.
///
/// # Panics
///
/// Panics if there is no server, or if it does not speak HTTP.
#[must_use]
pub fn request(address: SocketAddr, what: &str) -> Answer {
    request_with(address, what, "")
}

/// The same with more headers, each with its `\r\n`.
///
/// # Panics
///
/// Panics if there is no server, or if it does not speak HTTP.
#[must_use]
pub fn request_with(address: SocketAddr, what: &str, headers: &str) -> Answer {
    request_body(address, what, headers, "")
}

/// The same with a body. The headers must say how long it is.
///
/// # Panics
///
/// Panics if there is no server, or if it does not speak HTTP.
#[must_use]
pub fn request_body(address: SocketAddr, what: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request =
        format!("{what} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.expect("headers that end");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let head = head.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.expect("a status"),
        head,
        body: bytes[end + 4..].to_vec(),
    }
}

/// The value of one metric at `/metrics`. Give its name without `beaconry_`.
///
/// # Panics
///
/// Panics if the metric is missing or is not a whole number.
#[must_use]
pub fn metric(address: SocketAddr, name: &str) -> u64 {
    let page = request(address, "GET /metrics");
    let line = page.text().lines().find_map(|line| {
        let value = line.strip_prefix("beaconry_")?.strip_prefix(name)?;
        value.strip_prefix(' ')
    });
    let value = line.unwrap_or_else(|| panic!("no metric {name}: {}", page.text()));
    value.parse().unwrap()
}
