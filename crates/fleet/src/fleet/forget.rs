//! Forgetting devices: those that a person has forgotten, and strangers when the table is full.

use super::table::Table;
use super::{Fleet, Queue};
use crate::conventions::Name;
use crate::device::{Device, DeviceKey};
use crate::limits::Limit;
use crate::list::List;
use crate::presence::PresenceKind;
use crate::time::Timestamp;
use crate::{ADOPT, FORGET, TIES};
use alloc::boxed::Box;
use core::cmp::Reverse;

/// A device that sent so many live messages is often heard.
pub(super) const OFTEN: u32 = 8;
/// After a silence this long it no longer counts as often heard.
const LONG_SILENT_MS: i64 = 7 * 86_400_000;
/// The table is searched for strangers at most this often. Until the next search, only the
/// strangers that were found and new devices are considered.
const SEARCH_EVERY_MS: i64 = 1000;

/// The order in which devices are forgotten, the lowest rank first. Devices that never signed in
/// come before those that did, less heard ones before more heard ones, and newer ones before older
/// ones.
///
/// For a device that has signed in and out, it does not count how often it was heard.
fn rank(device: &Device) -> i64 {
    let heard = if device.registered {
        u32::MAX >> 1
    } else {
        device.heard.min(u32::MAX >> 2)
    };
    i64::from(heard) << 32 | i64::from(u32::MAX - device.number)
}

/// Who may be forgotten for a new device.
#[derive(Default, Debug)]
pub(super) struct Strangers {
    /// Empty until the table is full for the first time. From then on every new device is added. A
    /// rank may be out of date, so it is checked when its turn comes.
    ranks: Queue,
    searched_at: Option<Timestamp>,
}

impl Strangers {
    /// A device was added.
    pub(super) fn note_new(&mut self, key: DeviceKey, device: &Device) {
        if self.searched_at.is_some() {
            self.ranks.push(Reverse((rank(device), key)));
        }
    }

    /// The stranger that is to be forgotten next.
    fn next(&mut self, now: Timestamp, devices: &Table) -> Option<DeviceKey> {
        loop {
            let Some(Reverse((known, key))) = self.ranks.pop() else {
                let searched_at = self.searched_at;
                if searched_at.is_some_and(|at| now.ms_since(at) < SEARCH_EVERY_MS) {
                    return None;
                }
                self.search(now, devices);
                if self.ranks.is_empty() {
                    return None;
                }
                continue;
            };
            let Some(device) = devices.get(key).filter(|device| is_stranger(device, now)) else {
                continue;
            };
            let current = rank(device);
            if current == known {
                return Some(key);
            }
            self.ranks.push(Reverse((current, key)));
        }
    }

    fn search(&mut self, now: Timestamp, devices: &Table) {
        self.searched_at = Some(now);
        let strangers = devices.iter();
        let strangers = strangers.filter(|(_, device)| is_stranger(device, now));
        self.ranks = strangers
            .map(|(key, device)| Reverse((rank(device), key)))
            .collect();
    }

    /// Drops the ranks of devices that are gone, if they are too many.
    fn sweep(&mut self, devices: &Table) {
        if self.ranks.len() > devices.len() * 2 + 64 {
            self.ranks
                .retain(|Reverse((_, key))| devices.get(*key).is_some());
        }
    }
}

/// Whether a device may be forgotten for another one.
fn is_stranger(device: &Device, now: Timestamp) -> bool {
    let kind = device.presence.presence.kind();
    let before = device.before_outage.map(|span| span.presence.kind());
    // While we are not connected, the presence before the outage counts.
    let signed_in = match before.unwrap_or(kind) {
        PresenceKind::Online | PresenceKind::Stale => device.registered,
        PresenceKind::Sleeping => true,
        PresenceKind::Offline | PresenceKind::Unknown => false,
    };
    let commanded = device.commands.iter().any(|command| command.ours);
    let tied = device.watchers > 0 || commanded;
    let silent_ms = device.last_seen.map_or(0, |seen| now.ms_since(seen));
    let often_heard = device.heard >= OFTEN && silent_ms < LONG_SILENT_MS;
    !(signed_in || tied || often_heard)
}

/// The names of devices that people asked to forget. They decide whether a retained message may bring
/// a device back.
#[derive(Default, Debug)]
pub(super) struct Forgotten {
    /// Full ids with their hashes, oldest first. The hashes find a name; two names of the same hash are
    /// too rare to matter.
    names: List<(u64, Box<str>), { FORGET as usize }>,
    /// Bytes of all names.
    bytes: usize,
}

