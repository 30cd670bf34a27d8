//! What has been recorded, what of it is durable, and what waits for that.
//!
//! Records are numbered in the order in which they arise, and become durable in that order,
//! in lots: what the shell takes at once. So bytes for a connection that wait for a record
//! ([`Outbox`](crate::outbox::Outbox)) wait for the whole lot that it is in, and one queue for
//! all connections says who waits for which.

use core::num::NonZeroU64;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use mqtt::{PacketId, Publish, QoS};

use crate::durability::{
    AcceptedHead, FromSession, MAX_BODY, Pass, Recipient, Record, Retention, WriteBack,
    put_accepted, put_message, put_recipient, write_frame_within,
};
use crate::types::{
    Cause, Conn, Delivery, Holder, Lsn, Message, MessageId, Origin, Queued, SessionNumber, Slot,
    StoreState, Tally,
};

/// The broker's end of the journal.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Whether records are kept at all.
    is_kept: bool,
    /// Frames that the shell has not taken.
    frames: BytesMut,
    /// The last record.
    last: Lsn,
    /// The last record that the shell has taken.
    last_taken: Lsn,
    /// Where each lot ended that the shell has taken and not made durable.
    /// How many bytes it had.
    taken: VecDeque<(Lsn, usize)>,
    /// Bytes of all those.
    taken_bytes: usize,
    /// The last record of those lots that are durable.
    durable: Lsn,
    /// The last record that ended a session.
    ended: Lsn,
    /// Whether the shell knows that there are frames to take.
    is_announced: bool,
    /// Who has bytes that wait, and for which record: in order.
    waiting: VecDeque<(Lsn, Slot, Conn)>,
    /// How many sessions have been numbered.
    sessions: u64,
    /// A message that is being handed out.
    accepting: Option<Accepting>,
    /// What [`put_recipient`] wrote for it. Kept to spare its allocation, as the next.
    recipients: BytesMut,
    /// What queues lost to it: recorded behind it, so that its own number is known before.
    lost: Vec<(Holder, MessageId, Origin)>,
    /// Who had the message that another session is about to get in its place.
    moving: Option<Giver>,
    /// The longest record.
    max_body: usize,
    /// How many records are missing since one was longer. What is said after it would build on
    /// what is not there: so nothing more is recorded, and nothing that waits for records is
    /// ever said.
    missing: u64,
    /// Whether it has been said that records are missing.
    is_stuck_told: bool,
    pass: Pass,
    store: StoreState,
    /// Bytes that the store can take behind what is durable.
    room: u64,
    /// What a copy of everything takes for messages.
    tally: Tally,
    write_back: WriteBack,
}

/// A message that is being handed out, and will be the next record if that concerns anything
/// that lasts.
#[derive(Copy, Clone, Debug)]
struct Accepting {
    recipients: usize,
    /// Whether it is recorded in any case.
    is_certain: bool,
}

/// How far the records were at some time.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Mark {
    last: Lsn,
    missing: u64,
}

/// Who had a message before another session gets it.
#[derive(Copy, Clone, Debug)]
enum Giver {
    Session(FromSession),
    /// Its group, in the records: a session that does not last.
    Group,
}

impl Ledger {
    /// The number of a record that will never be durable.
    const NEVER: Lsn = Lsn(u64::MAX);

    /// Empty; with `is_kept` false it stays so.
    pub(crate) fn new(is_kept: bool) -> Self {
        Self {
            is_kept,
            max_body: MAX_BODY,
            room: u64::MAX,
            ..Self::default()
        }
    }

    /// Goes on after `last`, which is durable, and after so many numbered sessions; `tally` has
    /// what they have.
    pub(crate) fn following(last: Lsn, sessions: u64, tally: Tally) -> Self {
        Self {
            is_kept: true,
            max_body: MAX_BODY,
            room: u64::MAX,
            tally,
            last,
            last_taken: last,
            durable: last,
            sessions,
            ..Self::default()
        }
    }

    /// How far a copy of everything is.
    pub(crate) fn pass(&self) -> &Pass {
        &self.pass
    }

    /// The same, to be changed.
    pub(crate) fn pass_mut(&mut self) -> &mut Pass {
        &mut self.pass
    }

    /// Where the last copy began that has become durable, if one has since this was asked.
    pub(crate) fn checkpointed(&mut self) -> Option<Lsn> {
        self.pass.checkpointed(self.durable)
    }

