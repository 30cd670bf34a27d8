//! Finds tests in source text, and the statements that each names.
//!
//! A Rust test is a function with an attribute that ends in `test`. A Node.js test is a call of
//! `test(` or `it(`. A test names a statement in one of three ways: by its own name
//! (`mqtt_3_1_4_3_…`, also `…_3_4_and_7_…`, `…_3_to_5_…`, `…_of_3_1_1_…`); by `[MQTT-3.1.4-3]` in a
//! comment within or directly above it, or in a Node.js title; or by a string that holds only the
//! id, such as the label of a case in a table.

use super::{
    mask::{Masked, Text},
    statements::{Id, Version},
};

/// A test, and the statements that it names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) ids: Vec<Id>,
}

/// What was found in a file.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) tests: Vec<Test>,
    /// Every id in brackets, in a test or not, with its line.
    pub(super) mentions: Vec<(usize, Id)>,
}

/// Scans a Rust file. `known` tells a statement's number in a function's name from a section's
/// number.
pub(super) fn rust(source: &str, known: &dyn Fn(&Id) -> bool) -> Found {
    let masked = Masked::rust(source);
    let mut tests = Vec::new();
    let mut at = 0;
    while let Some(start) = masked.code[at..].find("#[").map(|found| at + found) {
        let (end, is_test) = attributes(&masked.code, start);
        at = end;
        let Some((name, open)) = function(&masked.code, end) else {
            continue;
        };
        if !is_test {
            continue;
        }
        at = close(&masked.code, open, b'{', b'}');
        let mut ids = of_name(name, known);
        ids.extend(masked.ids(masked.comment_above(start)..at));
        tests.push(Test::new(name, ids));
    }
    Found {
        tests,
        mentions: masked.mentions(),
    }
}

/// Scans a file of Node.js tests.
pub(super) fn node(source: &str) -> Found {
    let masked = Masked::javascript(source);
    let mut tests = Vec::new();
    let mut at = 0;
    while let Some(start) = call(&masked.code, at) {
        let open = start + masked.code[start..].find('(').unwrap_or_default();
        at = close(&masked.code, open, b'(', b')');
        let title = masked
            .texts
            .iter()
            .find(|text| text.at > open && text.at < at && !text.comment);
        let title = title.map_or("", |text| text.content(source));
        let mut ids: Vec<Id> = bracketed(title).into_iter().map(|(_, id)| id).collect();
        ids.extend(masked.ids(masked.comment_above(start)..at));
        tests.push(Test::new(title, ids));
    }
    Found {
        tests,
        mentions: masked.mentions(),
    }
}

impl Test {
    fn new(name: &str, mut ids: Vec<Id>) -> Self {
        ids.sort();
        ids.dedup();
        Self {
            name: name.to_owned(),
            ids,
        }
    }
}

impl Masked<'_> {
    /// The ids in the comments and labels of a range.
    fn ids(&self, range: std::ops::Range<usize>) -> Vec<Id> {
        let within = |text: &&Text| range.contains(&text.at);
        let named = self.texts.iter().filter(within).flat_map(|text| {
            let content = text.content(self.source);
            if text.comment {
                bracketed(content).into_iter().map(|(_, id)| id).collect()
            } else {
                labelled(content).into_iter().collect::<Vec<_>>()
            }
        });
        named.collect()
    }

    fn mentions(&self) -> Vec<(usize, Id)> {
        bracketed(self.source)
            .into_iter()
            .map(|(at, id)| (1 + self.source[..at].matches('\n').count(), id))
            .collect()
    }

    /// The start of the comment that stands directly above the line of `at`. Without one, the start
    /// of that line.
    fn comment_above(&self, at: usize) -> usize {
        let mut begin = self.source[..at].rfind('\n').map_or(0, |end| end + 1);
        while begin > 0 {
            let line = self.source[..begin - 1]
                .rfind('\n')
                .map_or(0, |end| end + 1);
            let text = self.source[line..begin].trim_start();
            if !text.starts_with("//") || text.starts_with("//!") {
                break;
            }
            begin = line;
        }
        begin
    }
}

