//! The byte stream of a connection: plain, or in the binary messages of a WebSocket.
//!
//! It works over any [`AsyncRead`] and [`AsyncWrite`]: a TCP socket, memory in tests, and later TLS below
//! either framing.
//!
//! An idle connection must hold no buffer, and must not need one task for each direction. So callers
//! poll it by hand. Reading goes into a buffer that the caller shares among its connections. Any task
//! that has bytes to send polls the write side with the waker of the connection's one task.
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

/// The most bytes that one read takes. A shared read buffer grows by this much.
const READ_CHUNK: usize = 64 * 1024;
/// A read begins a new buffer when there is less space than this.
const READ_LEAST: usize = 4 * 1024;

/// The bytes that a peer sends and receives, without their framing.
pub struct ByteStream<S = TcpStream>(Framing<S>);

enum Framing<S> {
    Plain(S),
    /// Boxed: it is several times as large as a plain stream.
    WebSocket(Box<WebSocket<S>>),
}

/// The result of a read.
#[derive(Debug)]
pub enum Received {
    /// Bytes without framing. There is at least one.
    Bytes(Bytes),
    /// The peer closed the connection properly.
    End,
}

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The system reported an error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer broke a rule of RFC 6455.
    #[error("WebSocket: {what}")]
    Rule {
        /// The code for the close frame that [`ByteStream::finish`] sends.
        code: CloseCode,
        /// What the peer did.
        what: String,
    },
}

impl<S: AsyncRead + AsyncWrite + Unpin> ByteStream<S> {
    /// The bytes of `stream`, without framing.
    pub fn plain(stream: S) -> Self {
        Self(Framing::Plain(stream))
    }

    /// The server's side of a WebSocket whose handshake is done. `already_read` holds the bytes that came
    /// behind the handshake. A frame may be somewhat longer than `max_packet_size` bytes; a longer one is
    /// an error.
    pub fn websocket(stream: S, already_read: &Bytes, max_packet_size: u32) -> Self {
        let socket = WebSocket::new(stream, already_read, max_packet_size);
        Self(Framing::WebSocket(Box::new(socket)))
    }

    /// Reads once, into the free space of `buffer` if there is enough.
    ///
    /// # Errors
    ///
    /// The connection cannot be used any more; [`finish`](Self::finish) tells the peer why.
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

    /// Sends `bytes`, and is ready when the system has taken all of them. After `Pending` the caller may
    /// append to `bytes`, but must not put back what was taken out.
    ///
    /// # Errors
    ///
    /// The connection cannot be used any more. Reading fails too.
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

    /// Sends the rest, closes our side, and waits until the peer has closed its side. The wait is needed
    /// because a socket that is closed with unread input discards what the peer has not read yet. `close`
    /// is the code and reason of a WebSocket's close frame. Errors only mean that the peer is gone. This
    /// may never end, so the caller must limit the time.
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
