//! Finding a device by its prefix and id.

use super::Message;
use super::table::Table;
use crate::INDEX;
use crate::conventions::Name;
use crate::device::{Device, DeviceKey, SameId};
use core::hash::BuildHasher as _;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Hash tables of places in the fleet's table of devices. In a build without the feature `index`
/// they stay empty, and the table is searched device by device.
#[derive(Debug)]
pub(super) struct Index {
    by_name: HashTable<u32>,
    /// The first device of each id. The others follow in a ring (see [`Device::same_id`]), because
    /// many equal hashes would make the table slow.
    by_id: HashTable<u32>,
    hasher: FixedState,
}

impl Index {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            by_name: HashTable::new(),
            by_id: HashTable::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    /// The device of this name.
    pub(super) fn find(&self, devices: &Table, name: &Name<'_>) -> Option<DeviceKey> {
        let is_it = |device: &Device| device.name() == *name;
        if !INDEX {
            return find_in(devices, is_it);
        }
        find_at(&self.by_name, self.hash(name), devices, is_it)
    }

    /// The first device of this id, under whatever prefix.
    pub(super) fn find_by_id(&self, devices: &Table, id: &str) -> Option<DeviceKey> {
        let is_it = |device: &Device| *device.id == *id;
        if !INDEX {
            return find_in(devices, is_it);
        }
        find_at(&self.by_id, self.hasher.hash_one(id), devices, is_it)
    }

    /// Enters a device that was just added.
    pub(super) fn enter(&mut self, devices: &mut Table, key: DeviceKey) {
        let Some(device) = devices.get(key) else {
            return;
        };
        if !INDEX {
            return;
        }
        let first = self.find_by_id(devices, &device.id);
        let hasher = &self.hasher;
        let hash_name = |at: &u32| match devices.at(*at) {
            Some(device) => hash_name(hasher, &device.name()),
            None => 0,
        };
        let hash_id = |at: &u32| match devices.at(*at) {
            Some(device) => hasher.hash_one(&*device.id),
            None => 0,
        };
        insert(&mut self.by_name, key.place, &hash_name);
        match first {
            None => insert(&mut self.by_id, key.place, &hash_id),
            Some(first) => {
                let last = devices[first].same_id.before;
                link(devices, last, key.place);
                link(devices, key.place, first.place);
            }
        }
    }

    /// Takes a device out that is about to be removed.
    pub(super) fn leave(&mut self, devices: &mut Table, key: DeviceKey) {
        let Some(device) = devices.get(key) else {
            return;
        };
        if !INDEX {
            return;
        }
        let hash = self.hash(&device.name());
        if let Ok(entry) = self.by_name.find_entry(hash, |place| *place == key.place) {
            entry.remove();
        }
        let SameId { before, after } = device.same_id;
        let hash = self.hasher.hash_one(&*device.id);
        if let Ok(mut entry) = self.by_id.find_entry(hash, |place| *place == key.place) {
            if after == key.place {
                entry.remove();
            } else {
                *entry.get_mut() = after;
            }
        }
        link(devices, before, after);
    }

    /// The hash of any text.
    pub(super) fn hash_text(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    /// The hash of a name, which need not have a device.
    fn hash(&self, name: &Name<'_>) -> u64 {
        hash_name(&self.hasher, name)
    }

    /// A hash of a topic, and a short one by which the messages of one topic are recognised.
    pub(super) fn hash_topic(&self, topic: &str) -> (u64, u32) {
        let hash = self.hasher.hash_one(topic);
        // The low half is as good as any.
        #[allow(clippy::cast_possible_truncation)]
        let low = hash as u32;
        (hash, low)
    }

    /// The fingerprint by which a message that comes twice is recognised, and the short hash of its
    /// topic.
    pub(super) fn fingerprint(&self, message: &Message<'_>) -> (u32, u32) {
        if !INDEX {
            let bytes = message.topic.bytes().chain(message.payload.iter().copied());
            // FNV-1a is short, and good enough because this is no position in a table.
            let hash = bytes.fold(0x811c_9dc5, |hash, byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            });
            return (hash, 0);
        }
        let (topic, short) = self.hash_topic(message.topic);
        let hash = self.hasher.hash_one((topic, message.payload));
        // The low half is as good as any.
        #[allow(clippy::cast_possible_truncation)]
        let low = hash as u32;
        (low, short)
    }
}

fn hash_name(hasher: &FixedState, name: &Name<'_>) -> u64 {
    hasher.hash_one((&*name.prefix, &*name.id))
}

fn find_in(devices: &Table, is_it: impl Fn(&Device) -> bool) -> Option<DeviceKey> {
    let mut devices = devices.iter();
    let found = devices.find(|(_, device)| is_it(device));
    found.map(|(key, _)| key)
}

fn find_at(
    table: &HashTable<u32>,
    hash: u64,
    devices: &Table,
    is_it: impl Fn(&Device) -> bool,
) -> Option<DeviceKey> {
    let at = |place: &u32| devices.at(*place).is_some_and(&is_it);
    devices.key_at(*table.find(hash, at)?)
}

/// One function for both tables: the code for growing a table is large.
fn insert(table: &mut HashTable<u32>, place: u32, hash: &dyn Fn(&u32) -> u64) {
    table.insert_unique(hash(&place), place, hash);
}

/// Makes two devices neighbours in the ring of their id.
fn link(devices: &mut Table, before: u32, after: u32) {
    if let Some(device) = devices.at_mut(before) {
        device.same_id.after = after;
    }
    if let Some(device) = devices.at_mut(after) {
        device.same_id.before = before;
    }
}
