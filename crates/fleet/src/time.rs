//! Wall-clock instants, and whether a device's own clock can be believed.

use core::time::Duration;

/// Milliseconds since the Unix epoch, by the wall clock of the observer.
///
/// All arithmetic saturates, so no input can overflow it.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This instant moved by `ms` milliseconds (backwards when negative).
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// This instant moved forward by `duration`.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        self.plus_ms(millis(duration))
    }

    /// Milliseconds from `earlier` to this instant; negative when `earlier` is later.
    pub const fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A duration in whole milliseconds, saturating.
pub(crate) fn millis(duration: Duration) -> i64 {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    seconds
        .saturating_mul(1000)
        .saturating_add(i64::from(duration.subsec_millis()))
}

/// What a message's own time field says.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) enum OwnClock {
    /// A plausible instant.
    At(Timestamp),
    /// A clock that was never set (before 2015) or that runs ahead of ours.
    Wrong,
    /// It says nothing certain: it has no zone, or is no time at all.
    Unusable,
}

/// Before this, a device's clock was never set: 2015-01-01T00:00:00Z.
const OLDEST_SANE: Timestamp = Timestamp(1_420_070_400_000);

fn judge(at: Timestamp, now: Timestamp, max_ahead_ms: i64) -> OwnClock {
    if at < OLDEST_SANE || at > now.plus_ms(max_ahead_ms) {
        OwnClock::Wrong
    } else {
        OwnClock::At(at)
    }
}

/// A number in seconds, milliseconds, microseconds or nanoseconds, told apart by its size: the
/// four never overlap for years between 1973 and 5138.
pub(crate) fn own_clock_from_number(value: f64, now: Timestamp, max_ahead_ms: i64) -> OwnClock {
    if !(0.0..1e20).contains(&value) {
        return OwnClock::Wrong;
    }
    let ms = if value < 1e11 {
        value * 1e3
    } else if value < 1e14 {
        value
    } else if value < 1e17 {
        value / 1e3
    } else {
        value / 1e6
    };
    // The value is below 1e14, so the conversion loses only a fraction.
    #[allow(clippy::cast_possible_truncation)]
    judge(Timestamp(ms as i64), now, max_ahead_ms)
}

/// `2026-11-21T04:00:51.250+01:00`, `… 04:00:51Z`. Without a zone the text says nothing certain
/// (Tasmota sends its local time), so only an absurd year counts as wrong.
pub(crate) fn own_clock_from_text(text: &str, now: Timestamp, max_ahead_ms: i64) -> OwnClock {
    match parse_iso(text.as_bytes()) {
        Some((at, true)) => judge(at, now, max_ahead_ms),
        Some((at, false)) if at < OLDEST_SANE => OwnClock::Wrong,
        Some((_, false)) | None => OwnClock::Unusable,
    }
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0i64, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + i64::from(byte - b'0'))
    })
}

/// The instant and whether a zone was given.
fn parse_iso(b: &[u8]) -> Option<(Timestamp, bool)> {
    if b.len() < 19 || b.len() > 40 {
        return None;
    }
    if b[4] != b'-' || b[7] != b'-' || !matches!(b[10], b'T' | b't' | b' ') {
        return None;
    }
    if b[13] != b':' || b[16] != b':' {
        return None;
    }
    let (year, month, day) = (digits(&b[0..4])?, digits(&b[5..7])?, digits(&b[8..10])?);
    let (hour, minute, second) = (
        digits(&b[11..13])?,
        digits(&b[14..16])?,
        digits(&b[17..19])?,
    );
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = &b[19..];
    let mut fraction = 0;
    if let [b'.' | b',', tail @ ..] = rest {
        let count = tail.iter().take_while(|c| c.is_ascii_digit()).count();
        let mut scale = 100;
        for digit in &tail[..count.min(3)] {
            fraction += i64::from(digit - b'0') * scale;
            scale /= 10;
        }
        rest = &tail[count..];
    }
    let offset_minutes = match rest {
        [] => None,
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), zone @ ..] => {
            let (hours, minutes) = match zone.len() {
                2 => (digits(zone)?, 0),
                4 => (digits(&zone[..2])?, digits(&zone[2..])?),
                5 if zone[2] == b':' => (digits(&zone[..2])?, digits(&zone[3..])?),
                _ => return None,
            };
            let minutes = hours * 60 + minutes;
            Some(if *sign == b'-' { -minutes } else { minutes })
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let seconds = seconds - offset_minutes.unwrap_or(0) * 60;
    Some((
        Timestamp(seconds * 1000 + fraction),
        offset_minutes.is_some(),
    ))
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, for years 0 to 9999: years are
/// counted from March so that the leap day is a year's last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_233_600_000); // 2026-11-21T04:00:00Z

    #[test]
    fn iso_8601_is_read_with_its_zone() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2026-11-21T04:00:00Z", NOW.0),
            ("2026-11-21 05:00:00+01:00", NOW.0),
            ("2026-11-21T01:30:00-0230", NOW.0),
            ("2026-11-21T04:00:00.25Z", NOW.0 + 250),
            ("2026-11-21T04:00:00.123456789Z", NOW.0 + 123),
        ] {
            assert_eq!(
                parse_iso(text.as_bytes()),
                Some((Timestamp(ms), true)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_time_without_zone_is_not_used() {
        let text = "2026-11-21T09:00:00";
        assert_eq!(own_clock_from_text(text, NOW, 0), OwnClock::Unusable);
        let text = "1970-01-01T00:00:12";
        assert_eq!(own_clock_from_text(text, NOW, 0), OwnClock::Wrong);
    }

    #[test]
    fn nonsense_is_unusable() {
        for text in [
            "",
            "12:30",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-11-21T04:00:00+1:0",
        ] {
            assert_eq!(
                own_clock_from_text(text, NOW, 0),
                OwnClock::Unusable,
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_are_read_by_their_size() {
        for value in [
            1_795_233_600.0,
            1_795_233_600e3,
            1_795_233_600e6,
            1_795_233_600e9,
        ] {
            assert_eq!(
                own_clock_from_number(value, NOW, 0),
                OwnClock::At(NOW),
                "{value}"
            );
        }
        assert_eq!(
            own_clock_from_number(1_795_233_600.5, NOW, 1000),
            OwnClock::At(Timestamp(NOW.0 + 500))
        );
    }

    #[test]
    fn clocks_of_1970_and_of_the_future_are_wrong() {
        for value in [
            0.0,
            12.0,
            86_400.0,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            1_795_234_000.0,
        ] {
            assert_eq!(
                own_clock_from_number(value, NOW, 60_000),
                OwnClock::Wrong,
                "{value}"
            );
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp(i64::MAX).plus_ms(1), Timestamp(i64::MAX));
        assert_eq!(Timestamp(i64::MIN).ms_since(Timestamp(i64::MAX)), i64::MIN);
        assert_eq!(millis(Duration::MAX), i64::MAX);
    }
}
