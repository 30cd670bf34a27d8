//! The server as a process: starts it, watches it, ends it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use crate::platform::{self, Signal};

/// The longest that any single step may take. It is generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The binary that was built for the tests, or the one that `BEACONRY_BIN` names.
#[must_use]
pub fn program(built: &str) -> PathBuf {
    std::env::var_os("BEACONRY_BIN").map_or_else(|| PathBuf::from(built), PathBuf::from)
}

/// A running `beaconry`, killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    stdout: Receiver<String>,
    log: Receiver<String>,
}

impl Server {
    /// Runs the command. Call [`ready`](Self::ready) to learn whether it accepts connections.
    ///
    /// # Panics
    ///
    /// Panics if there is no such program.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = lines(child.stdout.take().expect("stdout was piped"));
        let log = lines(child.stderr.take().expect("stderr was piped"));
        Self { child, stdout, log }
    }

    /// Waits until the server accepts connections, which it says once. Returns its MQTT address and
    /// its HTTP address.
    ///
    /// # Panics
    ///
    /// Panics with the server's log if the server does not come that far.
    pub fn ready(&self) -> (SocketAddr, SocketAddr) {
        let (mqtt, http, _) = self.ready_with_gateway();
        (mqtt, http)
    }

    /// As [`ready`](Self::ready), with the address of its gateway for TCP if it has one.
    ///
    /// # Panics
    ///
    /// Panics with the server's log if the server does not come that far.
    pub fn ready_with_gateway(&self) -> (SocketAddr, SocketAddr, Option<SocketAddr>) {
        let line = self.stdout.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let log = self.log.try_iter().collect::<Vec<_>>().join("\n");
            panic!("not ready: {log}");
        });
        let (mqtt, http) = line
            .strip_prefix("ready mqtt=")
            .and_then(|rest| rest.split_once(" http="))
            .unwrap_or_else(|| panic!("unexpected: {line}"));
        let (http, gateway) = match http.split_once(" tcp-gateway=") {
            Some((http, gateway)) => (http, Some(gateway.parse().unwrap())),
            None => (http, None),
        };
        (mqtt.parse().unwrap(), http.parse().unwrap(), gateway)
    }

    /// Waits for a line of the log that contains `part`.
    ///
    /// # Panics
    ///
    /// Panics if none comes.
    pub fn log_line(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(line) if line.contains(part) => return line,
                Ok(_) => {}
                Err(error) => panic!("the log has no line with {part:?}: {error}"),
            }
        }
    }

    /// How many bytes of memory it takes now, if the system tells, as Linux does.
    #[must_use]
    pub fn resident(&self) -> Option<usize> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
        let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses.
    pub fn signal(&self, signal: Signal) {
        platform::send(&self.child, signal).unwrap();
    }

    /// Stops it with SIGSTOP, does `meanwhile`, and lets it go on when `time` has passed since it
    /// stopped.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses, or if the server ends.
    pub fn stand_still(&self, time: Duration, meanwhile: impl FnOnce()) {
        self.signal(Signal::STOP);
        platform::wait_for_stop(&self.child).unwrap();
        let since = Instant::now();
        meanwhile();
        // The time is what this is about: nothing else happens.
        std::thread::sleep(time.saturating_sub(since.elapsed()));
        self.signal(Signal::CONT);
    }

    /// Kills it with SIGKILL: it can do nothing more.
    ///
    /// # Panics
    ///
    /// Panics if the system refuses.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM, and waits for a clean end.
    ///
    /// # Panics
    ///
    /// Panics with the server's log if the server does not end, or not with code 0.
    pub fn end(self) {
        self.signal(Signal::TERM);
        let (status, _, log) = self.ended();
        assert!(status.success(), "{status}: {log}");
    }

    /// Waits until it ends by itself. Returns how it ended, and the rest of its standard output and
    /// its log.
    ///
    /// # Panics
    ///
    /// Kills it and panics if it does not end.
    #[must_use]
    pub fn ended(mut self) -> (ExitStatus, String, String) {
        let status = wait(&mut self.child);
        let text = |lines: &Receiver<String>| lines.iter().map(|line| line + "\n").collect();
        (status, text(&self.stdout), text(&self.log))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // This fails if the process has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("the server did not end");
        }
        // The standard library cannot wait for a process for a limited time.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The stream, line by line.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
