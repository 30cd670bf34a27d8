//! How fast a client may publish: whoever is faster is not read for a while.
//!
//! So a client that is too fast loses nothing: its own sending waits, as it does when a network
//! is slow. A second's worth may come at once.

use core::time::Duration;

use bytes::Bytes;
use mqtt::Instant;

use crate::broker::Broker;
use crate::connection::{Phase, Slot};
use crate::limits::Limit;
use crate::output::Output;
use crate::timers::Timer;

/// A connection that is not read.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// What was read before the shell knew: no more than it reads at once.
    unread: Vec<Bytes>,
    pub(crate) bytes: usize,
}

impl Pause {
    /// `bytes` are looked at later.
    pub(crate) fn put_by(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            self.unread.push(bytes);
        }
    }
}

impl Broker {
    /// What may come at once, as time.
    const BURST: Duration = Duration::from_secs(1);
    /// For how long a client that is too fast is not read, at least: so it is stopped ten times
    /// a second at most, and not at each message.
    const PAUSE: Duration = Duration::from_millis(100);

    /// A client has published something. If it is too fast, its connection is not read for a
    /// while.
    pub(crate) fn pace(&mut self, now: Instant, slot: Slot) {
        let Some(rate) = core::num::NonZeroU32::new(self.limits().publish_rate) else {
            return;
        };
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Phase::Connected(link) = &connection.phase else {
            return;
        };
        let Some(session) = self.sessions.get_mut(link.session) else {
            return;
        };
        // The time at which, at its rate, it would have come to publish what it has.
        session.paid_until = session.paid_until.max(now) + Duration::from_secs(1) / rate.get();
        if session.paid_until <= now + Self::BURST || connection.pause.is_some() {
            return;
        }
        let ahead = session.paid_until.saturating_since(now + Self::BURST);
        let until = now + ahead.max(Self::PAUSE);
        connection.pause = Some(Box::default());
        let timer = Timer::Resume(slot);
        self.timers
            .set(timer, &mut connection.resumes_at, Some(until));
        self.metrics.publish_rate_pauses += 1;
        self.bites
            .note(Limit::PublishRate, Some(&session.client_id));
        self.wire.outputs.push_back(Output::Pause(connection.conn));
    }

    /// [`Timer::Resume`] is due: what was put by is looked at, and then the connection is read
    /// again, unless that was too fast in its turn.
    pub(crate) fn resume(&mut self, now: Instant, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        connection.resumes_at = None;
        let Some(pause) = connection.pause.take() else {
            return;
        };
        // It could not be heard.
        connection.last_heard = now;
        for bytes in pause.unread {
            self.read(now, slot, bytes);
        }
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        if connection.pause.is_none() {
            self.wire.outputs.push_back(Output::Resume(connection.conn));
        }
        self.count_partial(now, slot);
    }
}
