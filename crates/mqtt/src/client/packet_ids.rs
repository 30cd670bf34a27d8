//! Which packet identifiers are in use (section 2.2.1).

use alloc::vec;
use alloc::vec::Vec;
use core::num::NonZeroU16;

use crate::packet::PacketId;

/// Gives out packet identifiers that are not in use `[MQTT-2.2.1-3]`.
///
/// It keeps one bit per identifier, and covers only as many as it needs. At least half of the
/// covered identifiers are free, so it does not give out a freed one again at once.
#[derive(Debug)]
pub(super) struct PacketIds {
    /// Bit 0 stands for identifier 0, which does not exist and counts as used.
    words: Vec<u64>,
    used: usize,
    next: usize,
}

const BITS: usize = u64::BITS as usize;
const ALL_WORDS: usize = (u16::MAX as usize + 1) / BITS;
/// Among so many a client begins that resumes a session which it does not know: 512 bytes of memory.
const SPREAD: usize = 4096;

impl PacketIds {
    pub(super) fn new() -> Self {
        Self {
            words: vec![1],
            used: 0,
            next: 1,
        }
    }

    /// A free identifier. `None` if all 65,535 are in use.
    pub(super) fn take(&mut self) -> Option<PacketId> {
        if self.used * 2 >= self.words.len() * BITS && self.words.len() < ALL_WORDS {
            let words = (self.words.len() * 2).min(ALL_WORDS);
            self.words.resize(words, 0);
        }
        let covered = self.words.len() * BITS;
        if self.used + 1 >= covered {
            return None;
        }
        let start = self.next;
        let free = (start..covered)
            .chain(1..start)
            .find(|&id| !self.is_set(id))?;
        self.set(free);
        self.next = if free + 1 == covered { 1 } else { free + 1 };
        u16::try_from(free).ok().and_then(NonZeroU16::new)
    }

    /// Gives out next an identifier that `seed` chooses among [`SPREAD`].
    pub(super) fn begin_at(&mut self, seed: u64) {
        if self.words.len() * BITS < SPREAD {
            self.words.resize(SPREAD / BITS, 0);
        }
        // Identifier 0 does not exist.
        self.next = usize::try_from(seed % (SPREAD as u64)).map_or(1, |id| id.max(1));
    }

    /// Marks an identifier as used that an earlier client of this session gave out.
    pub(super) fn reserve(&mut self, id: PacketId) {
        let id = usize::from(id.get());
        if id / BITS >= self.words.len() {
            self.words.resize(id / BITS + 1, 0);
        }
        if !self.is_set(id) {
            self.set(id);
        }
    }

    /// Gives an identifier back.
    pub(super) fn free(&mut self, id: PacketId) {
        let id = usize::from(id.get());
        if self.is_set(id) {
            self.words[id / BITS] &= !(1 << (id % BITS));
            self.used -= 1;
        }
    }

    /// How many are in use.
    pub(super) const fn used(&self) -> usize {
        self.used
    }

    fn is_set(&self, id: usize) -> bool {
        self.words
            .get(id / BITS)
            .is_some_and(|word| word & (1 << (id % BITS)) != 0)
    }

    fn set(&mut self, id: usize) {
        self.words[id / BITS] |= 1 << (id % BITS);
        self.used += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_2_2_1_3_every_identifier_once_and_never_zero() {
        let mut ids = PacketIds::new();
        let mut given = vec![false; 65_536];
        for _ in 0..65_535 {
            let id = ids.take().unwrap();
            assert!(!core::mem::replace(&mut given[usize::from(id.get())], true));
        }
        assert_eq!(ids.take(), None);
        assert_eq!(ids.used(), 65_535);
        let id = PacketId::new(777).unwrap();
        ids.free(id);
        ids.free(id);
        assert_eq!(ids.used(), 65_534);
        assert_eq!(ids.take(), Some(id));
        assert_eq!(ids.take(), None);
    }

    #[test]
    fn a_freed_identifier_rests_before_it_is_used_again() {
        let mut ids = PacketIds::new();
        let first = ids.take().unwrap();
        ids.free(first);
        for _ in 0..31 {
            let id = ids.take().unwrap();
            assert_ne!(id, first);
            ids.free(id);
        }
        assert_eq!(ids.words.len(), 1, "memory follows what is in use");
    }

    #[test]
    fn a_beginning_elsewhere_leaves_none_out() {
        for seed in [0, 1, 4_095, 4_096, u64::MAX] {
            let mut ids = PacketIds::new();
            ids.begin_at(seed);
            let first = ids.take().unwrap();
            assert_eq!(u64::from(first.get()), (seed % 4_096).max(1));
            for _ in 0..65_534 {
                assert_ne!(ids.take(), Some(first));
            }
            assert_eq!(ids.take(), None);
        }
    }

    #[test]
    fn a_reserved_identifier_is_not_given_out() {
        let mut ids = PacketIds::new();
        let reserved = PacketId::new(3_000).unwrap();
        ids.reserve(reserved);
        ids.reserve(reserved);
        assert_eq!(ids.used(), 1);
        for _ in 0..65_534 {
            assert_ne!(ids.take(), Some(reserved));
        }
        assert_eq!(ids.take(), None);
    }
}
