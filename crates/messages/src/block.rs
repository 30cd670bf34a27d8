//! Messages as compressed bytes.
//!
//! ```text
//! head:  kind    u8   1
//!        first   u64  the number of the first message
//!        count   u32  how many messages there are
//!        min     i64  the earliest time
//!        max     i64  the latest time
//!        raw     u32  bytes of the body when it is inflated
//! body, deflated:
//!        topics       how many, then each
//!        clients      the same
//!        columns      topic, client, time, flags, length: each with its bytes before it
//!        payloads     one after another
//! ```
//!
//! The head's numbers are little-endian, all others are LEB128. A text or a column has its length before
//! it. Topics and clients stand once in a block, and messages refer to them. A column of equal things
//! compresses better than messages one after another.
//!
//! **Invariant.** No bytes make reading panic, or take more memory than a block may have.

use std::collections::HashMap;
use std::ops::Range;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::{Message, Millis};

/// The first byte of a block.
pub(crate) const KIND: u8 = 1;
const HEAD: usize = 1 + 8 + 4 + 8 + 8 + 4;
/// Bytes of a block before it is compressed. A longer one would compress little better, and cost more to
/// find a few messages in.
pub(crate) const ENOUGH: usize = 256 << 10;
/// The most bytes of a block before it is compressed. A reader takes more for damage.
const MOST: usize = 4 << 20;

const QOS: u8 = 0b011;
const RETAIN: u8 = 0b100;
const CUT: u8 = 0b1000;

/// What the head of a block says.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The number of the first message.
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) min: Millis,
    pub(crate) max: Millis,
    raw: u32,
}

impl Head {
    /// The number behind the last message.
    pub(crate) const fn end(&self) -> u64 {
        self.first.saturating_add(self.count as u64)
    }

    /// `None`: this is no block.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut bytes = bytes.strip_prefix(&[KIND])?;
        Some(Self {
            first: u64::from_le_bytes(take(&mut bytes)?),
            count: u32::from_le_bytes(take(&mut bytes)?),
            min: i64::from_le_bytes(take(&mut bytes)?),
            max: i64::from_le_bytes(take(&mut bytes)?),
            raw: u32::from_le_bytes(take(&mut bytes)?),
        })
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.push(KIND);
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.min.to_le_bytes());
        out.extend_from_slice(&self.max.to_le_bytes());
        out.extend_from_slice(&self.raw.to_le_bytes());
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*number)
}

/// A block that messages are added to.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    topics: Texts,
    clients: Texts,
    columns: [Vec<u8>; COLUMNS],
    payloads: Vec<u8>,
    count: u32,
    times: Option<(Millis, Millis)>,
    last: Millis,
}

const COLUMNS: usize = 5;
const TOPIC: usize = 0;
const CLIENT: usize = 1;
const TIME: usize = 2;
const FLAGS: usize = 3;
const LENGTH: usize = 4;

impl Builder {
    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    /// Bytes before they are compressed.
    pub(crate) fn len(&self) -> usize {
        let columns: usize = self.columns.iter().map(Vec::len).sum();
        self.topics.bytes.len() + self.clients.bytes.len() + columns + self.payloads.len()
    }

    /// Adds a message. Its payload is cut behind `limit` bytes: the answer says whether it was.
    pub(crate) fn push(&mut self, message: &Message<'_>, limit: usize) -> bool {
        let kept = &message.payload[..message.payload.len().min(limit)];
        let bytes = message.bytes.max(message.payload.len() as u64);
        let is_cut = (kept.len() as u64) < bytes;
        let topic = self.topics.number(message.topic);
        put(&mut self.columns[TOPIC], topic);
        let client = message.client.map(|it| self.clients.number(it) + 1);
        put(&mut self.columns[CLIENT], client.unwrap_or(0));
        put(
            &mut self.columns[TIME],
            zigzag(message.time.wrapping_sub(self.last)),
        );
        let flags = [
            message.qos & QOS,
            if message.retain { RETAIN } else { 0 },
            if is_cut { CUT } else { 0 },
        ];
        self.columns[FLAGS].push(flags.iter().sum());
        put(&mut self.columns[LENGTH], kept.len() as u64);
        if is_cut {
            put(&mut self.columns[LENGTH], bytes);
        }
        self.payloads.extend_from_slice(kept);
        self.last = message.time;
        let (min, max) = self.times.unwrap_or((message.time, message.time));
        self.times = Some((min.min(message.time), max.max(message.time)));
        self.count += 1;
        is_cut
    }

    /// The body, not compressed.
    fn raw(&self) -> Vec<u8> {
        let mut raw = Vec::with_capacity(self.len() + 64);
        for texts in [&self.topics, &self.clients] {
            put(&mut raw, texts.numbers.len() as u64);
            raw.extend_from_slice(&texts.bytes);
        }
        for column in &self.columns {
            put(&mut raw, column.len() as u64);
            raw.extend_from_slice(column);
        }
        raw.extend_from_slice(&self.payloads);
        raw
    }

