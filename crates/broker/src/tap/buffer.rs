//! What waits for the reader, and what is lost when it is slow.

use mqtt::{Instant, Publish, QoS};

use crate::tap::form::{put, size};
use crate::tap::{Publisher, TapEvent};
use crate::types::{Metrics, NodeId, Slot, topic};

/// The broker's end of the tap.
#[derive(Debug)]
pub(crate) struct Tap {
    /// The most bytes that may wait.
    limit: usize,
    bytes: Vec<u8>,
    stage: Stage,
    /// Messages lost since the last batch was taken.
    lost: u64,
    /// Whether the shell knows that there is something to take.
    is_announced: bool,
    lost_so_far: u64,
    resyncs: u64,
}

/// How far the reader knows what is there.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It knows everything.
    Live,
    /// A resync tells of the connected clients, and next of the connection at this place.
    Clients { next: Slot },
    /// A resync tells of the retained messages, and next of that at this place.
    Retained { next: NodeId },
    /// Something did not fit. Everything is lost until the reader takes what waits, and then a resync
    /// begins.
    Behind,
}

impl Tap {
    /// A tap of which at most `limit` bytes wait. It begins with a resync.
    pub(crate) fn new(limit: usize) -> Self {
        let mut tap = Self {
            limit,
            bytes: Vec::new(),
            stage: Stage::Behind,
            lost: 0,
            is_announced: false,
            lost_so_far: 0,
            resyncs: 0,
        };
        tap.begin_resync();
        tap
    }

    /// Adds a message that was accepted or published at the time `at`. Returns `false` if it is lost.
    #[inline]
    pub(crate) fn message(
        &mut self,
        at: Instant,
        publisher: Publisher<'_>,
        publish: &Publish,
    ) -> bool {
        let event = TapEvent::Message {
            at,
            publisher,
            qos: publish.qos,
            retain: publish.retain,
            topic: topic(publish),
            payload: &publish.payload,
            correlation_data: publish.properties.correlation_data.as_deref(),
        };
        let is_will = matches!(publisher, Publisher::Will(_));
        let most = match publish.qos {
            _ if publish.retain || is_will => self.limit,
            QoS::AtMostOnce => self.limit / 2,
            QoS::AtLeastOnce | QoS::ExactlyOnce => self.largest(),
        };
        let size = size(&event);
        let fits = self.bytes.len() + size <= most && size <= self.largest();
        let fits = fits && self.stage != Stage::Behind;
        if fits {
            self.append(&event, size);
        } else {
            self.lose(at, publish, size);
        }
        fits
    }

    /// Counts a message of `size` bytes that does not fit.
    #[cold]
    fn lose(&mut self, at: Instant, publish: &Publish, size: usize) {
        self.lost += 1;
        self.lost_so_far += 1;
        if publish.retain && size <= self.largest() {
            self.stage = Stage::Behind;
        } else if publish.retain {
            // A resync would not bring it either.
            let topic = topic(publish);
            self.change(&TapEvent::RetainedGone { at, topic });
        }
    }

    /// Adds a change that a resync would bring too: of a client, or of a retained message.
    pub(crate) fn change(&mut self, event: &TapEvent<'_>) {
        let size = size(event);
        if self.stage != Stage::Behind && self.bytes.len() + size <= self.limit {
            self.append(event, size);
        } else {
            self.stage = Stage::Behind;
        }
    }

    /// Adds what a resync tells, unless it is too large. Returns the bytes that it took.
    ///
    /// Call this only while [`may_resync`](Self::may_resync): then there is room for all that is not
    /// too large.
    pub(crate) fn tell(&mut self, event: &TapEvent<'_>) -> usize {
        let size = size(event);
        if size > self.largest() {
            return 0;
        }
        self.append(event, size);
        size
    }

    /// Whether a resync is under way and there is room for more of it. It leaves three quarters of the
    /// room for what happens meanwhile.
    pub(crate) fn may_resync(&self) -> bool {
        let is_under_way = match self.stage {
            Stage::Clients { .. } | Stage::Retained { .. } => true,
            Stage::Live | Stage::Behind => false,
        };
        is_under_way && self.bytes.len() <= self.limit / 4
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    /// Notes where the resync goes on.
    pub(crate) fn set_stage(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// The resync is over.
    pub(crate) fn end_resync(&mut self) {
        self.stage = Stage::Live;
        self.change(&TapEvent::ResyncEnds);
    }

    /// Whether there is something to take that the shell does not know of. From now on it knows.
    pub(crate) fn announce(&mut self) -> bool {
        let is_news = !self.is_announced && (!self.bytes.is_empty() || self.lost > 0);
        self.is_announced |= is_news;
        is_news
    }

    /// Gives everything that waits, in the place of what `out` held. Uses the memory of `out` again.
    pub(crate) fn take(&mut self, out: &mut Vec<u8>) {
        out.clear();
        core::mem::swap(&mut self.bytes, out);
        self.is_announced = false;
        if self.lost > 0 {
            put(
                out,
                &TapEvent::Lost {
                    messages: self.lost,
                },
            );
            self.lost = 0;
        }
        if self.stage == Stage::Behind {
            self.begin_resync();
        }
    }

    /// Shows what is counted here.
    pub(crate) fn report(&self, metrics: &mut Metrics) {
        metrics.tap_bytes = self.bytes.len() as u64;
        metrics.tap_lost = self.lost_so_far;
        metrics.tap_resyncs = self.resyncs;
    }

    fn begin_resync(&mut self) {
        self.stage = Stage::Clients { next: Slot::FIRST };
        self.resyncs += 1;
        let begins = TapEvent::ResyncBegins;
        self.append(&begins, size(&begins));
    }

    /// The largest event that a resync tells. Larger messages are never told.
    fn largest(&self) -> usize {
        self.limit / 4 * 3
    }

    #[inline]
    fn append(&mut self, event: &TapEvent<'_>, size: usize) {
        let needed = self.bytes.len() + size;
        if needed > self.bytes.capacity() {
            self.grow(needed);
        }
        put(&mut self.bytes, event);
    }

    /// Makes room for `needed` bytes. Grows by doubling, but not beyond the limit.
    #[cold]
    fn grow(&mut self, needed: usize) {
        const LEAST: usize = 4 * 1024;
        let doubled = (2 * self.bytes.capacity()).max(LEAST).min(self.limit);
        let more = doubled.max(needed) - self.bytes.len();
        self.bytes.reserve_exact(more);
    }
}

/// Tells the tap, if there is one, that a retained message is gone although nobody removed it.
pub(crate) fn retained_gone(tap: &mut Option<Tap>, at: Instant, topic: &str) {
    if let Some(tap) = tap {
        tap.change(&TapEvent::RetainedGone { at, topic });
    }
}