/// The end of the attributes that begin at `start`, and whether they make the function a test.
fn attributes(code: &str, start: usize) -> (usize, bool) {
    let (mut at, mut is_test, mut ignored) = (start, false, false);
    while code[at..].starts_with("#[") {
        let end = close(code, at + 1, b'[', b']');
        let path: String = code[at + 2..end]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':')
            .collect();
        is_test |= path.ends_with("test");
        ignored |= path == "ignore";
        at = end + (code[end..].len() - code[end..].trim_start().len());
    }
    (at, is_test && !ignored)
}

/// The name and the opening brace of the function that begins here.
fn function(code: &str, mut at: usize) -> Option<(&str, usize)> {
    loop {
        let word = word(&code[at..]);
        match word {
            "pub" | "async" | "extern" => {}
            "fn" => break,
            _ => return None,
        }
        at += word.len();
        at += code[at..].len() - code[at..].trim_start().len();
        if code[at..].starts_with('(') {
            at = close(code, at, b'(', b')');
        }
        at += code[at..].len() - code[at..].trim_start().len();
    }
    at += 2;
    at += code[at..].len() - code[at..].trim_start().len();
    let name = word(&code[at..]);
    let open = at + code[at..].find('{')?;
    Some((name, open))
}

fn word(code: &str) -> &str {
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_');
    &code[..end.unwrap_or(code.len())]
}

/// The next `test(` or `it(`, or a variant such as `test.only(`.
fn call(code: &str, from: usize) -> Option<usize> {
    let found = ["test(", "it("].into_iter().filter_map(|name| {
        code[from..].match_indices(name).find_map(|(at, _)| {
            let before = code[..from + at].chars().next_back();
            let alone = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != '.');
            alone.then_some(from + at)
        })
    });
    found.min()
}

/// Just past the bracket that closes the one at `open`. Without one, the end of the text.
fn close(code: &str, open: usize, left: u8, right: u8) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        if byte == left {
            depth += 1;
        } else if byte == right {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 1;
            }
        }
    }
    code.len()
}

/// Every `[MQTT-…]`, and its offset.
fn bracketed(text: &str) -> Vec<(usize, Id)> {
    let found = text.match_indices("[MQTT-").filter_map(|(at, _)| {
        let inner = &text[at + 1..];
        Some((at, labelled(&inner[..inner.find(']')?])?))
    });
    found.collect()
}

/// `MQTT-3.1.4-3`, `MQTT-3.1.3-8 of 3.1.1`.
fn labelled(text: &str) -> Option<Id> {
    let id = text.strip_prefix("MQTT-")?;
    match id.strip_suffix(" of 3.1.1") {
        Some(id) => Id::read(id, Version::V3_1_1),
        None => Id::read(id, Version::V5),
    }
}

