//! A connection's bytes, whatever carries them: plain TCP, or a WebSocket's binary messages.
//!
//! Everything here is polled by hand, because a connection at rest must hold neither a buffer
//! nor a task for each direction: reading goes into a buffer of the shard's, and whoever has
//! bytes to send polls on behalf of the connection's one task.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// What is read at once at most, and the size of the shard's read buffer.
const READ_CHUNK: usize = 64 * 1024;
/// Below this much room, a new read buffer is begun.
const READ_LEAST: usize = 4 * 1024;
/// The largest binary message that is sent: bounds what a WebSocket keeps for its frames.
const FRAME: usize = 64 * 1024;

/// What carries the bytes, over a socket or, where it is fuzzed, over memory.
pub(super) enum Carrier<S = TcpStream> {
    Tcp(S),
    /// Boxed: several times the size of a TCP connection.
    WebSocket(Box<WebSocketStream<S>>),
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
    pub(super) async fn websocket(stream: S, already_read: Bytes, max_packet_size: u32) -> Self {
        // A copy: turned into a vector, these few bytes would bring the whole buffer of the HTTP
        // connection with them, for as long as the WebSocket lives.
        let already_read = already_read.to_vec();
        let socket = WebSocketStream::from_partially_read(
            stream,
            already_read,
            Role::Server,
            Some(config(max_packet_size)),
        )
        .await;
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
                if buffer.capacity() - buffer.len() < READ_LEAST {
                    buffer.reserve(READ_CHUNK);
                }
                let count = ready!(pin!(stream.read_buf(buffer)).poll(cx))?;
                Poll::Ready(Ok(if count == 0 {
                    Received::End
                } else {
                    Received::Bytes(buffer.split().freeze())
                }))
            }
            Self::WebSocket(socket) => poll_message(Pin::new(&mut **socket), cx),
        }
    }

    /// Sends what is in `bytes`, and is ready when all of it is with the system. What is taken
    /// out of `bytes` must not be given again after `Pending`.
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
            Self::WebSocket(socket) => {
                let mut socket = Pin::new(&mut **socket);
                while !bytes.is_empty() {
                    ready!(socket.as_mut().poll_ready(cx)).map_err(carrier_error)?;
                    let message = Message::Binary(bytes.split_to(bytes.len().min(FRAME)).freeze());
                    socket.as_mut().start_send(message).map_err(carrier_error)?;
                }
                socket.poll_flush(cx).map_err(carrier_error)
            }
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
        let stream = match &mut self {
            Self::Tcp(stream) => stream,
            Self::WebSocket(socket) => {
                let (code, reason) = good_bye;
                // Fails too when the peer has closed, and its frame is answered.
                let _ = socket
                    .close(Some(CloseFrame {
                        code,
                        reason: reason.into(),
                    }))
                    .await;
                let _ = poll_fn(|cx| Pin::new(&mut **socket).poll_flush(cx)).await;
                socket.get_mut()
            }
        };
        if stream.shutdown().await.is_ok() {
            let mut ignored = [0; 256];
            while stream.read(&mut ignored).await.is_ok_and(|count| count > 0) {}
        }
    }
}

fn config(max_packet_size: u32) -> WebSocketConfig {
    // A message may hold several packets [MQTT-6.0.0-2], so it may be somewhat larger than one.
    let limit = usize::try_from(max_packet_size)
        .unwrap_or(usize::MAX)
        .saturating_add(READ_CHUNK);
    WebSocketConfig::default()
        .read_buffer_size(1024)
        .write_buffer_size(0)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit))
}

fn poll_message<S: AsyncRead + AsyncWrite + Unpin>(
    mut socket: Pin<&mut WebSocketStream<S>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Received, CarrierError>> {
    loop {
        return Poll::Ready(match ready!(socket.as_mut().poll_next(cx)) {
            Some(Ok(Message::Binary(bytes))) => Ok(Received::Bytes(bytes)),
            // Pings are answered by the WebSocket itself, on its next read.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Close(_))) | None => Ok(Received::End),
            Some(Ok(Message::Text(_))) => Err(CarrierError::Rule {
                code: CloseCode::Unsupported,
                what: "a text message, where MQTT takes binary ones only [MQTT-6.0.0-1]".to_owned(),
            }),
            Some(Err(error)) => Err(carrier_error(error)),
        });
    }
}

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
