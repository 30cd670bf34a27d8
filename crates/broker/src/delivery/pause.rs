//! A connection that is not read for a while.

use bytes::Bytes;

/// A connection that is not read.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    /// What was read before the shell knew: no more than it reads at once.
    pub(crate) unread: Vec<Bytes>,
    pub(crate) bytes: usize,
    /// Whether it is one of those that wait for the store.
    pub(crate) awaits_store: bool,
}

impl Pause {
    /// `bytes` are looked at later.
    pub(crate) fn put_by(&mut self, bytes: &Bytes) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            // Copied: the buffer that it was read into is the shell's, and is used for others.
            self.unread.push(Bytes::copy_from_slice(bytes));
        }
    }
}
