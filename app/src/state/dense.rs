//! A map from devices to something: their keys are dense indices, so a list does.

use fleet::DeviceKey;

/// One place a device, most of them empty.
#[derive(Debug)]
pub(super) struct Dense<T> {
    places: Vec<Option<T>>,
}

impl<T> Dense<T> {
    pub(super) fn get(&self, key: DeviceKey) -> Option<&T> {
        self.places.get(index(key))?.as_ref()
    }

    pub(super) fn get_mut(&mut self, key: DeviceKey) -> Option<&mut T> {
        self.places.get_mut(index(key))?.as_mut()
    }

    pub(super) fn get_or_insert_with(&mut self, key: DeviceKey, new: impl FnOnce() -> T) -> &mut T {
        let index = index(key);
        if index >= self.places.len() {
            self.places.resize_with(index + 1, || None);
        }
        self.places[index].get_or_insert_with(new)
    }

    pub(super) fn remove(&mut self, key: DeviceKey) -> Option<T> {
        self.places.get_mut(index(key))?.take()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = DeviceKey> {
        let places = (0..).zip(&self.places);
        places.filter_map(|(index, place)| place.as_ref().map(|_| DeviceKey(index)))
    }
}

impl<T> Default for Dense<T> {
    fn default() -> Self {
        Self { places: Vec::new() }
    }
}

const fn index(key: DeviceKey) -> usize {
    key.0 as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_emptied() {
        let mut dense = Dense::default();
        assert_eq!(dense.get(DeviceKey(7)), None);
        *dense.get_or_insert_with(DeviceKey(3), || 1) += 1;
        *dense.get_or_insert_with(DeviceKey(3), || 1) += 1;
        dense.get_or_insert_with(DeviceKey(1), || 9);
        assert_eq!(dense.get(DeviceKey(3)), Some(&3));
        assert_eq!(dense.get(DeviceKey(2)), None);
        assert!(dense.keys().eq([DeviceKey(1), DeviceKey(3)]));
        assert_eq!(dense.remove(DeviceKey(3)), Some(3));
        assert_eq!(dense.remove(DeviceKey(3)), None);
        assert_eq!(dense.get_mut(DeviceKey(9)), None);
    }
}
