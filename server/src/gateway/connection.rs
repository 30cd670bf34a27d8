//! One device: its socket, and its MQTT client.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use mqtt::client::DisconnectCause;
use mqtt::packet::WillProperties;
use mqtt::{
    ClientOptions, Event, Publish, QoS, ReasonCode, Subscription, TopicFilter, TopicName,
    Utf8String, Will,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::Shared;
use super::framing::{Framer, FramingError};
use super::session::{Refusal, Said, Session};
use crate::listener::Spending;
use crate::mqtt_driver::Driver;
use crate::programs::topics::Topics;

/// Bytes that are read at once.
const READ_CHUNK: usize = 16 * 1024;
/// While so much waits for the broker, nothing more is read from the device.
const MOST_WAITING: usize = 64;
const MOST_WAITING_BYTES: usize = 256 * 1024;
/// Bytes of commands that may wait for a device that does not read.
const MOST_UNREAD: usize = 256 * 1024;
/// How long `SIGN_IN` is valid, in seconds, and after how long it is sent again.
const SIGN_IN_EXPIRY: u32 = 300;
const SIGN_IN_AGAIN: Duration = Duration::from_mins(4);
/// How long commands wait for a device that is away, in seconds.
const SESSION: u32 = 3_600;
/// How long the last messages may take.
const GOODBYE: Duration = Duration::from_secs(2);

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

/// The device's part in MQTT, once it has signed up.
struct Client {
    driver: Driver,
    id: String,
    topics: DeviceTopics,
    sign_in_at: Option<Instant>,
}

struct DeviceTopics {
    data: TopicName,
    response: TopicName,
    register: TopicName,
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
    Mqtt(Option<Box<Event>>),
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
        if let Some(client) = self.client.take() {
            client.leave(&left).await;
        }
        if is_told {
            self.unsent.extend_from_slice(why.as_bytes());
            let bytes = self.unsent.split();
            let _ = timeout(GOODBYE, self.stream.write_all(&bytes)).await;
        }
        let _ = timeout(GOODBYE, self.stream.shutdown()).await;
        counters.counters.open.fetch_sub(1, Ordering::Relaxed);
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
                Woken::Mqtt(Some(event)) => self.handle_event(*event),
                Woken::Mqtt(None) => {
                    self.sign_in_again();
                    None
                }
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
                Some(client) => {
                    let at = client.sign_in_at.map(|at| at + SIGN_IN_AGAIN);
                    let far = Instant::now() + Duration::from_hours(1);
                    client.driver.next(at.unwrap_or(far)).await
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = stream.readable(), if may_read => Woken::Readable(ready),
            ready = stream.writable(), if wants_to_write => Woken::Writable(ready),
            event = mqtt => Woken::Mqtt(event.map(Box::new)),
            () = sleep_until(patience), if is_unknown => Woken::Patience,
            _ = self.stopping.wait_for(|stopping| *stopping) => Woken::Stopping,
        }
    }

    /// Whether there is room for more messages to the broker. If not, the device has to wait.
    fn may_read(&mut self) -> bool {
        let Some(client) = &mut self.client else {
            return true;
        };
        let (messages, bytes) = client.driver.client().0.queued();
        messages < MOST_WAITING && bytes < MOST_WAITING_BYTES
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
                info!(peer = %self.peer, id, "a device has signed up over TCP");
                self.client = Some(Client::new(&self.shared, id).map_err(Left::Refused)?);
                Ok(())
            }
            Said::Data => self.publish(object, |topics| &topics.data),
            Said::Answer => self.publish(object, |topics| &topics.response),
        }
    }

    fn publish(
        &mut self,
        object: String,
        topic: impl FnOnce(&DeviceTopics) -> &TopicName,
    ) -> Result<(), Left> {
        let Some(client) = &mut self.client else {
            return Ok(());
        };
        let mut publish = Publish::new(topic(&client.topics).clone(), object);
        publish.qos = QoS::ExactlyOnce;
        client.publish(publish)
    }

    fn handle_event(&mut self, event: Event) -> Option<Left> {
        let client = self.client.as_mut()?;
        match event {
            Event::Subscribed { .. } => {
                // First the subscription, so that the broker keeps commands as soon as it knows of the
                // device.
                client.sign_in().err()
            }
            Event::Message(message) => {
                count(&self.shared.counters.commands);
                if self.unsent.len() + message.payload.len() > MOST_UNREAD {
                    return Some(Left::NotReading);
                }
                self.unsent.extend_from_slice(&message.payload);
                self.write().err().map(|error| Left::Gone(Some(error)))
            }
            Event::Disconnected { why, retry_at } => match why {
                DisconnectCause::ByServer(reason)
                    if reason.reason_code == ReasonCode::SessionTakenOver =>
                {
                    Some(Left::TakenOver)
                }
                why if retry_at.is_none() => Some(Left::Refused(why.to_string())),
                why => {
                    debug!(
                        id = client.id,
                        "the gateway's client was disconnected: {why}"
                    );
                    client.sign_in_at = None;
                    None
                }
            },
            Event::Connected { .. }
            | Event::Published { .. }
            | Event::Unsubscribed { .. }
            | Event::CredentialsNeeded { .. }
            | Event::OpenTransport
            | Event::CloseTransport => None,
        }
    }

    fn sign_in_again(&mut self) {
        if let Some(client) = &mut self.client
            && client
                .sign_in_at
                .is_some_and(|at| at + SIGN_IN_AGAIN <= Instant::now())
        {
            // A full queue is emptied before the last one expires.
            let _ = client.sign_in();
        }
    }

    /// Counts and logs why the connection ends.
    fn tell(&self, left: &Left) {
        let counters = &self.shared.counters;
        let (peer, id) = (self.peer, self.id());
        match left {
            Left::Gone(None) => return info!(%peer, id, "a device has left the TCP gateway"),
            Left::Gone(Some(error)) => {
                return info!(%peer, id, "a device has left the TCP gateway: {error}");
            }
            Left::Stopped => return,
            Left::BadBytes(FramingError::TooLarge { .. }) => count(&counters.too_large),
            Left::BadBytes(_) | Left::BadObject(_) | Left::Refused(_) | Left::TakenOver => {
                count(&counters.refused);
            }
            Left::Silent => count(&counters.silent),
            Left::NotReading => count(&counters.not_reading),
        }
        if let Spending::Allowed { withheld } = self.shared.log.borrow_mut().take(Instant::now()) {
            let more = match withheld {
                0 => String::new(),
                more => format!(" ({more} such lines were left out)"),
            };
            warn!(%peer, id, "tcp-gateway: closed: {left}{more}");
        }
    }

    fn id(&self) -> &str {
        match &self.session {
            Session::Unknown => "",
            Session::SignedUp { id } => id,
        }
    }
}

