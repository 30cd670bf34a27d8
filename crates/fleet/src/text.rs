//! Small functions on strings, for which the standard library links more code.
//!
//! Indexing a string links the message of its panic with its tables of printable characters, and
//! `contains` a search for long needles: ten kilobytes in a widget, which gains nothing from them.

use core::ops::Range;

/// `text[range]`, or nothing if the range is not within `text` or cuts a character.
pub(crate) fn part(text: &str, range: Range<usize>) -> &str {
    text.get(range).unwrap_or("")
}

/// `text` up to `max` bytes, cut between characters.
pub(crate) fn head(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    part(text, 0..end)
}

/// Whether `word` stands somewhere in `text`; for short words.
pub(crate) fn contains(text: &str, word: &str) -> bool {
    let mut places = text.as_bytes().windows(word.len().max(1));
    places.any(|place| place == word.as_bytes())
}

/// Splits at the last slash: what stands before it and after it.
pub(crate) fn split_last_level(topic: &str) -> Option<(&str, &str)> {
    let slash = topic.bytes().rposition(|byte| byte == b'/')?;
    Some((part(topic, 0..slash), part(topic, slash + 1..topic.len())))
}

/// Appends `value` in decimal.
pub(crate) fn push_decimal(out: &mut alloc::string::String, value: usize) {
    if value >= 10 {
        push_decimal(out, value / 10);
    }
    out.push(char::from(b'0' + u8::try_from(value % 10).unwrap_or(0)));
}

/// Appends `value` in hexadecimal, without leading zeros.
pub(crate) fn push_hex(out: &mut alloc::string::String, value: u32) {
    if value >= 16 {
        push_hex(out, value / 16);
    }
    out.push(char::from_digit(value % 16, 16).unwrap_or('0'));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_cut_between_characters() {
        assert_eq!(head("aäö", 2), "a");
        assert_eq!(head("aäö", 3), "aä");
        assert_eq!(head("aäö", 99), "aäö");
        assert_eq!(part("aä", 2..3), "");
    }

    #[test]
    fn words_are_found_wherever_they_stand() {
        assert!(contains("xab", "ab") && contains("abx", "ab") && contains("ab", "ab"));
        assert!(!contains("a", "ab") && !contains("", "ab"));
    }

    #[test]
    fn topics_are_split_at_the_last_slash() {
        assert_eq!(split_last_level("a/b/ü"), Some(("a/b", "ü")));
        assert_eq!(split_last_level("/"), Some(("", "")));
        assert_eq!(split_last_level("a"), None);
    }

    #[test]
    fn hexadecimal_has_no_leading_zeros() {
        let mut out = alloc::string::String::new();
        push_hex(&mut out, 0x20_2e);
        push_hex(&mut out, 0);
        assert_eq!(out, "202e0");
    }
}
