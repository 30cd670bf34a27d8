//! A connection's bytes, whatever carries them: plain TCP, or a WebSocket's binary messages.
//!
//! Everything here is polled by hand, because a connection at rest must hold neither a buffer
//! nor a task for each direction: reading goes into a buffer of the shard's, and whoever has
//! bytes to send polls on behalf of the connection's one task.

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
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use self::websocket::WebSocket;

/// What is read at once at most, and the size of the shard's read buffer.
const READ_CHUNK: usize = 64 * 1024;
/// Below this much room, a new read buffer is begun.
const READ_LEAST: usize = 4 * 1024;

/// What carries the bytes, over a socket or, where it is fuzzed, over memory.
pub(super) enum Carrier<S = TcpStream> {
    Tcp(S),
    /// Boxed: several times the size of a TCP connection.
    WebSocket(Box<WebSocket<S>>),
}

/// What came of reading.
#[derive(Debug)]
pub(super) enum Received {
    Bytes(Bytes),
    /// The peer closed properly.
    End,
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum CarrierError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("WebSocket: {what}")]
    Rule { code: CloseCode, what: String },
}

impl<S: AsyncRead + AsyncWrite + Unpin> Carrier<S> {
    /// A WebSocket whose handshake is done; `already_read` came behind it.
    pub(super) fn websocket(stream: S, already_read: &Bytes, max_packet_size: u32) -> Self {
        let socket = WebSocket::new(stream, already_read, max_packet_size);
        Self::WebSocket(Box::new(socket))
    }

    /// Reads once, into `buffer`'s room where that is possible.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<Result<Received, CarrierError>> {
        match self {
            Self::Tcp(stream) => {
                make_room(buffer);
                let count = ready!(pin!(stream.read_buf(buffer)).poll(cx))?;
                Poll::Ready(Ok(if count == 0 {
                    Received::End
                } else {
                    Received::Bytes(buffer.split().freeze())
                }))
            }
            Self::WebSocket(socket) => socket.poll_read(cx, buffer),
        }
    }

    /// Whether reading has brought up something to be written, below MQTT.
    pub(super) fn has_answers(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::WebSocket(socket) => socket.has_answers(),
        }
    }

    /// Sends what is in `bytes`, and is ready when all of it is with the system. What is taken
    /// out of `bytes` must not be given again after `Pending`, but more can be put behind it.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut BytesMut,
    ) -> Poll<Result<(), CarrierError>> {
        match self {
            Self::Tcp(stream) => {
                while !bytes.is_empty() {
                    if ready!(pin!(stream.write_buf(bytes)).poll(cx))? == 0 {
                        return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
                    }
                }
                Poll::Ready(Ok(()))
            }
            Self::WebSocket(socket) => socket.poll_write(cx, bytes),
        }
    }

    /// Sends what is left, says good-bye and waits for the peer to close: closing a socket with
    /// input unread would make the system throw away what the peer has not read yet. Failures
    /// only mean that nobody is there to hear the rest. The caller bounds the time.
    pub(super) async fn finish(mut self, mut unsent: BytesMut, good_bye: (CloseCode, &str)) {
        if poll_fn(|cx| self.poll_write(cx, &mut unsent))
            .await
            .is_err()
        {
            return;
        }
        if let Self::WebSocket(socket) = &mut self {
            let (code, reason) = good_bye;
            socket.close(code, reason);
            if poll_fn(|cx| socket.poll_write(cx, &mut unsent))
                .await
                .is_err()
            {
                return;
            }
        }
        let mut stream = match self {
            Self::Tcp(stream) => stream,
            Self::WebSocket(socket) => socket.into_stream(),
        };
        if stream.shutdown().await.is_ok() {
            let mut ignored = [0; 256];
            while stream.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
        }
    }
}

/// Begins a new read buffer when there is not much left of this one.
fn make_room(buffer: &mut BytesMut) {
    if buffer.capacity() - buffer.len() < READ_LEAST {
        buffer.reserve(READ_CHUNK);
    }
}

/// What a fault in the frames is called when the connection is closed for it.
fn carrier_error(error: Error) -> CarrierError {
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
        // Without "WebSocket protocol error: ": that it is one is said already.
        (Some(code), Error::Protocol(error)) => CarrierError::Rule {
            code,
            what: error.to_string(),
        },
        (Some(code), error) => CarrierError::Rule {
            code,
            what: error.to_string(),
        },
        (None, Error::Io(error)) => CarrierError::Io(error),
        (None, error) => CarrierError::Io(io::Error::new(
            io::ErrorKind::ConnectionReset,
            error.to_string(),
        )),
    }
}
