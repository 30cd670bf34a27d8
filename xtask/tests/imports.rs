//! Imports run one way: no circle between the folders that are named here, and nothing of one
//! folder where a rule keeps it out.

#![allow(clippy::unwrap_used)] // all of this is a test

mod root;
mod sources;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use root::root;
use sources::{code_lines, depth, is_name, read, sources};

/// The broker's wings, from the ground floor up. An arrow leads from an importer to what it
/// imports, and never upward.
const BROKER: &[&str] = &[
    "types",
    "admission",
    "tap",
    "durability",
    "routing",
    "session",
    "delivery",
    "protocol",
    "machine",
];

/// The dashboard, from the ground floor up: folders and files of `app/src`.
const PAGE: &[&str] = &[
    "frame",
    "route",
    "state",
    "chart",
    "components",
    "pages",
    "app",
];

/// The widgets' bundle, from the ground floor up. A widget imports no other widget.
const WIDGETS: &[&str] = &["bundle", "source", "hub"];

/// One line that imports.
#[derive(Clone, Debug)]
struct Import {
    file: PathBuf,
    line: usize,
    text: String,
}

/// Who imports whom, with the first line that does.
type Arrows = BTreeMap<(String, String), Import>;

#[test]
fn the_wings_of_the_broker_make_no_circle() {
    let root = root().join("crates/broker/src");
    let arrows = arrows(&root, BROKER, &["tests"]);
    let faults = circles(&arrows);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let faults = upward(&arrows, BROKER);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_page_and_the_widgets_import_downward_only() {
    for (src, floors) in [("app/src", PAGE), ("crates/widgets/src", WIDGETS)] {
        let src = root().join(src);
        for entry in fs::read_dir(&src).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(
                floors.contains(&name) || ["lib", "main"].contains(&name),
                "{} stands on no floor: name it in this file",
                path.display()
            );
        }
        let faults = upward(&arrows(&src, floors, &[]), floors);
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

#[test]
fn every_file_of_the_broker_stands_in_a_wing() {
    let root = root().join("crates/broker/src");
    let outside: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !BROKER.contains(&name.as_str()))
        .filter(|name| name != "lib.rs" && name != "tests")
        .collect();
    assert!(
        outside.is_empty(),
        "name these in BROKER, or move them: {outside:?}"
    );
}

#[test]
fn a_circle_is_told_by_the_two_lines_that_make_it() {
    let arrows: Arrows = [
        arrow("session", "routing", "session/session.rs", 3),
        arrow("routing", "types", "routing/tree.rs", 4),
        arrow("routing", "session", "routing/lookups.rs", 5),
    ]
    .into();
    let faults = circles(&arrows);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("session/session.rs:3"), "{}", faults[0]);
    assert!(faults[0].contains("routing/lookups.rs:5"), "{}", faults[0]);
    let faults = upward(&arrows, BROKER);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("routing/lookups.rs:5"), "{}", faults[0]);
}

#[test]
fn a_long_circle_is_found_too() {
    let arrows: Arrows = [
        arrow("a", "b", "a/x.rs", 1),
        arrow("b", "c", "b/x.rs", 2),
        arrow("c", "a", "c/x.rs", 3),
    ]
    .into();
    let faults = circles(&arrows);
    assert!(!faults.is_empty());
    assert!(faults[0].contains("a/x.rs:1"), "{}", faults[0]);
}

#[test]
fn imports_are_read_in_all_their_forms() {
    let code = "\
use crate::types::{Lsn, Slot};
use crate::tap::Tap;
pub(crate) use crate::session::Session;
// use crate::machine::Broker;
    /// See [`Broker`](crate::machine::Broker).
fn f() { crate::routing::g(); }
use crate::{
    delivery::{
        Outbox,
    },
    protocol::connect,
};
use crate::{admission::{Rate, Work}, durability};
";
    let found: BTreeSet<String> = imported(code, 1, BROKER)
        .into_iter()
        .map(|(name, _, _)| name)
        .collect();
    let mut expected: BTreeSet<_> = BROKER.iter().map(|it| (*it).to_owned()).collect();
    expected.remove("machine");
    assert_eq!(found, expected);
}

#[test]
fn a_path_up_to_the_crate_is_an_import_too() {
    let code = "use super::super::routing::Tree;\nuse super::session::Session;\n";
    let found = |depth| -> Vec<_> {
        let found = imported(code, depth, BROKER);
        found.into_iter().map(|(name, _, _)| name).collect()
    };
    assert_eq!(found(2), ["routing"]);
    // In the `mod.rs` of a folder one step is enough.
    assert!(found(1).contains(&"session".to_owned()));
}

