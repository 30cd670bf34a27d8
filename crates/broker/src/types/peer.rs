//! The other end of a connection.

use core::net::SocketAddr;

/// What the network knows of the other end of a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address. `None` without a network, as for a client in the same process.
    pub address: Option<SocketAddr>,
    /// How it is connected.
    pub transport: Transport,
}

/// How a client is connected.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// MQTT over TCP.
    Tcp,
    /// MQTT over TLS.
    Tls,
    /// MQTT over WebSocket.
    WebSocket,
    /// MQTT over WebSocket over TLS.
    SecureWebSocket,
    /// No network at all.
    Memory,
}

impl Peer {
    /// A peer without a network: simulations, clients in the same process.
    pub const MEMORY: Self = Self {
        address: None,
        transport: Transport::Memory,
    };
}
