//! A map from devices to something. A list is enough for it, because keys of devices have small
//! numbers.

use fleet::DeviceKey;

/// One place for each device, most of them empty. After a device was forgotten, its place may
/// belong to another one. What was there is then replaced.
#[derive(Debug)]
pub(super) struct DeviceMap<T> {
    places: Vec<Option<(DeviceKey, T)>>,
}

impl<T> DeviceMap<T> {
    pub(super) fn get(&self, key: DeviceKey) -> Option<&T> {
        let (owner, value) = self.places.get(index(key))?.as_ref()?;
        (*owner == key).then_some(value)
    }

    pub(super) fn get_mut(&mut self, key: DeviceKey) -> Option<&mut T> {
        let (owner, value) = self.places.get_mut(index(key))?.as_mut()?;
        (*owner == key).then_some(value)
    }

    pub(super) fn get_or_insert_with(&mut self, key: DeviceKey, new: impl FnOnce() -> T) -> &mut T {
        let index = index(key);
        if index >= self.places.len() {
            self.places.resize_with(index + 1, || None);
        }
        let place = &mut self.places[index];
        if place.as_ref().is_some_and(|(owner, _)| *owner != key) {
            *place = None;
        }
        &mut place.get_or_insert_with(|| (key, new())).1
    }

    pub(super) fn remove(&mut self, key: DeviceKey) -> Option<T> {
        let place = self.places.get_mut(index(key))?;
        let removed = place.take_if(|(owner, _)| *owner == key)?;
        Some(removed.1)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = DeviceKey> {
        let places = self.places.iter().flatten();
        places.map(|(owner, _)| *owner)
    }
}

impl<T> Default for DeviceMap<T> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

const fn index(key: DeviceKey) -> usize {
    key.place as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn key(place: u32) -> DeviceKey {
        DeviceKey { place, number: 5 }
    }

    #[test]
    fn places_are_filled_and_emptied() {
        let mut map = DeviceMap::default();
        assert_eq!(map.get(key(7)), None);
        *map.get_or_insert_with(key(3), || 1) += 1;
        *map.get_or_insert_with(key(3), || 1) += 1;
        map.get_or_insert_with(key(1), || 9);
        assert_eq!(map.get(key(3)), Some(&3));
        assert_eq!(map.get(key(2)), None);
        assert!(map.keys().eq([key(1), key(3)]));
        assert_eq!(map.remove(key(3)), Some(3));
        assert_eq!(map.remove(key(3)), None);
        assert_eq!(map.get_mut(key(9)), None);
    }

    #[test]
    fn a_device_finds_nothing_of_the_one_before_it() {
        let mut map = DeviceMap::default();
        let later = DeviceKey {
            place: 3,
            number: 6,
        };
        map.get_or_insert_with(key(3), || 1);
        assert_eq!(map.get(later), None);
        assert_eq!(map.remove(later), None);
        assert_eq!(*map.get_or_insert_with(later, || 2), 2);
        assert_eq!(map.get(key(3)), None);
        assert_eq!(map.get_mut(key(3)), None);
        assert!(map.keys().eq([later]));
    }
}
