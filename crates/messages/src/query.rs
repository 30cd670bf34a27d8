//! What is asked for, and the answer.

use std::fmt;
use std::sync::Arc;

use memchr::memmem::Finder;
use mqtt::topic_matches;
use store::log::Damage;

use crate::Millis;
use crate::block::{Row, Rows};

/// Which messages to look for.
#[derive(Clone, Debug)]
pub struct Query {
    /// Not before this time.
    pub from: Millis,
    /// Before this time.
    pub to: Millis,
    /// Only topics that one of these MQTT filters matches. Empty: all topics. They must be well formed,
    /// and not be shared.
    pub filters: Vec<String>,
    /// Which topics the one who asks may see.
    pub visible: Visible,
    /// Only messages with this text in their topic or payload. Upper and lower case are the same.
    pub text: Option<String>,
    /// Which come first.
    pub order: Order,
    /// Where the page begins: the `next` of the page before it. `None`: at the newest or oldest message.
    pub start: Option<u64>,
    /// The most messages of the page.
    pub limit: usize,
    /// The page ends when about so many bytes of messages have been looked at.
    pub work: usize,
    /// The page ends when it has about so many bytes.
    pub bytes: usize,
}

impl Default for Query {
    /// The newest hundred messages.
    fn default() -> Self {
        Self {
            from: Millis::MIN,
            to: Millis::MAX,
            filters: Vec::new(),
            visible: Visible::default(),
            text: None,
            order: Order::Newest,
            start: None,
            limit: 100,
            work: 32 << 20,
            bytes: 4 << 20,
        }
    }
}

/// Which topics somebody may see. The default: all.
///
/// What may be seen may have changed since a message was kept. So readers ask again.
#[derive(Clone, Default)]
pub struct Visible(Option<Arc<MaySee>>);

type MaySee = dyn Fn(&str) -> bool + Send + Sync;

impl Visible {
    /// Those for which the function says so.
    pub fn new(may_see: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(may_see)))
    }

    fn has(&self, topic: &str) -> bool {
        self.0.as_ref().is_none_or(|may_see| may_see(topic))
    }
}

impl fmt::Debug for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "some" } else { "all" })
    }
}

/// Which messages come first.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest.
    #[default]
    Newest,
    /// The oldest.
    Oldest,
}

/// A part of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The messages, in the order that was asked for.
    pub messages: Vec<Kept>,
    /// Where the next page begins. `None`: there are no more messages.
    pub next: Option<u64>,
    /// If there is a next page: the time up to which this page has looked.
    pub looked_to: Option<Millis>,
    /// What could not be read.
    pub damaged: Vec<Damage>,
}

/// A message that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number: one more than that of the message before it.
    pub number: u64,
    /// When it came.
    pub time: Millis,
    /// Its topic.
    pub topic: String,
    /// Its payload, as far as it was kept.
    pub payload: Vec<u8>,
    /// The length of the payload as it came.
    pub bytes: u64,
    /// The quality of service by which it came.
    pub qos: u8,
    /// Whether the broker was asked to retain it.
    pub retain: bool,
    /// The client that published it, where it is known.
    pub client: Option<String>,
}

impl Kept {
    /// Bytes in memory, about.
    pub(crate) fn size(&self) -> usize {
        let client = self.client.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.topic.len() + self.payload.len() + client
    }
}

/// Whether messages of a block are looked for.
pub(crate) struct Matcher<'q> {
    query: &'q Query,
    text: Option<Text>,
}

/// A text without upper case.
enum Text {
    /// It can be found in bytes.
    Ascii(Box<Finder<'static>>),
    Unicode(String),
}

/// What a block's topics say, before its messages are looked at.
pub(crate) struct Topics {
    /// For each whether the filters match.
    fit: Vec<bool>,
    /// For each whether the text is in it.
    have_text: Vec<bool>,
    /// The block without upper case, if an ASCII text is looked for in payloads.
    lower: Vec<u8>,
}

impl<'q> Matcher<'q> {
    pub(crate) fn new(query: &'q Query) -> Self {
        let text = query.text.as_ref().filter(|it| !it.is_empty()).map(|text| {
            if text.is_ascii() {
                let finder = Finder::new(&text.to_ascii_lowercase()).into_owned();
                Text::Ascii(Box::new(finder))
            } else {
                Text::Unicode(text.to_lowercase())
            }
        });
        Self { query, text }
    }

    /// Looks at the topics of a block. `None`: none of them is looked for.
    pub(crate) fn topics(&self, rows: &Rows) -> Option<Topics> {
        let filters = &self.query.filters;
        let is_wanted = |topic: &str| {
            (filters.is_empty() || filters.iter().any(|filter| topic_matches(filter, topic)))
                && self.query.visible.has(topic)
        };
        let fit: Vec<bool> = rows.topics().map(is_wanted).collect();
        if !fit.contains(&true) {
            return None;
        }
        let (have_text, lower) = match &self.text {
            None => (vec![true; fit.len()], Vec::new()),
            Some(Text::Ascii(text)) => {
                let has = |topic: &str| text.find(topic.to_ascii_lowercase().as_bytes()).is_some();
                let lower = rows.payloads().to_ascii_lowercase();
                (rows.topics().map(has).collect(), lower)
            }
            Some(Text::Unicode(text)) => {
                let has = |topic: &str| topic.to_lowercase().contains(text);
                (rows.topics().map(has).collect(), Vec::new())
            }
        };
        Some(Topics {
            fit,
            have_text,
            lower,
        })
    }

    pub(crate) fn fits(&self, topics: &Topics, rows: &Rows, row: &Row) -> bool {
        if !topics.fit[row.topic] || row.time < self.query.from || row.time >= self.query.to {
            return false;
        }
        if topics.have_text[row.topic] {
            return true;
        }
        match &self.text {
            None => true,
            Some(Text::Ascii(text)) => text.find(&topics.lower[row.payload.clone()]).is_some(),
            Some(Text::Unicode(text)) => {
                let payload = String::from_utf8_lossy(rows.payload(row));
                payload.to_lowercase().contains(text)
            }
        }
    }
}
