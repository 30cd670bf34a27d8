//! One message, sent once or several times.

use std::time::Duration;

use mqtt::Publish;
use tokio::time::Instant;

use super::{Happened, Publisher};
use crate::programs::exit::Exit;
use crate::programs::tool::far_future;

/// Sends the message `repeat` times, each after the one before is done and `delay` has passed.
pub(super) async fn publish(
    publisher: &mut Publisher,
    message: &Publish,
    repeat: u64,
    delay: Option<Duration>,
) -> Exit {
    let mut left = repeat;
    // When the next message is due. `None`: one is under way, or there is no connection yet.
    let mut due = None;
    loop {
        if due.is_some_and(|at| at <= Instant::now()) {
            due = None;
            left -= 1;
            if let Err(exit) = publisher.publish(message.clone()) {
                return exit;
            }
        }
        let deadline = due.unwrap_or_else(far_future);
        let event = tokio::select! {
            event = publisher.driver.next(deadline) => event,
            signal = publisher.ending.wait() => return publisher.interrupted(signal),
        };
        let Some(event) = event else {
            continue;
        };
        match publisher.handle(&event) {
            Ok(Happened::Nothing) => {}
            Ok(Happened::Connected) => due = Some(Instant::now()),
            Ok(Happened::Finished) if left == 0 => break,
            Ok(Happened::Finished) => due = Some(Instant::now() + delay.unwrap_or_default()),
            Err(exit) => return exit,
        }
    }
    publisher.finish().await
}
