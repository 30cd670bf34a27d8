//! The real binary on its own folder: started, killed, started again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) use testbed::{Folder, PATIENCE, Server};

/// Starts it. Call `ready` to learn whether it accepts connections.
pub(crate) fn serve(data: &Path, mqtt: SocketAddr, arguments: &[&str]) -> Server {
    Server::start(
        Command::new(binary())
            .args(["serve", "--http", "127.0.0.1:0", "--mqtt"])
            .arg(mqtt.to_string())
            .arg("--data")
            .arg(data)
            .args(arguments),
    )
}

pub(crate) fn binary() -> PathBuf {
    testbed::program(env!("CARGO_BIN_EXE_beaconry"))
}

/// Repeats the question until the answer is yes. The server sends no event to wait for.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
