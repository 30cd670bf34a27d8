//! Times as RFC 3339 writes them, in UTC and with milliseconds.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A time, in milliseconds since 1970. In JSON it is a text such as `2026-12-01T08:30:00.250Z`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

const DAY_MS: i64 = 86_400_000;
/// The first millisecond of the year 10000, which four digits cannot write.
const END: i64 = 253_402_300_800_000;
/// The first millisecond of the year 0.
const BEGIN: i64 = -62_167_219_200_000;

/// The text is not a time of RFC 3339.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BadTime;

impl fmt::Display for BadTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a time such as 2026-12-01T08:30:00.250Z")
    }
}

impl core::error::Error for BadTime {}

impl fmt::Display for Time {
    /// A time outside of the years 0 to 9999 is written as the nearest one within.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.clamp(BEGIN, END - 1);
        let (year, month, day) = date(ms.div_euclid(DAY_MS));
        let ms = ms.rem_euclid(DAY_MS);
        let (hour, minute) = (ms / 3_600_000, ms / 60_000 % 60);
        let (second, millis) = (ms / 1000 % 60, ms % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

impl FromStr for Time {
    type Err = BadTime;

    /// Reads a time with any number of digits behind the second, and with `Z` or an offset. Digits
    /// below a millisecond are dropped.
    fn from_str(text: &str) -> Result<Self, BadTime> {
        read(text.as_bytes()).ok_or(BadTime)
    }
}

fn read(text: &[u8]) -> Option<Time> {
    let (head, rest) = text.split_at_checked(19)?;
    for (at, mark) in [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')] {
        if head[at] != mark {
            return None;
        }
    }
    if !matches!(head[10], b'T' | b't' | b' ') {
        return None;
    }
    let (year, month, day) = (
        number(&head[..4])?,
        number(&head[5..7])?,
        number(&head[8..10])?,
    );
    let (hour, minute, second) = (
        number(&head[11..13])?,
        number(&head[14..16])?,
        number(&head[17..19])?,
    );
    let fits = (1..=12).contains(&month) && hour < 24 && minute < 60 && second <= 60;
    let days = days(year, month, day);
    if !fits || date(days) != (year, month, day) {
        return None;
    }
    let (millis, rest) = fraction(rest)?;
    let offset = offset_minutes(rest)?;
    let minutes = hour * 60 + minute - offset;
    let ms = days * DAY_MS + minutes * 60_000 + second.min(59) * 1000 + millis;
    Some(Time(ms))
}

/// The milliseconds, and what stands behind them.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let len = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = digits.split_at(len);
    if digits.is_empty() {
        return None;
    }
    let kept = digits.iter().chain(b"00").take(3);
    let millis = kept.fold(0, |all, digit| all * 10 + i64::from(digit - b'0'));
    Some((millis, rest))
}

fn offset_minutes(text: &[u8]) -> Option<i64> {
    match text {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), hour @ .., b':', tens, ones] if hour.len() == 2 => {
            let (hours, minutes) = (number(hour)?, number(&[*tens, *ones])?);
            let offset = hours * 60 + minutes;
            (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |all, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        Some(all * 10 + digit)
    })
}

/// The days from 1970 to a date. See Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date that comes so many days after 1970-01-01.
const fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let part = (5 * of_year + 2) / 153;
    let month = if part < 10 { part + 3 } else { part - 9 };
    let day = of_year - (153 * part + 2) / 5 + 1;
    let year = year + era * 400;
    (if month <= 2 { year + 1 } else { year }, month, day)
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as 2026-12-01T08:30:00.250Z")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text).map_err(D::Error::custom)
    }
}

/// The time as a text.
impl From<Time> for String {
    fn from(time: Time) -> Self {
        alloc::format!("{time}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    #[test]
    fn known_times_are_written_and_read() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_001, "2000-02-29T00:00:00.001Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (1_796_113_800_250, "2026-12-01T08:30:00.250Z"),
            (END - 1, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Time(ms).to_string(), text);
            assert_eq!(text.parse(), Ok(Time(ms)), "{text}");
        }
        assert_eq!(Time(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Time(i64::MIN).to_string(), "0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn offsets_and_fractions_are_understood() {
        for (text, ms) in [
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31t23:30:00.5-00:30", 500),
            ("1970-01-01 00:00:00.123456Z", 123),
        ] {
            assert_eq!(text.parse(), Ok(Time(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-12-01",
            "2026-12-01T08:30:00",
            "2026-13-01T08:30:00Z",
            "2026-02-30T08:30:00Z",
            "2026-12-01T24:30:00Z",
            "2026-12-01T08:30:00.Z",
            "2026-12-01T08:30:00+1:00",
            "2026-12-01T08:30:00Zulu",
            "äääää-ää-ääTää:ää:ääZ",
        ] {
            assert_eq!(text.parse::<Time>(), Err(BadTime), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ms in BEGIN..END) {
            prop_assert_eq!(Time(ms).to_string().parse(), Ok(Time(ms)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Time>();
        }
    }
}
