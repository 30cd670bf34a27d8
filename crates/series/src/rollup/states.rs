//! How long each state lasted.
//!
//! As a text: for each state its milliseconds, the length of its name in bytes, and its name, with a colon
//! behind each number: `59000:4:open`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Level;
use crate::Millis;
use crate::damage::Damage;
use crate::value::{OwnedValue, Value};

/// Times by bucket and state.
#[derive(Debug, Default)]
pub(super) struct StateTimes {
    by_bucket: BTreeMap<Millis, BTreeMap<Box<str>, Millis>>,
    /// The state that lasts, and since when.
    now: Option<(Millis, OwnedValue)>,
}

/// A state that lasts longer than this without a word is not believed to. What lasts is said once a day.
const LONGEST: Millis = 2 * 86_400_000;
/// The most buckets with times of states: three weeks of minutes. The rows of a day, as they are sealed, have
/// fewer; a clock that jumps about must not make millions.
const MOST: usize = 1 << 15;

impl StateTimes {
    /// A state begins, and the one before ends.
    pub(super) fn push(&mut self, level: Level, time: Millis, value: Value<'_>) {
        if self
            .now
            .as_ref()
            .is_some_and(|(_, now)| now.borrow().is_same(value))
        {
            return;
        }
        self.end(level, time);
        self.now = Some((time, value.owned()));
    }

    /// The state ends.
    pub(super) fn end(&mut self, level: Level, time: Millis) {
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
            let start = level.bucket(since);
            let end = start.saturating_add(level.millis()).min(time);
            self.add(start, name, end - since);
            since = end;
        }
    }

    /// Adds time of a state.
    pub(super) fn add(&mut self, start: Millis, state: &str, ms: Millis) {
        let bucket = self.by_bucket.entry(start).or_default();
        match bucket.get_mut(state) {
            Some(sum) => *sum = sum.saturating_add(ms),
            None => drop(bucket.insert(state.into(), ms)),
        }
    }

    /// Gives each bucket as a text.
    pub(super) fn write(&self, sink: &mut dyn FnMut(Millis, &str)) {
        for (start, states) in &self.by_bucket {
            let mut text = String::new();
            for (state, ms) in states {
                // Writing into a string cannot fail.
                let _ = write!(text, "{ms}:{}:{state}", state.len());
            }
            sink(*start, &text);
        }
    }
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
