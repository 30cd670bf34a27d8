//! The ledger: which records there are, which of them are durable, and who waits for them.
//!
//! Records are numbered in the order in which they arise and become durable in that order, in
//! batches: a batch is what the shell takes at once. So bytes that wait for a record (see
//! [`Outbox`](crate::delivery::Outbox)) wait for its whole batch. One queue for all connections
//! says which connection waits for which record.

use core::num::NonZeroU64;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mqtt::{PacketId, Publish, QoS};

use crate::durability::{
    AcceptedHead, CheckpointProgress, FromSession, MAX_BODY, Recipient, Record, Retention,
    WriteBack, put_accepted, put_message, put_recipient, write_frame_within,
};
use crate::types::{
    Cause, Conn, Delivery, Holder, Lsn, Message, MessageBytes, MessageId, Origin, Queued,
    SessionNumber, Slot, StoreState,
};

/// The broker's end of the journal.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Whether the broker writes a journal.
    is_kept: bool,
    /// Frames that the shell has not taken yet.
    frames: BytesMut,
    /// The last record.
    last: Lsn,
    /// The last record that the shell has taken.
    last_taken: Lsn,
    /// The last record and the size in bytes of each batch that the shell has taken but not made
    /// durable.
    taken: VecDeque<(Lsn, usize)>,
    /// Bytes of all those batches.
    taken_bytes: usize,
    /// The last durable record.
    durable: Lsn,
    /// The last record that ended a session.
    ended: Lsn,
    /// Whether the shell knows that there are frames to take.
    is_announced: bool,
    /// The connections with bytes that wait, and for which record, in order.
    waiting: VecDeque<(Lsn, Slot, Conn)>,
    /// How many sessions have a number.
    sessions: u64,
    /// The message that is being routed.
    accepting: Option<Accepting>,
    /// The recipients of that message, as [`put_recipient`] wrote them. The buffer is kept between
    /// messages to save an allocation, like `lost`.
    recipients: BytesMut,
    /// Messages that queues dropped to make room for that message. These drops are recorded after
    /// the message, because its name is the number of the next record.
    lost: Vec<(Holder, MessageId, Origin)>,
    /// Who held the message that is moving to another session.
    moving: Option<PreviousHolder>,
    /// The longest body of a record.
    max_body: usize,
    /// How many records are missing because one was too long. Later records would build on the
    /// missing ones, so the ledger records nothing more, and nothing that waits for a record is
    /// ever sent.
    missing: u64,
    /// Whether the shell has been told that records are missing.
    is_stuck_told: bool,
    checkpoint: CheckpointProgress,
    store: StoreState,
    /// Bytes that the store can take beyond what is durable.
    room: u64,
    /// Bytes that a checkpoint takes for messages.
    message_bytes: MessageBytes,
    write_back: WriteBack,
}

/// A message that is being routed. It becomes the next record if it changes anything that survives
/// a crash.
#[derive(Copy, Clone, Debug)]
struct Accepting {
    recipients: usize,
    /// Whether it is recorded even without recipients.
    is_certain: bool,
}

/// A position in the records. It allows asking later what has been added since.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Mark {
    last: Lsn,
    missing: u64,
}

/// Who held a message before it moved to another session.
#[derive(Copy, Clone, Debug)]
enum PreviousHolder {
    Session(FromSession),
    /// The message's group, according to the records, because the session that had the message does
    /// not outlive its connection.
    Group,
}

impl Ledger {
    /// The number of a record that will never be durable.
    const NEVER: Lsn = Lsn(u64::MAX);

    /// A ledger without records. If `is_kept` is false, it never has any.
    pub(crate) fn new(is_kept: bool) -> Self {
        Self {
            is_kept,
            max_body: MAX_BODY,
            room: u64::MAX,
            ..Self::default()
        }
    }

    /// A ledger that continues after the durable record `last` and after `sessions` numbered
    /// sessions. `message_bytes` counts their messages.
    pub(crate) fn following(last: Lsn, sessions: u64, message_bytes: MessageBytes) -> Self {
        Self {
            is_kept: true,
            max_body: MAX_BODY,
            room: u64::MAX,
            message_bytes,
            last,
            last_taken: last,
            durable: last,
            sessions,
            ..Self::default()
        }
    }

    /// The progress of the checkpoint.
    pub(crate) fn checkpoint(&self) -> &CheckpointProgress {
        &self.checkpoint
    }

    /// Mutable access to the progress of the checkpoint.
    pub(crate) fn checkpoint_mut(&mut self) -> &mut CheckpointProgress {
        &mut self.checkpoint
    }

