//! Numbers and times as people read them.

/// A reading in short, at most twenty characters: four significant digits and at least one decimal,
/// without trailing zeros. Whole numbers are exact up to 15 digits, because a rounded counter or time
/// says nothing. Long ones have their digits in groups of three. A number that would be all zeros or
/// very long gets a power of ten.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    if is_whole(value) && size < 1e15 {
        return grouped(plain(format!("{value:.0}")));
    }
    if size != 0.0 && !(1e-4..1e7).contains(&size) {
        return power_of_ten(&format!("{value:.3e}"));
    }
    let decimals = match size {
        _ if size >= 100.0 => 1,
        _ if size >= 10.0 => 2,
        _ if size >= 1.0 => 3,
        _ => 4,
    };
    grouped(plain(format!("{value:.decimals$}")))
}

/// The width of a reading, in digits. The space between groups of digits is a narrow one.
pub fn width(text: &str) -> f64 {
    let widths = text
        .chars()
        .map(|letter| if letter == GAP { 0.4 } else { 1.0 });
    widths.sum()
}

/// Stands between groups of digits. No line breaks there.
const GAP: char = '\u{202f}';

/// A number of five digits or more in groups of three: `12 345.7`. Points and commas would mean
/// decimals to some readers, so a narrow space stands between the groups.
pub fn grouped(number: String) -> String {
    let end = number.find('.').unwrap_or(number.len());
    let start = usize::from(number.starts_with('-'));
    if end - start < 5 {
        return number;
    }
    let mut text = String::with_capacity(number.len() + 12);
    for (at, letter) in number.char_indices() {
        if at > start && at < end && (end - at).is_multiple_of(3) {
            text.push(GAP);
        }
        text.push(letter);
    }
    text
}

/// A reading with all its digits: the shortest text that means this number and no other.
pub fn exact(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    if size != 0.0 && !(1e-7..1e21).contains(&size) {
        return power_of_ten(&format!("{value:e}"));
    }
    plain(value.to_string())
}

