//! One device: its socket, between its bytes and its MQTT client.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use mqtt::Publish;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, warn};

use super::Shared;
use super::client::{Client, Happened};
use super::framing::{Framer, FramingError};
use super::session::{Refusal, Said, Session, is_object};
use crate::listener::Spending;

/// Bytes that are read at once.
const READ_CHUNK: usize = 16 * 1024;
/// Bytes of commands that may wait for a device that does not read.
const MOST_UNREAD: usize = 256 * 1024;
/// How long a device may take to read why its connection is closed.
const GOODBYE: Duration = Duration::from_secs(2);
/// What a refused device may still send until it reads why.
const MOST_IGNORED: u64 = 16 * 1024 * 1024;

/// A device's connection.
pub(super) struct Connection {
    shared: Rc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    stopping: watch::Receiver<bool>,
    framer: Framer,
    session: Session,
    /// Commands that the system has not taken yet.
    unsent: BytesMut,
    client: Option<Client>,
}

/// Why a connection is over.
enum Left {
    /// The device has closed it, or it broke.
    Gone(Option<io::Error>),
    /// The server ends.
    Stopped,
    /// The bytes are no objects.
    BadBytes(FramingError),
    /// The objects are not as agreed.
    BadObject(Refusal),
    /// It has not signed up in time.
    Silent,
    /// It does not read its commands.
    NotReading,
    /// Another connection signed up under the same id.
    TakenOver,
    /// The broker has refused it.
    Refused(String),
}

enum Woken {
    Readable(io::Result<()>),
    Writable(io::Result<()>),
    Mqtt(Happened),
    Patience,
    Stopping,
}

impl Connection {
    pub(super) fn new(
        shared: Rc<Shared>,
        stream: TcpStream,
        peer: SocketAddr,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self {
            framer: Framer::new(shared.settings.max_object),
            shared,
            stream,
            peer,
            stopping,
            session: Session::default(),
            unsent: BytesMut::new(),
            client: None,
        }
    }

