//! A list that some builds do without.

use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};

/// A list of what a feature keeps. In a build without the feature `ON` is 0: the list is always empty, and
/// no code is left that would grow or drop it.
#[derive(Debug)]
pub(crate) struct List<T, const ON: usize>([Vec<T>; ON]);

impl<T, const ON: usize> List<T, ON> {
    pub(crate) const fn new() -> Self {
        Self([const { Vec::new() }; ON])
    }

    pub(crate) fn push(&mut self, item: T) {
        if let Some(list) = self.0.first_mut() {
            list.push(item);
        }
    }

    /// Removes an item that is there.
    pub(crate) fn remove(&mut self, index: usize) -> Option<T> {
        let list = self.0.first_mut()?;
        (index < list.len()).then(|| list.remove(index))
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        if let Some(list) = self.0.first_mut() {
            list.retain(keep);
        }
    }

    /// Replaces all items.
    pub(crate) fn set(&mut self, items: Vec<T>) {
        if let Some(list) = self.0.first_mut() {
            *list = items;
        }
    }
}

impl<T, const ON: usize> Default for List<T, ON> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const ON: usize> Deref for List<T, ON> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.first().map_or(&[], |list| list)
    }
}

impl<T, const ON: usize> DerefMut for List<T, ON> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.first_mut().map_or(&mut [], |list| list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_off_stays_empty() {
        let mut off = List::<u8, 0>::new();
        off.push(1);
        off.set(alloc::vec![1, 2]);
        assert!(off.is_empty() && off.remove(0).is_none());
        assert_eq!(size_of_val(&off), 0);
        let mut on = List::<u8, 1>::new();
        on.push(1);
        on.push(2);
        on.retain(|item| *item > 1);
        assert_eq!(on.first(), Some(&2));
        assert_eq!(
            (on.remove(1), on.remove(0), on.remove(0)),
            (None, Some(2), None)
        );
    }
}
