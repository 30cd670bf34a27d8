//! MQTT in the binary messages of a WebSocket whose handshake is done.
//!
//! [`Inbound`] takes MQTT out of the frames as they arrive, so no message is held in memory. Tungstenite
//! handles control frames: it answers pings and takes part in closing. It never sees the socket, only
//! whole control frames, and a short buffer for its answers. This module writes: the header of a frame
//! and the broker's bytes leave together, without a copy.
//!
//! **Invariant.** Answers leave between two of our frames, never within one.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame, Role, WebSocketConfig, WebSocketContext,
};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::inbound::{Found, Inbound};
use crate::{READ_CHUNK, Received, StreamError, reserve, stream_error};

/// The largest binary message that is sent: what clients on small devices can take.
const FRAME: usize = 64 * 1024;
/// How many bytes of answers to pings may wait. Beyond that only the last ping gets an answer, as RFC
/// 6455 (section 5.5.3) allows.
const ANSWERS: usize = 2 * 1024;

/// A WebSocket, the server's side.
pub(crate) struct WebSocket<S> {
    stream: S,
    context: WebSocketContext,
    inbound: Inbound,
    /// Input that is not parsed yet.
    input: Bytes,
    /// Tungstenite's answers: pongs and the close frame.
    answers: Vec<u8>,
    /// What is left of the frame that is being sent.
    frame: FrameLeft,
    /// Whether the peer has sent a close frame.
    is_left: bool,
    /// How the stream ended. The messages before that must be returned first.
    ended: Option<Box<Result<(), StreamError>>>,
}

/// The part of a frame that the system has not taken yet.
#[derive(Default)]
struct FrameLeft {
    header: [u8; Self::HEADER],
    /// How much of `header` is used, and how much of that was sent.
    header_len: u8,
    header_sent: u8,
    payload: usize,
}

/// What tungstenite takes for the socket.
struct Pipe<'a> {
    input: &'a mut Bytes,
    answers: &'a mut Vec<u8>,
    is_at_end: bool,
}

/// What a control frame meant.
enum Control {
    /// Nothing that ends the connection.
    Continue,
    /// The peer closes it.
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// `already_read` holds the bytes that came behind the handshake.
    pub(super) fn new(stream: S, already_read: &Bytes, max_packet_size: u32) -> Self {
        // A message may hold several packets [MQTT-6.0.0-2], so it may be somewhat larger than one.
        let max_frame = u64::from(max_packet_size) + READ_CHUNK as u64;
        let context = WebSocketContext::new(Role::Server, Some(config()));
        Self {
            stream,
            context,
            inbound: Inbound::new(max_frame),
            // Copied, because these few bytes would keep the whole buffer of the HTTP connection alive.
            input: Bytes::copy_from_slice(already_read),
            answers: Vec::new(),
            frame: FrameLeft::default(),
            is_left: false,
            ended: None,
        }
    }

