//! Connects the broker and the store: gives records to the store, tells the broker what is durable,
//! and makes checkpoints (copies of everything that is stored) when the journal has grown long.
//!
//! **Space.** The store says how much free space it has. The broker says how much must stay free:
//! enough for a checkpoint, and for the records that clients cause when they receive their queued
//! messages ([`Broker::spare_room`](broker::Broker::spare_room)). When nearly all of the rest is
//! used, the store is full, and the broker refuses what is new. So a checkpoint is possible at any
//! time. The shard makes one as soon as it frees enough space. What it frees are messages that
//! clients have received. `--max-store-size` guarantees this space. On a disk that other programs
//! fill, only what the journal has reserved is guaranteed.

use std::cell::Cell;
use std::rc::Rc;

use broker::{Broker, Input, Lsn, Metrics, StoreState};
use bytesize::ByteSize;
use store::{Stats, Store};
use tokio::sync::Notify;
use tokio::task::{spawn_local, yield_now};
use tracing::{error, info};

use super::core::Core;

/// How many bytes of a checkpoint are written at a time. That takes a small part of a millisecond.
const SLICE: usize = 32 * 1024;
/// The part of a segment's bytes that may wait for the disk while a checkpoint is written: one in
/// this many.
const MOST_WAITING: u64 = 16;
/// The part of a segment's bytes that must be spare: one in this many. With less the store is full;
/// with twice as much it is ready again.
const LEAST_SPARE: u64 = 16;

/// The store, as the shard sees it.
pub(super) struct Storing {
    store: Store,
    /// The broker has records that it has not given to the store.
    has_records: Cell<bool>,
    /// Wakes the task that makes checkpoints: one may be due.
    grown: Notify,
    /// How many bytes more than estimated the last checkpoint took. Without it, checkpoints would
    /// follow each other without end where space is scarce.
    copy_excess: Cell<u64>,
}

impl Storing {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            has_records: Cell::new(false),
            grown: Notify::new(),
            copy_excess: Cell::default(),
        }
    }

    /// Notes that the broker has records. The flush task gives them to the store together with all
    /// others of this round of the runtime.
    pub(super) fn has_records(&self) {
        self.has_records.set(true);
    }

    /// Gives the store all records that the broker has.
    pub(super) fn take(&self, broker: &mut Broker) {
        if self.has_records.take() {
            self.store.append(|out| broker.take_journal(out));
        }
    }

    /// Lets the store remove the records before `from`.
    pub(super) fn trim(&self, from: Lsn) {
        self.store.trim(from);
    }

    pub(super) fn stats(&self) -> Stats {
        self.store.stats()
    }

    /// Waits until all records that were given to the store are durable.
    pub(super) fn close(self) {
        self.store.close();
    }

    /// Whether a checkpoint is due and there is space for it. One is due when the journal is long,
    /// or when little space is left and a checkpoint would free some.
    fn is_copy_due(&self, metrics: &Metrics, spare: u64) -> bool {
        let stats = self.store.stats();
        let due = Due {
            journal: stats.journal_bytes,
            copy: metrics.copy_bytes + self.copy_excess.get(),
            long_enough: self.store.long_enough(),
            room: self.store.room().saturating_sub(metrics.journal_bytes),
            spare,
            is_full: stats.is_full,
        };
        due.is_due()
    }

    /// Whether the next part of a checkpoint may be written.
    fn has_room(&self) -> bool {
        self.stats().waiting_bytes <= self.store.long_enough() / MOST_WAITING
    }

    /// Whether the store counts as full now. It depends on whether it was full before, so that the
    /// state does not flicker.
    fn is_full(&self, was_full: bool, spare: u64) -> bool {
        let least = self.store.long_enough() / LEAST_SPARE;
        spare < if was_full { 2 * least } else { least }
    }
}

/// Says how much space is left, and what it is kept for.
fn why_full(room: u64, metrics: &Metrics) -> String {
    let copy = ByteSize(metrics.copy_bytes);
    if room == 0 {
        return format!("no space is left, not even for a copy of what is stored ({copy})");
    }
    let left = ByteSize(room);
    match metrics.taking_bytes {
        0 => format!(
            "the {left} that are left are kept free, {copy} of them for a copy of what is stored"
        ),
        taking => format!(
            "the {left} that are left are kept free for a copy of what is stored ({copy}), for the records of queued messages that clients still have to receive ({}), and as a reserve",
            ByteSize(taking)
        ),
    }
}

/// What decides whether a checkpoint is due, in bytes.
#[derive(Copy, Clone, Debug)]
struct Due {
    journal: u64,
    copy: u64,
    long_enough: u64,
    room: u64,
    spare: u64,
    is_full: bool,
}

impl Due {
    fn is_due(&self) -> bool {
        let Self { journal, copy, .. } = *self;
        // How much a checkpoint would free. It must free more where space is not short.
        let over = journal.saturating_sub(copy);
        let makes_room = if self.is_full {
            over > copy / 16 + self.long_enough / 16
        } else {
            self.spare < self.long_enough && over > copy / 2 + self.long_enough / 8
        };
        // Compared with what a copy takes now, not with the journal after the last checkpoint: much of
        // that may be obsolete by now.
        let is_long = journal > (2 * copy).max(self.long_enough);
        (makes_room || is_long) && copy + copy / 16 < self.room
    }
}

