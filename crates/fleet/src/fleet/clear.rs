//! Cleared retained messages: an empty payload takes away what came by its topic.

use super::Fleet;
use super::forget::OFTEN;
use super::values::{Memory, take_away};
use crate::device::DeviceKey;
use crate::event::Dirty;
use crate::payload::{Form, Payload};
use crate::presence::{Presence, PresenceKind, UnknownReason};
use crate::time::Timestamp;

impl Fleet {
    /// The message of this topic was cleared: its values are gone, and so is a device that had nothing
    /// else. A device that was heard often stays, because an empty message may also be a value that is
    /// empty for a moment, as of a button.
    pub(super) fn cleared(&mut self, now: Timestamp, topic: &str) {
        let hash = self.index.hash_topic(topic).1;
        // Which device a topic belongs to depends on what the payload was.
        for form in [Form::Json, Form::Number] {
            let payload = Payload { text: "", form };
            let claim = self.conventions.read(topic, &payload);
            if let Some(key) = claim.and_then(|claim| self.find_name(&claim.name)) {
                self.clear(now, key, hash);
            }
        }
    }

    fn clear(&mut self, now: Timestamp, key: DeviceKey, topic: u32) {
        let follows = self.follows();
        let device = &mut self.devices[key];
        let mut changed = Dirty::default();
        for metric in &mut *device.metrics {
            if metric.topic != topic || !metric.has_value {
                continue;
            }
            let mut memory = Memory {
                budget: &mut self.budget,
                account: &mut device.account,
            };
            take_away(metric, &mut memory);
            changed.0 |= Dirty::VALUES.0 | Dirty::SHAPE.0;
        }
        if device.position.is_some() && device.position_topic == topic {
            device.position = None;
            changed.0 |= Dirty::POSITION.0;
        }
        let said = device.registered && device.presence_topic == topic;
        if said {
            device.registered = false;
            device.revision = device.revision.wrapping_add(1);
        }
        let empty = device.position.is_none()
            && !device.registered
            && device.commands.is_empty()
            && device.heard < OFTEN
            && !device.metrics.iter().any(|metric| metric.has_value);
        if follows {
            self.mark(key, changed);
        } else if empty && (said || changed != Dirty::default()) {
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
