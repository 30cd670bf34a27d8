//! The real binary on a folder of its own: started, killed, started again.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// The longest that any single step may take: generous, because the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A running server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    ready: Receiver<String>,
    log: Receiver<String>,
}

impl Server {
    /// Starts it; whether it gets as far as accepting connections is for the caller to see.
    pub(crate) fn start(data: &Path, mqtt: SocketAddr, arguments: &[&str]) -> Self {
        let mut child = beaconry()
            .args(["serve", "--http", "127.0.0.1:0", "--mqtt"])
            .arg(mqtt.to_string())
            .arg("--data")
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ready = lines(child.stdout.take().unwrap());
        let log = lines(child.stderr.take().unwrap());
        Self { child, ready, log }
    }

    /// Waits until it accepts connections: where it takes MQTT, and where HTTP.
    pub(crate) fn ready(&self) -> (SocketAddr, SocketAddr) {
        let line = self.ready.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let log = self.log.try_iter().collect::<Vec<_>>().join("\n");
            panic!("not ready: {log}");
        });
        let (mqtt, http) = line
            .strip_prefix("ready mqtt=")
            .and_then(|rest| rest.split_once(" http="))
            .unwrap_or_else(|| panic!("unexpected: {line}"));
        (mqtt.parse().unwrap(), http.parse().unwrap())
    }

    /// SIGKILL: it gets to do nothing any more.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for a clean end.
    pub(crate) fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = wait(&mut self.child);
        assert!(
            status.success(),
            "{:?}",
            self.log.iter().collect::<Vec<_>>()
        );
    }

    /// Waits for it to end by itself: its code, and its log.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let status = wait(&mut self.child);
        let log: Vec<_> = self.log.iter().collect();
        (status.code(), log.join("\n"))
    }

    /// Waits for a line of the log that contains `part`.
    pub(crate) fn log_line(&self, part: &str) -> String {
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
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails if it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary that was built for the tests, or the one that `BEACONRY_BIN` names.
pub(crate) fn beaconry() -> Command {
    let mut command = Command::new(binary());
    command.stdin(Stdio::null());
    command
}

pub(crate) fn binary() -> PathBuf {
    let named = std::env::var_os("BEACONRY_BIN").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_beaconry")))
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

/// A folder of its own, removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("beaconry-durability-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // Left by a process that had the same number, long ago.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where the server is to store things: not made yet.
    pub(crate) fn data(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
