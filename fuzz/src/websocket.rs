//! What the server does with bytes after a WebSocket's handshake: its own transport, over memory.
//!
//! The script is a list of frames, well formed or not, of plain bytes, and of writes by the server.
//!
//! The target checks that nothing panics or loops for ever. The bytes that come out are those of
//! the binary messages that came in; a reader of frames as plain as RFC 6455 allows finds the same.
//! Input that breaks the protocol ends the connection at that place. The server writes only whole
//! unmasked frames: what was to be sent, and no more pongs than there were pings.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use transport::{ByteStream, CloseCode, Received, StreamError};

use crate::Script;

const MAX_PACKET_SIZE: u32 = 1_000;
/// The longest message: one packet, plus one read.
const MAX_MESSAGE: u64 = MAX_PACKET_SIZE as u64 + 64 * 1024;
/// More turns than this for one input mean that something loops.
const TURNS: usize = 20_000;

/// Runs one input; see the module.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let early = usize::from(script.byte());
    let memory = Memory {
        read_most: usize::from(script.byte()) + 1,
        write_most: usize::from(script.byte()) + 16,
        ..Memory::default()
    };
    let (input, writes) = input(&mut script);
    let early = early.min(input.len());
    memory.input.borrow_mut().extend(&input[early..]);
    let (unread, output) = (Rc::clone(&memory.input), Rc::clone(&memory.output));
    let is_closed = Rc::clone(&memory.is_closed);
    let already_read = Bytes::copy_from_slice(&input[..early]);

    let expected = Expected::of(&input);
    let mut cx = Context::from_waker(Waker::noop());
    let mut stream = ByteStream::websocket(memory, &already_read, MAX_PACKET_SIZE);

    let mut sent = Vec::new();
    let mut writes = writes.into_iter();
    let mut unsent = BytesMut::new();
    let mut heard = Vec::new();
    let mut buffer = BytesMut::new();
    let mut quiet = 0;
    let mut ended = None;
    for turn in 0.. {
        assert!(turn < TURNS, "goes round in circles");
        if unsent.is_empty()
            && let Some(bytes) = writes.next()
        {
            sent.extend_from_slice(&bytes);
            unsent.extend_from_slice(&bytes);
        }
        let written = stream.poll_write(&mut cx, &mut unsent);
        if let Poll::Ready(Err(error)) = written {
            ended = Some(Err(error));
            break;
        }
        match stream.poll_read(&mut cx, &mut buffer) {
            Poll::Ready(Ok(Received::Bytes(bytes))) => heard.extend_from_slice(&bytes),
            Poll::Ready(Ok(Received::End)) => {
                ended = Some(Ok(()));
                break;
            }
            Poll::Ready(Err(error)) => {
                ended = Some(Err(error));
                break;
            }
            Poll::Pending => {
                quiet += 1;
                if quiet > 3 && unread.borrow().is_empty() && writes.len() == 0 {
                    break;
                }
            }
        }
    }
    expected.check(&heard, ended.as_ref());

    // Says goodbye to a peer that sends nothing more.
    is_closed.set(true);
    let good_bye = match &ended {
        Some(Err(StreamError::Rule { code, what })) => (*code, what.as_str()),
        _ => (CloseCode::Normal, ""),
    };
    let mut finish = pin!(stream.finish(unsent, good_bye));
    for turn in 0.. {
        assert!(turn < TURNS, "does not send CLOSE");
        if finish.as_mut().poll(&mut cx).is_ready() {
            break;
        }
    }
    check_output(&output.borrow(), &sent, expected.pings);
}

/// The peer's bytes, and what the server writes meanwhile.
fn input(script: &mut Script<'_>) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut input = Vec::new();
    let mut writes = Vec::new();
    while !script.is_over() {
        match script.below(8) {
            0 => input.extend_from_slice(script.bytes()),
            1 if writes.len() < 32 => {
                let len = usize::from(script.word() % 500);
                writes.push(vec![script.byte(); len]);
            }
            1..=6 => {
                let first = script.byte();
                // Usually a well-formed frame: masked, with no reserved bit.
                let first = if first & 0x70 == 0x70 {
                    first
                } else {
                    first & 0x8F
                };
                let key = [script.byte(), 7, 0, 9];
                put_frame(&mut input, first, Some(key), script.bytes());
            }
            _ => {
                let first = script.byte();
                put_frame(&mut input, first, None, script.bytes());
            }
        }
    }
    (input, writes)
}

