//! `cargo xtask interop`: writes docs/interop.md, which says which programs work together.
//!
//! The runs themselves are in `e2e/interop`. This installs what they need.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;

use crate::{
    build, command, platform,
    step::Step,
    tools::{self, peers},
    workspace::Workspace,
};

/// Runs everything, or what has one of these words in its name. Only a whole run writes the page.
pub(crate) fn run(workspace: &Workspace, words: &[String]) -> Result<ExitCode> {
    build::everything(workspace)?;
    let npm = tools::node::ensure(workspace)?;
    let browser = tools::browser::ensure(workspace)?;
    let programs = peers::ensure(workspace)?;
    let old_paho = peers::ensure_python(workspace, peers::OLD_PAHO)?;
    let aiomqtt = peers::ensure_python(workspace, peers::AIOMQTT)?;
    let nats = peers::ensure_nats(workspace)?;
    peers::ensure_rabbitmq(workspace)?;
    let rumqttc = build_rumqttc(workspace)?;

    let mut dirs: Vec<&Path> = vec![&npm];
    dirs.extend(programs.programs.iter().map(PathBuf::as_path));
    let mut node = command::new("node");
    node.current_dir(&workspace.root)
        .env("PATH", command::path_with(&dirs)?)
        .env("BEACONRY_BIN", workspace.server())
        .env("CHROMIUM", browser)
        .env("PYTHON_PAHO_1", old_paho)
        .env("PYTHON_PAHO_2", programs.python)
        .env("PYTHON_AIOMQTT", aiomqtt)
        .env("RUMQTTC", rumqttc)
        .env("NATS", nats)
        .arg("e2e/interop/run.mjs")
        .args(words);
    // It tells row by row.
    platform::become_program(&mut node)
}

/// The client in Rust, in a workspace of its own.
fn build_rumqttc(workspace: &Workspace) -> Result<PathBuf> {
    let target = workspace.target.join("interop");
    let mut cargo = command::new("cargo");
    cargo
        .current_dir(&workspace.root)
        .args(["build", "--locked", "--manifest-path"])
        .arg("e2e/interop/rumqttc/Cargo.toml")
        .arg("--target-dir")
        .arg(&target);
    Step::new("building a client with rumqttc").run(&mut cargo)?;
    let name = format!("beaconry-interop-rumqttc{}", std::env::consts::EXE_SUFFIX);
    Ok(target.join("debug").join(name))
}
