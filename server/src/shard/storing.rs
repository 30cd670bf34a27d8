//! Between the broker and the store: records out, what is durable in, and copies of everything
//! when the journal has grown long.

use std::cell::Cell;
use std::rc::Rc;

use broker::{Broker, Input, Lsn, Metrics, StoreState};
use tokio::sync::Notify;
use tokio::task::{spawn_local, yield_now};

use super::core::Core;
use crate::store::{Stats, Store};

/// Bytes of a copy that are written at a time: a small part of a millisecond.
const SLICE: usize = 32 * 1024;
/// Of the bytes of a file: as many of a copy may wait for the disk.
const MOST_WAITING: u64 = 16;
/// What a session takes in a copy, more or less, beside its subscriptions and its queue.
const SESSION_BYTES: u64 = 256;
/// Of what holding a message costs, what is in memory only, and not in a copy.
const MEMORY_ONLY_BYTES: u64 = 256;

/// The store, as the shard sees it.
pub(super) struct Storing {
    store: Store,
    /// The broker has records that the store has not.
    has_records: Cell<bool>,
    /// A copy may be due.
    grown: Notify,
    /// Bytes of the journal after the last copy, when what was before it had gone.
    least: Cell<u64>,
}

impl Storing {
    pub(super) fn new(store: Store) -> Self {
        let least = Cell::new(store.stats().journal_bytes);
        Self {
            store,
            has_records: Cell::new(false),
            grown: Notify::new(),
            least,
        }
    }

    /// The broker has records: they are taken with all others of this round of the runtime.
    pub(super) fn has_records(&self) {
        self.has_records.set(true);
    }

    /// Gives the store all records that the broker has.
    pub(super) fn take(&self, broker: &mut Broker) {
        if self.has_records.take() {
            self.store.append(|out| broker.take_journal(out));
        }
    }

    /// The records before `from` may go.
    pub(super) fn trim(&self, from: Lsn) {
        self.store.trim(from);
    }

    pub(super) fn stats(&self) -> Stats {
        self.store.stats()
    }

    /// Waits until everything that was taken is durable.
    pub(super) fn close(self) {
        self.store.close();
    }

    /// Whether the journal is so long that a copy of everything is worth its room, and there is
    /// room. Where there is little left, a copy is what makes more, if it fits into that.
    fn is_copy_due(&self, metrics: &Metrics) -> bool {
        let stats = self.store.stats();
        let long_enough = self.store.long_enough();
        let is_scarce = match self.store.state() {
            StoreState::Ready => stats.free_bytes < 2 * long_enough,
            StoreState::Full => true,
        };
        // However long it was after the last copy: what was in that may have gone since.
        let makes_room =
            is_scarce && stats.segments > 1 && copy_bytes(metrics) < stats.journal_bytes / 2;
        let is_long = stats.journal_bytes > (2 * self.least.get()).max(long_enough);
        (makes_room || is_long) && fits(copy_bytes(metrics), &stats)
    }

    /// Whether the next piece of a copy may be written, of which so many bytes are.
    fn has_room(&self, metrics: &Metrics, copied: u64) -> bool {
        let stats = self.store.stats();
        let has_room = match self.store.state() {
            StoreState::Ready => true,
            StoreState::Full => fits(copy_bytes(metrics).saturating_sub(copied), &stats),
        };
        has_room && stats.waiting_bytes <= self.store.long_enough() / MOST_WAITING
    }
}

/// What a copy of everything takes, more or less: rather more.
const fn copy_bytes(metrics: &Metrics) -> u64 {
    let messages = metrics.retained_messages + metrics.queued_messages + metrics.wills;
    let bytes = metrics.retained_bytes + metrics.queued_bytes + metrics.will_bytes;
    bytes.saturating_sub(messages * MEMORY_ONLY_BYTES)
        + metrics.subscription_bytes
        + metrics.sessions * SESSION_BYTES
}