impl Client {
    fn new(shared: &Shared, id: String) -> Result<Self, String> {
        let bases = Topics::of_prefix("beaconry");
        let text = |error: mqtt::TopicError| format!("the deviceId fits into no topic: {error}");
        let topic = |base: &str| super::super::programs::topics::of_device(base, &id).map_err(text);
        let topics = DeviceTopics {
            data: topic(&bases.data)?,
            response: topic(&bases.response)?,
            register: topic(&bases.register)?,
        };
        let requests = format!("{}/{id}", bases.request);
        let requests = TopicFilter::try_from(requests.as_str()).map_err(text)?;
        let client_id = Utf8String::try_from(id.as_str()).map_err(|error| error.to_string())?;
        let options = ClientOptions {
            clean_start: false,
            session_expiry_interval: SESSION,
            keep_alive: 60,
            queue_limit_messages: 2 * MOST_WAITING,
            will: Some(Will {
                topic: topics.register.clone(),
                payload: "SIGN_OUT".into(),
                qos: QoS::ExactlyOnce,
                retain: true,
                properties: WillProperties::default(),
            }),
            ..ClientOptions::new(client_id)
        };
        let clock = shared.settings.clock;
        let mut driver = Driver::new(clock, shared.endpoint.clone(), options);
        let (client, now) = driver.client();
        client
            .subscribe(now, vec![Subscription::new(requests, QoS::ExactlyOnce)])
            .map_err(|error| error.to_string())?;
        Ok(Self {
            driver,
            id,
            topics,
            sign_in_at: None,
        })
    }

    fn publish(&mut self, publish: Publish) -> Result<(), Left> {
        let (client, now) = self.driver.client();
        let published = client.publish(now, publish);
        published
            .map(|_| ())
            .map_err(|error| Left::Refused(error.to_string()))
    }

    fn sign_in(&mut self) -> Result<(), Left> {
        self.sign_in_at = Some(Instant::now());
        let mut publish = self.registration("SIGN_IN");
        publish.properties.message_expiry_interval = Some(SIGN_IN_EXPIRY);
        self.publish(publish)
    }

    fn registration(&self, word: &'static str) -> Publish {
        let mut publish = Publish::new(self.topics.register.clone(), word);
        publish.qos = QoS::ExactlyOnce;
        publish.retain = true;
        publish
    }

    /// The device has left. What it sent last is delivered, and then it is signed out.
    async fn leave(mut self, left: &Left) {
        if !matches!(left, Left::TakenOver) {
            let sign_out = self.registration("SIGN_OUT");
            let _ = self.publish(sign_out);
        }
        let end = Instant::now() + GOODBYE;
        while self.driver.next_before_settled(end).await.is_some() {
            if Instant::now() >= end {
                break;
            }
        }
        self.driver.disconnect().await;
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
