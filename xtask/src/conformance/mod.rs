//! `cargo xtask conformance`: lists which test holds which statement of the standards.
//!
//! The statements are in the `*.txt` files beside this one. The command finds the tests by the ids
//! that the sources name, so the table is only as true as those ids. With `--check` the command
//! writes nothing.

mod mask;
mod scan;
mod statements;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use self::{
    scan::Found,
    statements::{Id, Statements},
    table::{Held, Layer},
};
use crate::workspace::Workspace;

/// The path of the table.
const TABLE: &str = "docs/conformance.md";

/// The folders that are searched for ids of statements. `xtask` is not among them, because its own
/// tests contain made-up ids.
const PLACES: &[&str] = &["app", "crates", "e2e", "server"];

/// Writes the table. Returns an error with all faults if a statement has neither test nor reason,
/// or if a source names an id that does not exist.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("`cargo xtask conformance` takes only --check"),
    };
    let (text, mut faults) = survey(&workspace.root)?;
    let path = workspace.root.join(TABLE);
    if check {
        if fs::read_to_string(&path).unwrap_or_default() != text {
            faults.push(format!(
                "{TABLE} is out of date: `cargo xtask conformance` writes it"
            ));
        }
    } else {
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if !faults.is_empty() {
        bail!(
            "{} faults of conformance:\n{}",
            faults.len(),
            faults.join("\n")
        );
    }
    eprintln!("every statement is held by a test, or listed with a reason: {TABLE}");
    Ok(())
}

/// The table as it should be, and its faults.
fn survey(root: &Path) -> Result<(String, Vec<String>)> {
    let statements = statements::all()?;
    let mut held = Held::new();
    let mut faults = Vec::new();
    for path in sources(root)? {
        let source =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path
            .strip_prefix(root)?
            .to_string_lossy()
            .replace('\\', "/");
        let found = found(&name, &source, &statements);
        faults.extend(unknown(&name, &found, &statements));
        let Some(layer) = Layer::of(&name) else {
            continue;
        };
        for test in found.tests {
            for id in test.ids {
                let tests = held.entry(id).or_default();
                tests.push((layer, format!("{name}::{}", test.name)));
            }
        }
    }
    faults.extend(table::gaps(&statements, &held));
    Ok((table::render(&statements, &held), faults))
}

fn found(name: &str, source: &str, statements: &Statements) -> Found {
    let known = |id: &Id| statements.contains_key(id);
    match name.rsplit_once('.') {
        Some((_, "rs")) => scan::rust(source, &known),
        Some((_, "mjs")) => scan::node(source),
        _ => Found::default(),
    }
}

/// The ids that no list has.
fn unknown(name: &str, found: &Found, statements: &Statements) -> Vec<String> {
    let mentions = found
        .mentions
        .iter()
        .filter(|(_, id)| !statements.contains_key(id))
        .map(|(line, id)| format!("{name}:{line}: there is no statement [{id}]"));
    let tests = found.tests.iter().flat_map(|test| {
        test.ids
            .iter()
            .filter(|id| !statements.contains_key(id))
            .map(|id| format!("{name}: {}: there is no statement [{id}]", test.name))
    });
    mentions.chain(tests).collect()
}

/// All sources, in order.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for place in PLACES {
        collect(&root.join(place), &mut files)?;
    }
    files.sort();
    Ok(files)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "node_modules") {
                collect(&path, files)?;
            }
        } else if path
            .extension()
            .is_some_and(|end| end == "rs" || end == "mjs")
        {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_no_list_has_are_found_wherever_they_stand() {
        let statements = statements::all().unwrap();
        let source = "// [MQTT-3.1.4-99]\n#[test]\nfn mqtt_3_1_4_98_x() {}\n";
        let found = found("server/tests/x.rs", source, &statements);
        assert_eq!(
            unknown("server/tests/x.rs", &found, &statements),
            [
                "server/tests/x.rs:1: there is no statement [MQTT-3.1.4-99]",
                "server/tests/x.rs: mqtt_3_1_4_98_x: there is no statement [MQTT-3.1.4-98]",
                // The comment stands directly above the test.
                "server/tests/x.rs: mqtt_3_1_4_98_x: there is no statement [MQTT-3.1.4-99]",
            ]
        );
    }

    #[test]
    fn no_test_of_this_repository_is_overlooked() {
        let root = Workspace::load().unwrap().root;
        let statements = Statements::new();
        let mut total = 0;
        for path in sources(&root).unwrap() {
            let source = fs::read_to_string(&path).unwrap();
            let rust = path.extension().is_some_and(|end| end == "rs");
            let code = if rust {
                mask::Masked::rust(&source).code
            } else {
                mask::Masked::javascript(&source).code
            };
            let marks: &[&str] = if rust {
                &["#[test]", "#[tokio::test", "#[wasm_bindgen_test"]
            } else {
                &["test(", "it("]
            };
            let begins = |line: &&str| marks.iter().any(|mark| line.starts_with(mark));
            let lines = || code.lines().map(str::trim);
            let ignored = lines().filter(|line| line.starts_with("#[ignore")).count();
            let marked = lines().filter(begins).count() - ignored;
            let found = found(&path.to_string_lossy(), &source, &statements);
            assert_eq!(found.tests.len(), marked, "{}", path.display());
            total += marked;
        }
        assert!(total > 500, "only {total}");
    }

    #[test]
    fn this_repository_can_be_surveyed() {
        let workspace = Workspace::load().unwrap();
        let (text, _) = survey(&workspace.root).unwrap();
        assert!(text.contains("mqtt_3_1_0_2_a_second_connect_ends_the_connection"));
    }
}
