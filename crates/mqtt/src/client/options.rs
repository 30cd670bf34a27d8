//! How a client connects, and what it may use.

use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use super::session::SessionSnapshot;
use crate::packet::{ProtocolVersion, Will};
use crate::text::Utf8String;

/// What a [`Client`](super::Client) is made from. Every limit has a default that suits one
/// page or one small device.
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
    /// The version that is tried first.
    pub version: ProtocolVersion,
    /// Whether 3.1.1 is tried when the server does not take version 5: it says so, or it
    /// closes the connection without an answer to CONNECT, which is what many old servers do.
    /// In the second case it may have been the network: the next connection tries version 5
    /// again.
    pub fall_back: bool,
    /// Empty: the server gives one, which is then kept for the reconnections
    /// `[MQTT-3.1.3-6]`. Version 3.1.1 allows that with a clean session only
    /// `[MQTT-3.1.3-7]`.
    pub client_id: Utf8String,
    /// Whether the first connection forgets an earlier session of this client id.
    ///
    /// Reconnections resume. In version 3.1.1, where one flag says both when a session
    /// begins and when it ends, the session of a first connection with `clean_start` ends
    /// with that connection; with [`session_expiry_interval`](Self::session_expiry_interval)
    /// 0 every session does.
    pub clean_start: bool,
    /// Seconds; 0: never. A PINGREQ goes out after three quarters of it without a packet in
    /// either direction. A page whose timers the browser slows down to one a minute should
    /// ask for 120 or more.
    pub keep_alive: u16,
    /// Seconds for which the server keeps the session after the connection is lost;
    /// `u32::MAX`: for ever. Without it `QoS` 2 is exactly once on one connection only.
    pub session_expiry_interval: u32,
    /// What the server publishes should the client vanish.
    pub will: Option<Will>,
    /// Who the client says it is.
    pub user_name: Option<Utf8String>,
    /// Its proof. Version 3.1.1 allows one only with a user name `[MQTT-3.1.2-22 of 3.1.1]`:
    /// an empty one is sent then.
    pub password: Option<Bytes>,
    /// How many `QoS` 1 and 2 messages the server may send ahead of their acknowledgements;
    /// 0 counts as 1. Version 5.
    pub receive_maximum: u16,
    /// The largest packet that the client takes, in bytes; in version 3.1.1, where the
    /// server cannot be told, a larger one ends the connection all the same.
    pub maximum_packet_size: u32,
    /// How many topic names the server may shorten to a number. Version 5.
    pub topic_alias_maximum: u16,
    /// How many topic names the client shortens, where the server allows it; the least
    /// recently used one gives way to a new one. Version 5.
    pub outgoing_topic_aliases: u16,
    /// The most that publications not yet acknowledged (of `QoS` 0: not yet sent) may take,
    /// in bytes on the wire.
    pub queue_limit_bytes: usize,
    /// The most publications not yet acknowledged (of `QoS` 0: not yet sent).
    pub queue_limit_messages: usize,
    /// What happens to `QoS` 0 messages that are published while there is no connection.
    pub offline_qos0: OfflineQoS0,
    /// Whether a message of a higher `QoS` than the server takes is sent with the server's
    /// highest `[MQTT-3.2.2-11]`; else it is refused or dropped.
    pub lower_qos: bool,
    /// The most topic filters that are remembered, and the most requests that wait.
    pub subscription_limit: usize,
    /// How long opening the transport and the wait for CONNACK may take together.
    pub connect_timeout: Duration,
    /// How long the answer to PINGREQ may take.
    pub ping_timeout: Duration,
    /// The same for the PINGREQ of [`reconnect_now`](super::Client::reconnect_now), which
    /// asks whether a connection that looks open still is.
    pub probe_timeout: Duration,
    /// How long to wait between attempts.
    pub reconnect: Reconnect,
    /// Of the jitter: different for every client, or all come back in the same instant after
    /// the server was away.
    pub seed: u64,
    /// What an earlier client had not finished, for example before the page was reloaded.
    /// Give `clean_start: false` and the same client id with it.
    pub session: Option<SessionSnapshot>,
}

/// How long to wait between attempts to connect: twice as long each time, from `initial` to
/// `max`, of which between a half and the whole is taken at random.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// After the first failure.
    pub initial: Duration,
    /// The longest.
    pub max: Duration,
    /// How long a connection must last before the next failure counts as a first one. A
    /// server that accepts and closes at once is thus not asked ever again at the pace of
    /// `initial`.
    pub stable_after: Duration,
}

/// What happens to `QoS` 0 messages that are published while there is no connection.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum OfflineQoS0 {
    /// They wait like the others, within the queue's limits and their own message expiry.
    #[default]
    Queue,
    /// [`PublishError::Offline`](super::PublishError::Offline).
    Refuse,
}

impl ClientOptions {
    /// Version 5 with fall-back, a clean start, 60 s keep alive, a session of five minutes.
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

/// Without the password.
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
