//! The pause of a connection that is not read for a while.

use bytes::Bytes;

/// The state of a paused connection.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// Bytes that the shell had read before it knew of the pause: at most as many as it reads at
    /// once.
    unread: Vec<Bytes>,
    bytes: usize,
    /// Whether the connection waits for the store to catch up.
    awaits_store: bool,
}

impl Pause {
    /// Defers `bytes`.
    pub(super) fn defer(&mut self, bytes: &Bytes) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            // A copy, because the shell uses its read buffer for other connections.
            self.unread.push(Bytes::copy_from_slice(bytes));
        }
    }

    /// How many bytes are deferred.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn awaits_store(&self) -> bool {
        self.awaits_store
    }

    /// Notes that the connection waits for the store to catch up. Returns `false` if it already
    /// did.
    pub(super) fn await_store(&mut self) -> bool {
        !core::mem::replace(&mut self.awaits_store, true)
    }

    pub(super) fn stop_awaiting_store(&mut self) {
        self.awaits_store = false;
    }

    pub(super) fn into_unread(self) -> Vec<Bytes> {
        self.unread
    }
}
