//! State is private to its wing of the broker.
//!
//! Values that wings hand to each other are plain data: they stand in `types`, and records in
//! `durability/record`. A bundle of borrows is a list of arguments: whoever makes it may reach what
//! it borrows. So it may show its fields if it owns nothing but numbers.
//!
//! A field that is `pub` without more belongs to what the crate shows its users. The compiler finds
//! those that no user can reach (`unreachable_pub`).

#![allow(clippy::unwrap_used)] // all of this is a test

mod root;
mod sources;

use std::fs;

use root::root;
use sources::{code_lines, depth, is_name, read, sources};

/// What a bundle of borrows may own.
const COPIES: &[&str] = &["bool", "u8", "u16", "u32", "u64", "usize"];

#[test]
fn no_wing_of_the_broker_shows_its_fields() {
    let root = root().join("crates/broker/src");
    // Nobody imports the machine, so nobody sees its fields.
    let left_out = ["types", "machine", "tests", "lib.rs"];
    let mut shown = Vec::new();
    let mut structs_seen = 0;
    for entry in fs::read_dir(&root).unwrap() {
        let wing = entry.unwrap();
        if left_out.contains(&wing.file_name().to_str().unwrap()) {
            continue;
        }
        for file in sources(&wing.path()) {
            if file.starts_with(root.join("durability/record")) {
                continue;
            }
            let depth = depth(file.strip_prefix(&root).unwrap());
            let structs = structs(&read(&file));
            structs_seen += structs.len();
            for field in structs.iter().flat_map(|it| it.shown(depth)) {
                shown.push(format!("{}:{}: {}", file.display(), field.line, field.text));
            }
        }
    }
    assert!(
        structs_seen > 50,
        "only {structs_seen} structs: are they read?"
    );
    assert!(
        shown.is_empty(),
        "make these private, and give what others need a method:\n{}",
        shown.join("\n")
    );
}

#[test]
fn fields_are_found_in_all_their_forms() {
    let code = "\
pub(crate) struct Named<T>
where
    T: Fn(u8) -> u8,
{
    /// See the rest, as it is.
    pub(crate) a: HashMap<u8, T>,
    b: u8,
    #[allow(dead_code)]
    pub c:
        Vec<u8>,
    pub(in crate::session) d: u8,
    pub(super) e: u8,
}
struct Empty;
struct Id(pub(crate) u64);
pub(crate) struct Wide(
    u8,
    pub(in super::super) u8,
);
enum State { On { a: u8 } }
";
    let found = |depth| -> Vec<String> {
        let structs = structs(code);
        let shown = structs.iter().flat_map(|it| it.shown(depth));
        shown.map(|it| it.text.clone()).collect()
    };
    let mut expected = vec![
        "pub(crate) a: HashMap<u8, T>",
        "pub(crate) u64",
        "pub(in super::super) u8",
    ];
    assert_eq!(found(2), expected);
    // From the `mod.rs` of a wing, `super` is the whole crate.
    expected.insert(1, "pub(super) e: u8");
    assert_eq!(found(1), expected);
}

#[test]
fn only_a_bundle_that_owns_no_state_may_show_its_fields() {
    let shown = |fields: &str| {
        let code = format!("pub(crate) struct Bundle<'a> {{\n    {fields}\n}}\n");
        structs(&code)[0].shown(2).count()
    };
    assert_eq!(
        shown("pub(crate) a: &'a mut Vec<u8>,\n    pub(crate) b: Means<'a>,"),
        0
    );
    assert_eq!(
        shown("pub(crate) a: Option<&'a str>,\n    pub(crate) b: u16,"),
        0
    );
    assert_eq!(shown("pub(crate) a: &'a str,\n    b: Vec<u8>,"), 1);
    assert_eq!(shown("pub(crate) a: HashMap<&'a str, u8>,"), 1);
    assert_eq!(shown("pub(crate) a: Vec<Means<'a>>,"), 1);
    assert_eq!(shown("a: Vec<u8>,"), 0);
}

/// A struct, as the code has it.
#[derive(Debug, Default)]
struct Struct {
    has_lifetime: bool,
    fields: Vec<Field>,
}

#[derive(Clone, Debug, Default)]
struct Field {
    line: usize,
    /// Visibility, name and type.
    text: String,
}