/// Whether so much of a copy has room, and leaves some for what comes meanwhile. One that is
/// begun without could fill the disk, and then even the small records would have to wait.
fn fits(copy: u64, stats: &Stats) -> bool {
    copy < stats.reserve_bytes.saturating_add(stats.free_bytes) / 4 * 3
}

/// Begins what goes on for as long as the shard lives.
pub(super) fn spawn(core: &Rc<Core>) {
    if core.storing().is_some() {
        let telling = Rc::clone(core);
        spawn_local(async move { telling.tell_durable().await });
        let copying = Rc::clone(core);
        spawn_local(async move { copying.shorten_journal().await });
    }
}

impl Core {
    /// Runs for ever: tells the broker what has become durable, and whether there is room.
    async fn tell_durable(&self) {
        let Some(storing) = self.storing() else {
            return;
        };
        let store = &storing.store;
        let mut durable = store.durable();
        let mut state = StoreState::Ready;
        loop {
            store.news().await;
            if store.state() != state {
                state = store.state();
                self.input(Input::Store(state));
            }
            if store.durable() != durable {
                durable = store.durable();
                self.input(Input::Persisted(durable));
            }
            storing.grown.notify_one();
        }
    }

    /// Runs for ever: has everything copied when the journal has grown long, a little at a time,
    /// so that nobody waits for it.
    async fn shorten_journal(&self) {
        let Some(storing) = self.storing() else {
            return;
        };
        loop {
            storing.grown.notified().await;
            if !storing.is_copy_due(&self.metrics()) {
                continue;
            }
            let stats = storing.stats();
            let before = stats.checkpoints;
            while self.checkpoint(SLICE) {
                yield_now().await;
                // With the small records that came meanwhile: nobody tells them apart.
                let copied = || storing.stats().bytes - stats.bytes;
                while !storing.has_room(&self.metrics(), copied()) {
                    storing.grown.notified().await;
                }
            }
            // When the copy is durable, what is before it goes.
            while storing.stats().checkpoints == before {
                storing.grown.notified().await;
            }
            storing.least.set(storing.stats().journal_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use broker::{BrokerOptions, Conn, Peer};
    use bytes::BytesMut;
    use mqtt::packet::WillProperties;
    use mqtt::{Connect, Instant, Packet, ProtocolVersion, QoS, TopicName, Will};

    use super::*;

    /// A copy that takes more than it was thought to can fill the disk.
    #[test]
    fn a_copy_with_wills_is_no_larger_than_it_is_thought_to_be() {
        let now = Instant::ZERO;
        let options = BrokerOptions {
            durable: true,
            ..BrokerOptions::default()
        };
        let mut broker = Broker::new(now, options);
        for number in 0..50 {
            let name = format!("client {number}");
            let mut connect = Connect::with_client_id(ProtocolVersion::V5, &name).unwrap();
            // Half of them of sessions that end with their connections.
            connect.properties.session_expiry_interval = (number % 2 == 0).then_some(60);
            connect.will = Some(Will {
                topic: TopicName::try_from("wills").unwrap(),
                payload: vec![b'w'; 60_000].into(),
                qos: QoS::AtLeastOnce,
                retain: false,
                properties: WillProperties::default(),
            });
            let mut bytes = BytesMut::new();
            mqtt::encode(&Packet::Connect(connect), ProtocolVersion::V5, &mut bytes).unwrap();
            broker.handle_input(now, Input::Opened(Conn(number), Peer::MEMORY));
            broker.handle_input(now, Input::Bytes(Conn(number), bytes.freeze()));
        }
        assert_eq!(broker.metrics().wills, 50);
        broker.take_journal(&mut BytesMut::new());
        assert!(!broker.checkpoint(now, usize::MAX));
        let (thought, is) = (
            copy_bytes(broker.metrics()),
            broker.journal_backlog() as u64,
        );
        assert!(is > 50 * 60_000 && thought >= is, "{thought} for {is}");
    }
}
