//! Drives the sans-IO [`mqtt::Client`] over a byte stream: TCP, TLS or WebSocket. All clients in this
//! process use it.
//!
//! [`Driver::next`] runs the client's loop: it drains the events, writes the bytes and arms the timer.
//! It can be dropped at any await without losing anything.

use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt::client::SessionSnapshot;
use mqtt::{Client, ClientOptions, Disconnect, Event, Instant, ReasonCode, packet_len};
use tokio::time::{Instant as Monotonic, sleep_until, timeout};
use tracing::debug;

use crate::clock::Clock;
use crate::programs::connection::{Endpoint, Opening, Stream, Trouble};

/// How many bytes are read at once, at least and at most.
const LEAST_CHUNK: usize = 4 * 1024;
const LARGEST_CHUNK: usize = 64 * 1024;
/// The longest fixed header: the type and four bytes of length.
const LONGEST_FIXED_HEADER: usize = 5;
/// How long the driver waits until the last bytes are sent and the server has closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The socket, from the attempt to open it to its end.
enum Socket {
    Closed,
    Opening(Opening),
    Open(Stream),
}

/// A client with its socket.
pub(crate) struct Driver {
    clock: Clock,
    endpoint: Endpoint,
    client: Client,
    socket: Socket,
    /// Bytes that the socket has not taken yet.
    unsent: BytesMut,
    /// Whether the stream may hold more that the system has not taken yet.
    is_writing: bool,
    /// What was read and the client has not got yet.
    received: Bytes,
    /// How many of these belong to a packet whose begin the client has.
    rest_of_packet: usize,
    incoming: BytesMut,
    /// How much to read at once: more while much comes.
    chunk: usize,
    /// Why the last attempt failed, or the last connection ended.
    trouble: Option<Trouble>,
}

/// What ended the waiting.
enum Woken {
    Opened(Result<Stream, Trouble>),
    Read(io::Result<Bytes>),
    Written(io::Result<()>),
    ClientTimer,
    Deadline,
}

impl Driver {
    /// A client that connects to `endpoint` when [`next`](Self::next) is first awaited.
    pub(crate) fn new(clock: Clock, endpoint: Endpoint, options: ClientOptions) -> Self {
        Self {
            clock,
            endpoint,
            client: Client::new(clock.now(), options),
            socket: Socket::Closed,
            unsent: BytesMut::new(),
            is_writing: false,
            received: Bytes::new(),
            rest_of_packet: 0,
            incoming: BytesMut::new(),
            chunk: LEAST_CHUNK,
            trouble: None,
        }
    }

    /// Where it connects.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Why the byte stream did not open, or ended, before the last [`Event::Disconnected`]. `None`: it
    /// was not to blame.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// The client, and the time to give to its methods.
    pub(crate) fn client(&mut self) -> (&mut Client, Instant) {
        (&mut self.client, self.clock.now())
    }

    /// The client's next event, or `None` at `deadline`.
    pub(crate) async fn next(&mut self, deadline: Monotonic) -> Option<Event> {
        loop {
            if let Some(event) = self.ready_event() {
                return Some(event);
            }
            if self.step(deadline).await.is_break() {
                return None;
            }
        }
    }

    /// The next event. `None` means that everything is settled, or that `deadline` has come.
    pub(crate) async fn next_before_settled(&mut self, deadline: Monotonic) -> Option<Event> {
        loop {
            if let Some(event) = self.ready_event() {
                return Some(event);
            }
            if self.is_settled() || self.step(deadline).await.is_break() {
                return None;
            }
        }
    }

    /// How many messages are not finished, and how many bytes they take.
    pub(crate) fn queued(&self) -> (usize, usize) {
        self.client.queued()
    }

    /// Whether all messages are sent (`QoS` 1 and 2: acknowledged), and the system has taken every
    /// byte.
    pub(crate) fn is_settled(&self) -> bool {
        self.client.queued().0 == 0 && !self.is_writing
    }

    /// Carries out what the client asks for, without waiting, until there is an event for the caller.
    /// `None`: there is none before something happens.
    pub(crate) fn ready_event(&mut self) -> Option<Event> {
        loop {
            while let Some(event) = self.client.poll_event() {
                match event {
                    Event::OpenTransport => self.open(),
                    Event::CloseTransport => self.close(),
                    other => return Some(other),
                }
            }
            // Packets one by one: what the caller leaves in here was never acknowledged.
            if !self.give_packet() && !self.transmit() {
                return None;
            }
        }
    }

    /// Sends DISCONNECT and closes. A later client can continue the session.
    pub(crate) fn disconnect(self) -> impl Future<Output = SessionSnapshot> {
        self.disconnect_with(Disconnect::new(ReasonCode::Success))
    }

    /// The same with a reason and properties of the caller's. What the client has not been given yet
    /// is not acknowledged either.
    pub(crate) fn disconnect_with(
        mut self,
        disconnect: Disconnect,
    ) -> impl Future<Output = SessionSnapshot> {
        let session = self.client.session();
        self.client.disconnect_with(self.clock.now(), disconnect);
        self.client.poll_transmit(&mut self.unsent);
        // The future holds no more than it needs.
        let (socket, unsent) = (self.socket, self.unsent);
        async move {
            if let Socket::Open(stream) = socket {
                finish(stream, unsent).await;
            }
            session
        }
    }

    /// Closes without DISCONNECT, so that the server publishes the will.
    pub(crate) fn vanish(self) -> SessionSnapshot {
        self.client.session()
    }

    fn open(&mut self) {
        self.forget_bytes();
        self.socket = Socket::Opening(self.endpoint.open());
    }

