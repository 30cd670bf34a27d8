//! The devices by their place, and the places that are free.

use crate::device::{Device, DeviceKey};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

/// All devices. A place that a forgotten device has left is taken by the next new one.
#[derive(Default, Debug)]
pub(super) struct Table {
    // Boxed, so that growing does not copy a hundred megabytes.
    places: Vec<Option<Box<Device>>>,
    free: Vec<u32>,
    added: u32,
}

impl Table {
    /// No devices. The first one gets this number.
    pub(super) const fn starting_at(added: u32) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            added,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The key of the device that [`Table::add`] takes next; `None` when there are as many devices
    /// as numbers.
    pub(super) fn next_key(&self) -> Option<DeviceKey> {
        let place = match self.free.last() {
            Some(place) => *place,
            None => u32::try_from(self.places.len()).ok()?,
        };
        Some(DeviceKey {
            place,
            number: self.added,
        })
    }

    /// Adds the device that was made for [`Table::next_key`].
    pub(super) fn add(&mut self, key: DeviceKey, device: Device) {
        self.added = self.added.wrapping_add(1);
        let device = Some(Box::new(device));
        match self.free.pop() {
            Some(place) => self.places[place as usize] = device,
            None => self.places.push(device),
        }
        debug_assert!(self.get(key).is_some());
    }

    pub(super) fn remove(&mut self, key: DeviceKey) -> Option<Box<Device>> {
        self.get(key)?;
        let device = self.places.get_mut(key.place as usize)?.take()?;
        self.free.push(key.place);
        Some(device)
    }

    pub(super) fn get(&self, key: DeviceKey) -> Option<&Device> {
        let device = self.at(key.place)?;
        (device.number == key.number).then_some(device)
    }

    pub(super) fn get_mut(&mut self, key: DeviceKey) -> Option<&mut Device> {
        let device = self.places.get_mut(key.place as usize)?.as_deref_mut()?;
        (device.number == key.number).then_some(device)
    }

    /// The device at this place, whichever it is.
    pub(super) fn at(&self, place: u32) -> Option<&Device> {
        self.places.get(place as usize)?.as_deref()
    }

    /// The device at this place, whichever it is.
    pub(super) fn at_mut(&mut self, place: u32) -> Option<&mut Device> {
        self.places.get_mut(place as usize)?.as_deref_mut()
    }

    pub(super) fn key_at(&self, place: u32) -> Option<DeviceKey> {
        let number = self.at(place)?.number;
        Some(DeviceKey { place, number })
    }

    /// All devices, in the order of their places.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (DeviceKey, &Device)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(place, device)| {
            let device = device.as_deref()?;
            let place = u32::try_from(place).ok()?;
            let number = device.number;
            Some((DeviceKey { place, number }, device))
        })
    }

    /// The places that there are at this moment, for loops that change devices.
    pub(super) fn places(&self) -> impl Iterator<Item = u32> + use<> {
        0..u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }
}

/// For keys that were just found. The key of a forgotten device panics.
impl Index<DeviceKey> for Table {
    type Output = Device;

    fn index(&self, key: DeviceKey) -> &Device {
        match self.get(key) {
            Some(device) => device,
            None => unknown(),
        }
    }
}

impl IndexMut<DeviceKey> for Table {
    fn index_mut(&mut self, key: DeviceKey) -> &mut Device {
        match self.get_mut(key) {
            Some(device) => device,
            None => unknown(),
        }
    }
}

#[cold]
fn unknown() -> ! {
    panic!("a device was used after it was forgotten")
}
