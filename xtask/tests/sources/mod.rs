//! Rust sources, read line by line, for the tests that hold house rules.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The lines without comments, and without the unit tests at the end of a file.
pub(crate) fn code_lines(source: &str) -> impl Iterator<Item = (usize, &str)> {
    source
        .lines()
        .enumerate()
        .take_while(|(_, line)| *line != "mod tests {")
        .map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
}

pub(crate) fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// How many levels the module of a file is below its crate. `file` is a path within `src`.
pub(crate) fn depth(file: &Path) -> usize {
    let levels = file.components().count();
    if file.ends_with("mod.rs") {
        levels - 1
    } else {
        levels
    }
}

/// All Rust files in a folder and the folders below it.
pub(crate) fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    collect(dir, &mut files);
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

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
