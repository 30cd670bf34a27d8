//! One connection and its one task.
//!
//! The task waits for bytes to read. While the peer reads too slowly, the task also waits until the
//! socket can take more. An idle connection holds no buffer.
//!
//! Other tasks write to the connection too: the flush task sends what others published. They poll
//! the socket with this task's waker, so that the task continues a write that the socket could not
//! take at once.

use std::cell::{Cell, RefCell, RefMut};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use broker::{Conn, Input};
use bytes::BytesMut;
use tokio::time::timeout;
use tracing::debug;
use transport::{ByteStream, CloseCode, Received, StreamError};

use super::core::Core;
use super::frames::FramePace;
use crate::gate::Permit;

/// How long a peer may take to read the last bytes and close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection reads before other connections have their turn.
const READS_A_TURN: usize = 4;

pub(super) struct Connection {
    conn: Conn,
    peer: SocketAddr,
    /// `None` once the task has taken it to close it.
    stream: RefCell<Option<ByteStream>>,
    /// Bytes from the broker that the system has not taken yet.
    unsent: RefCell<BytesMut>,
    writing: Cell<Writing>,
    open: Cell<bool>,
    /// The broker does not want to read from it for a while.
    paused: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// How often frames go to it, if it is a page.
    pace: Option<Box<FramePace>>,
    /// Counts as an open connection until it is dropped.
    _permit: Arc<Permit>,
}

/// Whether the peer keeps up.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Writing {
    /// The system has taken everything.
    Done,
    /// The task waits until the socket can take more.
    Blocked,
}

/// Why the connection ended.
enum Ended {
    /// The broker closed the connection.
    Dismissed,
    /// The peer closed it.
    Left,
    /// The stream failed.
    Failed(StreamError),
}

impl Connection {
    pub(super) fn new(
        conn: Conn,
        peer: SocketAddr,
        stream: ByteStream,
        is_page: bool,
        permit: Arc<Permit>,
    ) -> Rc<Self> {
        Rc::new(Self {
            conn,
            peer,
            stream: RefCell::new(Some(stream)),
            unsent: RefCell::default(),
            writing: Cell::new(Writing::Done),
            open: Cell::new(true),
            paused: Cell::new(false),
            waker: RefCell::default(),
            pace: is_page.then(Box::default),
            _permit: permit,
        })
    }

    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// How often frames go to this peer, if it is a page.
    pub(super) fn pace(&self) -> Option<&FramePace> {
        self.pace.as_deref()
    }

    /// Bytes from the broker for this peer. The caller may append more, and then calls
    /// [`flush`](Self::flush).
    pub(super) fn unsent(&self) -> RefMut<'_, BytesMut> {
        self.unsent.borrow_mut()
    }

    /// Writes as much as the system takes now; the task writes the rest. Returns whether all is
    /// written.
    ///
    /// An error is not reported here: reading fails too, and the task handles that.
    pub(super) fn flush(&self) -> bool {
        if self.writing.get() == Writing::Blocked {
            return false;
        }
        let waker = self.waker.borrow();
        // A task that has not run yet needs no waker: it polls the socket when it first runs.
        let mut cx = Context::from_waker(waker.as_ref().unwrap_or(Waker::noop()));
        match self.poll_write(&mut cx) {
            Poll::Ready(_) => true,
            Poll::Pending => {
                self.writing.set(Writing::Blocked);
                false
            }
        }
    }

    /// The broker has closed the connection: the task writes what is left, then closes the socket.
    pub(super) fn close(&self) {
        self.open.set(false);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Stops or resumes reading. While it is paused, what the peer sends fills the system's buffers,
    /// until the peer has to wait.
    pub(super) fn set_paused(&self, is_paused: bool) {
        self.paused.set(is_paused);
        if !is_paused && let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// The connection's task, from the first byte to the last.
    pub(super) async fn run(self: Rc<Self>, core: Rc<Core>) {
        core.task_began();
        self.live(&core).await;
        core.task_ends();
    }

    async fn live(&self, core: &Core) {
        let ended = poll_fn(|cx| self.poll(core, cx)).await;
        let close_frame = match &ended {
            Ended::Dismissed => (CloseCode::Normal, ""),
            Ended::Left => {
                debug!(peer = %self.peer, "closed: the peer closed the connection without DISCONNECT");
                (CloseCode::Normal, "")
            }
            Ended::Failed(StreamError::Io(error)) => {
                debug!(peer = %self.peer, "connection lost: {error}");
                (CloseCode::Normal, "")
            }
            Ended::Failed(StreamError::Rule { code, what }) => {
                core.websocket_fault(self.conn, self.peer, what);
                (*code, what.as_str())
            }
        };
        core.forget(self.conn);
        match ended {
            Ended::Dismissed => {}
            Ended::Left | Ended::Failed(_) => core.input(Input::Closed(self.conn)),
        }
        let Some(stream) = self.stream.borrow_mut().take() else {
            return;
        };
        let unsent = self.unsent.take();
        // Boxed, because a task takes the memory of its largest state, and this one lasts only
        // briefly.
        let _ = Box::pin(timeout(CLOSE_TIMEOUT, stream.finish(unsent, close_frame))).await;
    }

    fn poll(&self, core: &Core, cx: &mut Context<'_>) -> Poll<Ended> {
        self.remember(cx);
        core.count_turn();
        if !self.open.get() {
            return Poll::Ready(Ended::Dismissed);
        }
        if let Poll::Ready(Err(error)) = self.poll_unsent(core, cx) {
            return Poll::Ready(Ended::Failed(error));
        }
        for _ in 0..READS_A_TURN {
            if self.paused.get() {
                return Poll::Pending;
            }
            let (received, has_answers) = match self.stream.borrow_mut().as_mut() {
                Some(stream) => (
                    stream.poll_read(cx, &mut core.read_buffer()),
                    stream.has_answers(),
                ),
                None => return Poll::Ready(Ended::Dismissed),
            };
            if has_answers {
                self.flush();
            }
            match received {
                Poll::Ready(Ok(Received::Bytes(bytes))) => {
                    core.input(Input::Bytes(self.conn, bytes));
                }
                Poll::Ready(Ok(Received::End)) => return Poll::Ready(Ended::Left),
                Poll::Ready(Err(error)) => return Poll::Ready(Ended::Failed(error)),
                Poll::Pending => return Poll::Pending,
            }
            if !self.open.get() {
                return Poll::Ready(Ended::Dismissed);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_unsent(&self, core: &Core, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        match self.writing.get() {
            Writing::Done => Poll::Ready(Ok(())),
            Writing::Blocked => {
                ready!(self.poll_write(cx))?;
                self.writing.set(Writing::Done);
                core.written(self.conn, self);
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        let mut unsent = self.unsent.borrow_mut();
        match self.stream.borrow_mut().as_mut() {
            Some(stream) => stream.poll_write(cx, &mut unsent),
            None => Poll::Ready(Ok(())),
        }
    }

    fn remember(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if waker
            .as_ref()
            .is_none_or(|waker| !waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<F>(_: impl FnOnce(Rc<Connection>, Rc<Core>) -> F) -> usize {
        size_of::<F>()
    }

    /// Every connection has one of each of these, even when it is idle.
    #[test]
    fn a_connection_and_its_task_do_not_grow_unnoticed() {
        assert!(size_of_future(Connection::run) <= 128);
        assert!(size_of::<Connection>() <= 176);
    }
}