    /// Reads once, and returns all MQTT bytes as one piece: to the broker it is one stream of packets
    /// `[MQTT-6.0.0-2]`.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<Result<Received, StreamError>> {
        if let Some(ended) = self.ended.take() {
            return Poll::Ready((*ended).map(|()| Received::End));
        }
        loop {
            if let Some(received) = self.take_input(buffer) {
                return Poll::Ready(received);
            }
            reserve(buffer);
            let count = ready!(pin!(self.stream.read_buf(buffer)).poll(cx))?;
            if count == 0 {
                // Tungstenite decides whether this is an error: the peer may have sent a close frame.
                let ended = self.control(Bytes::new(), true);
                return Poll::Ready(ended.map(|_| Received::End));
            }
            self.input = buffer.split().freeze();
        }
    }

    /// Takes everything out of the input. `None` if there is nothing.
    fn take_input(&mut self, output: &mut BytesMut) -> Option<Result<Received, StreamError>> {
        let ended = loop {
            match self.inbound.read(&mut self.input, output, READ_CHUNK) {
                Ok(Found::Nothing) => break None,
                Ok(Found::Control(frame)) => match self.control(frame.into(), false) {
                    Ok(Control::Continue) => {}
                    Ok(Control::End) => break Some(Ok(())),
                    Err(error) => break Some(Err(error)),
                },
                Err(error) => break Some(Err(error)),
            }
        };
        if self.input.is_empty() {
            // Releases the shard's buffer.
            self.input = Bytes::new();
        }
        if output.is_empty() {
            return ended.map(|ended| ended.map(|()| Received::End));
        }
        self.ended = ended.map(Box::new);
        Some(Ok(Received::Bytes(output.split().freeze())))
    }

    /// Gives a control frame to tungstenite.
    fn control(&mut self, frame: Bytes, is_at_end: bool) -> Result<Control, StreamError> {
        let mut frame = frame;
        let mut pipe = Pipe {
            input: &mut frame,
            answers: &mut self.answers,
            is_at_end,
        };
        loop {
            return match self.context.read(&mut pipe) {
                Ok(Message::Close(_)) => {
                    self.is_left = true;
                    Ok(Control::End)
                }
                // Pings are answered when reading continues. Data frames never come here.
                Ok(
                    Message::Ping(_)
                    | Message::Pong(_)
                    | Message::Frame(_)
                    | Message::Binary(_)
                    | Message::Text(_),
                ) => continue,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    Ok(Control::Continue)
                }
                Err(error) => Err(stream_error(error)),
            };
        }
    }

    /// Whether there are answers to be sent by [`poll_write`](Self::poll_write).
    pub(super) fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Sends `bytes`, and is ready when the system has taken all of them.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut BytesMut,
    ) -> Poll<Result<(), StreamError>> {
        loop {
            if self.frame.is_sent() {
                while !self.answers.is_empty() {
                    let answers = [IoSlice::new(&self.answers)];
                    let count = ready!(poll_write(&mut self.stream, cx, &answers))?;
                    self.answers.drain(..count);
                    if self.answers.is_empty() {
                        // An idle connection holds no buffer.
                        self.answers = Vec::new();
                        self.fetch_answers();
                    }
                }
                if bytes.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                self.frame = FrameLeft::new(bytes.len().min(FRAME));
            }
            let slices = [
                IoSlice::new(self.frame.header()),
                IoSlice::new(&bytes[..self.frame.payload.min(bytes.len())]),
            ];
            let count = ready!(poll_write(&mut self.stream, cx, &slices))?;
            bytes.advance(self.frame.sent(count));
        }
    }

    /// Takes the answers that did not fit before. [`close`](Self::close) takes the answer to a close
    /// frame, after everything else is sent, because nothing may follow it (RFC 6455, section 5.5.1).
    fn fetch_answers(&mut self) {
        if self.is_left {
            return;
        }
        let mut pipe = Pipe {
            input: &mut Bytes::new(),
            answers: &mut self.answers,
            is_at_end: false,
        };
        // This fails if nothing more may be sent, and then reading fails too.
        let _ = self.context.flush(&mut pipe);
    }

    /// Queues a close frame, unless one was sent already.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str) {
        let mut pipe = Pipe {
            input: &mut Bytes::new(),
            answers: &mut self.answers,
            is_at_end: false,
        };
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        // This also fails if the peer has closed and its close frame is answered.
        let _ = self.context.close(&mut pipe, Some(frame));
    }

    /// Returns the socket, when nothing more needs framing.
    pub(super) fn into_stream(self) -> S {
        self.stream
    }
}

impl FrameLeft {
    /// Length of the longest header that a server sends. It has no mask.
    const HEADER: usize = 10;

    /// A whole binary message (RFC 6455, section 5.2).
    fn new(payload: usize) -> Self {
        const FINAL_BINARY: u8 = 0x82;
        let mut header = [0; Self::HEADER];
        header[0] = FINAL_BINARY;
        let header_len = match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(short @ 0..=125), _) => {
                header[1] = short;
                2
            }
            (_, Ok(middle)) => {
                header[1] = 126;
                header[2..4].copy_from_slice(&middle.to_be_bytes());
                4
            }
            _ => {
                header[1] = 127;
                header[2..].copy_from_slice(&(payload as u64).to_be_bytes());
                10
            }
        };
        Self {
            header,
            header_len,
            header_sent: 0,
            payload,
        }
    }

    fn header(&self) -> &[u8] {
        &self.header[usize::from(self.header_sent)..usize::from(self.header_len)]
    }

    fn is_sent(&self) -> bool {
        self.header().is_empty() && self.payload == 0
    }

    /// The system has taken the next `count` bytes. Returns how many of them were payload.
    fn sent(&mut self, count: usize) -> usize {
        let of_header = self.header().len().min(count);
        self.header_sent += u8::try_from(of_header).unwrap_or(self.header_len);
        self.payload -= count - of_header;
        count - of_header
    }
}

