//! Records: each change of state that outlives a crash, as bytes.
//!
//! State that ends with its connection is in no record: a session whose expiry interval is 0, its
//! subscriptions and its queue. Its will is the exception, because it must be published after a
//! crash ended the connection. A session that outlives its connection or leaves a will has a
//! number, which is never used again. A message has the number of the first record that holds it as
//! its name.
//!
//! The first byte is the kind. The form of a kind never changes: a new form gets a new kind, or a bit
//! that was always 0.
//!
//! **Invariant.** No bytes make decoding panic, or allocate more than a few times their size.

mod decode;
mod encode;
mod fields;

use crate::types::{
    Cause, Delivery, GroupId, Holder, Interval, Lsn, MessageId, Origin, SessionNumber,
};

#[cfg(test)]
mod tests;

use mqtt::packet::SubscriptionIdentifier;
use mqtt::{Instant, PacketId, Publish, QoS, Utf8String, Will};

pub(crate) use encode::{AcceptedHead, put_accepted, put_message, put_recipient, put_retained};
pub(crate) use fields::Malformed;

/// A change of the broker's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A client connected, and its session begins.
    Opened {
        session: SessionNumber,
        client_id: Utf8String,
        terms: Terms,
    },
    /// A client connected, and its session goes on.
    Resumed {
        session: SessionNumber,
        terms: Terms,
    },
    /// The session lost its connection.
    Disconnected {
        session: SessionNumber,
        expiry_interval: u32,
        absence: Absence,
        /// Whether DISCONNECT took the will back.
        is_will_gone: bool,
    },
    /// The session ended, or no longer outlives its connection.
    Ended { session: SessionNumber },
    /// The client subscribed. These are the granted subscriptions.
    Subscribed {
        session: SessionNumber,
        subscriptions: Vec<Subscribed>,
    },
    /// The client unsubscribed from these filters.
    Unsubscribed {
        session: SessionNumber,
        filters: Vec<Utf8String>,
    },
    /// The broker accepted a message, from a client or as a will. The record's number is its
    /// name.
    Accepted(Box<Accepted>),
    /// The packet identifier of an incoming `QoS` 2 message is in use. This record is for a message
    /// that no lasting session gets.
    Incoming {
        session: SessionNumber,
        packet_id: PacketId,
    },
    /// The packet identifier of an incoming `QoS` 2 message is free again.
    Released {
        session: SessionNumber,
        packet_id: PacketId,
    },
    /// A message, for later records that name it.
    Message { id: MessageId, message: Stored },
    /// A session or a group got a message that existed before. A group that had the message no
    /// longer has it.
    Queued {
        message: MessageId,
        /// The session that had the message before and no longer has it.
        from: Option<FromSession>,
        recipient: Recipient,
    },
    /// A message moved from a session's queue to its window.
    Sent {
        session: SessionNumber,
        message: MessageId,
        packet_id: PacketId,
    },
    /// The client sent PUBREC, so the broker sends PUBREL.
    Received {
        session: SessionNumber,
        packet_id: PacketId,
    },
    /// A message left a session's window for good.
    Done {
        session: SessionNumber,
        packet_id: PacketId,
    },
    /// A message left a session's queue for good, or a session that does not outlive its
    /// connection is done with it.
    Dropped {
        holder: Holder,
        message: MessageId,
        origin: Origin,
    },
    /// The will of a lasting session was published, and nothing else about it needs a record.
    WillPublished { session: SessionNumber },
    /// A client connected with a will, and its session ends with its connection. Only the will
    /// outlives a crash.
    TransientWill(Box<TransientWill>),
    /// The will of a [`TransientWill`](Self::TransientWill) record is gone: DISCONNECT took it
    /// back, or it was published and nothing else about it needs a record.
    TransientWillEnded { session: SessionNumber },
    /// A message that is retained for its topic, as a whole.
    RetainedMessage { id: MessageId, message: Stored },
    /// A message from an earlier record is retained for its topic.
    Retained { message: MessageId },
    /// The retained look-up of a subscription to this filter is over. If there are several, the
    /// record means the first.
    LookupEnded {
        session: SessionNumber,
        filter: Utf8String,
    },
    /// The whole state of a session, for a checkpoint.
    Session(Box<SessionState>),
    /// A checkpoint begins.
    CheckpointBegan,
    /// The highest numbers in use so far. They must never be used again, even if no other record
    /// names them any more.
    Numbers { sessions: u64, groups: GroupId },
    /// The checkpoint that began with the record `from` is complete.
    CheckpointEnded { from: Lsn },
    /// The broker recovered from the records before this one.
    Restarted,
}

/// What CONNECT says about a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) expiry_interval: u32,
    pub(crate) will: Option<Box<Will>>,
}

/// The will of a session that ends with its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TransientWill {
    pub(crate) session: SessionNumber,
    pub(crate) client_id: Utf8String,
    pub(crate) will: Box<Will>,
}

/// The clocks that run while a session has no connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absence {
    /// When the session expires. `None`: never.
    pub(crate) expires_at: Option<Instant>,
    /// When the will is published. `None`: when the session ends.
    pub(crate) will_at: Option<Instant>,
}

/// A subscription as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscribed {
    /// A topic filter.
    pub(crate) filter: Utf8String,
    /// The group, if it is shared.
    pub(crate) group: Option<GroupId>,
    pub(crate) identifier: Option<SubscriptionIdentifier>,
    pub(crate) qos: QoS,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    /// If set, the session gets the newest message of each topic, at most this often.
    pub(crate) latest: Option<Interval>,
    /// Whether a retained look-up with `QoS` 1 or 2 goes on for it, until [`Record::LookupEnded`].
    pub(crate) asks: bool,
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) publisher: Utf8String,
    pub(crate) received: Instant,
    pub(crate) publish: Publish,
}

