//! Slows clients down: one that publishes faster than it may, or than the store can follow, is
//! not read for a while.
//!
//! Such a client loses nothing. Its own sending waits, as on a slow network. A second's worth of
//! messages may come at once.

use core::time::Duration;

use mqtt::Instant;

use crate::delivery::Phase;
use crate::machine::{Broker, Output};
use crate::session::Session;
use crate::types::{Conn, Limit, Lsn, Slot};

impl Broker {
    /// A client may send the messages of this much time at once.
    const BURST: Duration = Duration::from_secs(1);
    /// The shortest pause. So a client that is too fast is stopped at most ten times a second,
    /// not at each message.
    const PAUSE: Duration = Duration::from_millis(100);

    /// Counts a published message, and pauses the connection if its client is too fast.
    pub(crate) fn pace(&mut self, now: Instant, slot: Slot) {
        let rate = self.limits().publish_rate;
        if rate == 0 {
            return;
        }
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Phase::Connected(agreement) = connection.phase() else {
            return;
        };
        let Some(session) = self.sessions.get_mut(agreement.session()) else {
            return;
        };
        let ahead = session.count_published(now, rate, Self::BURST);
        if ahead.is_zero() || connection.is_paused() {
            return;
        }
        let until = now + ahead.max(Self::PAUSE);
        connection.pause_until(slot, until, &mut self.timers);
        self.metrics.publish_rate_pauses += 1;
        self.limit_log
            .note(Limit::PublishRate, Some(session.client_id()));
        self.wire
            .outputs
            .push_back(Output::Pause(connection.conn()));
    }

    /// Pauses the connection of a client that has caused records since `before`, if too many bytes
    /// of records are not durable yet. The connection is read again when half of them are durable.
    pub(crate) fn await_store(&mut self, slot: Slot, before: Lsn) {
        if self.ledger.last() == before
            || self.ledger.unsettled_bytes() <= self.limits().journal_backlog_bytes
        {
            return;
        }
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Phase::Connected(agreement) = connection.phase() else {
            return;
        };
        let session = agreement.session();
        let is_news = !connection.is_paused();
        if !connection.pause_for_store() {
            return;
        }
        let conn = connection.conn();
        self.metrics.journal_backlog_pauses += 1;
        let client = self.sessions.get(session);
        let client = client.map(Session::client_id);
        self.limit_log.note(Limit::JournalBacklog, client);
        if is_news {
            self.wire.outputs.push_back(Output::Pause(conn));
        }
        let connections = &self.connections;
        if self.awaiting_store.len() > 2 * connections.len() {
            // Most entries are of connections that have gone.
            let is_there = |it: &(Slot, Conn)| connections.slot(it.1) == Some(it.0);
            self.awaiting_store.retain(is_there);
        }
        self.awaiting_store.push_back((slot, conn));
    }

    /// Resumes connections that wait for the store, now that more records are durable, as long
    /// as there is room for what their clients have sent.
    pub(crate) fn resume_awaiting_store(&mut self, now: Instant) {
        let enough = self.limits().journal_backlog_bytes / 2;
        while self.ledger.unsettled_bytes() <= enough
            && let Some((slot, conn)) = self.awaiting_store.pop_front()
        {
            let connection = self.connections.get_mut(slot);
            let Some(connection) = connection.filter(|it| it.conn() == conn) else {
                continue;
            };
            // A client that was also too fast resumes later, when its own pause is over.
            if connection.stop_awaiting_store() {
                self.resume(now, slot);
                self.settle(now);
            }
        }
    }

    /// Resumes a connection when [`Timer::Resume`](crate::types::Timer::Resume) is due. First
    /// handles the deferred bytes. If these exceed the rate again, the connection is paused again
    /// as usual.
    pub(crate) fn resume(&mut self, now: Instant, slot: Slot) {
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Some(unread) = connection.resume(now) else {
            return;
        };
        let output = Output::Resume(connection.conn());
        self.wire.outputs.push_back(output);
        for bytes in unread {
            self.read(now, slot, bytes);
        }
        self.count_partial(now, slot);
    }
}
