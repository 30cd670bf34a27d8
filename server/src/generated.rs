//! For tests: parts of documents that are made from tables of the source.

use std::path::Path;
use std::{env, fs};

const BEGIN: &str = "<!-- generated: UPDATE_DOCS=1 cargo test -p beaconry docs -->";
const END: &str = "<!-- end of generated -->";

/// Holds what stands between the two marks of a document against `text`. With the variable
/// `UPDATE_DOCS` it writes `text` there. `path` is relative to the root of the project.
pub(crate) fn compare(path: &str, text: &str) {
    // Asked at run time: builds that several checkouts share name the one that compiled last.
    let folder = env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let file = Path::new(&folder).join("..").join(path);
    let old = fs::read_to_string(&file).unwrap();
    let (before, rest) = old.split_once(BEGIN).expect("the first mark");
    let (_, after) = rest.split_once(END).expect("the second mark");
    let text = text.trim_end();
    let new = format!("{before}{BEGIN}\n\n{text}\n\n{END}{after}");
    if old == new {
        return;
    }
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, new).unwrap();
    } else {
        panic!("{path} is out of date: run UPDATE_DOCS=1 cargo test -p beaconry docs");
    }
}
