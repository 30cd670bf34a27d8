//! Node.js and the packages of package-lock.json.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
};

use anyhow::{Context as _, Result, bail};

use super::{Finding, Need, State};
use crate::{command, step::Step, workspace::Workspace};

/// The oldest major version of Node.js that works.
const OLDEST: u32 = 20;
const INSTALL: &str = "install Node.js 20 or newer (npm comes with it): https://nodejs.org";
/// Tells which package-lock.json `node_modules` was filled from.
const STAMP: &str = "node_modules/.beaconry-lock";

/// Installs the packages if they are not those of the lock file. Returns the directory of their
/// commands.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    check_version()?;
    let bin = workspace.root.join("node_modules/.bin");
    let wanted = fingerprint(workspace)?;
    if is_current(workspace, &wanted) {
        return Ok(bin);
    }
    let _lock = workspace.cache.lock()?;
    let npm = command::find("npm").with_context(|| format!("npm was not found; {INSTALL}"))?;
    let mut npm = command::new(npm);
    npm.current_dir(&workspace.root).args([
        "ci",
        "--ignore-scripts",
        "--prefer-offline",
        "--no-audit",
        "--no-fund",
    ]);
    Step::new("installing the npm packages of package-lock.json").run(&mut npm)?;
    fs::write(workspace.root.join(STAMP), wanted)?;
    Ok(bin)
}

fn check_version() -> Result<()> {
    let Some(version) = command::first_line("node", &["--version"]) else {
        bail!("Node.js was not found; {INSTALL}");
    };
    if major(&version).is_none_or(|major| major < OLDEST) {
        bail!("Node.js {version} is too old; {INSTALL}");
    }
    Ok(())
}

fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn fingerprint(workspace: &Workspace) -> Result<String> {
    let lock = fs::read(workspace.root.join("package-lock.json"))
        .context("cannot read package-lock.json")?;
    let mut hasher = DefaultHasher::new();
    lock.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

fn is_current(workspace: &Workspace, wanted: &str) -> bool {
    fs::read_to_string(workspace.root.join(STAMP)).is_ok_and(|found| found == wanted)
}

/// The rows for doctor.
pub(crate) fn findings(workspace: &Workspace) -> Vec<Finding> {
    let node = match command::first_line("node", &["--version"]) {
        Some(version) if major(&version).is_some_and(|major| major >= OLDEST) => {
            State::found(version, command::find("node"))
        }
        Some(version) => State::missing(format!("{version} is too old; {INSTALL}")),
        None => State::missing(INSTALL),
    };
    let npm = command::find("npm");
    let npm = match npm
        .as_ref()
        .and_then(|npm| command::first_line(npm, &["--version"]))
    {
        Some(version) => State::found(version, npm),
        None => State::missing(INSTALL),
    };
    let current = fingerprint(workspace).is_ok_and(|wanted| is_current(workspace, &wanted));
    let packages = if current {
        State::found("as package-lock.json", workspace.root.join("node_modules"))
    } else {
        State::missing("would run: npm ci")
    };
    let optimizer = workspace.root.join("node_modules/.bin");
    let optimizer = command::find_in("wasm-opt", [optimizer]);
    let wasm_opt = match optimizer
        .as_ref()
        .and_then(|p| command::first_line(p, &["--version"]))
    {
        Some(version) => State::found(version, optimizer),
        None => State::missing("comes with the npm packages"),
    };
    let finding = |name, need, state| Finding { name, need, state };
    vec![
        finding("Node.js", Need::Prerequisite, node),
        finding("npm", Need::Prerequisite, npm),
        finding("npm packages", Need::Build, packages),
        finding("wasm-opt", Need::Build, wasm_opt),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(major("v20.11.1"), Some(20));
        assert_eq!(major("20"), None);
        assert_eq!(major("vx"), None);
    }
}