    fn close(&mut self) {
        self.client.poll_transmit(&mut self.unsent);
        if let Socket::Open(stream) = std::mem::replace(&mut self.socket, Socket::Closed) {
            tokio::spawn(finish(stream, std::mem::take(&mut self.unsent)));
        }
        self.forget_bytes();
    }

    /// Hands one packet to the client, or the part of it that is there. `false`: nothing is there.
    fn give_packet(&mut self) -> bool {
        let available = self.received.len();
        if available == 0 {
            return false;
        }
        if self.rest_of_packet == 0 {
            self.rest_of_packet = match packet_len(&self.received) {
                Some(length) => length,
                // The next bytes will tell the length.
                None if available < LONGEST_FIXED_HEADER => return false,
                // No packet begins like this. The client will say so.
                None => available,
            };
        }
        let bytes = if available <= self.rest_of_packet {
            // An empty rest would keep the whole buffer alive while the connection is idle.
            std::mem::take(&mut self.received)
        } else {
            self.received.split_to(self.rest_of_packet)
        };
        self.rest_of_packet -= bytes.len();
        if let Err(error) = self.client.handle_input(self.clock.now(), bytes) {
            // The client has handled it already, and reports it with an event.
            debug!(server = %self.endpoint, "the server broke the protocol: {error}");
        }
        true
    }

    /// Sends what the client has. `false`: nothing.
    fn transmit(&mut self) -> bool {
        // While the socket is slow, the client's own limited queue holds the rest.
        if self.is_writing {
            return false;
        }
        let Socket::Open(stream) = &mut self.socket else {
            return false;
        };
        if !self.client.poll_transmit(&mut self.unsent) {
            return false;
        }
        // Writes at once, because the socket can nearly always take it. If not, the driver waits.
        match stream.write_now(&mut self.unsent) {
            Ok(has_left) => self.is_writing = !has_left,
            Err(error) => self.ended(error),
        }
        // A message that was sent is an event too.
        true
    }

    /// Waits until something happens, and handles it. Breaks at `deadline`.
    async fn step(&mut self, deadline: Monotonic) -> ControlFlow<()> {
        match self.wait(deadline).await {
            Woken::Opened(Ok(stream)) => {
                self.socket = Socket::Open(stream);
                self.trouble = None;
                self.client.handle_transport_open(self.clock.now());
            }
            Woken::Opened(Err(trouble)) => self.lost(trouble),
            Woken::Read(Ok(bytes)) if bytes.is_empty() => {
                self.ended(io::ErrorKind::UnexpectedEof.into());
            }
            Woken::Read(Ok(bytes)) => self.receive(bytes),
            Woken::Written(Ok(())) => self.is_writing = false,
            Woken::Read(Err(error)) | Woken::Written(Err(error)) => self.ended(error),
            Woken::ClientTimer => self.client.handle_timeout(self.clock.now()),
            Woken::Deadline => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    async fn wait(&mut self, deadline: Monotonic) -> Woken {
        let timer = self
            .client
            .poll_timeout()
            .map(|(at, _)| self.clock.deadline(at));
        let sleep = sleep_until(timer.map_or(deadline, |timer| timer.min(deadline)));
        let is_client_timer = timer.is_some_and(|timer| timer < deadline);
        let on_socket = async {
            match &mut self.socket {
                Socket::Closed => std::future::pending().await,
                Socket::Opening(opening) => Woken::Opened(opening.await),
                Socket::Open(stream) => {
                    poll_fn(|cx| {
                        if self.is_writing
                            && let Poll::Ready(result) = stream.poll_write(cx, &mut self.unsent)
                        {
                            return Poll::Ready(Woken::Written(result));
                        }
                        let bytes = stream.poll_read(cx, &mut self.incoming, self.chunk);
                        bytes.map(Woken::Read)
                    })
                    .await
                }
            }
        };
        tokio::select! {
            woken = on_socket => woken,
            () = sleep => if is_client_timer { Woken::ClientTimer } else { Woken::Deadline },
        }
    }

    fn receive(&mut self, bytes: Bytes) {
        if bytes.len() >= self.chunk {
            self.chunk = (self.chunk * 2).min(LARGEST_CHUNK);
        } else {
            self.chunk = (self.chunk / 2).max(bytes.len()).max(LEAST_CHUNK);
        }
        if self.received.is_empty() {
            self.received = bytes;
        } else {
            // The first bytes of a packet, too few to tell its length.
            let mut joined = BytesMut::with_capacity(self.received.len() + bytes.len());
            joined.extend_from_slice(&self.received);
            joined.extend_from_slice(&bytes);
            self.received = joined.freeze();
        }
    }

    /// The open byte stream has ended.
    fn ended(&mut self, error: io::Error) {
        let trouble = if self.client.state().is_connected() {
            Trouble::Lost(error)
        } else {
            Trouble::NotAccepted(error)
        };
        self.lost(trouble);
    }

    fn lost(&mut self, trouble: Trouble) {
        debug!(server = %self.endpoint, "no connection: {trouble}");
        self.socket = Socket::Closed;
        self.forget_bytes();
        self.trouble = Some(trouble);
        self.client.handle_transport_closed(self.clock.now());
    }

    /// The bytes of one connection mean nothing to the next.
    fn forget_bytes(&mut self) {
        self.unsent.clear();
        self.is_writing = false;
        self.received = Bytes::new();
        self.rest_of_packet = 0;
    }
}

/// Says goodbye, and waits until the server has closed, for a limited time.
async fn finish(stream: Stream, unsent: BytesMut) {
    // It does not matter whether the server was still there.
    let _ = timeout(CLOSE_TIMEOUT, stream.finish(unsent)).await;
}
