//! DISCONNECT and AUTH (sections 3.14 and 3.15).

use alloc::vec::Vec;

use bytes::Bytes;

use super::types::UserProperty;
use crate::reason::ReasonCode;
use crate::text::Utf8String;

/// The sender closes the connection, and says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// In 3.1.1 always success; there only the client may send DISCONNECT.
    pub reason_code: ReasonCode,
    /// Version 5 only.
    pub properties: DisconnectProperties,
}

/// The properties of DISCONNECT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DisconnectProperties {
    /// Seconds; only from the client `[MQTT-3.14.2-2]`.
    pub session_expiry_interval: Option<u32>,
    /// For people who read logs.
    pub reason_string: Option<Utf8String>,
    /// Kept in order.
    pub user_properties: Vec<UserProperty>,
    /// Another server that the client should use; only from the server.
    pub server_reference: Option<Utf8String>,
}

/// A step of enhanced authentication; version 5 only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// Success, continue authentication, or re-authenticate.
    pub reason_code: ReasonCode,
    /// Its method and data.
    pub properties: AuthProperties,
}

/// The properties of AUTH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthProperties {
    /// The method. The decoder accepts its absence only where the standard does, with reason code
    /// and properties omitted.
    pub authentication_method: Option<Utf8String>,
    /// What the method needs.
    pub authentication_data: Option<Bytes>,
    /// For people who read logs.
    pub reason_string: Option<Utf8String>,
    /// Kept in order.
    pub user_properties: Vec<UserProperty>,
}

impl Disconnect {
    /// Creates a DISCONNECT without properties.
    pub fn new(reason_code: ReasonCode) -> Self {
        Self {
            reason_code,
            properties: DisconnectProperties::default(),
        }
    }
}
