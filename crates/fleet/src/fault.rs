//! What is wrong with a device, kept where people can see it.

use crate::time::Timestamp;
use alloc::string::String;

/// What is wrong.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug)]
pub enum FaultKind {
    /// JSON was expected, and this is not.
    NotJson,
    /// Not UTF-8 text.
    NotText,
    /// Text, but for a character that is no UTF-8, or a byte-order mark. The rest counts.
    BadCharacter,
    /// The device's own clock shows a time before 2015, or one that is ahead of ours, or it stays behind
    /// by hours, or it has gone back. The time of arrival is used instead.
    ClockWrong,
    /// A number that is not finite, or too large for one.
    NotFinite,
    /// More values than are read from one message.
    TooManyValues,
    /// JSON that is nested too deeply.
    TooDeep,
    /// A payload that is too long to be read.
    PayloadTooLong,
    /// More metrics than are kept for one device.
    TooManyMetrics,
    /// A metric's name that is too long.
    NameTooLong,
    /// A latitude beyond 90 or a longitude beyond 180 degrees.
    PositionOutOfBounds,
    /// The device id in the payload is not the one in the topic.
    IdMismatch,
    /// A message that should report a presence, but reports none.
    UnknownPresence,
}

impl FaultKind {
    /// All of them, in declaration order.
    pub const ALL: [Self; 13] = [
        Self::NotJson,
        Self::NotText,
        Self::BadCharacter,
        Self::ClockWrong,
        Self::NotFinite,
        Self::TooManyValues,
        Self::TooDeep,
        Self::PayloadTooLong,
        Self::TooManyMetrics,
        Self::NameTooLong,
        Self::PositionOutOfBounds,
        Self::IdMismatch,
        Self::UnknownPresence,
    ];

    /// The kind as the server's API writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotJson => "not-json",
            Self::NotText => "not-text",
            Self::BadCharacter => "bad-character",
            Self::ClockWrong => "clock-wrong",
            Self::NotFinite => "not-finite",
            Self::TooManyValues => "too-many-values",
            Self::TooDeep => "too-deep",
            Self::PayloadTooLong => "payload-too-long",
            Self::TooManyMetrics => "too-many-metrics",
            Self::NameTooLong => "name-too-long",
            Self::PositionOutOfBounds => "position-out-of-bounds",
            Self::IdMismatch => "id-mismatch",
            Self::UnknownPresence => "unknown-presence",
        }
    }

    /// The kind of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// What is wrong, for people.
    pub const fn message(self) -> &'static str {
        match self {
            Self::NotJson => "payload is not JSON",
            Self::NotText => "payload is not text",
            Self::BadCharacter => "a character in the payload is no UTF-8, the rest counts",
            Self::ClockWrong => "the device's clock is wrong, arrival time is shown",
            Self::NotFinite => "a number is not finite, its value is left out",
            Self::TooManyValues => "too many values in one message, the rest is not shown",
            Self::TooDeep => "JSON is nested too deeply, the deep part is not shown",
            Self::PayloadTooLong => "payload is too long to be read",
            Self::TooManyMetrics => "too many metrics, further ones are not shown",
            Self::NameTooLong => "a metric's name is too long, its value is not shown",
            Self::PositionOutOfBounds => "the position is not on Earth",
            Self::IdMismatch => "the device id in the payload is not the one in the topic",
            Self::UnknownPresence => {
                "a registration says neither that the device is there nor that it left"
            }
        }
    }
}

/// One kind of fault at one device: when, how often, and what a payload with it looked like.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) first_at: Timestamp,
    pub(crate) last_at: Timestamp,
    pub(crate) count: u64,
    pub(crate) excerpt: String,
    pub(crate) detail: String,
}

/// Characters of a payload that are kept with a fault.
const EXCERPT_CHARS: usize = 80;

impl Fault {
    /// Bytes that one takes.
    pub(crate) const COST: usize = size_of::<Self>() + 240;

    /// What is wrong.
    pub const fn kind(&self) -> FaultKind {
        self.kind
    }

    /// What is wrong and where, for people: `a number is not finite, its value is left out: temp`. Holds
    /// names that the device gave, made safe to show.
    pub fn text(&self) -> String {
        let message = self.kind.message();
        if self.detail.is_empty() {
            return message.into();
        }
        [message, ": ", &self.detail].concat()
    }

    /// When it was first seen.
    pub const fn first_at(&self) -> Timestamp {
        self.first_at
    }

    /// When it was last seen.
    pub const fn last_at(&self) -> Timestamp {
        self.last_at
    }

    /// How often it was seen.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The start of a payload with this fault: at most 80 characters, control characters made
    /// visible. A payload that comes less than a second after the last one with this fault does not
    /// replace it.
    pub fn excerpt(&self) -> &str {
        &self.excerpt
    }
}

/// Which character of a payload is no UTF-8: `byte b0 at 4`, or `byte-order mark`.
pub(crate) fn bad_character(payload: &[u8]) -> String {
    let Err(error) = core::str::from_utf8(payload) else {
        return String::from("byte-order mark");
    };
    let at = error.valid_up_to();
    let byte = payload.get(at).copied().unwrap_or(0);
    let mut text = String::from("byte ");
    crate::text::push_hex(&mut text, byte.into());
    text.push_str(" at ");
    crate::text::push_decimal(&mut text, at);
    text
}

/// What [`Fault::text`] says behind the message of this kind.
pub(crate) fn detail_of(kind: FaultKind, text: &str) -> &str {
    let rest = text.strip_prefix(kind.message());
    let detail = rest.and_then(|rest| rest.strip_prefix(": "));
    crate::text::head(detail.unwrap_or(""), EXCERPT_CHARS * 13)
}

/// An excerpt that somebody else has made, no longer than ours are.
pub(crate) fn cut(excerpt: &str) -> &str {
    crate::text::head(excerpt, EXCERPT_CHARS * 13)
}

/// The beginning of a payload as safe text.
pub(crate) fn excerpt(payload: &[u8]) -> String {
    // Four bytes a character at most, and one more so that a cut shows.
    let head = &payload[..payload.len().min(EXCERPT_CHARS * 4 + 4)];
    crate::display::shorten(&String::from_utf8_lossy(head), EXCERPT_CHARS)
}
