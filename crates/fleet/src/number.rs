//! Decimal numbers to `f64`, small: the exact tables of the standard library's parser cost a
//! widget ten kilobytes.
//!
//! The result is exact whenever the digits fit 53 bits and the exponent is within ±22, which is
//! every reading a sensor makes; otherwise it is within four units in the last place.

use crate::TELEMETRY;

/// The number at the start of `text` and how many bytes it took. Accepts what JSON accepts and,
/// because people write them, a leading `+`, leading zeros, `.5` and `5.`. `None` when no digit
/// is there. The value may be infinite.
pub(crate) fn parse_prefix(text: &[u8]) -> Option<(f64, usize)> {
    let mut at = 0;
    let negative = match text.first() {
        Some(b'-') => {
            at = 1;
            true
        }
        Some(b'+') => {
            at = 1;
            false
        }
        Some(_) | None => false,
    };
    let mut mantissa: u64 = 0;
    let mut exponent: i32 = 0;
    let mut any = false;
    let mut fraction = false;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'0'..=b'9' => {
                any = true;
                let digit = u64::from(byte - b'0');
                if mantissa < 1_000_000_000_000_000_000 {
                    mantissa = mantissa * 10 + digit;
                    exponent = exponent.saturating_sub(i32::from(fraction));
                } else {
                    // The mantissa has no room for more digits. Those before the point still raise
                    // the exponent.
                    exponent = exponent.saturating_add(i32::from(!fraction));
                }
            }
            b'.' if !fraction => fraction = true,
            _ => break,
        }
        at += 1;
    }
    if !any {
        return None;
    }
    if let Some((written, length)) = parse_exponent(&text[at..]) {
        exponent = exponent.saturating_add(written);
        at += length;
    }
    // Without telemetry it only matters where the number ends.
    let value = if TELEMETRY {
        scale(mantissa, exponent)
    } else {
        0.0
    };
    Some((if negative { -value } else { value }, at))
}

/// The finite number that a person typed: what JSON accepts, or with a leading `+`, leading zeros, `.5` and
/// `5.`. It is exact up to 15 digits. `None` if there is anything else.
pub fn number_of(text: &str) -> Option<f64> {
    let (value, length) = parse_prefix(text.as_bytes())?;
    (length == text.len() && value.is_finite()).then_some(value)
}

/// A shorter text is none of a long number.
pub(crate) const LONG: usize = 16;

/// Whether the text of a number says more than an `f64` can hold: a whole number of 16 digits or more that
/// is not exact, or any of more than 17. A longer text than 64 bytes is none that anybody reads.
pub(crate) fn is_long(text: &str) -> bool {
    if !TELEMETRY || !(LONG..=64).contains(&text.len()) {
        return false;
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let whole = text.strip_prefix('-').unwrap_or(text);
    match whole.parse::<u64>() {
        // Whether the rounding changed anything is the question here.
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        Ok(value) => digits >= 16 && (value as f64) as u128 != u128::from(value),
        Err(_) => digits > 17 && !text.bytes().any(|byte| matches!(byte, b'e' | b'E')),
    }
}

/// The length of what programs write at the start of `text` instead of a number: a word that begins with
/// `nan` or `inf` in any case.
pub(crate) fn no_number(text: &[u8]) -> Option<usize> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let mut end = sign + 3;
    let word = text.get(sign..end)?;
    if !word.eq_ignore_ascii_case(b"nan") && !word.eq_ignore_ascii_case(b"inf") {
        return None;
    }
    while text.get(end).is_some_and(u8::is_ascii_alphabetic) {
        end += 1;
    }
    Some(end)
}

/// The exponent at the start of `text`, such as `e-12`, and its length.
fn parse_exponent(text: &[u8]) -> Option<(i32, usize)> {
    let (b'e' | b'E') = text.first()? else {
        return None;
    };
    let (sign, start) = match text.get(1)? {
        b'-' => (-1, 2),
        b'+' => (1, 2),
        _ => (1, 1),
    };
    let digits = text[start..].iter().take_while(|b| b.is_ascii_digit());
    let (value, count) = digits.fold((0i32, 0), |(value, count), byte| {
        let value = value
            .saturating_mul(10)
            .saturating_add(i32::from(byte - b'0'));
        (value.min(100_000), count + 1)
    });
    (count > 0).then_some((sign * value, start + count))
}

fn scale(mantissa: u64, exponent: i32) -> f64 {
    const EXACT: [f64; 23] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
        1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    ];
    if mantissa == 0 {
        return 0.0;
    }
    // A mantissa of more than 53 bits is rounded here. The module's head allows for that error.
    #[allow(clippy::cast_precision_loss)]
    let mut value = mantissa as f64;
    let mut left = exponent.unsigned_abs();
    while left > 0 && value != 0.0 && value.is_finite() {
        let step = left.min(22);
        let power = EXACT[step as usize];
        value = if exponent < 0 {
            value / power
        } else {
            value * power
        };
        left -= step;
    }
    value
}

#[cfg(test)]
#[cfg(feature = "telemetry")]
mod tests {
    use super::*;
    use alloc::string::ToString as _;
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<f64> {
        let (value, length) = parse_prefix(text.as_bytes())?;
        (length == text.len()).then_some(value)
    }

    #[test]
    fn what_sensors_send_is_exact() {
        for text in [
            "0",
            "-0",
            "23.6",
            "-88.625528",
            "48.015722",
            "1e3",
            "1E-3",
            "1795233600123",
            "0.1",
            "1013.25",
        ] {
            assert_eq!(
                parse(text).map(f64::to_bits),
                Some(text.parse::<f64>().unwrap().to_bits()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_people_write_is_read() {
        assert_eq!(parse("+5"), Some(5.0));
        assert_eq!(parse(".5"), Some(0.5));
        assert_eq!(parse("5."), Some(5.0));
        assert_eq!(parse("007"), Some(7.0));
        assert_eq!((number_of("+.5e1"), number_of("5 ")), (Some(5.0), None));
        assert_eq!((number_of("1e999"), number_of("NaN")), (None, None));
        assert_eq!(parse_prefix(b"21.5 C"), Some((21.5, 4)));
        assert_eq!(parse_prefix(b"1e"), Some((1.0, 1)));
        for text in ["", "-", ".", "e5", "x", "-.", "+-1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_huge_and_the_tiny_end() {
        assert_eq!(parse("1e999"), Some(f64::INFINITY));
        assert_eq!(parse("-1e99999999999"), Some(f64::NEG_INFINITY));
        assert_eq!(parse("1e-999999"), Some(0.0));
        assert_eq!(parse(&"9".repeat(5000)), Some(f64::INFINITY));
        assert_eq!(
            parse(&("0.".to_string() + &"0".repeat(5000) + "1")),
            Some(0.0)
        );
    }

    proptest! {
        #[test]
        fn short_decimals_are_exact(mantissa in -9_007_199_254_740_992i64..=9_007_199_254_740_992, places in 0usize..=22) {
            let text = alloc::format!("{mantissa}e-{places}");
            prop_assert_eq!(parse(&text), text.parse::<f64>().ok());
        }

        #[test]
        fn every_double_is_nearly_exact(value in -1e300f64..1e300) {
            let text = alloc::format!("{value:e}");
            let read = parse(&text).unwrap();
            prop_assert!((read - value).abs() <= value.abs() * 4.0 * f64::EPSILON, "{} {}", read, value);
        }
    }
}
