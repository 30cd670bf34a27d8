//! Each line of the input is a message.
//!
//! Memory is bounded: when the client holds enough, no line is taken, and when enough lines wait, the
//! input is not read.

use std::io;

use bytes::Bytes;
use mqtt::Publish;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::input::Batch;
use super::{Happened, Publisher, Template};
use crate::programs::exit::Exit;
use crate::programs::tool::far_future;

/// How many bytes of messages the client may hold. One more message may come on top.
const HELD_BYTES: usize = 4 << 20;
/// How many messages of `QoS` 0 it may hold.
pub(super) const HELD_MESSAGES: usize = 4_096;

/// What a line means.
pub(super) trait Shape {
    /// `None`: the line is no message. `Err` says what is wrong with it.
    fn read(&mut self, line: Bytes) -> Result<Option<Timed>, String>;
}

/// A message, and when it is to be sent. `None`: at once.
pub(super) struct Timed {
    pub(super) message: Publish,
    pub(super) due: Option<Instant>,
}

/// Each line is a payload.
impl Shape for Template {
    fn read(&mut self, line: Bytes) -> Result<Option<Timed>, String> {
        let message = self.message(line);
        Ok(Some(Timed { message, due: None }))
    }
}

/// Lines that were read, and the message of the first of them.
struct Lines<'s, S> {
    shape: &'s mut S,
    read: std::vec::IntoIter<Bytes>,
    next: Option<Timed>,
    is_at_end: bool,
}

impl<S: Shape> Lines<'_, S> {
    /// Finds the next message in the lines that are there.
    fn look(&mut self) -> Result<Option<&Timed>, String> {
        while self.next.is_none()
            && let Some(line) = self.read.next()
        {
            self.next = self.shape.read(line)?;
        }
        Ok(self.next.as_ref())
    }

    /// The next message, if it is due.
    fn take_due(&mut self) -> Result<Option<Publish>, String> {
        let is_due = |it: &Timed| it.due.is_none_or(|due| due <= Instant::now());
        if !self.look()?.is_some_and(is_due) {
            return Ok(None);
        }
        Ok(self.next.take().map(|it| it.message))
    }

    fn is_empty(&self) -> bool {
        self.next.is_none() && self.read.len() == 0
    }
}

/// Sends every line until the input ends. `limit`: how many messages the client may hold.
pub(super) async fn publish(
    publisher: &mut Publisher,
    input: io::Result<mpsc::Receiver<Batch>>,
    shape: &mut impl Shape,
    limit: usize,
) -> Exit {
    let mut input = match input {
        Ok(input) => input,
        Err(error) => return publisher.stderr.fail(Exit::Failed, error),
    };
    let mut lines = Lines {
        shape,
        read: Vec::new().into_iter(),
        next: None,
        is_at_end: false,
    };
    loop {
        while has_room(publisher, limit) {
            let message = match lines.take_due() {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) => return publisher.stderr.fail(Exit::Failed, error),
            };
            if let Err(exit) = publisher.publish(message) {
                return exit;
            }
        }
        if let Some(event) = publisher.driver.ready_event() {
            if let Err(exit) = publisher.handle(&event) {
                return exit;
            }
            continue;
        }
        let waits_for_input = lines.is_empty() && !lines.is_at_end && publisher.was_connected;
        let is_last = lines.is_empty() && lines.is_at_end;
        if is_last && publisher.driver.is_settled() {
            return publisher.finish().await;
        }
        // Without room, the next event makes some.
        let due = lines.next.as_ref().and_then(|it| it.due);
        let due = due.filter(|_| has_room(publisher, limit));
        let driver = &mut publisher.driver;
        let on_driver = async {
            if is_last {
                driver.next_before_settled(far_future()).await
            } else {
                driver.next(due.unwrap_or_else(far_future)).await
            }
        };
        tokio::select! {
            event = on_driver => {
                let handled = event.map_or(Ok(Happened::Nothing), |event| publisher.handle(&event));
                if let Err(exit) = handled {
                    return exit;
                }
            }
            batch = input.recv(), if waits_for_input => match batch.transpose() {
                Ok(Some(batch)) => lines.read = batch.into_iter(),
                Ok(None) => lines.is_at_end = true,
                Err(error) => {
                    return publisher.stderr.fail(Exit::Failed, format_args!("the input: {error}"));
                }
            },
            signal = publisher.ending.wait() => return publisher.interrupted(signal),
        }
    }
}

fn has_room(publisher: &Publisher, limit: usize) -> bool {
    let (messages, bytes) = publisher.driver.queued();
    messages < limit && bytes < HELD_BYTES
}
