//! The values of one message with their names, flattened, in buffers that are reused.

use crate::limits::{Limit, LimitCounters};
use crate::number;
use crate::text::{head, part, push_decimal};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

/// The values of one message. All names lie in one string and all texts in another, so that a
/// message costs no allocation once the buffers have grown.
#[derive(Default, Debug)]
#[allow(clippy::struct_excessive_bools)] // Four independent things that may be left out.
pub(crate) struct Readings {
    /// The name being built: members joined by dots.
    pub(crate) path: String,
    /// Where strings are unescaped to.
    pub(crate) texts: String,
    /// The message has more values than are kept.
    pub(crate) too_many: bool,
    /// The message is nested more deeply than is read.
    pub(crate) too_deep: bool,
    /// A name is longer than is kept.
    pub(crate) name_too_long: bool,
    /// A text was cut, because it is longer than is kept.
    pub(crate) text_cut: bool,
    names: String,
    items: Vec<Item>,
    /// The name that the topic gives, before the dot.
    stem: String,
    caps: Caps,
    has_long_number: bool,
}

/// The limits on what is kept of a message.
#[derive(Copy, Clone, Default, Debug)]
pub(crate) struct Caps {
    pub(crate) values: usize,
    pub(crate) name_len: usize,
    pub(crate) text_len: usize,
}

#[derive(Clone, Debug)]
struct Item {
    name: Range<usize>,
    value: ItemValue,
}

/// A value as it stands in the message.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum ItemValue {
    Number(f64),
    /// A number that an `f64` cannot hold exactly: its text is a part of [`Readings::texts`].
    LongNumber(Range<usize>),
    Bool(bool),
    /// A part of [`Readings::texts`].
    Text(Range<usize>),
    Null,
}

/// One value with its name, borrowed from the readings.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) enum Scalar<'a> {
    Number(f64),
    Bool(bool),
    Text(&'a str),
    Null,
}

impl Readings {
    /// Empties the buffers for a message whose topic already names the quantity `stem` (or
    /// nothing). Buffers that an unusually long message has grown are shrunk.
    pub(crate) fn begin(&mut self, stem: &str, caps: Caps) {
        const KEEP: usize = 64 << 10;
        for buffer in [
            &mut self.path,
            &mut self.texts,
            &mut self.names,
            &mut self.stem,
        ] {
            buffer.clear();
            if buffer.capacity() > KEEP {
                buffer.shrink_to(KEEP);
            }
        }
        self.items.clear();
        self.stem.push_str(stem);
        self.path.push_str(stem);
        self.too_many = false;
        self.too_deep = false;
        self.name_too_long = false;
        self.text_cut = false;
        self.has_long_number = false;
        self.caps = caps;
    }

    /// Goes into a member whose name will be appended to `path`. Returns what to give to `leave`.
    pub(crate) fn enter(&mut self) -> usize {
        let parent = self.path.len();
        if parent > 0 {
            self.path.push('.');
        }
        parent
    }

    /// Goes into an array's element.
    pub(crate) fn enter_index(&mut self, index: usize) -> usize {
        let parent = self.enter();
        push_decimal(&mut self.path, index);
        parent
    }

    pub(crate) fn leave(&mut self, parent: usize) {
        self.path.truncate(parent);
    }

    pub(crate) fn begin_text(&self) -> usize {
        self.texts.len()
    }

    /// The text appended to `texts` since `start`, cut to what is kept.
    pub(crate) fn end_text(&mut self, start: usize) -> ItemValue {
        if self.texts.len() - start > self.caps.text_len {
            self.text_cut = true;
            let kept = part(&self.texts, start..self.texts.len());
            let end = start + head(kept, self.caps.text_len).len();
            self.texts.truncate(end);
            self.texts.push('…');
        }
        ItemValue::Text(start..self.texts.len())
    }

    /// Adds a text value under the present path.
    pub(crate) fn emit_text(&mut self, text: &str) -> bool {
        let start = self.begin_text();
        self.texts.push_str(text);
        let value = self.end_text(start);
        self.emit(value)
    }

    /// Adds a value under the present path; `false` when no more are kept.
    pub(crate) fn emit(&mut self, value: ItemValue) -> bool {
        if self.items.len() >= self.caps.values {
            self.too_many = true;
            return false;
        }
        let length = self.name_len();
        if length > self.caps.name_len {
            self.name_too_long = true;
            return true;
        }
        let start = self.names.len();
        self.names.push_str(part(&self.path, 0..length));
        self.items.push(Item {
            name: start..self.names.len(),
            value,
        });
        true
    }

    /// How much of the path is the name: all, without a last part that only repeats what the
    /// topic said. On `…/temperature`, `temperature.value` and `temperature.temperature` are
    /// both `temperature`.
    fn name_len(&self) -> usize {
        let stem = self.stem.as_str();
        // This is also faster: comparing with an empty string can cost a hundred times as much as
        // with another.
        if stem.is_empty() {
            return self.path.len();
        }
        let rest = self.path.strip_prefix(stem);
        match rest.and_then(|rest| rest.strip_prefix('.')) {
            Some(rest) if rest == stem || rest == "value" => stem.len(),
            Some(_) | None => self.path.len(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<(&str, Scalar<'_>)> {
        let item = self.items.get(index)?;
        let value = match &item.value {
            ItemValue::Number(value) => Scalar::Number(*value),
            ItemValue::LongNumber(range) => {
                let text = part(&self.texts, range.clone());
                let parsed = number::parse_prefix(text.as_bytes());
                Scalar::Number(parsed.map_or(0.0, |(value, _)| value))
            }
            ItemValue::Bool(value) => Scalar::Bool(*value),
            ItemValue::Text(range) => Scalar::Text(part(&self.texts, range.clone())),
            ItemValue::Null => Scalar::Null,
        };
        Some((part(&self.names, item.name.clone()), value))
    }

    /// The text of a number that an `f64` cannot hold exactly.
    pub(crate) fn exact(&self, index: usize) -> Option<&str> {
        if !self.has_long_number {
            return None;
        }
        match &self.items.get(index)?.value {
            ItemValue::LongNumber(range) => Some(part(&self.texts, range.clone())),
            ItemValue::Number(_) | ItemValue::Bool(_) | ItemValue::Text(_) | ItemValue::Null => {
                None
            }
        }
    }

    /// A number that stands in the message as `text`.
    pub(crate) fn number(&mut self, value: f64, text: &str) -> ItemValue {
        if !number::is_long(text) {
            return ItemValue::Number(value);
        }
        self.has_long_number = true;
        let start = self.begin_text();
        self.texts.push_str(text);
        ItemValue::LongNumber(start..self.texts.len())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, Scalar<'_>)> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Counts what was left out.
    pub(crate) fn note_limits(&self, limits: &mut LimitCounters) {
        for (hit, limit) in [
            (self.too_many, Limit::ValuesPerMessage),
            (self.too_deep, Limit::JsonDepth),
            (self.name_too_long, Limit::MetricNameLength),
            (self.text_cut, Limit::TextLength),
        ] {
            if hit {
                limits.note(limit);
            }
        }
    }
}
