//! What depends on the operating system.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::command;

/// Runs a program as the last thing that this process does. On Unix the program takes its place.
#[cfg(unix)]
pub(crate) fn become_program(command: &mut std::process::Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;

    // The server replaces this process: signals, terminal and exit code are its own.
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start `{}`", command::shown(command)))
}

/// Runs a program as the last thing that this process does. It returns the program's exit code.
#[cfg(not(unix))]
pub(crate) fn become_program(command: &mut std::process::Command) -> Result<ExitCode> {
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", command::shown(command)))?;
    let code = status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    Ok(ExitCode::from(code))
}
