//! The outbox: the bytes that wait for one connection.
//!
//! All bytes that one turn has for a connection are copied into one buffer, so that the shell
//! writes once. An idle connection has no buffer. The buffers in use are few and are passed
//! around.
//!
//! Bytes that promise something wait until the record of the promise is durable. Later bytes whose
//! order matters wait too: acknowledgements and `QoS` 1 and 2 messages `[MQTT-4.6.0-2]` to
//! `[MQTT-4.6.0-6]`. `QoS` 0 messages and PINGRESP overtake them, but nothing overtakes a CONNACK
//! `[MQTT-3.2.0-1]`.
//!
//! Live `QoS` 0 messages are expendable while they wait here. If a client reads too slowly for them,
//! the oldest are [left out](Outbox::leave_out), and they never stand in the way of anything else.

use std::collections::VecDeque;

use bytes::BytesMut;
use mqtt::QoS;

use crate::admission::MemoryBudget;
use crate::durability::Ledger;
use crate::types::{Conn, Lsn, Slot};

/// The bytes that wait for a connection, and whether the shell knows of them.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pending: BytesMut,
    /// The bytes that wait for records, if there are any.
    gated: Option<Box<Gated>>,
    state: State,
    /// Whether something in `pending` must not wait for more.
    is_urgent: bool,
    /// How many bytes of `pending` are answers and not messages.
    answers: u32,
    /// How many messages were written since the shell last took bytes, without those that were left
    /// out.
    messages: u32,
    /// How many bytes of `pending` are expendable.
    expendable: u32,
    /// Nothing is expendable in this many bytes at the start of `pending`.
    protected: u32,
    /// How many of the waiting bytes are counted in
    /// [`Metrics::unwritten_bytes`](crate::Metrics::unwritten_bytes).
    counted: usize,
    /// Bytes that the shell has taken and not written. The same gauge counts them too.
    taken: usize,
}

/// Bytes that wait for records. They go out after `pending`.
#[derive(Debug, Default)]
struct Gated {
    bytes: BytesMut,
    gates: VecDeque<Gate>,
    /// How many bytes have been released so far. `bytes` begins after them.
    released: usize,
    /// How many bytes are answers.
    answers: u32,
}

/// How many bytes waited at some moment.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Waiting {
    pending: usize,
    gated: usize,
}

/// A gate: the bytes from here to the next gate wait for a record.
#[derive(Copy, Clone, Debug)]
struct Gate {
    lsn: Lsn,
    /// Counted from the first byte that was ever in [`Gated`].
    start: usize,
    /// Whether nothing at all may overtake these bytes.
    is_closed: bool,
    /// How many PUBACKs are among these bytes.
    pub_acks: u16,
    /// How many bytes are answers.
    answers: u32,
}

/// What may overtake bytes that wait for a record.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Everything that needs no order.
    Open,
    /// Nothing, because the bytes are a CONNACK.
    Closed,
}

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing waits.
    #[default]
    Quiet,
    /// The shell has been told to take the bytes.
    Announced,
    /// The shell knows that bytes wait, and takes them later.
    Postponed,
    /// The shell has taken bytes and is writing them.
    Draining,
}

/// Buffers that are not in use.
#[derive(Debug, Default)]
pub(crate) struct SpareBuffers {
    buffers: Vec<BytesMut>,
    // These are kept in the boxes in which they are used, to save the allocations.
    #[allow(clippy::vec_box)]
    gated: Vec<Box<Gated>>,
}

impl SpareBuffers {
    const MAX_COUNT: usize = 64;
    const MAX_CAPACITY: usize = 64 * 1024;

    fn take(&mut self) -> BytesMut {
        self.buffers.pop().unwrap_or_default()
    }

    // A box, because `SpareBuffers` keeps boxes.
    #[allow(clippy::unnecessary_box_returns)]
    fn take_gated(&mut self) -> Box<Gated> {
        let mut gated = self.gated.pop().unwrap_or_default();
        gated.bytes = self.take();
        gated
    }

    fn put(&mut self, buffer: BytesMut) {
        let useful = (1..=Self::MAX_CAPACITY).contains(&buffer.capacity());
        if useful && self.buffers.len() < Self::MAX_COUNT {
            self.buffers.push(buffer);
        }
    }

    /// Takes back a box whose buffer is empty.
    fn put_gated(&mut self, mut gated: Box<Gated>) {
        gated.released = 0;
        gated.answers = 0;
        if self.gated.len() < Self::MAX_COUNT {
            self.gated.push(gated);
        }
    }
}

impl Outbox {
    /// How many bytes wait to be taken.
    pub(crate) fn len(&self) -> usize {
        let Waiting { pending, gated } = self.waiting();
        pending + gated
    }

