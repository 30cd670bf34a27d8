//! Chromium, for the tests.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use super::{Finding, Need, State, apt};
use crate::{command, step::Step, workspace::Workspace};

/// Finds the browser: `CHROMIUM`, one of the usual places, Debian's package, or Playwright's own.
///
/// The npm packages must be installed.
pub(crate) fn ensure(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(path) = find(workspace)? {
        return Ok(path);
    }
    // Ubuntu's package of this name only points to a snap, which does not start in containers.
    if apt::distribution().as_deref() == Some("debian") && apt::usable() {
        let _lock = workspace.cache.lock()?;
        apt::install(&["chromium"])?;
        if let Some(path) = installed() {
            return Ok(path);
        }
    }
    let _lock = workspace.cache.lock()?;
    let mut install = playwright(workspace, &["install", "chromium"]);
    let outcome = Step::new("installing Playwright's Chromium").outcome(&mut install)?;
    match find(workspace)? {
        Some(path) if outcome.status.success() => Ok(path),
        _ => bail!(
            "{}\n\nThe tests need Chromium. None was found, and none could be installed. {}",
            outcome.tail(20),
            remedy()
        ),
    }
}

fn find(workspace: &Workspace) -> Result<Option<PathBuf>> {
    if let Some(path) = env::var_os("CHROMIUM").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        if !path.is_file() {
            bail!("CHROMIUM is {}, but there is no such file", path.display());
        }
        return Ok(Some(path));
    }
    Ok(installed().or_else(|| playwrights_own(workspace)))
}

fn installed() -> Option<PathBuf> {
    const NAMES: &[&str] = &[
        "chromium",
        "chromium-browser",
        "google-chrome-stable",
        "google-chrome",
        "chrome",
    ];
    const PLACES: &[&str] = &[
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        r"C:\Program Files\Google\Chrome\Application\chrome.exe",
        r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    ];
    NAMES
        .iter()
        .find_map(|name| command::find(name))
        .or_else(|| PLACES.iter().map(PathBuf::from).find(|path| path.is_file()))
}

fn playwrights_own(workspace: &Workspace) -> Option<PathBuf> {
    let script = "import('playwright-core').then(p => console.log(p.chromium.executablePath()))";
    let mut node = command::new("node");
    node.args(["-e", script]);
    let path = command::stdout(in_our_cache(workspace, &mut node))
        .ok()
        .map(PathBuf::from)?;
    path.is_file().then_some(path)
}

fn playwright(workspace: &Workspace, args: &[&str]) -> Command {
    let mut node = command::new("node");
    node.arg("node_modules/playwright-core/cli.js").args(args);
    in_our_cache(workspace, &mut node);
    node
}

fn in_our_cache<'a>(workspace: &Workspace, node: &'a mut Command) -> &'a mut Command {
    let browsers: &Path = &workspace.cache.root().join("browsers");
    node.current_dir(&workspace.root)
        .env("PLAYWRIGHT_BROWSERS_PATH", browsers)
}

fn remedy() -> &'static str {
    if cfg!(target_os = "macos") {
        "Run `brew install --cask chromium`, or set CHROMIUM to a Chromium or Chrome."
    } else if cfg!(windows) {
        "Install Chrome, or set CHROMIUM to a Chromium or Chrome."
    } else if apt::distribution().as_deref() == Some("debian") {
        "Run `sudo apt-get install chromium`, or set CHROMIUM to a Chromium or Chrome."
    } else {
        "Install Chromium or Chrome with your system's package manager, or set CHROMIUM to one."
    }
}

/// The rows for doctor.
pub(crate) fn findings(workspace: &Workspace) -> Vec<Finding> {
    let state = match find(workspace) {
        Ok(Some(path)) => {
            let version = command::first_line(&path, &["--version"]);
            State::found(
                version.unwrap_or_else(|| "unknown version".to_owned()),
                path,
            )
        }
        Ok(None) if apt::usable() && apt::distribution().as_deref() == Some("debian") => {
            State::missing("would run: apt-get install chromium")
        }
        Ok(None) => State::missing(format!("would try Playwright's own; else: {}", remedy())),
        Err(error) => State::missing(error.to_string()),
    };
    vec![Finding {
        name: "Chromium",
        need: Need::Test,
        state,
    }]
}
