//! Many connections on one thread.
//!
//! Blocking calls connect and subscribe the clients one after the other. Then the sockets go into
//! one poll. All reads share one buffer, and the answers to one read leave with one write.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use mqtt::QoS;

use crate::frames::{self, Frames};
use crate::interrupt;
use crate::packets::{self, CONNACK, Hello, SUBACK};
use crate::platform;
use crate::scanner::{Scanner, Seen};

/// How long the broker may take to answer while a connection is made.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long making many connections may take.
const JOINING: Duration = Duration::from_mins(1);
const BUFFER: usize = 256 * 1024;

/// How to reach the broker.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Tcp(SocketAddr),
    WebSocket(SocketAddr),
}

/// Connections that one poll waits for.
pub(crate) struct Swarm {
    poll: Poll,
    events: Events,
    sockets: Vec<Socket>,
    buffer: Vec<u8>,
}

/// One connection.
struct Socket {
    stream: TcpStream,
    framing: Framing,
    scanner: Scanner,
    out: SendBuffer,
}

enum Framing {
    Tcp,
    WebSocket(Frames),
}

/// The bytes to send on one connection.
pub(crate) struct SendBuffer {
    bytes: Vec<u8>,
    /// How many of them the system has taken.
    sent: usize,
    is_websocket: bool,
}

/// The index of a connection in its swarm.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member(pub(crate) usize);

impl SendBuffer {
    /// Appends a packet that was encoded, and for a WebSocket masked ([`Route::wire`]), beforehand.
    pub(crate) fn wire(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a packet.
    pub(crate) fn packet(&mut self, packet: &[u8]) {
        if self.is_websocket {
            frames::mask(packet, &mut self.bytes);
        } else {
            self.bytes.extend_from_slice(packet);
        }
    }
}

impl Route {
    /// Appends `packet` to `out` in its form on the wire.
    pub(crate) fn wire(self, packet: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Tcp(_) => out.extend_from_slice(packet),
            Self::WebSocket(_) => frames::mask(packet, out),
        }
    }
}

