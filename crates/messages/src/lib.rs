//! The last day of messages, as they came: so that what a device sent before the page was opened can be
//! read.
//!
//! Messages are collected into [blocks](block), and each commit appends a block to a
//! [log](store::log). An [index](index) in memory knows between which times each part of the log lies.
//! So a look at an hour does not read a day.
//!
//! | file | what |
//! |---|---|
//! | `batch.rs` | messages on their way to the writer |
//! | `block.rs` | messages as compressed bytes |
//! | `index.rs` | what is where in the log |
//! | `writer.rs` | appends, commits, and removes what is too old or too much |
//! | `open.rs` | finds everything again after a restart |
//! | `query.rs` | what is asked for, and the answer |
//! | `reader.rs` | looks for it |
//! | `verify.rs` | reads everything, to see whether it can be read |
//!
//! **Invariant.** Each message has a number, one more than the message before it. A page of an answer
//! says at which number the next page begins. So pages neither skip nor repeat a message, whatever is
//! appended or removed meanwhile.
//!
//! **Invariant.** Memory is bounded: by one block and what the log has not committed, and by about a
//! thousandth of the bytes on the disk for the index. A question reads a bounded number of bytes, and
//! its answer holds a bounded number.
//!
//! **Loss.** A kill costs what was not committed. Damage costs the blocks that it hits; they are named
//! and counted. If the disk is full, messages that find no room in memory are counted as lost.
//!
//! ```
//! use messages::{Message, Messages, Options, Query};
//!
//! # let folder = testbed::Folder::new();
//! let options = Options::new(folder.path().join("messages"));
//! let (mut messages, _found) = Messages::open(options).unwrap();
//! let message = Message::new(1_700_000_000_000, "home/kitchen/temperature", b"21.5");
//! messages.append(&Message { qos: 1, client: Some("kitchen"), ..message });
//! messages.commit().unwrap();
//!
//! let query = Query {
//!     filters: vec!["home/#".to_owned()],
//!     ..Query::default()
//! };
//! let page = messages.reader().read(&query).unwrap();
//! assert_eq!(page.messages[0].payload, b"21.5");
//! assert_eq!(page.next, None);
//! ```

mod batch;
mod block;
mod index;
mod open;
mod query;
mod reader;
#[cfg(test)]
mod tests;
mod verify;
mod writer;

use std::path::PathBuf;
use std::time::Duration;

pub use self::batch::Batch;
pub use self::open::Found;
pub use self::query::{Kept, Order, Page, Query, Visible};
pub use self::reader::Reader;
pub use self::verify::{Verified, verify};
pub use self::writer::{Counted, Messages};

/// A time in milliseconds since 1970.
pub type Millis = i64;

/// A message that came.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// When it came.
    pub time: Millis,
    /// Its topic.
    pub topic: &'a str,
    /// Its payload, whole or cut.
    pub payload: &'a [u8],
    /// The length of the payload as it came.
    pub bytes: u64,
    /// The quality of service by which it came.
    pub qos: u8,
    /// Whether the broker was asked to retain it.
    pub retain: bool,
    /// The client that published it, where it is known.
    pub client: Option<&'a str>,
}

impl<'a> Message<'a> {
    /// A whole message that was published at most once, and not to be retained.
    pub const fn new(time: Millis, topic: &'a str, payload: &'a [u8]) -> Self {
        Self {
            time,
            topic,
            payload,
            bytes: payload.len() as u64,
            qos: 0,
            retain: false,
            client: None,
        }
    }
}

/// Where messages are kept, and how many.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder. Nobody else may use it.
    pub folder: PathBuf,
    /// How long they are kept, about. What is older goes a file at a time, at most a twenty-fourth of
    /// this later.
    pub keep: Duration,
    /// The most bytes on the disk. The oldest go first, a file at a time.
    pub max_bytes: u64,
    /// A payload is cut behind so many bytes. At most [`Options::LONGEST_PAYLOAD`].
    pub payload_limit: usize,
}

impl Options {
    /// The highest limit of a payload.
    pub const LONGEST_PAYLOAD: usize = 1 << 20;

    /// A day, 1 GiB, and payloads of 64 KiB.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            keep: Duration::from_hours(24),
            max_bytes: 1 << 30,
            payload_limit: 64 << 10,
        }
    }
}