impl io::Read for Pipe<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return if self.is_at_end {
                Ok(0)
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
        }
        let count = out.len().min(self.input.len());
        out[..count].copy_from_slice(&self.input[..count]);
        self.input.advance(count);
        Ok(count)
    }
}

impl io::Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.answers.len() >= ANSWERS {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.answers.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn poll_write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(stream).poll_write_vectored(cx, slices))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        count => Poll::Ready(Ok(count)),
    }
}

/// Tungstenite's settings. It sees only control frames.
fn config() -> WebSocketConfig {
    const LARGEST: usize = 1024;
    WebSocketConfig::default()
        .read_buffer_size(0)
        .write_buffer_size(0)
        .max_write_buffer_size(ANSWERS)
        .max_message_size(Some(LARGEST))
        .max_frame_size(Some(LARGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455, section 5.5.1.
    #[test]
    fn nothing_follows_a_close_frame() {
        let (ours, mut theirs) = tokio::io::duplex(1_024);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        // A message, a ping and a close frame; masked with zeros, as a client does it.
        let input = [
            &[0x82, 0x80 | 1, 0, 0, 0, 0, b'x'][..],
            &[0x89, 0x80, 0, 0, 0, 0],
            &[0x88, 0x80 | 2, 0, 0, 0, 0, 0x03, 0xE8],
        ];
        let mut socket = WebSocket::new(ours, &Bytes::from(input.concat()), 1_024);
        let mut buffer = BytesMut::new();
        let received = socket.poll_read(&mut cx, &mut buffer);
        let Poll::Ready(Ok(Received::Bytes(bytes))) = received else {
            panic!("{received:?}");
        };
        assert_eq!(bytes, "x");
        // The broker's answer goes before the close frame.
        let mut answer = BytesMut::from(&b"answer"[..]);
        assert!(socket.poll_write(&mut cx, &mut answer).is_ready());
        let received = socket.poll_read(&mut cx, &mut buffer);
        assert!(matches!(received, Poll::Ready(Ok(Received::End))));
        let mut last = BytesMut::from(&b"last"[..]);
        assert!(socket.poll_write(&mut cx, &mut last).is_ready());
        socket.close(CloseCode::Normal, "");
        assert!(socket.poll_write(&mut cx, &mut last).is_ready());
        drop(socket);
        let mut sent = BytesMut::new();
        while let Poll::Ready(Ok(1..)) = pin!(theirs.read_buf(&mut sent)).poll(&mut cx) {}
        let expected = [
            &[0x8A, 0][..],
            b"\x82\x06answer",
            b"\x82\x04last",
            &[0x88, 2, 0x03, 0xE8],
        ];
        assert_eq!(sent, expected.concat());
    }

    #[test]
    fn a_frame_is_as_long_as_its_header_says_however_it_is_sent() {
        for (payload, header) in [
            (1, vec![0x82, 1]),
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_535, vec![0x82, 126, 0xFF, 0xFF]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            assert_eq!(FrameLeft::new(payload).header(), header);
            for step in [1, 3, header.len(), payload + header.len()] {
                let mut frame = FrameLeft::new(payload);
                let (mut left, mut sent) = (header.len() + payload, 0);
                while left > 0 {
                    assert!(!frame.is_sent());
                    let count = step.min(left);
                    sent += frame.sent(count);
                    left -= count;
                }
                assert!(frame.is_sent());
                assert_eq!(sent, payload);
            }
        }
        assert!(FrameLeft::default().is_sent());
    }
}
