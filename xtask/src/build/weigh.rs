//! What a browser downloads, compressed as the server sends it.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, bail};

use crate::{command, workspace::Workspace};

/// The most that the page may load before it can be used, in bytes after brotli.
const FIRST_LOAD: u64 = 350_000;

/// The most that each part of the page may load when it is first used: its module, and what
/// `<template id="part-NAME">` in `index.html` names. `chunk` is what several parts share.
const PARTS: &[(&str, u64)] = &[("device", 180_000), ("wind", 40_000), ("chunk", 40_000)];

/// Prints the size in brotli of each file in a folder. It leaves out hidden files and folders.
const SCRIPT: &str = "const [dir] = process.argv.slice(1);
    for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
        if (!entry.isFile() || entry.name.startsWith('.')) continue;
        const size = zlib.brotliCompressSync(fs.readFileSync(path.join(dir, entry.name))).length;
        console.log(size, entry.name);
    }";

type Sizes = BTreeMap<String, u64>;

/// Prints the size of all files in `folder`, and fails when it is over `budget` bytes.
pub(super) fn folder(workspace: &Workspace, folder: &Path, what: &str, budget: u64) -> Result<()> {
    hold(what, &sizes(workspace, folder)?, budget)
}

/// Prints what the page loads at first and what each part loads later, and fails when one of them
/// is over its budget.
pub(super) fn page(workspace: &Workspace, dist: &Path) -> Result<()> {
    let html = fs::read_to_string(dist.join("index.html")).context("cannot read index.html")?;
    let mut loads = divided(sizes(workspace, dist)?, &html)?;
    let first = loads.remove(FIRST).unwrap_or_default();
    hold("the dashboard's first load", &first, FIRST_LOAD)?;
    for (part, files) in loads {
        let budget = PARTS.iter().find(|(name, _)| *name == part);
        let (_, budget) = budget.with_context(|| {
            format!("the part {part} has no budget: name it in xtask/src/build/weigh.rs")
        })?;
        hold(&format!("the part {part}"), &files, *budget)?;
    }
    Ok(())
}

/// No part has this name.
const FIRST: &str = "";

/// Which files each part loads. What neither `index.html` nor a part names (an icon for
/// installed pages) is none of them.
fn divided(sizes: Sizes, html: &str) -> Result<BTreeMap<String, Sizes>> {
    let (outside, templates) = templates(html)?;
    let mut loads = BTreeMap::<String, Sizes>::new();
    for (file, size) in sizes {
        let later = templates.iter().find(|(_, text)| text.contains(&file));
        let load = if file == "index.html" || outside.contains(&file) {
            FIRST
        } else if let Some((part, _)) = later {
            part
        } else if let Some(module) = file.strip_suffix(".wasm") {
            // `device-HASH`, `chunk_2-HASH`.
            let end = module.find(['-', '_']).unwrap_or(module.len());
            &module[..end]
        } else {
            continue;
        };
        loads.entry(load.to_owned()).or_default().insert(file, size);
    }
    Ok(loads)
}

/// The page without its templates, and each part's template.
fn templates(html: &str) -> Result<(String, Vec<(&str, &str)>)> {
    let mut outside = String::new();
    let mut found = Vec::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once("<template id=") {
        let (inside, after) = after
            .split_once("</template>")
            .context("a template does not end")?;
        let (id, content) = inside
            .split_once('>')
            .context("a template has no content")?;
        // Trunk's minifier leaves out the quotes.
        let part = id.trim_matches('"').strip_prefix("part-");
        found.push((part.context("a template is of no part")?, content));
        outside.push_str(before);
        rest = after;
    }
    outside.push_str(rest);
    Ok((outside, found))
}

fn sizes(workspace: &Workspace, folder: &Path) -> Result<Sizes> {
    let printed = command::stdout(
        command::new("node")
            .current_dir(&workspace.root)
            .args(["--input-type=commonjs", "--eval", SCRIPT, "--"])
            .arg(folder),
    )?;
    let sizes = printed.lines().map(|line| {
        let (size, name) = line.split_once(' ')?;
        Some((name.to_owned(), size.parse().ok()?))
    });
    let sizes = sizes.collect::<Option<_>>();
    sizes.with_context(|| format!("cannot weigh {}", folder.display()))
}

/// Prints the sum, and fails when it is over the budget.
fn hold(what: &str, sizes: &Sizes, budget: u64) -> Result<()> {
    let sum: u64 = sizes.values().sum();
    eprintln!("xtask: {what}: {sum} bytes in brotli, of {budget}");
    if sum > budget {
        let each = sizes
            .iter()
            .map(|(name, size)| format!("\n{size:>8} {name}"));
        bail!("{what}: too large, in brotli:{}", each.collect::<String>());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTML: &str = r#"<link href="base-1.css"><script data-wasm="app-1.wasm" src="boot.js"></script>
        <template id=part-device><script src="uplot-1.js"></script></template><link href="icon.svg">"#;

    #[test]
    fn each_file_counts_where_it_is_loaded() {
        let names = [
            "index.html",
            "base-1.css",
            "boot.js",
            "app-1.wasm",
            "icon.svg",
            "uplot-1.js",
            "device-1.wasm",
            "chunk_2-1.wasm",
            "icon-maskable.svg",
        ];
        let sizes = names.map(|name| (name.to_owned(), 1)).into();
        let loads = divided(sizes, HTML).unwrap();
        let counted = |part: &str| loads[part].keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(
            counted(FIRST),
            [
                "app-1.wasm",
                "base-1.css",
                "boot.js",
                "icon.svg",
                "index.html"
            ]
        );
        assert_eq!(counted("device"), ["device-1.wasm", "uplot-1.js"]);
        assert_eq!(counted("chunk"), ["chunk_2-1.wasm"]);
        assert_eq!(loads.len(), 3);
    }

    #[test]
    fn what_is_over_its_budget_is_refused_with_its_files() {
        let sizes = [("a.wasm".to_owned(), 7), ("b.js".to_owned(), 4)].into();
        hold("it", &sizes, 11).unwrap();
        let error = hold("it", &sizes, 10).unwrap_err().to_string();
        assert!(
            error.contains("7 a.wasm") && error.contains("4 b.js"),
            "{error}"
        );
    }
}
