//! Records: what the broker does to state that outlives a crash, as bytes.
//!
//! What ends with a connection (a session whose expiry interval is 0, what is subscribed and
//! queued there) is in no record, but for its will: that is to be published when a crash has
//! ended the connection. A session that outlives its connection, or leaves a will, has a number,
//! which is never given again; a message that a record holds has the number of that record.
//!
//! The first byte says the kind. A kind's form never changes: a new form is a new kind.
//!
//! **Invariant.** No bytes make decoding panic, or allocate more than a few times their size.

mod decode;
mod encode;
mod fields;

use crate::types::{Cause, Delivery, GroupId, Holder, Lsn, MessageId, Origin, SessionNumber};

#[cfg(test)]
mod tests;

use mqtt::packet::SubscriptionIdentifier;
use mqtt::{Instant, PacketId, Publish, QoS, Utf8String, Will};

pub(crate) use encode::{AcceptedHead, put_accepted, put_message, put_recipient, put_retained};
pub(crate) use fields::Malformed;

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A client connected: its session begins.
    Opened {
        session: SessionNumber,
        client_id: Utf8String,
        terms: Terms,
    },
    /// A client connected: its session goes on.
    Resumed {
        session: SessionNumber,
        terms: Terms,
    },
    /// The session lost its connection.
    Left {
        session: SessionNumber,
        expiry_interval: u32,
        absence: Absence,
        /// Whether the will is gone: DISCONNECT took it back.
        is_will_gone: bool,
    },
    /// The session is over, or does not outlive its connection any more.
    Ended { session: SessionNumber },
    /// What was granted.
    Subscribed {
        session: SessionNumber,
        subscriptions: Vec<Subscribed>,
    },
    /// What was taken back.
    Unsubscribed {
        session: SessionNumber,
        filters: Vec<Utf8String>,
    },
    /// A message was accepted, from a client or as a will: its number is the record's.
    Accepted(Box<Accepted>),
    /// The packet identifier of an incoming `QoS` 2 message that nobody has to get is taken.
    Incoming {
        session: SessionNumber,
        packet_id: PacketId,
    },
    /// The packet identifier of an incoming `QoS` 2 message is free again.
    Released {
        session: SessionNumber,
        packet_id: PacketId,
    },
    /// A message that other records name.
    Message { id: MessageId, message: Stored },
    /// A session, or a group, was given a message that was there before. A group that had it
    /// has it no longer.
    Queued {
        message: MessageId,
        /// Who had it and has it no longer.
        from: Option<FromSession>,
        recipient: Recipient,
    },
    /// A message left a session's queue for its window.
    Sent {
        session: SessionNumber,
        message: MessageId,
        packet_id: PacketId,
    },
    /// The client has received the message: PUBREL goes out.
    Received {
        session: SessionNumber,
        packet_id: PacketId,
    },
    /// A message left a session's window for good.
    Done {
        session: SessionNumber,
        packet_id: PacketId,
    },
    /// A message left a session's queue for good, or somebody who does not last is done with
    /// it.
    Forgotten {
        holder: Holder,
        message: MessageId,
        origin: Origin,
    },
    /// A will was published that concerned nothing that lasts.
    Spoken { session: SessionNumber },
    /// A client connected with a will, and its session ends with its connection: the will is all
    /// of that which outlasts a crash.
    Willed(Box<Bequest>),
    /// That will is no more: DISCONNECT took it back, or it was published and concerned nothing
    /// that lasts.
    Unwilled { session: SessionNumber },
    /// This message is kept for its topic, with the message.
    RetainedMessage { id: MessageId, message: Stored },
    /// The same, where the message is in an earlier record.
    Retained { message: MessageId },
    /// All retained messages are found, or given up, that a subscription to this filter asked
    /// for: of several such, the first.
    Looked {
        session: SessionNumber,
        filter: Utf8String,
    },
    /// All of a session.
    Session(Box<SessionState>),
    /// A copy of all that matters begins.
    CheckpointBegan,
    /// The last numbers that had been given: none is given again, though no other record may
    /// name it any more.
    Numbers { sessions: u64, groups: GroupId },
    /// The copy that began with the record `from` is whole.
    CheckpointEnded { from: Lsn },
    /// The broker started anew from the records before.
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
pub(crate) struct Bequest {
    pub(crate) session: SessionNumber,
    pub(crate) client_id: Utf8String,
    pub(crate) will: Box<Will>,
}