    /// How many of them are not expendable.
    pub(crate) fn len_of_lasting(&self) -> usize {
        self.len() - self.expendable as usize
    }

    /// How many bytes wait now, for [`note_answer`](Self::note_answer).
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting {
            pending: self.pending.len(),
            gated: self.gated.as_ref().map_or(0, |gated| gated.bytes.len()),
        }
    }

    /// How many of the waiting bytes are answers to packets from the client. Messages are only
    /// added while there is room, but a client can cause any number of answers.
    pub(crate) fn answers(&self) -> usize {
        let gated = self.gated.as_ref().map_or(0, |gated| gated.answers);
        self.answers as usize + gated as usize
    }

    /// Notes that the bytes that were written since `before` are an answer.
    pub(crate) fn note_answer(&mut self, before: Waiting) {
        let now = self.waiting();
        let bytes = |more| u32::try_from(more).unwrap_or(u32::MAX);
        let pending = bytes(now.pending - before.pending);
        self.is_urgent |= pending > 0;
        self.answers = self.answers.saturating_add(pending);
        if let Some(gated) = &mut self.gated
            && let Some(gate) = gated.gates.back_mut()
        {
            let more = bytes(now.gated - before.gated);
            gate.answers = gate.answers.saturating_add(more);
            gated.answers = gated.answers.saturating_add(more);
        }
    }

    /// Notes that a message was written.
    pub(crate) fn note_message(&mut self) {
        self.messages = self.messages.saturating_add(1);
    }

    /// The messages that [`take`](Self::take) is about to pass on.
    pub(crate) fn take_messages(&mut self) -> u64 {
        core::mem::take(&mut self.messages).into()
    }

    /// Notes that the last `len` bytes are an expendable message. It has `QoS` 0, sets neither RETAIN
    /// nor a topic alias, and was written to [`buffer`](Self::buffer).
    pub(crate) fn note_expendable(&mut self, len: usize) {
        if !self.is_closed() {
            let len = u32::try_from(len).unwrap_or(u32::MAX);
            self.expendable = self.expendable.saturating_add(len);
        }
    }

    /// Notes that nothing of what waits is expendable.
    pub(crate) fn protect(&mut self) {
        self.expendable = 0;
        self.protected = u32::try_from(self.pending.len()).unwrap_or(u32::MAX);
    }

    /// Leaves out the oldest expendable messages, until `bytes` bytes are free or there are no
    /// more. Returns how many messages were left out. Call [`count`](Self::count) afterwards.
    pub(crate) fn leave_out(&mut self, bytes: usize) -> u32 {
        const PUBLISH: u8 = 0x30;
        /// Everything but DUP: the type, `QoS` and RETAIN.
        const MASK: u8 = 0xF7;
        let (mut from, mut to) = (self.protected as usize, self.protected as usize);
        let (mut freed, mut messages) = (0, 0);
        while freed < bytes.min(self.expendable as usize)
            && let Some(packet) = self.pending.get(from..).and_then(mqtt::packet_len)
        {
            if self.pending[from] & MASK == PUBLISH {
                (freed, messages) = (freed + packet, messages + 1);
            } else {
                self.pending.copy_within(from..from + packet, to);
                to += packet;
            }
            from += packet;
        }
        let len = self.pending.len();
        self.pending.copy_within(from..len, to);
        self.pending.truncate(len - (from - to));
        self.expendable -= u32::try_from(freed)
            .unwrap_or(u32::MAX)
            .min(self.expendable);
        self.messages = self.messages.saturating_sub(messages);
        messages
    }

    /// How many bytes wait to be taken or written.
    pub(crate) fn held(&self) -> usize {
        self.len() + self.taken
    }

    /// The buffer for bytes that need no order. Call [`announce`](Self::announce) afterwards, as
    /// for the buffers below.
    pub(crate) fn buffer(&mut self, spare: &mut SpareBuffers) -> &mut BytesMut {
        if self.is_closed() {
            self.ordered(spare)
        } else {
            ready(&mut self.pending, spare)
        }
    }

    /// Whether a message that waits for no record reaches the client before everything that is
    /// written after it. `QoS` 0 messages overtake bytes that wait for records.
    pub(crate) fn leads(&self, qos: QoS) -> bool {
        self.gated.is_none() || (qos == QoS::AtMostOnce && !self.is_closed())
    }

    /// The buffer for bytes that go behind everything that waits.
    pub(crate) fn ordered(&mut self, spare: &mut SpareBuffers) -> &mut BytesMut {
        match &mut self.gated {
            Some(gated) => &mut gated.bytes,
            None => ready(&mut self.pending, spare),
        }
    }

    /// The buffer for bytes that go behind everything that waits. With a `gate`, they also wait for
    /// that record. [`Ledger::next_ready`] will then name `who`.
    pub(crate) fn behind(
        &mut self,
        gate: Option<Lsn>,
        passage: Passage,
        ledger: &mut Ledger,
        who: (Slot, Conn),
        spare: &mut SpareBuffers,
    ) -> &mut BytesMut {
        let Some(lsn) = gate else {
            return self.ordered(spare);
        };
        let (buffer, is_new) = self.gated(lsn, ledger.last_taken(), passage, spare);
        if is_new {
            ledger.wait(lsn, who.0, who.1);
        }
        buffer
    }

    /// The buffer for bytes that wait for the record `lsn`, or for the batch that it is in. The
    /// shell has taken all records up to `taken`. Also returns whether
    /// [`release`](Self::release) must be called once the record is durable.
    pub(crate) fn gated(
        &mut self,
        lsn: Lsn,
        taken: Lsn,
        passage: Passage,
        spare: &mut SpareBuffers,
    ) -> (&mut BytesMut, bool) {
        let gated = self.gated.get_or_insert_with(|| spare.take_gated());
        let start = gated.released + gated.bytes.len();
        let is_closed = passage == Passage::Closed;
        match gated.gates.back_mut() {
            // Both records are in one batch, which becomes durable as a whole.
            Some(last) if last.lsn > taken => {
                last.lsn = last.lsn.max(lsn);
                last.is_closed |= is_closed;
                (&mut gated.bytes, false)
            }
            Some(_) | None => {
                gated.gates.push_back(Gate {
                    lsn,
                    start,
                    is_closed,
                    pub_acks: 0,
                    answers: 0,
                });
                (&mut gated.bytes, true)
            }
        }
    }

    /// Notes that the last packet was a PUBACK. Returns whether it waits for a record.
    pub(crate) fn note_pub_ack(&mut self) -> bool {
        let gate = self.gated.as_mut().and_then(|it| it.gates.back_mut());
        let waits = gate.is_some();
        if let Some(gate) = gate {
            gate.pub_acks = gate.pub_acks.saturating_add(1);
        }
        waits
    }

    /// Releases the bytes that waited for records up to `durable`. Returns how many PUBACKs they
    /// hold. Call [`announce`](Self::announce) afterwards.
    pub(crate) fn release(&mut self, durable: Lsn, spare: &mut SpareBuffers) -> u16 {
        let Some(gated) = &mut self.gated else {
            return 0;
        };
        let mut pub_acks = 0_u16;
        while let Some(gate) = gated.gates.front().filter(|gate| gate.lsn <= durable) {
            pub_acks = pub_acks.saturating_add(gate.pub_acks);
            gated.answers = gated.answers.saturating_sub(gate.answers);
            self.answers = self.answers.saturating_add(gate.answers);
            self.is_urgent |= gate.answers > 0;
            gated.gates.pop_front();
        }
        if let Some(next) = gated.gates.front() {
            let released = gated.bytes.split_to(next.start - gated.released);
            gated.released = next.start;
            ready(&mut self.pending, spare).extend_from_slice(&released);
            return pub_acks;
        }
        let mut released = core::mem::take(&mut gated.bytes);
        if self.pending.is_empty() {
            core::mem::swap(&mut self.pending, &mut released);
        } else {
            self.pending.extend_from_slice(&released);
            released.clear();
        }
        spare.put(released);
        if let Some(gated) = self.gated.take() {
            spare.put_gated(gated);
        }
        pub_acks
    }

    /// Drops the bytes that wait for records, because the connection ends. Returns whether other
    /// bytes may still be sent, which they may not before CONNACK `[MQTT-3.14.0-1]`.
    pub(crate) fn drop_gated(&mut self) -> bool {
        let is_closed = self.is_closed();
        self.gated = None;
        !is_closed
    }

    /// Whether CONNACK waits for a record.
    fn is_closed(&self) -> bool {
        let gates = self.gated.as_ref().map(|gated| &gated.gates);
        gates.is_some_and(|gates| gates.iter().any(|gate| gate.is_closed))
    }

    /// Notes that what was written must not wait for more: the client can do nothing before it has
    /// it.
    pub(crate) fn hurry(&mut self) {
        self.is_urgent |= !self.pending.is_empty();
    }

    /// Lets the shell take the bytes later, when there are more of them. Returns `false` if it must
    /// take them now.
    #[must_use]
    pub(crate) fn postpone(&mut self) -> bool {
        let may_wait = !self.is_pressing();
        if may_wait {
            self.state = State::Postponed;
        }
        may_wait
    }

    /// Whether the bytes may not wait for more: something is urgent, or they are many already.
    fn is_pressing(&self) -> bool {
        /// Half of the largest frame of a WebSocket.
        const MANY: usize = 32 * 1024;
        self.is_urgent || self.pending.len() >= MANY
    }

    /// Whether the shell must be told that bytes wait. That happens once until it has taken and
    /// written them. If it has [postponed](Self::postpone) them, it is told again when they may wait
    /// no longer.
    #[must_use]
    pub(crate) fn announce(&mut self, memory: &mut MemoryBudget) -> bool {
        self.count(memory);
        let news = match self.state {
            State::Quiet => !self.pending.is_empty(),
            State::Postponed => self.is_pressing(),
            State::Announced | State::Draining => false,
        };
        if news {
            self.state = State::Announced;
        }
        news
    }

    /// The same for the last bytes of a connection. The shell is told of them even while it is
    /// writing earlier ones.
    #[must_use]
    pub(crate) fn announce_last(&mut self) -> bool {
        let news = self.state != State::Announced && !self.pending.is_empty();
        if news {
            self.state = State::Announced;
        }
        news
    }

    /// Moves all bytes that may go to `out`. Returns how many.
    pub(crate) fn take(
        &mut self,
        out: &mut BytesMut,
        spare: &mut SpareBuffers,
        memory: &mut MemoryBudget,
    ) -> usize {
        self.count(memory);
        let mut pending = core::mem::take(&mut self.pending);
        let len = pending.len();
        self.taken += len;
        self.counted -= len;
        self.answers = 0;
        self.is_urgent = false;
        self.expendable = 0;
        self.protected = 0;
        if len > 0 {
            if out.is_empty() {
                core::mem::swap(out, &mut pending);
            } else {
                out.extend_from_slice(&pending);
                pending.clear();
            }
            self.state = State::Draining;
        }
        spare.put(pending);
        len
    }

    /// Notes that the shell has written what it took.
    pub(crate) fn drained(&mut self, memory: &mut MemoryBudget) {
        memory.change_unwritten(core::mem::take(&mut self.taken), 0);
        match self.state {
            State::Draining => self.state = State::Quiet,
            State::Quiet | State::Announced | State::Postponed => {}
        }
    }

    /// The connection is gone: subtracts everything that it counted for.
    pub(crate) fn forget(&mut self, memory: &mut MemoryBudget) {
        let bytes = core::mem::take(&mut self.counted) + core::mem::take(&mut self.taken);
        memory.change_unwritten(bytes, 0);
    }

    /// Counts what waits now in [`Metrics::unwritten_bytes`](crate::Metrics::unwritten_bytes).
    pub(crate) fn count(&mut self, memory: &mut MemoryBudget) {
        let len = self.len();
        memory.change_unwritten(self.counted, len);
        self.counted = len;
    }
}

