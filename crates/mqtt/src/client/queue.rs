//! Publications that wait to be sent, and the count of all that are not finished.

use alloc::collections::VecDeque;

use super::event::{PublishError, PublishId};
use crate::PUBLISH;
use crate::packet::Publish;
use crate::time::Instant;

/// A message that the application has given us.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) id: PublishId,
    /// It gets its packet identifier when it is first sent.
    pub(super) publish: Publish,
    /// How much it counts against the queue's limit, in bytes.
    pub(super) size: usize,
    /// When the application gave it.
    pub(super) since: Instant,
}

/// A queue with a limit. A publication that has left it and is not finished still counts, because
/// it still holds its memory.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: VecDeque<Publication>,
    messages: usize,
    bytes: usize,
    limit_messages: usize,
    limit_bytes: usize,
}

impl Publication {
    /// The message as it must be sent now, with the rest of its Message Expiry Interval
    /// `[MQTT-3.3.2-6]`.
    pub(super) fn at(&self, now: Instant) -> Publish {
        let mut publish = self.publish.clone();
        if let Some(interval) = &mut publish.properties.message_expiry_interval {
            *interval = interval.saturating_sub(self.age(now)).max(1);
        }
        publish
    }

    /// Whether its Message Expiry Interval has passed.
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        let interval = self.publish.properties.message_expiry_interval;
        interval.is_some_and(|interval| self.age(now) >= interval.max(1))
    }

    /// Seconds.
    fn age(&self, now: Instant) -> u32 {
        u32::try_from((now - self.since).as_secs()).unwrap_or(u32::MAX)
    }
}

impl Queue {
    pub(super) const fn new(limit_messages: usize, limit_bytes: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            messages: 0,
            bytes: 0,
            limit_messages,
            limit_bytes,
        }
    }

    /// Adds a new publication, or returns that there is no room.
    pub(super) fn push(&mut self, publication: Publication) -> Result<(), PublishError> {
        let bytes = self.bytes.saturating_add(publication.size);
        let full = self.messages >= self.limit_messages || bytes > self.limit_bytes;
        if full || !PUBLISH {
            return Err(PublishError::QueueFull {
                messages: self.messages,
                bytes: self.bytes,
            });
        }
        self.restore(publication);
        Ok(())
    }

    /// Adds a publication regardless of the limits, because an earlier client has accepted it.
    pub(super) fn restore(&mut self, publication: Publication) {
        self.count(&publication);
        self.waiting.push_back(publication);
    }

    /// Counts a publication that waits with the outgoing exchanges, not here.
    pub(super) const fn count(&mut self, publication: &Publication) {
        self.messages += 1;
        self.bytes += publication.size;
    }

    /// Counts a publication whose message was forgotten already.
    pub(super) const fn count_released(&mut self) {
        self.messages += 1;
    }

    /// The next publication to send.
    pub(super) fn front_mut(&mut self) -> Option<&mut Publication> {
        self.waiting.front_mut()
    }

    /// Takes out the next publication. It still counts.
    pub(super) fn pop(&mut self) -> Option<Publication> {
        self.waiting.pop_front()
    }

    /// Puts a publication back in front.
    pub(super) fn put_back(&mut self, publication: Publication) {
        self.waiting.push_front(publication);
    }

    /// Finishes a publication that was taken out.
    pub(super) const fn finish(&mut self, size: usize) {
        self.forget_bytes(size);
        self.messages = self.messages.saturating_sub(1);
    }

    /// Notes that the message of a publication that was taken out is gone, though it is not
    /// finished.
    pub(super) const fn forget_bytes(&mut self, size: usize) {
        self.bytes = self.bytes.saturating_sub(size);
    }

    /// Takes out all publications that wait. They do not count any more.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Publication> {
        let waiting = core::mem::take(&mut self.waiting);
        for publication in &waiting {
            self.finish(publication.size);
        }
        waiting.into_iter()
    }

    /// How many publications are not finished, and how many bytes they hold.
    pub(super) const fn counts(&self) -> (usize, usize) {
        (self.messages, self.bytes)
    }

    /// The publications that wait, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Publication> {
        self.waiting.iter()
    }
}
