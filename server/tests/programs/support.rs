//! Runs the server, programs, and a broker that the test plays byte by byte.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
pub(crate) use testbed::Signal;

/// The longest that any single step may take. It is generous, because the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A running server, killed when it is dropped.
pub(crate) struct Server {
    _process: testbed::Server,
    pub(crate) mqtt: SocketAddr,
    pub(crate) http: SocketAddr,
}

impl Server {
    /// Starts it on ports that the system chooses, without a store, and waits for `ready`.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let always = [
            "serve",
            "--mqtt",
            "127.0.0.1:0",
            "--http",
            "127.0.0.1:0",
            "--in-memory",
        ];
        let process = testbed::Server::start(beaconry().args(always).args(arguments));
        let (mqtt, http) = process.ready();
        Self {
            _process: process,
            mqtt,
            http,
        }
    }

    /// How many connections of MQTT there are.
    pub(crate) fn connections(&self) -> u64 {
        testbed::metric(self.http, "mqtt_connections")
    }

    /// How many subscriptions there are.
    pub(crate) fn subscriptions(&self) -> u64 {
        testbed::metric(self.http, "mqtt_subscriptions")
    }
}

/// The program under test.
pub(crate) fn beaconry() -> Command {
    let mut command = Command::new(testbed::program(env!("CARGO_BIN_EXE_beaconry")));
    // What the developer's own shell says is not for the tests.
    command.env_remove("BROKER");
    command
}

/// A program that runs, killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// `None`: a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            stdin: child.stdin.take(),
            stdout: chunks(child.stdout.take().unwrap()),
            stderr: chunks(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Its standard input, to be closed by dropping it.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.stdin.take().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has printed `text`, and returns all that it printed so far.
    pub(crate) fn printed(&self, text: &str) -> String {
        let mut all = Vec::new();
        loop {
            let chunk = self.stdout.recv_timeout(PATIENCE);
            all.extend(chunk.unwrap_or_else(|error| {
                panic!(
                    "{text} did not come: {error}: {}",
                    String::from_utf8_lossy(&all)
                )
            }));
            if String::from_utf8_lossy(&all).contains(text) {
                return String::from_utf8(all).unwrap();
            }
        }
    }

    /// Reads no more of what it prints: the pipe is closed.
    pub(crate) fn close_stdout(&mut self) {
        self.stdout = mpsc::channel().1;
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        self.stdin = None;
        let stdout = all(&self.stdout, "standard output");
        let stderr = all(&self.stderr, "standard error");
        Ended {
            code: self.child.wait().unwrap().code(),
            stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `beaconry` to its end, with this standard input.
pub(crate) fn run(arguments: &[&str], stdin: &[u8]) -> Ended {
    run_command(beaconry().args(arguments), stdin)
}

/// Runs a program to its end, with this standard input.
pub(crate) fn run_command(command: &mut Command, stdin: &[u8]) -> Ended {
    let mut running = Running::start(command);
    // A program that does not want it closes the pipe.
    let _ = running.stdin().write_all(stdin);
    running.ended()
}

/// What comes, in pieces. The reader ends when nobody listens.
fn chunks(mut stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    // Few pieces, so that the pipe fills when the test does not read.
    let (sender, receiver) = mpsc::sync_channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

fn all(chunks: &Receiver<Vec<u8>>, what: &str) -> Vec<u8> {
    let deadline = Instant::now() + PATIENCE;
    let mut all = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match chunks.recv_timeout(left) {
            Ok(chunk) => all.extend(chunk),
            Err(mpsc::RecvTimeoutError::Disconnected) => return all,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("{what} did not end: {}", String::from_utf8_lossy(&all))
            }
        }
    }
}

/// Repeats the question until the answer is yes. There is no event to wait for.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A broker that the test plays.
pub(crate) struct Stage {
    listener: TcpListener,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
        }
    }

    pub(crate) fn port(&self) -> String {
        self.listener.local_addr().unwrap().port().to_string()
    }

    /// Takes a connection, reads CONNECT and accepts it (3.1.1).
    pub(crate) fn accept(&self) -> TcpStream {
        self.accept_refusing(0)
    }

    /// Takes a connection, and refuses it with this code of CONNACK (3.1.1).
    pub(crate) fn accept_refusing(&self, code: u8) -> TcpStream {
        let (mut stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(packet(&mut stream).unwrap()[0], 0x10);
        stream.write_all(&[0x20, 2, 0, code]).unwrap();
        stream
    }
}

/// Carries connections to a server, until the test cuts them.
pub(crate) struct Relay {
    port: u16,
    carried: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    pub(crate) fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let carried = Arc::<Mutex<Vec<TcpStream>>>::default();
        let kept = Arc::clone(&carried);
        std::thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let far = TcpStream::connect(server).unwrap();
                let mut kept = kept.lock().unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    kept.push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        // When one side ends, so does the other.
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { port, carried }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends all connections that it carries now, without a word of MQTT.
    pub(crate) fn cut(&self) {
        for stream in self.carried.lock().unwrap().drain(..) {
            // It may have ended already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The next packet, whole. `None` at the end.
pub(crate) fn packet(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut packet = vec![0];
    stream.read_exact(&mut packet).ok()?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        packet.extend(byte);
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    let begin = packet.len();
    packet.resize(begin + length, 0);
    stream.read_exact(&mut packet[begin..]).unwrap();
    Some(packet)
}
