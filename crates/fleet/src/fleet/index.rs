//! Finding a device by its prefix and id.

use super::Message;
use crate::INDEX;
use crate::device::{Device, DeviceKey};
use alloc::boxed::Box;
use core::hash::BuildHasher as _;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// Hash tables of places in the fleet's list of devices. In a build without the feature `index`
/// they stay empty, and the list is gone through.
#[derive(Debug)]
pub(super) struct Index {
    /// Devices by prefix and id.
    by_full_id: HashTable<u32>,
    /// The first device of each id.
    by_id: HashTable<u32>,
    hasher: FixedState,
}

impl Index {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            by_full_id: HashTable::new(),
            by_id: HashTable::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    /// The device of this prefix and id.
    pub(super) fn find(
        &self,
        devices: &[Box<Device>],
        prefix: &str,
        id: &str,
    ) -> Option<DeviceKey> {
        let is_it = |device: &Device| *device.id == *id && *device.prefix == *prefix;
        if !INDEX {
            return find_in(devices, is_it);
        }
        let hash = self.hasher.hash_one((prefix, id));
        find_at(&self.by_full_id, hash, devices, is_it)
    }

    /// The first device of this id, under whatever prefix.
    pub(super) fn find_by_id(&self, devices: &[Box<Device>], id: &str) -> Option<DeviceKey> {
        let is_it = |device: &Device| *device.id == *id;
        if !INDEX {
            return find_in(devices, is_it);
        }
        find_at(&self.by_id, self.hasher.hash_one(id), devices, is_it)
    }

    /// Enters the device at `place`, which is new.
    pub(super) fn enter(&mut self, devices: &[Box<Device>], place: u32) {
        let Some(device) = devices.get(place as usize) else {
            return;
        };
        if !INDEX {
            return;
        }
        let first = self.find_by_id(devices, &device.id).is_none();
        let hasher = &self.hasher;
        let full_hash = |at: &u32| match devices.get(*at as usize) {
            Some(device) => hasher.hash_one((&*device.prefix, &*device.id)),
            None => 0,
        };
        let id_hash = |at: &u32| match devices.get(*at as usize) {
            Some(device) => hasher.hash_one(&*device.id),
            None => 0,
        };
        insert(&mut self.by_full_id, place, &full_hash);
        if first {
            insert(&mut self.by_id, place, &id_hash);
        }
    }

    /// A number by which a message that comes twice is known.
    pub(super) fn fingerprint(&self, message: &Message<'_>) -> u32 {
        if !INDEX {
            let bytes = message.topic.bytes().chain(message.payload.iter().copied());
            // FNV-1a: short, and good enough where nothing is placed by it.
            return bytes.fold(0x811c_9dc5, |hash, byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            });
        }
        let hash = self.hasher.hash_one((message.topic, message.payload));
        // The low half is as good as any.
        #[allow(clippy::cast_possible_truncation)]
        let low = hash as u32;
        low
    }
}

fn find_in(devices: &[Box<Device>], is_it: impl Fn(&Device) -> bool) -> Option<DeviceKey> {
    let place = devices.iter().position(|device| is_it(device))?;
    u32::try_from(place).ok().map(DeviceKey)
}

fn find_at(
    table: &HashTable<u32>,
    hash: u64,
    devices: &[Box<Device>],
    is_it: impl Fn(&Device) -> bool,
) -> Option<DeviceKey> {
    let at = |place: &u32| {
        devices
            .get(*place as usize)
            .is_some_and(|device| is_it(device))
    };
    table.find(hash, at).map(|place| DeviceKey(*place))
}

/// One function for both tables: the code for growing a table is large.
fn insert(table: &mut HashTable<u32>, place: u32, hash: &dyn Fn(&u32) -> u64) {
    table.insert_unique(hash(&place), place, hash);
}
