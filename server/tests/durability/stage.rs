//! What the server, the clients and the killer know of each other.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard};

use super::server::PATIENCE;

/// The state that all threads of a test share.
pub(crate) struct Stage {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    act: Act,
    /// How often the server was started.
    generation: u64,
    /// Its address, while it accepts connections.
    address: Option<SocketAddr>,
    /// How many messages the server has acknowledged to publishers.
    acknowledged: u64,
    /// Connections of clients that wait to read while nothing may come.
    asleep: Vec<TcpStream>,
}

/// What the clients have to do.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    /// Publish without end.
    Publishing,
    /// Publish nothing new, and get everything acknowledged.
    Finishing,
    /// Everything was acknowledged: receive all of it.
    Receiving,
    /// A thread failed.
    Over,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                act: Act::Publishing,
                generation: 0,
                address: None,
                acknowledged: 0,
                asleep: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits until `done` returns something.
    fn wait<T>(&self, what: &str, mut done: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut result = None;
        let (state, waited) = self
            .changed
            .wait_timeout_while(self.state(), 2 * PATIENCE, |state| {
                result = done(state);
                result.is_none() && state.act != Act::Over
            })
            .unwrap();
        drop(state);
        assert!(!waited.timed_out(), "waited in vain for {what}");
        result.unwrap_or_else(|| panic!("another thread has failed"))
    }

    pub(crate) fn up(&self, address: SocketAddr) {
        let mut state = self.state();
        state.generation += 1;
        state.address = Some(address);
        self.changed.notify_all();
    }

    pub(crate) fn down(&self) {
        self.state().address = None;
    }

    /// Waits for a server that was started after `generation`, or is still up.
    pub(crate) fn server(&self, generation: u64) -> (u64, SocketAddr) {
        self.wait("a server", |state| {
            let address = state.address.filter(|_| state.generation > generation)?;
            Some((state.generation, address))
        })
    }

    /// Waits for a server that was started after `generation`, or for the act in which all clients
    /// receive.
    pub(crate) fn wait_for_news(&self, generation: u64) {
        self.wait("the next server", |state| {
            (state.generation > generation || state.act >= Act::Receiving).then_some(())
        });
    }

    pub(crate) fn acknowledged(&self, count: u64) {
        self.state().acknowledged += count;
        self.changed.notify_all();
    }

    /// Waits for this many further acknowledgements.
    pub(crate) fn wait_for_acknowledgements(&self, more: u64) -> u64 {
        let goal = self.state().acknowledged + more;
        self.wait("acknowledgements", |state| {
            (state.acknowledged >= goal).then_some(state.acknowledged)
        })
    }

    pub(crate) fn act(&self) -> Act {
        self.state().act
    }

    pub(crate) fn set_act(&self, act: Act) {
        let mut state = self.state();
        // A failure stays a failure.
        state.act = state.act.max(act);
        if act >= Act::Receiving {
            for stream in state.asleep.drain(..) {
                // This fails if the server has gone, which wakes the client as well.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.changed.notify_all();
    }

    pub(crate) fn wait_for_act(&self, act: Act) {
        // As long as the kills take. A thread that fails meanwhile reports it, and each of the
        // others has a limit.
        let state = self.state();
        drop(
            self.changed
                .wait_while(state, |state| state.act < act)
                .unwrap(),
        );
    }

    /// Closes this connection when all clients must receive, or now.
    pub(crate) fn wake_to_receive(&self, stream: TcpStream) {
        let mut state = self.state();
        if state.act < Act::Receiving {
            state.asleep.push(stream);
        } else {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Held by a thread of a test, so that the others do not wait for one that has panicked.
pub(crate) struct Alarm<'a>(pub(crate) &'a Stage);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set_act(Act::Over);
        }
    }
}