    fn head(&self, first: u64, raw: &[u8]) -> Head {
        let (min, max) = self.times.unwrap_or_default();
        Head {
            first,
            count: self.count,
            min,
            max,
            raw: u32::try_from(raw.len()).unwrap_or(u32::MAX),
        }
    }

    /// The block as bytes, if the first message has this number. The builder is empty afterwards.
    pub(crate) fn seal(&mut self, first: u64) -> (Head, Vec<u8>) {
        let raw = self.raw();
        let head = self.head(first, &raw);
        let mut block = Vec::with_capacity(HEAD + raw.len() / 2);
        head.put(&mut block);
        deflate(&raw, &mut block);
        *self = Self::default();
        (head, block)
    }

    /// The messages so far.
    pub(crate) fn rows(&self, first: u64) -> Option<Rows> {
        let raw = self.raw();
        Rows::of(self.head(first, &raw), raw)
    }
}

/// Texts that occur again and again.
#[derive(Debug, Default)]
struct Texts {
    numbers: HashMap<Box<str>, u64>,
    /// Each with its length before it, in the order of their numbers.
    bytes: Vec<u8>,
}

impl Texts {
    fn number(&mut self, text: &str) -> u64 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.numbers.len() as u64;
        self.numbers.insert(text.into(), number);
        put(&mut self.bytes, text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
        number
    }
}

/// The messages of a block.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) head: Head,
    raw: Vec<u8>,
    topics: Vec<Range<usize>>,
    clients: Vec<Range<usize>>,
    messages: Vec<Row>,
}

/// A message of a block.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Which of the block's topics.
    pub(crate) topic: usize,
    /// Which of the block's clients, if any.
    client: Option<usize>,
    pub(crate) time: Millis,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// The length of the payload as it came.
    pub(crate) bytes: u64,
    /// Where the payload is in [`Rows::payloads`].
    pub(crate) payload: Range<usize>,
}

impl Rows {
    /// Reads a block. `None`: it is malformed.
    pub(crate) fn read(block: &[u8]) -> Option<Self> {
        let head = Head::read(block)?;
        let raw = inflate(&block[HEAD..], usize::try_from(head.raw).ok()?)?;
        Self::of(head, raw)
    }

    fn of(head: Head, raw: Vec<u8>) -> Option<Self> {
        let mut reader = Cursor { bytes: &raw, at: 0 };
        let topics = reader.texts()?;
        let clients = reader.texts()?;
        let mut columns = Vec::with_capacity(COLUMNS);
        for _ in 0..COLUMNS {
            let range = reader.range()?;
            columns.push(Cursor {
                bytes: &raw[..range.end],
                at: range.start,
            });
        }
        let count = usize::try_from(head.count).ok()?;
        if columns[FLAGS].left() != count {
            return None;
        }
        let mut messages = Vec::with_capacity(count);
        let mut time = 0_i64;
        let mut at = reader.at;
        for _ in 0..count {
            let topic = columns[TOPIC].index(topics.len())?;
            let client = columns[CLIENT].index(clients.len() + 1)?;
            time = time.wrapping_add(unzigzag(columns[TIME].number()?));
            let flags = columns[FLAGS].byte()?;
            let len = columns[LENGTH].number()?;
            let end = at.checked_add(usize::try_from(len).ok()?)?;
            let is_cut = flags & CUT != 0;
            messages.push(Row {
                topic,
                client: client.checked_sub(1),
                time,
                qos: flags & QOS,
                retain: flags & RETAIN != 0,
                bytes: if is_cut {
                    columns[LENGTH].number()?
                } else {
                    len
                },
                payload: at..end,
            });
            at = end;
        }
        (at == raw.len()).then_some(Self {
            head,
            raw,
            topics,
            clients,
            messages,
        })
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.messages
    }

    /// Bytes that were looked at.
    pub(crate) fn bytes(&self) -> usize {
        self.raw.len()
    }

    /// The topics that occur, by their numbers.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(|it| self.text(it))
    }

    pub(crate) fn topic(&self, row: &Row) -> &str {
        self.text(&self.topics[row.topic])
    }

    pub(crate) fn client(&self, row: &Row) -> Option<&str> {
        Some(self.text(&self.clients[row.client?]))
    }

    pub(crate) fn payload(&self, row: &Row) -> &[u8] {
        &self.raw[row.payload.clone()]
    }

    /// The bytes that the ranges of payloads refer to.
    pub(crate) fn payloads(&self) -> &[u8] {
        &self.raw
    }

    fn text(&self, range: &Range<usize>) -> &str {
        // It was checked when the block was read.
        std::str::from_utf8(&self.raw[range.clone()]).unwrap_or_default()
    }
}