    /// The first record of the last checkpoint that has become durable since the last call.
    pub(crate) fn checkpointed(&mut self) -> Option<Lsn> {
        self.checkpoint.checkpointed(self.durable)
    }

    /// The state of the write-back.
    pub(crate) fn write_back(&self) -> &WriteBack {
        &self.write_back
    }

    /// Mutable access to the state of the write-back.
    pub(crate) fn write_back_mut(&mut self) -> &mut WriteBack {
        &mut self.write_back
    }

    /// Bytes that a checkpoint takes for messages.
    pub(crate) fn message_bytes(&self) -> &MessageBytes {
        &self.message_bytes
    }

    /// Notes whether the store has room. If it has, the write-back begins.
    pub(crate) fn set_store(&mut self, state: StoreState) {
        self.store = state;
        match state {
            StoreState::Ready => self.write_back.begin(),
            StoreState::Full => {}
        }
    }

    /// Bytes that the store can take beyond what is durable.
    pub(crate) fn room(&self) -> u64 {
        self.room
    }

    pub(crate) fn set_room(&mut self, bytes: u64) {
        self.room = bytes;
    }

    /// For tests: limits the length of a record.
    #[cfg(test)]
    pub(crate) fn set_max_body(&mut self, bytes: usize) {
        self.max_body = bytes;
    }

    /// Whether the broker writes a journal.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Whether the broker must refuse whatever would promise something new.
    pub(crate) fn is_full(&self) -> bool {
        self.is_kept && (self.store == StoreState::Full || self.is_stuck())
    }

    /// Whether recording has stopped because a record was too long.
    pub(crate) fn is_stuck(&self) -> bool {
        self.missing > 0
    }

    /// Whether recording has stopped since the last call.
    pub(crate) fn take_stuck_news(&mut self) -> bool {
        let news = self.is_stuck() && !self.is_stuck_told;
        self.is_stuck_told |= news;
        news
    }

    /// The last record.
    pub(crate) fn last(&self) -> Lsn {
        self.last
    }

    /// The number of the next record.
    pub(crate) fn next(&self) -> Lsn {
        Lsn(self.last.0.saturating_add(1))
    }

    /// The last record that is known to be durable.
    pub(crate) fn durable(&self) -> Lsn {
        self.durable
    }

    /// The last record that the shell has taken.
    pub(crate) fn last_taken(&self) -> Lsn {
        self.last_taken
    }

    /// The record that must be durable before an answer that builds on everything done so far may
    /// be sent. `None` if that record is durable already.
    pub(crate) fn gate(&self) -> Option<Lsn> {
        let last = if self.is_stuck() {
            Self::NEVER
        } else {
            self.last
        };
        (self.durable < last).then_some(last)
    }

    /// The record that must be durable before a client is told that it has no earlier session.
    /// `None` if no end of a session waits to become durable.
    pub(crate) fn gate_of_ends(&self) -> Option<Lsn> {
        self.gate().filter(|_| self.durable < self.ended)
    }

    /// The present position in the records.
    pub(crate) fn mark(&self) -> Mark {
        Mark {
            last: self.last,
            missing: self.missing,
        }
    }

    /// The last record, if there has been one since `before`.
    pub(crate) fn since(&self, before: Mark) -> Option<Lsn> {
        if before.missing < self.missing {
            return Some(Self::NEVER);
        }
        (before.last < self.last).then_some(self.last)
    }

    /// Bytes that the shell has not taken yet.
    pub(crate) fn backlog(&self) -> usize {
        self.frames.len()
    }

    /// How many sessions have a number.
    pub(crate) fn sessions(&self) -> u64 {
        self.sessions
    }

    /// Bytes of records that are not durable, whether the shell has taken them or not.
    pub(crate) fn unsettled_bytes(&self) -> usize {
        self.frames.len() + self.taken_bytes
    }

    /// Gives a number to a session that outlives its connection or leaves a will.
    pub(crate) fn number_session(&mut self) -> SessionNumber {
        self.sessions = self.sessions.saturating_add(1);
        SessionNumber(NonZeroU64::new(self.sessions).unwrap_or(NonZeroU64::MAX))
    }

    /// Appends a record.
    pub(crate) fn record(&mut self, record: &Record) -> Lsn {
        let lsn = self.write(|out| record.put(out));
        if let Record::Ended { .. } = record {
            self.ended = lsn;
        }
        lsn
    }

    /// Appends a record that `body` writes.
    pub(crate) fn write(&mut self, body: impl FnOnce(&mut BytesMut)) -> Lsn {
        debug_assert!(self.is_kept && self.accepting.is_none(), "out of turn");
        let lsn = self.next();
        if self.is_stuck() || !write_frame_within(&mut self.frames, lsn, self.max_body, body) {
            self.missing += 1;
            return Self::NEVER;
        }
        self.last = lsn;
        lsn
    }

