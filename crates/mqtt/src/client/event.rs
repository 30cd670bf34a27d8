//! What a client tells its shell, and how it says no.

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
    /// Write what [`poll_transmit`](super::Client::poll_transmit) gives, which may be a last
    /// DISCONNECT, then close the transport, and report nothing about it any more.
    CloseTransport,
    /// The server has accepted; subscriptions that it does not know any more are on their way.
    Connected {
        /// What the connection speaks.
        version: ProtocolVersion,
        /// Whether the server still knew the session.
        session_present: bool,
        /// What the server said of itself; nothing in version 3.1.1.
        properties: Box<ConnAckProperties>,
    },
    /// The connection, or the attempt to make one, has ended.
    Disconnected {
        /// Why.
        why: DisconnectCause,
        /// When the next attempt begins; `None`: not by itself.
        retry_at: Option<Instant>,
    },
    /// The server wants other credentials (0x86, 0x87). There is no further attempt before
    /// [`set_credentials`](super::Client::set_credentials). Follows the `Disconnected` that
    /// says the same.
    CredentialsNeeded {
        /// What the server said.
        reason_code: ReasonCode,
    },
    /// A message. Its topic is always there: an alias has been replaced by what it stands
    /// for. Its parts are slices of the input; what is kept for long should be kept as
    /// [`Publish::detach`]'s copy.
    Message(Publish),
    /// What became of a publication.
    Published {
        /// Which.
        id: PublishId,
        /// What became of it.
        outcome: PublishOutcome,
    },
    /// The answer to a subscription. It comes again each time the subscription had to be
    /// renewed because the server had lost the session.
    Subscribed {
        /// Which.
        id: SubscribeId,
        /// The topic filters, in the order of the codes.
        topic_filters: Vec<TopicFilter>,
        /// One for each: the granted `QoS`, or why not. Codes that the client itself gives,
        /// because the server has said before that it would have to: 0x95, 0x9E, 0xA2.
        reason_codes: Vec<ReasonCode>,
    },
    /// The answer to an unsubscription.
    Unsubscribed {
        /// Which.
        id: UnsubscribeId,
        /// One for each topic filter; version 3.1.1 gives none, and success is put here.
        reason_codes: Vec<ReasonCode>,
    },
}

/// What became of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// `QoS` 0: handed to the transport. More is never known.
    Sent,
    /// `QoS` 1 and 2: the server has taken it over. The code is success, or that no
    /// subscriber was there.
    Acknowledged(ReasonCode),
    /// `QoS` 1 and 2: the server did not want it.
    Refused(ReasonCode),
    /// It never reached a server that could have taken it.
    Dropped(DropCause),
}

/// Why a publication was given up by the client itself.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum DropCause {
    /// Its message expiry interval passed while it waited.
    Expired,
    /// Larger than the server's Maximum Packet Size `[MQTT-3.1.2-24]`.
    TooLarge,
    /// Above the server's Maximum `QoS` `[MQTT-3.2.2-11]`.
    QoSNotSupported,
    /// The server keeps no retained messages `[MQTT-3.2.2-14]`.
    RetainNotSupported,
    /// It had not been sent when [`disconnect`](super::Client::disconnect) was called.
    Stopped,
}

/// Why a publication was not accepted. Nothing was queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The queue's limit in bytes or messages is reached: try again after a
    /// [`Event::Published`].
    #[error("the queue is full: {messages} messages, {bytes} bytes")]
    QueueFull {
        /// How many wait now.
        messages: usize,
        /// What they take, in bytes.
        bytes: usize,
    },
    /// Larger than the server, or MQTT itself, takes.
    #[error("a packet of {size} bytes, where the server takes {limit}")]
    TooLarge {
        /// The whole packet, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// Above the server's Maximum `QoS`, and the options do not allow to lower it.
    #[error("the server does not support this QoS")]
    QoSNotSupported,
    /// The server keeps no retained messages.
    #[error("the server does not support retained messages")]
    RetainNotSupported,
    /// No topic: topic aliases are the client's own affair.
    #[error("the message has no topic")]
    NoTopic,
    /// Of `QoS` 0, there is no connection, and the options say not to queue it.
    #[error("there is no connection, and QoS 0 messages are not queued")]
    Offline,
    /// After [`disconnect`](super::Client::disconnect).
    #[error("the client was stopped")]
    Stopped,
    /// It cannot be encoded at all.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// Why a subscription or unsubscription was not accepted. Nothing was queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// No topic filter in it `[MQTT-3.8.3-2]` `[MQTT-3.10.3-2]`.
    #[error("no topic filter given")]
    Empty,
    /// No Local with a shared subscription `[MQTT-3.8.3-4]`.
    #[error("No Local does not go with a shared subscription")]
    NoLocalShared,
    /// [`subscription_limit`](super::ClientOptions::subscription_limit) is reached.
    #[error("more than {limit} subscriptions")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// After [`disconnect`](super::Client::disconnect).
    #[error("the client was stopped")]
    Stopped,
    /// It cannot be encoded at all.
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
    /// Names one publication for the life of the client; never reused.
    PublishId;
    /// Names one subscription request for the life of the client; never reused.
    SubscribeId;
    /// Names one unsubscription request for the life of the client; never reused.
    UnsubscribeId;
}
