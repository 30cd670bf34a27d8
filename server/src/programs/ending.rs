//! How a person or a service manager ends a client program.

use std::io;

use crate::platform::Signals;

/// SIGINT, SIGTERM or, on Windows, Ctrl-C and its like.
///
/// The first one is for the program: it says goodbye to the broker. If it takes too long over that, the
/// second one ends the process at once.
pub(crate) struct Ending {
    signals: Signals,
}

impl Ending {
    /// Begins to catch the signals. Call it within a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            signals: Signals::new()?,
        })
    }

    /// Waits for the first signal, and returns its name. It can be dropped and awaited again without
    /// losing one.
    pub(crate) async fn wait(&mut self) -> &'static str {
        self.signals.next().await
    }

    /// Runs `goodbye` to its end, unless another signal comes. Then the process ends at once.
    pub(crate) async fn unless_again<T>(&mut self, goodbye: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = goodbye => Some(done),
            _ = self.signals.next() => None,
        }
    }
}
