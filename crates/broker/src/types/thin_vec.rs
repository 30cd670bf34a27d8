//! Lists that are nearly always empty.

use core::ops::Deref;

/// A list that takes only one pointer, where a `Vec` takes three words. It is for lists that are
/// empty for most clients.
#[derive(Debug)]
// The box holds the `Vec`, not its elements: a boxed slice would take two words, and each change
// would move all elements.
#[allow(clippy::box_collection)]
pub(crate) struct ThinVec<T>(Option<Box<Vec<T>>>);

impl<T> ThinVec<T> {
    /// Mutable access to the list. Allocates it, so only call this to add something.
    pub(crate) fn to_mut(&mut self) -> &mut Vec<T> {
        self.0.get_or_insert_default()
    }

    /// Removes all elements and frees their memory.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// Removes and returns the element at `at`, which must exist. Frees the memory with the last
    /// element.
    pub(crate) fn remove(&mut self, at: usize) -> T {
        let list = self.to_mut();
        let removed = list.remove(at);
        if list.is_empty() {
            self.clear();
        }
        removed
    }
}

impl<T> Default for ThinVec<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> From<Vec<T>> for ThinVec<T> {
    fn from(list: Vec<T>) -> Self {
        Self((!list.is_empty()).then(|| Box::new(list)))
    }
}

impl<T> Deref for ThinVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_takes_a_pointer_and_no_memory() {
        assert_eq!(size_of::<ThinVec<u64>>(), size_of::<usize>());
        let mut list = ThinVec::from(vec![1, 2, 3]);
        list.to_mut().push(4);
        assert_eq!(*list, [1, 2, 3, 4]);
        assert_eq!((list.remove(1), list.remove(0)), (2, 1));
        assert_eq!((list.remove(0), list.remove(0)), (3, 4));
        assert!(list.is_empty() && list.0.is_none());
        assert!(ThinVec::<u8>::from(Vec::new()).0.is_none());
        list.to_mut().push(5);
        list.clear();
        assert!(list.0.is_none());
    }
}
