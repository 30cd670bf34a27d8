//! Drives the sans-IO [`mqtt::Client`] over a byte stream: TCP, TLS or WebSocket. All clients in this
//! process use it.
//!
//! [`Driver::next`] runs the client's loop: it drains the events, writes the bytes and arms the timer.
//! It can be dropped at any await without losing anything.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt::client::SessionSnapshot;
use mqtt::{Client, ClientOptions, Event, Instant, ReasonCode};
use tokio::time::{Instant as Monotonic, sleep_until, timeout};
use tracing::debug;

use crate::clock::Clock;
use crate::programs::connection::{Endpoint, Stream, Trouble};

/// How long the driver waits until the last bytes are sent and the server has closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Opening = Pin<Box<dyn Future<Output = Result<Stream, Trouble>> + Send>>;

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
    incoming: BytesMut,
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
            incoming: BytesMut::new(),
            trouble: None,
        }
    }

    /// Where it connects.
    #[allow(dead_code)] // the programs follow one by one
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Why the byte stream did not open, or ended, before the last [`Event::Disconnected`]. `None`: it
    /// was not to blame.
    #[allow(dead_code)] // the programs follow one by one
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
            if let Some(event) = self.settle() {
                return Some(event);
            }
            match self.wait(deadline).await {
                Woken::Opened(Ok(stream)) => {
                    self.socket = Socket::Open(stream);
                    self.trouble = None;
                    self.client.handle_transport_open(self.clock.now());
                }
                Woken::Opened(Err(trouble)) => self.lost(trouble),
                Woken::Read(Ok(bytes)) if bytes.is_empty() => {
                    self.lost(Trouble::Lost(io::ErrorKind::UnexpectedEof.into()));
                }
                Woken::Read(Ok(bytes)) => self.receive(bytes),
                Woken::Written(Ok(())) => self.is_writing = false,
                Woken::Read(Err(error)) | Woken::Written(Err(error)) => {
                    self.lost(Trouble::Lost(error));
                }
                Woken::ClientTimer => self.client.handle_timeout(self.clock.now()),
                Woken::Deadline => return None,
            }
        }
    }

    /// The next event. `None` means that everything is settled, or that `deadline` has come.
    /// Settled means that all input is handled, and all messages are sent (`QoS` 1 and 2:
    /// acknowledged).
    pub(crate) async fn next_before_settled(&mut self, deadline: Monotonic) -> Option<Event> {
        if let Some(event) = self.settle() {
            return Some(event);
        }
        if self.client.queued().0 == 0 {
            return None;
        }
        self.next(deadline).await
    }

    /// Sends DISCONNECT and closes. A later client can continue the session.
    pub(crate) async fn disconnect(mut self) -> SessionSnapshot {
        let session = self.client.session();
        self.client
            .disconnect(self.clock.now(), ReasonCode::Success);
        if let Socket::Open(stream) = std::mem::replace(&mut self.socket, Socket::Closed) {
            self.client.poll_transmit(&mut self.unsent);
            finish(stream, self.unsent).await;
        }
        session
    }

    /// Closes without DISCONNECT, so that the server publishes the will.
    pub(crate) fn vanish(self) -> SessionSnapshot {
        self.client.session()
    }

    /// Carries out what the client asks for, until there is an event for the caller.
    fn settle(&mut self) -> Option<Event> {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::OpenTransport => {
                    self.forget_unsent();
                    let endpoint = self.endpoint.clone();
                    let opening = async move { endpoint.open().await };
                    self.socket = Socket::Opening(Box::pin(opening));
                }
                Event::CloseTransport => {
                    self.client.poll_transmit(&mut self.unsent);
                    if let Socket::Open(stream) =
                        std::mem::replace(&mut self.socket, Socket::Closed)
                    {
                        tokio::spawn(finish(stream, std::mem::take(&mut self.unsent)));
                    }
                }
                other => return Some(other),
            }
        }
        // While the socket is slow, the client's own limited queue holds the rest.
        if !self.is_writing
            && let Socket::Open(stream) = &mut self.socket
            && self.client.poll_transmit(&mut self.unsent)
        {
            // Writes at once, because the socket can nearly always take it. If not, the driver waits.
            match stream.write_now(&mut self.unsent) {
                Ok(has_left) => self.is_writing = !has_left,
                Err(error) => self.lost(Trouble::Lost(error)),
            }
            // A message that was sent is an event too.
            return self.settle();
        }
        None
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
                        stream.poll_read(cx, &mut self.incoming).map(Woken::Read)
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
        if let Err(error) = self.client.handle_input(self.clock.now(), bytes) {
            // The client has handled it already, and reports it with an event.
            debug!(server = %self.endpoint, "the server broke the protocol: {error}");
        }
    }

    fn lost(&mut self, trouble: Trouble) {
        debug!(server = %self.endpoint, "no connection: {trouble}");
        self.socket = Socket::Closed;
        self.forget_unsent();
        self.trouble = Some(trouble);
        self.client.handle_transport_closed(self.clock.now());
    }

    fn forget_unsent(&mut self) {
        self.unsent.clear();
        self.is_writing = false;
    }
}

/// Says goodbye, and waits until the server has closed, for a limited time.
async fn finish(stream: Stream, unsent: BytesMut) {
    // It does not matter whether the server was still there.
    let _ = timeout(CLOSE_TIMEOUT, stream.finish(unsent)).await;
}
