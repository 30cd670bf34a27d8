//! rustup, the wasm32 target, Trunk and wasm-bindgen's command.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::{Finding, Need, State, apt};
use crate::{
    command,
    step::Step,
    workspace::{WASM, Workspace},
};

const TRUNK: &str = "0.21.14";
/// Splits the page's module. It must understand what `wasm_split_helpers` in Cargo.lock writes.
const SPLIT: &str = "0.2.4";
const SPLIT_CRATE: &str = "wasm_split_cli_support";
const CARGO_FUZZ: &str = "0.13.2";
const CARGO_DENY: &str = "0.20.2";
const CARGO_AUDIT: &str = "0.22.2";
/// libFuzzer is written in C++, so one of these must be there.
const CPP: &[&str] = &["c++", "g++", "clang++"];

/// The directories of the programs that make a page of WebAssembly, for `PATH`.
pub(crate) struct WasmTools {
    /// Holds `trunk`.
    pub(crate) trunk: PathBuf,
    /// Holds `wasm-bindgen` and `wasm-bindgen-test-runner`.
    pub(crate) bindgen: PathBuf,
    /// Holds `wasm-split-cli`.
    pub(crate) split: PathBuf,
}

/// Installs the target and the tools if they are missing.
pub(crate) fn ensure(workspace: &Workspace) -> Result<WasmTools> {
    ensure_target(workspace, WASM)?;
    Ok(WasmTools {
        bindgen: ensure_bindgen(workspace)?,
        trunk: ensure_trunk(workspace)?,
        split: install(
            workspace,
            SPLIT_CRATE,
            SPLIT,
            &["--locked", "--features", "build-binary"],
        )?,
    })
}

/// Adds a target to the pinned toolchain.
pub(crate) fn ensure_target(workspace: &Workspace, target: &str) -> Result<()> {
    if has_target(workspace, target) {
        return Ok(());
    }
    let _lock = workspace.cache.lock()?;
    let mut rustup = command::new("rustup");
    rustup.args(["target", "add", target, "--toolchain", &workspace.toolchain]);
    Step::new(format!("adding the target {target}")).run(&mut rustup)?;
    Ok(())
}

/// The directory of `wasm-bindgen` in Cargo.lock's version.
pub(crate) fn ensure_bindgen(workspace: &Workspace) -> Result<PathBuf> {
    let version = bindgen_version(workspace)?;
    // Without --locked, because its own lock file may name releases that were withdrawn.
    install(workspace, "wasm-bindgen-cli", &version, &[])
}

fn ensure_trunk(workspace: &Workspace) -> Result<PathBuf> {
    install(workspace, "trunk", TRUNK, &["--locked"])
}

/// The directory of `cargo-fuzz`.
pub(crate) fn ensure_cargo_fuzz(workspace: &Workspace) -> Result<PathBuf> {
    install(workspace, "cargo-fuzz", CARGO_FUZZ, &["--locked"])
}

/// The directory of `cargo-deny`.
pub(crate) fn ensure_cargo_deny(workspace: &Workspace) -> Result<PathBuf> {
    install(workspace, "cargo-deny", CARGO_DENY, &["--locked"])
}

/// The directory of `cargo-audit`.
pub(crate) fn ensure_cargo_audit(workspace: &Workspace) -> Result<PathBuf> {
    install(workspace, "cargo-audit", CARGO_AUDIT, &["--locked"])
}

/// Installs a C++ compiler where this program may.
pub(crate) fn ensure_cpp() -> Result<()> {
    if has_cpp() {
        return Ok(());
    }
    if !apt::usable() {
        bail!("The fuzz targets need a C++ compiler. {}", cpp_remedy());
    }
    apt::install(&["g++"])
}

/// The triple of this machine.
pub(crate) fn host(workspace: &Workspace) -> Result<String> {
    let mut rustc = command::new("rustc");
    rustc
        .env("RUSTUP_TOOLCHAIN", &workspace.toolchain)
        .arg("-vV");
    let told = command::stdout(&mut rustc)?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not tell its host")?.to_owned())
}

fn has_cpp() -> bool {
    CPP.iter().any(|name| command::find(name).is_some())
}

fn cpp_remedy() -> &'static str {
    match apt::distribution().as_deref() {
        Some("debian" | "ubuntu") => "Run: apt-get install g++",
        Some("fedora") => "Run: dnf install gcc-c++",
        _ if cfg!(target_os = "macos") => "Run: xcode-select --install",
        _ => "Install g++ or clang++ and put it on PATH.",
    }
}

