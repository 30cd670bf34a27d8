//! Divides the dashboard's module: what is used later comes later.
//!
//! Trunk compiles the page, puts `index.html` together, and then runs this (`Trunk.toml`). The
//! compiled module has relocations (`app/build.rs`), so `wasm-split-cli` can move whatever only a
//! function with `#[wasm_split(PART, …)]` reaches into a module `PART`. The first module takes the place
//! of the whole one that Trunk staged. The parts lie beside it, and its script loads them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    files::{minified, publish, rename},
    wasm,
};
use crate::{
    command,
    step::Step,
    tools::{self, rust::WasmTools},
    workspace::{WASM, Workspace},
};

/// What Trunk, wasm-split-cli and wasm-bindgen name their files after.
const PROGRAM: &str = "beaconry-app";

/// wasm-split-cli's script, as the first module names it.
const LOADER: &str = "__wasm_split.js";

/// Divides the page in Trunk's staging folder.
pub(crate) fn staged(workspace: &Workspace) -> Result<()> {
    let staging = env::var_os("TRUNK_STAGING_DIR")
        .map(PathBuf::from)
        .context("Trunk runs this, when it builds the page: see Trunk.toml")?;
    // `trunk serve` builds at each change, so it does without what takes long.
    let release = env::var_os("TRUNK_PROFILE").is_some_and(|profile| profile == "release");
    let tools = tools::rust::ensure(workspace)?;
    let divided = divide(workspace, &tools)?;
    let compiled = divided.join(format!("{PROGRAM}.wasm"));
    // The parts call the first module by its table of functions, which it would not show otherwise.
    let flags = ["--keep-lld-exports"];
    let bindings = wasm::bind(workspace, &tools, &compiled, &flags, "dashboard")?;
    let first = bindings.join(format!("{PROGRAM}_bg.wasm"));
    let glue = bindings.join(format!("{PROGRAM}.js"));
    let mut script = fs::read_to_string(&glue)?;
    let mut loader = fs::read_to_string(divided.join(LOADER))?;
    let mut modules = Vec::new();
    for part in parts(&divided)? {
        let file = divided.join(format!("{part}.wasm"));
        if release {
            wasm::shrink(workspace, &file, FLAGS, &format!("{part}.wasm"))?;
        }
        let stem = part.strip_prefix("split_").unwrap_or(&part);
        let published = publish(&staging, stem, "wasm", &fs::read(&file)?)?;
        rename(&mut loader, &format!("{part}.wasm"), &published)?;
        modules.push((stem.to_owned(), published));
    }
    script = joined(&script, &loader)?;
    if release {
        wasm::shrink(workspace, &first, FLAGS, "the dashboard")?;
        fs::write(&glue, &script)?;
        script = minified(workspace, &glue)?;
    }
    let module = publish(&staging, PROGRAM, "wasm", &fs::read(&first)?)?;
    let script = publish(&staging, PROGRAM, "js", script.as_bytes())?;
    replace(&staging, &module, &script, &modules)
}

/// Found by trying what brotli makes smallest.
const FLAGS: &[&str] = &["-Os", "--reorder-functions-by-name"];

/// Writes the modules and the loader into an emptied folder.
fn divide(workspace: &Workspace, tools: &WasmTools) -> Result<PathBuf> {
    let out = workspace.scratch().join("dashboard-parts");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    let compiled = workspace.target.join(WASM).join("wasm").join(PROGRAM);
    let mut split = command::new("wasm-split-cli");
    split
        .env("PATH", command::path_with(&[&tools.split])?)
        .arg(compiled.with_extension("wasm"))
        .arg(&out)
        .args(["--out-name", PROGRAM]);
    Step::new("dividing the dashboard").run(&mut split)?;
    Ok(out)
}

/// The names of all modules but the first.
fn parts(divided: &Path) -> Result<Vec<String>> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(divided)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if path.extension().is_some_and(|it| it == "wasm") && stem != PROGRAM {
            parts.push(stem.into_owned());
        }
    }
    parts.sort();
    Ok(parts)
}

