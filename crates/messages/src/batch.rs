//! Messages on their way to the log, in one piece of memory.

use crate::{Message, Options};

/// Messages, one after another. The thread that sees them hands them to the one that writes.
///
/// ```
/// use messages::{Batch, Message};
///
/// let mut batch = Batch::new(64 << 10);
/// let message = Message::new(1_700_000_000_000, "home/door", b"open");
/// batch.push(&message);
/// assert_eq!(batch.iter().collect::<Vec<_>>(), [message]);
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    count: usize,
    payload_limit: usize,
}

/// A message before its texts.
struct Head {
    time: i64,
    bytes: u64,
    topic: usize,
    payload: usize,
    /// `usize::MAX`: no client.
    client: usize,
    qos: u8,
    retain: bool,
}

impl Batch {
    /// An empty one. Payloads are cut behind so many bytes.
    pub fn new(payload_limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            count: 0,
            payload_limit: payload_limit.min(Options::LONGEST_PAYLOAD),
        }
    }

    /// Adds a message.
    pub fn push(&mut self, message: &Message<'_>) {
        let payload = &message.payload[..message.payload.len().min(self.payload_limit)];
        let client = message.client.unwrap_or_default();
        Head {
            time: message.time,
            bytes: message.bytes,
            topic: message.topic.len(),
            payload: payload.len(),
            client: message.client.map_or(usize::MAX, str::len),
            qos: message.qos,
            retain: message.retain,
        }
        .put(&mut self.bytes);
        self.bytes.extend_from_slice(message.topic.as_bytes());
        self.bytes.extend_from_slice(client.as_bytes());
        self.bytes.extend_from_slice(payload);
        self.count += 1;
    }

    /// How many messages there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes all messages out.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let next = Self {
            // The next batch will be about as large.
            bytes: Vec::with_capacity(self.bytes.len().min(64 << 10)),
            count: 0,
            payload_limit: self.payload_limit,
        };
        std::mem::replace(self, next)
    }

    /// The messages, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let head = Head::take(&mut rest)?;
            let mut text = |len: usize| {
                let (text, behind) = rest.split_at_checked(len)?;
                rest = behind;
                Some(text)
            };
            let topic = std::str::from_utf8(text(head.topic)?).ok()?;
            let client = match head.client {
                usize::MAX => None,
                len => Some(std::str::from_utf8(text(len)?).ok()?),
            };
            Some(Message {
                time: head.time,
                topic,
                payload: text(head.payload)?,
                bytes: head.bytes,
                qos: head.qos,
                retain: head.retain,
                client,
            })
        })
    }
}

impl Head {
    const LEN: usize = 8 * 5 + 2;

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        for len in [self.topic, self.payload, self.client] {
            out.extend_from_slice(&(len as u64).to_le_bytes());
        }
        out.extend_from_slice(&[self.qos, u8::from(self.retain)]);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<{ Self::LEN }>()?;
        *bytes = rest;
        let (numbers, flags) = head.as_chunks::<8>();
        let [time, whole, topic, payload, client] = *numbers else {
            return None;
        };
        let len = |number: [u8; 8]| usize::try_from(u64::from_le_bytes(number)).ok();
        Some(Self {
            time: i64::from_le_bytes(time),
            bytes: u64::from_le_bytes(whole),
            topic: len(topic)?,
            payload: len(payload)?,
            client: len(client).unwrap_or(usize::MAX),
            qos: flags[0],
            retain: flags[1] != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in() {
        let mut batch = Batch::new(4);
        let whole = Message::new(-5, "a/ü", b"12345");
        let messages = [
            Message {
                qos: 2,
                retain: true,
                client: Some("me"),
                ..whole
            },
            Message {
                client: Some(""),
                payload: b"",
                bytes: 0,
                ..whole
            },
            Message {
                payload: b"12",
                bytes: 99,
                ..whole
            },
        ];
        for message in &messages {
            batch.push(message);
        }
        assert_eq!((batch.len(), batch.is_empty()), (3, false));
        let taken = batch.take();
        assert_eq!((batch.len(), batch.iter().count()), (0, 0));
        let cut = Message {
            payload: b"1234",
            ..messages[0]
        };
        let expected = [cut, messages[1], messages[2]];
        assert_eq!(taken.iter().collect::<Vec<_>>(), expected);
        assert!(taken.bytes() > 0);
    }
}