/// Compiles a program from the registry, as a debug build: these programs only call others, and an
/// optimised build takes four times as long.
fn install(workspace: &Workspace, name: &str, version: &str, flags: &[&str]) -> Result<PathBuf> {
    let dir = workspace.cache.ensure(name, version, |dir| {
        let mut cargo = command::new("cargo");
        cargo
            .env("RUSTUP_TOOLCHAIN", &workspace.toolchain)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            // Neither this workspace's settings nor its user's should apply to other programs.
            .current_dir(workspace.cache.root())
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET")
            .env_remove("CARGO_BUILD_TARGET_DIR")
            .env_remove("CARGO_TARGET_DIR")
            .args(["install", name, "--version", version, "--debug", "--root"])
            .arg(dir)
            .args(flags);
        let title = format!("installing {name} {version} (once; a few minutes)");
        Step::new(title).run(&mut cargo)?;
        Ok(())
    })?;
    Ok(dir.join("bin"))
}

fn bindgen_version(workspace: &Workspace) -> Result<String> {
    workspace
        .locked_version("wasm-bindgen")?
        .context("Cargo.lock names no wasm-bindgen, so no version of its command can be chosen")
}

fn has_target(workspace: &Workspace, target: &str) -> bool {
    let mut rustc = command::new("rustc");
    rustc
        .env("RUSTUP_TOOLCHAIN", &workspace.toolchain)
        .args(["--print", "sysroot"]);
    command::stdout(&mut rustc).is_ok_and(|sysroot| {
        Path::new(&sysroot)
            .join("lib/rustlib")
            .join(target)
            .join("lib")
            .is_dir()
    })
}

/// The rows for doctor.
pub(crate) fn findings(workspace: &Workspace) -> Vec<Finding> {
    let rustup = match command::first_line("rustup", &["--version"]) {
        Some(version) => State::found(version, command::find("rustup")),
        None => State::missing("install rustup: https://rustup.rs"),
    };
    let mut rustc = command::new("rustc");
    rustc
        .env("RUSTUP_TOOLCHAIN", &workspace.toolchain)
        .arg("--version");
    let toolchain = match command::stdout(&mut rustc) {
        Ok(version) => State::found(version, None),
        Err(_) => State::missing(format!(
            "rustup toolchain install {} --profile minimal -c rustfmt -c clippy",
            workspace.toolchain
        )),
    };
    let target = if has_target(workspace, WASM) {
        State::found("installed", None)
    } else {
        let toolchain = &workspace.toolchain;
        State::missing(format!(
            "would run: rustup target add {WASM} --toolchain {toolchain}"
        ))
    };
    let bindgen = match bindgen_version(workspace) {
        Ok(version) => installed(workspace, "wasm-bindgen-cli", "wasm-bindgen", &version),
        Err(error) => State::missing(error.to_string()),
    };
    let finding = |name, need, state| Finding { name, need, state };
    vec![
        finding("rustup", Need::Prerequisite, rustup),
        finding("Rust toolchain", Need::Prerequisite, toolchain),
        finding("wasm32 target", Need::Build, target),
        finding(
            "trunk",
            Need::Build,
            installed(workspace, "trunk", "trunk", TRUNK),
        ),
        finding("wasm-bindgen", Need::Build, bindgen),
        finding("wasm-split-cli", Need::Build, split(workspace)),
        finding(
            "cargo-fuzz",
            Need::Test,
            installed(workspace, "cargo-fuzz", "cargo-fuzz", CARGO_FUZZ),
        ),
        finding(
            "cargo-deny",
            Need::Test,
            installed(workspace, "cargo-deny", "cargo-deny", CARGO_DENY),
        ),
        finding("C++ compiler", Need::Test, cpp()),
    ]
}

fn cpp() -> State {
    let found = CPP.iter().find_map(|name| command::find(name));
    match found {
        Some(path) => {
            let version = command::first_line(&path, &["--version"]).unwrap_or_default();
            State::found(version, path)
        }
        None => State::missing(cpp_remedy()),
    }
}

/// This program does not tell its version. Its folder does.
fn split(workspace: &Workspace) -> State {
    let folder = workspace.cache.tool(SPLIT_CRATE, SPLIT).join("bin");
    match command::find_in("wasm-split-cli", [folder]) {
        Some(path) => State::found(SPLIT, path),
        None => State::missing(format!(
            "would install {SPLIT_CRATE} {SPLIT} into the cache"
        )),
    }
}

fn installed(workspace: &Workspace, name: &str, program: &str, version: &str) -> State {
    let dir = workspace.cache.tool(name, version).join("bin");
    let path = command::find_in(program, [dir]);
    match path
        .as_ref()
        .and_then(|path| command::first_line(path, &["--version"]))
    {
        Some(version) => State::found(version, path),
        None => State::missing(format!("would install {name} {version} into the cache")),
    }
}
