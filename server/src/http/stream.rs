//! The body of an answer that a task writes bit by bit.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;

/// Counts what the connection has taken from the bodies of its answers. A connection whose client
/// reads nothing takes nothing more.
pub(super) type Taken = Arc<AtomicU64>;

/// Where a task writes the body. Each piece waits until the connection takes it.
#[derive(Debug)]
pub(super) struct Pieces(mpsc::Sender<Piece>);

type Piece = Result<Bytes, io::Error>;

/// The body, and where a task writes it.
pub(super) fn body(taken: Taken) -> (Pieces, Body) {
    // One piece is under way while the task makes the next.
    let (pieces, receiver) = mpsc::channel(1);
    let written = Written { receiver, taken };
    (Pieces(pieces), Body::new(written))
}

impl Pieces {
    /// Writes a piece. Returns whether anybody still wants more.
    pub(super) async fn write(&self, piece: Bytes) -> bool {
        self.0.send(Ok(piece)).await.is_ok()
    }

    /// Ends the body before it is whole, so that the client sees that something is missing.
    pub(super) async fn break_off(self) {
        let error = io::Error::other("the answer could not be finished");
        // If nobody reads any more, nobody has to know.
        let _ = self.0.send(Err(error)).await;
    }

    /// Waits until nobody wants more.
    pub(super) async fn unwanted(&self) {
        self.0.closed().await;
    }
}

struct Written {
    receiver: mpsc::Receiver<Piece>,
    taken: Taken,
}

impl HttpBody for Written {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = ready!(self.receiver.poll_recv(context));
        self.taken.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }
}
