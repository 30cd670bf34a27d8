//! How a client connects, and how much it may use.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use super::session::SessionSnapshot;
use crate::packet::{ProtocolVersion, UserProperty, Will};
use crate::text::Utf8String;

/// The settings of a [`Client`](super::Client). Every limit has a default that suits one page or
/// one small device.
///
/// ```
/// use mqtt::{ClientOptions, Utf8String};
///
/// let options = ClientOptions {
///     keep_alive: 120,
///     session_expiry_interval: 3_600,
///     ..ClientOptions::new(Utf8String::from_static("pump-7"))
/// };
/// assert!(options.fall_back);
/// ```
#[derive(Clone)]
pub struct ClientOptions {
    /// The version that the client tries first.
    pub version: ProtocolVersion,
    /// Whether the client tries 3.1.1 when the server does not accept version 5. A server says so,
    /// or, like many old servers, closes the connection without an answer to CONNECT. In the second
    /// case the network may have been the reason, so the next connection tries version 5 again.
    pub fall_back: bool,
    /// If it is empty, the server assigns one, and the client keeps it for its reconnections
    /// `[MQTT-3.1.3-6]`. Version 3.1.1 allows that only with a clean session `[MQTT-3.1.3-7]`.
    pub client_id: Utf8String,
    /// Whether the first connection discards an earlier session of this client identifier.
    ///
    /// Reconnections resume the session. In version 3.1.1 one flag says both when a session begins
    /// and when it ends, so the session of a first connection with `clean_start` ends with that
    /// connection. If [`session_expiry_interval`](Self::session_expiry_interval) is 0, every
    /// session ends with its connection.
    pub clean_start: bool,
    /// In seconds; 0 turns it off. The client sends a PINGREQ when it has sent nothing, or received
    /// nothing, for three quarters of this time. A page should ask for 120 or more, because a
    /// browser may slow its timers down to one a minute.
    pub keep_alive: u16,
    /// How many seconds the server keeps the session after the connection is lost; `u32::MAX`: for
    /// ever. Without it, `QoS` 2 is exactly once only within one connection.
    pub session_expiry_interval: u32,
    /// What the server publishes if the client vanishes.
    pub will: Option<Will>,
    /// The name that the client logs in with.
    pub user_name: Option<Utf8String>,
    /// The password. Version 3.1.1 allows one only with a user name `[MQTT-3.1.2-22 of 3.1.1]`, so
    /// without a name the client sends an empty one.
    pub password: Option<Bytes>,
    /// Whether the server may put response information into CONNACK. `None`: the standard's default,
    /// no. Version 5.
    pub request_response_information: Option<bool>,
    /// Whether the server may put reason strings and user properties into any packet. `None`: the
    /// standard's default, yes. Version 5.
    pub request_problem_information: Option<bool>,
    /// Names and values in CONNECT that mean something to the server. Version 5.
    pub user_properties: Vec<UserProperty>,
    /// How many `QoS` 1 and 2 messages the server may send before the client acknowledges them; 0
    /// counts as 1. Version 5.
    pub receive_maximum: u16,
    /// The largest packet that the client accepts, in bytes. A 3.1.1 server cannot be told, but
    /// a larger packet from it still ends the connection.
    pub maximum_packet_size: u32,
    /// How many topic names the server may replace by a number. Version 5.
    pub topic_alias_maximum: u16,
    /// How many topic names the client replaces by a number, where the server allows it. A new one
    /// takes the place of the least recently used one. Version 5.
    pub outgoing_topic_aliases: u16,
    /// How much publications that are not acknowledged yet (with `QoS` 0: not sent yet) may take,
    /// in bytes on the wire.
    pub queue_limit_bytes: usize,
    /// How many publications may be unacknowledged (with `QoS` 0: unsent).
    pub queue_limit_messages: usize,
    /// What happens to a `QoS` 0 message that is published while there is no connection.
    pub offline_qos0: OfflineQoS0,
    /// Whether the client lowers the `QoS` of a message to the server's highest `[MQTT-3.2.2-11]`.
    /// Otherwise it refuses or drops a message with a higher `QoS`.
    pub lower_qos: bool,
    /// How many topic filters the client remembers, and how many requests may wait.
    pub subscription_limit: usize,
    /// How long opening the transport and waiting for CONNACK may take together.
    pub connect_timeout: Duration,
    /// How long the answer to PINGREQ may take.
    pub ping_timeout: Duration,
    /// The same for the PINGREQ of [`reconnect_now`](super::Client::reconnect_now), which tests
    /// whether a connection that looks open still is.
    pub probe_timeout: Duration,
    /// How long to wait between attempts.
    pub reconnect: Reconnect,
    /// The seed of the jitter, and of the first packet identifier in a session that this client does not
    /// know. Give each client a different one, or all of them come back in the same instant after the
    /// server was away.
    pub seed: u64,
    /// What an earlier client had not finished, for example before the page was reloaded. Give
    /// `clean_start: false` and the same client identifier with it.
    pub session: Option<SessionSnapshot>,
}

/// How long to wait between attempts to connect. The wait doubles each time, from `initial` to
/// `max`, and a random factor between a half and one shortens it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The wait after the first failure.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
    /// How long a connection must last before the next failure counts as a first one. Otherwise, if
    /// a server accepts each connection and closes it at once, the client would try again at the
    /// pace of `initial` for ever.
    pub stable_after: Duration,
}

/// What happens to a `QoS` 0 message that is published while there is no connection.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum OfflineQoS0 {
    /// It waits like the others, within the queue's limits and its own message expiry.
    #[default]
    Queue,
    /// [`PublishError::Offline`](super::PublishError::Offline) is returned.
    Refuse,
}

impl ClientOptions {
    /// Version 5 with fall-back, a clean start, 60 s keep alive, and a session of five minutes.
    pub fn new(client_id: Utf8String) -> Self {
        Self {
            version: ProtocolVersion::V5,
            fall_back: true,
            client_id,
            clean_start: true,
            keep_alive: 60,
            session_expiry_interval: 300,
            will: None,
            user_name: None,
            password: None,
            request_response_information: None,
            request_problem_information: None,
            user_properties: Vec::new(),
            receive_maximum: 256,
            maximum_packet_size: 4 << 20,
            topic_alias_maximum: 64,
            outgoing_topic_aliases: 32,
            queue_limit_bytes: 4 << 20,
            queue_limit_messages: 4_096,
            offline_qos0: OfflineQoS0::Queue,
            lower_qos: true,
            subscription_limit: 1_024,
            connect_timeout: Duration::from_secs(15),
            ping_timeout: Duration::from_secs(10),
            probe_timeout: Duration::from_secs(3),
            reconnect: Reconnect::default(),
            seed: 0,
            session: None,
        }
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(1),
            max: Duration::from_secs(30),
            stable_after: Duration::from_secs(10),
        }
    }
}

/// Leaves the password out.
impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}
