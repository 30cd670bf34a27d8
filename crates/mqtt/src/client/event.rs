//! What a client tells its shell, and its reasons for refusing a call.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::state::DisconnectCause;
use crate::error::EncodeError;
use crate::packet::{ConnAckProperties, ProtocolVersion, Publish};
use crate::reason::ReasonCode;
use crate::time::Instant;
use crate::topic::TopicFilter;

/// What happened, or what the shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Open a transport, then call
    /// [`handle_transport_open`](super::Client::handle_transport_open), or
    /// [`handle_transport_closed`](super::Client::handle_transport_closed) if that fails.
    OpenTransport,
    /// Write the bytes from [`poll_transmit`](super::Client::poll_transmit), which may be a last
    /// DISCONNECT. Then close the transport, and report nothing about it any more.
    CloseTransport,
    /// The server accepted the connection. The client is already renewing the subscriptions that
    /// the server has lost.
    Connected {
        /// The protocol version of the connection.
        version: ProtocolVersion,
        /// Whether the server still knew the session.
        session_present: bool,
        /// The properties of the server's CONNACK; empty in version 3.1.1.
        properties: Box<ConnAckProperties>,
    },
    /// The connection, or the attempt to make one, has ended.
    Disconnected {
        /// Why.
        why: DisconnectCause,
        /// When the next attempt begins. `None`: the client does not try again by itself.
        retry_at: Option<Instant>,
    },
    /// The server wants other credentials (0x86, 0x87). The client makes no further attempt before
    /// the shell calls [`set_credentials`](super::Client::set_credentials). This event follows the
    /// `Disconnected` event with the same reason.
    CredentialsNeeded {
        /// The server's reason code.
        reason_code: ReasonCode,
    },
    /// A message. It always has its topic: the client has replaced an alias with its topic name.
    /// Its parts are slices of the input. To keep it for long, keep the copy that
    /// [`Publish::detach`] makes.
    Message(Publish),
    /// What happened to a publication.
    Published {
        /// The publication.
        id: PublishId,
        /// What happened to it.
        outcome: PublishOutcome,
    },
    /// The answer to a subscription. The event comes again each time the client had to renew the
    /// subscription because the server had lost the session.
    Subscribed {
        /// The subscription request.
        id: SubscribeId,
        /// The topic filters, in the order of the codes.
        topic_filters: Vec<TopicFilter>,
        /// One code for each filter: the granted `QoS`, or the reason for the refusal. The client
        /// itself gives 0x95, 0x9E and 0xA2, for a filter that the server has announced it would
        /// refuse.
        reason_codes: Vec<ReasonCode>,
    },
    /// The answer to an unsubscription.
    Unsubscribed {
        /// The unsubscription request.
        id: UnsubscribeId,
        /// One code for each topic filter. Version 3.1.1 has none, so the client fills in success.
        reason_codes: Vec<ReasonCode>,
    },
}

/// What happened to a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// `QoS` 0: the client handed it to the transport. MQTT has no acknowledgement for it.
    Sent,
    /// `QoS` 1 and 2: the server took it over. The code is success, or says that there was no
    /// subscriber.
    Acknowledged(ReasonCode),
    /// `QoS` 1 and 2: the server refused it.
    Refused(ReasonCode),
    /// The client gave it up before a server acknowledged it.
    Dropped(DropCause),
}

/// Why the client itself gave up a publication.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum DropCause {
    /// Its Message Expiry Interval passed while it waited.
    Expired,
    /// It is larger than the server's Maximum Packet Size `[MQTT-3.1.2-24]`.
    TooLarge,
    /// Its `QoS` is above the server's Maximum `QoS` `[MQTT-3.2.2-11]`.
    QoSNotSupported,
    /// The server keeps no retained messages `[MQTT-3.2.2-14]`.
    RetainNotSupported,
    /// The shell called [`disconnect`](super::Client::disconnect) before it was sent.
    Stopped,
}

/// Why the client did not accept a publication. Nothing was queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The queue has reached its limit in bytes or messages. Try again after an
    /// [`Event::Published`].
    #[error("the queue is full: {messages} messages, {bytes} bytes")]
    QueueFull {
        /// How many messages wait now.
        messages: usize,
        /// How many bytes they take.
        bytes: usize,
    },
    /// The packet is larger than the server, or MQTT itself, accepts.
    #[error("the packet takes {size} bytes; the server accepts at most {limit}")]
    TooLarge {
        /// Size of the whole packet, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The `QoS` is above the server's Maximum `QoS`, and the options do not allow the client to
    /// lower it.
    #[error("the server does not support this QoS")]
    QoSNotSupported,
    /// The server keeps no retained messages.
    #[error("the server does not support retained messages")]
    RetainNotSupported,
    /// The message has no topic name. An alias is no substitute: the client chooses its aliases
    /// itself.
    #[error("the message has no topic")]
    NoTopic,
    /// The `QoS` is 0, there is no connection, and the options say not to queue it.
    #[error("there is no connection, and QoS 0 messages are not queued")]
    Offline,
    /// The shell called [`disconnect`](super::Client::disconnect).
    #[error("the client was stopped")]
    Stopped,
    /// No packet can carry it.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Why the client did not accept a subscription or unsubscription. Nothing was queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The request has no topic filter `[MQTT-3.8.3-2]` `[MQTT-3.10.3-2]`.
    #[error("no topic filter given")]
    Empty,
    /// A shared subscription must not have No Local `[MQTT-3.8.3-4]`.
    #[error("No Local does not go with a shared subscription")]
    NoLocalShared,
    /// The client has reached its [`subscription_limit`](super::ClientOptions::subscription_limit).
    #[error("more than {limit} subscriptions")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The shell called [`disconnect`](super::Client::disconnect).
    #[error("the client was stopped")]
    Stopped,
    /// No packet can carry it.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(super) u64);
    )*};
}

ids! {
    /// Identifies one publication for the life of the client. Never reused.
    PublishId;
    /// Identifies one subscription request for the life of the client. Never reused.
    SubscribeId;
    /// Identifies one unsubscription request for the life of the client. Never reused.
    UnsubscribeId;
}
