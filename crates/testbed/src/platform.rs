//! What the tests need of the operating system beyond `std`: signals.

use std::io;
use std::process::Child;

use rustix::process::{Pid, WaitOptions, kill_process, waitpid};

pub use rustix::process::Signal;

/// Sends a signal to a process.
pub(crate) fn send(child: &Child, signal: Signal) -> io::Result<()> {
    Ok(kill_process(Pid::from_child(child), signal)?)
}

/// Waits until a process has stopped, as SIGSTOP makes it.
pub(crate) fn wait_for_stop(child: &Child) -> io::Result<()> {
    let changed = waitpid(Some(Pid::from_child(child)), WaitOptions::UNTRACED)?;
    match changed {
        Some((_, status)) if status.stopped() => Ok(()),
        other => Err(io::Error::other(format!("it did not stop: {other:?}"))),
    }
}
