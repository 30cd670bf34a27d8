//! The bytes that wait for one connection.
//!
//! All that one turn has for a connection is copied into one buffer, so that the shell
//! writes once. A connection that is idle has no buffer: the few that are in use go round.

use bytes::BytesMut;

/// What waits for a connection, and whether the shell knows.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pending: BytesMut,
    state: State,
    /// How much of `pending` is in [`Metrics::unwritten_bytes`](crate::Metrics::unwritten_bytes).
    counted: usize,
    /// What the shell has taken and not written. It is in there too.
    taken: usize,
}

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing waits.
    #[default]
    Quiet,
    /// The shell has been told to take.
    Announced,
    /// The shell has taken and is writing.
    Draining,
}

/// Buffers that are not in use.
#[derive(Debug, Default)]
pub(crate) struct SpareBuffers(Vec<BytesMut>);

impl SpareBuffers {
    const MAX_COUNT: usize = 64;
    const MAX_CAPACITY: usize = 64 * 1024;

    fn take(&mut self) -> BytesMut {
        self.0.pop().unwrap_or_default()
    }

    fn put(&mut self, buffer: BytesMut) {
        let useful = (1..=Self::MAX_CAPACITY).contains(&buffer.capacity());
        if useful && self.0.len() < Self::MAX_COUNT {
            self.0.push(buffer);
        }
    }
}

impl Outbox {
    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// Where to write. [`announce`](Self::announce) has to follow.
    pub(crate) fn buffer(&mut self, spare: &mut SpareBuffers) -> &mut BytesMut {
        if self.pending.capacity() == 0 {
            self.pending = spare.take();
        }
        &mut self.pending
    }

    /// Whether the shell has to be told that something waits: once until it has taken it and
    /// written it.
    #[must_use]
    pub(crate) fn announce(&mut self, unwritten: &mut u64) -> bool {
        self.count(unwritten);
        let news = self.state == State::Quiet && !self.pending.is_empty();
        if news {
            self.state = State::Announced;
        }
        news
    }

    /// The same where nothing will follow: what waits for the shell to finish writing waits
    /// no longer.
    #[must_use]
    pub(crate) fn announce_last(&mut self) -> bool {
        let news = self.state != State::Announced && !self.pending.is_empty();
        if news {
            self.state = State::Announced;
        }
        news
    }

    /// Gives all that waits; says how much it was.
    pub(crate) fn take(
        &mut self,
        out: &mut BytesMut,
        spare: &mut SpareBuffers,
        unwritten: &mut u64,
    ) -> usize {
        self.count(unwritten);
        let mut pending = core::mem::take(&mut self.pending);
        let len = pending.len();
        self.taken += len;
        self.counted = 0;
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

    /// The shell has written what it took.
    pub(crate) fn drained(&mut self, unwritten: &mut u64) {
        *unwritten -= core::mem::take(&mut self.taken) as u64;
        match self.state {
            State::Draining => self.state = State::Quiet,
            State::Quiet | State::Announced => {}
        }
    }

    /// The connection is gone, and with it what waits for it.
    pub(crate) fn forget(&mut self, unwritten: &mut u64) {
        let bytes = core::mem::take(&mut self.counted) + core::mem::take(&mut self.taken);
        *unwritten -= bytes as u64;
    }

    fn count(&mut self, unwritten: &mut u64) {
        *unwritten += (self.pending.len() - self.counted) as u64;
        self.counted = self.pending.len();
    }
}