/// Reads numbers and texts. `None`: something else stands there.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7F);
            number |= part.checked_shl(shift).filter(|it| it >> shift == part)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A number below `len`.
    fn index(&mut self, len: usize) -> Option<usize> {
        usize::try_from(self.number()?).ok().filter(|&it| it < len)
    }

    /// Bytes with their length before them.
    fn range(&mut self) -> Option<Range<usize>> {
        let len = usize::try_from(self.number()?).ok()?;
        let end = self
            .at
            .checked_add(len)
            .filter(|&it| it <= self.bytes.len())?;
        let range = self.at..end;
        self.at = end;
        Some(range)
    }

    fn texts(&mut self) -> Option<Vec<Range<usize>>> {
        let count = usize::try_from(self.number()?).ok()?;
        let mut texts = Vec::with_capacity(count.min(self.left()));
        for _ in 0..count {
            let range = self.range()?;
            std::str::from_utf8(&self.bytes[range.clone()]).ok()?;
            texts.push(range);
        }
        Some(texts)
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

const fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

const fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

fn deflate(raw: &[u8], out: &mut Vec<u8>) {
    // What is written every second must cost little.
    let mut deflate = Compress::new(Compression::fast(), false);
    loop {
        out.reserve(raw.len() / 4 + 64);
        let from = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let status = deflate.compress_vec(&raw[from..], out, FlushCompress::Finish);
        if !matches!(status, Ok(Status::Ok | Status::BufError)) {
            return;
        }
    }
}

fn inflate(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > MOST {
        return None;
    }
    let mut raw = Vec::with_capacity(len);
    let mut inflate = Decompress::new(false);
    let status = inflate.decompress_vec(packed, &mut raw, FlushDecompress::Finish);
    (matches!(status, Ok(Status::StreamEnd)) && raw.len() == len).then_some(raw)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arbitrary() -> impl Strategy<Value = (i64, String, Vec<u8>, u8, bool, Option<String>)> {
        let client = prop::option::of("[a-c]{0,2}");
        let payload = prop::collection::vec(any::<u8>(), 0..60);
        (
            any::<i64>(),
            "[a-c/é]{1,4}",
            payload,
            0..3_u8,
            any::<bool>(),
            client,
        )
    }

    proptest! {
        #[test]
        fn messages_are_read_as_they_were_written(
            messages in prop::collection::vec(arbitrary(), 1..40),
            limit in 0..60_usize,
        ) {
            let mut builder = Builder::default();
            for (time, topic, payload, qos, retain, client) in &messages {
                let is_cut = builder.push(&Message {
                    qos: *qos,
                    retain: *retain,
                    client: client.as_deref(),
                    ..Message::new(*time, topic, payload)
                }, limit);
                prop_assert_eq!(is_cut, payload.len() > limit);
            }
            let open = builder.rows(7).unwrap();
            let (head, block) = builder.seal(7);
            prop_assert_eq!(Head::read(&block), Some(head));
            for rows in [Rows::read(&block).unwrap(), open] {
                prop_assert_eq!(rows.head, head);
                prop_assert_eq!(rows.rows().len(), messages.len());
                for (row, message) in rows.rows().iter().zip(&messages) {
                    let (time, topic, payload, qos, retain, client) = message;
                    prop_assert_eq!(row.time, *time);
                    prop_assert_eq!(rows.topic(row), topic);
                    prop_assert_eq!(rows.client(row), client.as_deref());
                    prop_assert_eq!(rows.payload(row), &payload[..payload.len().min(limit)]);
                    prop_assert_eq!(row.bytes, payload.len() as u64);
                    prop_assert_eq!((row.qos, row.retain), (*qos, *retain));
                }
            }
            let times = messages.iter().map(|it| it.0);
            prop_assert_eq!(Some(head.min), times.clone().min());
            prop_assert_eq!(Some(head.max), times.max());
            prop_assert_eq!(head.end(), 7 + messages.len() as u64);
        }

        #[test]
        fn no_bytes_make_it_panic(
            raw in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..80),
            count in 0..20_u32,
            is_deflated in any::<bool>(),
        ) {
            let head = Head { first: 0, count, min: 0, max: 0, raw: u32::try_from(raw.len()).unwrap() };
            let mut block = Vec::new();
            head.put(&mut block);
            if is_deflated {
                deflate(&raw, &mut block);
            } else {
                block.extend_from_slice(&raw);
            }
            let _ = Rows::read(&block);
            let _ = Rows::read(&raw);
        }
    }

    #[test]
    fn noise_does_not_become_much_larger() {
        let mut random = 1_u32;
        let payload: Vec<u8> = (0..300_000)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                random.to_le_bytes()[0]
            })
            .collect();
        let mut builder = Builder::default();
        let message = Message::new(1, "a", &payload);
        builder.push(&message, usize::MAX);
        let (_, block) = builder.seal(0);
        assert!(block.len() < 301_000, "{}", block.len());
        let rows = Rows::read(&block).unwrap();
        assert_eq!(rows.payload(&rows.rows()[0]), payload);
    }
}
