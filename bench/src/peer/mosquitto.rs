//! Eclipse Mosquitto, as its package installs it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use testbed::Folder;

use super::{Process, Setting, free_addresses, wait_for};
use crate::platform::Cores;

pub(super) fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("-h").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text
        .split_whitespace()
        .skip_while(|word| *word != "version");
    version.into_iter().nth(1).map(str::to_owned)
}

pub(super) fn start(
    program: &Path,
    cores: Cores,
    setting: Setting,
    files: &Folder,
) -> Result<Process> {
    let (tcp, websocket) = free_addresses()?;
    let folder = files.path().display();
    // `set_tcp_nodelay`: Beaconry does not delay small packets either. `user root`: if root starts
    // mosquitto, it would otherwise become a user who cannot write into this folder.
    let mut config = format!(
        "listener {} 127.0.0.1\nprotocol mqtt\n\
         listener {} 127.0.0.1\nprotocol websockets\n\
         allow_anonymous true\nset_tcp_nodelay true\nlog_dest none\nuser root\n\
         persistence {}\npersistence_location {folder}/\n",
        tcp.port(),
        websocket.port(),
        setting.store,
    );
    if setting.unlimited {
        config += "max_queued_messages 0\nmax_inflight_messages 0\n";
    }
    let path = files.path().join("mosquitto.conf");
    std::fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))?;
    let mut command = Command::new(program);
    command
        .arg("-c")
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = cores.spawn(&mut command)?;
    wait_for(&mut child, tcp)?;
    wait_for(&mut child, websocket)?;
    Ok(Process {
        child,
        tcp,
        websocket,
    })
}
