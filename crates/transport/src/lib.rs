//! The byte stream of a connection: plain, or in the binary messages of a WebSocket.
//!
//! It stands on any [`AsyncRead`] and [`AsyncWrite`]: a TCP socket, memory in tests, and later TLS,
//! which goes below either framing.
//!
//! A connection at rest must hold neither a buffer nor a task for each direction. So everything is
//! polled by hand: reading goes into a buffer that the caller shares among its connections, and
//! whoever has bytes to send polls on behalf of the connection's one task.
//!
//! ```
//! use std::future::poll_fn;
//!
//! use bytes::BytesMut;
//! use tokio::io::AsyncWriteExt;
//! use transport::{ByteStream, Received};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! # runtime.block_on(async {
//! let (ours, mut theirs) = tokio::io::duplex(64);
//! let mut stream = ByteStream::plain(ours);
//! let mut shared = BytesMut::new();
//! theirs.write_all(b"hello").await.unwrap();
//! let received = poll_fn(|cx| stream.poll_read(cx, &mut shared)).await.unwrap();
//! assert!(matches!(received, Received::Bytes(bytes) if bytes == "hello"));
//! # });
//! ```

mod inbound;
mod websocket;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};

pub use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use self::websocket::WebSocket;

/// The most bytes that one read takes. A shared read buffer grows by as much.
const READ_CHUNK: usize = 64 * 1024;
/// With less space than this, a read begins a new buffer.
const READ_LEAST: usize = 4 * 1024;

/// The bytes that a peer sends and gets, without what frames them.
pub struct ByteStream<S = TcpStream>(Framing<S>);

enum Framing<S> {
    Plain(S),
    /// Boxed: it is several times as large as a plain stream.
    WebSocket(Box<WebSocket<S>>),
}

/// What a read has brought.
#[derive(Debug)]
pub enum Received {
    /// Bytes without framing. There is at least one.
    Bytes(Bytes),
    /// The peer closed the connection properly.
    End,
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The system says so.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer broke a rule of RFC 6455.
    #[error("WebSocket: {what}")]
    Rule {
        /// What the close frame says, in [`ByteStream::finish`].
        code: CloseCode,
        /// What the peer did.
        what: String,
    },
}

impl<S: AsyncRead + AsyncWrite + Unpin> ByteStream<S> {
    /// The bytes of `stream` as they are.
    pub fn plain(stream: S) -> Self {
        Self(Framing::Plain(stream))
    }

    /// The binary messages of a WebSocket whose handshake is done, on the server's side.
    /// `already_read` is what came behind the handshake. A frame may be somewhat longer than
    /// `max_packet_size` bytes; longer ones are an error.
    pub fn websocket(stream: S, already_read: &Bytes, max_packet_size: u32) -> Self {
        let socket = WebSocket::new(stream, already_read, max_packet_size);
        Self(Framing::WebSocket(Box::new(socket)))
    }

    /// Reads once, into the free space of `buffer` if there is enough.
    ///
    /// # Errors
    ///
    /// The connection is of no more use; [`finish`](Self::finish) tells the peer why.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<Result<Received, StreamError>> {
        match &mut self.0 {
            Framing::Plain(stream) => {
                reserve(buffer);
                let count = ready!(pin!(stream.read_buf(buffer)).poll(cx))?;
                Poll::Ready(Ok(if count == 0 {
                    Received::End
                } else {
                    Received::Bytes(buffer.split().freeze())
                }))
            }
            Framing::WebSocket(socket) => socket.poll_read(cx, buffer),
        }
    }

    /// Whether the framing itself has something to send: the answer to a ping, for example. A call of
    /// [`poll_write`](Self::poll_write) sends it.
    pub fn has_answers(&self) -> bool {
        match &self.0 {
            Framing::Plain(_) => false,
            Framing::WebSocket(socket) => socket.has_answers(),
        }
    }

    /// Sends what is in `bytes`, and is ready when the system has all of it. After `Pending` the
    /// caller must not put back what was taken out of `bytes`, but may append to it.
    ///
    /// # Errors
    ///
    /// The connection is of no more use. Reading will find that out too.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut BytesMut,
    ) -> Poll<Result<(), StreamError>> {
        match &mut self.0 {
            Framing::Plain(stream) => {
                while !bytes.is_empty() {
                    if ready!(pin!(stream.write_buf(bytes)).poll(cx))? == 0 {
                        return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
                    }
                }
                Poll::Ready(Ok(()))
            }
            Framing::WebSocket(socket) => socket.poll_write(cx, bytes),
        }
    }

    /// Sends the rest, closes our side, and waits until the peer has closed its own: if a socket is
    /// closed with unread input, the system throws away what the peer has not read yet. `close` is
    /// what a WebSocket's close frame says. Errors only mean that the peer is gone. This may take for
    /// ever: the caller limits the time.
    pub async fn finish(mut self, mut unsent: BytesMut, close: (CloseCode, &str)) {
        if poll_fn(|cx| self.poll_write(cx, &mut unsent))
            .await
            .is_err()
        {
            return;
        }
        if let Framing::WebSocket(socket) = &mut self.0 {
            let (code, reason) = close;
            socket.close(code, reason);
            if poll_fn(|cx| socket.poll_write(cx, &mut unsent))
                .await
                .is_err()
            {
                return;
            }
        }
        let mut stream = match self.0 {
            Framing::Plain(stream) => stream,
            Framing::WebSocket(socket) => socket.into_stream(),
        };
        if stream.shutdown().await.is_ok() {
            let mut ignored = [0; 256];
            while stream.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
        }
    }
}

/// Begins a new read buffer if little is left of this one.
fn reserve(buffer: &mut BytesMut) {
    if buffer.capacity() - buffer.len() < READ_LEAST {
        buffer.reserve(READ_CHUNK);
    }
}

/// The error for what tungstenite objects to, with the code for the close frame.
fn stream_error(error: Error) -> StreamError {
    let code = match &error {
        Error::Io(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Capacity(CapacityError::MessageTooLong { .. } | CapacityError::TooManyHeaders) => {
            Some(CloseCode::Size)
        }
        Error::Utf8(_) => Some(CloseCode::Unsupported),
        _ => Some(CloseCode::Protocol),
    };
    match (code, error) {
        // Without tungstenite's own "WebSocket protocol error: ", which ours would repeat.
        (Some(code), Error::Protocol(error)) => StreamError::Rule {
            code,
            what: error.to_string(),
        },
        (Some(code), error) => StreamError::Rule {
            code,
            what: error.to_string(),
        },
        (None, Error::Io(error)) => StreamError::Io(error),
        (None, error) => StreamError::Io(io::Error::new(
            io::ErrorKind::ConnectionReset,
            error.to_string(),
        )),
    }
}
