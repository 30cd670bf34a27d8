//! Makes untrusted names safe to show.

use crate::text::{part, push_hex};
use alloc::string::String;

/// `text` as it may be shown: at most `max_chars` characters (a longer one loses its middle),
/// control, bidirectional and invisible characters made visible, and isolated when it contains
/// right-to-left letters, so that it cannot reorder what stands beside it.
///
/// This is not HTML escaping: put the result into the page as text, never as markup.
///
/// ```
/// assert_eq!(fleet::display::shorten("weather-03", 40), "weather-03");
/// assert_eq!(fleet::display::shorten("abcdefghij", 5), "ab…ij");
/// assert_eq!(fleet::display::shorten("a\u{202e}b\n", 40), "a‹202e›b␊");
/// ```
pub fn shorten(text: &str, max_chars: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(max_chars.saturating_mul(4)));
    let mut right_to_left = false;
    let mut push = |c: char| {
        right_to_left |= is_right_to_left(c);
        push_visible(&mut shown, c);
    };
    // One more than fits is enough to know that it does not; a long text is not walked.
    let fits = text.len() <= max_chars || text.chars().nth(max_chars).is_none();
    if fits {
        text.chars().for_each(&mut push);
    } else {
        let tail = max_chars.saturating_sub(1) / 2;
        let head = max_chars.saturating_sub(1) - tail;
        text.chars().take(head).for_each(&mut push);
        push('…');
        let tail_start = (text.char_indices().rev()).take(tail).last();
        let tail_start = tail_start.map_or(text.len(), |(index, _)| index);
        part(text, tail_start..text.len())
            .chars()
            .for_each(&mut push);
    }
    if right_to_left {
        // The marks "first strong isolate" before and "pop directional isolate" behind.
        shown.insert(0, '\u{2068}');
        shown.push('\u{2069}');
    }
    shown
}

fn push_visible(out: &mut String, c: char) {
    match c {
        '\0'..='\u{1f}' => out.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('␦')),
        '\u{7f}' => out.push('␡'),
        _ if is_invisible(c) => {
            out.push('‹');
            push_hex(out, u32::from(c));
            out.push('›');
        }
        _ => out.push(c),
    }
}

/// C1 controls, marks, embeddings, overrides and isolates, zero-width characters (but not the
/// joiner and the selectors that emoji are built with), line separators, tags, noncharacters.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}'
            | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// Letters that are strongly right to left (Hebrew to Arabic extended, presentation forms, the
/// right-to-left planes).
const fn is_right_to_left(c: char) -> bool {
    matches!(
        c,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}'
            | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_id_loses_its_middle() {
        let long = "x".repeat(2000) + &"y".repeat(2000);
        let shown = shorten(&long, 41);
        assert_eq!(shown.chars().count(), 41);
        assert!(shown.starts_with("xxx") && shown.contains('…') && shown.ends_with("yyy"));
    }

    #[test]
    fn limits_of_no_use_do_no_harm() {
        assert_eq!(shorten("abc", 0), "…");
        assert_eq!(shorten("abc", 1), "…");
        assert_eq!(shorten("abc", 2), "a…");
        assert_eq!(shorten("abc", 3), "abc");
        assert_eq!(shorten("", 0), "");
        assert_eq!(shorten("äöü", 3), "äöü");
    }

    #[test]
    fn emoji_survive_and_controls_are_shown() {
        assert_eq!(shorten("👩‍🚀️ok", 40), "👩‍🚀️ok");
        assert_eq!(shorten("a\0b\u{7f}c\u{9f}", 40), "a␀b␡c‹9f›");
        assert_eq!(shorten("<script>\"'&", 40), "<script>\"'&");
    }

    #[test]
    fn right_to_left_text_is_isolated_and_overrides_are_shown() {
        assert_eq!(shorten("חיישן", 40), "\u{2068}חיישן\u{2069}");
        assert_eq!(shorten("\u{2069}x\u{202e}", 40), "‹2069›x‹202e›");
    }
}
