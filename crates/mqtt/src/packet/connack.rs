//! CONNACK (section 3.2).

use alloc::vec::Vec;

use bytes::Bytes;

use super::types::{QoS, UserProperty};
use crate::reason::ReasonCode;
use crate::text::Utf8String;

/// The server's answer to CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server has a session of this client `[MQTT-3.2.2-2]`.
    pub session_present: bool,
    /// Success, or the reason for the refusal. Version 3.1.1 has only six return codes: the encoder
    /// writes the nearest one, the decoder returns the reason code with the same meaning.
    pub reason_code: ReasonCode,
    /// Version 5 only.
    pub properties: ConnAckProperties,
}

/// The properties of CONNACK.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnAckProperties {
    /// In seconds. Absent: the interval that the client asked for.
    pub session_expiry_interval: Option<u32>,
    /// How many unacknowledged `QoS` 1 and 2 publications the server accepts. Absent: 65,535.
    pub receive_maximum: Option<u16>,
    /// `QoS` 0 or 1. Absent: 2.
    pub maximum_qos: Option<QoS>,
    /// Whether the server keeps retained messages. Absent: yes.
    pub retain_available: Option<bool>,
    /// The largest packet that the server accepts, in bytes.
    pub maximum_packet_size: Option<u32>,
    /// The client identifier that the server assigned, if the client gave none.
    pub assigned_client_identifier: Option<Utf8String>,
    /// The highest topic alias that the server accepts. Absent: 0, none.
    pub topic_alias_maximum: Option<u16>,
    /// For people who read logs.
    pub reason_string: Option<Utf8String>,
    /// Kept in order.
    pub user_properties: Vec<UserProperty>,
    /// Whether the server supports wildcard subscriptions. Absent: yes.
    pub wildcard_subscription_available: Option<bool>,
    /// Whether the server supports subscription identifiers. Absent: yes.
    pub subscription_identifiers_available: Option<bool>,
    /// Whether the server supports shared subscriptions. Absent: yes.
    pub shared_subscription_available: Option<bool>,
    /// Seconds, instead of the client's own keep alive `[MQTT-3.1.2-21]`.
    pub server_keep_alive: Option<u16>,
    /// The base for the client's response topics.
    pub response_information: Option<Utf8String>,
    /// Another server that the client should use.
    pub server_reference: Option<Utf8String>,
    /// The method of enhanced authentication.
    pub authentication_method: Option<Utf8String>,
    /// The method's data; only with a method.
    pub authentication_data: Option<Bytes>,
}

impl ConnAck {
    /// An answer without properties.
    pub fn new(session_present: bool, reason_code: ReasonCode) -> Self {
        Self {
            session_present,
            reason_code,
            properties: ConnAckProperties::default(),
        }
    }
}
