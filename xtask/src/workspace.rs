//! Where things are in this repository, and the versions that it names.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use crate::{cache::Cache, command};

/// The target triple of everything that runs in the browser.
pub(crate) const WASM: &str = "wasm32-unknown-unknown";

/// The checkout, its pinned toolchain, and the cache of its tools.
pub(crate) struct Workspace {
    /// The root of the checkout.
    pub(crate) root: PathBuf,
    /// Cargo's target directory.
    pub(crate) target: PathBuf,
    /// The toolchain that rust-toolchain.toml names, for builds outside the checkout.
    pub(crate) toolchain: String,
    /// Where tools are installed.
    pub(crate) cache: Cache,
}

impl Workspace {
    /// Finds the checkout that this xtask belongs to. Cargo says at run time which one that is. The folder
    /// at compile time may be another one: checkouts that share a target directory share this program.
    pub(crate) fn load() -> Result<Self> {
        let folder = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = folder
            .parent()
            .context("xtask is not in a workspace")?
            .to_path_buf();
        let pin = read(&root.join("rust-toolchain.toml"))?;
        let toolchain = quoted_value(&pin, "channel")
            .context("rust-toolchain.toml names no channel")?
            .to_owned();
        Ok(Self {
            target: target_directory(&root)?,
            cache: Cache::locate()?,
            toolchain,
            root,
        })
    }

    /// The version of a crate in Cargo.lock, if the workspace uses it.
    pub(crate) fn locked_version(&self, package: &str) -> Result<Option<String>> {
        let lock = read(&self.root.join("Cargo.lock"))?;
        let name = format!("name = \"{package}\"");
        Ok(lock
            .split("[[package]]")
            .find(|entry| entry.lines().any(|line| line == name))
            .and_then(|entry| quoted_value(entry, "version"))
            .map(str::to_owned))
    }

    /// Where this program keeps its own output: logs, the widget bundle.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.target.join("xtask")
    }

    /// The server that `build::everything` builds.
    pub(crate) fn server(&self) -> PathBuf {
        self.target
            .join("release")
            .join(format!("beaconry{}", std::env::consts::EXE_SUFFIX))
    }
}

/// Asks cargo, because the directory may come from the environment or from any config.toml.
fn target_directory(root: &Path) -> Result<PathBuf> {
    let mut cargo = command::new("cargo");
    cargo
        .args(["metadata", "--no-deps", "--format-version=1"])
        .current_dir(root);
    let metadata = command::stdout(&mut cargo)?;
    let (_, rest) = metadata
        .split_once("\"target_directory\":\"")
        .context("cargo metadata names no target directory")?;
    let Some((path, _)) = rest.split_once('"') else {
        bail!("cargo metadata was cut short");
    };
    Ok(PathBuf::from(path.replace("\\\\", "\\")))
}

/// The string in the first `key = "string"` of a TOML text.
fn quoted_value<'a>(toml: &'a str, key: &str) -> Option<&'a str> {
    toml.lines().find_map(|line| {
        let (found, value) = line.split_once('=')?;
        (found.trim() == key).then(|| value.trim().trim_matches('"'))
    })
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_whole_key() {
        let toml = "[package]\nname = \"x\"\nrust-version = \"1.0\"\nversion = \"2.3.4\"\n";
        assert_eq!(quoted_value(toml, "version"), Some("2.3.4"));
        assert_eq!(quoted_value(toml, "channel"), None);
    }

    #[test]
    fn this_workspace_can_be_read() {
        let workspace = Workspace::load().unwrap();
        assert!(workspace.root.join("Cargo.toml").is_file());
        assert!(workspace.toolchain.starts_with("1."));
        assert!(workspace.locked_version("anyhow").unwrap().is_some());
        assert!(workspace.locked_version("no-such-crate").unwrap().is_none());
    }
}
