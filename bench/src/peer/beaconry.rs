//! Beaconry's own server.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use testbed::Folder;

use super::{Process, Setting};
use crate::platform::Cores;

/// A limit above what any scenario needs.
const MANY: &str = "100000000";

pub(super) fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}

pub(super) fn start(
    program: &Path,
    cores: Cores,
    setting: Setting,
    files: &Folder,
) -> Result<Process> {
    let mut command = Command::new(program);
    command
        .args(["serve", "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"])
        .args(["--log", "error"])
        .current_dir(files.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // The user's environment may hold settings for another server.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BEACONRY_") {
            command.env_remove(name);
        }
    }
    if setting.store {
        command.arg("--data").arg(files.path().join("data"));
    } else {
        command.arg("--in-memory");
    }
    if setting.unlimited {
        command.args(["--max-sessions", MANY, "--max-retained-messages", MANY]);
    }
    let mut child = cores.spawn(&mut command)?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        // This ends at once when the server does.
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let address = |name: &str| -> Option<SocketAddr> {
        let mut words = line.split_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.parse().ok())
    };
    let (Some(tcp), Some(websocket)) = (address("mqtt="), address("http=")) else {
        let status = child.wait()?;
        bail!("it ended ({status}) without a line \"ready …\"");
    };
    Ok(Process {
        child,
        tcp,
        websocket,
    })
}