/// An accepted message, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) message: Stored,
    pub(crate) retention: Retention,
    pub(crate) cause: Cause,
    pub(crate) recipients: Vec<Recipient>,
}

/// What a message does to the retained message of its topic.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Retention {
    /// Nothing: the retained message stays.
    #[default]
    Unchanged,
    /// The message replaces it.
    Kept,
    /// The message removes it.
    Removed,
}

/// Who gets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipient {
    pub(crate) holder: Holder,
    pub(crate) delivery: Delivery,
    pub(crate) origin: Origin,
    /// The packet identifier, if the message is in the window already.
    pub(crate) packet_id: Option<PacketId>,
}

/// A session that had a message before another session got it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FromSession {
    pub(crate) session: SessionNumber,
    /// The packet identifier, if the message was in the window.
    pub(crate) packet_id: Option<PacketId>,
}

/// The whole state of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionState {
    pub(crate) session: SessionNumber,
    pub(crate) client_id: Utf8String,
    pub(crate) terms: Terms,
    /// `None` while it is connected.
    pub(crate) absence: Option<Absence>,
    pub(crate) last_packet_id: u16,
    pub(crate) incoming: Vec<PacketId>,
    pub(crate) subscriptions: Vec<Subscribed>,
    pub(crate) window: Vec<InWindow>,
    pub(crate) queue: Vec<InQueue>,
    /// The retained look-ups that are not over.
    pub(crate) lookups: Vec<Subscribed>,
}

/// A message that was sent and is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InWindow {
    pub(crate) packet_id: PacketId,
    /// `None` after PUBREC: the session waits for PUBCOMP.
    pub(crate) message: Option<InQueue>,
}

/// A message in a session's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InQueue {
    pub(crate) message: MessageId,
    pub(crate) delivery: Delivery,
    pub(crate) origin: Origin,
}

/// See [`journal::is_bookkeeping`](crate::journal::is_bookkeeping).
pub(crate) fn is_bookkeeping(kind: u8) -> bool {
    matches!(
        kind,
        kind::CHECKPOINT_BEGAN | kind::CHECKPOINT_ENDED | kind::RESTARTED | kind::NUMBERS
    )
}

/// The first byte of each record. 0 is the head of a group: see [`journal`](crate::journal).
mod kind {
    pub(super) const OPENED: u8 = 1;
    pub(super) const RESUMED: u8 = 2;
    pub(super) const DISCONNECTED: u8 = 3;
    pub(super) const ENDED: u8 = 4;
    pub(super) const SUBSCRIBED: u8 = 5;
    pub(super) const UNSUBSCRIBED: u8 = 6;
    pub(super) const ACCEPTED: u8 = 7;
    pub(super) const INCOMING: u8 = 8;
    pub(super) const RELEASED: u8 = 9;
    pub(super) const MESSAGE: u8 = 10;
    pub(super) const QUEUED: u8 = 11;
    pub(super) const SENT: u8 = 12;
    pub(super) const RECEIVED: u8 = 13;
    pub(super) const DONE: u8 = 14;
    pub(super) const DROPPED: u8 = 15;
    pub(super) const WILL_PUBLISHED: u8 = 16;
    pub(super) const RETAINED_MESSAGE: u8 = 17;
    pub(super) const RETAINED: u8 = 18;
    pub(super) const SESSION: u8 = 19;
    pub(super) const CHECKPOINT_BEGAN: u8 = 20;
    pub(super) const CHECKPOINT_ENDED: u8 = 21;
    pub(super) const RESTARTED: u8 = 22;
    pub(super) const LOOKUP_ENDED: u8 = 23;
    pub(super) const NUMBERS: u8 = 24;
    pub(super) const TRANSIENT_WILL: u8 = 25;
    pub(super) const TRANSIENT_WILL_ENDED: u8 = 26;
}

/// Bits of the byte that says how a session gets a message. The lowest two are the `QoS`.
mod delivery {
    pub(super) const RETAIN: u8 = 1 << 2;
    pub(super) const ORIGIN_RETAINED: u8 = 1 << 3;
    pub(super) const ORIGIN_SHARED: u8 = 1 << 4;
    pub(super) const PACKET_ID: u8 = 1 << 5;
    pub(super) const IDENTIFIERS: u8 = 1 << 6;
    pub(super) const RECEIVED: u8 = 1 << 7;
}

/// Bits of a subscription's options. The lowest two are the `QoS`.
mod options {
    pub(super) const NO_LOCAL: u8 = 1 << 2;
    pub(super) const RETAIN_AS_PUBLISHED: u8 = 1 << 3;
    pub(super) const SHARED: u8 = 1 << 4;
    pub(super) const ASKS: u8 = 1 << 5;
    pub(super) const LATEST: u8 = 1 << 6;
}

/// The byte that says where a message came from.
mod cause {
    pub(super) const CLIENT: u8 = 0;
    pub(super) const INCOMING: u8 = 1;
    pub(super) const WILL: u8 = 2;
    pub(super) const LAST_WILL: u8 = 3;
    pub(super) const OTHER_WILL: u8 = 4;
    pub(super) const TRANSIENT_WILL: u8 = 5;
}

/// The byte for [`Retention`].
mod retention {
    pub(super) const UNCHANGED: u8 = 0;
    pub(super) const KEPT: u8 = 1;
    pub(super) const REMOVED: u8 = 2;
}