    /// Begins to route a message that came from `cause`. Returns the name that the message will
    /// have if it is recorded.
    pub(crate) fn begin_message(&mut self, cause: Cause) -> Option<MessageId> {
        if !self.is_kept {
            return None;
        }
        let is_certain = match cause {
            Cause::Incoming(..) | Cause::Will(_) | Cause::LastWill(_) | Cause::TransientWill(_) => {
                true
            }
            Cause::Client | Cause::OtherWill => false,
        };
        self.accepting = Some(Accepting {
            recipients: 0,
            is_certain,
        });
        self.recipients.clear();
        MessageId::of(self.next())
    }

    /// The record that the message being routed will become, if it will be recorded even without
    /// recipients. A crash without that record would deliver the message again, perhaps to another
    /// member of a group.
    pub(crate) fn certain(&self) -> Option<Lsn> {
        let accepting = self.accepting.filter(|it| it.is_certain);
        accepting.map(|_| self.next())
    }

    /// Notes that `holder` gets `message`, which is the one being routed or an older one.
    /// Returns the record that says so.
    pub(crate) fn recipient(
        &mut self,
        holder: Holder,
        message: &Arc<Message>,
        delivery: &Delivery,
        origin: Origin,
        packet_id: Option<PacketId>,
    ) -> Lsn {
        if let Some(accepting) = &mut self.accepting {
            accepting.recipients += 1;
            put_recipient(&mut self.recipients, holder, delivery, origin, packet_id);
            return self.next();
        }
        let previous = self.moving.take();
        let from = match previous {
            Some(PreviousHolder::Session(from)) => Some(from),
            Some(PreviousHolder::Group) | None => None,
        };
        let recipient = Recipient {
            holder,
            delivery: delivery.clone(),
            origin,
            packet_id,
        };
        let is_there = previous.is_some() || origin == Origin::Retained;
        let message = self.store_message(message, is_there);
        self.record(&Record::Queued {
            message,
            from,
            recipient,
        })
    }

    /// Records that a session dropped a message from its queue. If the session does not outlive its
    /// connection, the record says instead that the group no longer holds the message.
    pub(crate) fn forget(&mut self, holder: Holder, queued: &Queued) {
        let Some(message) = queued.message.id() else {
            return;
        };
        if queued.delivery.qos == QoS::AtMostOnce {
            return;
        }
        let origin = queued.origin;
        if self.accepting.is_some() {
            self.lost.push((holder, message, origin));
        } else {
            self.forgotten(holder, message, origin);
        }
    }

    /// Records that `holder` no longer has the message. Returns that record.
    pub(crate) fn forgotten(&mut self, holder: Holder, message: MessageId, origin: Origin) -> Lsn {
        self.record(&Record::Dropped {
            holder,
            message,
            origin,
        })
    }

    /// Begins to move a message from `holder` to another session. If a packet identifier is given,
    /// the message was in the holder's window.
    pub(crate) fn begin_move(&mut self, holder: Holder, packet_id: Option<PacketId>) {
        self.moving = Some(match holder {
            Holder::Session(session) => PreviousHolder::Session(FromSession { session, packet_id }),
            Holder::Group => PreviousHolder::Group,
        });
    }

    /// Whether the records may give a message to its group. That needs room in the store if nobody
    /// holds the message yet.
    pub(crate) fn may_hold(&self) -> bool {
        self.is_kept && (!self.is_full() || self.is_moving() || self.accepting.is_some())
    }

    /// Whether a recorded message is moving from one session to another.
    pub(crate) fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// Ends the move. `is_moved` says whether the other session took the message.
    pub(crate) fn end_move(&mut self, queued: &Queued, is_moved: bool) {
        if is_moved {
            self.give_up(&queued.message, queued.origin);
        }
        self.moving = None;
    }

    /// Records that the moving message now belongs to nobody in the records, because its new
    /// session does not outlive its connection. Returns that record.
    pub(crate) fn give_up(&mut self, message: &Message, origin: Origin) -> Option<Lsn> {
        let holder = match self.moving.take()? {
            PreviousHolder::Session(FromSession {
                session,
                packet_id: Some(packet_id),
            }) => return Some(self.record(&Record::Done { session, packet_id })),
            PreviousHolder::Session(FromSession {
                session,
                packet_id: None,
            }) => Holder::Session(session),
            PreviousHolder::Group => Holder::Group,
        };
        Some(self.forgotten(holder, message.id()?, origin))
    }