/// The statements whose ids stand in a function's name. Three numbers are a section, unless they
/// are known as a statement (4.2-1 is one). Four are always a statement, so that a wrong one is
/// noticed.
fn of_name(name: &str, known: &dyn Fn(&Id) -> bool) -> Vec<Id> {
    let Some(rest) = name.strip_prefix("mqtt_") else {
        return Vec::new();
    };
    let mut words = rest.split('_').peekable();
    let mut named: Vec<Vec<u16>> = Vec::new();
    let mut joined = "and";
    loop {
        let mut numbers = Vec::new();
        while let Some(number) = words.peek().and_then(|word| word.parse().ok()) {
            numbers.push(number);
            words.next();
        }
        match (&numbers[..], named.last().cloned()) {
            ([], _) => break,
            ([number], Some(before)) => {
                let Some((last, section)) = before.split_last() else {
                    break;
                };
                let first = if joined == "to" { last + 1 } else { *number };
                named.extend((first..=*number).map(|n| [section, &[n]].concat()));
            }
            (_, _) => named.push(numbers),
        }
        match words.peek() {
            Some(&word @ ("and" | "to")) => joined = word,
            _ => break,
        }
        words.next();
    }
    let version = if words.take(4).eq(["of", "3", "1", "1"]) {
        Version::V3_1_1
    } else {
        Version::V5
    };
    let ids = named.into_iter().filter(|numbers| numbers.len() > 1);
    ids.map(|numbers| (numbers.len(), Id::of(numbers, version)))
        .filter(|(count, id)| *count >= 4 || known(id))
        .map(|(_, id)| id)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(id: &Id) -> bool {
        id.to_string() == "MQTT-4.2-1"
    }

    fn shown(found: &Found) -> Vec<String> {
        let line = |test: &Test| {
            let ids: Vec<String> = test.ids.iter().map(Id::to_string).collect();
            format!("{}: {}", test.name, ids.join(", "))
        };
        found.tests.iter().map(line).collect()
    }

    #[test]
    fn a_name_names() {
        for (name, ids) in [
            ("mqtt_3_1_4_3_takes_over", "MQTT-3.1.4-3"),
            ("mqtt_4_2_1_tcp", "MQTT-4.2-1"),
            ("mqtt_4_7_1_a_section", ""),
            ("mqtt_1_5_4_1_reads", "MQTT-1.5.4-1"),
            ("mqtt_3_1_2_5_and_3_2_2_3_x", "MQTT-3.1.2-5 MQTT-3.2.2-3"),
            (
                "mqtt_3_3_2_4_and_15_to_17_x",
                "MQTT-3.3.2-4 MQTT-3.3.2-15 MQTT-3.3.2-16 MQTT-3.3.2-17",
            ),
            ("mqtt_3_1_3_8_of_3_1_1_x", "MQTT-3.1.3-8 of 3.1.1"),
            ("mqtt_3_1_2_9_and_so_on", "MQTT-3.1.2-9"),
            ("other_3_1_4_3", ""),
        ] {
            let found: Vec<String> = of_name(name, &known).iter().map(Id::to_string).collect();
            assert_eq!(found.join(" "), ids, "{name}");
        }
    }

    #[test]
    fn tests_of_rust_are_found_with_what_they_name() {
        let source = r##"
/// [MQTT-1.1.1-1] says a function that is no test.
fn helper() { let x = "{"; }

/// [MQTT-3.1.2-1] above.
#[test]
fn one() {
    // [MQTT-3.1.2-2] within, [MQTT-3.1.3-8 of 3.1.1] too.
    let brace = '{'; let raw = r#"} " ["#; let life: &'static str = "";
}

// [MQTT-9.9.9-9] not directly above.

#[tokio::test]
#[allow(clippy::x)]
async fn mqtt_3_1_4_3_two() { if true { Case("MQTT-3.1.2-3", 1); log("says [MQTT-3.1.2-4]") } }

#[test]
#[ignore]
fn mqtt_3_1_4_4_ignored() {}

#[derive(Debug)]
struct NoTest;

mod inner {
    proptest! {
        #[test]
        fn three(x in any::<u8>()) { /* [MQTT-3.1.2-5] */ }
    }
}
"##;
        let found = rust(source, &known);
        assert_eq!(
            shown(&found),
            [
                "one: MQTT-3.1.2-1, MQTT-3.1.2-2, MQTT-3.1.3-8 of 3.1.1",
                "mqtt_3_1_4_3_two: MQTT-3.1.2-3, MQTT-3.1.4-3",
                "three: MQTT-3.1.2-5",
            ]
        );
        assert_eq!(found.mentions.len(), 7);
        assert_eq!(found.mentions[0].0, 2);
    }

    #[test]
    fn tests_of_node_are_found_with_what_they_name() {
        let source = r"
// [MQTT-3.1.2-1]
test('one (of [MQTT-3.1.2-2])', async () => {
  const pattern = /['(]/; // [MQTT-3.1.2-3]
});
notatest('x', () => { /* [MQTT-3.1.2-4] */ });
describe('x', () => { it(`two`, () => {}); });
";
        assert_eq!(
            shown(&node(source)),
            [
                "one (of [MQTT-3.1.2-2]): MQTT-3.1.2-1, MQTT-3.1.2-2, MQTT-3.1.2-3",
                "two: ",
            ]
        );
    }
}