impl Struct {
    /// The fields that can be seen outside the wing. The struct is in a module `depth` levels below
    /// the crate.
    fn shown(&self, depth: usize) -> impl Iterator<Item = &Field> {
        let is_bundle = self.has_lifetime && self.fields.iter().all(Field::is_borrowed);
        self.fields
            .iter()
            .filter(move |field| !is_bundle && field.leaves_its_wing(depth))
    }

    fn push(&mut self, field: &mut Field) {
        let mut field = std::mem::take(field);
        field.text.truncate(field.text.trim_end().len());
        if !field.text.is_empty() {
            self.fields.push(field);
        }
    }
}

impl Field {
    fn leaves_its_wing(&self, depth: usize) -> bool {
        match self.parts().0 {
            None => false,
            Some(path) if path.starts_with("super") => path.matches("super").count() >= depth,
            // Only folders around the module can stand here, and the first of them is the wing.
            Some(path) => path != "self" && !path.starts_with("crate::"),
        }
    }

    fn is_borrowed(&self) -> bool {
        let mut of_type = self.parts().1;
        while let Some(inner) = of_type.strip_prefix("Option<") {
            of_type = inner.trim_end_matches('>');
        }
        let is_bundle = of_type
            .split_once('<')
            .is_some_and(|(_, arguments)| arguments.starts_with('\''));
        of_type.starts_with('&') || is_bundle || COPIES.contains(&of_type)
    }

    /// Where in the crate it can be seen, and its type. `None`: only in its module, or by the crate's
    /// users too.
    fn parts(&self) -> (Option<&str>, &str) {
        let limited = self.text.strip_prefix("pub(");
        let (seen, rest) = match limited.and_then(|it| it.split_once(')')) {
            None => (None, self.text.trim_start_matches("pub ")),
            Some((path, rest)) => (Some(path.trim_start_matches("in ")), rest),
        };
        let named = rest.split_once(": ");
        let named = named.filter(|(name, _)| name.trim().chars().all(is_name));
        (seen, named.map_or(rest, |(_, of_type)| of_type).trim())
    }
}

/// The structs of a file with their fields.
fn structs(code: &str) -> Vec<Struct> {
    let lines: Vec<_> = code_lines(code).collect();
    let mut found = Vec::new();
    for (at, (_, text)) in lines.iter().enumerate() {
        if let Some((before, _)) = text.split_once("struct ")
            && (before.is_empty() || before.starts_with("pub"))
        {
            found.push(read_struct(before.len(), &lines[at..]));
        }
    }
    found
}

/// Reads the struct whose head begins on the first of the lines, behind `skipped` bytes.
fn read_struct(skipped: usize, lines: &[(usize, &str)]) -> Struct {
    let mut it = Struct::default();
    let mut head = String::new();
    let mut field = Field::default();
    let (mut is_inside, mut depth, mut last) = (false, 0_usize, ' ');
    let chars = lines
        .iter()
        .flat_map(|(line, text)| text.chars().chain([' ']).map(move |c| (*line, c)));
    for (line, c) in chars.skip(skipped) {
        let opens = matches!(c, '(' | '[' | '{' | '<');
        let closes = matches!(c, ')' | ']' | '}') || (c == '>' && last != '-');
        last = c;
        if !is_inside {
            let is_body = c == '{' || (c == '(' && !head.contains(" where "));
            match c {
                ';' if depth == 0 => break,
                _ if is_body && depth == 0 => is_inside = true,
                _ if opens => depth += 1,
                _ if closes => depth -= 1,
                _ => {}
            }
            head.push(c);
            continue;
        }
        if depth == 0 && (c == ',' || closes) {
            it.push(&mut field);
            if closes {
                break;
            }
            continue;
        }
        depth = depth + usize::from(opens) - usize::from(closes);
        if field.text.is_empty() {
            field.line = line;
        }
        if c != ' ' || !(field.text.is_empty() || field.text.ends_with(' ')) {
            field.text.push(c);
        }
        // An attribute is no part of the field.
        if c == ']' && depth == 0 && field.text.starts_with("#[") {
            field.text.clear();
        }
    }
    it.has_lifetime = head.contains("<'");
    it
}
