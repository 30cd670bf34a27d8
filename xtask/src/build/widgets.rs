//! The widget bundle. Other people's pages name `embed/beaconry.js`, so its name never changes. It
//! loads files whose names change with their content. The WebAssembly module and its glue come only
//! for elements that follow another broker.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    files::{minified, publish, rename},
    fingerprint, locked_in_ci, wasm, weigh,
};
use crate::{
    command,
    step::Step,
    tools::rust::WasmTools,
    workspace::{WASM, Workspace},
};

/// wasm-bindgen's name for the module. The JavaScript glue names it in one place.
const MODULE: &str = "beaconry_widgets_bg.wasm";

/// The script that pages name. It imports the others; they import nothing.
const SCRIPT: &str = "beaconry.js";

/// The most that a page with a widget may have to load, in bytes after brotli.
const BUDGET: u64 = 60_000;

/// Builds the widgets into an empty `embed`.
pub(crate) fn build(workspace: &Workspace, tools: &WasmTools, embed: &Path) -> Result<()> {
    let compiled = compile(workspace)?;
    let bindings = wasm::bind(workspace, tools, &compiled, &[], "widgets")?;
    let module = bindings.join(MODULE);
    wasm::shrink(workspace, &module, &["-Oz", "--converge"], "the widgets")?;
    assemble(workspace, &bindings, &module, embed)?;
    weigh::folder(workspace, embed, "the widgets", BUDGET)
}

fn compile(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = command::new("cargo");
    cargo
        .args([
            "build",
            "--package",
            "beaconry-widgets",
            // Without std: see crates/widgets/src/bundle.rs.
            "--no-default-features",
            "--lib",
            "--profile",
            "wasm",
        ])
        .args(["--target", WASM])
        // Only the widgets get these flags, so that the dashboard's crates need not be built again.
        .env("CARGO_ENCODED_RUSTFLAGS", short_paths(workspace)?)
        .current_dir(&workspace.root);
    Step::new("building the widgets").run(locked_in_ci(&mut cargo))?;
    Ok(workspace
        .target
        .join(WASM)
        .join("wasm/beaconry_widgets.wasm"))
}

/// Each place that can panic names its file. The widgets never print it, and nobody should learn a
/// builder's home folder. So the names are short, and the same on every machine.
fn short_paths(workspace: &Workspace) -> Result<String> {
    let mut rustc = command::new("rustc");
    rustc
        .args(["--print", "sysroot"])
        .current_dir(&workspace.root);
    let sysroot = command::stdout(&mut rustc)?;
    let library = format!("{sysroot}/lib/rustlib/src/rust/library");
    let mut flags = vec![format!("--remap-path-prefix={library}=")];
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let registries = home.map(|home| home.join("registry/src"));
    for registry in registries
        .into_iter()
        .filter_map(|all| fs::read_dir(all).ok())
    {
        for place in registry {
            flags.push(format!("--remap-path-prefix={}=", place?.path().display()));
        }
    }
    // Cargo wants this separator here, because paths may hold spaces.
    Ok(flags.join("\u{1f}"))
}

/// Names every file but the script by its content, and writes these names into what imports them.
fn assemble(workspace: &Workspace, bindings: &Path, module: &Path, embed: &Path) -> Result<()> {
    if embed.exists() {
        fs::remove_dir_all(embed)?;
    }
    fs::create_dir_all(embed)?;

    let mut glue = fs::read_to_string(bindings.join("beaconry_widgets.js"))?;
    let wasm = publish(embed, "widgets", "wasm", &fs::read(module)?)?;
    rename(&mut glue, MODULE, &wasm)?;
    let whole = workspace.scratch().join("widgets-glue.js");
    fs::write(&whole, glue)?;
    let glue = publish(embed, "mqtt", "js", minified(workspace, &whole)?.as_bytes())?;

    let sources = workspace.root.join("crates/widgets/js");
    let mut script = minified(workspace, &sources.join(SCRIPT))?;
    rename(&mut script, "./mqtt.js", &format!("./{glue}"))?;
    let mut files = Vec::new();
    fingerprint::collect(&sources, &mut files)?;
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        if name.ends_with(".css") {
            let css = fs::read_to_string(&file)?;
            ensure!(
                css.is_ascii(),
                "{name} must be ASCII, to be a text in a script"
            );
            rename(&mut script, &format!("\"@{name}\""), &format!("{css:?}"))?;
        } else if name != SCRIPT {
            let content = minified(workspace, &file)?;
            let published = publish(embed, &stem, "js", content.as_bytes())?;
            rename(&mut script, &format!("./{name}"), &format!("./{published}"))?;
        }
    }
    fs::write(embed.join(SCRIPT), script).context("cannot write the widgets' script")
}
