//! What every WebAssembly module goes through after its compiler.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;

use crate::{command, step::Step, tools::rust::WasmTools, workspace::Workspace};

/// Writes a module that the browser can load, and the JavaScript that loads it, into an emptied
/// folder.
pub(super) fn bind(
    workspace: &Workspace,
    tools: &WasmTools,
    compiled: &Path,
    flags: &[&str],
    what: &str,
) -> Result<PathBuf> {
    let out = workspace.scratch().join(format!("{what}-bindings"));
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    let mut bindgen = command::new("wasm-bindgen");
    bindgen
        .env("PATH", command::path_with(&[&tools.bindgen])?)
        .args(["--target", "web", "--no-typescript"])
        .args(flags)
        .arg("--out-dir")
        .arg(&out)
        .arg(compiled);
    Step::new(format!("binding the {what} to JavaScript")).run(&mut bindgen)?;
    Ok(out)
}

/// Makes a module smaller, in place.
pub(super) fn shrink(
    workspace: &Workspace,
    module: &Path,
    flags: &[&str],
    what: &str,
) -> Result<()> {
    let mut wasm_opt = command::new("node");
    wasm_opt
        .current_dir(&workspace.root)
        .args(["node_modules/binaryen/bin/wasm-opt", "--strip-dwarf"])
        .args(flags)
        // Inlining a function that is called once makes the module smaller, but brotli then finds
        // less repetition in it.
        .args([
            "--one-caller-inline-max-function-size",
            "0",
            "--always-inline-max-function-size",
            "4",
        ])
        .args([
            "--strip-debug",
            "--strip-producers",
            "--strip-target-features",
        ])
        .arg("--output")
        .arg(module)
        .arg(module);
    Step::new(format!("shrinking {what}")).run(&mut wasm_opt)?;
    Ok(())
}