    /// From the first byte to the last.
    pub(super) async fn run(mut self) {
        let counters = Rc::clone(&self.shared);
        count(&counters.counters.open);
        let left = self.live().await;
        self.tell(&left);
        // The device may read why. If it has gone, this fails.
        let why = serde_json::json!({ "error": left.to_string() }).to_string();
        let is_told = !matches!(left, Left::Gone(_) | Left::NotReading | Left::Stopped);
        if let Some(client) = self.client.take()
            && !matches!(left, Left::TakenOver)
        {
            client.leave().await;
        }
        if is_told {
            let _ = timeout(GOODBYE, self.refuse(&why)).await;
        }
        let _ = timeout(GOODBYE, self.stream.shutdown()).await;
        counters.counters.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// Writes why, and reads what still comes: closing with bytes unread would reset the connection, and
    /// the device would not get to see why.
    async fn refuse(&mut self, why: &str) -> io::Result<()> {
        self.unsent.extend_from_slice(why.as_bytes());
        self.stream.write_all(&self.unsent).await?;
        self.stream.shutdown().await?;
        let mut rest = (&mut self.stream).take(MOST_IGNORED);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await?;
        Ok(())
    }

    async fn live(&mut self) -> Left {
        let patience = Instant::now() + self.shared.settings.patience;
        loop {
            let woken = self.wait(patience).await;
            let left = match woken {
                Woken::Readable(ready) => match ready.and_then(|()| self.read()) {
                    Ok(true) => self.take_objects(),
                    Ok(false) => Some(Left::Gone(None)),
                    Err(error) => Some(Left::Gone(Some(error))),
                },
                Woken::Writable(ready) => match ready.and_then(|()| self.write()) {
                    Ok(()) => None,
                    Err(error) => Some(Left::Gone(Some(error))),
                },
                Woken::Mqtt(happened) => self.handle(happened),
                Woken::Patience => Some(Left::Silent),
                Woken::Stopping => Some(Left::Stopped),
            };
            // What waits for the broker may have gone, so that objects that were read have room.
            if let Some(left) = left.or_else(|| self.take_objects()) {
                return left;
            }
        }
    }

    async fn wait(&mut self, patience: Instant) -> Woken {
        let may_read = self.may_read();
        let wants_to_write = !self.unsent.is_empty();
        let is_unknown = self.client.is_none();
        let stream = &self.stream;
        let mqtt = async {
            match &mut self.client {
                Some(client) => client.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = stream.readable(), if may_read => Woken::Readable(ready),
            ready = stream.writable(), if wants_to_write => Woken::Writable(ready),
            happened = mqtt => Woken::Mqtt(happened),
            () = sleep_until(patience), if is_unknown => Woken::Patience,
            _ = self.stopping.wait_for(|stopping| *stopping) => Woken::Stopping,
        }
    }

    /// Whether there is room for more messages to the broker. If not, the device has to wait.
    fn may_read(&mut self) -> bool {
        self.client.as_mut().is_none_or(Client::has_room)
    }

    /// Returns whether the device is still there.
    fn read(&mut self) -> io::Result<bool> {
        let mut bytes = [0; READ_CHUNK];
        match self.stream.try_read(&mut bytes) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.framer.push(&bytes[..count]);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.try_write(&self.unsent) {
                Ok(count) => self.unsent.advance(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes the objects that were read, while there is room for what they become.
    fn take_objects(&mut self) -> Option<Left> {
        while self.may_read() {
            match self.framer.next() {
                Ok(None) => return None,
                Ok(Some(object)) => {
                    count(&self.shared.counters.objects);
                    if let Err(left) = self.take(object) {
                        return Some(left);
                    }
                }
                Err(error) => return Some(Left::BadBytes(error)),
            }
        }
        None
    }

    fn take(&mut self, object: String) -> Result<(), Left> {
        match self.session.handle(&object).map_err(Left::BadObject)? {
            Said::SignUp { id } => {
                count(&self.shared.counters.signed_up);
                debug!(peer = %self.peer, id, "a device has signed up over TCP");
                self.client = Some(Client::new(&self.shared, id).map_err(Left::Refused)?);
                Ok(())
            }
            Said::Data => self.publish(|client| client.data(object)),
            Said::Answer => self.publish(|client| client.answer(object)),
        }
    }

    fn publish(&mut self, publication: impl FnOnce(&Client) -> Publish) -> Result<(), Left> {
        let Some(client) = &mut self.client else {
            return Ok(());
        };
        let publish = publication(client);
        client.publish(publish).map_err(Left::Refused)
    }

    fn handle(&mut self, happened: Happened) -> Option<Left> {
        match happened {
            Happened::Nothing => None,
            Happened::Command(payload) => self.pass_on(&payload),
            Happened::TakenOver => Some(Left::TakenOver),
            Happened::Refused(why) => Some(Left::Refused(why)),
        }
    }

    /// Gives a command to the device.
    fn pass_on(&mut self, command: &[u8]) -> Option<Left> {
        if !is_object(command) {
            // The device could not tell where it ends.
            count(&self.shared.counters.unfit_commands);
            self.warn("a command was not passed on: it is no JSON object");
            return None;
        }
        count(&self.shared.counters.commands);
        if self.unsent.len() + command.len() > MOST_UNREAD {
            return Some(Left::NotReading);
        }
        self.unsent.extend_from_slice(command);
        self.write().err().map(|error| Left::Gone(Some(error)))
    }

    /// Counts and logs why the connection ends.
    fn tell(&self, left: &Left) {
        let counters = &self.shared.counters;
        let (peer, id) = (self.peer, self.id());
        match left {
            Left::Gone(None) => return debug!(%peer, id, "a device has left the TCP gateway"),
            Left::Gone(Some(error)) => {
                return debug!(%peer, id, "a device has left the TCP gateway: {error}");
            }
            Left::Stopped => return,
            Left::BadBytes(FramingError::TooLarge { .. }) => count(&counters.too_large),
            Left::BadBytes(_) | Left::BadObject(_) | Left::Refused(_) | Left::TakenOver => {
                count(&counters.refused);
            }
            Left::Silent => count(&counters.silent),
            Left::NotReading => count(&counters.not_reading),
        }
        self.warn(&format!("closed: {left}"));
    }

    /// Logs what somebody did wrong, within the limit for such lines.
    fn warn(&self, what: &str) {
        let (peer, id) = (self.peer, self.id());
        if let Spending::Allowed { withheld } = self.shared.log.borrow_mut().take(Instant::now()) {
            let more = match withheld {
                0 => String::new(),
                more => format!(" ({more} such lines were left out)"),
            };
            warn!(%peer, id, "tcp-gateway: {what}{more}");
        }
    }

    fn id(&self) -> &str {
        match &self.session {
            Session::Unknown => "",
            Session::SignedUp { id } => id,
        }
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(_) => f.write_str("the device has gone"),
            Self::Stopped => f.write_str("the server ends"),
            Self::BadBytes(error) => fmt::Display::fmt(error, f),
            Self::BadObject(refusal) => fmt::Display::fmt(refusal, f),
            Self::Silent => f.write_str("SIGNUP has not come in time"),
            Self::NotReading => f.write_str("the device does not read its commands"),
            Self::TakenOver => {
                f.write_str("another connection has signed up with the same deviceId")
            }
            Self::Refused(why) => write!(f, "the broker does not take this device: {why}"),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