/// The labels of an axis: all with as many decimals as tell them apart, and with `k`, `M`, `G` or `T`
/// if that is shorter.
pub fn axis(values: &[f64]) -> Vec<String> {
    const SCALES: [(f64, &str); 4] = [(1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")];
    const SHORT: usize = 5;

    let longest = |labels: &Vec<String>| labels.iter().map(String::len).max().unwrap_or(0);
    if values.iter().any(|value| value.abs() >= 1e15) {
        return values.iter().map(|value| number(*value)).collect();
    }
    let plain = scaled(values, 1.0, "");
    if longest(&plain) <= SHORT {
        return plain;
    }
    SCALES.iter().fold(plain, |best, (scale, letter)| {
        let labels = scaled(values, *scale, letter);
        if longest(&labels) < longest(&best) {
            labels
        } else {
            best
        }
    })
}

fn scaled(values: &[f64], scale: f64, letter: &str) -> Vec<String> {
    const MOST: i32 = 12;
    let step = values
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs())
        .filter(|step| *step > 0.0)
        .fold(f64::INFINITY, f64::min);
    // As many decimals as write the step.
    let enough = (0..MOST).find(|decimals| {
        let steps = step / scale * 10f64.powi(*decimals);
        !steps.is_finite() || (steps.round() >= 1.0 && (steps - steps.round()).abs() < 1e-4)
    });
    let decimals = usize::try_from(enough.unwrap_or(MOST)).unwrap_or(0);
    let label = |value: &f64| {
        if *value == 0.0 {
            return "0".to_owned();
        }
        format!("{:.decimals$}{letter}", value / scale)
    };
    values.iter().map(label).collect()
}

fn is_whole(value: f64) -> bool {
    value.fract() == 0.0
}

/// `1.200e19` as `1.2e19`.
fn power_of_ten(text: &str) -> String {
    match text.split_once('e') {
        Some((digits, power)) => format!("{}e{power}", plain(digits.to_owned())),
        None => text.to_owned(),
    }
}

/// A number without trailing zeros behind its point, and without a sign if it is zero.
fn plain(mut text: String) -> String {
    if text.contains('.') {
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
    }
    if text == "-0" { "0".to_owned() } else { text }
}

/// A length of time in its largest sensible unit: `now`, `12 s`, `5 min`, `3 h`, `2 d`.
pub fn duration(millis: i64) -> String {
    let seconds = millis.max(0) / 1_000;
    match seconds {
        0 => "now".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How long ago, to a second: `now`, `12 s ago`.
pub fn ago(millis: i64) -> String {
    let text = duration(millis);
    if text == "now" { text } else { text + " ago" }
}

/// A round trip: `<1 ms`, `34 ms`, `1.2 s`.
pub fn round_trip(millis: i64) -> String {
    match millis {
        ..=0 => "<1 ms".to_owned(),
        1..1_000 => format!("{millis} ms"),
        _ => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
    }
}

/// A size: `412 B`, `20 kB`, `1.4 MB`.
pub fn bytes(count: usize) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{} kB", count / 1_000),
        _ => format!("{}.{} MB", count / 1_000_000, count % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_short_and_true() {
        for (value, text) in [
            (23.6, "23.6"),
            (-18.0, "-18"),
            (1013.26, "1013.3"),
            (0.0, "0"),
            (-0.000_01, "-1e-5"),
            (-0.0, "0"),
            (0.123_456, "0.1235"),
            (3.217_89, "3.218"),
            (1_234.0, "1234"),
            (123_456_789.0, "123 456 789"),
            (123_456_789_012.0, "123 456 789 012"),
            (-100_000_000_000_000.0, "-100 000 000 000 000"),
            (1e15, "1e15"),
            (1.2e19, "1.2e19"),
            (-1.234_567e-12, "-1.235e-12"),
            (12_345.678, "12 345.7"),
            (-1_234.5, "-1234.5"),
            (12_345_678.9, "1.235e7"),
            (1_795_233_600.0, "1 795 233 600"),
            (1_795_233_600_123.0, "1 795 233 600 123"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), text.replace(' ', "\u{202f}"));
        }
    }

    #[test]
    fn no_reading_is_longer_than_its_place() {
        for power in -300..300 {
            for digits in [1.0, -1.234_567_890_1, 9.999_999_999, -5.5] {
                let text = number(digits * 10f64.powi(power));
                // A sign, fifteen digits, and four narrow spaces.
                assert!(text.chars().count() <= 20, "{text}");
            }
        }
    }

    #[test]
    fn a_gap_is_narrower_than_a_digit() {
        assert!((width(&number(-12_345.0)) - 6.4).abs() < 1e-9);
        assert!((width("on") - 2.0).abs() < 1e-9);
    }

    #[test]
    fn an_exact_reading_has_all_its_digits() {
        for (value, text) in [
            (12_345.678, "12345.678"),
            (1_795_233_600_123.0, "1795233600123"),
            (9_007_199_254_740_991.0, "9007199254740991"),
            (23.6, "23.6"),
            (-0.0, "0"),
            (1.2e300, "1.2e300"),
        ] {
            assert_eq!(exact(value), text);
        }
    }

    #[test]
    fn the_labels_of_an_axis_are_short_and_differ() {
        for (values, labels) in [
            (vec![0.0, 0.5, 1.0], vec!["0", "0.5", "1.0"]),
            (vec![-50.0, 0.0, 50.0], vec!["-50", "0", "50"]),
            (vec![1013.25, 1013.5], vec!["1013.25", "1013.50"]),
            (vec![0.0, 5e9, 1e10], vec!["0", "5G", "10G"]),
            (vec![0.0, 5e4, 1e5], vec!["0", "50k", "100k"]),
            (
                vec![1_795_233_600.0, 1_795_233_610.0],
                vec!["1795233600", "1795233610"],
            ),
            (vec![120_000.0, 120_500.0], vec!["120000", "120500"]),
            (vec![-0.0], vec!["0"]),
            (vec![], vec![]),
        ] {
            assert_eq!(axis(&values), labels);
        }
        assert_eq!(axis(&[0.0, 5e18]), ["0", "5e18"]);
    }

    #[test]
    fn times_are_in_their_largest_sensible_unit() {
        for (millis, text) in [
            (-5, "now"),
            (999, "now"),
            (12_400, "12 s ago"),
            (300_000, "5 min ago"),
            (7_200_000, "2 h ago"),
            (172_800_000, "2 d ago"),
        ] {
            assert_eq!(ago(millis), text);
        }
        assert_eq!(round_trip(0), "<1 ms");
        assert_eq!(round_trip(34), "34 ms");
        assert_eq!(round_trip(1_260), "1.2 s");
        assert_eq!(bytes(20_480), "20 kB");
        assert_eq!(bytes(1_450_000), "1.4 MB");
    }
}
