//! `GET /api/v1/server`.

use alloc::string::String;

use serde::{Deserialize, Serialize};

/// The server, and what it is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// What no other server has, and this one only until it ends. CONNACK carries it in the user
    /// property `beaconry-server`, so a page knows whether broker and API are the same server.
    #[serde(default)]
    pub id: String,
    /// The version of the program, such as "0.1.0".
    pub version: String,
    /// When it started, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// Whether sessions and messages outlive the program.
    pub stores: bool,
    /// Whether it remembers what happened: whether the history routes answer.
    #[serde(default)]
    pub history: bool,
    /// Its broker.
    pub mqtt: MqttInfo,
}

/// The broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MqttInfo {
    /// The port for MQTT over TCP. A proxy or a container may show another one to the outside.
    pub port: u16,
    /// The largest packet that a client may send, in bytes.
    pub max_packet_size: u32,
    /// How many clients are connected.
    pub clients: u64,
}
