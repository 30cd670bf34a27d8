//! Whether a device's own clock can be believed, judged by several of its messages.
//!
//! One message with an old time may be from a backlog: the device stored it while it could not send. A
//! clock that is wrong shows in two ways. All messages are late by the same time, while the messages of a
//! backlog catch up. Or a time goes back although the message comes in the device's usual rhythm, while
//! a backlog comes in a burst.

use crate::time::Timestamp;
use alloc::string::String;

/// What a device's own clock has shown in its live messages.
#[derive(Clone, Debug)]
pub(crate) struct ClockWatch {
    /// The newest time that a value got: by the device's clock, or by arrival when that was wrong.
    newest: Timestamp,
    /// When the last message with a time came.
    last: Timestamp,
    /// When the first of those messages came that are late by the same time.
    since: Timestamp,
    late_ms: i64,
    messages: u8,
    /// The clock is wrong.
    wrong: bool,
}

/// So many messages, over so many milliseconds or more, that are late by the same time, tell a clock that
/// is behind.
const ENOUGH_MESSAGES: u8 = 3;
const ENOUGH_MS: i64 = 2000;

impl ClockWatch {
    pub(crate) const NEW: Self = Self {
        newest: Timestamp(i64::MIN),
        last: Timestamp(i64::MIN),
        since: Timestamp(i64::MIN),
        late_ms: 0,
        messages: 0,
        wrong: false,
    };

    /// A message that came now says that it is of `at`. Returns whether that can be believed.
    /// `interval_ms` is the time that usually passes between two messages.
    pub(crate) fn believes(
        &mut self,
        now: Timestamp,
        at: Timestamp,
        max_behind_ms: i64,
        interval_ms: impl FnOnce() -> Option<i64>,
    ) -> bool {
        let late_ms = now.ms_since(at);
        let went_back = at < self.newest;
        let passed_ms = now.ms_since(self.last);
        self.last = now;
        if !went_back && late_ms <= max_behind_ms {
            self.messages = 0;
            self.wrong = false;
        } else {
            let passed = now.ms_since(self.since);
            let same = late_ms.saturating_sub(self.late_ms).saturating_abs();
            if self.messages > 0 && same <= (passed / 8).saturating_add(2000) {
                self.messages = self.messages.saturating_add(1);
                self.wrong |= self.messages >= ENOUGH_MESSAGES && passed >= ENOUGH_MS;
            } else {
                self.since = now;
                self.late_ms = late_ms;
                self.messages = 1;
                self.wrong = false;
            }
            self.wrong |=
                went_back && interval_ms().is_some_and(|interval| passed_ms >= interval / 4 * 3);
        }
        self.newest = self.newest.max(if self.wrong { now } else { at });
        !self.wrong
    }
}

/// How far a clock is behind, for people: `3 h behind`.
pub(crate) fn behind(ms: i64) -> String {
    let seconds = ms / 1000;
    let (number, unit) = match seconds {
        172_800.. => (seconds / 86_400, " d behind"),
        7_200.. => (seconds / 3600, " h behind"),
        120.. => (seconds / 60, " min behind"),
        _ => (seconds, " s behind"),
    };
    let mut text = String::new();
    crate::text::push_decimal(&mut text, usize::try_from(number).unwrap_or(0));
    text.push_str(unit);
    text
}