/// `pending` with a buffer to write to.
fn ready<'a>(pending: &'a mut BytesMut, spare: &mut SpareBuffers) -> &'a mut BytesMut {
    if pending.capacity() == 0 {
        *pending = spare.take();
    }
    pending
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client reads everything at once, while something for it always waits for a record.
    #[test]
    fn answers_that_were_taken_do_not_count_even_if_others_always_wait() {
        let (mut outbox, mut spare) = (Outbox::default(), SpareBuffers::default());
        let (mut out, mut memory) = (BytesMut::new(), MemoryBudget::default());
        for number in 1..10_000 {
            let last = Lsn(number - 1);
            let (buffer, is_new) = outbox.gated(Lsn(number), last, Passage::Open, &mut spare);
            assert!(is_new);
            buffer.extend_from_slice(&[0; 1_000]);
            let before = outbox.waiting();
            outbox.ordered(&mut spare).extend_from_slice(&[0; 4]);
            outbox.note_answer(before);
            let before = outbox.waiting();
            outbox.buffer(&mut spare).extend_from_slice(&[0; 2]);
            outbox.note_answer(before);
            outbox.release(last, &mut spare);
            let released = if number == 1 { 0 } else { 4 };
            assert_eq!(outbox.answers(), 4 + 2 + released);
            outbox.take(&mut out, &mut spare, &mut memory);
            outbox.drained(&mut memory);
            out.clear();
            assert_eq!((outbox.answers(), outbox.len()), (4, 1_004));
        }
        outbox.release(Lsn(10_000), &mut spare);
        assert_eq!(outbox.answers(), 4);
        outbox.take(&mut out, &mut spare, &mut memory);
        assert_eq!((outbox.answers(), outbox.len()), (0, 0));
    }
}
