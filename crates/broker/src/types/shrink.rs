//! The shrink policy: tables give memory back after most of their entries have gone.
//!
//! A table doubles when it is full and never shrinks by itself. After a flood of clients it would
//! stay large for ever. So we shrink a table once it is three quarters empty. Shrinking costs a
//! part of what growing cost. It does not happen again before three quarters of the remaining
//! entries have gone, or enough new entries have come to pay for it.

use core::hash::BuildHasher;
use core::hash::Hash;

use hashbrown::{HashMap, HashTable};
use slab::Slab;

/// The least capacity of a table that is worth shrinking.
pub(crate) const MIN_CAPACITY: usize = 1_024;

/// Decides when to shrink a [`Slab`].
///
/// A slab can only give back the places behind its last entry. To find that entry, shrinking
/// looks at every place, sometimes for nothing. This policy limits how often that happens.
#[derive(Debug, Default)]
pub(crate) struct ShrinkPolicy {
    /// The most entries that the slab has had since the last attempt to shrink. It rises only when
    /// enough entries have come to pay for another attempt.
    peak: usize,
    /// How many entries have come since the last attempt.
    inserted: usize,
}

impl ShrinkPolicy {
    /// How many places an attempt may look at for each entry that has come.
    const LOOKS_PER_INSERT: usize = 64;

    /// Notes that an entry was inserted.
    pub(crate) fn record_insert<T>(&mut self, slab: &Slab<T>) {
        self.inserted += 1;
        if self.inserted >= slab.capacity() / Self::LOOKS_PER_INSERT {
            self.peak = self.peak.max(slab.len());
        }
    }

    /// Notes that an entry was removed, and shrinks `slab` if that is due. Returns whether it
    /// tried.
    pub(crate) fn shrink_if_due<T>(&mut self, slab: &mut Slab<T>) -> bool {
        let is_time = slab.capacity() >= MIN_CAPACITY && slab.len() <= self.peak / 4;
        if is_time {
            *self = Self {
                peak: slab.len(),
                inserted: 0,
            };
            slab.shrink_to_fit();
        }
        is_time
    }
}

/// Shrinks a hash table that is three quarters empty.
pub(crate) fn shrink_table<T>(table: &mut HashTable<T>, hasher: impl Fn(&T) -> u64) {
    if is_sparse(table.len(), table.capacity()) {
        table.shrink_to(2 * table.len(), hasher);
    }
}

/// Shrinks a map that is three quarters empty.
pub(crate) fn shrink_map<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if is_sparse(map.len(), map.capacity()) {
        map.shrink_to(2 * map.len());
    }
}

/// Shrinks a list that is three quarters empty.
pub(crate) fn shrink_list<T>(list: &mut Vec<T>) {
    if is_sparse(list.len(), list.capacity()) {
        list.shrink_to(2 * list.len());
    }
}

fn is_sparse(len: usize, capacity: usize) -> bool {
    capacity >= MIN_CAPACITY && len <= capacity / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_entries_keep_their_places_and_the_rest_is_freed() {
        let (mut slab, mut shrink) = (Slab::new(), ShrinkPolicy::default());
        let mut looks = 0;
        for number in 0..100_000 {
            slab.insert(number);
            shrink.record_insert(&slab);
        }
        for number in (0..100_000).rev() {
            if number % 10_000 != 7 {
                slab.remove(number);
                looks += usize::from(shrink.shrink_if_due(&mut slab));
            }
        }
        // A slab cannot give back places before its last entry.
        assert!(slab.capacity() <= 90_008);
        for number in (1..10).rev() {
            assert_eq!(slab.remove(number * 10_000 + 7), number * 10_000 + 7);
            looks += usize::from(shrink.shrink_if_due(&mut slab));
        }
        assert_eq!((slab.len(), slab[7]), (1, 7));
        assert!(slab.capacity() < MIN_CAPACITY, "{}", slab.capacity());
        assert!(looks < 12, "{looks}");
    }

    #[test]
    fn entries_that_come_and_go_do_not_shrink_the_slab() {
        let (mut slab, mut shrink) = (Slab::new(), ShrinkPolicy::default());
        for _ in 0..10 {
            let keys: Vec<_> = (0..5_000)
                .map(|number| {
                    let key = slab.insert(number);
                    shrink.record_insert(&slab);
                    key
                })
                .collect();
            for key in &keys[..3_700] {
                slab.remove(*key);
                assert!(!shrink.shrink_if_due(&mut slab));
            }
            let capacity = slab.capacity();
            assert!(capacity >= 5_000);
            for key in &keys[3_700..] {
                slab.remove(*key);
                shrink.shrink_if_due(&mut slab);
            }
            assert_eq!(slab.capacity(), 0);
        }
    }

    /// One entry stays at the last place, so nothing can be given back, while a few others come and
    /// go. Without the policy each of those would make shrinking look at every place.
    #[test]
    fn sessions_beside_the_last_of_a_flood_cause_few_looks() {
        let (mut slab, mut shrink) = (Slab::new(), ShrinkPolicy::default());
        for number in 0..100_000 {
            slab.insert(number);
            shrink.record_insert(&slab);
        }
        for number in 0..99_999 {
            slab.remove(number);
            shrink.shrink_if_due(&mut slab);
        }
        let capacity = slab.capacity();
        assert!(capacity >= 100_000);
        let mut looks = 0;
        for _ in 0..10_000 {
            let keys = [(); 4].map(|()| {
                let key = slab.insert(0);
                shrink.record_insert(&slab);
                key
            });
            for key in keys {
                slab.remove(key);
                looks += usize::from(shrink.shrink_if_due(&mut slab));
            }
        }
        assert!(
            (1..=40_000 * ShrinkPolicy::LOOKS_PER_INSERT / capacity).contains(&looks),
            "{looks}"
        );
        slab.remove(99_999);
        shrink.shrink_if_due(&mut slab);
        assert_eq!(slab.capacity(), 0);
    }

    #[test]
    fn a_list_keeps_at_most_four_times_what_it_needs() {
        let mut list: Vec<u32> = (0..10_000).collect();
        for left in (0..10_000).rev() {
            list.truncate(left);
            shrink_list(&mut list);
            assert!(list.capacity() < MIN_CAPACITY.max(4 * left + 4));
        }
        let mut list: Vec<u32> = Vec::with_capacity(MIN_CAPACITY - 1);
        shrink_list(&mut list);
        assert_eq!(list.capacity(), MIN_CAPACITY - 1);
    }
}
