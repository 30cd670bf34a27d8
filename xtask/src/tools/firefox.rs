//! Firefox, for the smoke test of the page in a second browser.

use std::{env, path::PathBuf};

use anyhow::{Result, bail};

use super::{Finding, Need, State, apt};
use crate::{command, workspace::Workspace};

/// Finds the browser: `FIREFOX`, one of the usual places, or Debian's package.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(path) = find()? {
        return Ok(path);
    }
    // Ubuntu's package of this name only points to a snap, which does not start in containers.
    if is_debian() && apt::usable() {
        let _lock = workspace.cache.lock()?;
        apt::install(&["firefox-esr"])?;
        if let Some(path) = installed() {
            return Ok(path);
        }
    }
    bail!("The tests need Firefox, and none was found. {}", remedy())
}

fn find() -> Result<Option<PathBuf>> {
    if let Some(path) = env::var_os("FIREFOX").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!("FIREFOX is {}, but there is no such file", path.display());
        }
        return Ok(Some(path));
    }
    Ok(installed())
}

fn installed() -> Option<PathBuf> {
    const NAMES: &[&str] = &["firefox-esr", "firefox"];
    const PLACES: &[&str] = &[
        "/Applications/Firefox.app/Contents/MacOS/firefox",
        r"C:\Program Files\Mozilla Firefox\firefox.exe",
    ];
    NAMES
        .iter()
        .find_map(|name| command::find(name))
        .or_else(|| PLACES.iter().map(PathBuf::from).find(|path| path.is_file()))
}

fn is_debian() -> bool {
    apt::distribution().as_deref() == Some("debian")
}

fn remedy() -> &'static str {
    if cfg!(target_os = "macos") {
        "Run `brew install --cask firefox`, or set FIREFOX to a Firefox."
    } else if is_debian() {
        "Run `sudo apt-get install firefox-esr`, or set FIREFOX to a Firefox."
    } else {
        "Install Firefox, not as a snap, or set FIREFOX to one."
    }
}

/// The row for doctor.
pub(crate) fn findings() -> Vec<Finding> {
    let state = match find() {
        Ok(Some(path)) => {
            let version = command::first_line(&path, &["--version"]);
            State::found(
                version.unwrap_or_else(|| "unknown version".to_owned()),
                path,
            )
        }
        Ok(None) if apt::usable() && is_debian() => {
            State::missing("would run: apt-get install firefox-esr")
        }
        Ok(None) => State::missing(remedy()),
        Err(error) => State::missing(error.to_string()),
    };
    vec![Finding {
        name: "Firefox",
        need: Need::Test,
        state,
    }]
}
