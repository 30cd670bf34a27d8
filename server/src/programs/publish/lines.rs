//! Each line of standard input is a message.
//!
//! Memory is bounded: when the client holds enough, no line is taken, and when enough lines wait,
//! standard input is not read.

use mqtt::QoS;

use super::input::{Batch, lines_of_stdin};
use super::{Happened, Publisher};
use crate::programs::exit::Exit;
use crate::programs::tool::far_future;

/// How many bytes of messages the client may hold. One more message may come on top.
const HELD_BYTES: usize = 4 << 20;
/// How many messages of `QoS` 0 it may hold.
const HELD_MESSAGES: usize = 4_096;

/// Sends every line until standard input ends. `max_inflight`: how many messages of `QoS` 1 and 2 may
/// be unacknowledged.
pub(super) async fn publish(publisher: &mut Publisher, max_inflight: u16) -> Exit {
    let limit = match publisher.template.qos {
        QoS::AtMostOnce => HELD_MESSAGES,
        QoS::AtLeastOnce | QoS::ExactlyOnce => usize::from(max_inflight),
    };
    let mut input = match lines_of_stdin() {
        Ok(input) => input,
        Err(error) => return publisher.stderr.fail(Exit::Failed, error),
    };
    let mut lines = Vec::new().into_iter();
    let mut is_at_end = false;
    loop {
        while has_room(publisher, limit)
            && let Some(line) = lines.next()
        {
            if let Err(exit) = publisher.publish(line) {
                return exit;
            }
        }
        if let Some(event) = publisher.driver.ready_event() {
            if let Err(exit) = publisher.handle(&event) {
                return exit;
            }
            continue;
        }
        let waits_for_input = lines.len() == 0 && !is_at_end && publisher.was_connected;
        let is_last = lines.len() == 0 && is_at_end;
        if is_last && publisher.driver.is_settled() {
            return publisher.finish().await;
        }
        let driver = &mut publisher.driver;
        let on_driver = async {
            if is_last {
                driver.next_before_settled(far_future()).await
            } else {
                driver.next(far_future()).await
            }
        };
        tokio::select! {
            event = on_driver => {
                let handled = event.map_or(Ok(Happened::Nothing), |event| publisher.handle(&event));
                if let Err(exit) = handled {
                    return exit;
                }
            }
            batch = input.recv(), if waits_for_input => match next_lines(batch) {
                Ok(Some(batch)) => lines = batch.into_iter(),
                Ok(None) => is_at_end = true,
                Err(error) => {
                    return publisher.stderr.fail(Exit::Failed, error);
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

fn next_lines(batch: Option<Batch>) -> Result<Option<Vec<bytes::Bytes>>, String> {
    batch
        .transpose()
        .map_err(|error| format!("standard input: {error}"))
}