/// Bytes of all forgotten names. Beyond, the oldest are dropped as at `max_forgotten`.
const MAX_FORGOTTEN_BYTES: usize = 1 << 20;

impl Forgotten {
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.names.iter().any(|(known, _)| *known == hash)
    }

    pub(super) fn remove(&mut self, hash: u64) {
        self.names.retain(|(known, _)| *known != hash);
        self.bytes = self.names.iter().map(|(_, name)| name.len()).sum();
    }

    fn push(&mut self, hash: u64, name: Box<str>, max: usize) {
        self.remove(hash);
        self.bytes += name.len();
        self.names.push((hash, name));
        while self.names.len() > max || self.bytes > MAX_FORGOTTEN_BYTES {
            let Some((_, dropped)) = self.names.remove(0) else {
                return;
            };
            self.bytes -= dropped.len();
        }
    }
}

impl Fleet {
    /// Forgets a device because a person says so: all that is known about it, and its commands.
    /// Only a live message brings it back, with a new key. Retained messages, which the broker sends
    /// again after each subscribing, do not; see the option `max_forgotten`.
    ///
    /// The fleet also forgets devices by itself, when the table or the memory is full and a new
    /// device comes. Then it chooses a stranger: a device that
    ///
    /// - is not signed in, nor asleep,
    /// - nobody looks at ([`Fleet::watch`]), and to which this fleet gave no command,
    /// - was heard fewer than eight times, or not for a week.
    ///
    /// First come those that never signed in, the least heard and of these the newest first; then
    /// those that have signed out, the newest first. So a flood of strangers pushes out only
    /// strangers. A build without the feature `forget` keeps the devices that it has, and ignores
    /// new ones.
    pub fn forget(&mut self, key: DeviceKey) {
        if let Some(device) = self.devices.get(key) {
            let name = device.full_id();
            self.forget_name(&name);
            self.drop_device(key);
        }
    }

    /// Only a live message may make a device of this full id, as after [`Fleet::forget`]. So what a
    /// person has forgotten stays forgotten after a restart.
    pub fn forget_name(&mut self, name: &str) {
        let hash = self.index.hash_text(name);
        let max = self.options.max_forgotten;
        self.forgotten.push(hash, name.into(), max);
    }

    /// The full ids of the devices that people asked to forget, oldest first. At most as many as the
    /// option `max_forgotten`, and at most 1 MiB.
    pub fn forgotten_names(&self) -> impl Iterator<Item = &str> {
        self.forgotten.names.iter().map(|(_, name)| &**name)
    }

    /// Somebody looks at this device: it is no stranger until [`Fleet::unwatch`] was called as
    /// often.
    pub fn watch(&mut self, key: DeviceKey) {
        if let Some(device) = self.devices.get_mut(key) {
            device.watchers = device.watchers.saturating_add(1);
        }
    }

    /// Somebody does not look at this device any more.
    pub fn unwatch(&mut self, key: DeviceKey) {
        if let Some(device) = self.devices.get_mut(key) {
            device.watchers = device.watchers.saturating_sub(1);
        }
    }

    /// Forgets a stranger; `false` if there is none.
    pub(super) fn forget_stranger(&mut self, now: Timestamp) -> bool {
        let Some(key) = self.strangers.next(now, &self.devices) else {
            return false;
        };
        self.limits.note(Limit::Strangers);
        self.drop_device(key);
        true
    }

    /// Whether only a live message may make a device of this name.
    pub(super) fn is_forgotten(&self, name: &Name<'_>) -> bool {
        !self.forgotten.is_empty() && self.forgotten.contains(self.forgotten_hash(name))
    }

    pub(super) fn forgotten_hash(&self, name: &Name<'_>) -> u64 {
        self.index.hash_text(&name.full())
    }

    pub(super) fn drop_device(&mut self, key: DeviceKey) {
        if TIES {
            self.untie(key);
        }
        self.index.leave(&mut self.devices, key);
        let Some(mut device) = self.devices.remove(key) else {
            return;
        };
        if !(ADOPT && device.hidden) {
            self.counts.remove(device.presence.presence.kind());
        }
        self.budget.close(&mut device.account);
        if device.learnt {
            self.conventions
                .forget(device.convention, &device.name(), &mut self.budget);
        }
        // A device that was never reported as added is not reported as forgotten.
        if !device.dirty.is_new() {
            self.gone.push_back(key);
        }
        self.sweep_timers();
        self.sweep_dirty();
        self.strangers.sweep(&self.devices);
    }
}