    /// What is in memory only, for want of room.
    pub(crate) fn write_back(&self) -> &WriteBack {
        &self.write_back
    }

    /// The same, to be changed.
    pub(crate) fn write_back_mut(&mut self) -> &mut WriteBack {
        &mut self.write_back
    }

    /// What a copy of everything takes for messages.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The store has room, or none. With room, what is in memory only is written.
    pub(crate) fn set_store(&mut self, state: StoreState) {
        self.store = state;
        match state {
            StoreState::Ready => self.write_back.begin(),
            StoreState::Full => {}
        }
    }

    /// Bytes that the store can take behind what is durable.
    pub(crate) fn room(&self) -> u64 {
        self.room
    }

    pub(crate) fn set_room(&mut self, bytes: u64) {
        self.room = bytes;
    }

    /// For tests: no record may be longer.
    #[cfg(test)]
    pub(crate) fn set_max_body(&mut self, bytes: usize) {
        self.max_body = bytes;
    }

    /// Whether records are kept at all.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Whether what would promise something new is to be refused.
    pub(crate) fn is_full(&self) -> bool {
        self.is_kept && (self.store == StoreState::Full || self.is_stuck())
    }

    /// Whether nothing is recorded any more, for a record was too long.
    pub(crate) fn is_stuck(&self) -> bool {
        self.missing > 0
    }

    /// The same, and nobody has been told yet: says so once.
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

    /// What has to be durable before something leaves that builds on anything done so far, if
    /// that is not durable already.
    pub(crate) fn gate(&self) -> Option<Lsn> {
        let last = if self.is_stuck() {
            Self::NEVER
        } else {
            self.last
        };
        (self.durable < last).then_some(last)
    }

    /// What has to be durable before a client is told that it has no earlier session, if one has
    /// ended lately.
    pub(crate) fn gate_of_ends(&self) -> Option<Lsn> {
        self.gate().filter(|_| self.durable < self.ended)
    }

    /// How far the records are.
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

    /// Bytes that wait to be taken.
    pub(crate) fn backlog(&self) -> usize {
        self.frames.len()
    }

    /// How many sessions have been numbered.
    pub(crate) fn sessions(&self) -> u64 {
        self.sessions
    }

    /// Bytes that are not durable, taken or not.
    pub(crate) fn unsettled_bytes(&self) -> usize {
        self.frames.len() + self.taken_bytes
    }

    /// A number for a session that outlives its connection, or leaves a will.
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

