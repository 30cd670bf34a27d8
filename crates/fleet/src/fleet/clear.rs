//! Retained messages that are gone: what came by them goes too.
//!
//! An empty message clears a topic, whoever published what stood there. A retained message that has only
//! expired, or that the broker had to give up, says nothing about what a device has sent since. So there
//! only that goes which nobody knows but from what was retained.

use super::forget::OFTEN;
use super::values::{Memory, take_away};
use super::{CLEAR, Fleet};
use crate::device::DeviceKey;
use crate::event::Dirty;
use crate::payload::{Form, Payload};
use crate::presence::{Presence, PresenceKind, UnknownReason};
use crate::time::Timestamp;
use foldhash::fast::FixedState;
use hashbrown::HashSet;

/// Short hashes of topics.
pub(super) type Topics = HashSet<u32, FixedState>;

/// What goes.
#[derive(Copy, Clone)]
enum Goes<'a> {
    /// Whatever came by this topic.
    Topic(u32),
    /// What is known only from this topic's retained message.
    Retained(u32),
    /// What is known only from retained messages of other topics than these.
    RetainedBut(&'a Topics),
}

impl Goes<'_> {
    /// Whether what came by `topic` goes. `retained`: it is known only from a retained message.
    fn takes(self, topic: u32, retained: bool) -> bool {
        match self {
            Self::Topic(gone) => gone == topic,
            Self::Retained(gone) => retained && gone == topic,
            Self::RetainedBut(told) => retained && !told.contains(&topic),
        }
    }
}

impl Fleet {
    /// The message of this topic was cleared: its values are gone, and so is a device that had nothing
    /// else. A device that was heard often stays, because an empty message may also be a value that is
    /// empty for a moment, as of a button.
    pub(super) fn cleared(&mut self, now: Timestamp, topic: &str) {
        let hash = self.index.hash_topic(topic).1;
        self.clear_topic(now, topic, Goes::Topic(hash));
    }

    /// The broker no longer has a retained message of this topic, because it expired or there was no room
    /// for it. What the device has sent since stays.
    pub fn handle_retained_gone(&mut self, now: Timestamp, topic: &str) {
        let now = self.advance(now);
        let hash = self.index.hash_topic(topic).1;
        if CLEAR {
            self.clear_topic(now, topic, Goes::Retained(hash));
        }
    }

    /// The broker begins to tell of all its retained messages, before or after [`Fleet::handle_message`]
    /// was called for some of them. [`Fleet::end_retained`] ends it.
    pub fn begin_retained(&mut self) {
        self.told_topics = Some(Topics::default());
    }

    /// The broker has told of all its retained messages. What is known only from others is gone.
    pub fn end_retained(&mut self, now: Timestamp) {
        let now = self.advance(now);
        let Some(told) = self.told_topics.take().filter(|_| CLEAR) else {
            return;
        };
        for place in self.devices.places() {
            if let Some(key) = self.devices.key_at(place) {
                self.clear(now, key, Goes::RetainedBut(&told));
            }
        }
    }

    fn clear_topic(&mut self, now: Timestamp, topic: &str, goes: Goes<'_>) {
        // Which device a topic belongs to depends on what the payload was.
        for form in [Form::Json, Form::Number] {
            let payload = Payload { text: "", form };
            let claim = self.conventions.read(topic, &payload);
            if let Some(key) = claim.and_then(|claim| self.find_name(&claim.name)) {
                self.clear(now, key, goes);
            }
        }
    }

    fn clear(&mut self, now: Timestamp, key: DeviceKey, goes: Goes<'_>) {
        let follows = self.follows();
        let device = &mut self.devices[key];
        let mut changed = Dirty::default();
        let unheard = device.last_seen.is_none();
        for metric in &mut *device.metrics {
            if !metric.has_value || !goes.takes(metric.topic, metric.retained) {
                continue;
            }
            let mut memory = Memory {
                budget: &mut self.budget,
                account: &mut device.account,
            };
            take_away(metric, &mut memory);
            changed.0 |= Dirty::VALUES.0 | Dirty::SHAPE.0;
        }
        if device.position.is_some() && goes.takes(device.position_topic, unheard) {
            device.position = None;
            changed.0 |= Dirty::POSITION.0;
        }
        let said = device.registered && goes.takes(device.presence_topic, unheard);
        if said {
            device.registered = false;
            device.revision = device.revision.wrapping_add(1);
        }
        if !said && changed == Dirty::default() {
            return;
        }
        let empty = device.position.is_none()
            && !device.registered
            && device.commands.is_empty()
            && device.heard < OFTEN
            && !device.metrics.iter().any(|metric| metric.has_value);
        if follows {
            self.mark(key, changed);
        } else if empty {
            self.drop_device(key);
        } else {
            let here = matches!(
                device.presence.presence.kind(),
                PresenceKind::Online | PresenceKind::Stale
            );
            if said && !(here && device.last_seen.is_some()) {
                let reason = UnknownReason::Unseen;
                self.turn(key, Presence::Unknown { since: now, reason }, false);
                self.reschedule(key);
            }
            self.mark(key, changed);
        }
    }
}
