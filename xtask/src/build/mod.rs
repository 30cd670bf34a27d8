//! From sources to the one binary: builds the dashboard and the widgets into `dist/`, then the
//! server, whose build script embeds `dist/`.

mod files;
mod fingerprint;
mod split;
mod wasm;
mod weigh;
mod widgets;

pub(crate) use split::staged as split;

use std::{fs, io::ErrorKind, net::TcpListener, path::Path, process::ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::{
    command, platform,
    step::Step,
    tools::{self, rust::WasmTools},
    workspace::{WASM, Workspace},
};

/// How many devices `cargo xtask serve` simulates, unless its arguments say otherwise.
const DEMO: &str = "24";

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
    manual(workspace)
}

/// Writes the manual pages and the completions of shells beside the binary.
fn manual(workspace: &Workspace) -> Result<()> {
    let release = workspace.server();
    let release = release.parent().context("the binary has no folder")?;
    let mut man = command::new(workspace.server());
    man.arg("man").arg(release.join("man"));
    Step::new("writing the manual pages").run(&mut man)?;
    let completions = release.join("completions");
    fs::create_dir_all(&completions)?;
    for (shell, name) in [
        ("bash", "beaconry.bash"),
        ("zsh", "_beaconry"),
        ("fish", "beaconry.fish"),
    ] {
        let mut print = command::new(workspace.server());
        let script = command::stdout(print.args(["completions", shell]))?;
        fs::write(completions.join(name), script + "\n")?;
    }
    Ok(())
}

/// Builds everything and becomes the server.
pub(crate) fn serve(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let args = args.strip_prefix(&["--".to_owned()]).unwrap_or(args);
    for (flag, default) in [("--mqtt", "127.0.0.1:1883"), ("--http", "127.0.0.1:8080")] {
        check_free(
            flag,
            &address(args, flag).unwrap_or_else(|| default.to_owned()),
        )?;
    }
    everything(workspace)?;
    let mut server = command::new(workspace.server());
    server.arg("serve");
    if !args
        .iter()
        .any(|arg| arg == "--demo" || arg.starts_with("--demo="))
    {
        server.args(["--demo", DEMO]);
    }
    // So what happened is remembered over a restart, too.
    let stores = |arg: &String| arg.starts_with("--data") || arg == "--in-memory";
    if !args.iter().any(stores) && std::env::var_os("BEACONRY_DATA").is_none() {
        server
            .arg("--data")
            .arg(workspace.target.join("beaconry-data"));
    }
    platform::become_program(server.args(args))
}

/// The address that a flag of the server gives, or else its variable.
fn address(args: &[String], flag: &str) -> Option<String> {
    let at = args.iter().position(|arg| arg == flag);
    let apart = at.and_then(|at| args.get(at + 1)).cloned();
    let joined = || {
        let mut values = args
            .iter()
            .filter_map(|arg| arg.strip_prefix(flag)?.strip_prefix('='));
        values.next().map(str::to_owned)
    };
    let variable = || std::env::var(flag.replace("--", "BEACONRY_").to_uppercase()).ok();
    apart.or_else(joined).or_else(variable)
}

/// Fails if another program uses the address: better now than after minutes of building.
fn check_free(flag: &str, address: &str) -> Result<()> {
    match TcpListener::bind(address) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "another program uses {address}. End it, or choose other ports, for example:\n  \
             cargo xtask serve -- --mqtt 127.0.0.1:1884 --http 127.0.0.1:8081\n({flag} is the flag for {address})"
        ),
        // The server reports everything else about its addresses.
        Ok(_) | Err(_) => Ok(()),
    }
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
    weigh::page(workspace, &dist)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_each_form_of_a_flag() {
        let args = ["--mqtt", "a:1", "--http=b:2"].map(str::to_owned);
        assert_eq!(address(&args, "--mqtt").as_deref(), Some("a:1"));
        assert_eq!(address(&args, "--http").as_deref(), Some("b:2"));
    }

    #[test]
    fn a_port_in_use_is_reported_with_what_to_do() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap().to_string();
        let error = check_free("--mqtt", &address).unwrap_err().to_string();
        assert!(
            error.contains(&address) && error.contains("serve -- --mqtt"),
            "{error}"
        );
        check_free("--mqtt", "127.0.0.1:0").unwrap();
    }
}
