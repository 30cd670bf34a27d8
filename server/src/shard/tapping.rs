//! Hands what the broker's [tap](broker::tap) wrote down to its reader, in batches.
//!
//! **Invariant.** The shard never waits for the reader. While the channel is full, bytes stay in the
//! broker, which loses what exceeds its limit. A reader that has ended is one that stands still.

use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use super::core::Core;

/// How many batches may wait for the reader. One is enough to keep it busy, and each may be as large
/// as the broker's limit.
const BATCHES: usize = 1;
/// The pause between batches. A reader that is woken for each message would cost more than the
/// message.
const PAUSE: Duration = Duration::from_millis(5);

/// The way from the shard to the reader.
pub(super) fn channel() -> (mpsc::Sender<Vec<u8>>, mpsc::Receiver<Vec<u8>>) {
    mpsc::channel(BATCHES)
}

/// The tap, as the shard sees it.
pub(super) struct Tapping {
    batches: mpsc::Sender<Vec<u8>>,
    /// There is something to take.
    is_tapped: Notify,
}

impl Tapping {
    pub(super) fn new(batches: mpsc::Sender<Vec<u8>>) -> Self {
        Self {
            batches,
            is_tapped: Notify::new(),
        }
    }

    /// Notes that the broker has something for the reader.
    pub(super) fn has_something(&self) {
        self.is_tapped.notify_one();
    }

    /// Runs until the reader has ended: hands over a batch whenever there is something and the
    /// channel has room.
    pub(super) async fn run(&self, core: &Core) {
        loop {
            self.is_tapped.notified().await;
            let Ok(room) = self.batches.reserve().await else {
                return;
            };
            room.send(core.take_tap());
            sleep(PAUSE).await;
        }
    }

    /// Hands over the last batch, unless the channel is full: nobody waits for a reader at the end.
    pub(super) fn close(self, last: Vec<u8>) {
        if !last.is_empty() {
            let _ = self.batches.try_send(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;

    use broker::tap::{self, TapEvent};
    use broker::{Broker, BrokerOptions, Conn, Input, Peer};
    use bytes::BytesMut;
    use mqtt::{Connect, Packet, ProtocolVersion, Publish, TopicName};
    use tokio::task::{LocalSet, spawn_local, yield_now};
    use tokio::time::Instant;

    use super::super::Everyone;
    use super::*;
    use crate::clock::Clock;

    const CLIENT: Conn = Conn(1);

    fn core(limit: usize) -> (Rc<Core>, mpsc::Receiver<Vec<u8>>) {
        let clock = Clock::new();
        let mut options = BrokerOptions {
            tap: true,
            ..BrokerOptions::default()
        };
        options.limits.tap_bytes = limit;
        let broker = Broker::new(clock.now(), options);
        let (batches, reader) = channel();
        let core = Core::new(clock, broker, Arc::new(Everyone), None, Some(batches), 0);
        core.input(Input::Opened(CLIENT, Peer::MEMORY));
        send(
            &core,
            &Packet::Connect(Connect::new(ProtocolVersion::V5, "a")),
        );
        (core, reader)
    }

    fn send(core: &Core, packet: &Packet) {
        let mut bytes = BytesMut::new();
        mqtt::encode(packet, ProtocolVersion::V5, &mut bytes).unwrap();
        core.input(Input::Bytes(CLIENT, bytes.freeze()));
    }

    fn publish(core: &Core, payload: &'static str) {
        let topic = TopicName::try_from("t").unwrap();
        send(core, &Packet::Publish(Publish::new(topic, payload)));
    }

    fn payloads(batch: &[u8]) -> Vec<&str> {
        let payload = |event| match event {
            TapEvent::Message { payload, .. } => std::str::from_utf8(payload).ok(),
            _ => None,
        };
        tap::read(batch).filter_map(payload).collect()
    }

    fn run(core: &Rc<Core>) {
        let core = Rc::clone(core);
        spawn_local(async move {
            if let Some(tapping) = core.tapping() {
                tapping.run(&core).await;
            }
        });
    }

    #[tokio::test]
    async fn batches_come_apart_and_nothing_is_left_out() {
        let test = async {
            let (core, mut reader) = core(1 << 20);
            run(&core);
            let mut said = Vec::new();
            let begun = Instant::now();
            for payload in ["1", "2", "3"] {
                publish(&core, payload);
                let batch = reader.recv().await.unwrap();
                said.extend(payloads(&batch).into_iter().map(str::to_owned));
            }
            assert_eq!(said, ["1", "2", "3"]);
            assert!(begun.elapsed() >= 2 * PAUSE);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn a_reader_that_stands_still_costs_its_limit_and_nothing_else() {
        const LIMIT: usize = 16 * 1024;
        let test = async {
            let (core, mut reader) = core(LIMIT);
            run(&core);
            for _ in 0..2_000 {
                publish(&core, "telemetry");
                yield_now().await;
            }
            let metrics = core.metrics();
            assert!(metrics.tap_bytes <= LIMIT as u64);
            assert!(metrics.tap_lost > 0);
            // The reader goes on, and knows what it has lost.
            publish(&core, "last");
            let (mut read, mut lost) = (0, 0);
            while read + lost < 2_001 {
                let batch = reader.recv().await.unwrap();
                read += payloads(&batch).len() as u64;
                lost += tap::read(&batch)
                    .map(|event| match event {
                        TapEvent::Lost { messages } => messages,
                        _ => 0,
                    })
                    .sum::<u64>();
            }
            assert_eq!((read + lost, lost), (2_001, core.metrics().tap_lost));
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn the_shard_goes_on_without_a_reader_and_gives_the_last_batch_at_the_end() {
        let test = async {
            let (core, reader) = core(1 << 20);
            drop(reader);
            let running = Rc::clone(&core);
            running.tapping().unwrap().run(&running).await;
            publish(&core, "1");
            assert_eq!(core.metrics().messages_in, 1);
        };
        LocalSet::new().run_until(test).await;
        let (core, mut reader) = core(1 << 20);
        publish(&core, "last");
        Rc::into_inner(core).unwrap().end();
        assert_eq!(payloads(&reader.try_recv().unwrap()), ["last"]);
        assert!(reader.recv().await.is_none());
    }
}
