//! A reader of the broker's tap, as the documentation of [`broker::tap`] tells it to be.

use std::collections::BTreeMap;

use broker::tap::{self, Publisher, TapEvent};
use broker::{Broker, Conn};

/// What the reader knows. The second value of each entry says that it is doubtful.
#[derive(Debug, Default)]
pub(crate) struct Onlooker {
    clients: BTreeMap<Conn, bool>,
    retained: BTreeMap<String, bool>,
    is_resyncing: bool,
    messages: u64,
    lost: u64,
    batch: Vec<u8>,
}

impl Onlooker {
    /// Takes what waits. Returns whether the reader knows everything that there is.
    pub(crate) fn read(&mut self, broker: &mut Broker) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        broker.take_tap(&mut batch);
        let mut read = 0;
        for event in tap::read(&batch) {
            self.take(&event);
            read += 1;
        }
        // Each event has a head, so none was left out.
        assert_eq!(batch.is_empty(), read == 0);
        self.batch = batch;
        read == 0 && !self.is_resyncing
    }

    /// How many connected clients and retained messages the reader knows of.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.clients.len() as u64, self.retained.len() as u64)
    }

    /// Messages that were read, and that were lost.
    pub(crate) fn messages(&self) -> (u64, u64) {
        (self.messages, self.lost)
    }

    fn take(&mut self, event: &TapEvent<'_>) {
        match *event {
            TapEvent::Message {
                publisher,
                retain,
                topic,
                payload,
                ..
            } => {
                self.messages += 1;
                if let Publisher::Connection(conn) = publisher {
                    let is_known = self.clients.contains_key(&conn);
                    assert!(is_known || self.is_resyncing, "of nobody: {event:?}");
                }
                match (retain, payload.is_empty()) {
                    (true, true) => drop(self.retained.remove(topic)),
                    (true, false) => drop(self.retained.insert(topic.to_owned(), false)),
                    (false, _) => {}
                }
            }
            TapEvent::Connected { conn, is_news, .. } => {
                let before = self.clients.insert(conn, false);
                assert!(before.is_none() || !is_news, "connected twice");
            }
            TapEvent::Left { conn, .. } => {
                let before = self.clients.remove(&conn);
                assert!(before.is_some() || self.is_resyncing, "left twice");
            }
            TapEvent::Retained { topic, payload, .. } => {
                assert!(self.is_resyncing && !payload.is_empty());
                self.retained.insert(topic.to_owned(), false);
            }
            TapEvent::RetainedGone { topic, .. } => drop(self.retained.remove(topic)),
            TapEvent::ResyncBegins => {
                self.is_resyncing = true;
                let clients = self.clients.values_mut();
                clients
                    .chain(self.retained.values_mut())
                    .for_each(|is_doubtful| *is_doubtful = true);
            }
            TapEvent::ResyncEnds => {
                assert!(self.is_resyncing);
                self.is_resyncing = false;
                self.clients.retain(|_, is_doubtful| !*is_doubtful);
                self.retained.retain(|_, is_doubtful| !*is_doubtful);
            }
            TapEvent::Lost { messages } => {
                assert!(messages > 0);
                self.lost += messages;
            }
        }
    }
}