    /// Ends the routing of a message. Records it if a lasting session got it, if it changed what
    /// is retained, or if its origin outlives a crash. Returns whether the whole message is
    /// recorded.
    pub(crate) fn end_message(&mut self, head: &AcceptedHead<'_>) -> bool {
        let Some(accepting) = self.accepting.take() else {
            return false;
        };
        let count = accepting.recipients;
        let is_whole = count > 0 || head.retention == Retention::Kept;
        if is_whole || head.retention != Retention::Unchanged {
            // The message only removes a retained one and nobody gets it. It may be large, so
            // only its topic is recorded.
            let bare = head.publish.topic.clone().filter(|_| !is_whole);
            let bare = bare.map(|topic| Publish::new(topic, Bytes::new()));
            let publish = bare.as_ref().unwrap_or(head.publish);
            let head = &AcceptedHead { publish, ..*head };
            let recipients = core::mem::take(&mut self.recipients);
            self.write(|out| put_accepted(out, head, count, &recipients));
            self.recipients = recipients;
            if let Cause::LastWill(_) = head.cause {
                self.ended = self.last;
            }
        } else {
            match head.cause {
                Cause::Client | Cause::OtherWill => {}
                Cause::Incoming(session, packet_id) => {
                    self.record(&Record::Incoming { session, packet_id });
                }
                Cause::Will(session) => {
                    self.record(&Record::WillPublished { session });
                }
                Cause::LastWill(session) => {
                    self.record(&Record::Ended { session });
                }
                Cause::TransientWill(session) => {
                    self.record(&Record::TransientWillEnded { session });
                }
            }
        }
        let mut lost = core::mem::take(&mut self.lost);
        for (holder, message, origin) in lost.drain(..) {
            self.forgotten(holder, message, origin);
        }
        self.lost = lost;
        is_whole
    }

    /// Makes sure that `message` is in a record that will not be removed. Returns its name.
    ///
    /// If `is_there`, the message is retained or a lasting session has it, so the journal still
    /// holds the message if it ever did. Otherwise the last session with the message may be gone,
    /// so the message is written again to be sure.
    pub(crate) fn store_message(&mut self, message: &Message, is_there: bool) -> MessageId {
        let is_stored = |it: &Lsn| *it >= self.checkpoint.oldest();
        let stored = message.stored().filter(is_stored);
        if let (Some(id), Some(_), true) = (message.id(), stored, is_there) {
            return id;
        }
        let id = message.id().or(MessageId::of(self.next()));
        let id = id.unwrap_or(MessageId(NonZeroU64::MAX));
        let (publisher, received) = (&message.publisher, message.received());
        let lsn = self.write(|out| put_message(out, id, publisher, received, &message.publish));
        message.set_stored(id, lsn);
        message.count(&self.message_bytes);
        id
    }

    /// The last record, if there are frames to take that the shell does not know of. Notes that the
    /// shell knows of them now.
    pub(crate) fn announce(&mut self) -> Option<Lsn> {
        let news = !self.frames.is_empty() && !self.is_announced;
        self.is_announced |= news;
        news.then_some(self.last)
    }

    /// Moves all waiting frames to `out`. These frames are one batch.
    pub(crate) fn take(&mut self, out: &mut BytesMut) {
        if self.frames.is_empty() {
            return;
        }
        let bytes = self.frames.len();
        self.taken_bytes += bytes;
        if out.is_empty() {
            core::mem::swap(out, &mut self.frames);
        } else {
            out.extend_from_slice(&self.frames);
        }
        self.frames.clear();
        self.is_announced = false;
        self.last_taken = self.last;
        self.taken.push_back((self.last, bytes));
    }

    /// Notes that bytes for a connection wait for the record `lsn`.
    pub(crate) fn wait(&mut self, lsn: Lsn, slot: Slot, conn: Conn) {
        self.waiting.push_back((lsn, slot, conn));
    }

    /// Notes that all records up to `lsn` are durable.
    pub(crate) fn persisted(&mut self, lsn: Lsn) {
        while let Some((end, bytes)) = self.taken.front().filter(|(end, _)| *end <= lsn) {
            self.durable = *end;
            self.taken_bytes -= bytes;
            self.taken.pop_front();
        }
    }

    /// Removes and returns the next connection whose bytes need not wait any more.
    pub(crate) fn next_ready(&mut self) -> Option<(Slot, Conn)> {
        let (lsn, slot, conn) = *self.waiting.front()?;
        if lsn > self.durable {
            return None;
        }
        self.waiting.pop_front();
        Some((slot, conn))
    }
}