fn arrow(from: &str, to: &str, file: &str, line: usize) -> ((String, String), Import) {
    let import = Import {
        file: file.into(),
        line,
        text: format!("use crate::{to}::X;"),
    };
    ((from.to_owned(), to.to_owned()), import)
}

/// Each pair of folders that import each other, directly or through others.
fn circles(arrows: &Arrows) -> Vec<String> {
    let mut faults = Vec::new();
    for ((from, to), there) in arrows {
        let Some(back) = way_back(arrows, to, from) else {
            continue;
        };
        // Each circle is told once, from its first folder.
        if from < to {
            faults.push(format!(
                "{from} and {to} import each other:\n  {}\n  {}",
                shown(there),
                shown(back)
            ));
        }
    }
    faults
}

/// The first line of a way from one folder to another.
fn way_back<'a>(arrows: &'a Arrows, from: &str, to: &str) -> Option<&'a Import> {
    let mut seen = BTreeSet::from([from.to_owned()]);
    let mut next: Vec<(String, Option<&Import>)> = vec![(from.to_owned(), None)];
    while let Some((at, first)) = next.pop() {
        for ((_, target), import) in arrows.iter().filter(|((source, _), _)| *source == at) {
            let first = first.or(Some(import));
            if target == to {
                return first;
            }
            if seen.insert(target.clone()) {
                next.push((target.clone(), first));
            }
        }
    }
    None
}

/// The arrows that lead from a lower floor to a higher one.
fn upward(arrows: &Arrows, floors: &[&str]) -> Vec<String> {
    let floor = |name: &str| floors.iter().position(|it| *it == name).unwrap();
    arrows
        .iter()
        .filter(|((from, to), _)| floor(from) < floor(to))
        .map(|((from, to), import)| format!("{from} stands below {to}: {}", shown(import)))
        .collect()
}

fn shown(import: &Import) -> String {
    format!("{}:{}: {}", import.file.display(), import.line, import.text)
}

/// What the folders of `root` import from each other.
fn arrows(root: &Path, folders: &[&str], left_out: &[&str]) -> Arrows {
    let mut arrows = Arrows::new();
    for folder in folders.iter().filter(|it| !left_out.contains(it)) {
        let mut files = vec![root.join(folder).with_extension("rs")];
        if !files[0].is_file() {
            files = sources(&root.join(folder));
        }
        assert!(!files.is_empty(), "{folder} has no sources");
        for file in files {
            let depth = depth(file.strip_prefix(root).unwrap());
            for (to, line, text) in imported(&read(&file), depth, folders) {
                if to != *folder {
                    let import = Import {
                        file: file.strip_prefix(root).unwrap().to_owned(),
                        line,
                        text,
                    };
                    arrows.entry(((*folder).to_owned(), to)).or_insert(import);
                }
            }
        }
    }
    arrows
}

/// The folders that the code names, with the line and its text. The code is that of a module
/// `depth` levels below the crate.
fn imported(code: &str, depth: usize, folders: &[&str]) -> Vec<(String, usize, String)> {
    let mut found = Vec::new();
    let mut group = Group::default();
    let crate_by_supers = "super::".repeat(depth);
    for (line, text) in code_lines(code) {
        let from_the_crate = text.replace(&crate_by_supers, "crate::");
        let (mut names, mut rest) = (Vec::new(), from_the_crate.as_str());
        loop {
            rest = group.read(rest, &mut names);
            let Some((_, path)) = rest.split_once("crate::") else {
                break;
            };
            rest = path;
            match path.strip_prefix('{') {
                Some(items) => {
                    (group.depth, group.at_start) = (1, true);
                    rest = items;
                }
                None => names.push(first_name(path)),
            }
        }
        for name in names.into_iter().filter(|name| folders.contains(name)) {
            found.push((name.to_owned(), line, text.trim().to_owned()));
        }
    }
    found
}

/// How far `crate::{…}` has been read.
#[derive(Default)]
struct Group {
    /// How many braces are open.
    depth: usize,
    /// Whether an item of the outer braces begins next.
    at_start: bool,
}

impl Group {
    /// Adds the names that begin an item of the outer braces. Returns what stands behind the group.
    fn read<'a>(&mut self, text: &'a str, names: &mut Vec<&'a str>) -> &'a str {
        for (at, c) in text.char_indices() {
            match c {
                _ if self.depth == 0 => return &text[at..],
                '{' => self.depth += 1,
                '}' => self.depth -= 1,
                ',' => self.at_start = self.depth == 1,
                c if is_name(c) && self.at_start => {
                    names.push(first_name(&text[at..]));
                    self.at_start = false;
                }
                _ => {}
            }
        }
        ""
    }
}

/// The name that a path begins with.
fn first_name(path: &str) -> &str {
    path.split(|c: char| !is_name(c)).next().unwrap_or_default()
}