    /// A message is about to be handed out, because of `cause`; gives the number that it will
    /// have if it is recorded.
    pub(crate) fn begin_message(&mut self, cause: Cause) -> Option<MessageId> {
        if !self.is_kept {
            return None;
        }
        let is_certain = match cause {
            Cause::Incoming(..) | Cause::Will(_) | Cause::LastWill(_) | Cause::PassingWill(_) => {
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

    /// The record of the message that is being handed out, if a crash without it would have the
    /// message come again, for whoever gets it then.
    pub(crate) fn certain(&self) -> Option<Lsn> {
        let accepting = self.accepting.filter(|it| it.is_certain);
        accepting.map(|_| self.next())
    }

    /// `holder` gets `message`: the one that is being handed out, or one that was there
    /// before. Gives the record that says so.
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
        let giver = self.moving.take();
        let from = match giver {
            Some(Giver::Session(from)) => Some(from),
            Some(Giver::Group) | None => None,
        };
        let recipient = Recipient {
            holder,
            delivery: delivery.clone(),
            origin,
            packet_id,
        };
        let is_there = giver.is_some() || origin == Origin::Retained;
        let message = self.store_message(message, is_there);
        self.record(&Record::Queued {
            message,
            from,
            recipient,
        })
    }

    /// A session's queue has lost a message; or its group has, for good, if that had it for a
    /// session that does not last.
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

    /// `holder` has the message no longer. Gives the record that says so.
    pub(crate) fn forgotten(&mut self, holder: Holder, message: MessageId, origin: Origin) -> Lsn {
        self.record(&Record::Forgotten {
            holder,
            message,
            origin,
        })
    }

    /// Another session is about to get what `holder` has, in its window if there is a packet
    /// identifier.
    pub(crate) fn begin_move(&mut self, holder: Holder, packet_id: Option<PacketId>) {
        self.moving = Some(match holder {
            Holder::Session(session) => Giver::Session(FromSession { session, packet_id }),
            Holder::Group => Giver::Group,
        });
    }

    /// Whether a message may become its group's in the records: one that is none's yet only
    /// while there is room for it.
    pub(crate) fn may_hold(&self) -> bool {
        self.is_kept && (!self.is_full() || self.is_moving() || self.accepting.is_some())
    }

    /// Whether a message is about to go from one session to another, and records have to say
    /// so.
    pub(crate) fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// It has got it, or will not.
    pub(crate) fn end_move(&mut self, queued: &Queued, is_moved: bool) {
        if is_moved {
            self.give_up(&queued.message, queued.origin);
        }
        self.moving = None;
    }

    /// Whoever gets what is being moved does not last, and nobody answers for it from now on.
    /// Gives the record that says so.
    pub(crate) fn give_up(&mut self, message: &Message, origin: Origin) -> Option<Lsn> {
        let holder = match self.moving.take()? {
            Giver::Session(FromSession {
                session,
                packet_id: Some(packet_id),
            }) => return Some(self.record(&Record::Done { session, packet_id })),
            Giver::Session(FromSession {
                session,
                packet_id: None,
            }) => Holder::Session(session),
            Giver::Group => Holder::Group,
        };
        Some(self.forgotten(holder, message.id()?, origin))
    }

    /// The message is handed out: records it if anything that lasts got it, it changed what is
    /// kept, or its origin lasts. Says whether the message itself is recorded.
    pub(crate) fn end_message(&mut self, head: &AcceptedHead<'_>) -> bool {
        let Some(accepting) = self.accepting.take() else {
            return false;
        };
        let count = accepting.recipients;
        let is_whole = count > 0 || head.retention == Retention::Kept;
        if is_whole || head.retention != Retention::Unchanged {
            // What is kept of a topic is gone, and nobody gets the message: it may be large.
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
                    self.record(&Record::Spoken { session });
                }
                Cause::LastWill(session) => {
                    self.record(&Record::Ended { session });
                }
                Cause::PassingWill(session) => {
                    self.record(&Record::Unwilled { session });
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

    /// Sees to it that `message` is in a record that is not about to be cut off, and gives its
    /// number.
    ///
    /// One that `is_there`, kept for its topic or had by a session that lasts, is in the
    /// journal, if it ever was. Of any other one the last session may be gone that had it
    /// there: it is written again, to be sure.
    pub(crate) fn store_message(&mut self, message: &Message, is_there: bool) -> MessageId {
        let is_stored = |it: &Lsn| *it >= self.pass.oldest();
        let stored = message.stored().filter(is_stored);
        if let (Some(id), Some(_), true) = (message.id(), stored, is_there) {
            return id;
        }
        let id = message.id().or(MessageId::of(self.next()));
        let id = id.unwrap_or(MessageId(NonZeroU64::MAX));
        let (publisher, received) = (&message.publisher, message.received());
        let lsn = self.write(|out| put_message(out, id, publisher, received, &message.publish));
        message.set_stored(id, lsn);
        message.count(&self.tally);
        id
    }

    /// The number up to which there is something new to take, if the shell does not know.
    pub(crate) fn announce(&mut self) -> Option<Lsn> {
        let news = !self.frames.is_empty() && !self.is_announced;
        self.is_announced |= news;
        news.then_some(self.last)
    }

    /// Gives all frames that wait.
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

    /// Bytes for a connection have begun to wait for `lsn`.
    pub(crate) fn wait(&mut self, lsn: Lsn, slot: Slot, conn: Conn) {
        self.waiting.push_back((lsn, slot, conn));
    }

    /// All records up to `lsn` are durable.
    pub(crate) fn persisted(&mut self, lsn: Lsn) {
        while let Some((end, bytes)) = self.taken.front().filter(|(end, _)| *end <= lsn) {
            self.durable = *end;
            self.taken_bytes -= bytes;
            self.taken.pop_front();
        }
    }

    /// The next connection with bytes that wait no longer.
    pub(crate) fn next_ready(&mut self) -> Option<(Slot, Conn)> {
        let (lsn, slot, conn) = *self.waiting.front()?;
        if lsn > self.durable {
            return None;
        }
        self.waiting.pop_front();
        Some((slot, conn))
    }
}
