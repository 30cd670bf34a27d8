//! Source text with its comments and strings blanked out, so that brackets can be counted; and a
//! list of those comments and strings.

/// A comment or a string.
#[derive(Debug)]
pub(super) struct Text {
    /// Where it begins, with its marks.
    pub(super) at: usize,
    end: usize,
    pub(super) comment: bool,
}

#[derive(Debug)]
pub(super) struct Masked<'a> {
    pub(super) source: &'a str,
    /// As long as the source, so offsets are the same in both.
    pub(super) code: String,
    pub(super) texts: Vec<Text>,
}

impl Text {
    /// Its text without its marks.
    pub(super) fn content<'a>(&self, source: &'a str) -> &'a str {
        let whole = &source[self.at..self.end];
        if self.comment {
            whole
        } else {
            whole
                .trim_start_matches(['b', 'c', 'r'])
                .trim_matches('#')
                .trim_matches(['"', '\'', '`'])
        }
    }
}

impl<'a> Masked<'a> {
    pub(super) fn rust(source: &'a str) -> Self {
        Self::of(source, rust_text)
    }

    pub(super) fn javascript(source: &'a str) -> Self {
        Self::of(source, javascript_text)
    }

    /// `text` says whether a comment or a string begins at an offset. It returns its length, and
    /// which it is.
    fn of(source: &'a str, text: fn(&str, usize) -> Option<(usize, bool)>) -> Self {
        let mut texts = Vec::new();
        let mut code = source.as_bytes().to_vec();
        let mut at = 0;
        while at < source.len() {
            let Some((length, comment)) = text(source, at) else {
                at += 1;
                continue;
            };
            let end = (at + length).min(source.len());
            texts.push(Text { at, end, comment });
            for byte in &mut code[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
            at = end;
        }
        // Characters outside of ASCII do not matter here, and some may have been cut.
        code.iter_mut()
            .filter(|byte| !byte.is_ascii())
            .for_each(|byte| *byte = b' ');
        Self {
            source,
            code: String::from_utf8(code).unwrap_or_default(),
            texts,
        }
    }
}

fn rust_text(source: &str, at: usize) -> Option<(usize, bool)> {
    let bytes = source.as_bytes();
    let rest = &bytes[at..];
    if let Some(length) = comment(rest) {
        return Some((length, true));
    }
    if at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_') {
        return match rest[0] {
            b'"' => Some((quoted(rest, b'"'), false)),
            _ => None,
        };
    }
    let prefix = rest.iter().take_while(|b| b"bcr".contains(b)).count();
    let raw = rest[..prefix].contains(&b'r');
    let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
    match rest.get(prefix + hashes) {
        Some(b'"') if raw => {
            let body = prefix + hashes + 1;
            let mark = [&b"\""[..], &vec![b'#'; hashes]].concat();
            let end = rest[body..]
                .windows(mark.len())
                .position(|window| window == mark)
                .map_or(rest.len(), |found| body + found + mark.len());
            Some((end, false))
        }
        Some(b'"') if hashes == 0 => Some((prefix + quoted(&rest[prefix..], b'"'), false)),
        Some(b'\'') if hashes == 0 => {
            character(&source[at + prefix..]).map(|length| (prefix + length, false))
        }
        _ => None,
    }
}

/// The length of a quoted character. `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.get(1) == Some(&b'\\') {
        return Some(quoted(bytes, b'\''));
    }
    let length = text.chars().nth(1)?.len_utf8();
    (bytes.get(1 + length) == Some(&b'\'')).then_some(length + 2)
}

fn javascript_text(source: &str, at: usize) -> Option<(usize, bool)> {
    let rest = &source.as_bytes()[at..];
    if let Some(length) = comment(rest) {
        return Some((length, true));
    }
    match rest[0] {
        mark @ (b'"' | b'\'' | b'`') => Some((quoted(rest, mark), false)),
        b'/' => {
            // This is a pattern, unless something that can be divided stands before it.
            let before = source[..at].trim_end().chars().next_back();
            let pattern = before.is_none_or(|c| "(,=:[!&|?{};>+\n".contains(c));
            pattern.then(|| (regular_expression(rest), false))
        }
        _ => None,
    }
}

/// The length of the pattern that begins here. A slash in brackets does not end it.
fn regular_expression(bytes: &[u8]) -> usize {
    let (mut at, mut class) = (1, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'[' => class = true,
            b']' => class = false,
            b'/' if !class => return at + 1,
            b'\n' => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn comment(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"//") {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        Some(end.unwrap_or(bytes.len()))
    } else if bytes.starts_with(b"/*") {
        let end = bytes.windows(2).skip(2).position(|window| window == b"*/");
        Some(end.map_or(bytes.len(), |end| end + 4))
    } else {
        None
    }
}

/// The length of the text between this mark and the next. A backslash hides a mark.
fn quoted(bytes: &[u8], mark: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            byte if byte == mark => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rest, with each blank stretch as one space. Nothing moves.
    fn left(masked: &Masked<'_>) -> String {
        assert_eq!(masked.code.len(), masked.source.len());
        let words: Vec<&str> = masked.code.split_whitespace().collect();
        words.join(" ")
    }

    #[test]
    fn strings_characters_and_comments_of_rust_are_blanked() {
        for (source, code) in [
            ("a /* { */ b // {", "a b"),
            ("a \"{\\\"{\" b", "a b"),
            ("a r#\"{\"{\"# b", "a b"),
            ("a b\"{\" b'{' c\"{\" '\\'' b", "a b"),
            ("fn f<'a>(x: &'a u8) {}", "fn f<'a>(x: &'a u8) {}"),
            ("'é' {", "{"),
        ] {
            assert_eq!(left(&Masked::rust(source)), code, "{source}");
        }
    }

    #[test]
    fn divisions_of_javascript_are_no_patterns() {
        for (source, code) in [
            ("a / b / c", "a / b / c"),
            ("f(/[/{]\\/{/)", "f( )"),
            ("`{` + '{'", "+"),
        ] {
            assert_eq!(left(&Masked::javascript(source)), code, "{source}");
        }
    }

    #[test]
    fn what_stands_in_a_string_is_kept() {
        let masked = Masked::rust("x(b\"MQTT\", r#\"y\"#)");
        let contents: Vec<&str> = masked
            .texts
            .iter()
            .map(|text| text.content(masked.source))
            .collect();
        assert_eq!(contents, ["MQTT", "y"]);
    }
}