impl Swarm {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            sockets: Vec::new(),
            buffer: vec![0; BUFFER],
        })
    }

    /// Connects and waits for CONNACK.
    pub(crate) fn join(&mut self, route: Route, hello: &Hello) -> Result<Member> {
        self.join_subscribed(route, hello, None)
    }

    /// Connects and subscribes, and waits for SUBACK.
    pub(crate) fn join_subscribed(
        &mut self,
        route: Route,
        hello: &Hello,
        subscription: Option<(&str, QoS)>,
    ) -> Result<Member> {
        let stream = Opening::begin(route)
            .and_then(|mut opening| {
                opening.upgrade()?;
                opening.ask(&packets::connect(hello)?, CONNACK)?;
                if let Some((filter, qos)) = subscription {
                    let subscribe = packets::subscribe(hello.version, filter, qos)?;
                    opening.ask(&subscribe, SUBACK)?;
                }
                Ok(opening.stream)
            })
            .with_context(|| format!("connection {} ({route:?})", self.sockets.len() + 1))?;
        self.add(stream, route)
    }

    /// Opens a connection, and sends nothing on it.
    pub(crate) fn open(&mut self, route: Route) -> Result<Member> {
        let stream = Opening::begin(route)
            .and_then(|mut opening| {
                opening.upgrade()?;
                Ok(opening.stream)
            })
            .with_context(|| format!("connection {} ({route:?})", self.sockets.len() + 1))?;
        self.add(stream, route)
    }

    /// Connects many clients side by side, because some brokers take long for each step.
    pub(crate) fn join_all(
        &mut self,
        route: Route,
        hellos: &[Hello],
        subscription: Option<(&str, QoS)>,
    ) -> Result<()> {
        const AT_ONCE: usize = 100;
        let deadline = Instant::now() + JOINING;
        for some in hellos.chunks(AT_ONCE) {
            interrupt::check()?;
            let number = self.sockets.len() + 1;
            if Instant::now() > deadline {
                bail!(
                    "stalled: {} connections after {JOINING:?}",
                    self.sockets.len()
                );
            }
            let streams = Self::open_all(route, some, subscription)
                .with_context(|| format!("connections from {number} on ({route:?})"))?;
            for stream in streams {
                self.add(stream, route)?;
            }
        }
        Ok(())
    }

    fn open_all(
        route: Route,
        hellos: &[Hello],
        subscription: Option<(&str, QoS)>,
    ) -> Result<Vec<std::net::TcpStream>> {
        let begun: Result<Vec<_>> = hellos.iter().map(|_| Opening::begin(route)).collect();
        let mut openings = begun?;
        for opening in &mut openings {
            opening.request_upgrade()?;
        }
        for (opening, hello) in openings.iter_mut().zip(hellos) {
            opening.await_upgrade()?;
            opening.send(&packets::connect(hello)?)?;
        }
        for (opening, hello) in openings.iter_mut().zip(hellos) {
            opening.await_answer(CONNACK)?;
            if let Some((filter, qos)) = subscription {
                opening.send(&packets::subscribe(hello.version, filter, qos)?)?;
            }
        }
        if subscription.is_some() {
            for opening in &mut openings {
                opening.await_answer(SUBACK)?;
            }
        }
        Ok(openings.into_iter().map(|it| it.stream).collect())
    }

    fn add(&mut self, stream: std::net::TcpStream, route: Route) -> Result<Member> {
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let member = Member(self.sockets.len());
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry.register(&mut stream, Token(member.0), interest)?;
        self.sockets.push(Socket {
            stream,
            framing: match route {
                Route::Tcp(_) => Framing::Tcp,
                Route::WebSocket(_) => Framing::WebSocket(Frames::default()),
            },
            scanner: Scanner::default(),
            out: SendBuffer {
                bytes: Vec::new(),
                sent: 0,
                is_websocket: matches!(route, Route::WebSocket(_)),
            },
        });
        Ok(member)
    }

    /// Stops reading what comes for `member`, and makes its receive buffer small, so that the
    /// broker soon finds out that nobody reads.
    pub(crate) fn deafen(&mut self, Member(member): Member) -> Result<()> {
        let socket = &mut self.sockets[member];
        self.poll.registry().deregister(&mut socket.stream)?;
        platform::set_receive_buffer(&socket.stream, 4096)?;
        Ok(())
    }

    /// Sends what `write` writes, or as much of it as the system takes now.
    pub(crate) fn send(
        &mut self,
        Member(member): Member,
        write: impl FnOnce(&mut SendBuffer),
    ) -> Result<()> {
        let socket = &mut self.sockets[member];
        write(&mut socket.out);
        socket.flush()
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Whether the system has taken everything that was given for `member`.
    pub(crate) fn is_flushed(&self, Member(member): Member) -> bool {
        self.sockets[member].out.bytes.is_empty()
    }

    /// Waits for the broker, at most for `timeout`. Calls `each` for all packets that have come; it
    /// can answer on the same connection. Returns whether anything came.
    pub(crate) fn turn(
        &mut self,
        timeout: Duration,
        mut each: impl FnMut(Member, Seen<'_>, &mut SendBuffer),
    ) -> Result<bool> {
        interrupt::check()?;
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let mut anything = false;
        for event in &self.events {
            let Token(member) = event.token();
            let socket = &mut self.sockets[member];
            if event.is_readable() || event.is_read_closed() {
                anything |= socket
                    .read(&mut self.buffer, |seen, out| {
                        each(Member(member), seen, out);
                    })
                    .with_context(|| format!("connection {}", member + 1))?;
            }
            socket.flush()?;
        }
        Ok(anything)
    }
}

impl Socket {
    fn read(
        &mut self,
        buffer: &mut [u8],
        mut each: impl FnMut(Seen<'_>, &mut SendBuffer),
    ) -> Result<bool> {
        let mut anything = false;
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => bail!("the broker closed the connection"),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(anything),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            anything = true;
            let (scanner, out) = (&mut self.scanner, &mut self.out);
            let mut bytes = &buffer[..count];
            match &mut self.framing {
                Framing::Tcp => scanner.scan(bytes, |seen| each(seen, out))?,
                Framing::WebSocket(frames) => {
                    while let Some(data) = frames.next(&mut bytes)? {
                        scanner.scan(data, |seen| each(seen, out))?;
                    }
                }
            }
            // The system had no more bytes. If more come, the poll reports them.
            if count < buffer.len() {
                return Ok(true);
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        let out = &mut self.out;
        while out.sent < out.bytes.len() {
            match self.stream.write(&out.bytes[out.sent..]) {
                Ok(count) => out.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("sending"),
            }
        }
        out.bytes.clear();
        out.sent = 0;
        Ok(())
    }
}

/// A connection that is still being made.
struct Opening {
    stream: std::net::TcpStream,
    route: Route,
    frames: Frames,
}

impl Opening {
    fn begin(route: Route) -> Result<Self> {
        let (Route::Tcp(address) | Route::WebSocket(address)) = route;
        let stream = std::net::TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            route,
            frames: Frames::default(),
        })
    }

    fn upgrade(&mut self) -> Result<()> {
        self.request_upgrade()?;
        self.await_upgrade()
    }

    fn request_upgrade(&mut self) -> Result<()> {
        let Route::WebSocket(address) = self.route else {
            return Ok(());
        };
        let request = format!(
            "GET /mqtt HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        Ok(self.stream.write_all(request.as_bytes())?)
    }

    fn await_upgrade(&mut self) -> Result<()> {
        const MOST: usize = 4096;
        if matches!(self.route, Route::Tcp(_)) {
            return Ok(());
        }
        let mut answer = Vec::new();
        let mut byte = [0];
        while !answer.ends_with(b"\r\n\r\n") {
            self.stream
                .read_exact(&mut byte)
                .context("the WebSocket handshake did not finish")?;
            answer.extend(byte);
            if answer.len() > MOST {
                bail!("the answer to the WebSocket handshake has no end");
            }
        }
        if !answer.starts_with(b"HTTP/1.1 101") {
            let answer = String::from_utf8_lossy(&answer);
            bail!("no WebSocket: {}", answer.lines().next().unwrap_or(""));
        }
        Ok(())
    }

    /// Sends `packet`, and waits for a packet of kind `answer` that means success.
    fn ask(&mut self, packet: &[u8], answer: u8) -> Result<()> {
        self.send(packet)?;
        self.await_answer(answer)
    }

    fn send(&mut self, packet: &[u8]) -> Result<()> {
        let mut wire = Vec::new();
        self.route.wire(packet, &mut wire);
        Ok(self.stream.write_all(&wire)?)
    }

    fn await_answer(&mut self, answer: u8) -> Result<()> {
        let mut scanner = Scanner::default();
        let mut buffer = [0; 1024];
        let mut verdict = None;
        let deadline = Instant::now() + PATIENCE;
        while verdict.is_none() && Instant::now() < deadline {
            let count = self
                .stream
                .read(&mut buffer)
                .context("no acknowledgement came")?;
            if count == 0 {
                bail!("the broker closed the connection");
            }
            let mut bytes = &buffer[..count];
            let mut look = |seen: Seen<'_>| {
                if seen.first >> 4 == answer {
                    verdict = Some(accepts(answer, seen.body));
                }
            };
            match self.route {
                Route::Tcp(_) => scanner.scan(bytes, &mut look)?,
                Route::WebSocket(_) => {
                    while let Some(data) = self.frames.next(&mut bytes)? {
                        scanner.scan(data, &mut look)?;
                    }
                }
            }
        }
        match verdict {
            Some(true) => Ok(()),
            Some(false) => bail!("the broker refused (packet type {answer})"),
            None => bail!("no answer (packet type {answer}) within {PATIENCE:?}"),
        }
    }
}

/// Whether a CONNACK, or the SUBACK of one subscription, means success.
fn accepts(kind: u8, body: &[u8]) -> bool {
    let code = if kind == CONNACK {
        body.get(1)
    } else {
        body.last()
    };
    code.is_some_and(|code| *code < 0x80 && (kind == SUBACK || *code == 0))
}
