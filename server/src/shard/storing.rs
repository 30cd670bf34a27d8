//! Between the broker and the store: records out, what is durable in, and copies of everything
//! when the journal has grown long.
//!
//! **Room.** The store says how much it has, and the broker what must have room: a copy of
//! everything, and what clients write who take what waits for them
//! ([`Broker::spare_room`](broker::Broker::spare_room)). When nearly all the rest is used the store
//! is full, and what is new is refused. So a copy can be made at any time, full or not; it is made
//! as soon as there is enough that it does away with, and what clients take becomes just that. Under
//! `--max-store-size` all of this is kept; on a disk that others fill, only what the journal has
//! reserved.

use std::cell::Cell;
use std::rc::Rc;

use broker::{Broker, Input, Lsn, Metrics, StoreState};
use bytesize::ByteSize;
use store::{Stats, Store};
use tokio::sync::Notify;
use tokio::task::{spawn_local, yield_now};
use tracing::{error, info};

use super::core::Core;

/// Bytes of a copy that are written at a time: a small part of a millisecond.
const SLICE: usize = 32 * 1024;
/// Of the bytes of a file: as many of a copy may wait for the disk.
const MOST_WAITING: u64 = 16;
/// Of the bytes of a file: with less to spare the store is full, with twice as much no longer.
const LEAST_SPARE: u64 = 16;

/// The store, as the shard sees it.
pub(super) struct Storing {
    store: Store,
    /// The broker has records that the store has not.
    has_records: Cell<bool>,
    /// A copy may be due.
    grown: Notify,
    /// How many bytes more than was thought the last copy took: else it would be made again and
    /// again where room is scarce.
    more: Cell<u64>,
}

impl Storing {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            has_records: Cell::new(false),
            grown: Notify::new(),
            more: Cell::default(),
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
    /// room. Where there is little left, a copy is what makes more.
    fn is_copy_due(&self, metrics: &Metrics, spare: u64) -> bool {
        let stats = self.store.stats();
        let due = Due {
            journal: stats.journal_bytes,
            copy: metrics.copy_bytes + self.more.get(),
            long_enough: self.store.long_enough(),
            room: self.store.room().saturating_sub(metrics.journal_bytes),
            spare,
            is_full: stats.is_full,
        };
        due.is_due()
    }

    /// Whether the next piece of a copy may be written.
    fn has_room(&self) -> bool {
        self.stats().waiting_bytes <= self.store.long_enough() / MOST_WAITING
    }

    /// Whether the store is full from now on, if it was before or was not.
    fn is_full(&self, was_full: bool, spare: u64) -> bool {
        let least = self.store.long_enough() / LEAST_SPARE;
        spare < if was_full { 2 * least } else { least }
    }
}

/// What there is, and what it is kept for.
fn why_full(room: u64, metrics: &Metrics) -> String {
    let copy = ByteSize(metrics.copy_bytes);
    if room == 0 {
        return format!(
            "there is not a single byte left to write to, not even for a copy of what is stored ({copy})"
        );
    }
    let left = ByteSize(room);
    match metrics.taking_bytes {
        0 => format!("the {left} left are kept, {copy} of it for a copy of what is stored"),
        taking => format!(
            "the {left} left are kept for a copy of what is stored ({copy}), for what clients write who take what waits for them ({}), and for what nobody counts",
            ByteSize(taking)
        ),
    }
}

/// What decides whether a copy of everything is due, in bytes.
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
        // What a copy does away with, and what for: more where it is not pressing.
        let over = journal.saturating_sub(copy);
        let makes_room = if self.is_full {
            over > copy / 16 + self.long_enough / 16
        } else {
            self.spare < self.long_enough && over > copy / 2 + self.long_enough / 8
        };
        // Whatever the journal was at the start or after the last copy: that may be over since.
        let is_long = journal > (2 * copy).max(self.long_enough);
        (makes_room || is_long) && copy + copy / 16 < self.room
    }
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
        let mut is_full = false;
        loop {
            // Before its room: that may be of later, and never of earlier.
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
            info!("{path}: there is room again");
            return;
        }
        let why = why_full(store.room(), &self.metrics());
        error!(
            "{path} has no room for more: {why}. QoS 1 and 2 messages that would have to be stored, and new lasting sessions and subscriptions, are refused; all else goes on. Make room there, or give a larger --max-store-size; it is looked at every second"
        );
    }

    /// Runs for ever: has everything copied when the journal has grown long, a little at a time,
    /// so that nobody waits for it.
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
            // Else what is before it in the same file would stay.
            storing.store.leave();
            while self.checkpoint(SLICE) {
                yield_now().await;
                while !storing.has_room() {
                    storing.grown.notified().await;
                }
            }
            // When the copy is durable, what is before it goes.
            while storing.stats().checkpoints == before {
                storing.grown.notified().await;
            }
            let thought = self.metrics().copy_bytes;
            let more = storing.stats().journal_bytes.saturating_sub(thought);
            storing.more.set(more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Nothing of the journal is over, and nothing presses.
    const QUIET: Due = Due {
        journal: 10 * MIB,
        copy: 10 * MIB,
        long_enough: MIB,
        room: 1_000 * MIB,
        spare: 900 * MIB,
        is_full: false,
    };

    #[test]
    fn a_copy_is_made_when_half_of_the_journal_is_over_and_sooner_where_that_makes_room() {
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
        // Nothing is over: it would be made again and again.
        assert!(
            !Due {
                journal: 10 * MIB,
                ..full
            }
            .is_due()
        );
        // And never into room that there is not.
        assert!(
            !Due {
                room: 10 * MIB,
                ..full
            }
            .is_due()
        );
    }

    #[test]
    fn what_is_full_says_what_is_left_in_sizes_that_people_read() {
        let mut metrics = Metrics {
            copy_bytes: 3 * MIB,
            ..Metrics::default()
        };
        let why = why_full(0, &metrics);
        assert!(why.contains("not a single byte left"), "{why}");
        assert!(why.contains("(3.0 MiB)"), "{why}");
        for taking in [0, MIB * 17 / 10] {
            metrics.taking_bytes = taking;
            let why = why_full(4 * MIB, &metrics);
            assert!(why.starts_with("the 4.0 MiB left"), "{why}");
            assert!(why.contains("3.0 MiB"), "{why}");
            assert_eq!(why.contains("(1.7 MiB)"), taking > 0, "{why}");
        }
    }

    /// Whatever was there once: what has been taken since is over.
    #[test]
    fn a_copy_is_made_of_little_in_a_long_journal() {
        let drained = Due {
            copy: MIB / 100,
            ..QUIET
        };
        assert!(drained.is_due());
    }
}
