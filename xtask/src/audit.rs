//! `cargo xtask audit`: checks what is linked, and looks for known faults in it.

use std::{
    env,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Result, bail};

use crate::{
    command,
    step::{Outcome, Step},
    tools,
    workspace::Workspace,
};

const WITHOUT: &str = "--without-advisories";
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";
/// How long the advisory database may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the database of known faults is.
enum Database {
    /// A clone that the user names.
    Here(PathBuf),
    /// The tools can fetch it.
    Online,
    /// Nobody can reach it.
    Nowhere,
}

/// Runs every check that can run. A check that cannot run is a failure, unless a flag leaves it
/// out.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let wants_advisories = match args {
        [] => true,
        [only] if only == WITHOUT => false,
        [other, ..] => bail!("`cargo xtask audit` takes {WITHOUT} or nothing, but got `{other}`"),
    };
    let mut good = passes(
        "licences, duplicates and sources",
        &mut deny(workspace, &["licenses", "bans", "sources"])?,
    )?;
    if !wants_advisories {
        eprintln!("xtask: known faults: NOT CHECKED, as you asked");
        return Ok(code(good));
    }
    match database() {
        Database::Here(db) => {
            let date = command::stdout(command::new("git").arg("-C").arg(&db).args([
                "log",
                "-1",
                "--format=%cs",
            ]))?;
            eprintln!(
                "xtask: the list of known faults in {} is of {date}",
                db.display()
            );
            let mut audit = audit(workspace)?;
            audit.arg("--no-fetch").arg("--db").arg(db);
            good &= passes("known faults (cargo-audit)", &mut audit)?;
        }
        Database::Online => {
            let mut deny = deny(workspace, &["advisories"])?;
            good &= passes("known faults (cargo-deny)", &mut deny)?;
            good &= passes("known faults (cargo-audit)", &mut audit(workspace)?)?;
        }
        Database::Nowhere => {
            good = false;
            eprintln!(
                "xtask: known faults: NOT CHECKED: {ADVISORIES} cannot be reached from here.\n  \
                 Clone it where it can be, and name the clone: BEACONRY_ADVISORY_DB=DIR cargo xtask audit\n  \
                 or leave this out: cargo xtask audit {WITHOUT}"
            );
        }
    }
    Ok(code(good))
}

/// cargo-deny with these checks, as deny.toml configures them.
pub(crate) fn deny(workspace: &Workspace, checks: &[&str]) -> Result<Command> {
    let mut deny = command::new(tools::rust::ensure_cargo_deny(workspace)?.join("cargo-deny"));
    deny.current_dir(&workspace.root)
        .args(["--locked", "check", "--hide-inclusion-graph"])
        .args(checks);
    Ok(deny)
}

fn audit(workspace: &Workspace) -> Result<Command> {
    let mut audit = command::new(tools::rust::ensure_cargo_audit(workspace)?.join("cargo-audit"));
    audit
        .current_dir(&workspace.root)
        .args(["audit", "--deny", "unsound", "--deny", "yanked"]);
    Ok(audit)
}

fn database() -> Database {
    if let Some(dir) = env::var_os("BEACONRY_ADVISORY_DB").filter(|dir| !dir.is_empty()) {
        return Database::Here(dir.into());
    }
    let mut git = command::new("git");
    git.env("GIT_TERMINAL_PROMPT", "0")
        .args(["ls-remote", "--exit-code", ADVISORIES, "HEAD"]);
    let asked = Step::new("asking for the list of known faults")
        .limit(PATIENCE)
        .outcome(&mut git);
    match asked {
        Ok(outcome) if outcome.status.success() => Database::Online,
        Ok(_) | Err(_) => Database::Nowhere,
    }
}

fn passes(what: &str, check: &mut Command) -> Result<bool> {
    let outcome: Outcome = Step::new(format!("checking {what}")).outcome(check)?;
    if !outcome.status.success() {
        eprintln!("{}\n\nTo run it by hand:", outcome.tail(100));
        eprintln!("  {}\n", command::shown(check));
    }
    Ok(outcome.status.success())
}

fn code(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
