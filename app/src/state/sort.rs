//! The one sort of the page. A sort of its own for each type of element would be 4 kB of code each.

use std::cmp::Ordering;

/// The indices of `len` elements in the order that `compare` says. Equal ones stay as they are.
pub fn order(len: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|a, b| compare(*a, *b));
    order
}

/// The elements from the lowest rank to the highest. Equal ones stay as they are.
pub fn by_rank<T: Copy>(elements: &[T], rank: impl Fn(&T) -> u8) -> Vec<T> {
    let ranks: Vec<u8> = elements.iter().map(rank).collect();
    let order = order(elements.len(), &mut |a, b| ranks[a].cmp(&ranks[b]));
    order.into_iter().map(|index| elements[index]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_elements_stay_in_their_order() {
        let elements = [(2, 'a'), (1, 'b'), (2, 'c'), (0, 'd'), (1, 'e')];
        let sorted: String = by_rank(&elements, |(rank, _)| *rank)
            .into_iter()
            .map(|(_, name)| name)
            .collect();
        assert_eq!(sorted, "dbeac");
        assert_eq!(order(0, &mut |_, _| Ordering::Equal), [0_usize; 0]);
    }
}
