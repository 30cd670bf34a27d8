//! Numbers and times as people read them.

/// A reading in short: four significant digits and at least one decimal, without trailing zeros. A
/// number that would be all zeros or very long gets a power of ten.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    if size != 0.0 && !(1e-4..1e9).contains(&size) {
        return format!("{value:.3e}");
    }
    let decimals = match size {
        _ if size >= 100.0 => 1,
        _ if size >= 10.0 => 2,
        _ if size >= 1.0 => 3,
        _ => 4,
    };
    let mut text = format!("{value:.decimals$}");
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
            (-0.000_01, "-1.000e-5"),
            (-0.0, "0"),
            (0.123_456, "0.1235"),
            (3.217_89, "3.218"),
            (123_456_789.0, "123456789"),
            (1e12, "1.000e12"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), text);
        }
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
