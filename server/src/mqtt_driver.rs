//! Drives the sans-IO [`mqtt::Client`] over a TCP connection. All clients in this process use it.
//!
//! [`Driver::next`] runs the client's loop: it drains the events, writes the bytes and arms the timer.
//! It can be dropped at any await without losing anything.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use mqtt::client::SessionSnapshot;
use mqtt::{Client, ClientOptions, Event, Instant, ReasonCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant as Monotonic, sleep_until, timeout};
use tracing::debug;

use crate::clock::Clock;

/// How many bytes are read at once.
const READ_CHUNK: usize = 4 * 1024;
/// How long the driver waits until the last bytes are sent and the server has closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Opening = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// The socket, from the attempt to open it to its end.
enum Socket {
    Closed,
    Opening(Opening),
    Open(TcpStream),
}

/// A client with its socket.
pub(crate) struct Driver {
    clock: Clock,
    address: SocketAddr,
    client: Client,
    socket: Socket,
    /// Bytes that the socket has not taken yet.
    unsent: BytesMut,
    incoming: BytesMut,
}

/// What ended the waiting.
enum Woken {
    Opened(io::Result<TcpStream>),
    Readable(io::Result<()>),
    Writable(io::Result<()>),
    ClientTimer,
    Deadline,
}

impl Driver {
    /// A client that connects to `address` when [`next`](Self::next) is first awaited.
    pub(crate) fn new(clock: Clock, address: SocketAddr, options: ClientOptions) -> Self {
        Self {
            clock,
            address,
            client: Client::new(clock.now(), options),
            socket: Socket::Closed,
            unsent: BytesMut::new(),
            incoming: BytesMut::new(),
        }
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
                    // Packets are small. If this fails, reading fails too.
                    let _ = stream.set_nodelay(true);
                    self.socket = Socket::Open(stream);
                    self.client.handle_transport_open(self.clock.now());
                }
                Woken::Opened(Err(error)) => self.lost(&error),
                Woken::Readable(result) => {
                    if let Err(error) = result.and_then(|()| self.read()) {
                        self.lost(&error);
                    }
                }
                Woken::Writable(result) => {
                    if let Err(error) = result.and_then(|()| self.write()) {
                        self.lost(&error);
                    }
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
                    self.unsent.clear();
                    self.socket = Socket::Opening(Box::pin(TcpStream::connect(self.address)));
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
        if self.unsent.is_empty()
            && matches!(self.socket, Socket::Open(_))
            && self.client.poll_transmit(&mut self.unsent)
        {
            // Writes at once, because the socket can nearly always take it. If not, the driver waits.
            if let Err(error) = self.write() {
                self.lost(&error);
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
        let wants_to_write = !self.unsent.is_empty();
        let on_socket = async {
            match &mut self.socket {
                Socket::Closed => std::future::pending().await,
                Socket::Opening(opening) => Woken::Opened(opening.await),
                Socket::Open(stream) => tokio::select! {
                    result = stream.readable() => Woken::Readable(result),
                    result = stream.writable(), if wants_to_write => Woken::Writable(result),
                },
            }
        };
        tokio::select! {
            woken = on_socket => woken,
            () = sleep => if is_client_timer { Woken::ClientTimer } else { Woken::Deadline },
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let Socket::Open(stream) = &self.socket else {
            return Ok(());
        };
        self.incoming.reserve(READ_CHUNK);
        match stream.try_read_buf(&mut self.incoming) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                let bytes = self.incoming.split().freeze();
                if let Err(error) = self.client.handle_input(self.clock.now(), bytes) {
                    // The client has handled it already, and reports it with an event.
                    debug!(server = %self.address, "the server broke the protocol: {error}");
                }
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Socket::Open(stream) = &self.socket else {
            return Ok(());
        };
        while !self.unsent.is_empty() {
            match stream.try_write(&self.unsent) {
                Ok(count) => self.unsent.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn lost(&mut self, error: &io::Error) {
        debug!(server = %self.address, "connection lost: {error}");
        self.socket = Socket::Closed;
        self.unsent.clear();
        self.client.handle_transport_closed(self.clock.now());
    }
}

/// Writes the last bytes and waits until the server closes. Otherwise the system could discard them
/// because of unread input.
async fn finish(mut stream: TcpStream, mut bytes: BytesMut) {
    let saying = async {
        stream.write_all_buf(&mut bytes).await?;
        stream.shutdown().await?;
        let mut ignored = [0; 256];
        loop {
            stream.readable().await?;
            match stream.try_read(&mut ignored) {
                Ok(0) => return io::Result::Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    // It does not matter whether the server was still there.
    let _ = timeout(CLOSE_TIMEOUT, saying).await;
}
