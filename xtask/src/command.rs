//! Starts other programs.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// A command without the variables that cargo sets for the program that it runs (this one). With
/// them, a cargo, rustc or rustup would take our toolchain and package for its own.
pub(crate) fn new(program: impl AsRef<OsStr>) -> Command {
    const EXACT: &[&str] = &[
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTUP_TOOLCHAIN",
        "RUSTUP_TOOLCHAIN_SOURCE",
        "RUST_RECURSION_COUNT",
    ];
    const PREFIXES: &[&str] = &[
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_CRATE_",
    ];

    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        if EXACT.contains(&text) || PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// The command as a user would type it, with the directory and the variables that it needs.
pub(crate) fn shown(command: &Command) -> String {
    let mut words = Vec::new();
    if let Some(dir) = command.get_current_dir() {
        words.extend(["cd".to_owned(), quoted(dir.as_os_str()), "&&".to_owned()]);
    }
    for (name, value) in command.get_envs() {
        // Without a value, the variable is removed for this command. A user's shell does not have
        // it, so the shown command need not remove it.
        if let Some(value) = value {
            words.push(format!("{}={}", name.to_string_lossy(), quoted(value)));
        }
    }
    words.push(quoted(command.get_program()));
    words.extend(command.get_args().map(quoted));
    words.join(" ")
}

/// What the command prints. If it fails, returns an error with its stderr.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}):\n{}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

/// The first line that `program args…` prints, if it can run at all.
pub(crate) fn first_line(program: impl AsRef<OsStr>, args: &[&str]) -> Option<String> {
    let text = stdout(new(program).args(args)).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

/// The program's path on `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    find_in(name, env::split_paths(&env::var_os("PATH")?))
}

/// The program's path in the first of these directories that has it.
pub(crate) fn find_in(name: &str, dirs: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let endings: &[&str] = if cfg!(windows) {
        &[".exe", ".cmd", ".bat"]
    } else {
        &[""]
    };
    dirs.into_iter()
        .flat_map(|dir| {
            endings
                .iter()
                .map(move |extension| dir.join(format!("{name}{extension}")))
        })
        .find(|path| path.is_file())
}

/// `PATH` with these directories before all others.
pub(crate) fn path_with(dirs: &[&Path]) -> Result<OsString> {
    let old = env::var_os("PATH").unwrap_or_default();
    let all = dirs
        .iter()
        .map(|dir| dir.to_path_buf())
        .chain(env::split_paths(&old));
    env::join_paths(all).context("a directory for PATH contains PATH's separator")
}

fn quoted(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@+,%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("node");
        command
            .args(["--test", "it's here"])
            .env("A", "1")
            .current_dir("/tmp");
        assert_eq!(
            shown(&command),
            r"cd /tmp && A=1 node --test 'it'\''s here'"
        );
    }

    #[test]
    fn a_failing_command_says_so_with_its_words() {
        let error = stdout(Command::new("cargo").arg("--no-such-flag"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("cargo --no-such-flag"), "{error}");
        assert!(error.contains("unexpected argument"), "{error}");
    }
}
