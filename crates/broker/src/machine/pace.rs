//! How fast a client may publish: whoever is faster than it may be, or than the store is, is
//! not read for a while.
//!
//! So a client that is too fast loses nothing: its own sending waits, as it does when a network
//! is slow. A second's worth may come at once.

use core::time::Duration;

use mqtt::Instant;

use crate::delivery::Phase;
use crate::machine::{Broker, Output};
use crate::session::Session;
use crate::types::{Conn, Limit, Lsn, Slot};

impl Broker {
    /// What may come at once, as time.
    const BURST: Duration = Duration::from_secs(1);
    /// For how long a client that is too fast is not read, at least: so it is stopped ten times
    /// a second at most, and not at each message.
    const PAUSE: Duration = Duration::from_millis(100);

    /// A client has published something. If it is too fast, its connection is not read for a
    /// while.
    pub(crate) fn pace(&mut self, now: Instant, slot: Slot) {
        let rate = self.limits().publish_rate;
        if rate == 0 {
            return;
        }
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Phase::Connected(link) = connection.phase() else {
            return;
        };
        let Some(session) = self.sessions.get_mut(link.session()) else {
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

    /// A client has made the broker write records since `before` was the last. If too many bytes
    /// of them are not durable yet, its connection is not read until most are.
    pub(crate) fn await_store(&mut self, slot: Slot, before: Lsn) {
        if self.ledger.last() == before
            || self.ledger.unsettled_bytes() <= self.limits().journal_backlog_bytes
        {
            return;
        }
        let Some(connection) = self.connections.get_mut(slot) else {
            return;
        };
        let Phase::Connected(link) = connection.phase() else {
            return;
        };
        let session = link.session();
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
            // Most of them have gone.
            let is_there = |it: &(Slot, Conn)| connections.slot(it.1) == Some(it.0);
            self.awaiting_store.retain(is_there);
        }
        self.awaiting_store.push_back((slot, conn));
    }

    /// More records are durable: clients that wait for that are read again, as far as there is
    /// room for what they have sent.
    pub(crate) fn read_on(&mut self, now: Instant) {
        let enough = self.limits().journal_backlog_bytes / 2;
        while self.ledger.unsettled_bytes() <= enough
            && let Some((slot, conn)) = self.awaiting_store.pop_front()
        {
            let connection = self.connections.get_mut(slot);
            let Some(connection) = connection.filter(|it| it.conn() == conn) else {
                continue;
            };
            // A client that was too fast too is read when its time comes.
            if connection.stop_awaiting_store() {
                self.resume(now, slot);
                self.settle(now);
            }
        }
    }

    /// [`Timer::Resume`](crate::types::Timer::Resume) is due: the connection is read again, and first what was put by. If that
    /// is too fast in its turn, the shell hears of it as of any other pause.
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