/// The glue with the loader in it: one file less to wait for.
fn joined(glue: &str, loader: &str) -> Result<String> {
    // The glue imports it once for each part.
    let imports = glue.lines().filter_map(|line| {
        let name = line.strip_prefix("import * as ")?;
        let (name, file) = name.split_once(" from ")?;
        file.contains(LOADER).then_some((line, name))
    });
    let imports: Vec<(&str, &str)> = imports.collect();
    ensure!(
        !imports.is_empty(),
        "wasm-bindgen's script does not import the loader"
    );
    let mut exports = Vec::new();
    let mut inside = String::new();
    for line in loader.lines() {
        // The glue is where this comes from.
        if line.starts_with("import ") {
            continue;
        }
        let line = match line.strip_prefix("export ") {
            Some(exported) => {
                let words = exported
                    .strip_prefix("const ")
                    .and_then(|it| it.split_once(' '));
                exports.push(words.context("the loader exports in another form")?.0);
                exported
            }
            None => line,
        };
        inside.push_str(line);
        inside.push('\n');
    }
    ensure!(!exports.is_empty(), "the loader exports nothing");
    let exports = exports.join(", ");
    let mut joined = glue.to_owned();
    for (at, (import, name)) in imports.into_iter().enumerate() {
        let inside = if at == 0 { &*inside } else { "" };
        let here = format!("{inside}const {name} = {{ {exports} }};");
        joined = joined.replacen(import, &here, 1);
    }
    Ok(joined)
}

/// Puts the divided program in the place of what Trunk staged.
fn replace(staging: &Path, module: &str, script: &str, parts: &[(String, String)]) -> Result<()> {
    let page = staging.join("index.html");
    let mut html = fs::read_to_string(&page)?;
    for (ending, new) in [("_bg.wasm", module), (".js", script)] {
        let old = staged_name(staging, ending, script)?;
        rename(&mut html, &old, new)?;
        fs::remove_file(staging.join(old))?;
    }
    for (part, file) in parts {
        html = hinted(&html, part, file);
    }
    fs::write(page, html).context("cannot write index.html")
}

/// The page, whose template of this part asks for the part's module too. So `style/boot.js` can ask for
/// it before the program is there. A part without a template is left as it is.
fn hinted(html: &str, part: &str, file: &str) -> String {
    let link = format!("<link rel=\"preload\" as=\"fetch\" crossorigin href=\"{file}\">");
    // Trunk's minifier leaves out the quotes.
    [
        format!("<template id=\"part-{part}\">"),
        format!("<template id=part-{part}>"),
    ]
    .iter()
    .fold(html.to_owned(), |html, start| {
        html.replace(start, &format!("{start}{link}"))
    })
}

/// The name that Trunk gave to a file of the program.
fn staged_name(staging: &Path, ending: &str, ours: &str) -> Result<String> {
    for entry in fs::read_dir(staging)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(PROGRAM) && name.ends_with(ending) && name != ours {
            return Ok(name);
        }
    }
    bail!("Trunk staged no {PROGRAM}…{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_becomes_part_of_the_glue() {
        let glue = "import * as import1 from \"./__wasm_split.js\"\n\nfunction initSync() {}\n";
        let loader = "import { initSync } from \"./beaconry-app.js\";\n\nfunction makeLoad() {}\n\
                      export const __wasm_split_load_device = makeLoad(() => {\n}, []);\n";
        assert_eq!(
            joined(glue, loader).unwrap(),
            "\nfunction makeLoad() {}\nconst __wasm_split_load_device = makeLoad(() => {\n}, []);\n\
             const import1 = { __wasm_split_load_device };\n\nfunction initSync() {}\n"
        );
    }

    #[test]
    fn a_loader_of_several_parts_stands_in_the_glue_once() {
        let glue = "import * as import1 from \"./__wasm_split.js\"\nimport * as import2 from \"./__wasm_split.js\"\n";
        let loader = "export const __wasm_split_load_device = 1;\nexport const __wasm_split_load_wind = 2;\n";
        assert_eq!(
            joined(glue, loader).unwrap(),
            "const __wasm_split_load_device = 1;\nconst __wasm_split_load_wind = 2;\n\
             const import1 = { __wasm_split_load_device, __wasm_split_load_wind };\n\
             const import2 = { __wasm_split_load_device, __wasm_split_load_wind };\n"
        );
    }

    #[test]
    fn a_template_asks_for_its_part() {
        let link = r#"<link rel="preload" as="fetch" crossorigin href="a-1.wasm">"#;
        for start in ["<template id=part-a>", "<template id=\"part-a\">"] {
            let html = format!("<p>{start}<script></script></template>");
            let with = format!("<p>{start}{link}<script></script></template>");
            assert_eq!(hinted(&html, "a", "a-1.wasm"), with);
            assert_eq!(hinted(&html, "b", "b-1.wasm"), html);
        }
    }

    #[test]
    fn a_glue_without_parts_is_an_error() {
        assert!(joined("function initSync() {}\n", "").is_err());
    }
}
