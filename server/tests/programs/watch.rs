//! `beaconry sub --watch` on a terminal.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::support::{PATIENCE, Server, Signal, beaconry, run, wait_until};

/// A terminal with a program at its other end.
struct Terminal {
    master: File,
    child: Child,
    shown: String,
}

impl Terminal {
    fn start(arguments: &[&str]) -> Self {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let open =
            || rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let child = beaconry()
            .args(arguments)
            .stdin(Stdio::from(open()))
            .stdout(Stdio::from(open()))
            .stderr(Stdio::from(open()))
            .spawn()
            .unwrap();
        Self {
            master: File::from(master),
            child,
            shown: String::new(),
        }
    }

    /// Reads until `text` was shown. The program draws again and again, so something always comes.
    fn shows(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        let deadline = Instant::now() + PATIENCE;
        while !self.shown.contains(text) {
            assert!(
                Instant::now() < deadline,
                "{text} is not in {:?}",
                self.shown
            );
            let count = self.master.read(&mut buffer).unwrap();
            self.shown
                .push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }

    /// Sends SIGINT, and returns the exit code and everything that was shown.
    fn interrupted(mut self) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let mut buffer = [0; 4096];
        // A terminal whose other end is closed gives an error.
        while let Ok(count @ 1..) = self.master.read(&mut buffer) {
            self.shown
                .push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        (
            self.child.wait().unwrap().code(),
            std::mem::take(&mut self.shown),
        )
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_table_shows_the_newest_values_and_leaves_the_terminal_clean() {
    let server = Server::start(&[]);
    let port = server.mqtt.port().to_string();
    let mut terminal = Terminal::start(&["sub", "-p", &port, "-t", "pump/#", "--watch"]);
    wait_until("a subscription", || server.subscriptions() == 1);
    run(
        &["pub", "-p", &port, "-t", "pump/1", "-m", "21.5", "-q", "1"],
        b"",
    );
    run(
        &[
            "pub",
            "-p",
            &port,
            "-t",
            "pump/2",
            "-m",
            "off\x1b[2J",
            "-q",
            "1",
        ],
        b"",
    );
    terminal.shows("21.5");
    terminal.shows("off [2J");
    terminal.shows("2 topics, 2 messages");
    run(
        &["pub", "-p", &port, "-t", "pump/1", "-m", "22.0", "-q", "1"],
        b"",
    );
    terminal.shows("22.0");
    let (code, shown) = terminal.interrupted();
    assert_eq!(code, Some(0));
    // The other screen, and back; the cursor hidden, and shown.
    assert!(shown.starts_with("\x1b[?1049h\x1b[?25l"), "{shown:?}");
    assert!(shown.ends_with("\x1b[?25h\x1b[?1049l"), "{shown:?}");
}

#[test]
fn a_refused_connection_leaves_the_terminal_clean_too() {
    let mut terminal = Terminal::start(&["sub", "-p", "1", "-t", "#", "--watch"]);
    terminal.shows("connection refused");
    let shown = terminal.shown.clone();
    let (left, said) = (shown.find("\x1b[?1049l"), shown.find("connection refused"));
    assert!(left < said || !shown.contains("\x1b[?1049h"), "{shown:?}");
}
