//! Which group of the file holds the value of which key.

use std::collections::{BTreeMap, HashMap};

use super::form::{Encoded, Group, Written};

/// Where the values are. It has the keys, not the values.
#[derive(Debug, Default)]
pub(super) struct Index {
    places: HashMap<Box<[u8]>, Place>,
    /// Groups that hold a value that counts, by where they begin.
    groups: BTreeMap<u64, Held>,
    /// Bytes of the file that hold values that count.
    live: u64,
}

#[derive(Copy, Clone, Debug)]
struct Place {
    /// Where the group begins.
    group: u64,
    /// Bytes that the value takes there.
    share: u64,
}

/// What a group holds.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Held {
    entries: u64,
    /// Of these, how many count.
    live: u64,
}

impl Held {
    pub(super) fn is_all_live(self) -> bool {
        self.entries == self.live
    }
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn has(&self, key: &[u8]) -> bool {
        self.places.contains_key(key)
    }

    /// Whether the group at this place holds the value of the key.
    pub(super) fn is_live(&self, key: &[u8], group: u64) -> bool {
        self.places.get(key).is_some_and(|it| it.group == group)
    }

    /// The groups that hold values that count, in the order of their places.
    pub(super) fn groups(&self) -> impl Iterator<Item = (u64, Held)> {
        self.groups.iter().map(|(at, held)| (*at, *held))
    }

    /// The same, as it would be without the values that `encoded` replaces.
    pub(super) fn groups_without(&self, encoded: &Encoded<'_>) -> BTreeMap<u64, Held> {
        let mut groups = self.groups.clone();
        for entry in encoded.entries() {
            if let Some(place) = self.places.get(entry.key)
                && let Some(held) = groups.get_mut(&place.group)
            {
                held.live -= 1;
            }
        }
        groups.retain(|_, held| held.live > 0);
        groups
    }

    /// Bytes of values that will count when the file also has `encoded`.
    pub(super) fn live_after(&self, encoded: &Encoded<'_>) -> u64 {
        let old = encoded.entries().filter_map(|it| self.places.get(it.key));
        let gone: u64 = old.map(|it| it.share).sum();
        let new: u64 = encoded.entries().filter_map(|it| it.share).sum();
        self.live - gone + new
    }

    /// Adds groups that were written from `base` on.
    pub(super) fn add(&mut self, encoded: &Encoded<'_>, base: u64) {
        for (place, entries) in encoded.groups() {
            self.add_group(base + place.start, entries.iter().copied());
        }
    }

    /// Adds a group that was found at this place, behind all others.
    pub(super) fn find(&mut self, group: &Group, at: u64) {
        self.add_group(at, group.written());
    }

    fn add_group<'a>(&mut self, at: u64, entries: impl Iterator<Item = Written<'a>>) {
        self.groups.insert(at, Held::default());
        for entry in entries {
            self.forget(entry.key);
            let held = self.groups.entry(at).or_default();
            held.entries += 1;
            if let Some(share) = entry.share {
                held.live += 1;
                self.live += share;
                let place = Place { group: at, share };
                self.places.insert(entry.key.into(), place);
            }
        }
        if self.groups.get(&at).is_some_and(|held| held.live == 0) {
            self.groups.remove(&at);
        }
    }

    /// Forgets the value of a key.
    fn forget(&mut self, key: &[u8]) {
        let Some(place) = self.places.remove(key) else {
            return;
        };
        self.live -= place.share;
        if let Some(held) = self.groups.get_mut(&place.group) {
            held.live -= 1;
            if held.live == 0 {
                self.groups.remove(&place.group);
            }
        }
    }
}
