//! Windows.

use std::io;

use tokio::signal::windows::{CtrlC, CtrlClose, CtrlShutdown, ctrl_c, ctrl_close, ctrl_shutdown};

/// What ends the server. The system kills it some seconds after the window was closed or the machine
/// is shut down.
pub(crate) struct Signals {
    interrupt: CtrlC,
    close: CtrlClose,
    shutdown: CtrlShutdown,
}

impl Signals {
    /// From here on they no longer end the process at once.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
            close: ctrl_close()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// Waits for the next one, and says which it was.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.close.recv() => "the window was closed",
            _ = self.shutdown.recv() => "the system shuts down",
        }
    }
}

/// Sockets are not counted as files there: `None`, no limit.
pub(crate) fn raise_open_files() -> Option<u64> {
    None
}
