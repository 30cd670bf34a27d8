//! A device's part in MQTT, once it has signed up.

use std::time::Duration;

use bytes::Bytes;
use mqtt::client::DisconnectCause;
use mqtt::packet::WillProperties;
use mqtt::{
    ClientOptions, Event, Publish, QoS, ReasonCode, Subscription, TopicError, TopicFilter,
    TopicName, Utf8String, Will,
};
use tokio::time::Instant;
use tracing::debug;

use super::Shared;
use crate::mqtt_driver::Driver;
use crate::programs::topics::{Topics, of_device};

/// While so much waits for the broker, nothing more is read from the device.
const MOST_WAITING: usize = 64;
const MOST_WAITING_BYTES: usize = 256 * 1024;
/// How long `SIGN_IN` is valid, in seconds, and after how long it is sent again.
const SIGN_IN_EXPIRY: u32 = 300;
const SIGN_IN_AGAIN: Duration = Duration::from_mins(4);
/// How long commands wait for a device that is away, in seconds.
const SESSION: u32 = 3_600;
/// How long the last messages may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// An MQTT client that speaks for a device. Its id is the device's.
pub(super) struct Client {
    driver: Driver,
    id: String,
    topics: DeviceTopics,
    presence: Presence,
}

struct DeviceTopics {
    data: TopicName,
    request: TopicName,
    response: TopicName,
    register: TopicName,
}

/// What the broker's other clients are told.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Presence {
    /// Nothing yet: first comes the subscription, so that the broker keeps commands as soon as anybody
    /// knows of the device.
    Subscribing,
    /// The device is there. Again after a while, because `SIGN_IN` expires.
    SignedIn { at: Instant },
    /// The connection to the broker is lost, and the will has signed the device out.
    CutOff,
}

/// What the device, or its connection, has to know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    Nothing,
    /// Somebody has published this on the topic of the device's commands.
    Command(Bytes),
    /// Another client has connected with the same id.
    TakenOver,
    /// The broker does not want this client.
    Refused(String),
}

impl Client {
    /// A client that connects when [`Self::next`] is first awaited. Fails if the id fits into no topic.
    pub(super) fn new(shared: &Shared, id: String) -> Result<Self, String> {
        let bases = Topics::of_prefix("beaconry");
        let text = |error: TopicError| format!("the deviceId fits into no topic: {error}");
        let topic = |base: &str| of_device(base, &id).map_err(text);
        let topics = DeviceTopics {
            data: topic(&bases.data)?,
            request: topic(&bases.request)?,
            response: topic(&bases.response)?,
            register: topic(&bases.register)?,
        };
        let requests = TopicFilter::try_from(topics.request.as_str()).map_err(text)?;
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
            presence: Presence::Subscribing,
        })
    }

    /// Whether there is room for another message. If not, the device has to wait.
    pub(super) fn has_room(&mut self) -> bool {
        let (messages, bytes) = self.driver.queued();
        messages < MOST_WAITING && bytes < MOST_WAITING_BYTES
    }

    /// Waits for what happens next. Can be dropped at any await.
    pub(super) async fn next(&mut self) -> Happened {
        let deadline = match self.presence {
            Presence::SignedIn { at } => at + SIGN_IN_AGAIN,
            Presence::Subscribing | Presence::CutOff => Instant::now() + Duration::from_hours(1),
        };
        match self.driver.next(deadline).await {
            Some(event) => self.handle(event),
            None => match self.presence {
                Presence::SignedIn { .. } => {
                    // It fails if the queue is full. That is empty again before the last one expires.
                    let _ = self.sign_in();
                    Happened::Nothing
                }
                Presence::Subscribing | Presence::CutOff => Happened::Nothing,
            },
        }
    }

    fn handle(&mut self, event: Event) -> Happened {
        match event {
            Event::Subscribed { .. } => self.signed_in(),
            // The broker knows the subscription still, so no answer to another one will come.
            Event::Connected {
                session_present: true,
                ..
            } if self.presence == Presence::CutOff => self.signed_in(),
            Event::Message(message) if message.topic.as_ref() == Some(&self.topics.request) => {
                Happened::Command(message.payload)
            }
            Event::Message(message) => {
                // The session is older than this client, and had other subscriptions.
                debug!(id = self.id, topic = ?message.topic, "not for the device");
                Happened::Nothing
            }
            Event::Disconnected { why, retry_at } => self.handle_end(&why, retry_at.is_some()),
            Event::Connected { .. }
            | Event::Published { .. }
            | Event::Unsubscribed { .. }
            | Event::CredentialsNeeded { .. }
            | Event::OpenTransport
            | Event::CloseTransport => Happened::Nothing,
        }
    }

    fn handle_end(&mut self, why: &DisconnectCause, tries_again: bool) -> Happened {
        match why {
            DisconnectCause::ByServer(reason)
                if reason.reason_code == ReasonCode::SessionTakenOver =>
            {
                Happened::TakenOver
            }
            why if !tries_again => Happened::Refused(why.to_string()),
            why => {
                debug!(id = self.id, "the gateway's client was disconnected: {why}");
                if self.presence != Presence::Subscribing {
                    self.presence = Presence::CutOff;
                }
                Happened::Nothing
            }
        }
    }

    /// Publishes with `QoS` 2. Fails if that is impossible for good.
    pub(super) fn publish(&mut self, publish: Publish) -> Result<(), String> {
        let (client, now) = self.driver.client();
        let published = client.publish(now, publish);
        published.map(|_| ()).map_err(|error| error.to_string())
    }

    /// What the device has measured.
    pub(super) fn data(&self, object: String) -> Publish {
        exactly_once(&self.topics.data, object)
    }

    /// The device's answer to a command.
    pub(super) fn answer(&self, object: String) -> Publish {
        exactly_once(&self.topics.response, object)
    }

    fn signed_in(&mut self) -> Happened {
        self.sign_in()
            .map_or_else(Happened::Refused, |()| Happened::Nothing)
    }

    fn sign_in(&mut self) -> Result<(), String> {
        self.presence = Presence::SignedIn { at: Instant::now() };
        let mut publish = self.registration("SIGN_IN");
        publish.properties.message_expiry_interval = Some(SIGN_IN_EXPIRY);
        self.publish(publish)
    }

    fn registration(&self, word: &'static str) -> Publish {
        let mut publish = exactly_once(&self.topics.register, word);
        publish.retain = true;
        publish
    }

    /// The device has left. What it sent last is delivered, and then it is signed out.
    pub(super) async fn leave(mut self) {
        let sign_out = self.registration("SIGN_OUT");
        // A full queue is the will's case.
        let _ = self.publish(sign_out);
        let end = Instant::now() + GOODBYE;
        while self.driver.next_before_settled(end).await.is_some() {
            if Instant::now() >= end {
                break;
            }
        }
        if self.driver.is_settled() {
            self.driver.disconnect().await;
        } else {
            self.driver.vanish();
        }
    }
}

fn exactly_once(topic: &TopicName, payload: impl Into<Bytes>) -> Publish {
    let mut publish = Publish::new(topic.clone(), payload);
    publish.qos = QoS::ExactlyOnce;
    publish
}
