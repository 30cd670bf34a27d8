//! The widget bundle: `embed/beaconry.js`, whose name pages of others write down and which
//! therefore never changes, and what it loads, whose names change with their content.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{fingerprint, locked_in_ci};
use crate::{
    command,
    step::Step,
    tools::rust::WasmTools,
    workspace::{WASM, Workspace},
};

/// wasm-bindgen's name for the module; the script names it in one place.
const MODULE: &str = "beaconry_widgets_bg.wasm";

/// What rustc's wasm32 target turns on by itself; wasm-opt must accept it in its input.
const FEATURES: &[&str] = &[
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Builds the widgets and puts them into `embed`, anew.
pub(crate) fn build(workspace: &Workspace, tools: &WasmTools, embed: &Path) -> Result<()> {
    let compiled = compile(workspace)?;
    let bindings = bind(workspace, tools, &compiled)?;
    let module = optimize(workspace, &bindings)?;
    assemble(&bindings, &module, embed)
}

fn compile(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = command::new("cargo");
    cargo
        .args([
            "build",
            "--package",
            "beaconry-widgets",
            "--lib",
            "--profile",
            "wasm",
        ])
        .args(["--target", WASM])
        .current_dir(&workspace.root);
    Step::new("building the widgets").run(locked_in_ci(&mut cargo))?;
    Ok(workspace
        .target
        .join(WASM)
        .join("wasm/beaconry_widgets.wasm"))
}

fn bind(workspace: &Workspace, tools: &WasmTools, compiled: &Path) -> Result<PathBuf> {
    let out = workspace.scratch().join("widgets");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    let mut bindgen = command::new("wasm-bindgen");
    bindgen
        .env("PATH", command::path_with(&[&tools.bindgen])?)
        .args(["--target", "web", "--no-typescript", "--out-dir"])
        .arg(&out)
        .arg(compiled);
    Step::new("binding the widgets to JavaScript").run(&mut bindgen)?;
    Ok(out)
}

fn optimize(workspace: &Workspace, bindings: &Path) -> Result<PathBuf> {
    let optimized = workspace.scratch().join("widgets-optimized.wasm");
    let mut wasm_opt = command::new("node");
    wasm_opt
        .current_dir(&workspace.root)
        .args(["node_modules/binaryen/bin/wasm-opt", "-Oz"])
        .args(FEATURES)
        .arg("--output")
        .arg(&optimized)
        .arg(bindings.join(MODULE));
    Step::new("shrinking the widgets").run(&mut wasm_opt)?;
    Ok(optimized)
}

/// Names everything but the script by its content, tells the script, and lets it start by itself.
fn assemble(bindings: &Path, module: &Path, embed: &Path) -> Result<()> {
    let mut script = fs::read_to_string(bindings.join("beaconry_widgets.js"))?;
    if embed.exists() {
        fs::remove_dir_all(embed)?;
    }
    fs::create_dir_all(embed)?;

    let wasm = fs::read(module)?;
    let name = format!("beaconry-{}_bg.wasm", fingerprint::of_bytes(&wasm));
    fs::write(embed.join(&name), wasm)?;
    rename(&mut script, MODULE, &name)?;

    let mut snippets = Vec::new();
    fingerprint::collect(&bindings.join("snippets"), &mut snippets)?;
    for snippet in snippets {
        let content = fs::read(&snippet)?;
        let stem = snippet.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("{stem}-{}.js", fingerprint::of_bytes(&content));
        fs::write(embed.join(&name), content)?;
        let old = snippet
            .strip_prefix(bindings)?
            .to_string_lossy()
            .replace('\\', "/");
        rename(&mut script, &old, &name)?;
    }

    // wasm-bindgen leaves the start to the page; the pages that these widgets are for hold one tag.
    script.push_str("\n__wbg_init().catch((error) => console.error('beaconry:', error));\n");
    fs::write(embed.join("beaconry.js"), script).context("cannot write the widgets' script")
}

fn rename(script: &mut String, old: &str, new: &str) -> Result<()> {
    if !script.contains(old) {
        bail!("the widgets' script does not name {old}: wasm-bindgen changed how it writes it");
    }
    *script = script.replace(old, new);
    Ok(())
}
