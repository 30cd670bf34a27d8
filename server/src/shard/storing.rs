//! Between the broker and the store: records out, what is durable in, and copies of everything
//! when the journal has grown long.

use std::cell::Cell;
use std::rc::Rc;

use broker::{Broker, Input, Lsn, StoreState};
use tokio::task::spawn_local;

use super::core::Core;
use crate::store::{Stats, Store};

/// The store, as the shard sees it.
pub(super) struct Storing {
    store: Store,
    /// The broker has records that the store has not.
    has_records: Cell<bool>,
}

impl Storing {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            has_records: Cell::new(false),
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
}

/// Begins what goes on for as long as the shard lives.
pub(super) fn spawn(core: &Rc<Core>) {
    if core.storing().is_some() {
        let telling = Rc::clone(core);
        spawn_local(async move { telling.tell_durable().await });
    }
}

impl Core {
    /// Runs for ever: tells the broker what has become durable, and whether there is room.
    async fn tell_durable(&self) {
        let Some(Storing { store, .. }) = self.storing() else {
            return;
        };
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
        }
    }
}
