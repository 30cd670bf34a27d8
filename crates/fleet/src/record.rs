//! What the messages said, for whoever keeps it: every value with its time, in the order in which it came.
//!
//! A fleet with [`FleetOptions::records`](crate::FleetOptions::records) writes each live value down here,
//! the first ones of a new metric and those of a backlog too. Retained values and repetitions are none:
//! they were said before. [`Fleet::take_records`](crate::Fleet::take_records) takes them.
//!
//! **Invariant.** Nothing is allocated for a message once the buffers have grown. They grow until somebody
//! takes what is in them, so whoever asks for records takes them after each batch of messages.

use crate::device::DeviceKey;
use crate::metric::MetricKey;
use crate::time::Timestamp;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// Rows: what each message said.
#[derive(Clone, Default, Debug)]
pub struct Records {
    rows: Vec<Row>,
    values: Vec<(MetricKey, Kept)>,
    texts: String,
}

#[derive(Clone, Debug)]
struct Row {
    device: DeviceKey,
    at: Timestamp,
    arrived: Timestamp,
    publisher: Option<Range<u32>>,
    position: Option<(f64, f64)>,
    /// Where its values begin. They end where those of the next row begin.
    values: u32,
}

#[derive(Clone, Debug)]
enum Kept {
    Number(f64),
    Integer(i64),
    Bool(bool),
    Text(Range<u32>),
}

/// What one message said about one device.
#[derive(Copy, Clone, Debug)]
pub struct Record<'a> {
    /// The device.
    pub device: DeviceKey,
    /// When it was measured: by the device's own clock if that can be believed, or else when it arrived.
    pub at: Timestamp,
    /// When it arrived.
    pub arrived: Timestamp,
    /// The client that published it, where that is known.
    pub publisher: Option<&'a str>,
    /// Where the device was, in degrees: latitude and longitude.
    pub position: Option<(f64, f64)>,
    records: &'a Records,
    values: (u32, u32),
}

/// A value as it came.
#[derive(Copy, Clone, PartialEq, Debug)]
pub enum Recorded<'a> {
    /// A finite number.
    Number(f64),
    /// A whole number that an `f64` cannot hold exactly.
    Integer(i64),
    /// True or false.
    Bool(bool),
    /// Any other text, cut to the option `max_text_len`.
    Text(&'a str),
}

impl Records {
    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// About how many bytes of memory they take.
    pub fn bytes(&self) -> usize {
        self.rows.len() * size_of::<Row>()
            + self.values.len() * size_of::<(MetricKey, Kept)>()
            + self.texts.len()
    }

    /// The rows, in the order in which they came.
    pub fn rows(&self) -> impl Iterator<Item = Record<'_>> {
        let ends = self.rows.iter().skip(1).map(|row| row.values);
        let end = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        let ends = ends.chain(core::iter::once(end));
        self.rows.iter().zip(ends).map(|(row, end)| Record {
            device: row.device,
            at: row.at,
            arrived: row.arrived,
            publisher: row.publisher.clone().map(|range| self.text(range)),
            position: row.position,
            records: self,
            values: (row.values, end),
        })
    }

    /// Forgets all rows, and keeps the buffers.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.values.clear();
        self.texts.clear();
    }

    /// A message begins. Its row is taken back by [`Records::end`] if nothing was said.
    pub(crate) fn begin(&mut self, device: DeviceKey, at: Timestamp, arrived: Timestamp) {
        self.rows.push(Row {
            device,
            at,
            arrived,
            publisher: None,
            position: None,
            values: u32::try_from(self.values.len()).unwrap_or(u32::MAX),
        });
    }

    /// The device of the message that has begun is at this position.
    pub(crate) fn position(&mut self, lat: f64, lng: f64) {
        if let Some(row) = self.rows.last_mut() {
            row.position = Some((lat, lng));
        }
    }

    /// The message that has begun has this value.
    pub(crate) fn value(&mut self, metric: MetricKey, value: Recorded<'_>) {
        let kept = match value {
            Recorded::Number(value) => Kept::Number(value),
            Recorded::Integer(value) => Kept::Integer(value),
            Recorded::Bool(value) => Kept::Bool(value),
            Recorded::Text(text) => match self.keep(text) {
                Some(range) => Kept::Text(range),
                None => return,
            },
        };
        self.values.push((metric, kept));
    }

    /// The message ends. `publisher` has sent it.
    pub(crate) fn end(&mut self, publisher: Option<&str>) {
        let values = self.values.len();
        let Some(row) = self.rows.last() else {
            return;
        };
        if row.position.is_none() && row.values as usize == values {
            self.rows.pop();
            return;
        }
        let Some(publisher) = publisher else {
            return;
        };
        // A client most often sends many messages after each other.
        let mut before = self.rows.iter().rev().skip(1);
        let before = before.next().and_then(|row| row.publisher.clone());
        let same = before.filter(|range| self.text(range.clone()) == publisher);
        let range = same.or_else(|| self.keep(publisher));
        if let Some(row) = self.rows.last_mut() {
            row.publisher = range;
        }
    }

    /// `None`: there are 4 GiB of texts already.
    fn keep(&mut self, text: &str) -> Option<Range<u32>> {
        let start = u32::try_from(self.texts.len()).ok()?;
        let end = u32::try_from(self.texts.len() + text.len()).ok()?;
        self.texts.push_str(text);
        Some(start..end)
    }

    fn text(&self, range: Range<u32>) -> &str {
        &self.texts[range.start as usize..range.end as usize]
    }
}

impl<'a> Record<'a> {
    /// The metrics of which the message has values, and the values.
    pub fn values(&self) -> impl Iterator<Item = (MetricKey, Recorded<'a>)> + use<'a> {
        let records = self.records;
        let (start, end) = self.values;
        let values = &records.values[start as usize..end as usize];
        values.iter().map(|(metric, kept)| {
            let value = match kept {
                Kept::Number(value) => Recorded::Number(*value),
                Kept::Integer(value) => Recorded::Integer(*value),
                Kept::Bool(value) => Recorded::Bool(*value),
                Kept::Text(range) => Recorded::Text(records.text(range.clone())),
            };
            (*metric, value)
        })
    }
}
