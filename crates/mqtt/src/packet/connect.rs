//! CONNECT (section 3.1).

use alloc::vec::Vec;

use bytes::Bytes;

use super::types::{Dialect, ProtocolVersion, QoS, UserProperty};
use crate::text::{TextError, Utf8String};
use crate::topic::TopicName;

/// A client asks to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    /// The protocol version of the whole connection.
    pub version: ProtocolVersion,
    /// How CONNECT deviates from the standards of that version, if it does.
    pub dialect: Dialect,
    /// Whether to discard an earlier session of this client (3.1.1: Clean Session).
    pub clean_start: bool,
    /// Seconds of silence after which the client sends PINGREQ; 0: never.
    pub keep_alive: u16,
    /// May be empty: the server then assigns one.
    pub client_id: Utf8String,
    /// What the server publishes if the client vanishes.
    pub will: Option<Will>,
    /// The name that the client logs in with.
    pub user_name: Option<Utf8String>,
    /// The password: any bytes.
    pub password: Option<Bytes>,
    /// Version 5 only.
    pub properties: ConnectProperties,
}

/// The properties of CONNECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectProperties {
    /// How many seconds the session outlives the connection. Absent: 0. `u32::MAX`: for ever.
    pub session_expiry_interval: Option<u32>,
    /// How many unacknowledged `QoS` 1 and 2 publications the client accepts. Absent: 65,535. Never
    /// 0.
    pub receive_maximum: Option<u16>,
    /// The largest packet that the client accepts, in bytes. Never 0.
    pub maximum_packet_size: Option<u32>,
    /// The highest topic alias that the client accepts. Absent: 0, none.
    pub topic_alias_maximum: Option<u16>,
    /// Whether the server may put response information into CONNACK. Absent: no.
    pub request_response_information: Option<bool>,
    /// Whether the server may send reason strings and user properties in any packet. Absent: yes.
    pub request_problem_information: Option<bool>,
    /// Kept in order.
    pub user_properties: Vec<UserProperty>,
    /// The method of enhanced authentication, if the client asks for it.
    pub authentication_method: Option<Utf8String>,
    /// The method's data; only with a method.
    pub authentication_data: Option<Bytes>,
}

/// The message that the server publishes if the client vanishes (section 3.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// The topic to publish to.
    pub topic: TopicName,
    /// The payload: at most 65,535 bytes.
    pub payload: Bytes,
    /// The quality of service.
    pub qos: QoS,
    /// Whether the server keeps it for later subscribers.
    pub retain: bool,
    /// Version 5 only.
    pub properties: WillProperties,
}

/// The properties of a will.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WillProperties {
    /// How many seconds the server waits to publish the will after it lost the client. Absent: 0.
    pub will_delay_interval: Option<u32>,
    /// `true`: the payload is UTF-8.
    pub payload_format_indicator: Option<bool>,
    /// Seconds.
    pub message_expiry_interval: Option<u32>,
    /// The kind of content, for example a MIME type.
    pub content_type: Option<Utf8String>,
    /// The topic for the answer.
    pub response_topic: Option<TopicName>,
    /// The data that the answer must carry.
    pub correlation_data: Option<Bytes>,
    /// Kept in order.
    pub user_properties: Vec<UserProperty>,
}

impl Connect {
    /// A clean start with 60 s keep alive, and nothing else.
    ///
    /// # Panics
    /// Panics when `client_id` is not a valid [`Utf8String`]. Use [`Connect::with_client_id`] for a
    /// client identifier that comes from outside.
    pub fn new(version: ProtocolVersion, client_id: &'static str) -> Self {
        Self::build(version, Utf8String::from_static(client_id))
    }

    /// The same as [`new`](Self::new), for a client identifier that comes from outside.
    pub fn with_client_id(version: ProtocolVersion, client_id: &str) -> Result<Self, TextError> {
        Ok(Self::build(version, Utf8String::try_from(client_id)?))
    }

    fn build(version: ProtocolVersion, client_id: Utf8String) -> Self {
        Self {
            version,
            dialect: Dialect::default(),
            clean_start: true,
            keep_alive: 60,
            client_id,
            will: None,
            user_name: None,
            password: None,
            properties: ConnectProperties::default(),
        }
    }
}
