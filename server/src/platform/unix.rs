//! Linux, macOS and the other Unix systems.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the server.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to catch the signals: from now on they do not end the process at once.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal, and returns its name.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

/// Lets this process open as many files as the system allows, and returns that number. `None`: there
/// is no limit.
///
/// Shells commonly start programs with a soft limit of 1,024, although the hard limit is far higher.
pub(crate) fn raise_open_files() -> Option<u64> {
    let before = getrlimit(Resource::Nofile);
    // The system may refuse, so the limit is read again.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: before.maximum,
            maximum: before.maximum,
        },
    );
    getrlimit(Resource::Nofile).current
}

/// How many characters and lines the terminal at standard output has. `None`: it is none.
pub(crate) fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col.into(), size.ws_row.into()))
}

/// Lets the system hold little that it has not sent yet for this peer. What it holds cannot be
/// replaced by what is newer. This fails only if the peer has gone, and then reading fails too.
pub(crate) fn hold_little_unsent(stream: &tokio::net::TcpStream) {
    // As much as the largest frame of a WebSocket.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(64 * 1024);
    // Other systems have no such option, or socket2 does not know it.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
}