/// Starts the tasks that run for as long as the shard does.
pub(super) fn spawn(core: &Rc<Core>) {
    if core.storing().is_some() {
        let telling = Rc::clone(core);
        spawn_local(async move { telling.tell_durable().await });
        let copying = Rc::clone(core);
        spawn_local(async move { copying.shorten_journal().await });
    }
}

impl Core {
    /// Runs for ever: tells the broker which records are durable, and whether there is space.
    async fn tell_durable(&self) {
        let Some(storing) = self.storing() else {
            return;
        };
        let store = &storing.store;
        let mut durable = store.durable();
        let mut is_full = false;
        loop {
            // Before the space: that may be from a later moment, but never from an earlier one.
            if store.durable() != durable {
                durable = store.durable();
                self.input(Input::Persisted(durable));
            }
            let (bytes, from) = (store.room().saturating_sub(store.kept()), store.trimmed());
            self.input(Input::StoreRoom { bytes, from });
            let spare = self.spare_room();
            if storing.is_full(is_full, spare) != is_full {
                is_full = !is_full;
                store.set_full(is_full);
                self.tell_full(is_full, store);
                self.input(Input::Store(if is_full {
                    StoreState::Full
                } else {
                    StoreState::Ready
                }));
            }
            storing.grown.notify_one();
            store.news().await;
        }
    }

    fn tell_full(&self, is_full: bool, store: &Store) {
        let path = store.folder().display();
        if !is_full {
            info!("{path}: the store has space again");
            return;
        }
        let why = why_full(store.room(), &self.metrics());
        error!(
            "{path} is full: {why}. The server refuses QoS 1 and 2 messages that it would have to store, and new lasting sessions and subscriptions; everything else goes on. Make room on the disk, or give a larger --max-store-size. The server checks every second whether there is space again"
        );
    }

    /// Runs for ever: makes a checkpoint when one is due, a little at a time, so that no client
    /// waits for it.
    async fn shorten_journal(&self) {
        let Some(storing) = self.storing() else {
            return;
        };
        loop {
            storing.grown.notified().await;
            if !storing.is_copy_due(&self.metrics(), self.spare_room()) {
                continue;
            }
            let before = storing.stats().checkpoints;
            // Otherwise older records in the same file would stay.
            storing.store.leave();
            while self.checkpoint(SLICE) {
                yield_now().await;
                while !storing.has_room() {
                    storing.grown.notified().await;
                }
            }
            // Older records are removed when the checkpoint is durable.
            while storing.stats().checkpoints == before {
                storing.grown.notified().await;
            }
            let estimate = self.metrics().copy_bytes;
            let excess = storing.stats().journal_bytes.saturating_sub(estimate);
            storing.copy_excess.set(excess);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Nothing in the journal is obsolete, and there is enough space.
    const QUIET: Due = Due {
        journal: 10 * MIB,
        copy: 10 * MIB,
        long_enough: MIB,
        room: 1_000 * MIB,
        spare: 900 * MIB,
        is_full: false,
    };

    #[test]
    fn a_copy_is_due_when_half_of_the_journal_is_obsolete_and_sooner_where_that_frees_space() {
        assert!(!QUIET.is_due());
        let grown = Due {
            journal: 19 * MIB,
            ..QUIET
        };
        assert!(!grown.is_due());
        assert!(
            Due {
                journal: 21 * MIB,
                ..QUIET
            }
            .is_due()
        );
        assert!(Due { spare: 0, ..grown }.is_due());
        let little = Due {
            journal: 11 * MIB,
            spare: 0,
            ..QUIET
        };
        assert!(!little.is_due());
        let full = Due {
            is_full: true,
            ..little
        };
        assert!(full.is_due());
        // Nothing is obsolete: a checkpoint would follow another without end.
        assert!(
            !Due {
                journal: 10 * MIB,
                ..full
            }
            .is_due()
        );
        // And never where there is no space for it.
        assert!(
            !Due {
                room: 10 * MIB,
                ..full
            }
            .is_due()
        );
    }

    #[test]
    fn the_reason_for_a_full_store_names_sizes_as_people_read_them() {
        let mut metrics = Metrics {
            copy_bytes: 3 * MIB,
            ..Metrics::default()
        };
        let why = why_full(0, &metrics);
        assert!(why.contains("no space is left"), "{why}");
        assert!(why.contains("(3.0 MiB)"), "{why}");
        for taking in [0, MIB * 17 / 10] {
            metrics.taking_bytes = taking;
            let why = why_full(4 * MIB, &metrics);
            assert!(why.starts_with("the 4.0 MiB that are left"), "{why}");
            assert!(why.contains("3.0 MiB"), "{why}");
            assert_eq!(why.contains("(1.7 MiB)"), taking > 0, "{why}");
        }
    }

    /// What was stored once and received since is obsolete.
    #[test]
    fn a_copy_is_due_when_little_is_left_of_a_long_journal() {
        let drained = Due {
            copy: MIB / 100,
            ..QUIET
        };
        assert!(drained.is_due());
    }
}
