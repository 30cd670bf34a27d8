//! A server as a process: started, watched, ended.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The longest that any single step may take: generous, because the machine may be busy.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// The binary that was built for the tests, or the one that `BEACONRY_BIN` names.
#[must_use]
pub fn program(built: &str) -> PathBuf {
    std::env::var_os("BEACONRY_BIN").map_or_else(|| PathBuf::from(built), PathBuf::from)
}

/// A running `beaconry`, killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    stdout: Receiver<String>,
    log: Receiver<String>,
}

impl Server {
    /// Runs the command; whether it gets as far as accepting connections is for the caller to
    /// see.
    ///
    /// # Panics
    ///
    /// If there is no such program.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = lines(child.stdout.take().expect("asked for"));
        let log = lines(child.stderr.take().expect("asked for"));
        Self { child, stdout, log }
    }

    /// Waits until it accepts connections, which it says once: where it takes MQTT, and where
    /// HTTP.
    ///
    /// # Panics
    ///
    /// If it does not come so far; its log is told.
    pub fn ready(&self) -> (SocketAddr, SocketAddr) {
        let line = self.stdout.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let log = self.log.try_iter().collect::<Vec<_>>().join("\n");
            panic!("not ready: {log}");
        });
        let (mqtt, http) = line
            .strip_prefix("ready mqtt=")
            .and_then(|rest| rest.split_once(" http="))
            .unwrap_or_else(|| panic!("unexpected: {line}"));
        (mqtt.parse().unwrap(), http.parse().unwrap())
    }

    /// Waits for a line of the log that contains `part`.
    ///
    /// # Panics
    ///
    /// If none comes.
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

    /// Bytes of memory that it has now, where the system says so as Linux does.
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
    /// If the system refuses.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// SIGKILL: it gets to do nothing any more.
    ///
    /// # Panics
    ///
    /// If the system refuses.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for a clean end.
    ///
    /// # Panics
    ///
    /// If it does not end, or not with code 0; its log is told.
    pub fn end(self) {
        self.signal(Signal::TERM);
        let (status, _, log) = self.ended();
        assert!(status.success(), "{status}: {log}");
    }

    /// Waits for it to end by itself: how it did, and what else it said on standard output and in
    /// its log.
    ///
    /// # Panics
    ///
    /// If it does not end; it is killed then.
    #[must_use]
    pub fn ended(mut self) -> (ExitStatus, String, String) {
        let status = wait(&mut self.child);
        let text = |lines: &Receiver<String>| lines.iter().map(|line| line + "\n").collect();
        (status, text(&self.stdout), text(&self.log))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if it has ended, which is what is wanted.
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
        // The standard library has no way to wait for a process for a bounded time.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What comes, line by line.
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
