//! How long each state lasted.
//!
//! As a text: for each state its milliseconds, the length of its name in bytes, and its name, with a colon
//! behind each number: `59000:4:open`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::Millis;
use crate::damage::Damage;
use crate::value::{OwnedValue, Value};

/// How long each state lasted, in buckets of one length that begin with its multiples.
#[derive(Debug)]
pub struct StateTimes {
    every: Millis,
    /// Bytes of the names in all buckets.
    bytes: usize,
    by_bucket: BTreeMap<Millis, BTreeMap<Box<str>, Millis>>,
    /// The state that lasts, and since when.
    now: Option<(Millis, OwnedValue)>,
}

/// A state that lasts longer than this without a word is not believed to. What lasts is said once a day.
const LONGEST: Millis = 2 * 86_400_000;
/// The most buckets with times of states: three weeks of minutes. The rows of a day, as they are sealed, have
/// fewer; a clock that jumps about must not make millions.
const MOST: usize = 1 << 15;
/// The most states that are written of a bucket: those that lasted longest. A text that is never the same is no
/// state.
const MOST_STATES: usize = 64;
/// The most bytes of names in all buckets together. The time of further ones counts as that of other states.
const MOST_BYTES: usize = 4 << 20;
/// The name of all states beyond [`MOST_STATES`] together.
pub const OTHER_STATES: &str = "\u{2026}";

impl StateTimes {
    /// No times yet, in buckets of so many milliseconds.
    pub fn new(every: Millis) -> Self {
        Self {
            every: every.max(1),
            bytes: 0,
            by_bucket: BTreeMap::new(),
            now: None,
        }
    }

    /// A state begins, and the one before ends. The values come in the order of their times. A number is no state.
    pub fn push(&mut self, time: Millis, value: Value<'_>) {
        if self
            .now
            .as_ref()
            .is_some_and(|(_, now)| now.borrow().is_same(value))
        {
            return;
        }
        self.end(time);
        match value {
            Value::Bool(_) | Value::Text(_) => self.now = Some((time, value.owned())),
            Value::Number(_) | Value::Integer(_) => {}
        }
    }

    /// The state ends. It counts, unless it is said to have lasted for days without a word.
    pub fn end(&mut self, time: Millis) {
        let Some((mut since, state)) = self.now.take() else {
            return;
        };
        if time.saturating_sub(since) > LONGEST {
            return;
        }
        let name = match &state {
            OwnedValue::Bool(true) => "true",
            OwnedValue::Bool(false) => "false",
            OwnedValue::Text(text) => text,
            OwnedValue::Number(_) | OwnedValue::Integer(_) => return,
        };
        while since < time && self.by_bucket.len() < MOST {
            let start = since.saturating_sub(since.rem_euclid(self.every));
            let end = start.saturating_add(self.every).min(time);
            self.add(start, name, end - since);
            since = end;
        }
    }

    /// Adds time of a state, of the bucket in which this time is.
    pub fn add(&mut self, time: Millis, state: &str, ms: Millis) {
        let start = time.saturating_sub(time.rem_euclid(self.every));
        let bucket = self.by_bucket.entry(start).or_default();
        if let Some(sum) = bucket.get_mut(state) {
            *sum = sum.saturating_add(ms);
            return;
        }
        let more = size_of::<(Box<str>, Millis)>() + state.len();
        let has_room = self.bytes + more <= MOST_BYTES;
        let state = if has_room { state } else { OTHER_STATES };
        self.bytes += if has_room { more } else { 0 };
        let sum = bucket.entry(state.into()).or_default();
        *sum = sum.saturating_add(ms);
    }

    /// Each bucket that has any, with its states in the order of their names, and how long each lasted. Of more
    /// than 64 states, those that lasted shortest are one, [`OTHER_STATES`].
    pub fn finish(self) -> impl Iterator<Item = (Millis, Vec<(Box<str>, Millis)>)> {
        self.by_bucket
            .into_iter()
            .map(|(start, states)| (start, longest(states)))
    }

    /// Gives each bucket as a text.
    pub(super) fn write(self, sink: &mut dyn FnMut(Millis, &str)) {
        for (start, states) in self.finish() {
            let mut text = String::new();
            for (state, ms) in states {
                // Writing into a string cannot fail.
                let _ = write!(text, "{ms}:{}:{state}", state.len());
            }
            sink(start, &text);
        }
    }
}

fn longest(states: BTreeMap<Box<str>, Millis>) -> Vec<(Box<str>, Millis)> {
    let mut states: Vec<(Box<str>, Millis)> = states.into_iter().collect();
    if states.len() > MOST_STATES {
        states.sort_by_key(|(name, ms)| (&**name == OTHER_STATES, std::cmp::Reverse(*ms)));
        let others = states.drain(MOST_STATES - 1..).map(|(_, ms)| ms);
        let others = others.fold(0, Millis::saturating_add);
        states.push((OTHER_STATES.into(), others));
        states.sort();
    }
    states
}

/// Reads what [`StateTimes::write`] has written for a bucket.
pub(super) fn read(text: &str, sink: &mut dyn FnMut(&str, Millis)) -> Result<(), Damage> {
    let mut rest = text;
    while !rest.is_empty() {
        let (ms, behind) = rest.split_once(':').ok_or(Damage::Content)?;
        let (len, behind) = behind.split_once(':').ok_or(Damage::Content)?;
        let len = len.parse().map_err(|_| Damage::Content)?;
        let (state, behind) = behind.split_at_checked(len).ok_or(Damage::Content)?;
        sink(state, ms.parse().map_err(|_| Damage::Content)?);
        rest = behind;
    }
    Ok(())
}
