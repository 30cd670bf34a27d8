//! The byte stream of a client: TCP, TLS, or either with WebSocket frames around the bytes.
//!
//! Plain TCP costs nothing beyond its system calls: nothing is boxed, and room to read into is only made
//! when something has come. The others are boxed, so that a fleet of plain connections does not carry their size.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Sink, Stream as _};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

/// How many bytes are read at once while the last ones are awaited.
const READ_CHUNK: usize = 4 * 1024;
/// The largest binary message that is sent.
const FRAME: usize = 64 * 1024;

/// An open connection.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    WebSocket(Box<Frames<TcpStream>>),
    SecureWebSocket(Box<Frames<TlsStream<TcpStream>>>),
}

/// MQTT in the binary messages of a WebSocket.
pub(crate) struct Frames<S> {
    socket: WebSocketStream<S>,
    /// Whether the socket holds bytes that the system has not taken yet.
    holds_bytes: bool,
}

impl Stream {
    pub(super) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::Tls(Box::new(stream))
    }

    pub(super) fn web_socket(socket: WebSocketStream<TcpStream>) -> Self {
        Self::WebSocket(Box::new(Frames::new(socket)))
    }

    pub(super) fn secure_web_socket(socket: WebSocketStream<TlsStream<TcpStream>>) -> Self {
        Self::SecureWebSocket(Box::new(Frames::new(socket)))
    }

    /// The next bytes, about `chunk` of them at most; none at the end of the stream. `buffer` is empty
    /// before and after. The stream only borrows its memory.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        chunk: usize,
    ) -> Poll<io::Result<Bytes>> {
        match self {
            Self::Tcp(stream) => loop {
                ready!(stream.poll_read_ready(cx))?;
                buffer.reserve(chunk);
                match stream.try_read_buf(buffer) {
                    Ok(_) => return Poll::Ready(Ok(buffer.split().freeze())),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            },
            Self::Tls(stream) => {
                buffer.reserve(chunk);
                ready!(pin!(stream.read_buf(buffer)).poll(cx))?;
                Poll::Ready(Ok(buffer.split().freeze()))
            }
            Self::WebSocket(frames) => frames.poll_read(cx),
            Self::SecureWebSocket(frames) => frames.poll_read(cx),
        }
    }

    /// Writes `unsent` and what the stream itself still holds. Ready when the system has taken all of
    /// it.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        unsent: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => {
                while !unsent.is_empty() {
                    match stream.try_write(unsent) {
                        Ok(count) => unsent.advance(count),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            ready!(stream.poll_write_ready(cx))?;
                        }
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
                Poll::Ready(Ok(()))
            }
            Self::Tls(stream) => {
                let mut stream = Pin::new(stream.as_mut());
                while !unsent.is_empty() {
                    let count = ready!(stream.as_mut().poll_write(cx, unsent))?;
                    unsent.advance(count);
                }
                stream.poll_flush(cx)
            }
            Self::WebSocket(frames) => frames.poll_write(cx, unsent),
            Self::SecureWebSocket(frames) => frames.poll_write(cx, unsent),
        }
    }

    /// Writes as much as the system takes without waiting. `true` if all of it has left.
    pub(crate) fn write_now(&mut self, unsent: &mut BytesMut) -> io::Result<bool> {
        // Whoever waits afterwards polls again, with a waker of its own.
        match self.poll_write(&mut Context::from_waker(Waker::noop()), unsent) {
            Poll::Ready(result) => result.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Writes the last bytes, and waits until the server closes. Otherwise the system could discard
    /// them because of unread input.
    pub(crate) async fn finish(mut self, mut unsent: BytesMut) -> io::Result<()> {
        poll_fn(|cx| self.poll_write(cx, &mut unsent)).await?;
        poll_fn(|cx| self.poll_shutdown(cx)).await?;
        let mut buffer = BytesMut::new();
        while !poll_fn(|cx| self.poll_read(cx, &mut buffer, READ_CHUNK))
            .await?
            .is_empty()
        {}
        Ok(())
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Self::WebSocket(frames) => frames.poll_close(cx),
            Self::SecureWebSocket(frames) => frames.poll_close(cx),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    fn new(socket: WebSocketStream<S>) -> Self {
        Self {
            socket,
            holds_bytes: false,
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        loop {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                // An empty message is no end.
                Some(Ok(Message::Binary(bytes))) if bytes.is_empty() => {}
                Some(Ok(Message::Binary(bytes))) => return Poll::Ready(Ok(bytes)),
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the server sent a text message [MQTT-6.0.0-1]",
                    )));
                }
                // Tungstenite answers these.
                Some(Ok(
                    Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_),
                )) => {}
                Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) | None => {
                    return Poll::Ready(Ok(Bytes::new()));
                }
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, unsent: &mut BytesMut) -> Poll<io::Result<()>> {
        let mut socket = Pin::new(&mut self.socket);
        while !unsent.is_empty() {
            ready!(socket.as_mut().poll_ready(cx)).map_err(io_error)?;
            let frame = unsent.split_to(unsent.len().min(FRAME)).freeze();
            socket
                .as_mut()
                .start_send(Message::Binary(frame))
                .map_err(io_error)?;
            self.holds_bytes = true;
        }
        if self.holds_bytes {
            ready!(socket.poll_flush(cx)).map_err(io_error)?;
            self.holds_bytes = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx).map_err(io_error)
    }
}

fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
