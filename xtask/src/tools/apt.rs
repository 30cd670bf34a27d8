//! Debian's and Ubuntu's packages, where this program may install them.

use std::{fs, path::Path};

use anyhow::Result;

use crate::{command, step::Step};

/// The system's `ID` in os-release: `debian`, `ubuntu`, …
pub(crate) fn distribution() -> Option<String> {
    let text = fs::read_to_string("/etc/os-release").ok()?;
    let id = text.lines().find_map(|line| line.strip_prefix("ID="))?;
    Some(id.trim_matches('"').to_owned())
}

/// Whether apt-get exists and this user may run it.
pub(crate) fn usable() -> bool {
    Path::new("/etc/debian_version").exists()
        && command::find("apt-get").is_some()
        && command::first_line("id", &["-u"]).as_deref() == Some("0")
}

/// Refreshes the package lists and installs these packages.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    Step::new("apt-get update").run(&mut apt(&["update"]))?;
    let mut args = vec!["install", "-y", "--no-install-recommends"];
    args.extend(packages);
    Step::new(format!("installing {}", packages.join(", "))).run(&mut apt(&args))?;
    Ok(())
}

fn apt(args: &[&str]) -> std::process::Command {
    let mut command = command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        // This keeps apt from starting services: mosquitto's would take our port.
        .env("RUNLEVEL", "1")
        .args(["-o", "DPkg::Lock::Timeout=120"])
        .args(args);
    command
}