/// What runs while a session has no connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Absence {
    /// Never, if absent.
    pub(crate) expires_at: Option<Instant>,
    /// With the session's end, if absent.
    pub(crate) will_at: Option<Instant>,
}

/// A subscription with its identifier.
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
    /// Whether retained messages are looked for, to be sent with `QoS` 1 or 2: until
    /// [`Record::Looked`] says that it is over.
    pub(crate) asks: bool,
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) publisher: Utf8String,
    pub(crate) received: Instant,
    pub(crate) publish: Publish,
}

/// A message that was accepted, and what that means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) message: Stored,
    pub(crate) retention: Retention,
    pub(crate) cause: Cause,
    pub(crate) recipients: Vec<Recipient>,
}

/// What becomes of what is kept for a message's topic.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Retention {
    /// It stays.
    #[default]
    Unchanged,
    /// The message takes its place.
    Kept,
    /// It is gone.
    Removed,
}

/// Who gets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipient {
    pub(crate) holder: Holder,
    pub(crate) delivery: Delivery,
    pub(crate) origin: Origin,
    /// If it is in the window already.
    pub(crate) packet_id: Option<PacketId>,
}

/// A session that had a message before another one got it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct FromSession {
    pub(crate) session: SessionNumber,
    /// If it was in the window.
    pub(crate) packet_id: Option<PacketId>,
}

/// All that is known of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionState {
    pub(crate) session: SessionNumber,
    pub(crate) client_id: Utf8String,
    pub(crate) terms: Terms,
    /// Absent: it is connected.
    pub(crate) absence: Option<Absence>,
    pub(crate) last_packet_id: u16,
    pub(crate) incoming: Vec<PacketId>,
    pub(crate) subscriptions: Vec<Subscribed>,
    pub(crate) window: Vec<InWindow>,
    pub(crate) queue: Vec<InQueue>,
    /// What retained messages are still looked for.
    pub(crate) lookups: Vec<Subscribed>,
}

/// A message that was sent and is not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InWindow {
    pub(crate) packet_id: PacketId,
    /// Absent: it was received, and PUBCOMP is awaited.
    pub(crate) message: Option<InQueue>,
}

/// A message that a session has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InQueue {
    pub(crate) message: MessageId,
    pub(crate) delivery: Delivery,
    pub(crate) origin: Origin,
}

/// Whether a record of this kind is about the journal alone: nobody is told anything because of it,
/// and a start without it comes to the same.
pub(crate) fn is_bookkeeping(kind: u8) -> bool {
    matches!(
        kind,
        kind::CHECKPOINT_BEGAN | kind::CHECKPOINT_ENDED | kind::RESTARTED | kind::NUMBERS
    )
}

/// The first byte of each. 0 is a group's frame: see [`journal`](crate::journal).
mod kind {
    pub(super) const OPENED: u8 = 1;
    pub(super) const RESUMED: u8 = 2;
    pub(super) const LEFT: u8 = 3;
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
    pub(super) const FORGOTTEN: u8 = 15;
    pub(super) const SPOKEN: u8 = 16;
    pub(super) const RETAINED_MESSAGE: u8 = 17;
    pub(super) const RETAINED: u8 = 18;
    pub(super) const SESSION: u8 = 19;
    pub(super) const CHECKPOINT_BEGAN: u8 = 20;
    pub(super) const CHECKPOINT_ENDED: u8 = 21;
    pub(super) const RESTARTED: u8 = 22;
    pub(super) const LOOKED: u8 = 23;
    pub(super) const NUMBERS: u8 = 24;
    pub(super) const WILLED: u8 = 25;
    pub(super) const UNWILLED: u8 = 26;
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
}

/// The byte that says where a message is from.
mod cause {
    pub(super) const CLIENT: u8 = 0;
    pub(super) const INCOMING: u8 = 1;
    pub(super) const WILL: u8 = 2;
    pub(super) const LAST_WILL: u8 = 3;
    pub(super) const OTHER_WILL: u8 = 4;
    pub(super) const PASSING_WILL: u8 = 5;
}

/// The byte that says what becomes of what is kept for a topic.
mod retention {
    pub(super) const UNCHANGED: u8 = 0;
    pub(super) const KEPT: u8 = 1;
    pub(super) const REMOVED: u8 = 2;
}
