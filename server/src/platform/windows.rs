//! Windows.

use std::io;

use tokio::signal::windows::{CtrlC, CtrlClose, CtrlShutdown, ctrl_c, ctrl_close, ctrl_shutdown};

/// The events that end the server. The system kills the process some seconds after its window was
/// closed or the machine began to shut down.
pub(crate) struct Signals {
    interrupt: CtrlC,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl Signals {
    /// Begins to catch the events: from now on they do not end the process at once.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
            close: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// Waits for the next event, and says which it was.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.close.recv() => "the window was closed",
            _ = self.shutdown.recv() => "the system shuts down",
        }
    }
}

/// Windows does not count sockets as files: `None`, there is no limit.
pub(crate) fn raise_open_files() -> Option<u64> {
    None
}

/// `None`: no safe call tells the size of the terminal.
pub(crate) fn terminal_size() -> Option<(usize, usize)> {
    None
}

/// Windows has no option for how much the system holds that it has not sent yet.
pub(crate) fn hold_little_unsent(_: &tokio::net::TcpStream) {}
