//! A connection that is not read for a while.

use bytes::Bytes;

/// What is known of a connection that is not read.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// What was read before the shell knew: no more than it reads at once.
    unread: Vec<Bytes>,
    bytes: usize,
    /// Whether the connection waits for the store.
    awaits_store: bool,
}

impl Pause {
    /// Keeps `bytes` for later.
    pub(super) fn put_by(&mut self, bytes: &Bytes) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            // Copied: the shell uses the buffer that it was read into for others.
            self.unread.push(Bytes::copy_from_slice(bytes));
        }
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn awaits_store(&self) -> bool {
        self.awaits_store
    }

    /// The connection waits for the store. Says whether that is news.
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
