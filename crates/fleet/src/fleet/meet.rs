//! Meeting devices: adding one that is new, and finding out by which convention it speaks.

use super::{Fleet, Tie};
use crate::FORGET;
use crate::clock::ClockWatch;
use crate::conventions::Claim;
use crate::device::{Device, DeviceKey, SameId};
use crate::event::Dirty;
use crate::limits::{Account, Limit};
use crate::list::List;
use crate::payload::Payload;
use crate::presence::{History, Presence, PresenceSpan, UnknownReason};
use crate::rhythm::{Intervals, Rhythm};
use crate::time::Timestamp;
use alloc::sync::Arc;

impl Fleet {
    /// Adds a device that was not known.
    pub(super) fn add(
        &mut self,
        now: Timestamp,
        claim: &Claim<'_>,
        retained: bool,
    ) -> Option<DeviceKey> {
        let (prefix, id) = (&*claim.name.prefix, &*claim.name.id);
        if id.len() > self.options.max_id_len || prefix.len() > self.options.max_id_len {
            self.limits.note(Limit::IdLength);
            return None;
        }
        if FORGET && self.is_forgotten(&claim.name) {
            if retained {
                return None;
            }
            let hash = self.forgotten_hash(&claim.name);
            self.forgotten.remove(hash);
        }
        // Each device also takes two index entries, one timer and one place in the queue of
        // changes.
        let overhead = 64 + size_of::<PresenceSpan>();
        let cost = size_of::<Device>() + overhead + prefix.len() + id.len();
        let account = self.make_place(now, cost)?;
        let key = self.devices.next_key()?;
        // Neighbours mostly share their prefix.
        let neighbour = key.place.checked_sub(1);
        let neighbour = neighbour.and_then(|place| self.devices.at(place));
        let prefix = match neighbour {
            Some(device) if *device.prefix == *prefix => Arc::clone(&device.prefix),
            Some(_) | None => Arc::from(prefix),
        };
        let presence = PresenceSpan {
            presence: Presence::Unknown {
                since: now,
                reason: UnknownReason::Unseen,
            },
            exact: false,
        };
        let mut device = Device {
            prefix,
            id: id.into(),
            number: key.number,
            convention: claim.convention,
            mixed: false,
            learnt: false,
            account,
            same_id: SameId {
                before: key.place,
                after: key.place,
            },
            watchers: 0,
            registered: false,
            heard: 0,
            first_seen: now,
            last_seen: None,
            messages: 0,
            duplicates: 0,
            out_of_order: 0,
            presence,
            history: History::new(presence),
            before_outage: None,
            intervals: Intervals::default(),
            rhythm: Rhythm::default(),
            sends_values: false,
            stale_after_ms: 0,
            metrics: List::new(),
            next_metric: 0,
            announced_units: List::new(),
            position: None,
            position_topic: 0,
            presence_topic: 0,
            faults: List::new(),
            commands: List::new(),
            command_deadline: None,
            known_commands: List::new(),
            hidden: false,
            tie: Tie::NONE,
            clock: ClockWatch::NEW,
            watched_from: Timestamp(i64::MIN),
            recent: [0; 4],
            recent_next: 0,
            dirty: Dirty::default(),
            in_dirty_queue: false,
            revision: 0,
            scheduled: None,
        };
        device.update_staleness(&self.options);
        self.counts.add(presence.presence.kind());
        if FORGET {
            self.strangers.note_new(key, &device);
        }
        self.devices.add(key, device);
        self.index.enter(&mut self.devices, key);
        self.mark(key, Dirty::ADDED);
        Some(key)
    }

    /// Makes sure that there are a place and `cost` bytes for a new device.
    fn make_place(&mut self, now: Timestamp, cost: usize) -> Option<Account> {
        let mut account = Account::default();
        loop {
            let full = self.devices.len() >= self.options.max_devices;
            if !full && self.budget.charge_to(&mut account, cost) {
                return Some(account);
            }
            if !FORGET || !self.forget_stranger(now) {
                self.limits
                    .note(if full { Limit::Devices } else { Limit::Bytes });
                return None;
            }
        }
    }

    /// If the device spoke by a more particular convention than before, it follows that one from
    /// now on. So the order of its first messages makes no difference.
    pub(super) fn follow(&mut self, key: DeviceKey, claim: &Claim<'_>) {
        let device = &mut self.devices[key];
        let before = device.convention;
        device.mixed |= claim.convention != before;
        if claim.convention == before || !claim.convention.wins_over(before) {
            return;
        }
        device.convention = claim.convention;
        if core::mem::take(&mut device.learnt) {
            self.conventions
                .forget(before, &device.name(), &mut self.budget);
        }
        self.mark(key, Dirty::SHAPE);
    }

    /// Lets the device's convention learn from a message that was read.
    pub(super) fn learn(&mut self, key: DeviceKey, claim: &Claim<'_>, payload: &Payload<'_>) {
        let device = &mut self.devices[key];
        if device.learnt || device.convention != claim.convention {
            return;
        }
        match self.conventions.learn(claim, payload, &mut self.budget) {
            Ok(learnt) => device.learnt = learnt,
            Err(limit) => self.limits.note(limit),
        }
    }
}