/// Appends one frame; `first` has FIN, the reserved bits and the opcode.
pub fn put_frame(out: &mut Vec<u8>, first: u8, key: Option<[u8; 4]>, payload: &[u8]) {
    out.push(first);
    let mask = if key.is_some() { 0x80 } else { 0 };
    match payload.len() {
        len @ 0..=125 => out.push(mask | len as u8),
        len @ 126..=65_535 => {
            out.push(mask | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(mask | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    match key {
        Some(key) => {
            out.extend_from_slice(&key);
            out.extend(
                payload
                    .iter()
                    .zip(key.iter().cycle())
                    .map(|(byte, key)| byte ^ key),
            );
        }
        None => out.extend_from_slice(payload),
    }
}

/// How the peer's bytes end for the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// More may come.
    Waits,
    /// The peer sends CLOSE.
    Closes,
    /// The peer breaks a rule.
    Breaks,
}

/// What the peer's bytes contain.
#[derive(Debug)]
struct Expected {
    /// The payloads of all binary messages that came whole before the end.
    whole: Vec<u8>,
    /// The same, and the received part of a message that did not come whole.
    all: Vec<u8>,
    pings: usize,
    end: End,
}

impl Expected {
    fn of(mut input: &[u8]) -> Self {
        let mut expected = Self {
            whole: Vec::new(),
            all: Vec::new(),
            pings: 0,
            end: End::Waits,
        };
        let mut is_open = false;
        expected.end = loop {
            let frame = match frame(&mut input, is_open) {
                Ok(Some(frame)) => frame,
                Ok(None) => break End::Waits,
                Err(end) => break end,
            };
            match frame.opcode {
                8.. if !frame.is_whole => break End::Waits,
                8 => break close(&frame.payload),
                9 => expected.pings += 1,
                10.. => {}
                // The transport takes out MQTT as it arrives.
                _ => {
                    expected.all.extend_from_slice(&frame.payload);
                    is_open = !frame.is_final;
                    if !frame.is_whole {
                        break End::Waits;
                    }
                    if frame.is_final {
                        expected.whole = expected.all.clone();
                    }
                }
            }
        };
        expected
    }

    fn check(&self, heard: &[u8], ended: Option<&Result<(), StreamError>>) {
        assert!(
            heard.starts_with(&self.whole) && self.all.starts_with(heard),
            "heard {heard:02x?}, where {:02x?} came",
            self.all
        );
        match (self.end, ended) {
            (End::Waits, None)
            | (End::Closes, Some(Ok(())))
            | (End::Breaks, Some(Err(StreamError::Rule { .. }))) => {}
            (expected, found) => panic!("{expected:?} expected, not {found:?}"),
        }
    }
}

struct Frame {
    is_final: bool,
    opcode: u8,
    /// As much as has come.
    payload: Vec<u8>,
    is_whole: bool,
}

/// The next frame of a client whose header is complete. `Err`: the header shows that no client may
/// send it.
fn frame(input: &mut &[u8], is_open: bool) -> Result<Option<Frame>, End> {
    let mut rest = *input;
    let &[first, second, ..] = rest else {
        return Ok(None);
    };
    rest.advance(2);
    let opcode = first & 15;
    let is_final = first & 0x80 != 0;
    let is_masked = second & 0x80 != 0;
    let long = match second & 0x7F {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    if rest.len() < long + if is_masked { 4 } else { 0 } {
        return Ok(None);
    }
    let (len, least) = match long {
        0 => (u64::from(second & 0x7F), 0),
        2 => (rest.get_uint(2), 126),
        _ => (rest.get_uint(8), 1 << 16),
    };
    let may_be = match opcode {
        0 => is_open && len <= MAX_MESSAGE,
        // Texts are not allowed [MQTT-6.0.0-1].
        2 => !is_open && len <= MAX_MESSAGE,
        8..=10 => is_final && len <= 125,
        _ => false,
    };
    if !may_be || !is_masked || first & 0x70 != 0 || len < least {
        return Err(End::Breaks);
    }
    let key = [rest[0], rest[1], rest[2], rest[3]];
    rest.advance(4);
    let count = rest.len().min(len as usize);
    let (payload, rest) = rest.split_at(count);
    *input = rest;
    Ok(Some(Frame {
        is_final,
        opcode,
        is_whole: count as u64 == len,
        payload: payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect(),
    }))
}

/// Section 5.5.1: nothing, or a code and a reason in UTF-8.
fn close(payload: &[u8]) -> End {
    match payload {
        [] => End::Closes,
        [_] => End::Breaks,
        [_, _, reason @ ..] if std::str::from_utf8(reason).is_err() => End::Breaks,
        [_, _, ..] => End::Closes,
    }
}

/// The server must have written whole frames.
fn check_output(output: &[u8], sent: &[u8], pings: usize) {
    let mut rest = output;
    let mut told = Vec::new();
    let (mut pongs, mut closes) = (0, 0);
    while !rest.is_empty() {
        let first = rest.get_u8();
        let second = rest.get_u8();
        assert_eq!(
            first & 0xF0,
            0x80,
            "a frame in pieces, or with reserved bits"
        );
        let len = match second {
            len @ 0..=125 => usize::from(len),
            126 => usize::from(rest.get_u16()),
            127 => usize::try_from(rest.get_u64()).expect("short"),
            _ => panic!("a masked frame"),
        };
        let (payload, behind) = rest.split_at(len);
        rest = behind;
        assert_eq!(closes, 0, "something follows the CLOSE");
        match first & 15 {
            2 => told.extend_from_slice(payload),
            8 => closes += 1,
            10 => pongs += 1,
            other => panic!("opcode {other}"),
        }
    }
    assert!(sent.starts_with(&told), "something else was sent");
    assert!(pongs <= pings, "{pongs} pongs to {pings} pings");
}

/// A stream that gives and takes a few bytes at a time.
#[derive(Debug, Default)]
struct Memory {
    input: Rc<RefCell<VecDeque<u8>>>,
    output: Rc<RefCell<Vec<u8>>>,
    read_most: usize,
    write_most: usize,
    /// Whether the next call must be repeated.
    pauses: bool,
    is_closed: Rc<Cell<bool>>,
}

impl Memory {
    /// Every other call can do nothing.
    fn pause(&mut self) -> bool {
        self.pauses = !self.pauses;
        self.pauses
    }
}

impl AsyncRead for Memory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unread = self.input.borrow().len();
        let count = self.read_most.min(out.remaining()).min(unread);
        if count == 0 && !self.is_closed.get() || self.pause() {
            return Poll::Pending;
        }
        let bytes: Vec<u8> = self.input.borrow_mut().drain(..count).collect();
        out.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.pause() {
            return Poll::Pending;
        }
        let count = self.write_most.min(bytes.len());
        self.output.borrow_mut().extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
