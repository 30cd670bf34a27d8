//! The state of a client, and why a connection ended.

use core::fmt;

use crate::error::{EncodeError, ProtocolError};
use crate::packet::ProtocolVersion;
use crate::reason::ReasonCode;
use crate::text::Utf8String;
use crate::time::Instant;

/// The state of a client, in a form to show to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The client has asked the shell for a transport.
    Opening {
        /// When it asked.
        since: Instant,
        /// How many attempts failed before this one.
        attempt: u32,
    },
    /// The transport is open and CONNECT is sent; CONNACK has not come.
    Connecting {
        /// When the transport opened.
        since: Instant,
        /// How many attempts failed before this one.
        attempt: u32,
    },
    /// CONNACK has come.
    Connected {
        /// When it came.
        since: Instant,
        /// The protocol version of the connection.
        version: ProtocolVersion,
        /// Whether the server still knew the session.
        session_present: bool,
    },
    /// The client is not connected, and will try again.
    Waiting {
        /// When the next attempt begins.
        until: Instant,
        /// How many attempts have failed.
        attempt: u32,
        /// Why the last one, or the last connection, ended.
        why: DisconnectCause,
    },
    /// The server wants other credentials. Nothing happens before
    /// [`set_credentials`](super::Client::set_credentials).
    CredentialsNeeded {
        /// The server's reason code.
        reason_code: ReasonCode,
    },
    /// The client does nothing more by itself.
    Stopped {
        /// Why.
        why: DisconnectCause,
    },
}

/// Why a connection, or an attempt to make one, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisconnectCause {
    /// The shell called [`disconnect`](super::Client::disconnect).
    Requested,
    /// The shell called [`suspend`](super::Client::suspend).
    Suspended,
    /// The shell could not open the transport.
    TransportNotOpened,
    /// The transport was closed without a DISCONNECT.
    TransportClosed,
    /// The transport did not open, or CONNACK did not come, within the connect time-out.
    ConnectTimeout,
    /// Nothing came back after PINGREQ.
    PingTimeout,
    /// More time passed between two calls than the server waits before it gives up a client
    /// `[MQTT-3.1.2-22]`: the machine slept, or the page was frozen.
    Slept,
    /// The server answered CONNECT with a refusal.
    Refused(ServerReason),
    /// The server sent DISCONNECT.
    ByServer(ServerReason),
    /// The server broke the protocol.
    Protocol(ProtocolError),
    /// The options make no valid CONNECT: for example, a will of more than 65,535 bytes.
    NotEncodable(EncodeError),
}

/// The reason that a server gives when it refuses or ends a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerReason {
    /// Why.
    pub reason_code: ReasonCode,
    /// In the server's own words.
    pub reason_string: Option<Utf8String>,
    /// Another server to use.
    pub server_reference: Option<Utf8String>,
}

/// What [`poll_timeout`](super::Client::poll_timeout)'s time is for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The transport must be open and CONNACK must have come by then.
    Connect,
    /// The client must send a PINGREQ.
    KeepAlive,
    /// The answer to PINGREQ is overdue.
    PingResponse,
    /// The next attempt begins.
    Reconnect,
}

impl State {
    /// Whether publications go out at once.
    pub const fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }
}

impl fmt::Display for DisconnectCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("disconnected on request"),
            Self::Suspended => f.write_str("the page was put aside"),
            Self::TransportNotOpened => f.write_str("the server cannot be reached"),
            Self::TransportClosed => f.write_str("the connection was closed"),
            Self::ConnectTimeout => f.write_str("the server did not answer in time"),
            Self::PingTimeout => f.write_str("the server no longer answers"),
            Self::Slept => f.write_str("this machine was asleep"),
            Self::Refused(reason) => write!(f, "the server refused: {reason}"),
            Self::ByServer(reason) => write!(f, "the server disconnected: {reason}"),
            Self::Protocol(error) => write!(f, "the server broke the protocol: {error}"),
            Self::NotEncodable(error) => write!(f, "the options make no valid CONNECT: {error}"),
        }
    }
}

impl fmt::Display for ServerReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.reason_code, f)?;
        if let Some(text) = &self.reason_string {
            write!(f, ", \"{text}\"")?;
        }
        if let Some(server) = &self.server_reference {
            write!(f, ", use {server}")?;
        }
        Ok(())
    }
}
