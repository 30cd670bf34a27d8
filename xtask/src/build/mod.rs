//! From sources to the one binary: builds the dashboard and the widgets into `dist/`, then the
//! server, whose build script embeds `dist/`.

mod fingerprint;
mod weigh;
mod widgets;

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};

use crate::{
    command, platform,
    step::Step,
    tools::{self, rust::WasmTools},
    workspace::{WASM, Workspace},
};

/// How many devices `cargo xtask serve` simulates, unless its arguments say otherwise.
const DEMO: &str = "24";

/// The most that the dashboard may be, in bytes after brotli.
const PAGE_BUDGET: u64 = 335_000;

/// Tells what `dist/` was made from. Trunk, when it is called by hand, deletes it together with the
/// rest.
const STAMP: &str = ".beaconry-inputs";

/// Installs what is missing, and builds the release binary with everything in it.
pub(crate) fn everything(workspace: &Workspace) -> Result<()> {
    page(workspace)?;
    let mut cargo = command::new("cargo");
    cargo
        .args(["build", "--release", "--package", "beaconry"])
        .current_dir(&workspace.root);
    Step::new("building the server").run(locked_in_ci(&mut cargo))?;
    Ok(())
}

/// Builds everything and becomes the server.
pub(crate) fn serve(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    everything(workspace)?;
    let args = args.strip_prefix(&["--".to_owned()]).unwrap_or(args);
    let mut server = command::new(workspace.server());
    server.arg("serve");
    if !args
        .iter()
        .any(|arg| arg == "--demo" || arg.starts_with("--demo="))
    {
        server.args(["--demo", DEMO]);
    }
    // Nobody needs the simulated devices' data tomorrow.
    let stores = |arg: &String| arg.starts_with("--data") || arg == "--in-memory";
    if !args.iter().any(stores) && std::env::var_os("BEACONRY_DATA").is_none() {
        server.arg("--in-memory");
    }
    platform::become_program(server.args(args))
}

/// Cargo must not change the lock file of a checkout that CI only tests.
pub(crate) fn locked_in_ci(cargo: &mut std::process::Command) -> &mut std::process::Command {
    if std::env::var_os("CI").is_some() {
        cargo.arg("--locked")
    } else {
        cargo
    }
}

/// Builds `dist/` if its sources have changed.
fn page(workspace: &Workspace) -> Result<()> {
    // This comes first: nothing here can install Node.js, so a missing one is reported at once.
    let npm = tools::node::ensure(workspace)?;
    let tools = tools::rust::ensure(workspace)?;
    // Builds with different target directories share this checkout's one `dist`.
    let work = format!(
        "page-{}",
        fingerprint::of_bytes(workspace.root.as_os_str().as_encoded_bytes())
    );
    let _lock = workspace.cache.lock_for(&work, "building the page")?;
    let dist = workspace.root.join("dist");
    let inputs = fingerprint::of_page(workspace)?;
    let made_of = fs::read_to_string(dist.join(STAMP)).unwrap_or_default();
    if made_of == inputs && dist.join("index.html").is_file() {
        eprintln!("xtask: the dashboard and the widgets are up to date");
        return Ok(());
    }
    fetch(workspace)?;
    dashboard(workspace, &tools, &npm)?;
    minify(workspace, &dist)?;
    weigh::check(workspace, &dist, "the dashboard", PAGE_BUDGET)?;
    widgets::build(workspace, &tools, &dist.join("embed"))?;
    fs::write(dist.join(STAMP), inputs).context("cannot write into dist")?;
    Ok(())
}

/// Downloads the crates. The steps that follow need no network.
fn fetch(workspace: &Workspace) -> Result<()> {
    let host = command::stdout(
        command::new("rustc")
            .arg("-vV")
            .current_dir(&workspace.root),
    )?;
    let host = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc names no host")?;
    let mut cargo = command::new("cargo");
    cargo
        .args(["fetch", "--target", WASM, "--target", host])
        .current_dir(&workspace.root);
    Step::new("fetching the crates").run(locked_in_ci(&mut cargo))?;
    Ok(())
}

fn dashboard(workspace: &Workspace, tools: &WasmTools, npm: &Path) -> Result<()> {
    let mut trunk = command::new("trunk");
    trunk
        .env(
            "PATH",
            command::path_with(&[&tools.trunk, &tools.bindgen, npm])?,
        )
        // Trunk reads NO_COLOR as a boolean, and refuses the `1` that everyone sets.
        .env_remove("NO_COLOR")
        // With `--offline` Trunk takes wasm-bindgen and wasm-opt from PATH and looks nowhere else.
        .args(["build", "--release", "--offline"])
        .current_dir(&workspace.root);
    Step::new("building the dashboard").run(&mut trunk)?;
    Ok(())
}

/// Makes the dashboard's own script smaller. Trunk's minifier leaves it as wasm-bindgen wrote it.
fn minify(workspace: &Workspace, dist: &Path) -> Result<()> {
    for entry in fs::read_dir(dist)? {
        let script = entry?.path();
        let name = script.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("beaconry-app-") && name.ends_with(".js") {
            let content = widgets::minified(workspace, &script)?;
            fs::write(&script, content).context("cannot write into dist")?;
        }
    }
    Ok(())
}
