//! House rules that no compiler checks.

#![allow(clippy::unwrap_used)] // all of this is a test

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A longer file, not counting its tests, has a seam to split it at.
const LONGEST: usize = 600;

/// No IO here: no socket, clock, thread, random source or runtime.
const PURE: &[&str] = &["crates/mqtt/src", "crates/broker/src", "crates/fleet/src"];
const IMPURE: &[&str] = &[
    "std::net",
    "std::thread",
    "std::time::Instant",
    "SystemTime",
    "Instant::now",
    "tokio",
    "rand::",
    "getrandom",
];

#[test]
fn sources_hold_nothing_unfinished() {
    // Written in two parts, so that this file keeps its own rule.
    let forbidden = [
        concat!("todo", "!("),
        concat!("dbg", "!("),
        concat!("unimplemented", "!("),
        "FIXME",
    ];
    let faults = faults(
        &rust_sources(&["app", "crates", "server", "xtask/src"]),
        &forbidden,
    );
    assert!(
        faults.is_empty(),
        "finish these, or leave them out:\n{}",
        faults.join("\n")
    );
}

#[test]
fn pure_crates_do_no_io() {
    let faults = faults(&rust_sources(PURE), IMPURE);
    assert!(
        faults.is_empty(),
        "`now` and bytes come in from outside:\n{}",
        faults.join("\n")
    );
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = rust_sources(&["app", "crates", "server", "xtask"])
        .into_iter()
        .map(|path| (lines_of_code(&read(&path)), path))
        .filter(|(lines, _)| *lines > LONGEST)
        .map(|(lines, path)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(
        long.is_empty(),
        "over {LONGEST} lines; look for the seam:\n{}",
        long.join("\n")
    );
}

#[test]
fn the_npm_lock_file_names_no_registry() {
    let lock = read(&root().join("package-lock.json"));
    let named: Vec<&str> = lock
        .lines()
        .filter(|line| line.contains("\"resolved\""))
        .collect();
    assert!(
        named.is_empty(),
        "see .npmrc, which keeps these out:\n{}",
        named.join("\n")
    );
    assert!(
        lock.contains("\"integrity\""),
        "without hashes nothing is checked"
    );
}

fn lines_of_code(source: &str) -> usize {
    source
        .lines()
        .take_while(|line| *line != "mod tests {")
        .count()
}

fn faults(files: &[PathBuf], forbidden: &[&str]) -> Vec<String> {
    assert!(!files.is_empty(), "no sources were found");
    let mut faults = Vec::new();
    for path in files {
        for (number, line) in read(path).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in forbidden.iter().filter(|word| code.contains(**word)) {
                faults.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    faults
}

fn rust_sources(places: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for place in places {
        collect(&root().join(place), &mut files);
    }
    files.sort();
    files
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
