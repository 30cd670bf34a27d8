//! House rules that no compiler checks.

#![allow(clippy::unwrap_used)] // all of this is a test

mod root;

use std::{
    fs,
    path::{Path, PathBuf},
};

use root::root;

/// A longer file, not counting its tests, has a seam to split it at.
const LONGEST: usize = 600;

/// No IO here: no socket, clock, thread, random source or runtime.
const PURE: &[&str] = &[
    "crates/mqtt/src",
    "crates/broker/src",
    "crates/fleet/src",
    "crates/series/src",
];
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

/// Where `#[path]` may stand: test programs that share helpers with another crate's or program's
/// tests. Elsewhere a module's file is where its name says.
const SHARED_HELPERS: &[&str] = &[
    "server/tests/conformance/main.rs",
    "app/tests/charts.rs",
    "app/tests/follow.rs",
    "app/tests/state.rs",
];

/// What asks for one operating system, or calls it.
const SYSTEM: &[&str] = &[
    "rustix::",
    "libc::",
    "use nix::",
    "fs4::",
    "std::os::",
    "signal::unix",
    "signal::windows",
];
/// Where that may stand outside of modules named `platform`.
const MAY_CALL_THE_SYSTEM: &[&str] = &[
    // One file that only measures, in a workspace of its own.
    "bench/store-compare/src/main.rs",
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

#[test]
fn a_module_is_where_its_name_says() {
    let files = rust_sources(&["app", "bench", "crates", "fuzz", "server", "xtask"]);
    for place in SHARED_HELPERS {
        assert!(names_a_path(&read(&root().join(place))), "{place}: {GONE}");
    }
    let faults: Vec<_> = files
        .iter()
        .map(|path| relative(path))
        .filter(|path| !SHARED_HELPERS.contains(&path.as_str()))
        .filter(|path| names_a_path(&read(&root().join(path))))
        .collect();
    assert!(
        faults.is_empty(),
        "put these modules where `mod` looks for them, without `#[path]`:\n{}",
        faults.join("\n")
    );
}

#[test]
fn an_attribute_that_names_a_path_is_found() {
    let attribute = concat!("#[pa", "th = \"other.rs\"]\nmod name;\n");
    assert!(names_a_path(attribute));
    assert!(names_a_path(&attribute.replace(" = ", "=")));
    assert!(!names_a_path(&format!("// {attribute}")));
    assert!(!names_a_path("mod name;\nlet path = 1;\n"));
}

#[test]
fn only_platform_modules_call_the_system() {
    let mut faults = Vec::new();
    for path in rust_sources(&["app", "bench", "crates", "server", "xtask/src"]) {
        let name = relative(&path);
        if may_call_the_system(&name) {
            continue;
        }
        for (line, word) in system_calls(&read(&path)) {
            faults.push(format!("{name}:{line}: {word}"));
        }
    }
    assert!(
        faults.is_empty(),
        "move these into the crate's module `platform`:\n{}",
        faults.join("\n")
    );
}

#[test]
fn a_system_call_is_found_outside_of_platform_modules_and_tests() {
    let code = "\
// libc::fork is only named here.
use rustix::process::getpid;
fn f() { std::os::unix::fs::symlink(a, b) }
mod tests {
    use std::os::unix::fs::PermissionsExt;
";
    let found = system_calls(code);
    assert_eq!(found, [(2, "rustix::"), (3, "std::os::")]);
    for (path, may) in [
        ("server/src/serve.rs", false),
        ("crates/store/src/tests.rs", false),
        ("server/src/platform/unix.rs", true),
        ("xtask/src/platform.rs", true),
        ("server/tests/serve/main.rs", true),
        ("crates/store/src/tests/mod.rs", true),
    ] {
        assert_eq!(may_call_the_system(path), may, "{path}");
    }
}

const GONE: &str = "has no `#[path]` any more: take it off the list";

fn names_a_path(source: &str) -> bool {
    source.lines().map(str::trim_start).any(|line| {
        line.strip_prefix("#[path")
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    })
}

/// The lines before the unit tests that call the system, with the word that shows it.
fn system_calls(source: &str) -> Vec<(usize, &'static str)> {
    let lines = source.lines().take(lines_of_code(source)).enumerate();
    lines
        .filter_map(|(at, line)| {
            let code = line.split("//").next().unwrap_or_default();
            let word = SYSTEM.iter().find(|word| code.contains(**word))?;
            Some((at + 1, *word))
        })
        .collect()
}

/// Tests may do as their users do.
fn may_call_the_system(path: &str) -> bool {
    let mut parts = path.split('/').map(|part| part.trim_end_matches(".rs"));
    let is_test = path.contains("/tests/");
    is_test || parts.any(|part| part == "platform") || MAY_CALL_THE_SYSTEM.contains(&path)
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
        // Cargo puts what it builds in `target`, sources that a build script wrote among it.
        if path.ends_with("target") {
            continue;
        }
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// Its name from the root of the repository, with slashes.
fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap();
    let parts = path.iter().map(|part| part.to_str().unwrap());
    parts.collect::<Vec<_>>().join("/")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
