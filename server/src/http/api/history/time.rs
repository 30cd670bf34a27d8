//! Times in questions.

use api::fleet::Time;

use super::super::ApiError;
use super::super::query::Parameters;

pub(super) const TIMES: &str =
    "a time such as 2026-12-01T08:30:00Z, milliseconds since 1970, now, or now-90m";
const DAY: i64 = 86_400_000;
/// Ranges are not longer than this: thirty years.
const LONGEST: i64 = 30 * 366 * DAY;

/// Reads a time. `now` may be followed by a sign and a length such as `90m` or `7d`.
pub(super) fn parse(text: &str, now: i64) -> Option<i64> {
    if let Some(rest) = text.strip_prefix("now") {
        if rest.is_empty() {
            return Some(now);
        }
        // In an address a plus is a space.
        let ahead = rest.strip_prefix('+').or_else(|| rest.strip_prefix(' '));
        return match (rest.strip_prefix('-'), ahead) {
            (Some(length), _) => now.checked_sub(length_of(length)?),
            (None, Some(length)) => now.checked_add(length_of(length)?),
            (None, None) => None,
        };
    }
    if let Ok(ms) = text.parse::<i64>() {
        return Some(ms);
    }
    // A plus of an offset has become a space.
    let text = text.replace(' ', "+");
    text.parse::<Time>().ok().map(|time| time.0)
}

/// A length such as `90m`, `1h` or `7d`, in milliseconds.
pub(super) fn length_of(text: &str) -> Option<i64> {
    let length = humantime::parse_duration(text).ok()?;
    i64::try_from(length.as_millis())
        .ok()
        .filter(|ms| (1..=LONGEST).contains(ms))
}

/// The parameters `from` and `to`. Without `to`: until now. Without `from`: `default` before `to`.
pub(super) fn range(
    given: &mut Parameters,
    now: i64,
    default: i64,
) -> Result<(i64, i64), ApiError> {
    let to = given
        .parsed("to", TIMES, |text| parse(text, now))?
        .unwrap_or(now);
    let from = given.parsed("from", TIMES, |text| parse(text, now))?;
    let from = from.unwrap_or(to.saturating_sub(default));
    if from < to && to.saturating_sub(from) <= LONGEST {
        Ok((from, to))
    } else {
        Err(ApiError::BadParameter {
            name: "from",
            expected: "before the parameter to, by at most thirty years",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let now = 1_795_233_600_000;
        for (text, expected) in [
            ("now", Some(now)),
            ("now-90m", Some(now - 90 * 60_000)),
            ("now+1h", Some(now + 3_600_000)),
            ("now-7d", Some(now - 7 * DAY)),
            ("1795233600000", Some(now)),
            ("2026-11-21T04:00:00Z", Some(now)),
            ("2026-11-21T05:00:00 01:00", Some(now)),
            ("now-", None),
            ("now-x", None),
            ("nowhere", None),
            ("", None),
            ("12:00", None),
        ] {
            assert_eq!(parse(text, now), expected, "{text}");
        }
    }
}
